//! One content in many folders is fetched once, and copied at the destination.

use std::time::Duration;

use mailmove_core::{ErrorKind, model::Batching, report::Status, store::When};
use mailmove_testkit::{
    mailbox::{Account, FlagOp, NewMessage},
    memory::{AppendFault, Fault, Landing},
};

use crate::world::{NOW, World, add, flag, mail, of, subjects};

/// A source that names contents.
fn world() -> World {
    let mut world = World::new();
    world.source = world.source.configure(|can| can.content_ids = true);
    world
}

/// The same message in each of these folders.
fn place(account: &Account, folders: &[&str], message: NewMessage) {
    let (first, others) = folders.split_first().unwrap();
    let uid = add(account, &[*first], message);
    let from = account.folder(&[*first]).unwrap().id;
    for other in others {
        let to = match account.folder(&[*other]) {
            Ok(folder) => folder.id,
            Err(_) => account.create(&[*other]).unwrap(),
        };
        account.copy(from, &[uid], to).unwrap();
    }
}

/// So many messages in three folders each, and some in one alone.
fn scene(messages: u32) -> World {
    let mut world = world();
    world.destination = world
        .destination
        .configure(|can| can.batching = Batching::new(4, 1 << 20, true));
    let labels = ["A", "B", "C", "D"];
    for n in 0..messages {
        let at = n as usize;
        let folders = ["INBOX", labels[at % 4], labels[(at + 1) % 4]];
        place(
            world.source.account(),
            &folders,
            mail(&format!("m{n}"), i64::from(n)).with_flags(["\\Seen", "Work"]),
        );
    }
    for n in 0..3 {
        add(world.source.account(), &["A"], mail(&format!("a{n}"), 1));
    }
    world
}

#[tokio::test]
async fn a_content_is_fetched_once() {
    let world = scene(200);
    let report = world.run().await;
    world.assert_equal();
    assert_eq!(world.source.counters().fetched, 203);
    let there = world.destination.counters();
    assert_eq!((there.appended, there.copied), (203, 400));
    let total = report.total();
    assert_eq!((total.copied, total.by_reference), (603, 400));
    assert!(world.verify().await.is_clean());
    let second = world.run().await;
    assert_eq!(second.total().copied, 0);
    let after = world.destination.counters();
    assert_eq!((after.appended, after.copied), (203, 400));
    assert_eq!(world.source.counters().fetched, 203);
}

#[tokio::test]
async fn folders_that_become_one_keep_each_copy() {
    let mut world = scene(20);
    let into = |from: &str| {
        mailmove_core::map::Place::new(
            mailmove_core::model::FolderPath::new([from]),
            mailmove_core::model::FolderPath::inbox(),
        )
        .unwrap()
    };
    for label in ["A", "B"] {
        world.options.folders = world.options.folders.with_place(into(label));
    }
    let report = world.run().await;
    assert_eq!(report.total().copied, 63);
    assert_eq!(world.source.counters().fetched, 23);
    let inbox = subjects(world.destination.account(), "INBOX");
    let times = |name: &str| inbox.iter().filter(|s| s.starts_with(name)).count();
    // In A and B and the inbox; in C and D and the inbox.
    assert_eq!((times("m0 "), times("m2 ")), (3, 1));
}

#[tokio::test]
async fn a_destination_that_cannot_copy_is_sent_each() {
    let mut world = scene(30);
    world.destination = world.destination.configure(|can| can.copies = false);
    world.run().await;
    world.assert_equal();
    assert_eq!(world.destination.counters().appended, 93);
}

#[tokio::test]
async fn copies_without_ids_are_looked_up() {
    let mut world = scene(20);
    world.destination = world.destination.configure(|can| can.returns_ids = false);
    // Ids are known when a folder is done.
    world.options.concurrency = Some(1);
    let source = world.source.account();
    flag(source, "B", 2, FlagOp::Add, &["\\Flagged"]);
    world.run().await;
    world.assert_equal();
    assert_eq!(world.source.counters().fetched, 23);
    assert!(world.verify().await.is_clean());
}

#[tokio::test]
async fn flags_that_differ_are_set_on_the_copy() {
    let world = scene(8);
    let source = world.source.account();
    flag(source, "A", 1, FlagOp::Add, &["\\Flagged", "Later"]);
    flag(source, "B", 1, FlagOp::Remove, &["\\Seen"]);
    flag(source, "INBOX", 3, FlagOp::Set, &["\\Answered"]);
    world.run().await;
    world.assert_equal();
    assert_eq!(world.source.counters().fetched, 11);
    assert!(world.verify().await.is_clean());
    let updates = world.destination.counters().updates;
    world.run().await;
    assert_eq!(world.destination.counters().updates, updates);
}

#[tokio::test]
async fn what_is_marked_deleted_is_not_copied_from() {
    let world = scene(8);
    let source = world.source.account();
    for uid in 1..=8 {
        flag(source, "INBOX", uid, FlagOp::Add, &["\\Deleted"]);
    }
    world.run().await;
    world.assert_equal();
    assert_eq!(world.source.counters().fetched, 11 + 8);
}

