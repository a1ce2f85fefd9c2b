//! What was sent and not answered, or answered oddly.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use mailmove_core::{
    Migration, Stop,
    model::AlterationKind,
    observe::{Event, Observer},
    report::Status,
    store::When,
};
use mailmove_testkit::{
    mailbox::Account,
    memory::{AppendFault, Fault, Landing},
};

use super::{accounts, batches, moved};
use crate::world::{NOW, World, add, mail, of, subjects};

#[tokio::test]
async fn twins_in_one_batch_are_not_taken_for_each_other() {
    for landing in [Landing::Lost, Landing::Stored] {
        let world = batches(World::new(), 8, false);
        for _ in 0..4 {
            add(world.source.account(), &["INBOX"], mail("twin", 1));
        }
        world
            .destination
            .arm(Fault::Append(2, AppendFault::Unknown(landing)));
        world.run().await;
        world.assert_equal();
        assert!(world.verify().await.is_clean());
    }
}

#[tokio::test]
async fn a_confirmed_message_without_an_id_is_not_taken_for_its_twin() {
    // Confirmed without an id, and its twin lost: in one batch, in two, and in two runs.
    for (most, dies) in [(8, false), (1, false), (1, true)] {
        let mut world = batches(World::new(), most, false);
        world.destination = world.destination.configure(|can| can.returns_ids = false);
        for _ in 0..4 {
            add(world.source.account(), &["INBOX"], mail("twin", 1));
        }
        world
            .destination
            .arm(Fault::Append(2, AppendFault::Unknown(Landing::Lost)));
        if dies {
            world.store.die_at_commit(7, When::After);
        }
        world.until_done().await;
        world.assert_equal();
        assert!(world.verify().await.is_clean());
    }
}

#[tokio::test]
async fn what_is_in_doubt_is_read_however_often_the_connection_breaks() {
    let mut world = batches(World::new(), 60, false);
    let destination = world.destination.with_page(1);
    world.destination = destination.configure(|can| can.returns_ids = false);
    for n in 0..60 {
        add(
            world.source.account(),
            &["INBOX"],
            mail(&format!("m{n}"), n),
        );
    }
    // Which is which, only a look can tell, and each breaks off after two.
    world.destination.arm(Fault::ReadingBreaks(2));
    let report = world.run().await;
    assert_eq!(report.status(), Status::Complete, "{report:#?}");
    let looks = world.destination.counters().existing_contents;
    assert!(looks >= 30, "{looks}");
    world.assert_equal();
    assert_eq!(world.run().await.total().copied, 0);
}

#[tokio::test]
async fn a_server_that_names_one_id_twice_is_not_believed() {
    for odd in [AppendFault::SameIds, AppendFault::NoIds] {
        let world = batches(World::new(), 4, true);
        for n in 0..12 {
            add(
                world.source.account(),
                &["INBOX"],
                mail(&format!("m{}", n / 2), 1),
            );
        }
        world.destination.arm(Fault::Append(5, odd));
        world.run().await;
        world.assert_equal();
        assert!(world.verify().await.is_clean());
    }
}

#[tokio::test]
async fn what_was_in_doubt_and_moved_before_the_next_run_is_not_copied_twice() {
    let undisturbed = World::new();
    add(undisturbed.source.account(), &["INBOX"], mail("m", 1));
    undisturbed.run().await;
    let most = undisturbed.store.commits();
    for n in 1..=most {
        let world = World::new();
        let (source, _) = accounts(&world);
        add(&source, &["INBOX"], mail("m", 1));
        world.store.die_at_commit(n, When::Before);
        let _ = world.try_run().await;
        moved(&source, "INBOX", &[1], "Work");
        world.until_done().await;
        world.assert_equal();
    }
}

/// Eight messages, one append of which is not answered and lands so many seconds later.
fn lands_after(seconds: u64) -> (World, Account) {
    let world = batches(World::new(), 4, false);
    let (source, destination) = accounts(&world);
    for n in 0..8 {
        add(&source, &["INBOX"], mail(&format!("m{n}"), n));
    }
    let late = Landing::At(Duration::from_secs(NOW.unsigned_abs() + seconds));
    world
        .destination
        .arm(Fault::Append(5, AppendFault::Unknown(late)));
    (world, destination)
}

#[tokio::test]
async fn a_copy_that_lands_after_the_folders_end_is_removed_at_the_passs_end() {
    for seconds in [12, 40, 90] {
        let (world, destination) = lands_after(seconds);
        let report = world.run().await;
        assert_eq!(report.total().copied, 8);
        assert_eq!(world.destination.in_flight(), 0);
        world.assert_equal();
        assert_eq!(subjects(&destination, "INBOX").len(), 8);
        assert_eq!(world.run().await.total().copied, 0);
    }
}

/// Asks to stop as soon as a pass waits for what may land.
#[derive(Debug)]
struct StopWhenWaiting(Stop);

impl Observer for StopWhenWaiting {
    fn on(&self, event: &Event) {
        if matches!(event, Event::Note { text, .. } if text.contains("may still land")) {
            self.0.request();
        }
    }
}

async fn stopped_while_waiting(world: &World) {
    let stop = Stop::new();
    let migration = Migration::builder(world.source.clone(), world.destination.clone())
        .store(world.store.clone())
        .edges(world.edges.clone())
        .observer(StopWhenWaiting(stop.clone()))
        .stop(stop);
    let report = migration.build().unwrap().run().await.unwrap();
    assert_eq!(report.status(), Status::Cancelled, "{report:#?}");
    assert_eq!(world.destination.in_flight(), 1);
}

