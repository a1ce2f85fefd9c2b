//! The folder with all messages keeps what no other mapped folder has.

use mailmove_core::{map::Pattern, store::When};
use mailmove_testkit::{
    mailbox::{Account, FlagOp, FolderId, InternalDate, NewMessage},
    memory::MemoryMailbox,
};

use crate::world::{NOW, World, add, flag, mail, of, subjects};

/// A source as Gmail shows itself: each message in "All", and in a folder for each label.
fn world() -> World {
    let mut world = World::new();
    world.source = world.source.configure(|can| can.content_ids = true);
    let account = world.source.account();
    account.create_special(&["All"], &["\\All"]).unwrap();
    account
        .create_special(&["Starred"], &["\\Flagged"])
        .unwrap();
    for label in ["A", "B"] {
        account.create(&[label]).unwrap();
    }
    world
}

fn id(account: &Account, folder: &str) -> FolderId {
    account.folder(&[folder]).unwrap().id
}

/// A message with these labels; its UID in "All".
fn place(account: &Account, labels: &[&str], message: NewMessage) -> u32 {
    let uid = add(account, &["All"], message);
    for label in labels {
        account
            .copy(id(account, "All"), &[uid], id(account, label))
            .unwrap();
    }
    uid
}

fn scene() -> World {
    let world = world();
    let source = world.source.account();
    for (n, labels) in [
        &["INBOX"][..],
        &["INBOX", "A"],
        &["A", "B"],
        &[],
        &["Starred"],
        &["B"],
        &[],
    ]
    .into_iter()
    .enumerate()
    {
        place(source, labels, mail(&format!("m{n}"), n as i64));
    }
    world
}

#[tokio::test]
async fn all_keeps_what_has_no_label() {
    let world = scene();
    let report = world.run().await;
    let there = world.destination.account();
    assert_eq!(subjects(there, "All"), ["m3", "m4", "m6"]);
    assert_eq!(subjects(there, "INBOX"), ["m0", "m1"]);
    assert_eq!(subjects(there, "A"), ["m1", "m2"]);
    assert!(there.folder(&["Starred"]).is_err());
    let all = &of(&report, "All").tally;
    assert_eq!((all.found, all.copied, all.excluded), (7, 3, 4));
    assert!(of(&report, "Starred").excluded.is_some());
    assert_eq!(world.source.counters().fetched, 7);
    let plan = world.migration().plan().await.unwrap();
    assert!(plan.folders.iter().all(|folder| folder.to_do == 0));
}

#[tokio::test]
async fn all_goes_to_the_archive_if_there_is_one() {
    let world = scene();
    let there = world.destination.account();
    there.create_special(&["Archiv"], &["\\Archive"]).unwrap();
    world.run().await;
    assert_eq!(subjects(there, "Archiv"), ["m3", "m4", "m6"]);
}

#[tokio::test]
async fn labels_that_are_not_mapped_do_not_count() {
    let mut world = scene();
    let not_a = Pattern::new("A").unwrap();
    world.options.folders = world.options.folders.with_exclude(not_a);
    world.run().await;
    let there = world.destination.account();
    assert_eq!(subjects(there, "All"), ["m3", "m4", "m6"]);
    let not_b = Pattern::new("B").unwrap();
    world.options.folders = world.options.folders.with_exclude(not_b);
    // Nothing changed at the source, but B is not taken any more.
    world.run().await;
    assert_eq!(subjects(there, "All"), ["m2", "m3", "m4", "m5", "m6"]);
    assert_eq!(world.source.counters().fetched, 7);
}

