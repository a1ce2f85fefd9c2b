//! A scripted Gmail, as source and as destination.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

use std::{collections::BTreeMap, sync::Arc};

use mailmove_core::{
    Edges, Migration, Report, Source as _,
    destination::Depth,
    edge::{Credential, StaticCredential},
    map::Pattern,
    model::AlterationKind,
    options::Options,
    report::{FolderReport, Status},
    store::MemoryStore,
};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource, Security};
use mailmove_imap_testserver::{Counters, Gmail, Server};
use mailmove_testkit::mailbox::{Account, EmailId, FlagOp, InternalDate, NewMessage, Store};

const USER: &str = "ann";

struct World {
    from: Server,
    to: Server,
    store: MemoryStore,
    options: Options,
}

async fn gmail_server() -> Server {
    let builder = Server::builder(Store::new()).user(USER, "secret");
    builder.gmail().start().await.unwrap()
}

async fn plain_server() -> Server {
    let builder = Server::builder(Store::new()).user(USER, "secret");
    builder.start().await.unwrap()
}

fn config(server: &Server) -> ImapConfig {
    ImapConfig::new("127.0.0.1")
        .with_port(server.plain_address().port())
        .with_user(USER)
        .with_security(Security::Plain)
}

fn credentials() -> Arc<StaticCredential> {
    Arc::new(StaticCredential::new(Credential::password(USER, "secret")))
}

fn source(server: &Server) -> ImapSource {
    ImapSource::new(config(server), credentials(), Edges::new())
}

fn account(server: &Server) -> Account {
    server.store().account(USER).unwrap()
}

impl World {
    fn new(from: Server, to: Server) -> Self {
        Self {
            from,
            to,
            store: MemoryStore::new(),
            options: Options::new(),
        }
    }

    fn migration(&self) -> Migration {
        let destination = ImapDestination::new(config(&self.to), credentials(), Edges::new());
        Migration::builder(source(&self.from), destination)
            .store(self.store.clone())
            .options(self.options.clone())
            .build()
            .unwrap()
    }

    /// A pass that must be complete, as a process that knows nothing but the ledger.
    async fn run(&self) -> Report {
        let report = self.migration().run().await.unwrap();
        assert_eq!(report.status(), Status::Complete, "{report:#?}");
        report
    }

    fn there(&self, path: &[&str]) -> Vec<String> {
        subjects(&account(&self.to), path)
    }
}

fn mail(n: usize) -> NewMessage {
    let body = format!(
        "Message-ID: <{n}@example.org>\r\nFrom: a@example.org\r\nSubject: m{n:05}\r\n\r\nBody of {n}.\r\n"
    );
    let date = InternalDate::utc(1_700_000_000 + i64::try_from(n).unwrap());
    NewMessage::new(body).with_date(date)
}

/// Subjects and flags, sorted.
fn subjects(account: &Account, path: &[&str]) -> Vec<String> {
    let Ok(folder) = account.folder(path) else {
        return Vec::new();
    };
    let line = |body: &[u8], flags: Vec<&str>| {
        let text = String::from_utf8_lossy(body);
        let subject = text.lines().find_map(|line| line.strip_prefix("Subject: "));
        let line = format!("{} {}", subject.unwrap_or("?"), flags.join(" "));
        line.trim().to_owned()
    };
    let messages = account.messages(folder.id).unwrap();
    let mut out: Vec<String> = messages
        .iter()
        .map(|m| line(&m.body, m.flags.iter().collect()))
        .collect();
    out.sort();
    out
}

fn of<'a>(report: &'a Report, folder: &str) -> &'a FolderReport {
    let mut folders = report.folders.iter();
    folders
        .find(|line| line.source.to_string() == folder)
        .unwrap()
}

const LABELS: [&str; 5] = ["Work", "Entw\u{fc}rfe & Co", "a/b", "Quote\"d", "x"];

