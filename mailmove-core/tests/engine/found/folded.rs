//! Destinations that fold identical messages, and what happens to them later.

use std::sync::atomic::{AtomicBool, Ordering};

use mailmove_core::{
    Migration,
    observe::{Event, Observer},
    store::When,
};
use mailmove_testkit::mailbox::{Account, InternalDate, NewMessage};

use super::{accounts, batches, moved};
use crate::world::{NOW, World, add, mail, subjects};

#[tokio::test]
async fn what_was_folded_stays_when_its_twin_moves() {
    for at in [1, 2] {
        let mut world = batches(World::new(), 2, false);
        world.destination = world.destination.with_late_merging();
        let (source, destination) = accounts(&world);
        for subject in ["twin", "twin", "other"] {
            add(&source, &["INBOX"], mail(subject, 1));
        }
        world.run().await;
        moved(&source, "INBOX", &[at], "Work");
        world.run().await;
        assert_eq!(subjects(&destination, "INBOX"), ["other", "twin"], "{at}");
        assert_eq!(subjects(&destination, "Work"), ["twin"], "{at}");
        assert!(world.verify().await.is_clean());
        // And when the other one follows it.
        moved(&source, "INBOX", &[3 - at], "Work");
        world.run().await;
        assert_eq!(subjects(&destination, "Work"), ["twin"], "{at}");
    }
}

/// Twins in two folders, of a destination that folds.
fn twins(folders: &[&str]) -> World {
    let mut world = batches(World::new(), 2, false);
    world.destination = world.destination.with_late_merging();
    let (source, _) = accounts(&world);
    for folder in folders {
        add(&source, &[folder], mail("twin", 1));
    }
    add(&source, &["INBOX"], mail("other", 1));
    world
}

#[tokio::test]
async fn what_moves_to_its_equal_is_folded_into_it() {
    let world = twins(&["INBOX", "Work"]);
    let (source, destination) = accounts(&world);
    world.run().await;
    moved(&source, "INBOX", &[1], "Work");
    for _ in 0..2 {
        let report = world.run().await;
        assert_eq!(subjects(&destination, "Work"), ["twin"]);
        assert!(world.verify().await.is_clean());
        assert_eq!(report.total().removed_there, 0);
    }
    moved(&source, "Work", &[1], "INBOX");
    world.run().await;
    assert_eq!(subjects(&destination, "Work"), ["twin"]);
    assert_eq!(subjects(&destination, "INBOX"), ["other", "twin"]);
}

#[tokio::test]
async fn what_was_folded_after_a_pass_was_killed_was_removed_by_nobody() {
    let undisturbed = twins(&["INBOX", "INBOX"]);
    undisturbed.run().await;
    for n in 1..=undisturbed.store.commits() {
        for then in ["nothing", "one moves", "new numbers"] {
            let world = twins(&["INBOX", "INBOX"]);
            let (source, destination) = accounts(&world);
            world.store.die_at_commit(n, When::Before);
            let _ = world.try_run().await;
            world.store.disarm();
            let mut expected = vec!["other", "twin"];
            match then {
                "one moves" => moved(&source, "INBOX", &[1], "Work"),
                "new numbers" => {
                    for folder in destination.folders() {
                        destination.bump_uidvalidity(folder.id).unwrap();
                    }
                }
                _ => {}
            }
            let report = world.run().await;
            assert_eq!(report.total().removed_there, 0, "{n}, {then}");
            let there = subjects(&destination, "INBOX");
            assert_eq!(there, expected, "{n}, {then}");
            expected.retain(|subject| then == "one moves" && *subject == "twin");
            assert_eq!(subjects(&destination, "Work"), expected, "{n}, {then}");
        }
    }
}

#[tokio::test]
async fn what_was_folded_before_its_id_was_known_was_removed_by_nobody() {
    let scene = || {
        let mut world = twins(&["INBOX", "INBOX", "Work"]);
        world.destination = world.destination.configure(|can| can.returns_ids = false);
        world
    };
    let undisturbed = scene();
    undisturbed.run().await;
    for first in 1..=undisturbed.store.commits() {
        for second in 1..12 {
            let world = scene();
            let (source, destination) = accounts(&world);
            for n in [first, second] {
                let n = world.store.commits() + n;
                world.store.die_at_commit(n, When::After);
                let _ = world.try_run().await;
            }
            world.store.disarm();
            moved(&source, "INBOX", &[1], "Old");
            let report = world.run().await;
            assert_eq!(report.total().removed_there, 0, "{first}, {second}");
            for (folder, there) in [("INBOX", &["other", "twin"][..]), ("Old", &["twin"])] {
                let found = subjects(&destination, folder);
                assert_eq!(found, there, "{folder}, {first}, {second}");
            }
        }
    }
}

#[tokio::test]
async fn what_was_folded_before_its_id_was_known_is_not_looked_for_for_ever() {
    let scene = || {
        let mut world = twins(&["INBOX", "INBOX"]);
        world.destination = world.destination.configure(|can| can.returns_ids = false);
        // Nobody claims this one, and nothing shows yet that bytes are kept.
        add(world.destination.account(), &["INBOX"], mail("users", 1));
        world
    };
    let undisturbed = scene();
    undisturbed.run().await;
    for n in 1..=undisturbed.store.commits() {
        let world = scene();
        world.store.die_at_commit(n, When::Before);
        let _ = world.try_run().await;
        world.store.disarm();
        world.run().await;
        let there = subjects(world.destination.account(), "INBOX");
        assert_eq!(there, ["other", "twin", "users"], "{n}");
    }
}

/// A user who removes a folder's mail as soon as a pass begins to copy.
#[derive(Debug)]
struct Empties(Account, AtomicBool);

impl Observer for Empties {
    fn on(&self, event: &Event) {
        if matches!(event, Event::FolderStarted { .. }) && !self.1.swap(true, Ordering::Relaxed) {
            let work = self.0.folder(&["Work"]).unwrap().id;
            let uids = self.0.uids(work).unwrap();
            self.0.remove(work, &uids).unwrap();
        }
    }
}

#[tokio::test]
async fn what_the_user_removes_meanwhile_is_not_taken_for_lost_by_folding() {
    let world = twins(&["INBOX", "Work"]);
    let (source, destination) = accounts(&world);
    world.run().await;
    moved(&source, "INBOX", &[1], "Work");
    let migration = Migration::builder(world.source.clone(), world.destination.clone())
        .store(world.store.clone())
        .edges(world.edges.clone())
        .observer(Empties(destination.clone(), AtomicBool::new(false)));
    let report = migration.build().unwrap().run().await.unwrap();
    assert_eq!(report.total().failed, 0);
    let report = world.run().await;
    assert_eq!(report.total().removed_there, 2);
    assert_eq!(subjects(&destination, "Work").len(), 0);
}

#[tokio::test]
async fn what_was_folded_into_a_message_that_was_never_fetched_is_there() {
    let mut world = batches(World::new(), 2, false);
    world.destination = world.destination.with_late_merging();
    world.source = world.source.with_inline(None);
    let (source, destination) = accounts(&world);
    let traced = || {
        let body = "Received: from a by b id 17\r\nSubject: traced\r\n\r\nText.\r\n";
        NewMessage::new(body).with_date(InternalDate::utc(NOW))
    };
    add(&source, &["INBOX"], mail("other", 1));
    add(&source, &["INBOX"], traced());
    add(&destination, &["INBOX"], traced());
    world.run().await;
    add(&source, &["INBOX"], traced());
    world.run().await;
    assert_eq!(subjects(&destination, "INBOX"), ["other", "traced"]);
}
