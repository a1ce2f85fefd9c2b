//! A Dovecot that runs from where it was unpacked, with the rights of any user.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::config::{Syntax, configuration};
use super::daemon::Place;
use super::debian::{self, Unpacked};
use crate::{Result, process};

/// Dovecot's programs.
#[derive(Debug)]
pub(crate) struct Dovecot {
    pub(crate) version: String,
    master: PathBuf,
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
        if found.syntax().is_some() {
            return Ok(found);
        }
        Err(format!(
            "the configuration syntax of Dovecot {} is not known here; that of 2.3 and 2.4 is",
            found.version
        )
        .into())
    }

    /// Whether its configuration is written in the syntax of 2.3.
    pub(crate) fn is_v23(&self) -> bool {
        matches!(self.syntax(), Some(Syntax::V23))
    }

    fn syntax(&self) -> Option<Syntax> {
        match self.version.get(..4)? {
            "2.3." => Some(Syntax::V23),
            "2.4." => Some(Syntax::V24),
            _ => None,
        }
    }

    fn unpacked(unpacked: Unpacked) -> Result<Self> {
        let libexec = unpacked.path(LIBEXEC);
        let mut dirs = vec![libexec.clone(), libexec.join("modules/old-stats")];
        dirs.extend(unpacked.library_dirs()?);
        look_in_cwd(&unpacked)?;
        let mut this = Self {
            version: String::new(),
            master: unpacked.path("/usr/sbin/dovecot"),
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

    /// Starts an instance.
    pub(crate) fn start(&self, spec: &Spec, place: &Place<'_>) -> Result<()> {
        let instance = Instance { spec, place };
        self.prepare(&instance)?;
        let mut child = place.spawn(
            &mut self.serve(&instance),
            &instance.conf().to_string_lossy(),
        )?;
        place.wait_for_greeting(&mut child)
    }

    /// What tests are told of an instance.
    pub(crate) fn describe(&self, spec: &Spec, place: &Place<'_>) -> Value {
        json!({
            "name": spec.name,
            "kind": "dovecot",
            "format": spec.format,
            "separator": spec.separator.to_string(),
            "prefix": spec.prefix,
            "master_password": MASTER_PASSWORD,
            "quota": place.quota,
            "doveadm": [Instance { spec, place }.doveadm()],
            "env": {},
            "log": place.log(),
            "version": self.version,
        })
    }

    /// The command that runs an instance in the foreground.
    fn serve(&self, instance: &Instance<'_>) -> Command {
        let mut command = self.command(&self.master);
        command
            .arg("-F")
            .arg("-c")
            .arg(instance.conf())
            .current_dir(instance.base());
        command
    }

    /// Writes configuration, directories and the script `doveadm` of an instance.
    fn prepare(&self, instance: &Instance<'_>) -> Result<()> {
        for dir in [
            instance.place.dir.clone(),
            instance.base(),
            instance.place.dir.join("state"),
        ] {
            instance.place.account.create_dir(&dir)?;
        }
        instance.place.account.create_dir(&instance.mail())?;
        if instance.spec.shared {
            let public = instance.mail().join("public");
            instance.place.account.create_dir(&public)?;
            let rights = "user=publisher lrwstipekxa\n";
            std::fs::write(public.join("dovecot-acl"), rights)?;
        }
        if let Some(unpacked) = &self.unpacked {
            let link = |to: PathBuf, name: &str| {
                std::os::unix::fs::symlink(to, instance.base().join(name))
            };
            link(unpacked.path(LIBEXEC).join("modules"), "modules")?;
            link(unpacked.path("/usr/bin/doveconf"), "dc")?;
        }
        let syntax = self.syntax().ok_or("unknown version")?;
        let libexec = self
            .unpacked
            .as_ref()
            .map(|unpacked| unpacked.path(LIBEXEC));
        let text = configuration(syntax, libexec.as_deref(), instance);
        std::fs::write(instance.conf(), text)?;
        let script = format!(
            "#!/bin/sh\ncd '{base}' || exit 1\n{library_path}exec '{doveadm}' -c '{conf}' \"$@\"\n",
            base = instance.base().display(),
            conf = instance.conf().display(),
            library_path = match &self.library_path {
                Some(path) => format!("export LD_LIBRARY_PATH='{path}'\n"),
                None => String::new(),
            },
            doveadm = self.doveadm.display(),
        );
        debian::write_script(&instance.doveadm(), &script)
    }
}

/// The password of every user.
pub(crate) const PASSWORD: &str = "pw";

/// The password with which any user may log in as any other.
pub(crate) const MASTER_PASSWORD: &str = "masterpw";

const LIBEXEC: &str = "/usr/lib/dovecot";

/// Paths that no setting can change, each with one of the same length below the directory that
/// all processes of an instance run in: that of TLS and other modules, and of the program that
/// reads the configuration.
const COMPILED_IN: [(&str, &str); 2] = [
    ("/usr/lib/dovecot/modules", "/proc/self/cwd///modules"),
    ("/usr/bin/doveconf\0", "/proc/self/cwd/dc\0"),
];

/// Overwrites the compiled-in paths in the unpacked programs; done once, it changes nothing more.
/// This needs no namespace, no root and no link in the system.
fn look_in_cwd(unpacked: &Unpacked) -> Result<()> {
    for dir in ["/usr/bin", "/usr/sbin", LIBEXEC] {
        for entry in std::fs::read_dir(unpacked.path(dir))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                replace_paths(&entry.path())?;
            }
        }
    }
    Ok(())
}

