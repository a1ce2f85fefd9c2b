//! Other people's clients work with the server.
//!
//! `MAILMOVE_TEST_PYTHON`, `MAILMOVE_TEST_MBSYNC` name programs; `MAILMOVE_TEST_DOVECOT` names a JSON
//! file that describes running Dovecots. What is missing is skipped, unless `MAILMOVE_REQUIRE` lists it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::path::Path;
use std::process::Stdio;

use mailmove_imap_testserver::{Builder, Capability, Server, Tokens};
use mailmove_testkit::mailbox::{Account, FolderSnapshot, InternalDate, NewMessage, Snapshot};
use support::{external, server};
use tokio::process::Command;

/// Some folders with a few hundred messages of many kinds, the same every time.
fn fill(account: &Account, count: u32) {
    account.create_special(&["Sent"], &["\\Sent"]).unwrap();
    account.create(&["Work", "Übung & Co"]).unwrap();
    for folder in account.folders() {
        account.subscribe(&folder.path, true);
        let messages = (0..count).map(|n| message(&folder.path, n)).collect();
        account.append(folder.id, messages).unwrap();
    }
}

fn message(path: &[String], n: u32) -> NewMessage {
    let id = format!("<{n}.{}@example.org>", path.len());
    let lines = "A line of text.\r\n".repeat(n as usize % 40);
    let body = match n % 5 {
        0 => format!("Content-Type: text/plain; charset=utf-8\r\n\r\nGrün {n}\r\n{lines}"),
        1 => format!(
            "Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n\r\n{lines}\r\n\
             --b{n}\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nx\r\n--b{n}--\r\n"
        ),
        2 => format!("\r\nx LOGOUT\r\n. EXPUNGE\r\n{lines}"),
        3 => format!("\r\n{}\r\n", "long ".repeat(300)),
        _ => "\r\n".to_owned(),
    };
    let text = format!(
        "From: \"A, B\" <a@example.org>\r\nTo: c@example.org\r\nSubject: =?utf-8?q?n=C2=B0?= {n}\r\n\
         Date: Wed, 17 Jul 1996 02:44:25 -0700\r\nMessage-ID: {id}\r\nMIME-Version: 1.0\r\n{body}"
    );
    let flags = ["\\Seen", "\\Answered", "\\Flagged", "\\Draft"];
    let set = flags
        .iter()
        .enumerate()
        .filter(|(bit, _)| n >> bit & 1 == 1)
        .map(|(_, flag)| *flag);
    let date = InternalDate::utc(837_596_665 + i64::from(n) * 3600);
    NewMessage::new(text).with_flags(set).with_date(date)
}

async fn run(mut command: Command, what: &str) -> String {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = child.spawn().unwrap().wait_with_output().await.unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{what}: {}\n{out}\n{err}",
        output.status
    );
    format!("{out}{err}")
}

#[tokio::test(flavor = "multi_thread")]
async fn python_imaplib() {
    let Some(python) = external("MAILMOVE_TEST_PYTHON", Some("python3"), "python") else {
        return;
    };
    let tokens = Tokens::default();
    let (server, account) = server(|b| b.tokens(&tokens)).await;
    fill(&account, 20);
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, server.ca_pem()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/imaplib_client.py");
    let mut command = Command::new(python);
    command.arg(script).arg(&ca);
    command.arg(server.plain_address().port().to_string());
    command.arg(server.tls_address().port().to_string());
    command.arg(tokens.issue_for_logins("u", 2));
    let output = run(command, "imaplib").await;
    assert!(output.contains("all checks passed"), "{output}");
    // What the script did, seen through the back door.
    let created = account.folder(&["From Python"]).unwrap();
    let messages = account.messages(created.id).unwrap();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0].body, "Subject: one\r\n\r\n1\r\n");
    assert_eq!(messages[0].date, InternalDate::new(837_596_665, -420));
    assert!(messages[0].flags.contains("\\Flagged") && messages[0].flags.contains("$Label"));
}

/// The mail of a snapshot without what a client doesn't carry.
fn mail(snapshot: &Snapshot) -> Vec<(String, &FolderSnapshot)> {
    let name = |path: &Vec<String>| path.join("/");
    snapshot
        .folders
        .iter()
        .map(|(path, folder)| (name(path), folder))
        .collect()
}

/// mbsync marks what it copies with a header of its own.
fn without_mark(body: &[u8]) -> Vec<u8> {
    let lines = body.split_inclusive(|byte| *byte == b'\n');
    lines
        .filter(|line| !line.starts_with(b"X-TUID: "))
        .flatten()
        .copied()
        .collect()
}

struct Mbsync {
    program: String,
    directory: tempfile::TempDir,
}

