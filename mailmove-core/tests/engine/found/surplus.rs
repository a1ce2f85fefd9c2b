//! What was sent twice, and how it ends.

use std::{sync::Mutex, time::Duration};

use mailmove_core::{
    ErrorKind, Migration, Stop,
    observe::{Event, Observer},
    report::Status,
};
use mailmove_testkit::{
    mailbox::Account,
    memory::{AppendFault, Fault, Landing, Predicate},
};

use super::{accounts, batches, moved};
use crate::world::{NOW, World, add, mail, subjects};

fn lands_at(seconds: u64) -> Landing {
    Landing::At(Duration::from_secs(NOW.unsigned_abs() + seconds))
}

/// Asks to stop at an event whose text holds this.
#[derive(Debug)]
struct StopAt(&'static str, Stop);

impl Observer for StopAt {
    fn on(&self, event: &Event) {
        if format!("{event:?}").contains(self.0) {
            self.1.request();
        }
    }
}

/// A pass that is stopped at such an event.
async fn stopped_at(world: &World, text: &'static str) {
    let stop = Stop::new();
    let migration = Migration::builder(world.source.clone(), world.destination.clone())
        .store(world.store.clone())
        .options(world.options.clone())
        .edges(world.edges.clone())
        .observer(StopAt(text, stop.clone()))
        .stop(stop);
    let report = migration.build().unwrap().run().await.unwrap();
    assert_eq!(report.status(), Status::Cancelled, "{report:#?}");
}

/// Does something once, when an event comes whose text holds this.
struct Once<F>(&'static str, Mutex<Option<F>>);

impl<F> std::fmt::Debug for Once<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl<F: FnOnce() + Send + 'static> Observer for Once<F> {
    fn on(&self, event: &Event) {
        if format!("{event:?}").contains(self.0)
            && let Some(act) = self.1.lock().unwrap().take()
        {
            act();
        }
    }
}

fn count(account: &Account, folder: &str, subject: &str) -> usize {
    let there = subjects(account, folder);
    there.iter().filter(|one| *one == subject).count()
}

#[tokio::test]
async fn a_surplus_copy_is_not_removed_if_the_other_one_is_gone() {
    let world = batches(World::new(), 4, false);
    let (source, destination) = accounts(&world);
    for n in 0..3 {
        add(&source, &["INBOX"], mail(&format!("m{n}"), n));
    }
    world
        .destination
        .arm(Fault::Append(1, AppendFault::Unknown(lands_at(90))));
    let there = destination.clone();
    let mailbox = world.destination.clone();
    // The user sees it twice, and removes one of them.
    let act = move || {
        mailbox.land();
        let inbox = there.folder(&["INBOX"]).unwrap().id;
        let of_m1 = |uid: &u32| {
            let body = &there.fetch(inbox, &[*uid]).unwrap()[0].body;
            body.windows(11).any(|text| text == b"Subject: m1")
        };
        let uids = there.uids(inbox).unwrap();
        let uids: Vec<u32> = uids.into_iter().filter(of_m1).collect();
        assert_eq!(uids.len(), 2);
        there.remove(inbox, &uids[..1]).unwrap();
    };
    let migration = Migration::builder(world.source.clone(), world.destination.clone())
        .store(world.store.clone())
        .edges(world.edges.clone())
        .observer(Once("may still land", Mutex::new(Some(act))));
    migration.build().unwrap().run().await.unwrap();
    assert_eq!(count(&destination, "INBOX", "m1"), 1);
    world.run().await;
    world.assert_equal();
    assert!(world.verify().await.is_clean());
}

#[tokio::test]
async fn late_copies_of_what_failed_are_told() {
    let world = batches(World::new(), 1, false);
    let (source, destination) = accounts(&world);
    add(&source, &["INBOX"], mail("m", 1));
    for _ in 0..5 {
        world
            .destination
            .arm(Fault::Append(0, AppendFault::Unknown(lands_at(140))));
    }
    let report = world.try_run().await.unwrap();
    assert_eq!(report.total().failed, 1, "{report:#?}");
    world.destination.land();
    let copies = count(&destination, "INBOX", "m") as u64;
    assert!(copies > 1, "{copies}");
    let first = report.total().doubled;
    let report = world.try_run().await.unwrap();
    assert_eq!(report.total().copied, 0);
    let copies = copies.max(count(&destination, "INBOX", "m") as u64);
    assert_eq!(first + report.total().doubled, copies - 1, "{report:#?}");
}

#[tokio::test]
async fn a_late_copy_is_found_although_the_source_folder_was_numbered_anew() {
    for sent_again in [true, false] {
        let world = batches(World::new(), 4, false);
        let (source, destination) = accounts(&world);
        for n in 0..3 {
            add(&source, &["INBOX"], mail(&format!("m{n}"), n));
        }
        world
            .destination
            .arm(Fault::Append(1, AppendFault::Unknown(lands_at(60))));
        if sent_again {
            stopped_at(&world, "may still land").await;
        } else {
            // It is believed to be absent, and cannot be sent again.
            let poison = Predicate::holding("Subject: m1");
            world
                .destination
                .arm(Fault::Refuse(poison, ErrorKind::Auth));
            world.try_run().await.unwrap();
            world.destination.disarm();
        }
        let inbox = source.folder(&["INBOX"]).unwrap().id;
        source.bump_uidvalidity(inbox).unwrap();
        let report = world.try_run().await.unwrap();
        world.destination.land();
        let copies = count(&destination, "INBOX", "m1") as u64;
        assert_eq!(
            copies - report.total().doubled,
            1,
            "{sent_again}: {report:#?}"
        );
    }
}

#[tokio::test]
async fn a_late_copy_is_removed_or_told_although_the_destination_was_numbered_anew() {
    for landed in [true, false] {
        let world = batches(World::new(), 4, false);
        let (source, destination) = accounts(&world);
        for n in 0..3 {
            add(&source, &["INBOX"], mail(&format!("m{n}"), n));
        }
        let late = AppendFault::Unknown(lands_at(3600));
        world.destination.arm(Fault::Append(1, late));
        stopped_at(&world, "may still land").await;
        if landed {
            world.destination.land();
        }
        let inbox = destination.folder(&["INBOX"]).unwrap().id;
        destination.bump_uidvalidity(inbox).unwrap();
        let mailbox = world.destination.clone();
        let land = move || {
            mailbox.land();
        };
        let migration = Migration::builder(world.source.clone(), world.destination.clone())
            .store(world.store.clone())
            .edges(world.edges.clone())
            .observer(Once("FolderStarted", Mutex::new(Some(land))));
        let report = migration.build().unwrap().run().await.unwrap();
        let again = world.try_run().await.unwrap();
        let told = report.total().doubled + again.total().doubled;
        assert_eq!(world.destination.in_flight(), 0);
        assert_eq!(told, u64::from(landed));
        assert_eq!(count(&destination, "INBOX", "m1") as u64, 1 + told);
    }
}

#[tokio::test]
async fn a_copy_of_a_folder_that_went_is_told() {
    let world = batches(World::new(), 4, false);
    let (source, destination) = accounts(&world);
    add(&source, &["Work"], mail("m", 1));
    add(&source, &["INBOX"], mail("other", 2));
    for append in [0, 1] {
        let late = AppendFault::Unknown(lands_at(60));
        world.destination.arm(Fault::Append(append, late));
    }
    stopped_at(&world, "may still land").await;
    world.destination.disarm();
    moved(&source, "Work", &[1], "New");
    source.delete(&["Work"]).unwrap();
    let mut told = 0;
    for _ in 0..2 {
        told += world.try_run().await.unwrap().total().doubled;
    }
    world.destination.land();
    let copies = ["INBOX", "Work", "New"].map(|folder| count(&destination, folder, "m") as u64);
    assert_eq!(copies.iter().sum::<u64>(), 1 + told, "{copies:?}");
}

#[tokio::test]
async fn as_many_late_copies_are_removed_as_were_sent_too_many() {
    let world = batches(World::new(), 4, true);
    let (source, _) = accounts(&world);
    for n in 0..4 {
        add(&source, &["INBOX"], mail(&format!("m{}", n / 2), n / 2));
    }
    for (append, seconds) in [(0, 60), (4, 70), (8, 80)] {
        let late = AppendFault::Unknown(lands_at(seconds));
        world.destination.arm(Fault::Append(append, late));
    }
    world.run().await;
    assert_eq!(world.destination.in_flight(), 0);
    world.assert_equal();
    world.run().await;
}

/// What was sent first never arrived, and the user has an equal one: it is taken for ours if it came in since then, as
/// far as the server can tell.
#[tokio::test]
async fn what_a_forgotten_mark_does_not_prove_is_never_surplus() {
    for (forgets, left) in [(true, 2), (false, 1)] {
        let world = batches(World::new(), 1, false);
        let (source, destination) = accounts(&world);
        add(&source, &["INBOX"], mail("m", 1));
        world
            .destination
            .arm(Fault::Append(0, AppendFault::Unknown(Landing::Lost)));
        let (there, mailbox) = (destination.clone(), world.destination.clone());
        let act = move || {
            add(&there, &["INBOX"], mail("m", 1));
            if forgets {
                mailbox.forget_marks();
            }
        };
        let migration = Migration::builder(world.source.clone(), world.destination.clone())
            .store(world.store.clone())
            .edges(world.edges.clone())
            .observer(Once("may still land", Mutex::new(Some(act))));
        let report = migration.build().unwrap().run().await.unwrap();
        assert_eq!(count(&destination, "INBOX", "m"), left, "{report:#?}");
        assert_eq!(report.total().doubled, left as u64 - 1, "{report:#?}");
    }
}
