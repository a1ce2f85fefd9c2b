//! Servers, mailboxes with fresh names, and runs of the program.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use bytes::Bytes;
use mailmove_core::model::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Client, decode, quoted};

/// A message to put into a mailbox.
pub(crate) struct Mail {
    /// With `/` between levels.
    pub(crate) folder: String,
    pub(crate) flags: Vec<String>,
    pub(crate) received: Timestamp,
    pub(crate) body: Bytes,
}

/// A number from the environment.
pub(crate) fn number(variable: &str, otherwise: usize) -> usize {
    let set = std::env::var(variable).ok();
    set.map_or(otherwise, |text| text.parse().unwrap())
}

/// One of the running servers.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) name: String,
    port: u16,
    tls_port: u16,
    ca: String,
    password: String,
    prefix: String,
    pub(crate) separator: String,
}

impl Server {
    /// The server of that name; `None`, said aloud, if it is not there.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let found = Self::read(name);
        let server = match name {
            "cyrus" | "cyrus-dots" => "cyrus",
            "courier" => "courier",
            _ => "dovecot",
        };
        if let Err(why) = &found {
            let required = std::env::var("MAILMOVE_REQUIRE").unwrap_or_default();
            let required = required.split(',').any(|one| one == server);
            // An instance that this version of a server cannot be is none that is missing.
            let excused = name == "shared" && why.contains("syntax of Dovecot");
            assert!(!required || excused, "{server} is required, but: {why}");
            eprintln!("SKIPPED: {why}");
        }
        found.ok()
    }

    fn read(name: &str) -> Result<Self, String> {
        let path = std::env::var_os("MAILMOVE_TEST_DOVECOT").map(PathBuf::from);
        let path = path.ok_or("MAILMOVE_TEST_DOVECOT is not set; see `cargo xtask servers`")?;
        let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut instances = all["instances"].as_array().unwrap().iter();
        let one = instances.find(|one| one["name"] == name);
        let one = one.ok_or_else(|| format!("there is no {name}: {}", all["absent"]))?;
        let port = |name: &str| u16::try_from(one[name].as_u64().unwrap()).unwrap();
        let text = |name: &str| one[name].as_str().unwrap().to_owned();
        Ok(Self {
            name: name.to_owned(),
            port: port("imap_port"),
            tls_port: port("imaps_port"),
            ca: text("ca_pem"),
            password: text("password"),
            prefix: text("prefix"),
            separator: text("separator"),
        })
    }

    pub(crate) fn client(&self, user: &str) -> Client {
        Client::open(self.port, user, &self.password).unwrap()
    }

    /// `Work/2019` as the server names it.
    pub(crate) fn wire(&self, folder: &str) -> String {
        match folder {
            "INBOX" => quoted("INBOX"),
            _ => quoted(&format!(
                "{}{}",
                self.prefix,
                folder.replace('/', &self.separator)
            )),
        }
    }

    fn folder(&self, listed: &str) -> String {
        let own = listed.strip_prefix(self.prefix.as_str()).unwrap_or(listed);
        decode(own).unwrap().replace(&self.separator, "/")
    }

    /// Puts mail in, as far as the server takes it; how much that is.
    pub(crate) fn fill(&self, user: &str, mails: &[Mail]) -> usize {
        let mut client = self.client(user);
        let mut made = vec!["INBOX"];
        let mut taken = 0;
        for mail in mails {
            let mut path = String::new();
            for level in mail.folder.split('/') {
                path = [path.as_str(), level].concat();
                if !made.iter().any(|one| *one == path) {
                    let _ = client.command(&format!("CREATE {}", self.wire(&path)));
                }
                path.push('/');
            }
            made.push(&mail.folder);
            let name = self.wire(&mail.folder);
            let stored = client.append(&name, &mail.flags, mail.received, &mail.body);
            // Some refuse the keywords, some the date: then without.
            let stored = stored.or_else(|_| client.append(&name, &[], noon(), &mail.body));
            taken += usize::from(stored.is_ok());
        }
        taken
    }

    /// All that is there: folder → messages in their order.
    pub(crate) fn dump(&self, user: &str) -> Mailbox {
        self.dump_some(user, false)
    }

    /// The same without what this user may not read.
    pub(crate) fn dump_readable(&self, user: &str) -> Mailbox {
        self.dump_some(user, true)
    }

    fn dump_some(&self, user: &str, skips: bool) -> Mailbox {
        let mut client = self.client(user);
        let mut out = Mailbox::new();
        for listed in client.list().unwrap() {
            if listed.attributes.to_lowercase().contains("\\no") {
                continue;
            }
            let name = listed.name.replace('\\', "\\\\").replace('"', "\\\"");
            let opened = client.ok(&format!("EXAMINE \"{name}\""));
            if skips && opened.is_err() {
                continue;
            }
            opened.unwrap();
            let mut fetched = client.fetch_all().unwrap();
            // Where BINARY is offered, NUL arrives as it is, though BODY[] shows 0x80 for it.
            if ["a", "b", "d"].contains(&self.name.as_str()) {
                for one in fetched.iter_mut().filter(|one| one.body.contains(&0x80)) {
                    client.unmask(one).unwrap();
                }
            }
            let messages = fetched.into_iter().map(|message| {
                let mut flags: Vec<String> = message
                    .flags
                    .split_ascii_whitespace()
                    .map(str::to_ascii_lowercase)
                    .collect();
                flags.sort();
                Message {
                    uid: message.uid,
                    body: message.body.into(),
                    flags: flags.join(" "),
                    received: message.received,
                }
            });
            out.insert(self.folder(&listed.name), messages.collect());
        }
        out
    }

    fn url(&self, user: &str) -> String {
        format!("imaps://{user}@localhost:{}", self.tls_port)
    }
}

