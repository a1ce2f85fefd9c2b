//! Whole migrations, with the engine.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use mailmove_core::{
    Edges, ErrorKind, Migration, Options, edge::Clock as _, report::Status, store::MemoryStore,
};
use mailmove_ews::{EwsDestination, EwsSource};
use mailmove_ews_testserver::{Action, Builder, Server};
use mailmove_testkit::clock::TestClock;

use crate::support::{account, config, count, fill, password, start};

fn edges(clock: &TestClock) -> Edges {
    Edges::new().with_clock(Arc::new(clock.clone()))
}

fn clock() -> TestClock {
    TestClock::jumping(Duration::from_secs(1_700_000_000))
}

async fn migrate(from: &Server, to: &Server, store: &MemoryStore, clock: &TestClock) {
    // One at a time, so that no request is under way already when the server says what it wants.
    let config = |server| config(server).with_connections(1);
    let source = EwsSource::new(config(from), password(), edges(clock));
    let destination = EwsDestination::new(config(to), password(), edges(clock));
    // Of exports there are tests of their own.
    let mut options = Options::new();
    options.streams = false;
    let migration = Migration::builder(source, destination)
        .store(store.clone())
        .options(options)
        .edges(edges(clock))
        .build()
        .unwrap();
    let mut ran = migration.run().await;
    // What the run before left to end may hold the ledger for a moment.
    for _ in 0..100 {
        if !matches!(&ran, Err(error) if error.kind() == ErrorKind::Locked) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        ran = migration.run().await;
    }
    let report = ran.unwrap();
    assert_eq!(report.status(), Status::Complete, "{report:?}");
}

/// Each letter once, by its subject.
fn once_each(server: &Server, letters: usize) {
    let account = account(server);
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    let subjects: BTreeSet<String> = account
        .messages(inbox)
        .unwrap()
        .iter()
        .map(|message| {
            let text = String::from_utf8_lossy(&message.body).into_owned();
            let line = text.lines().find(|line| line.starts_with("Subject:"));
            line.unwrap().to_owned()
        })
        .collect();
    assert_eq!((count(server), subjects.len()), (letters, letters));
}

/// What landed although its answer was lost is not sent again; what did not land is.
#[tokio::test(flavor = "multi_thread")]
async fn doubt_is_settled_by_what_is_noted_at_the_messages() {
    for action in [
        Action::CloseUnanswered,
        Action::StatusAfter(503),
        Action::CloseInReply(200),
        Action::Close,
        Action::StopBatch(5),
        Action::BareFault,
        Action::LandOnRelease,
    ] {
        let from = start(|builder| builder).await;
        let to = start(Builder::rebuilds_mime).await;
        fill(&from, 100);
        to.faults().arm("CreateItem", 2, action.clone());
        migrate(&from, &to, &MemoryStore::new(), &clock()).await;
        once_each(&to, 100);
        assert_eq!(to.faults().struck(), 1, "{action:?}");
    }
}

/// A run whose state was lost knows its own messages by what is noted at them, though they have other bytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_state_finds_its_own_messages_again() {
    let (from, to) = (
        start(|builder| builder).await,
        start(Builder::rebuilds_mime).await,
    );
    fill(&from, 60);
    migrate(&from, &to, &MemoryStore::new(), &clock()).await;
    once_each(&to, 60);
    migrate(&from, &to, &MemoryStore::new(), &clock()).await;
    once_each(&to, 60);
}

/// From a server that makes MIME anew at each read, too: boundaries have other names each time, and are
/// renamed alike.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_state_finds_what_came_from_a_server_that_makes_mime_anew() {
    let (from, to) = (
        start(Builder::rebuilds_mime).await,
        start(Builder::rebuilds_mime).await,
    );
    fill(&from, 30);
    let inbox = account(&from).folder(&["INBOX"]).unwrap().id;
    let mixed = (0..30).map(|number| {
        mailmove_testkit::mailbox::NewMessage::new(format!(
            "Message-ID: <m{number}@example.com>\r\nFrom: a@example.com\r\nSubject: mixed {number}\r\n\
            Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nText.\r\n--x\r\n\
            Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--x--\r\n"
        ))
    });
    account(&from).append(inbox, mixed.collect()).unwrap();
    for _ in 0..2 {
        migrate(&from, &to, &MemoryStore::new(), &clock()).await;
        once_each(&to, 60);
    }
}