impl Mbsync {
    fn new(program: String, server: &Server, pipeline: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().display();
        std::fs::write(directory.path().join("ca.pem"), server.ca_pem()).unwrap();
        let (tls, plain) = (server.tls_address().port(), server.plain_address().port());
        let config = format!(
            "CopyArrivalDate yes\n\
             IMAPStore left\nHost localhost\nPort {tls}\nUser u\nPass p\nSSLType IMAPS\n\
             CertificateFile {home}/ca.pem\nAuthMechs PLAIN\n{pipeline}\n\n\
             IMAPStore right\nHost localhost\nPort {plain}\nUser v\nPass p\nSSLType STARTTLS\n\
             CertificateFile {home}/ca.pem\nAuthMechs LOGIN\n{pipeline}\n\n\
             MaildirStore local\nPath {home}/mail/\nInbox {home}/mail/INBOX\nSubFolders Verbatim\n\n\
             Channel down\nFar :left:\nNear :local:\nPatterns *\nCreate Both\nExpunge Both\n\
             SyncState {home}/down-\n\n\
             Channel up\nFar :right:\nNear :local:\nPatterns *\nCreate Both\nExpunge Both\n\
             SyncState {home}/up-\n"
        );
        std::fs::create_dir(directory.path().join("mail")).unwrap();
        std::fs::write(directory.path().join("config"), config).unwrap();
        Self { program, directory }
    }

    async fn sync(&self, channel: &str) {
        let mut command = Command::new(&self.program);
        let config = self.directory.path().join("config");
        command.env("HOME", self.directory.path());
        command.arg("-c").arg(config).args(["-V", channel]);
        run(command, channel).await;
    }
}

async fn mbsync_both_ways(program: String, pipeline: &str, without: &[Capability]) {
    let (server, account) = server(|mut b| {
        for capability in without {
            b = b.without(*capability);
        }
        b.user("v", "p")
    })
    .await;
    let target = server.store().account("v").unwrap();
    fill(&account, 80);
    let mbsync = Mbsync::new(program, &server, pipeline);
    for channel in ["down", "up"] {
        mbsync.sync(channel).await;
    }
    let (source, copy) = (account.snapshot(), target.snapshot());
    for ((name, from), (copied, to)) in mail(&source).into_iter().zip(mail(&copy)) {
        assert_eq!(name, copied);
        let plain = |folder: &FolderSnapshot| {
            let mut messages: Vec<_> = folder
                .messages
                .iter()
                .map(|m| (without_mark(&m.body), m.flags.clone(), m.date))
                .collect();
            messages.sort();
            messages
        };
        assert_eq!(from.messages.len(), 80);
        assert_eq!(plain(from), plain(to), "{name}");
    }
    // A second run changes nothing.
    let (before, after_first) = (account.snapshot(), target.snapshot());
    server.reset_counters();
    for channel in ["down", "up"] {
        mbsync.sync(channel).await;
    }
    assert_eq!(before.difference(&account.snapshot()), Vec::<String>::new());
    assert_eq!(
        after_first.difference(&target.snapshot()),
        Vec::<String>::new()
    );
    let counters = server.counters();
    assert_eq!((counters.command("APPEND"), counters.bad), (0, 0));
    // Changes on one side arrive on the other.
    let sent = target.folder(&["Sent"]).unwrap().id;
    target.remove(sent, &[1]).unwrap();
    target
        .append(sent, vec![message(&["new".to_owned()], 7)])
        .unwrap();
    mbsync.sync("up").await;
    mbsync.sync("down").await;
    let sent = account.folder(&["Sent"]).unwrap().id;
    let bodies: Vec<_> = account
        .messages(sent)
        .unwrap()
        .into_iter()
        .map(|m| m.body)
        .collect();
    assert_eq!(bodies.len(), 80);
    assert!(!bodies.contains(&message(&["Sent".to_owned()], 0).body));
}