fn noon() -> Timestamp {
    Timestamp::new(1_577_880_000, 0)
}

/// A message as a server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) uid: u32,
    pub(crate) body: Bytes,
    pub(crate) flags: String,
    pub(crate) received: Timestamp,
}

pub(crate) type Mailbox = BTreeMap<String, Vec<Message>>;

/// A user that nobody used before.
pub(crate) fn fresh(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!(
        "{prefix}-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// One end of a migration, as the program's user names it.
#[derive(Clone)]
pub(crate) struct Side {
    pub(crate) url: String,
    pub(crate) password: String,
    /// Certificates to be trusted.
    pub(crate) ca_pem: String,
}

impl Server {
    pub(crate) fn side(&self, user: &str) -> Side {
        Side {
            url: self.url(user),
            password: self.password.clone(),
            ca_pem: std::fs::read_to_string(&self.ca).unwrap(),
        }
    }
}

/// A migration as the program's user sets it up.
pub(crate) struct Job {
    from: Side,
    to: Side,
    state: TempDir,
    ca: TempDir,
}

impl Job {
    pub(crate) fn new(from: (&Server, &str), to: (&Server, &str)) -> Self {
        Self::between(from.0.side(from.1), to.0.side(to.1))
    }

    pub(crate) fn between(from: Side, to: Side) -> Self {
        let ca = TempDir::new().unwrap();
        let pem = format!("{}\n{}", from.ca_pem, to.ca_pem);
        std::fs::write(ca.path().join("ca.pem"), pem).unwrap();
        Self {
            from,
            to,
            state: TempDir::new().unwrap(),
            ca,
        }
    }

    /// One pass that comes to its end, with failures or without; its report.
    #[track_caller]
    pub(crate) fn migrate(&self) -> Value {
        self.migrate_with(&[])
    }

    /// The same with more arguments.
    #[track_caller]
    pub(crate) fn migrate_with(&self, arguments: &[&str]) -> Value {
        let (code, report) = self.run("migrate", arguments);
        assert!(matches!(code, 0 | 1), "{code}\n{report:#}");
        match report["folders"].is_array() {
            true => report,
            false => report["report"].clone(),
        }
    }

    /// Its exit code, and what it says last.
    #[track_caller]
    pub(crate) fn run(&self, command: &str, arguments: &[&str]) -> (i32, Value) {
        let output = Command::new(env!("CARGO_BIN_EXE_mailmove"))
            .args([command, "--json", "--state"])
            .arg(self.state.path())
            .args(["--from", &self.from.url, "--to", &self.to.url, "--ca-file"])
            .arg(self.ca.path().join("ca.pem"))
            .args(arguments)
            .env("MAILMOVE_FROM_PASSWORD", &self.from.password)
            .env("MAILMOVE_TO_PASSWORD", &self.to.password)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let report = stdout.lines().last();
        let report = report.and_then(|line| serde_json::from_str(line).ok());
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output
            .status
            .code()
            .unwrap_or_else(|| panic!("killed\n{errors}"));
        (code, report.unwrap_or_else(|| panic!("{code}\n{errors}")))
    }
}