/// What moved at the source moves at the destination, and a folder whose items have other ids is known again,
/// though the size that Exchange tells of an item is not that of what is fetched.
#[tokio::test(flavor = "multi_thread")]
async fn what_moved_at_the_source_is_not_copied_again() {
    let (from, to) = (
        start(|builder| builder.rebuilds_mime().without("ExportItems")).await,
        start(Builder::rebuilds_mime).await,
    );
    fill(&from, 30);
    let source = account(&from);
    let inbox = source.folder(&["INBOX"]).unwrap().id;
    let other = source.create(&["Other"]).unwrap();
    let store = MemoryStore::new();
    migrate(&from, &to, &store, &clock()).await;
    source
        .move_messages(inbox, &[3, 7, 8, 9, 20], other)
        .unwrap();
    to.reset_counters();
    migrate(&from, &to, &store, &clock()).await;
    let there = account(&to);
    let moved = there.folder(&["Other"]).unwrap().id;
    let counted = (count(&to), there.messages(moved).unwrap().len());
    assert_eq!((counted, to.counters().created), ((25, 5), 0));
    // A mailbox that was brought to another server has other ids for all that is in it.
    source.bump_uidvalidity(inbox).unwrap();
    migrate(&from, &to, &store, &clock()).await;
    assert_eq!((count(&to), to.counters().created), (25, 0));
}

/// No request leaves while the server wants to be left alone, and all in all there are few: at most 150 for
/// 1,000 small messages on each side. Nobody waits for much longer than that.
#[tokio::test(flavor = "multi_thread")]
async fn a_back_off_is_kept_to_the_second() {
    let clock = clock();
    let busy = |builder: Builder| {
        let clock = Arc::new(clock.clone());
        // Which request is the one that is refused, and so the shape of the refusal, depends on tasks.
        builder
            .busy_every(20, Duration::from_secs(1))
            .clock(clock)
            .without_shape_gate()
    };
    let (from, to) = (start(busy).await, start(busy).await);
    fill(&from, 1000);
    let begun = clock.now();
    migrate(&from, &to, &MemoryStore::new(), &clock).await;
    let waited = clock.now() - begun;
    once_each(&to, 1000);
    let mut told = 0;
    for server in [&from, &to] {
        let counters = server.counters();
        assert!(
            counters.code("ErrorServerBusy") >= counters.total_operations() / 20,
            "{counters:?}"
        );
        assert_eq!(counters.during_backoff, 0);
        assert!(counters.requests <= 150, "{counters:?}");
        told += counters.total_operations() / 20;
    }
    // The clock moves by waits alone: of the time at least nine tenths are what the servers asked for.
    let most = Duration::from_millis(1100 * told);
    assert!(waited <= most, "{waited:?} of {most:?}");
}

/// From a server that makes MIME anew, the fields that it leaves out come back from where it keeps them.
#[tokio::test]
async fn the_header_is_fetched_as_it_came() {
    use futures_util::StreamExt as _;
    use mailmove_core::{
        Source as _,
        identity::HeaderDigest,
        source::{Fetched, ListRequest},
    };
    use mailmove_testkit::mailbox::NewMessage;

    use crate::support::{fetch, ids, inbox, pages};

    let server = start(Builder::rebuilds_mime).await;
    let mail = "Received: from a by b; Tue, 1 Jul 2003 10:52:37 +0200\r\nDKIM-Signature: v=1; b=xyz\r\n\
        Message-ID: <1@example.com>\r\nDate: Tue, 1 Jul 2003 10:52:30 +0200\r\nFrom: a@example.com\r\n\
        To: b@example.com\r\nSubject: one\r\nX-Own: 1\r\n\r\nText.\r\n";
    let folder = account(&server).folder(&["INBOX"]).unwrap().id;
    account(&server)
        .append(folder, vec![NewMessage::new(mail)])
        .unwrap();
    let source = EwsSource::new(config(&server), password(), Edges::new());
    let folder = inbox(&source).await;
    let listed = pages(&source, ListRequest::new(&folder)).await.unwrap();
    let Some((_, Fetched::Content(content))) = fetch(&source, ids(&listed)).await.pop() else {
        panic!("a content")
    };
    let text = String::from_utf8_lossy(content.as_bytes().unwrap()).into_owned();
    for field in [
        "Received: from a by b;",
        "DKIM-Signature: v=1; b=xyz",
        "X-Own: 1",
        "10:52:30 +0200",
        "VGV4dC4NCg==",
    ] {
        assert!(text.contains(field), "no {field:?} in {text}");
    }
    // A listing that tells headers tells this one.
    let request = ListRequest::new(&folder).with_headers(true);
    let page = source.list(request).next().await.unwrap().unwrap();
    let [mailmove_core::source::Change::Item(item)] = page.changes.as_slice() else {
        panic!("an item")
    };
    // The rest of the digest changes with the boundary, which is another at each read.
    assert!(item.header.unwrap().is_traced());
    assert!(HeaderDigest::of(content.as_bytes().unwrap()).is_traced());
}