#[tokio::test(flavor = "multi_thread")]
async fn mbsync_with_all_extensions() {
    if let Some(program) = external("MAILMOVE_TEST_MBSYNC", None, "mbsync") {
        mbsync_both_ways(program, "", &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mbsync_with_the_bare_protocol() {
    if let Some(program) = external("MAILMOVE_TEST_MBSYNC", None, "mbsync") {
        let bare = [
            Capability::LiteralPlus,
            Capability::MultiAppend,
            Capability::Namespace,
        ];
        mbsync_both_ways(program, "PipelineDepth 1", &bare).await;
    }
}

/// Without UIDPLUS only downwards: mbsync 1.4.4 takes the answer to its own look-up of what it stored
/// (`UID FETCH n:m (UID BODY.PEEK[HEADER.FIELDS (X-TUID)])`) for "extraneous data in FETCH response",
/// whatever the server. Dovecot answers byte for byte the same and fails alike, with its APPENDUID
/// taken out on the way; the version that sets its state before that command came later.
#[tokio::test(flavor = "multi_thread")]
async fn mbsync_downwards_without_uidplus() {
    let Some(program) = external("MAILMOVE_TEST_MBSYNC", None, "mbsync") else {
        return;
    };
    let (server, account) = server(|b| {
        let without = [Capability::UidPlus, Capability::LiteralPlus];
        without.into_iter().fold(b, Builder::without).user("v", "p")
    })
    .await;
    fill(&account, 40);
    let mbsync = Mbsync::new(program, &server, "PipelineDepth 1");
    mbsync.sync("down").await;
    let files = |name: &str| -> Vec<std::path::PathBuf> {
        let folder = mbsync.directory.path().join("mail").join(name);
        let places = ["cur", "new"].map(|place| std::fs::read_dir(folder.join(place)));
        let entries = places.into_iter().flatten().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let count = |name: &str| files(name).len();
    let names = ["INBOX", "Sent", "Work/&ANw-bung &- Co"];
    assert_eq!(names.map(count), [40, 40, 40]);
    let before = account.snapshot();
    mbsync.sync("down").await;
    assert_eq!(names.map(count), [40, 40, 40]);
    assert_eq!(before.difference(&account.snapshot()), Vec::<String>::new());
    // What goes at one side goes at the other, by an EXPUNGE that names no message.
    std::fs::remove_file(&files("Sent")[0]).unwrap();
    mbsync.sync("down").await;
    let sent = account.folder(&["Sent"]).unwrap().id;
    assert_eq!(account.messages(sent).unwrap().len(), 39);
    assert_eq!(server.counters().bad, 0);
}

/// The command and environment of the first Dovecot that is described.
fn doveadm(description: &str) -> Command {
    let text = std::fs::read_to_string(description).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let instance = &json["instances"][0];
    let words: Vec<&str> = instance["doveadm"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect();
    let (program, arguments) = words.split_first().unwrap();
    let mut command = Command::new(program);
    command.args(arguments);
    for (name, value) in instance["env"].as_object().unwrap() {
        command.env(name, value.as_str().unwrap());
    }
    command
}

async fn dovecot_backup(without: &[Capability]) {
    let Some(description) = external("MAILMOVE_TEST_DOVECOT", None, "dovecot") else {
        return;
    };
    let (server, account) = server(|mut b| {
        for capability in without {
            b = b.without(*capability);
        }
        b
    })
    .await;
    fill(&account, 60);
    let user = format!("imapc-{}-{}", std::process::id(), without.len());
    let port = server.plain_address().port();
    let imapc = |arguments: &[&str]| {
        let mut command = doveadm(&description);
        for setting in [
            "imapc_host=127.0.0.1".to_owned(),
            format!("imapc_port={port}"),
            "imapc_user=u".to_owned(),
            "imapc_password=p".to_owned(),
            "imapc_ssl=no".to_owned(),
            "imapc_features=fetch-headers search".to_owned(),
        ] {
            command.args(["-o", &setting]);
        }
        command.args(arguments);
        command
    };
    for pass in ["first", "second"] {
        run(imapc(&["backup", "-R", "-u", &user, "imapc:"]), pass).await;
    }
    for folder in account.folders() {
        let name = folder.path.join("/");
        let query = ["fetch", "-u", &user, "uid", "mailbox", &name];
        let mut command = doveadm(&description);
        command.args(query);
        let output = run(command, &name).await;
        assert_eq!(output.matches("uid: ").count(), 60, "{name}\n{output}");
        let mut command = doveadm(&description);
        command.args(["fetch", "-u", &user, "flags size.virtual date.received"]);
        command.args(["mailbox", &name, "uid", "6"]);
        let output = run(command, &name).await;
        let expected = message(&folder.path, 5);
        let size = format!("size.virtual: {}", expected.body.len());
        assert!(output.contains(&size), "{name}\n{output}\n{size}");
        assert!(
            output.contains("\\Seen") && output.contains("\\Flagged"),
            "{name}\n{output}"
        );
        let mut command = doveadm(&description);
        command.args(["fetch", "-u", &user, "text", "mailbox", &name, "uid", "3"]);
        let output = run(command, &name).await;
        assert!(output.contains("x LOGOUT"), "{name}\n{output}");
    }
    assert_eq!(server.counters().bad, 0);
    // And the other way: what Dovecot has goes into an empty account.
    let (back, empty) = support::server(|b| b).await;
    let mut command = doveadm(&description);
    for setting in [
        "imapc_host=127.0.0.1".to_owned(),
        format!("imapc_port={}", back.plain_address().port()),
        "imapc_user=u".to_owned(),
        "imapc_password=p".to_owned(),
        "imapc_ssl=no".to_owned(),
    ] {
        command.args(["-o", &setting]);
    }
    command.args(["sync", "-1", "-u", &user, "imapc:"]);
    run(command, "one-way sync").await;
    for folder in account.folders() {
        let copy = empty.folder(&folder.path).unwrap();
        let plain = |account: &Account, id| {
            let mut all: Vec<_> = account
                .messages(id)
                .unwrap()
                .into_iter()
                .map(|m| (m.body, m.flags, m.date.unix))
                .collect();
            all.sort();
            all
        };
        assert_eq!(
            plain(&account, folder.id),
            plain(&empty, copy.id),
            "{:?}",
            folder.path
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dovecot_over_imapc() {
    dovecot_backup(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dovecot_over_imapc_with_the_bare_protocol() {
    use Capability::{Condstore, Enable, Esearch, Idle, ListExtended, LiteralPlus, Move, UidPlus};
    dovecot_backup(&[
        Condstore,
        Enable,
        Esearch,
        Idle,
        ListExtended,
        LiteralPlus,
        Move,
        UidPlus,
    ])
    .await;
}