fn replace_paths(file: &Path) -> Result<()> {
    let mut bytes = std::fs::read(file)?;
    let mut changed = false;
    for (from, to) in COMPILED_IN {
        while let Some(found) = find(&mut bytes, from.as_bytes()) {
            found.copy_from_slice(to.as_bytes());
            changed = true;
        }
    }
    if changed {
        let new = file.with_extension("new");
        std::fs::write(&new, bytes)?;
        std::fs::set_permissions(&new, file.metadata()?.permissions())?;
        std::fs::rename(new, file)?;
    }
    Ok(())
}

fn find<'a>(bytes: &'a mut [u8], wanted: &[u8]) -> Option<&'a mut [u8]> {
    let at = bytes
        .windows(wanted.len())
        .position(|window| window == wanted)?;
    bytes.get_mut(at..at + wanted.len())
}

/// Why there may be no instance with shared folders.
pub(crate) const NO_SHARED: &str =
    "shared folders are written down here in the syntax of Dovecot 2.3 alone";

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
    /// How many connections a user may have.
    pub(crate) connections: u32,
    /// Public folders below `Public/`, other users' below `shared/`, annotations of folders; with the
    /// syntax of 2.3 alone.
    pub(crate) shared: bool,
}

/// One instance and its settings.
#[derive(Debug)]
pub(crate) struct Instance<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) place: &'a Place<'a>,
}

impl Instance<'_> {
    pub(crate) fn conf(&self) -> PathBuf {
        self.place.dir.join("dovecot.conf")
    }

    pub(crate) fn doveadm(&self) -> PathBuf {
        self.place.dir.join("doveadm")
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.place.dir.join("base")
    }

    pub(crate) fn mail(&self) -> PathBuf {
        self.place.dir.join("mail")
    }
}

#[cfg(test)]
mod tests {
    use super::{COMPILED_IN, find};

    #[test]
    fn paths_are_replaced_by_ones_of_the_same_length() {
        for (from, to) in COMPILED_IN {
            assert_eq!(from.len(), to.len());
            let mut bytes = [b"x\0", from.as_bytes(), b"/more\0"].concat();
            let found = find(&mut bytes, from.as_bytes()).unwrap();
            found.copy_from_slice(to.as_bytes());
            assert_eq!(bytes, [b"x\0", to.as_bytes(), b"/more\0"].concat());
        }
    }
}