/// So many messages with three labels each; every hundredth has none. Filled in bulk.
fn fill(server: &Server, messages: usize) -> BTreeMap<&'static str, usize> {
    let account = account(server);
    let all = account.folder(&["[Gmail]", "All Mail"]).unwrap().id;
    let landed = account
        .append(all, (0..messages).map(mail).collect())
        .unwrap();
    account.create(&["a"]).unwrap();
    let mut counts = BTreeMap::new();
    let mut give = |label: &'static str, uids: Vec<u32>| {
        let path: Vec<&str> = label.split('/').collect();
        let folder = match account.folder(&path) {
            Ok(folder) => folder.id,
            Err(_) => account.create(&path).unwrap(),
        };
        *counts.entry(label).or_default() += uids.len();
        account.copy(all, &uids, folder).unwrap();
    };
    let labelled = landed.uids.iter().copied().enumerate();
    let labelled: Vec<(usize, u32)> = labelled.filter(|(n, _)| n % 100 != 7).collect();
    give("INBOX", labelled.iter().map(|(_, uid)| *uid).collect());
    for (at, label) in LABELS.into_iter().enumerate() {
        let has = |n: usize| n % 5 == at || (n + 1) % 5 == at;
        let those = labelled.iter().filter(|(n, _)| has(*n));
        give(label, those.map(|(_, uid)| *uid).collect());
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_messages_with_three_labels_each() {
    let world = World::new(gmail_server().await, plain_server().await);
    let messages = 5000;
    let counts = fill(&world.from, messages);
    let placed: usize = counts.values().sum();
    assert_eq!(placed, (messages - 50) * 3);
    let before = account(&world.from).snapshot();
    let report = world.run().await;

    // Once for each mapped label, and fetched once.
    for (label, count) in &counts {
        let path: Vec<&str> = label.split('/').collect();
        assert_eq!(world.there(&path).len(), *count, "{label}");
    }
    assert_eq!(world.there(&["All Mail"]).len(), 50);
    assert!(account(&world.to).folder(&["[Gmail]"]).is_err());
    assert_eq!(world.from.counters().bodies_fetched, messages as u64);
    assert_eq!(world.to.counters().messages_appended, messages as u64);
    let total = report.total();
    assert_eq!(total.copied as usize, placed + 50);
    assert_eq!(total.by_reference as usize, placed + 50 - messages);
    let all = of(&report, "[Gmail]/All Mail");
    assert_eq!((all.tally.found, all.tally.copied), (5000, 50));
    assert_eq!(all.tally.excluded, 4950);
    let starred = of(&report, "[Gmail]/Starred");
    assert!(starred.excluded.as_ref().unwrap().contains("\\Flagged"));
    assert_eq!(before, account(&world.from).snapshot());
    assert!(
        world
            .migration()
            .verify(Depth::Meta)
            .await
            .unwrap()
            .is_clean()
    );

    // Nothing new: a look at each side.
    world.from.reset_counters();
    world.to.reset_counters();
    let second = world.run().await;
    assert_eq!(second.total().copied, 0);
    let (from, to) = (world.from.counters(), world.to.counters());
    assert_eq!((from.bodies_fetched, to.messages_appended), (0, 0));
    // A LOGOUT may be the run's before.
    let but_logout = |counters: &Counters| {
        let logouts = counters.commands.get("LOGOUT").copied().unwrap_or(0);
        counters.total_commands() - logouts
    };
    assert!(but_logout(&from) <= 7, "{:?}", from.commands);
    // Six of them ask which names the server takes.
    assert!(but_logout(&to) <= 14, "{:?}", to.commands);
}

async fn small() -> (World, Gmail, Vec<EmailId>) {
    let world = World::new(gmail_server().await, plain_server().await);
    let gmail = Gmail::new(&account(&world.from)).unwrap();
    let labels: [&[&str]; 6] = [
        &["INBOX", "Work"],
        &["INBOX", "[Gmail]/Important"],
        &["Work"],
        &[],
        &["[Gmail]/Sent Mail", "Work"],
        &["[Gmail]/Starred"],
    ];
    let ids = labels.into_iter().enumerate().map(|(n, labels)| {
        let id = gmail.deliver(mail(n), labels).unwrap();
        if labels.contains(&"[Gmail]/Starred") {
            gmail.flag(id, "\\Flagged", true).unwrap();
        }
        id
    });
    let ids = ids.collect();
    (world, gmail, ids)
}

#[tokio::test]
async fn labels_stars_and_importance_arrive_and_follow() {
    let (world, gmail, ids) = small().await;
    let report = world.run().await;
    assert_eq!(world.there(&["INBOX"]), ["m00000", "m00001 $Important"]);
    assert_eq!(world.there(&["Work"]), ["m00000", "m00002", "m00004"]);
    assert_eq!(world.there(&["Sent Mail"]), ["m00004"]);
    let sent = account(&world.to).folder(&["Sent Mail"]).unwrap();
    assert_eq!(sent.special_use, ["\\Sent"]);
    assert_eq!(world.there(&["All Mail"]), ["m00003", "m00005 \\Flagged"]);
    assert_eq!(world.from.counters().bodies_fetched, 6);
    assert!(of(&report, "[Gmail]/Important").excluded.is_some());

    // A label more, a label less, the last label gone, a star.
    gmail.label(ids[3], "Work", true).unwrap();
    gmail.label(ids[0], "INBOX", false).unwrap();
    gmail.label(ids[2], "Work", false).unwrap();
    gmail.flag(ids[4], "\\Flagged", true).unwrap();
    let report = world.run().await;
    let inbox = world.there(&["INBOX"]);
    assert!(inbox.contains(&"m00001 $Important".to_owned()), "{inbox:?}");
    let work = world.there(&["Work"]);
    for message in ["m00000", "m00003", "m00004 \\Flagged"] {
        assert!(work.contains(&message.to_owned()), "{work:?}");
    }
    assert_eq!(world.there(&["Sent Mail"]), ["m00004 \\Flagged"]);
    let all = world.there(&["All Mail"]);
    assert!(all.contains(&"m00002".to_owned()), "{all:?}");
    assert_eq!(of(&report, "[Gmail]/All Mail").tally.moved, 1);
    assert_eq!(world.from.counters().bodies_fetched, 6, "no body again");
    assert_eq!(world.to.counters().messages_appended, 6);
    let third = world.run().await;
    assert_eq!(third.total().copied + third.total().moved, 0);
}

#[tokio::test]
async fn views_are_taken_when_asked_for() {
    let (mut world, ..) = small().await;
    let everything = Pattern::new("**").unwrap();
    world.options.folders = world.options.folders.with_include(everything);
    world.run().await;
    assert_eq!(world.there(&["Starred"]), ["m00005 \\Flagged"]);
    assert_eq!(world.there(&["Important"]), ["m00001 $Important"]);
    assert_eq!(world.there(&["All Mail"]), ["m00003", "m00005 \\Flagged"]);
    assert_eq!(world.from.counters().bodies_fetched, 6);
}

#[tokio::test]
async fn the_daily_limits_are_known() {
    let gmail = gmail_server().await;
    let can = source(&gmail).capabilities().await.unwrap();
    assert_eq!(can.daily_down, Some(2_500_000_000));
    assert!(can.content_ids);
    let plain = plain_server().await;
    assert_eq!(
        source(&plain).capabilities().await.unwrap().daily_down,
        None
    );
}

#[tokio::test]
async fn object_ids_do_the_same_without_labels() {
    let world = World::new(plain_server().await, plain_server().await);
    let from = account(&world.from);
    let inbox = from.folder(&["INBOX"]).unwrap().id;
    from.append(inbox, (0..40).map(mail).collect()).unwrap();
    let copies = from.create(&["Copies"]).unwrap();
    let uids: Vec<u32> = (1..=30).collect();
    from.copy(inbox, &uids, copies).unwrap();
    from.store(copies, &[2, 3], FlagOp::Add, &["\\Seen", "Later"], None)
        .unwrap();
    world.run().await;
    assert_eq!(world.from.counters().bodies_fetched, 40);
    for folder in ["INBOX", "Copies"] {
        assert_eq!(world.there(&[folder]), subjects(&from, &[folder]));
    }
}

#[tokio::test]
async fn gmail_as_destination_folds_and_the_ledger_closes() {
    let world = World::new(plain_server().await, gmail_server().await);
    let from = account(&world.from);
    let inbox = from.folder(&["INBOX"]).unwrap().id;
    // Twins in a folder, and one message in two folders without anybody knowing that it is one.
    let twins = (0..20).map(|n| mail(n / 2));
    from.append(inbox, twins.collect()).unwrap();
    let work = from.create(&["Work"]).unwrap();
    from.append(work, (5..15).map(mail).collect()).unwrap();
    let sent = from.create_special(&["Sent"], &["\\Sent"]).unwrap();
    from.append(sent, vec![mail(30)]).unwrap();
    let report = world.run().await;
    let to = account(&world.to);
    assert_eq!(world.there(&["INBOX"]).len(), 10);
    assert_eq!(world.there(&["Work"]).len(), 10);
    assert_eq!(world.there(&["[Gmail]", "Sent Mail"]), ["m00030"]);
    assert_eq!(world.there(&["[Gmail]", "All Mail"]).len(), 16);
    let inbox = of(&report, "INBOX");
    assert_eq!((inbox.tally.copied, inbox.tally.already_there), (10, 10));
    assert_eq!(inbox.altered[&AlterationKind::MergedByServer], 10);
    assert!(report.total().is_closed());
    let appended = world.to.counters().messages_appended;
    let before = to.snapshot();
    let second = world.run().await;
    assert_eq!(second.total().copied, 0);
    assert_eq!(world.to.counters().messages_appended, appended);
    assert_eq!(before, to.snapshot());
    assert!(
        world
            .migration()
            .verify(Depth::Content)
            .await
            .unwrap()
            .is_clean()
    );
}

#[tokio::test]
async fn from_gmail_to_gmail() {
    let (world, ..) = small().await;
    let world = World {
        to: gmail_server().await,
        ..world
    };
    world.run().await;
    for folder in [
        &["INBOX"][..],
        &["Work"],
        &["[Gmail]", "Sent Mail"],
        &["[Gmail]", "Starred"],
    ] {
        let mut expected = subjects(&account(&world.from), folder);
        if folder == ["INBOX"] {
            // The label says it at the source.
            expected[1].push_str(" $Important");
        }
        assert_eq!(world.there(folder), expected, "{folder:?}");
    }
    assert_eq!(world.there(&["[Gmail]", "All Mail"]).len(), 6);
    assert_eq!(world.to.counters().messages_appended, 6);
    let second = world.run().await;
    assert_eq!(second.total().copied, 0);
}
