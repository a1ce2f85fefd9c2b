//! What is at the destination, and what a user does there.

use std::sync::atomic::{AtomicBool, Ordering};

use mailmove_core::{
    ErrorKind, Migration,
    observe::{Event, Observer},
    report::Status,
    store::When,
};
use mailmove_testkit::{
    mailbox::{Account, NewMessage},
    memory::{AppendFault, Fault, UpdateFault},
};

use super::{accounts, batches, moved, removed};
use crate::world::{World, add, mail, of, subjects};

#[tokio::test]
async fn flags_of_what_was_there_arrive_wherever_a_run_ends() {
    for n in 1..40 {
        let mut world = World::new();
        world.source = world.source.with_page(2);
        let (source, destination) = accounts(&world);
        for n in 0..4 {
            let message = mail(&format!("m{n}"), n);
            add(&source, &["INBOX"], message.clone().with_flags(["\\Seen"]));
            add(&destination, &["INBOX"], message);
        }
        world.store.die_at_commit(n, When::After);
        world
            .destination
            .arm(Fault::Update(n % 4, UpdateFault::Unknown { done: false }));
        let _ = world.try_run().await;
        world.until_done().await;
        world.assert_equal();
    }
}

#[tokio::test]
async fn what_was_there_once_is_not_already_there() {
    let world = World::new();
    let (source, destination) = accounts(&world);
    let traced = |subject: &str| {
        let plain = mail(subject, 1);
        let body = [&b"Received: from a by b id 17\r\n"[..], &plain.body[..]].concat();
        NewMessage::new(body).with_date(plain.date.unwrap())
    };
    add(&source, &["INBOX"], traced("m"));
    add(&destination, &["INBOX"], traced("m"));
    // A pass that comes no further than to see what is there.
    world.source.arm(Fault::ListFails(0, ErrorKind::Auth));
    assert_eq!(world.try_run().await.unwrap().status(), Status::Stopped);
    // The user takes away what he had.
    removed(&destination, "INBOX", &[1]);
    let report = world.run().await;
    assert_eq!(of(&report, "INBOX").tally.copied, 1);
    world.assert_equal();
}

#[tokio::test]
async fn a_message_of_the_users_is_not_marked_for_deletion() {
    let world = World::new();
    let (source, destination) = accounts(&world);
    add(
        &source,
        &["INBOX"],
        mail("a", 1).with_flags(["\\Deleted", "\\Seen"]),
    );
    add(&destination, &["INBOX"], mail("a", 1));
    world.run().await;
    assert_eq!(subjects(&destination, "INBOX"), ["a \\Seen"]);
}

#[tokio::test]
async fn what_was_lost_and_put_back_is_recognised() {
    let world = World::new();
    let (source, destination) = accounts(&world);
    for n in 0..100 {
        add(&source, &["INBOX"], mail(&format!("m{n}"), n));
    }
    world.run().await;
    let inbox = destination.folder(&["INBOX"]).unwrap().id;
    let backup = destination.messages(inbox).unwrap();
    removed(&destination, "INBOX", &(1..=30).collect::<Vec<u32>>());
    let report = world.try_run().await.unwrap();
    assert!(of(&report, "INBOX").problem.is_some());
    for message in &backup[..30] {
        let message = NewMessage::new(message.body.clone()).with_date(message.date);
        add(&destination, &["INBOX"], message);
    }
    let report = world.run().await;
    assert_eq!(of(&report, "INBOX").tally.earlier, 100);
    world.assert_equal();
    assert!(world.verify().await.is_clean());
}

#[tokio::test]
async fn what_the_user_removed_does_not_come_back_by_a_move_or_new_numbers() {
    for renumbered in [true, false] {
        let world = World::new();
        let (source, destination) = accounts(&world);
        for n in 0..3 {
            add(&source, &["INBOX"], mail(&format!("m{n}"), n));
        }
        world.run().await;
        removed(&destination, "INBOX", &[2]);
        world.run().await;
        if renumbered {
            let inbox = source.folder(&["INBOX"]).unwrap().id;
            source.bump_uidvalidity(inbox).unwrap();
        } else {
            moved(&source, "INBOX", &[2], "Work");
        }
        let report = world.run().await;
        assert_eq!(report.total().removed_there, 1);
        assert_eq!(subjects(&destination, "INBOX"), ["m0", "m2"]);
        assert_eq!(subjects(&destination, "Work").len(), 0);
    }
}

