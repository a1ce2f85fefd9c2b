//! Refusals, doubt, and what follows.

use std::time::Duration;

use mailmove_core::{
    ErrorKind, Migration,
    model::{AlterationKind, Batching},
    report::Status,
};
use mailmove_testkit::{
    clock::TestClock,
    memory::{AppendFault, Fault, Landing, Predicate},
};

use crate::world::{NOW, World, add, mail, of, subjects};

fn with_inbox(count: i64) -> World {
    let world = World::new();
    for n in 0..count {
        add(
            world.source.account(),
            &["INBOX"],
            mail(&format!("m{n}"), n),
        );
    }
    world
}

#[tokio::test]
async fn one_bad_message_costs_one_message() {
    let world = with_inbox(40);
    let poison = Predicate::holding("Subject: m17\r\n");
    world
        .destination
        .arm(Fault::Refuse(poison, ErrorKind::Refused));
    let report = world.try_run().await.unwrap();
    assert_eq!(report.status(), Status::CompleteWithFailures);
    let line = of(&report, "INBOX");
    assert_eq!((line.tally.copied, line.tally.failed), (39, 1));
    assert!(line.is_closed());
    assert_eq!(report.failures.len(), 1);
    // The next pass tries again, and now it is taken.
    world.destination.disarm();
    let report = world.run().await;
    assert_eq!(of(&report, "INBOX").tally.copied, 1);
    world.assert_equal();
}

#[tokio::test]
async fn a_full_mailbox_takes_what_fits_and_the_rest_follows_later() {
    let world = with_inbox(40);
    let size = world.source.account().used_bytes() / 40;
    world
        .destination
        .account()
        .configure(|limits| limits.quota_bytes = Some(size * 25));
    let report = world.try_run().await.unwrap();
    assert_eq!(report.status(), Status::Stopped);
    assert_eq!(report.stopped.as_ref().unwrap().kind, "quota");
    let taken = subjects(world.destination.account(), "INBOX").len();
    assert!((24..=26).contains(&taken), "{taken}");
    world
        .destination
        .account()
        .configure(|limits| limits.quota_bytes = None);
    world.run().await;
    world.assert_equal();
}

#[tokio::test]
async fn doubt_is_settled_before_anything_is_sent_again() {
    let landings = [
        Landing::Stored,
        Landing::Lost,
        Landing::At(Duration::from_secs(NOW.unsigned_abs() + 1)),
        Landing::At(Duration::from_secs(NOW.unsigned_abs() + 9)),
    ];
    for landing in landings {
        for at in [0, 7, 39] {
            for fault in [AppendFault::Unknown(landing), AppendFault::Ends(landing)] {
                let world = with_inbox(40);
                world.destination.arm(Fault::Append(at, fault));
                let report = world.try_run().await.unwrap();
                assert_eq!(
                    report.status(),
                    Status::Complete,
                    "{landing:?} at {at}: {report:#?}"
                );
                world.destination.land();
                world.assert_equal();
            }
        }
    }
}

#[tokio::test]
async fn a_copy_that_lands_after_it_was_thought_lost_is_removed() {
    let world = with_inbox(40);
    // Later than the settle time, but before the folder's end.
    let fault = AppendFault::Unknown(Landing::At(Duration::from_secs(NOW.unsigned_abs() + 10)));
    world.destination.arm(Fault::Append(3, fault));
    let report = world.try_run().await.unwrap();
    world.destination.land();
    assert_eq!(report.total().doubled, 0, "{report:#?}");
    world.assert_equal();
}

#[tokio::test]
async fn ids_that_the_server_did_not_name_are_looked_up() {
    let mut world = with_inbox(40);
    world.destination = world.destination.configure(|can| can.returns_ids = false);
    world.run().await;
    assert!(
        world
            .rows()
            .iter()
            .all(|stored| stored.row.target.is_some())
    );
    assert!(world.verify().await.is_clean());
}

#[tokio::test]
async fn passing_failures_are_tried_again() {
    let faults = [
        Fault::ListFails(0, ErrorKind::Interrupted),
        Fault::ListFails(1, ErrorKind::Throttled),
        Fault::FetchFails(3, ErrorKind::Interrupted),
        Fault::FetchEnds(2),
        Fault::Append(5, AppendFault::Refuse(ErrorKind::Unavailable)),
        Fault::ExistingFails(0, ErrorKind::Interrupted),
    ];
    for fault in faults {
        let mut world = World::with_corpus(150);
        world.source = world.source.with_page(20).with_inline(None);
        world.source.arm(fault.clone());
        world.destination.arm(fault.clone());
        let report = world.try_run().await.unwrap();
        assert_eq!(report.status(), Status::Complete, "{fault:?}: {report:#?}");
        world.assert_equal();
    }
}

/// More failures in a row than a request has tries: what concerns all of an account is waited for.
#[tokio::test]
async fn an_account_that_is_away_for_minutes_ends_nothing() {
    let world = with_inbox(5);
    world.run().await;
    add(world.source.account(), &["INBOX"], mail("new", 0));
    for n in 0..9 {
        // The pass has connected, and asks for folders.
        let fault = Fault::Operation(3 + n, ErrorKind::Interrupted);
        world.source.arm(fault);
    }
    world.run().await;
    assert_eq!(world.source.disarm(), 0, "all of them struck");
    world.assert_equal();
}

