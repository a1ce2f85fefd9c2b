//! Messages that are at the destination already.

use bytes::Bytes;
use mailmove_testkit::mailbox::NewMessage;

use crate::world::{World, add, mail, of, subjects};

#[tokio::test]
async fn a_lost_state_directory_doubles_nothing() {
    let world = World::with_corpus(200);
    world.run().await;
    let copied = world.destination.counters().appended;
    let world = World {
        store: mailmove_core::store::MemoryStore::new(),
        ..world
    };
    let report = world.run().await;
    world.assert_equal();
    assert_eq!(world.destination.counters().appended, copied);
    assert_eq!(report.total().already_there, report.total().found);
    assert!(world.verify().await.is_clean());
}

#[tokio::test]
async fn multiplicity_counts() {
    let world = World::new();
    let (source, destination) = (
        world.source.account().clone(),
        world.destination.account().clone(),
    );
    for _ in 0..3 {
        add(&source, &["INBOX"], mail("same", 1));
    }
    add(&destination, &["INBOX"], mail("same", 1));
    add(&destination, &["INBOX"], mail("own", 1));
    let report = world.run().await;
    let tally = of(&report, "INBOX").tally;
    assert_eq!((tally.copied, tally.already_there), (2, 1));
    assert_eq!(
        subjects(&destination, "INBOX"),
        ["own", "same", "same", "same"]
    );
}

#[tokio::test]
async fn an_equal_header_and_size_do_not_make_drafts_equal() {
    let world = World::new();
    let (source, destination) = (
        world.source.account().clone(),
        world.destination.account().clone(),
    );
    let draft = |text: &str| {
        let body = format!("Message-ID: <d@x>\r\nSubject: d\r\n\r\n{text}\r\n");
        NewMessage::new(Bytes::from(body)).with_flags(["\\Draft"])
    };
    add(&source, &["Drafts"], draft("second"));
    add(&destination, &["Drafts"], draft("first!"));
    let report = world.run().await;
    assert_eq!(of(&report, "Drafts").tally.copied, 1);
    assert_eq!(subjects(&destination, "Drafts").len(), 2);
}

#[tokio::test]
async fn messages_that_share_all_header_fields_and_the_size_are_told_apart() {
    // Two at the source, one of them at the destination: whichever comes first must not take it.
    for first in ["aaa", "bbb"] {
        let world = World::new();
        let body = |text: &str| {
            NewMessage::new(Bytes::from(format!(
                "Message-ID: <s@x>\r\nSubject: s\r\n\r\n{text}\r\n"
            )))
        };
        let second = if first == "aaa" { "bbb" } else { "aaa" };
        add(world.source.account(), &["INBOX"], body(first));
        add(world.source.account(), &["INBOX"], body(second));
        add(world.destination.account(), &["INBOX"], body("aaa"));
        world.run().await;
        world.assert_equal();
    }
}

#[tokio::test]
async fn mail_that_arrives_on_both_sides_during_the_migration_is_not_doubled() {
    let world = World::new();
    let (source, destination) = (
        world.source.account().clone(),
        world.destination.account().clone(),
    );
    add(&source, &["INBOX"], mail("a", 1));
    world.run().await;
    add(&source, &["INBOX"], mail("both", 0));
    add(&destination, &["INBOX"], mail("both", 0));
    let report = world.run().await;
    assert_eq!(of(&report, "INBOX").tally.already_there, 1);
    world.assert_equal();
}

#[tokio::test]
async fn flags_of_what_was_there_are_only_added_to() {
    let world = World::new();
    let (source, destination) = (
        world.source.account().clone(),
        world.destination.account().clone(),
    );
    add(&source, &["INBOX"], mail("a", 1).with_flags(["\\Seen"]));
    add(
        &destination,
        &["INBOX"],
        mail("a", 1).with_flags(["\\Flagged"]),
    );
    world.run().await;
    assert_eq!(subjects(&destination, "INBOX"), ["a \\Flagged \\Seen"]);
}
