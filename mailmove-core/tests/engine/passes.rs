//! What a pass brings over, and what a later one does.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use mailmove_core::{Event, Migration, Observer, map::Pattern, model::Timestamp, report::Status};
use mailmove_testkit::mailbox::FlagOp;

use crate::world::{World, add, flag, mail, of, subjects};

#[tokio::test]
async fn everything_arrives_and_a_second_pass_copies_nothing() {
    let world = World::with_corpus(300);
    let first = world.run().await;
    world.assert_equal();
    let total = first.total();
    assert_eq!(total.copied, total.found);
    assert!(total.is_closed());
    let before = world.destination.counters();
    let commits = world.store.commits();
    let second = world.run().await;
    world.assert_equal();
    assert_eq!(second.total().copied, 0);
    assert_eq!(second.total().earlier, total.copied);
    let after = world.destination.counters();
    assert_eq!(after.batches, before.batches);
    // One look at the folders, nothing per folder; nor has the ledger more to learn than of one.
    assert_eq!(after.operations - before.operations, 2, "{after:?}");
    assert_eq!(world.store.commits() - commits, 2);
    assert!(world.verify().await.is_clean());
}

/// Adds up what it is told of.
#[derive(Debug, Default)]
struct Sum(Arc<AtomicU64>);

impl Observer for Sum {
    fn on(&self, event: &Event) {
        if let Event::Progress { messages, .. } = event {
            self.0.fetch_add(*messages, Ordering::Relaxed);
        }
    }
}

#[tokio::test]
async fn each_message_is_told_once() {
    // Found by a listing and fetched later, or listed with their contents.
    for inline in [None, Some(u64::MAX)] {
        let mut world = World::with_corpus(100);
        world.source = world.source.with_inline(inline);
        let told = Arc::new(AtomicU64::new(0));
        let migration = Migration::builder(world.source.clone(), world.destination.clone())
            .store(world.store.clone())
            .edges(world.edges.clone())
            .observer(Sum(Arc::clone(&told)));
        let report = migration.build().unwrap().run().await.unwrap();
        assert_eq!(told.load(Ordering::Relaxed), report.total().found);
    }
}

