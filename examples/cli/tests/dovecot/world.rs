//! Servers, mailboxes with fresh names, and runs of the program.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use mailmove_core::model::{ContentDigest, Timestamp};
use mailmove_testkit::corpus::{Corpus, CorpusMessage, Kind};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Client, quoted};

pub(crate) const PASSWORD: &str = "pw";
/// With it anybody may act as anybody.
pub(crate) const MASTER_PASSWORD: &str = "masterpw";

/// One Dovecot.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
    pub(crate) expired_port: u16,
    pub(crate) ca: String,
    pub(crate) separator: String,
    doveadm: Vec<String>,
}

/// The server of that name; `None`, said aloud, if there are none.
pub(crate) fn server(name: &str) -> Option<Server> {
    let required = std::env::var("MAILMOVE_REQUIRE").is_ok_and(|all| all.contains("dovecot"));
    let Some(path) = std::env::var_os("MAILMOVE_TEST_DOVECOT").map(PathBuf::from) else {
        assert!(
            !required,
            "MAILMOVE_TEST_DOVECOT is not set, and Dovecot is required"
        );
        eprintln!("SKIPPED: MAILMOVE_TEST_DOVECOT is not set; see `cargo xtask servers`");
        return None;
    };
    let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let one = all["instances"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == name)
        .unwrap();
    let port = |name: &str| u16::try_from(one[name].as_u64().unwrap()).unwrap();
    let text = |name: &str| one[name].as_str().unwrap().to_owned();
    let words = one["doveadm"].as_array().unwrap();
    Some(Server {
        port: port("imap_port"),
        tls_port: port("imaps_port"),
        expired_port: port("expired_tls_port"),
        ca: text("ca_pem"),
        separator: text("separator"),
        doveadm: words
            .iter()
            .map(|word| word.as_str().unwrap().to_owned())
            .collect(),
    })
}

