//! Which received dates real servers keep, into an inbox that nobody has opened before: Courier's has
//! no lasting number then.

use std::sync::Arc;

use mailmove_core::{
    Edges, Migration,
    edge::{Credential, StaticCredential},
    model::AlterationKind,
    report::Status,
    store::MemoryStore,
};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource, Security};
use mailmove_testkit::mailbox::InternalDate;
use serde_json::Value;

use crate::{
    client::Client,
    world::{Side, credentials, mails},
};

const PASSWORD: &str = "pw";

/// The port of that instance; `None`, said aloud, if it is not there.
fn port(instance: &str, server: &str) -> Option<u16> {
    let found = std::env::var_os("MAILMOVE_TEST_DOVECOT").and_then(|path| {
        let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let instances = all["instances"].as_array().unwrap();
        let one = instances.iter().find(|one| one["name"] == instance)?;
        u16::try_from(one["imap_port"].as_u64()?).ok()
    });
    if found.is_none() {
        let required = std::env::var("MAILMOVE_REQUIRE").unwrap_or_default();
        let required = required.split(',').any(|one| one == server);
        assert!(!required, "{instance} is required, and not there");
        eprintln!("SKIPPED: there is no {instance}; see `cargo xtask servers`");
    }
    found
}

const LATER: i64 = 4_102_444_800;
const LAST: i64 = 0xffff_ffff;
/// 1960, the last second before 1970, and what is left of its first day in some zones.
const SENT: [i64; 9] = [
    -315_619_200,
    -1,
    0,
    1,
    86_399,
    1_577_880_000,
    LATER,
    LAST,
    LAST + 1,
];
const DAY: i64 = 86_400;

/// What arrives of [`SENT`]; 0 stands for the time of arrival in the last three.
async fn keeps(instance: &str, server: &str, expected: [i64; 9]) {
    let Some(port) = port(instance, server) else {
        return;
    };
    let from = Side::new(|it| it, None).await;
    let mut messages = mails(0..9);
    for (message, unix) in messages.iter_mut().zip(SENT) {
        message.date = Some(InternalDate::utc(unix));
    }
    from.add(&["INBOX"], messages);
    let user = format!("dates-{instance}-{}", std::process::id());
    let config = ImapConfig::new("127.0.0.1")
        .with_port(port)
        .with_user(&user)
        .with_security(Security::Plain);
    let credential = Arc::new(StaticCredential::new(Credential::password(
        user.clone(),
        PASSWORD,
    )));
    let store = MemoryStore::new();
    let run = || {
        let source = ImapSource::new(from.config.clone(), credentials(), Edges::new());
        let to = ImapDestination::new(config.clone(), credential.clone(), Edges::new());
        let migration = Migration::builder(source, to).store(store.clone()).build();
        let migration = migration.unwrap();
        async move { migration.run().await.unwrap() }
    };
    let report = run().await;
    assert_eq!(report.status(), Status::Complete, "{report:#?}");
    assert_eq!(report.total().copied, 9);
    let mut client = Client::open(port, &user, PASSWORD).unwrap();
    client.ok("EXAMINE INBOX").unwrap();
    let mut found = client.fetch_all().unwrap();
    found.sort_by(|one, other| one.body.cmp(&other.body));
    let dates: Vec<i64> = found.iter().map(|one| one.received.seconds()).collect();
    for (at, (date, expected)) in dates.iter().zip(expected).enumerate() {
        match expected {
            0 if at > 5 => assert!((SENT[5]..LATER).contains(date), "{dates:?}"),
            _ => assert_eq!(*date, expected, "{at} of {dates:?}"),
        }
    }
    let changed = dates.iter().zip(SENT).filter(|(now, sent)| *now != sent);
    let told = report.folders[0].altered[&AlterationKind::DateReplaced];
    assert_eq!(told, changed.count() as u64, "{dates:?}");
    assert_eq!(run().await.total().copied, 0);
}

#[tokio::test]
async fn dovecot_keeps_dates_from_1970_until_now() {
    for instance in ["a", "c"] {
        let expected = [DAY, DAY, 0, 1, 86_399, SENT[5], 0, 0, 0];
        keeps(instance, "dovecot", expected).await;
    }
}

#[tokio::test]
async fn cyrus_keeps_dates_of_32_bits() {
    let expected = [DAY, DAY, DAY, 1, 86_399, SENT[5], LATER, LAST, LAST];
    keeps("cyrus", "cyrus", expected).await;
}

/// It keeps them as times of files.
#[tokio::test]
async fn courier_keeps_dates_from_1970_on_in_a_new_inbox() {
    let expected = [DAY, DAY, DAY, 1, 86_399, SENT[5], LATER, LAST, LAST + 1];
    keeps("courier", "courier", expected).await;
}