#[tokio::test]
async fn the_source_is_not_altered() {
    let world = World::with_corpus(50);
    let before = world.source.account().snapshot();
    world.run().await;
    assert_eq!(
        before.difference(&world.source.account().snapshot()),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn new_mail_flag_changes_and_moves_follow() {
    let world = World::new();
    let source = world.source.account();
    for n in 0..20 {
        add(source, &["INBOX"], mail(&format!("m{n}"), n));
    }
    add(source, &["Work"], mail("w", 3));
    world.run().await;
    let first = world.destination.counters();
    add(source, &["INBOX"], mail("new", 0));
    flag(source, "INBOX", 1, FlagOp::Add, &["\\Seen", "$Forwarded"]);
    let inbox = source.folder(&["INBOX"]).unwrap().id;
    let work = source.folder(&["Work"]).unwrap().id;
    source.move_messages(inbox, &[2, 3], work).unwrap();
    let report = world.run().await;
    world.assert_equal();
    let after = world.destination.counters();
    assert_eq!(
        after.appended - first.appended,
        1,
        "only the new one is appended"
    );
    assert_eq!(of(&report, "INBOX").tally.copied, 1);
    assert_eq!(of(&report, "INBOX").tally.flags_changed, 1);
    assert_eq!(of(&report, "Work").tally.moved, 2);
    assert!(world.verify().await.is_clean());
    world.run().await;
    assert_eq!(world.destination.counters().appended, after.appended);
}

#[tokio::test]
async fn flags_are_merged_three_ways() {
    let world = World::new();
    let (source, destination) = (
        world.source.account().clone(),
        world.destination.account().clone(),
    );
    add(&source, &["INBOX"], mail("a", 1).with_flags(["\\Seen"]));
    world.run().await;
    // Marked unread there, flagged here: both stand.
    flag(&destination, "INBOX", 1, FlagOp::Remove, &["\\Seen"]);
    flag(
        &source,
        "INBOX",
        1,
        FlagOp::Add,
        &["\\Flagged", "\\Deleted"],
    );
    world.run().await;
    assert_eq!(subjects(&destination, "INBOX"), ["a \\Flagged"]);
}

#[tokio::test]
async fn what_the_user_removed_there_does_not_come_back() {
    let world = World::new();
    let (source, destination) = (
        world.source.account().clone(),
        world.destination.account().clone(),
    );
    for n in 0..5 {
        add(&source, &["INBOX"], mail(&format!("m{n}"), n));
    }
    world.run().await;
    let inbox = destination.folder(&["INBOX"]).unwrap().id;
    destination.remove(inbox, &[2]).unwrap();
    for _ in 0..2 {
        let report = world.run().await;
        assert_eq!(of(&report, "INBOX").tally.removed_there, 1);
        assert_eq!(subjects(&destination, "INBOX").len(), 4);
    }
    add(&source, &["INBOX"], mail("new", 0));
    world.run().await;
    assert_eq!(subjects(&destination, "INBOX").len(), 5);
}

#[tokio::test]
async fn a_destination_that_lost_many_stops_the_folder() {
    let world = World::new();
    let (source, destination) = (
        world.source.account().clone(),
        world.destination.account().clone(),
    );
    for n in 0..100 {
        add(&source, &["INBOX"], mail(&format!("m{n}"), n));
    }
    world.run().await;
    let inbox = destination.folder(&["INBOX"]).unwrap().id;
    let uids: Vec<u32> = (1..=30).collect();
    destination.remove(inbox, &uids).unwrap();
    let report = world.try_run().await.unwrap();
    assert_eq!(report.status(), Status::CompleteWithFailures);
    let problem = of(&report, "INBOX").problem.clone().unwrap();
    assert_eq!(problem.code, "destination/lost");
    assert_eq!(
        subjects(&destination, "INBOX").len(),
        70,
        "nothing is sent again unasked"
    );
    // Accepted: they count as removed there.
    let mut world = world;
    world.options.accept_lost = true;
    let report = world.run().await;
    assert_eq!(of(&report, "INBOX").tally.removed_there, 30);
    assert_eq!(subjects(&destination, "INBOX").len(), 70);
}

#[tokio::test]
async fn a_renumbered_destination_is_matched_again() {
    let world = World::with_corpus(100);
    world.run().await;
    let copied = world.destination.counters().appended;
    let account = world.destination.account();
    for folder in account.folders() {
        account.bump_uidvalidity(folder.id).unwrap();
    }
    world.run().await;
    world.assert_equal();
    assert_eq!(
        world.destination.counters().appended,
        copied,
        "nothing is copied again"
    );
    assert!(world.verify().await.is_clean());
}

#[tokio::test]
async fn a_renumbered_source_is_matched_again() {
    let world = World::with_corpus(100);
    world.run().await;
    let copied = world.destination.counters().appended;
    let account = world.source.account();
    for folder in account.folders() {
        account.bump_uidvalidity(folder.id).unwrap();
    }
    world.run().await;
    world.assert_equal();
    assert_eq!(
        world.destination.counters().appended,
        copied,
        "nothing is copied again"
    );
}

#[tokio::test]
async fn filters_leave_out_with_a_reason_and_may_change() {
    let mut world = World::new();
    let source = world.source.account().clone();
    add(&source, &["INBOX"], mail("old", 100));
    add(&source, &["INBOX"], mail("new", 1));
    world.options.filter.since = Some(Timestamp::new(crate::world::NOW - 50 * 86_400, 0));
    let report = world.run().await;
    let tally = of(&report, "INBOX").tally;
    assert_eq!((tally.found, tally.copied, tally.excluded), (2, 1, 1));
    world.options.filter.since = None;
    let report = world.run().await;
    let tally = of(&report, "INBOX").tally;
    assert_eq!((tally.copied, tally.earlier, tally.excluded), (1, 1, 0));
    world.assert_equal();
}

#[tokio::test]
async fn excluded_folders_are_accounted_for() {
    let mut world = World::new();
    let source = world.source.account().clone();
    add(&source, &["INBOX"], mail("a", 1));
    add(&source, &["Junk mail"], mail("b", 1));
    world
        .options
        .folders
        .exclude
        .push(Pattern::new("Junk mail").unwrap());
    let report = world.run().await;
    assert!(of(&report, "Junk mail").excluded.is_some());
    assert_eq!(of(&report, "Junk mail").tally.excluded, 1);
    assert_eq!(subjects(world.destination.account(), "Junk mail").len(), 0);
}

#[tokio::test]
async fn a_folder_renamed_at_the_source_is_not_copied_again() {
    let world = World::new();
    let source = world.source.account().clone();
    for n in 0..10 {
        add(&source, &["Old"], mail(&format!("m{n}"), n));
    }
    world.run().await;
    source.rename(&["Old"], &["New"]).unwrap();
    let before = world.destination.counters().appended;
    world.run().await;
    assert_eq!(world.destination.counters().appended, before);
    assert!(world.verify().await.is_clean());
}

#[tokio::test]
async fn an_order_to_stop_leaves_a_state_that_goes_on() {
    let world = World::with_corpus(200);
    world.stop.request();
    let report = world.try_run().await;
    // Nothing was begun, or what was begun ended in order.
    if let Ok(report) = report {
        assert_eq!(report.status(), Status::Cancelled);
    }
    assert_eq!(world.store.intents(&world.job()).len(), 0);
    let world = World {
        stop: mailmove_core::Stop::new(),
        ..world
    };
    world.run().await;
    world.assert_equal();
}

#[tokio::test]
async fn weaker_servers_get_everything_too() {
    for weakness in 0..6 {
        let mut world = World::with_corpus(60);
        let change = |can: &mut mailmove_core::model::Capabilities| match weakness {
            0 => can.returns_ids = false,
            1 => can.deltas = false,
            2 => can.change_tokens = false,
            3 => can.batching = mailmove_core::model::Batching::new(1, 1, false),
            4 => can.moves = false,
            _ => can.concurrency = 1,
        };
        world.source = world.source.configure(change);
        world.destination = world.destination.configure(change);
        world.run().await;
        world.assert_equal();
        let source = world.source.account();
        add(source, &["INBOX"], mail("new", 0));
        let report = world.run().await;
        assert_eq!(report.total().copied, 1, "weakness {weakness}");
        world.assert_equal();
    }
}
