//! A Courier that runs from where it was unpacked, with the rights of any user.
//!
//! Its authentication daemon listens, and finds its modules, at compiled-in paths. Only one of them
//! is in the way, that of the socket in the library that asks: it gets one of the same length below
//! the directory that all processes of an instance are started in. Behind the socket answers a
//! daemon of ours ([`authenticate`]), which knows every user name.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::daemon::Place;
use super::debian::{self, Unpacked};
use super::dovecot::PASSWORD;
use super::place::Account;
use crate::Result;

/// Courier's programs.
#[derive(Debug)]
pub(crate) struct Courier {
    pub(crate) version: String,
    unpacked: Unpacked,
    library_path: String,
    /// Whether it can do STARTTLS here.
    starttls: bool,
}

pub(crate) const NAME: &str = "courier";

const PACKAGE: &str = "courier-imap";

const LIBRARY: &str = "/usr/lib/libcourierauth.so.0.0.0";

const LOGIN: &str = "/usr/lib/courier/courier/imaplogin";

/// The beginning of `/run/courier/authdaemon/socket` as compilers store it, in 16 bytes, and one
/// of the same length: it becomes `/proc/self/cwd/thdaemon/socket`.
const COMPILED_IN: (&[u8; 16], &[u8; 16]) = (b"/run/courier/aut", b"/proc/self/cwd/t");

/// The socket below the directory that the processes are started in.
const SOCKET: &str = "thdaemon/socket";

/// What Debian's `/etc/courier/imapd` sets, as far as it is not about where things are.
const SETTINGS: [(&str, &str); 14] = [
    (
        "IMAP_CAPABILITY",
        "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA IDLE",
    ),
    (
        "IMAP_CAPABILITY_TLS",
        "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA IDLE AUTH=PLAIN",
    ),
    ("IMAP_KEYWORDS", "1"),
    ("IMAP_ACL", "1"),
    ("IMAP_IDLE_TIMEOUT", "60"),
    ("IMAP_MAILBOX_SANITY_CHECK", "1"),
    ("IMAP_DISABLETHREADSORT", "0"),
    ("IMAP_CHECK_ALL_FOLDERS", "0"),
    ("IMAP_OBSOLETE_CLIENT", "0"),
    ("IMAP_UMASK", "022"),
    ("IMAP_USELOCKS", "1"),
    ("IMAP_ENHANCEDIDLE", "0"),
    ("IMAP_TRASHFOLDERNAME", "Trash"),
    ("IMAP_MOVE_EXPUNGE_TO_TRASH", "0"),
];

impl Courier {
    /// Unpacks Debian's Courier.
    pub(crate) fn obtain(dir: &Path) -> Result<Self> {
        let packages = [PACKAGE, "courier-base", "courier-authlib"];
        let unpacked = debian::unpack(dir, NAME, &packages)?;
        look_in_cwd(&unpacked.path(LIBRARY))?;
        let user = Account::of_servers()?.user;
        let starttls = stay_user(&unpacked.path(LOGIN), &user)?;
        let mut libraries = unpacked.library_dirs()?;
        libraries.push(unpacked.path("/usr/lib"));
        Ok(Self {
            version: unpacked.version(PACKAGE)?,
            library_path: debian::join(&libraries)?,
            unpacked,
            starttls,
        })
    }

    /// Starts the instance.
    pub(crate) fn start(&self, place: &Place<'_>) -> Result<()> {
        let base = base(&place.dir);
        for dir in [&place.dir, &base, &base.join("thdaemon"), &mail(&place.dir)] {
            place.account.create_dir(dir)?;
        }
        let mut daemon = Command::new("/proc/self/exe");
        daemon.args(["servers", "courier-auth"]).arg(&place.dir);
        place.spawn(daemon.arg(place.quota), &place.dir.to_string_lossy())?;
        self.start_file_monitor(place)?;
        let (plain, tls) = (place.ports.imap, place.ports.imaps);
        let mut secure = self.listener(place, tls);
        secure.env("IMAP_TLS", "1");
        secure.arg(self.tls());
        secure.args(["-server", "-tcpd"]);
        place.spawn(self.serve(&mut secure), &errors(place))?;
        let mut open = self.listener(place, plain);
        let mut child = place.spawn(self.serve(&mut open), &errors(place))?;
        place.wait_for_greeting(&mut child)
    }

