//! A Dovecot that runs from where it was unpacked, with the rights of any user.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::debian::{self, Unpacked};
use super::place::Account;
use super::tls::Pair;
use crate::{Result, process};

/// Dovecot's programs.
#[derive(Debug)]
pub(crate) struct Dovecot {
    pub(crate) version: String,
    master: PathBuf,
    doveconf: PathBuf,
    doveadm: PathBuf,
    /// Where the package was unpacked; absent for one that is installed.
    unpacked: Option<Unpacked>,
    library_path: Option<String>,
}

impl Dovecot {
    /// Unpacks Debian's Dovecot; where that fails, takes an installed one.
    pub(crate) fn obtain(dir: &Path) -> Result<Self> {
        let packages = ["dovecot-core", "dovecot-imapd"];
        let found = match debian::unpack(dir, "dovecot", &packages) {
            Ok(unpacked) => Self::unpacked(unpacked)?,
            Err(error) => Self::installed().ok_or(error)?,
        };
        if found.version.starts_with("2.3.") {
            return Ok(found);
        }
        Err(format!(
            "Dovecot {} has another configuration syntax than 2.3, the only one known here; \
             Debian 12 has 2.3",
            found.version
        )
        .into())
    }

    fn unpacked(unpacked: Unpacked) -> Result<Self> {
        let libexec = unpacked.path(LIBEXEC);
        let mut dirs = vec![libexec.clone(), libexec.join("modules/old-stats")];
        dirs.extend(unpacked.library_dirs()?);
        find_modules_in_cwd(&libexec.join("libdovecot.so.0"), "")?;
        find_modules_in_cwd(&unpacked.path("/usr/bin/doveadm"), "/doveadm")?;
        let mut this = Self {
            version: String::new(),
            master: unpacked.path("/usr/sbin/dovecot"),
            doveconf: unpacked.path("/usr/bin/doveconf"),
            doveadm: unpacked.path("/usr/bin/doveadm"),
            library_path: Some(debian::join(&dirs)?),
            unpacked: Some(unpacked),
        };
        this.version = this.ask_version()?;
        Ok(this)
    }

    fn installed() -> Option<Self> {
        let mut this = Self {
            version: String::new(),
            master: process::find("dovecot")?,
            doveconf: process::find("doveconf")?,
            doveadm: process::find("doveadm")?,
            unpacked: None,
            library_path: None,
        };
        this.version = this.ask_version().ok()?;
        Some(this)
    }

    fn ask_version(&self) -> Result<String> {
        let said = process::capture(self.command(&self.master).arg("--version"))?;
        said.split_whitespace()
            .next()
            .map(str::to_owned)
            .ok_or_else(|| "`dovecot --version` says nothing".into())
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some(path) = &self.library_path {
            command.env("LD_LIBRARY_PATH", path);
        }
        command
    }

    /// The command that runs an instance in the foreground.
    ///
    /// The master would look for doveconf at its installed path; doveconf started first hands it
    /// the settings instead.
    pub(crate) fn serve(&self, instance: &Instance<'_>) -> Command {
        let conf = instance.conf();
        let mut command = self.command(&self.doveconf);
        command
            .arg("-c")
            .arg(&conf)
            .args(["-f", "service=master", "-m", "master", "-e"]);
        command.arg(&self.master).arg("-F").arg("-c").arg(&conf);
        command.current_dir(instance.base());
        command
    }

    /// Writes configuration, directories and the script `doveadm` of an instance.
    pub(crate) fn prepare(&self, instance: &Instance<'_>) -> Result<()> {
        for dir in [
            instance.dir.clone(),
            instance.base(),
            instance.dir.join("state"),
        ] {
            instance.account.create_dir(&dir)?;
        }
        instance.account.create_dir(&instance.mail())?;
        if let Some(unpacked) = &self.unpacked {
            let modules = unpacked.path(LIBEXEC).join("modules");
            std::os::unix::fs::symlink(modules, instance.base().join(MODULES_LINK))?;
        }
        std::fs::write(instance.conf(), self.configuration(instance))?;
        // The running instance's own socket gives doveadm its settings, for the same reason as in
        // `serve`; the directory is where TLS finds its module.
        let script = format!(
            "#!/bin/sh\ncd '{base}' || exit 1\n{library_path}exec '{doveadm}' -c '{base}/config' \
             \"$@\"\n",
            base = instance.base().display(),
            library_path = match &self.library_path {
                Some(path) => format!("export LD_LIBRARY_PATH='{path}'\n"),
                None => String::new(),
            },
            doveadm = self.doveadm.display(),
        );
        debian::write_script(&instance.doveadm(), &script)
    }