/// A user that nobody used before.
pub(crate) fn fresh(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!(
        "{prefix}-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

impl Server {
    pub(crate) fn client(&self, user: &str) -> Client {
        Client::open(self.port, user, PASSWORD).unwrap()
    }

    pub(crate) fn tls(&self, user: &str) -> String {
        format!("imaps://{user}@localhost:{}", self.tls_port)
    }

    pub(crate) fn starttls(&self, user: &str) -> String {
        format!("imap://{user}@localhost:{}", self.port)
    }

    pub(crate) fn plain(&self, user: &str) -> String {
        format!("imap://{user}@localhost:{}?tls=off", self.port)
    }

    pub(crate) fn doveadm(&self, arguments: &[&str]) {
        let (program, first) = self.doveadm.split_first().unwrap();
        let output = Command::new(program)
            .args(first)
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "doveadm {arguments:?}: {output:?}");
    }

    /// Fills a new mailbox with ordinary mail of these folders.
    pub(crate) fn fill(&self, user: &str, messages: usize, seed: u64) {
        let mut client = self.client(user);
        let mut made = Vec::new();
        for message in ordinary(messages, seed) {
            let name = quoted(&message.folder.join(&self.separator));
            if message.folder != ["INBOX"] && !made.contains(&name) {
                client.ok(&format!("CREATE {name}")).unwrap();
                made.push(name.clone());
            }
            client
                .append(&name, &message.flags, message.received, &message.body)
                .unwrap();
        }
    }

    /// New mail for a mailbox that was filled before.
    pub(crate) fn fill_more(&self, user: &str, round: u32) {
        let mut client = self.client(user);
        for (n, message) in ordinary(300, 100 + u64::from(round)).enumerate() {
            let name = if n % 2 == 0 { "INBOX" } else { "Work" };
            client
                .append(name, &message.flags, message.received, &message.body)
                .unwrap();
        }
    }

    /// Folder → what is in it, sorted: digest, flags, date.
    pub(crate) fn dump(&self, user: &str) -> Mailbox {
        let mut client = self.client(user);
        let mut out = Mailbox::new();
        for listed in client.list().unwrap() {
            if listed.attributes.contains("\\No") {
                continue;
            }
            client
                .ok(&format!("EXAMINE {}", wire(&listed.name)))
                .unwrap();
            let mut messages: Vec<Message> = client
                .fetch_all()
                .unwrap()
                .into_iter()
                .map(|message| {
                    let mut flags: Vec<String> = message
                        .flags
                        .split_ascii_whitespace()
                        .filter(|flag| !flag.eq_ignore_ascii_case("\\Recent"))
                        .map(str::to_ascii_lowercase)
                        .collect();
                    flags.sort();
                    let digest = ContentDigest::of(&message.body).to_string();
                    (digest, flags.join(" "), message.received)
                })
                .collect();
            messages.sort();
            if !messages.is_empty() {
                out.insert(listed.name.replace(&self.separator, "/"), messages);
            }
        }
        out
    }
}

pub(crate) type Message = (String, String, Timestamp);
pub(crate) type Mailbox = BTreeMap<String, Vec<Message>>;

/// A name as LIST told it, for a command.
pub(crate) fn wire(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Mail that Dovecot keeps as it is: without what it rewrites (NUL, bare LF) or takes for a wrong
/// date. Those are the conformance suite's matter.
fn ordinary(messages: usize, seed: u64) -> impl Iterator<Item = CorpusMessage> {
    let rewritten = [
        Kind::Empty,
        Kind::Nul,
        Kind::NulInHeader,
        Kind::BareLf,
        Kind::BareCr,
        Kind::MixedLineEnds,
        Kind::ReceivedIn2100,
        Kind::ReceivedBefore1970,
        Kind::ReceivedLongAgo,
        Kind::OddKeywords,
    ];
    let folders = ["INBOX", "Work", "Work/2019", "Entwürfe & Co", "日本語"];
    Corpus::new(seed)
        .messages(messages)
        .filter(move |message| !rewritten.contains(&message.kind))
        .enumerate()
        .map(move |(index, mut message)| {
            let folder = folders.get(index % 7).unwrap_or(&"INBOX");
            message.folder = folder.split('/').map(str::to_owned).collect();
            message
        })
}

#[track_caller]
pub(crate) fn assert_equal(source: &Mailbox, destination: &Mailbox) {
    let mut differences = Vec::new();
    for folder in source.keys().chain(destination.keys()) {
        let empty = Vec::new();
        let had = source.get(folder).unwrap_or(&empty);
        let has = destination.get(folder).unwrap_or(&empty);
        if had != has {
            let missing = had.iter().filter(|message| !has.contains(message)).take(3);
            let surplus = has.iter().filter(|message| !had.contains(message)).take(3);
            let (missing, surplus): (Vec<_>, Vec<_>) = (missing.collect(), surplus.collect());
            differences.push(format!(
                "{folder}: {} became {}, missing {missing:?}, surplus {surplus:?}",
                had.len(),
                has.len()
            ));
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
}

/// A migration as the program's user sets it up.
pub(crate) struct Job {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) ca: String,
    pub(crate) state: TempDir,
}

impl Job {
    pub(crate) fn new(from: String, to: String, ca: &str) -> Self {
        let state = TempDir::new().unwrap();
        Self {
            from,
            to,
            ca: ca.to_owned(),
            state,
        }
    }

    pub(crate) fn command(&self, what: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailmove"));
        command
            .args([what, "--json", "--from", &self.from, "--to", &self.to])
            .args(["--ca-file", &self.ca, "--state"])
            .arg(self.state.path())
            .env("MAILMOVE_FROM_PASSWORD", PASSWORD)
            .env("MAILMOVE_TO_PASSWORD", PASSWORD)
            .stdin(Stdio::null());
        if what != "explain" {
            // Dovecot stores within 150 ms what it stores at all.
            command.args(["--late", "10"]);
        }
        command
    }

    /// Runs it to its end: exit code, last line of output, standard error.
    pub(crate) fn run(&self, what: &str) -> (Option<i32>, Value, String) {
        self.run_with(what, &[])
    }

    /// The same with further arguments.
    pub(crate) fn run_with(&self, what: &str, arguments: &[&str]) -> (Option<i32>, Value, String) {
        let mut command = self.command(what);
        command.args(arguments);
        Self::finish(command)
    }

    /// The same of a command that was changed.
    pub(crate) fn finish(mut command: Command) -> (Option<i32>, Value, String) {
        let output = command.output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let last = stdout
            .lines()
            .last()
            .and_then(|line| serde_json::from_str(line).ok());
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), last.unwrap_or_default(), errors)
    }

    /// One pass that must be complete; gives back its report.
    #[track_caller]
    pub(crate) fn migrate(&self) -> Value {
        let (code, report, errors) = self.run("migrate");
        assert_eq!(code, Some(0), "{report:#}\n{errors}");
        report
    }
}

/// The sum of one number over all folders of a report.
#[track_caller]
pub(crate) fn sum(report: &Value, field: &str) -> u64 {
    let report = if report["folders"].is_array() {
        report
    } else {
        &report["report"]
    };
    let folders = report["folders"]
        .as_array()
        .unwrap_or_else(|| panic!("{report:#}"));
    folders
        .iter()
        .filter_map(|folder| folder[field].as_u64())
        .sum()
}