    /// Without it each lock costs a second; where Courier does without, it is not there.
    fn start_file_monitor(&self, place: &Place<'_>) -> Result<()> {
        let program = self.unpacked.path(FILE_MONITOR);
        if program.exists() {
            let session = session(place);
            let mut command = Command::new(program);
            command.env("LD_LIBRARY_PATH", &self.library_path);
            command.args(["--notimeout", &session]);
            place.spawn(&mut command, &session)?;
        }
        Ok(())
    }

    /// The program that accepts connections and starts another for each.
    fn listener(&self, place: &Place<'_>, port: u16) -> Command {
        let mut command = Command::new(self.unpacked.path("/usr/sbin/couriertcpd"));
        command
            .env_clear()
            .env("LD_LIBRARY_PATH", &self.library_path)
            .env("GAMIN_DEBUG_SERVER", self.unpacked.path(FILE_MONITOR))
            .env("GAM_CLIENT_ID", session(place))
            .env("PROTOCOL", "imap")
            .env("IMAP_STARTTLS", "YES")
            .env("COURIERTLS", self.tls())
            .env("TLS_CERTFILE", &place.certificate.cert)
            .env("TLS_PRIVATE_KEYFILE", &place.certificate.key)
            .env("TLS_VERIFYPEER", "NONE")
            .envs(SETTINGS)
            .current_dir(base(&place.dir))
            .args(["-address=127.0.0.1", "-maxprocs=200", "-maxperip=200"])
            .args(["-nodnslookup", "-noidentlookup"])
            .arg(errors(place))
            .arg(port.to_string());
        command
    }

    fn tls(&self) -> PathBuf {
        self.unpacked.path("/usr/bin/couriertls")
    }

    fn serve<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .arg(self.unpacked.path(LOGIN))
            .arg(self.unpacked.path("/usr/bin/imapd"))
            .arg("Maildir")
    }

    /// What tests are told of the instance.
    pub(crate) fn describe(&self, place: &Place<'_>) -> Value {
        json!({
            "name": NAME,
            "kind": "courier",
            "separator": ".",
            "prefix": "INBOX.",
            "quota": place.quota,
            "starttls": self.starttls,
            "mail": mail(&place.dir),
            "version": self.version,
            "log": place.log(),
        })
    }
}

const FILE_MONITOR: &str = "/usr/libexec/gam_server";

/// Keeps the file monitors of several instances apart.
fn session(place: &Place<'_>) -> String {
    format!("mailmove-{}", place.ports.imap)
}

/// The argument that says where errors go.
fn errors(place: &Place<'_>) -> String {
    format!("-stderr={}", place.log().display())
}

fn base(dir: &Path) -> PathBuf {
    dir.join("base")
}

fn mail(dir: &Path) -> PathBuf {
    dir.join("mail")
}

/// Overwrites the compiled-in path; done once, it changes nothing more.
fn look_in_cwd(library: &Path) -> Result<()> {
    let bytes = std::fs::read(library)?;
    let (from, to) = COMPILED_IN;
    let place = |wanted: &[u8]| {
        bytes
            .windows(wanted.len())
            .position(|found| found == wanted)
    };
    let Some(at) = place(from) else {
        return match place(to) {
            Some(_) => Ok(()),
            None => Err("this version of Courier asks its authentication daemon elsewhere".into()),
        };
    };
    replace(library, bytes, at, to)
}