#[tokio::test]
async fn an_original_that_is_gone_there_is_fetched_again() {
    let world = world();
    let source = world.source.account().clone();
    for n in 0..6 {
        place(&source, &["INBOX"], mail(&format!("m{n}"), n));
    }
    world.run().await;
    let there = world.destination.account().clone();
    let inbox = there.folder(&["INBOX"]).unwrap().id;
    // Known only to whoever asks: the folder of the originals is not looked at in this pass.
    there.remove(inbox, &[2, 3]).unwrap();
    let from = source.folder(&["INBOX"]).unwrap().id;
    let label = source.create(&["Label"]).unwrap();
    source.copy(from, &[1, 2, 3, 4], label).unwrap();
    let report = world.run().await;
    let counters = world.destination.counters();
    assert_eq!(counters.appended, 6 + 2, "{report:#?}");
    assert_eq!(of(&report, "Label").tally.copied, 4);
    assert_eq!(subjects(&there, "Label"), ["m0", "m1", "m2", "m3"]);
    assert_eq!(subjects(&there, "INBOX"), ["m0", "m3", "m4", "m5"]);
}

#[tokio::test]
async fn a_label_added_or_moved_later_costs_no_body() {
    let world = scene(12);
    world.run().await;
    let fetched = world.source.counters().fetched;
    let source = world.source.account();
    let (inbox, a) = (
        source.folder(&["INBOX"]).unwrap().id,
        source.folder(&["A"]).unwrap().id,
    );
    let new = source.create(&["New"]).unwrap();
    source.copy(inbox, &[1, 2], new).unwrap();
    source.move_messages(a, &[1, 3], new).unwrap();
    source.move_messages(a, &[4], inbox).unwrap();
    let report = world.run().await;
    world.assert_equal();
    assert_eq!(world.source.counters().fetched, fetched);
    assert_eq!(of(&report, "New").tally.moved, 2);
    assert!(world.verify().await.is_clean());
}

#[tokio::test]
async fn refusals_of_copies_cost_a_fetch_each() {
    let world = scene(20);
    for (at, kind) in [
        (3, ErrorKind::Refused),
        (5, ErrorKind::Unavailable),
        (9, ErrorKind::NotFound),
    ] {
        world
            .destination
            .arm(Fault::Copy(at, AppendFault::Refuse(kind)));
    }
    world.run().await;
    world.assert_equal();
    // Or less, where a third folder's message could be copied.
    let fetched = world.source.counters().fetched;
    assert!((23..=25).contains(&fetched), "{fetched}");
}

#[tokio::test]
async fn whoever_waited_fetches_when_the_other_failed() {
    let world = scene(20);
    for at in [2, 5, 6] {
        world
            .source
            .arm(Fault::FetchRefused(at, ErrorKind::Refused));
    }
    let report = world.try_run().await.unwrap();
    assert_eq!(report.status(), Status::CompleteWithFailures);
    assert_eq!(report.total().failed, 3);
    world.run().await;
    world.assert_equal();
    world.no_violations();
}

fn with_flags() -> World {
    let world = scene(14);
    let source = world.source.account();
    flag(source, "A", 1, FlagOp::Add, &["\\Flagged"]);
    flag(source, "B", 1, FlagOp::Remove, &["\\Seen"]);
    flag(source, "C", 2, FlagOp::Set, &["\\Answered"]);
    flag(source, "INBOX", 4, FlagOp::Add, &["Later"]);
    world
}

async fn commits_of_an_undisturbed_run(world: World) -> u64 {
    world.run().await;
    world.assert_equal();
    world.store.commits()
}

#[tokio::test]
async fn killed_at_every_commit() {
    let most = commits_of_an_undisturbed_run(with_flags()).await;
    for n in 1..=most {
        for when in [When::Before, When::After] {
            let world = with_flags();
            world.store.die_at_commit(n, when);
            world.until_done().await;
            world.assert_equal();
            world.no_violations();
        }
    }
}

#[tokio::test]
async fn killed_at_every_commit_without_ids() {
    let scene = || {
        let mut world = with_flags();
        world.destination = world.destination.configure(|can| can.returns_ids = false);
        world.options.concurrency = Some(1);
        world
    };
    let most = commits_of_an_undisturbed_run(scene()).await;
    for n in 1..=most {
        let world = scene();
        world.store.die_at_commit(n, When::After);
        world.until_done().await;
        world.assert_equal();
    }
}

#[tokio::test]
async fn copies_in_doubt_are_settled() {
    for at in 0..28 {
        let later = Duration::from_secs(NOW.unsigned_abs() + 5);
        for landing in [Landing::Stored, Landing::Lost, Landing::At(later)] {
            let world = with_flags();
            world
                .destination
                .arm(Fault::Copy(at, AppendFault::Unknown(landing)));
            world.run().await;
            world.destination.land();
            world.assert_equal();
        }
    }
}

#[tokio::test]
async fn killed_at_every_commit_with_a_copy_landing_late() {
    let most = commits_of_an_undisturbed_run(with_flags()).await;
    for n in 1..=most {
        let world = with_flags();
        let late = Duration::from_secs(NOW.unsigned_abs() + n % 9);
        let fault = AppendFault::Unknown(Landing::At(late));
        world.destination.arm(Fault::Copy(n % 28, fault));
        world.store.die_at_commit(n, When::Before);
        world.until_done().await;
        world.destination.land();
        world.assert_equal();
    }
}