    fn configuration(&self, instance: &Instance<'_>) -> String {
        let paths = match &self.unpacked {
            Some(unpacked) => format!(
                "libexec_dir = {libexec}\nmail_plugin_dir = {libexec}/modules\n",
                libexec = unpacked.path(LIBEXEC).display()
            ),
            None => String::new(),
        };
        let Account {
            user,
            group,
            uid,
            gid,
            ..
        } = instance.account;
        let Ports { imap, imaps } = instance.ports;
        let capability = match instance.spec.capability {
            Some(words) => format!("imap_capability = {words}\n"),
            None => String::new(),
        };
        let prefix = instance.spec.prefix;
        let separator = instance.spec.separator;
        let dir = instance.dir.display();
        let mail = instance.mail();
        let mail = mail.display();
        let format = instance.spec.format;
        let quota = instance.quota;
        let cert = instance.certificate.cert.display();
        let key = instance.certificate.key.display();
        let special: String = ["Drafts", "Sent", "Trash", "Junk"]
            .iter()
            .map(|name| {
                format!(
                    "  mailbox {name} {{\n    special_use = \\{name}\n    auto = create\n  }}\n"
                )
            })
            .collect();
        format!(
            "\
{paths}base_dir = {dir}/base
state_dir = {dir}/state
log_path = {dir}/log
import_environment = LD_LIBRARY_PATH
protocols = imap
listen = 127.0.0.1

ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_master_user_separator = *
# Wrong passwords are part of the tests; they need not wait.
auth_failure_delay = 0

# Everything runs as the user who started it.
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1

passdb {{
  driver = static
  master = yes
  args = password={MASTER_PASSWORD}
}}
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={mail}/%u
}}

mail_location = {format}:%h/{format}
mail_plugins = quota acl zlib
mail_max_userip_connections = 50
# Tests kill processes, not machines.
mail_fsync = never
plugin {{
  acl = vfile
  # Who logs in as another user has that user's rights.
  acl_user = %u
  quota = count:User quota
  quota_vsizes = yes
  quota_grace = 0
  quota_rule = *:storage=%{{if;%u;*;quota*;{quota};0}}
}}
namespace inbox {{
  inbox = yes
  prefix = {prefix}
  separator = {separator}
{special}  mailbox Archive {{
    special_use = \\Archive
  }}
}}
protocol imap {{
  mail_plugins = quota acl zlib imap_quota imap_acl imap_zlib
  {capability}
}}

service anvil {{
  chroot =
  # Without this socket failed logins do not slow down the next ones from the same address.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  chroot =
  service_count = 0
  process_min_avail = 1
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service imap {{
  process_min_avail = 1
}}
"
        )
    }
}

/// The password of every user.
pub(crate) const PASSWORD: &str = "pw";

/// The password with which any user may log in as any other.
pub(crate) const MASTER_PASSWORD: &str = "masterpw";

const LIBEXEC: &str = "/usr/lib/dovecot";

/// Name of the link in an instance's base directory, which is where all its processes run.
const MODULES_LINK: &str = "modules";

/// Makes an unpacked program load its modules from `modules` in the current directory.
///
/// libdovecot's directory of TLS modules and doveadm's of commands are the only ones that no
/// setting can change. The path in the file is overwritten by a shorter one; this needs no
/// namespace, no root and no link in the system.
fn find_modules_in_cwd(file: &Path, below: &str) -> Result<()> {
    let compiled_in = format!("{LIBEXEC}/modules{below}\0");
    let wanted = format!("/proc/self/cwd/{MODULES_LINK}{below}\0");
    let file = file.canonicalize()?;
    let mut bytes = std::fs::read(&file)?;
    let Some(at) = find(&bytes, compiled_in.as_bytes()) else {
        if find(&bytes, wanted.as_bytes()).is_some() {
            return Ok(());
        }
        return Err(format!("{} has no module path to change", file.display()).into());
    };
    for (place, byte) in bytes.iter_mut().skip(at).zip(wanted.bytes()) {
        *place = byte;
    }
    let new = file.with_extension("new");
    std::fs::write(&new, bytes)?;
    std::fs::set_permissions(&new, file.metadata()?.permissions())?;
    std::fs::rename(new, file)?;
    Ok(())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// The ports of an instance on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    /// Plain and STARTTLS.
    pub(crate) imap: u16,
    /// TLS from the first byte.
    pub(crate) imaps: u16,
}

/// What distinguishes one instance from another.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    /// Dovecot's name of the mail format.
    pub(crate) format: &'static str,
    pub(crate) separator: char,
    /// Prefix of the only namespace.
    pub(crate) prefix: &'static str,
    /// What is advertised, if not everything.
    pub(crate) capability: Option<&'static str>,
}

/// One instance and its settings.
#[derive(Debug)]
pub(crate) struct Instance<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) dir: PathBuf,
    pub(crate) account: &'a Account,
    pub(crate) ports: Ports,
    pub(crate) certificate: &'a Pair,
    pub(crate) quota: &'a str,
}

impl Instance<'_> {
    pub(crate) fn conf(&self) -> PathBuf {
        self.dir.join("dovecot.conf")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub(crate) fn doveadm(&self) -> PathBuf {
        self.dir.join("doveadm")
    }

    fn base(&self) -> PathBuf {
        self.dir.join("base")
    }

    fn mail(&self) -> PathBuf {
        self.dir.join("mail")
    }
}