#[tokio::test]
async fn what_was_removed_is_noticed_after_a_broken_first_pass() {
    let world = batches(World::new(), 1, false);
    let (source, destination) = accounts(&world);
    for n in 0..10 {
        add(&source, &["INBOX"], mail(&format!("m{n}"), n));
    }
    world
        .destination
        .arm(Fault::Append(6, AppendFault::Refuse(ErrorKind::Auth)));
    assert_eq!(world.try_run().await.unwrap().status(), Status::Stopped);
    removed(&destination, "INBOX", &[1]);
    let report = world.run().await;
    assert_eq!(of(&report, "INBOX").tally.removed_there, 1);
    assert_eq!(subjects(&destination, "INBOX").len(), 9);
}

#[tokio::test]
async fn a_renumbered_destination_is_matched_again_wherever_the_run_ends() {
    async fn changed() -> World {
        let world = batches(World::new(), 4, true);
        let (source, destination) = accounts(&world);
        for n in 0..12 {
            add(&source, &["INBOX"], mail(&format!("m{}", n / 2), n / 2));
        }
        add(&source, &["Work"], mail("w", 1));
        world.run().await;
        moved(&source, "INBOX", &[1, 5], "Work");
        removed(&source, "INBOX", &[7]);
        for folder in destination.folders() {
            destination.bump_uidvalidity(folder.id).unwrap();
        }
        world
    }
    let world = changed().await;
    let (start, appended) = (world.store.commits(), world.destination.counters().appended);
    world.run().await;
    let expected = (
        subjects(world.destination.account(), "INBOX"),
        subjects(world.destination.account(), "Work"),
    );
    assert_eq!(world.destination.counters().appended, appended);
    for n in 1..=world.store.commits() - start {
        for when in [When::Before, When::After] {
            let world = changed().await;
            world.store.die_at_commit(world.store.commits() + n, when);
            world.until_done().await;
            let account = world.destination.account();
            assert_eq!(
                (subjects(account, "INBOX"), subjects(account, "Work")),
                expected
            );
            assert!(world.verify().await.is_clean());
        }
    }
}

#[tokio::test]
async fn what_has_a_place_is_not_filled_by_moving_its_twin() {
    // The state was lost, and the next run broke off: the twins of two folders stay where they are.
    for n in 1..60 {
        let world = World::new();
        let (source, _) = accounts(&world);
        add(&source, &["A"], mail("twin", 1));
        add(&source, &["B"], mail("twin", 1));
        world.run().await;
        let world = World {
            store: mailmove_core::store::MemoryStore::new(),
            ..world
        };
        world.store.die_at_commit(n, When::After);
        let _ = world.try_run().await;
        for folder in ["A", "B"] {
            let id = source.folder(&[folder]).unwrap().id;
            source.bump_uidvalidity(id).unwrap();
        }
        world.until_done().await;
        world.assert_equal();
    }
}

/// Puts a message at the destination while a pass is copying.
#[derive(Debug)]
struct UserAdds(Account, AtomicBool);

impl Observer for UserAdds {
    fn on(&self, event: &Event) {
        if matches!(event, Event::Progress { .. }) && !self.1.swap(true, Ordering::Relaxed) {
            add(&self.0, &["INBOX"], mail("user", 3));
        }
    }
}

#[tokio::test]
async fn what_came_while_a_pass_settled_an_earlier_ones_message_is_already_there() {
    let mut settled = 0;
    for n in 1..16 {
        let world = batches(World::new(), 1, false);
        let (source, destination) = accounts(&world);
        for subject in ["m", "n"] {
            add(&source, &["INBOX"], mail(subject, 1));
        }
        world.store.die_at_commit(n, When::Before);
        let _ = world.try_run().await;
        world.store.disarm();
        let was_there = subjects(&destination, "INBOX").len() == 1;
        let migration = Migration::builder(world.source.clone(), world.destination.clone())
            .store(world.store.clone())
            .edges(world.edges.clone())
            .observer(UserAdds(destination.clone(), AtomicBool::new(false)));
        let report = migration.build().unwrap().run().await.unwrap();
        settled += u64::from(was_there && report.total().copied == 2);
        add(&source, &["INBOX"], mail("user", 3));
        world.run().await;
        world.assert_equal();
    }
    assert!(settled > 0);
}