/// For STARTTLS it wants to become a user of the installed package: lets it become who it is.
/// False where that user's name is longer than the one of the package.
fn stay_user(program: &Path, user: &str) -> Result<bool> {
    const BEFORE: &[u8] = b"-server\0";
    let room = b"courier\0".len();
    let bytes = std::fs::read(program)?;
    let name = format!("{user:\0<room$}");
    let at = bytes
        .windows(BEFORE.len())
        .position(|found| found == BEFORE);
    let Some(at) = at.map(|at| at + BEFORE.len()).filter(|_| user.len() < room) else {
        return Ok(false);
    };
    if bytes.get(at..at + room) != Some(name.as_bytes()) {
        replace(program, bytes, at, name.as_bytes())?;
    }
    Ok(true)
}

fn replace(file: &Path, mut bytes: Vec<u8>, at: usize, with: &[u8]) -> Result<()> {
    if let Some(found) = bytes.get_mut(at..at + with.len()) {
        found.copy_from_slice(with);
    }
    let new = file.with_extension("new");
    std::fs::write(&new, bytes)?;
    std::fs::set_permissions(&new, file.metadata()?.permissions())?;
    std::fs::rename(new, file)?;
    Ok(())
}

/// Answers Courier's questions about users: every name exists, has one password and a maildir.
pub(crate) fn authenticate(dir: &Path, quota: &str) -> Result<()> {
    let listener = UnixListener::bind(base(dir).join(SOCKET))?;
    for stream in listener.incoming() {
        let (dir, quota) = (dir.to_path_buf(), quota.to_owned());
        // Who hangs up while it asks learns nothing.
        std::thread::spawn(move || {
            if let Err(error) = stream
                .map_err(Into::into)
                .and_then(|one| answer(one, &dir, &quota))
            {
                eprintln!("courier-auth: {error}");
            }
        });
    }
    Ok(())
}

fn answer(mut stream: UnixStream, dir: &Path, quota: &str) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    // Lines such as `TCPREMOTEIP=…` come before the question.
    while reader.read_line(&mut line)? > 0 && line.contains('=') {
        line.clear();
    }
    let size = line.trim_end().strip_prefix("AUTH ");
    let size: u64 = size.and_then(|size| size.parse().ok()).unwrap_or(0);
    let mut question = String::new();
    reader.take(size).read_to_string(&mut question)?;
    let known = match *question.split('\n').collect::<Vec<_>>() {
        ["imap", "login", user, PASSWORD, ..] if !user.contains('/') => Some(user),
        _ => None,
    };
    let Some(user) = known else {
        return Ok(stream.write_all(b"FAIL\n")?);
    };
    let home = mail(dir).join(user);
    let maildir = home.join("Maildir");
    for name in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(maildir.join(name))?;
    }
    let limit = maildir.join("maildirsize");
    if user.starts_with("quota") && !limit.exists() {
        std::fs::write(limit, format!("{}S\n0 0\n", bytes(quota)))?;
    }
    use std::os::unix::fs::MetadataExt as _;
    let owner = std::fs::metadata("/proc/self")?;
    let told = format!(
        "UID={}\nGID={}\nHOME={home}\nADDRESS={user}\nNAME={user}\n.\n",
        owner.uid(),
        owner.gid(),
        home = home.display(),
    );
    Ok(stream.write_all(told.as_bytes())?)
}

/// `1M` as bytes.
fn bytes(size: &str) -> u64 {
    let digits = size.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match size.as_bytes().last() {
        Some(b'k' | b'K') => 1 << 10,
        Some(b'm' | b'M') => 1 << 20,
        Some(b'g' | b'G') => 1 << 30,
        _ => 1,
    };
    digits.parse::<u64>().unwrap_or(0) * unit
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_read() {
        assert_eq!(
            [bytes("1M"), bytes("100k"), bytes("77")],
            [1 << 20, 102_400, 77]
        );
    }
}
