//! Killed at every commit of the ledger, before and after it took effect, and run again: the same
//! end as an undisturbed run.

use std::time::Duration;

use mailmove_core::{
    Migration, Stop,
    model::Batching,
    observe::{Event, Observer},
    report::Status,
    store::When,
};
use mailmove_testkit::{
    mailbox::FlagOp,
    memory::{AppendFault, Fault, Landing},
};

use crate::world::{NOW, World, add, flag, mail};

/// A mailbox with identical pairs, equal Message-IDs, and copies that the user put there.
fn scene() -> World {
    let mut world = World::new();
    world.destination = world
        .destination
        .configure(|can| can.batching = Batching::new(4, 1 << 20, true));
    let (source, destination) = (world.source.account(), world.destination.account());
    for n in 0..24 {
        let flags: &[&str] = if n % 6 == 0 { &["\\Seen"] } else { &[] };
        let mail = mail(&format!("m{}", n / 2), n / 2);
        add(source, &["INBOX"], mail.with_flags(flags.iter().copied()));
    }
    for n in 0..10 {
        add(
            source,
            &["Work"],
            mail(&format!("w{n}"), n).with_flags(["\\Seen", "Later"]),
        );
    }
    add(destination, &["INBOX"], mail("m3", 3));
    world
}

async fn commits_of_an_undisturbed_run() -> u64 {
    let world = scene();
    world.run().await;
    world.assert_equal();
    world.store.commits()
}

#[tokio::test]
async fn killed_at_every_commit() {
    let most = commits_of_an_undisturbed_run().await;
    let mut points = 0;
    for n in 1..=most {
        for when in [When::Before, When::After] {
            let world = scene();
            world.store.die_at_commit(n, when);
            world.until_done().await;
            world.assert_equal();
            points += 1;
        }
    }
    assert!(points > 40, "{points} points are too few to mean anything");
}

#[tokio::test]
async fn killed_at_every_commit_with_the_batch_landing_late() {
    let most = commits_of_an_undisturbed_run().await;
    for n in 1..=most {
        for late in [1, 9] {
            let world = scene();
            // The last thing sent before the kill lands after the next run has begun.
            world.destination.arm(Fault::Append(
                n % 20,
                AppendFault::Unknown(Landing::At(Duration::from_secs(NOW.unsigned_abs() + late))),
            ));
            world.store.die_at_commit(n, When::Before);
            world.until_done().await;
            world.destination.land();
            world.assert_equal();
        }
    }
}

#[tokio::test]
async fn what_lands_late_is_waited_for_where_nothing_can_be_removed() {
    for append in 0..34 {
        for late in [1, 5, 9] {
            let mut world = scene();
            world.destination = world.destination.configure(|can| can.removes = false);
            let late = Landing::At(Duration::from_secs(NOW.unsigned_abs() + late));
            world
                .destination
                .arm(Fault::Append(append, AppendFault::Unknown(late)));
            world.run().await;
            world.assert_equal();
        }
    }
}

#[tokio::test]
async fn killed_at_every_commit_with_a_first_copy_landing_after_the_second() {
    let most = commits_of_an_undisturbed_run().await;
    let mut landed = 0;
    for n in 1..=most + 3 {
        for append in [1, 6, 13] {
            let world = scene();
            let late = Landing::At(Duration::from_secs(NOW.unsigned_abs() + 60));
            world
                .destination
                .arm(Fault::Append(append, AppendFault::Unknown(late)));
            world.store.die_at_commit(n, When::Before);
            let _ = world.try_run().await;
            world.until_done().await;
            landed += u32::from(world.destination.in_flight() == 0);
            world.destination.land();
            world.assert_equal();
        }
    }
    assert!(landed > 80, "only {landed} copies landed before the end");
}

#[tokio::test]
async fn ended_while_a_batch_is_in_doubt_which_lands_in_the_next_run() {
    /// Ends the run as soon as it waits for what is in doubt.
    #[derive(Debug)]
    struct Impatient(Stop);
    impl Observer for Impatient {
        fn on(&self, event: &Event) {
            if matches!(event, Event::Settling { .. }) {
                self.0.request();
            }
        }
    }
    let mut open = 0;
    for append in 0..34 {
        for late in [1, 5, 9, 20, 90] {
            let world = scene();
            let landing = Landing::At(Duration::from_secs(NOW.unsigned_abs() + late));
            world
                .destination
                .arm(Fault::Append(append, AppendFault::Unknown(landing)));
            let stop = Stop::new();
            let run = Migration::builder(world.source.clone(), world.destination.clone())
                .store(world.store.clone())
                .edges(world.edges.clone())
                .observer(Impatient(stop.clone()))
                .stop(stop)
                .build()
                .unwrap();
            let ended = run.run().await;
            open += u32::from(!ended.is_ok_and(|report| report.status() == Status::Complete));
            world.until_done().await;
            world.destination.land();
            world.assert_equal();
        }
    }
    assert!(open > 130, "only {open} runs ended with something in doubt");
}

#[tokio::test]
async fn killed_at_every_commit_of_a_later_pass() {
    async fn changed() -> World {
        let world = scene();
        world.run().await;
        let source = world.source.account();
        let inbox = source.folder(&["INBOX"]).unwrap().id;
        let work = source.folder(&["Work"]).unwrap().id;
        flag(source, "INBOX", 2, FlagOp::Add, &["\\Answered"]);
        source.move_messages(inbox, &[1, 2, 5], work).unwrap();
        source.move_messages(work, &[4], inbox).unwrap();
        flag(source, "INBOX", 7, FlagOp::Add, &["\\Flagged"]);
        for n in 0..5 {
            add(source, &["INBOX"], mail(&format!("new{n}"), 0));
        }
        world
    }
    let world = changed().await;
    let start = world.store.commits();
    world.run().await;
    world.assert_equal();
    let most = world.store.commits() - start;
    for n in 1..=most {
        for when in [When::Before, When::After] {
            let world = changed().await;
            world.store.die_at_commit(world.store.commits() + n, when);
            world.until_done().await;
            world.assert_equal();
        }
    }
}
