//! Exchange on either side.

use std::collections::BTreeMap;

use mailmove_core::{
    identity::{Meaning, MeaningReader},
    model::{Flags, SystemFlag},
};
use mailmove_ews_testserver::{Builder, Scheme, Server};
use mailmove_testkit::{
    mailbox::{Account, Store},
    snapshot::Snapshot,
};

use crate::support::{PASSWORD, USER, World, run};

const NAME: &str = "ann";

async fn exchange(world: &World, change: impl FnOnce(Builder) -> Builder) -> Server {
    let builder = Server::builder(Store::new()).user(NAME, PASSWORD);
    let server = change(builder).start().await.unwrap();
    // Trusted beside the others.
    let path = world.directory.path().join("ca.pem");
    let all = std::fs::read_to_string(&path).unwrap() + server.ca_pem();
    std::fs::write(path, all).unwrap();
    server
}

fn url(server: &Server) -> String {
    format!("ews://{USER}@127.0.0.1:{}/owa", server.tls_address().port())
}

/// A message as it is compared. The test server keeps one of "answered" and "forwarded", like mail programs
/// that set the one or the other.
struct Mail {
    meaning: Meaning,
    flags: Flags,
    received: i64,
}

/// All mail, by folder. Exchange's own folders came along, and are called as they are there.
fn mail(account: &Account) -> BTreeMap<String, Vec<Mail>> {
    let mut out = BTreeMap::new();
    for folder in account.folders() {
        let messages = account.messages(folder.id).unwrap();
        let name = folder.path.join("/").replace("Sent Items", "Sent");
        let all = messages.iter().map(|message| {
            let mut reader = MeaningReader::new();
            reader.update(&message.body);
            let names: Vec<&str> = message
                .flags
                .iter()
                .filter(|name| *name != "\\Recent")
                .collect();
            let flags = Flags::parse(&names.join(" "));
            let forwarded = Flags::parse("$Forwarded");
            let answered = flags.contains(SystemFlag::Answered);
            Mail {
                meaning: reader.finish(),
                flags: if answered {
                    flags.difference(&forwarded)
                } else {
                    flags
                },
                received: message.date.unix,
            }
        });
        let all: Vec<Mail> = all.collect();
        if !all.is_empty() {
            out.insert(name, all);
        }
    }
    out
}

/// Each message once on either side, the same but for losses that have a name; how often which.
fn losses(
    before: BTreeMap<String, Vec<Mail>>,
    mut after: BTreeMap<String, Vec<Mail>>,
) -> BTreeMap<&'static str, usize> {
    let mut out = BTreeMap::new();
    for (folder, mails) in before {
        let mut there = after.remove(&folder).unwrap_or_default();
        for mail in mails {
            let known = |other: &Mail| {
                let deviations = mail.meaning.deviations(&other.meaning);
                let known: Option<Vec<_>> = deviations.iter().map(|one| one.loss).collect();
                let same = mail.flags == other.flags && mail.received == other.received;
                known.filter(|_| same)
            };
            let found = there.iter().position(|other| known(other).is_some());
            let at = found
                .unwrap_or_else(|| panic!("{folder}: a message has no equal: {:?}", mail.meaning));
            for loss in known(&there.swap_remove(at)).unwrap() {
                *out.entry(loss.as_str()).or_default() += 1;
            }
        }
        assert!(there.is_empty(), "{folder}: {} too many", there.len());
    }
    assert!(after.is_empty(), "folders too many: {:?}", after.keys());
    out
}

fn account(server: &Server) -> Account {
    server.store().account(NAME).unwrap()
}

/// Passwords, certificates and all: IMAP to Exchange, to Exchange, and back to IMAP. Both make messages anew
/// whenever they are read.
#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_through_two_exchanges_and_comes_back() {
    let world = World::new().await;
    world.fill(120);
    let one = exchange(&world, |builder| {
        builder
            .schemes(&[Scheme::Ntlm, Scheme::Basic])
            .rebuilds_mime()
    })
    .await;
    let two = exchange(&world, |builder| {
        builder.schemes(&[Scheme::Negotiate]).rebuilds_mime()
    })
    .await;
    let imap = (world.source_url(), world.destination_url());
    let steps = [
        (imap.0.as_str(), url(&one)),
        (&url(&one), url(&two)),
        (&url(&two), imap.1.clone()),
    ];
    for (from, to) in &steps {
        let first = run(world.between("migrate", from, to, &["--exclude", "Outbox"])).await;
        first.succeeds();
        let all = "complete: every message accounted for (120 found, 120 copied";
        assert!(first.stdout.contains(all), "{first:#?}");
        let second = run(world.between("migrate", from, to, &["--exclude", "Outbox"])).await;
        second.succeeds();
        assert!(
            second.stdout.contains("complete: nothing new"),
            "{second:#?}"
        );
    }
    let losses = losses(mail(&world.from()), mail(&world.to()));
    assert!(losses.contains_key("alternative-made"), "{losses:?}");
    // Nobody was let in by Basic.
    assert_eq!(one.counters().logins.get("Basic"), None);
}

/// Exchange makes other bytes of what it is given.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_rebuilds_mail_gets_each_message_once() {
    let world = World::new().await;
    world.fill(60);
    let server = exchange(&world, Builder::rebuilds_mime).await;
    let to = url(&server);
    let first = run(world.between("migrate", &world.source_url(), &to, &[])).await;
    first.succeeds();
    let second = run(world.between("migrate", &world.source_url(), &to, &[])).await;
    assert!(
        second.stdout.contains("complete: nothing new"),
        "{second:#?}"
    );
    let there = Snapshot::of(&account(&server));
    let count: usize = there
        .folders
        .values()
        .map(|folder| folder.messages.len())
        .sum();
    assert_eq!(count, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_with_a_remedy() {
    let world = World::new().await;
    let server = exchange(&world, |builder| builder.schemes(&[Scheme::Ntlm])).await;
    let nobody = url(&server).replace(USER, "nobody@example.com");
    let refused = run(world.between("migrate", &world.source_url(), &nobody, &[])).await;
    refused.fails(3, &["ews/ntlm-refused", "Extended Protection"]);
}