/// What one lane learns of an account, the others go by. The clock stands, so that a wait is seen.
#[tokio::test]
async fn what_one_lane_is_told_holds_for_all() {
    let clock = TestClock::new(Duration::from_secs(NOW.unsigned_abs()));
    let mut world = World::with_clock(clock.clone());
    let batching = Batching::new(2, 1 << 20, false);
    world.destination = world.destination.configure(|can| can.batching = batching);
    for n in 0..80 {
        let folder = format!("Folder {}", n % 4);
        add(world.source.account(), &[folder], mail(&format!("m{n}"), 0));
    }
    let slower = AppendFault::Refuse(ErrorKind::Throttled);
    world.destination.arm(Fault::Append(4, slower));
    let migration = world.migration();
    let run = tokio::spawn(async move { migration.run().await });
    let quiet = async || {
        for _ in 0..2000 {
            tokio::task::yield_now().await;
        }
    };
    quiet().await;
    assert_eq!(world.destination.disarm(), 0, "one was asked to slow down");
    let sent = world.destination.counters().batches;
    assert!(sent < 20, "{sent} of 40 while nobody was to ask");
    for _ in 0..1000 {
        clock.advance(Duration::from_millis(100));
        quiet().await;
        if run.is_finished() {
            break;
        }
    }
    assert_eq!(run.await.unwrap().unwrap().status(), Status::Complete);
    world.assert_equal();
}

#[tokio::test]
async fn what_vanishes_before_it_is_fetched_is_accounted_for() {
    let mut world = with_inbox(10);
    world.source = world.source.with_inline(None);
    world.source.arm(Fault::Vanish(4));
    let report = world.run().await;
    let tally = of(&report, "INBOX").tally;
    assert_eq!((tally.found, tally.copied, tally.vanished), (10, 9, 1));
    let report = world.run().await;
    let tally = of(&report, "INBOX").tally;
    assert_eq!((tally.found, tally.earlier, tally.vanished), (9, 9, 0));
    world.assert_equal();
}

#[tokio::test]
async fn wrong_sizes_do_no_harm() {
    let world = World::with_corpus(60);
    world.source.arm(Fault::SizeHints(17));
    world.run().await;
    world.assert_equal();
    world.run().await;
    world.assert_equal();
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_costs_that_folder() {
    let world = with_inbox(5);
    add(world.source.account(), &["Bad"], mail("b", 1));
    let path = mailmove_core::model::FolderPath::new(["Bad"]);
    world
        .destination
        .arm(Fault::EnsureFails(path, ErrorKind::Refused));
    let report = world.try_run().await.unwrap();
    assert_eq!(report.status(), Status::CompleteWithFailures);
    assert_eq!(of(&report, "INBOX").tally.copied, 5);
    assert!(of(&report, "Bad").problem.is_some());
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once() {
    let world = with_inbox(5);
    world.destination.arm(Fault::Operation(0, ErrorKind::Auth));
    let error = world.try_run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
}

#[tokio::test]
async fn a_message_on_which_the_server_chokes_fails_alone() {
    let world = with_inbox(40);
    // However often it is sent: the connection breaks at the first message of whatever comes.
    for n in 0..6 {
        world
            .destination
            .arm(Fault::Append(n, AppendFault::Unknown(Landing::Lost)));
    }
    let report = world.try_run().await.unwrap();
    assert!(of(&report, "INBOX").is_closed(), "{report:#?}");
    world.destination.disarm();
    world.run().await;
    world.assert_equal();
}

#[tokio::test]
async fn a_date_ahead_that_the_server_replaced_is_reported() {
    let world = World::new();
    add(world.source.account(), &["INBOX"], mail("a", -400));
    add(world.source.account(), &["INBOX"], mail("b", 400));
    world.destination.arm(Fault::ShiftsDates(-86_400));
    let report = world.run().await;
    let altered = &of(&report, "INBOX").altered;
    assert_eq!(altered.get(&AlterationKind::DateReplaced), Some(&1));
}

#[tokio::test]
async fn one_connection_for_both_sides_is_told_at_once() {
    // Both sides of this world are on one host.
    let world = with_inbox(1);
    for (all, of_host, possible) in [(10, 1, false), (1, 10, false), (2, 2, true)] {
        let budget = mailmove_core::edge::ConnectionBudget::new(all, of_host);
        let edges = world.edges.clone().with_connections(budget);
        let built = Migration::builder(world.source.clone(), world.destination.clone())
            .store(world.store.clone())
            .edges(edges)
            .build();
        match built {
            Ok(migration) => {
                assert!(possible);
                migration.run().await.unwrap();
            }
            Err(error) => assert!(!possible && error.code() == "config/connections"),
        }
    }
    world.assert_equal();
}

#[tokio::test]
async fn what_was_just_stored_is_not_taken_for_its_twin_in_doubt() {
    for landing in [Landing::Lost, Landing::Stored] {
        for n in 0..6 {
            let mut world = World::new();
            world.destination = world
                .destination
                .configure(|can| can.batching = Batching::new(6, 1 << 20, false));
            for n in 0..6 {
                let twin = mail(&format!("m{}", n / 2), 0);
                add(world.source.account(), &["INBOX"], twin);
            }
            world
                .destination
                .arm(Fault::Append(n, AppendFault::Unknown(landing)));
            world.run().await;
            world.assert_equal();
        }
    }
}
