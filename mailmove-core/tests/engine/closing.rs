//! The ledger closes against what the server counts, or says that it does not.

use std::sync::{Mutex, PoisonError};

use mailmove_core::{
    Event, Migration, Observer,
    checkpoint::ItemState,
    report::{MISMATCH, Report, Status},
};
use mailmove_testkit::{
    mailbox::Account,
    memory::{Fault, Predicate},
};

use crate::{
    found::removed,
    world::{World, add, mail, of},
};

fn filled() -> World {
    let world = World::new();
    for folder in ["INBOX", "Work"] {
        for n in 0..10 {
            add(world.source.account(), &[folder], mail(&format!("m{n}"), n));
        }
    }
    world
}

#[track_caller]
fn assert_mismatch(report: &Report, found: u64, accounted: u64) {
    assert_eq!(report.status(), Status::Mismatch, "{report:#?}");
    for folder in &report.folders {
        assert!(folder.is_mismatched() && !folder.is_closed());
        assert_eq!(folder.problem.as_ref().unwrap().code, MISMATCH);
        let tally = folder.tally;
        assert_eq!((tally.found, tally.accounted()), (found, accounted));
    }
}

#[tokio::test]
async fn a_server_that_counts_more_than_it_lists_is_told() {
    for by in [1, -1] {
        let world = filled();
        world.source.arm(Fault::Miscounts(by));
        let expected = 10_u64.saturating_add_signed(by);
        assert_mismatch(&world.try_run().await.unwrap(), expected, 10);
        // Everything that is shown was copied; and it is told each time.
        world.assert_equal();
        assert_mismatch(&world.try_run().await.unwrap(), expected, 10);
        world.source.disarm();
        world.run().await;
    }
}

#[tokio::test]
async fn a_count_that_goes_astray_later_is_noticed() {
    let world = filled();
    world.run().await;
    // Tokens stay as they are: nothing changed, as far as they say.
    world.source.arm(Fault::Miscounts(1));
    assert_mismatch(&world.try_run().await.unwrap(), 11, 10);
}

#[tokio::test]
async fn failures_are_accounted_for_and_no_mismatch() {
    let world = filled();
    let poison = Predicate::holding("Subject: m3\r\n");
    let kind = mailmove_core::ErrorKind::TooLarge;
    world.destination.arm(Fault::Refuse(poison, kind));
    let report = world.try_run().await.unwrap();
    assert_eq!(report.status(), Status::CompleteWithFailures);
    for folder in &report.folders {
        assert!(folder.is_closed(), "{folder:#?}");
    }
}

/// Lets mail arrive, and go, whenever something was copied.
#[derive(Debug)]
struct Busy {
    account: Account,
    left: Mutex<u32>,
}

impl Observer for Busy {
    fn on(&self, event: &Event) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = matches!(event, Event::Progress { .. } | Event::FolderStarted { .. });
        if !begins || *left == 0 {
            return;
        }
        *left -= 1;
        for folder in ["INBOX", "Work"] {
            add(&self.account, &[folder], mail(&format!("new{left}"), 0));
        }
        if left.is_multiple_of(3) {
            let inbox = self.account.folder(&["INBOX"]).unwrap().id;
            let uids = self.account.uids(inbox).unwrap();
            self.account.remove(inbox, &uids[..1]).unwrap();
        }
    }
}

#[tokio::test]
async fn mail_that_comes_and_goes_meanwhile_is_no_mismatch() {
    for (page, inline) in [(3, Some(1 << 20)), (3, None), (100, None)] {
        let mut world = filled();
        world.source = world.source.with_page(page).with_inline(inline);
        for _ in 0..3 {
            let busy = Busy {
                account: world.source.account().clone(),
                left: Mutex::new(9),
            };
            let migration = Migration::builder(world.source.clone(), world.destination.clone())
                .store(world.store.clone())
                .edges(world.edges.clone())
                .observer(busy)
                .build()
                .unwrap();
            let report = migration.run().await.unwrap();
            assert_eq!(report.status(), Status::Complete, "{report:#?}");
            assert!(of(&report, "INBOX").is_closed());
        }
        world.run().await;
    }
}

#[tokio::test]
async fn a_pass_that_stopped_while_listing_tells_no_mismatch() {
    let mut world = filled();
    world.source = world.source.with_page(2);
    world.run().await;
    for n in 0..30 {
        let message = mail(&format!("new{n}"), n);
        add(world.source.account(), &["INBOX"], message);
    }
    let kind = mailmove_core::ErrorKind::Denied;
    world.source.arm(Fault::ListFails(3, kind));
    let report = world.try_run().await.unwrap();
    assert_eq!(report.status(), Status::Stopped);
    assert_eq!(report.stopped.as_ref().unwrap().kind, kind.as_str());
    for folder in &report.folders {
        assert!(folder.problem.is_none(), "{folder:#?}");
    }
    world.run().await;
    world.assert_equal();
}

#[tokio::test]
async fn what_was_copied_or_there_counts_as_earlier_in_the_next_pass() {
    let world = filled();
    add(world.destination.account(), &["INBOX"], mail("m0", 0));
    let sums = |report: &Report| {
        let sum = report.total();
        let copied = (sum.copied, sum.bytes);
        (copied, sum.already_there, sum.earlier, sum.found)
    };
    let report = world.run().await;
    let rows = world.rows().into_iter().map(|stored| stored.row);
    let copied = rows.filter(|row| row.state == ItemState::Copied);
    let bytes: u64 = copied.map(|row| row.size).sum();
    assert!(bytes > 1000, "{bytes}");
    assert_eq!(sums(&report), ((19, bytes), 1, 0, 20));
    assert_eq!(sums(&world.run().await), ((0, 0), 0, 20, 20));
}

#[tokio::test]
async fn what_left_the_source_is_counted_once() {
    let world = filled();
    world.run().await;
    removed(world.source.account(), "INBOX", &[1, 2]);
    assert_eq!(world.run().await.total().gone, 2);
    assert_eq!(world.run().await.total().gone, 0);
}