#[tokio::test]
async fn a_label_removed_makes_it_wanted_again() {
    let world = scene();
    let source = world.source.account();
    world.run().await;
    let (fetched, appended) = (
        world.source.counters().fetched,
        world.destination.counters().appended,
    );
    // m0 loses its only label, m1 one of two, m3 gets one.
    let inbox = id(source, "INBOX");
    source.remove(inbox, &[1, 2]).unwrap();
    source
        .copy(id(source, "All"), &[4], id(source, "B"))
        .unwrap();
    flag(source, "All", 1, FlagOp::Add, &["\\Flagged"]);
    let report = world.run().await;
    let there = world.destination.account();
    assert_eq!(subjects(there, "All"), ["m0 \\Flagged", "m3", "m4", "m6"]);
    assert_eq!(subjects(there, "B"), ["m2", "m3", "m5"]);
    assert_eq!(of(&report, "All").tally.moved, 1);
    assert_eq!(world.source.counters().fetched, fetched);
    assert_eq!(world.destination.counters().appended, appended);
    // A message left INBOX there: the next pass looks into it once, and the one after has no reason.
    for expected in [3, 2] {
        let operations = world.destination.counters().operations;
        world.run().await;
        let now = world.destination.counters().operations;
        assert_eq!(now - operations, expected);
    }
}

#[tokio::test]
async fn killed_at_every_commit_of_a_later_pass() {
    async fn changed() -> World {
        let world = scene();
        world.run().await;
        let source = world.source.account();
        source.remove(id(source, "INBOX"), &[1, 2]).unwrap();
        source.remove(id(source, "B"), &[2]).unwrap();
        place(source, &["A"], mail("new", 0));
        place(source, &[], mail("newer", 0));
        world
    }
    let end = |world: &World| {
        let there = world.destination.account();
        ["INBOX", "A", "B", "All"].map(|folder| subjects(there, folder))
    };
    let world = changed().await;
    let start = world.store.commits();
    world.run().await;
    let (most, expected) = (world.store.commits() - start, end(&world));
    assert_eq!(expected[3], ["m0", "m3", "m4", "m5", "m6", "newer"]);
    for n in 1..=most {
        for when in [When::Before, When::After] {
            let world = changed().await;
            world.store.die_at_commit(world.store.commits() + n, when);
            world.try_run().await.ok();
            world.run().await;
            assert_eq!(end(&world), expected, "{n} {when:?}");
        }
    }
}

/// A destination that folds identical messages, at once or when it is looked at next.
#[tokio::test]
async fn a_destination_that_folds_is_accounted_for() {
    let mut world = World::new();
    world.destination = world.destination.with_merging();
    let source = world.source.account();
    for n in 0..12 {
        let twin = NewMessage::new(mail(&format!("m{}", n / 2), 0).body)
            .with_date(InternalDate::utc(NOW - n));
        add(source, &["INBOX"], twin);
    }
    let report = world.run().await;
    let inbox = of(&report, "INBOX");
    assert_eq!((inbox.tally.copied, inbox.tally.already_there), (6, 6));
    let merged = mailmove_core::model::AlterationKind::MergedByServer;
    assert_eq!(inbox.altered.get(&merged), Some(&6));
    assert_eq!(subjects(world.destination.account(), "INBOX").len(), 6);
    let appended = world.destination.counters().appended;
    world.run().await;
    assert_eq!(world.destination.counters().appended, appended);
    assert!(world.verify().await.is_clean());
}

/// It confirms twins with an id each, and keeps one.
#[tokio::test]
async fn what_is_folded_later_is_accounted_for() {
    let mut world = World::new();
    world.destination = world.destination.configure(|can| can.merges = true);
    let source = world.source.account();
    for n in 0..6 {
        add(source, &["INBOX"], mail(&format!("m{}", n / 2), 0));
    }
    let there: MemoryMailbox = world.destination.clone();
    world.destination = there.clone().with_late_merging();
    let report = world.run().await;
    let inbox = of(&report, "INBOX");
    assert_eq!((inbox.tally.copied, inbox.tally.already_there), (3, 3));
    assert_eq!(subjects(there.account(), "INBOX"), ["m0", "m1", "m2"]);
    world.run().await;
    assert_eq!(there.counters().appended, 6);
    assert!(world.verify().await.is_clean());
}