#[tokio::test]
async fn a_pass_that_was_broken_off_while_it_waited_is_ended_by_one_that_follows_at_once() {
    for after in [Duration::ZERO, Duration::from_secs(3600)] {
        let (world, destination) = lands_after(90);
        stopped_while_waiting(&world).await;
        world.edges.clock.sleep(after).await;
        world.destination.land();
        assert_eq!(subjects(&destination, "INBOX").len(), 9);
        let report = world.try_run().await.unwrap();
        let (doubled, there) = if after.is_zero() { (0, 8) } else { (1, 9) };
        assert_eq!(report.total().doubled, doubled, "{report:#?}");
        assert_eq!(
            subjects(&destination, "INBOX").len(),
            there,
            "it may be the user's"
        );
        // Told once.
        world.run().await;
    }
}

#[tokio::test]
async fn a_copy_that_lands_in_a_folder_numbered_anew_is_reported() {
    let (world, destination) = lands_after(60);
    stopped_while_waiting(&world).await;
    world.destination.land();
    let inbox = destination.folder(&["INBOX"]).unwrap().id;
    destination.bump_uidvalidity(inbox).unwrap();
    let report = world.try_run().await.unwrap();
    assert_eq!(report.total().doubled, 1, "{report:#?}");
    assert_ne!(report.status(), Status::Complete);
    assert_eq!(
        subjects(&destination, "INBOX").len(),
        9,
        "it may be the user's"
    );
}

#[tokio::test]
async fn a_copy_that_lands_after_all_is_reported_by_the_next_pass() {
    let (world, destination) = lands_after(3600);
    world.run().await;
    assert_eq!(world.destination.in_flight(), 1);
    world.destination.land();
    assert_eq!(subjects(&destination, "INBOX").len(), 9);
    let report = world.try_run().await.unwrap();
    assert_eq!(report.total().doubled, 1, "{report:#?}");
    assert_ne!(report.status(), Status::Complete);
    assert_eq!(
        subjects(&destination, "INBOX").len(),
        9,
        "it may be the user's"
    );
    // Told once.
    world.run().await;
}

/// Counts surplus copies that were removed; puts copies of the user's own there when something is
/// sent again.
#[derive(Debug)]
struct Watcher {
    removed: Arc<AtomicU64>,
    destination: Account,
}

impl Observer for Watcher {
    fn on(&self, event: &Event) {
        match event {
            Event::Settling { .. } => {
                for _ in 0..3 {
                    add(
                        &self.destination,
                        &["INBOX"],
                        mail("m1", 1).with_flags(["Mine"]),
                    );
                }
            }
            Event::Note { text, .. } if text.contains("copies of our own") => {
                let word = text.split(' ').rev().nth(1).unwrap();
                self.removed
                    .fetch_add(word.parse().unwrap(), Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn only_as_many_late_copies_are_removed_as_were_sent_twice() {
    let removed = Arc::new(AtomicU64::new(0));
    for seconds in 1..40 {
        let mut world = batches(World::new(), 2, false);
        // Time passes with each operation, so that it lands at any point of the pass.
        world.destination = world.destination.with_latency(Duration::from_secs(1));
        let (source, destination) = accounts(&world);
        for n in 0..8 {
            add(&source, &["INBOX"], mail(&format!("m{n}"), n));
        }
        let late = Landing::At(Duration::from_secs(NOW.unsigned_abs() + seconds));
        world
            .destination
            .arm(Fault::Append(3, AppendFault::Unknown(late)));
        let watcher = Watcher {
            removed: Arc::clone(&removed),
            destination: destination.clone(),
        };
        let migration = Migration::builder(world.source.clone(), world.destination.clone())
            .store(world.store.clone())
            .edges(world.edges.clone())
            .observer(watcher);
        let report = migration.build().unwrap().run().await.unwrap();
        world.destination.land();
        let there = subjects(&destination, "INBOX");
        let of_m3 = there.iter().filter(|subject| *subject == "m3").count();
        if of_m3 != 1 {
            // It came after the folder's end.
            let next = world.try_run().await.unwrap();
            assert_eq!(
                (of_m3, next.total().doubled),
                (2, 1),
                "{seconds}: {there:?}"
            );
        }
        let users = there.iter().filter(|subject| *subject == "m1 Mine").count();
        assert!(users == 0 || users == 3, "{seconds}: {there:?}");
        assert_eq!(report.total().open, 0);
    }
    assert!(removed.load(Ordering::Relaxed) > 0, "none landed late");
}

#[tokio::test]
async fn a_server_that_folds_equal_messages_closes_its_ledger() {
    let mut world = batches(World::new(), 2, false);
    world.destination = world.destination.with_merging();
    let (source, destination) = accounts(&world);
    for n in 0..6 {
        add(&source, &["INBOX"], mail(&format!("m{}", n / 2), n / 2));
    }
    let report = world.run().await;
    assert_eq!(
        of(&report, "INBOX")
            .altered
            .get(&AlterationKind::MergedByServer),
        Some(&3)
    );
    assert_eq!(subjects(&destination, "INBOX").len(), 3);
    world.run().await;
    assert_eq!(subjects(&destination, "INBOX").len(), 3);
}

#[tokio::test]
async fn wrong_sizes_at_the_destination_double_nothing() {
    let world = batches(World::new(), 4, false);
    let (source, _) = accounts(&world);
    for n in 0..8 {
        add(&source, &["INBOX"], mail(&format!("m{n}"), n));
    }
    world.destination.arm(Fault::SizeHints(17));
    world
        .destination
        .arm(Fault::Append(5, AppendFault::Unknown(Landing::Stored)));
    world.run().await;
    world.assert_equal();
    // Nor where the state was lost.
    let world = World {
        store: mailmove_core::store::MemoryStore::new(),
        ..world
    };
    world.run().await;
    world.assert_equal();
}
