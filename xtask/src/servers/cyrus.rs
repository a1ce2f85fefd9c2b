//! A Cyrus that runs from where it was unpacked, with the rights of any user.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::daemon::Place;
use super::debian::{self, Unpacked};
use super::place;
use crate::{Result, process};

/// Cyrus' programs.
#[derive(Debug)]
pub(crate) struct Cyrus {
    pub(crate) version: String,
    unpacked: Unpacked,
    library_path: String,
    sasl_path: String,
}

/// What distinguishes one instance from another.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    separator: char,
    /// Prefix of the personal namespace.
    prefix: &'static str,
    /// More lines of `imapd.conf`.
    settings: &'static str,
}

/// The instances that tests find by their names.
pub(crate) const INSTANCES: [Spec; 2] = [
    // As it comes: what is above 127 in a header becomes `X`.
    Spec {
        name: "cyrus",
        separator: '/',
        prefix: "",
        settings: "unixhierarchysep: yes\naltnamespace: yes\nmunge8bit: yes\n",
    },
    // As it came before version 3, and strict about headers.
    Spec {
        name: "cyrus-dots",
        separator: '.',
        prefix: "INBOX.",
        settings: "unixhierarchysep: no\naltnamespace: no\nreject8bit: yes\n",
    },
];

/// Who may look into all mailboxes; any password does.
const ADMIN: &str = "cyrus";

const BIN: &str = "/usr/lib/cyrus/bin";

impl Cyrus {
    /// Unpacks Debian's Cyrus.
    pub(crate) fn obtain(dir: &Path) -> Result<Self> {
        let packages = ["cyrus-imapd", "cyrus-common", "libsasl2-modules"];
        let unpacked = debian::unpack(dir, "cyrus", &packages)?;
        let libraries = unpacked.library_dirs()?;
        let sasl: Vec<_> = libraries.iter().map(|dir| dir.join("sasl2")).collect();
        let this = Self {
            version: unpacked.version("cyrus-imapd")?,
            library_path: debian::join(&libraries)?,
            sasl_path: debian::join(&sasl)?,
            unpacked,
        };
        // It starts only if all libraries are there.
        process::capture(this.command("cyr_buildinfo").arg("dense"))
            .map_err(|error| format!("Cyrus was unpacked but does not run here: {error}"))?;
        Ok(this)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.unpacked.path(BIN).join(program));
        command
            .env("LD_LIBRARY_PATH", &self.library_path)
            .env("SASL_PATH", &self.sasl_path);
        command
    }

    /// Starts an instance.
    pub(crate) fn start(&self, spec: &Spec, place: &Place<'_>) -> Result<()> {
        let dir = &place.dir;
        place.account.create_dir(dir)?;
        // It has the disk confirm each message and each change of a mailbox.
        if let Some(memory) = place::in_memory(dir) {
            for name in ["config", "spool"] {
                place.account.create_dir(&memory.join(name))?;
                std::os::unix::fs::symlink(memory.join(name), dir.join(name))?;
            }
        }
        for name in ["config", "config/socket", "spool"] {
            place.account.create_dir(&dir.join(name))?;
        }
        let (conf, services) = (dir.join("imapd.conf"), dir.join("cyrus.conf"));
        std::fs::write(&conf, configuration(spec, place))?;
        std::fs::write(&services, self.services(place, &conf))?;
        let mut command = self.command("master");
        command.arg("-D").arg("-C").arg(&conf);
        command.arg("-M").arg(&services);
        command.arg("-p").arg(dir.join("config/master.pid"));
        // Without a system log, it says here what it has to say.
        command.env("CYRUS_VERBOSE", "1").current_dir(dir);
        let mut child = place.spawn(&mut command, &services.to_string_lossy())?;
        place.wait_for_greeting(&mut child)
    }

    /// `cyrus.conf`: what the master starts.
    fn services(&self, place: &Place<'_>, conf: &Path) -> String {
        let bin = self.unpacked.path(BIN);
        let (bin, conf) = (bin.display(), conf.display());
        let imapd = format!("{bin}/imapd -C {conf} -U 1000");
        format!(
            "\
START {{
  recover cmd=\"{bin}/ctl_cyrusdb -C {conf} -r\"
}}
SERVICES {{
  imap cmd=\"{imapd}\" listen=\"127.0.0.1:{imap}\" prefork=2 maxchild=200
  imaps cmd=\"{imapd} -s\" listen=\"127.0.0.1:{imaps}\" prefork=2 maxchild=200
}}
EVENTS {{
}}
",
            imap = place.ports.imap,
            imaps = place.ports.imaps,
        )
    }

    /// What tests are told of an instance.
    pub(crate) fn describe(&self, spec: &Spec, place: &Place<'_>) -> Value {
        json!({
            "name": spec.name,
            "kind": "cyrus",
            "separator": spec.separator.to_string(),
            "prefix": spec.prefix,
            "admin": ADMIN,
            "version": self.version,
            "log": place.log(),
        })
    }
}

/// `imapd.conf`.
fn configuration(spec: &Spec, place: &Place<'_>) -> String {
    let dir = place.dir.display();
    format!(
        "\
configdirectory: {dir}/config
defaultpartition: default
partition-default: {dir}/spool
cyrus_user: {user}
cyrus_group: {group}
admins: {ADMIN}
{settings}
# Any password does.
sasl_pwcheck_method: alwaystrue
sasl_mech_list: PLAIN LOGIN
allowplaintext: yes
failedloginpause: 0

# Every user has a mailbox from the first login on.
createonpost: yes
autocreate_quota: 0
autocreate_inbox_folders: Drafts|Sent|Trash|Junk
xlist-drafts: Drafts
xlist-sent: Sent
xlist-trash: Trash
xlist-junk: Junk

tls_server_cert: {cert}
tls_server_key: {key}
tls_session_timeout: 0
",
        user = place.account.user,
        group = place.account.group,
        settings = spec.settings,
        cert = place.certificate.cert.display(),
        key = place.certificate.key.display(),
    )
}
