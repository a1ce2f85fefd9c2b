//! Where the order within a folder need not be kept, several batches of it are under way at once. All
//! that holds for one holds for them.

use std::time::Duration;

use mailmove_core::{ErrorKind, model::Batching, options::Order, store::When};
use mailmove_testkit::memory::{AppendFault, Fault, Landing};

use crate::world::{NOW, World, add, mail};

/// One folder in batches of three, with identical pairs far from and close to each other, and a copy
/// that the user put there.
fn scene() -> World {
    let mut world = World::new();
    world.options.order = Order::Relaxed;
    world.source = world.source.configure(|can| can.concurrency = 4);
    world.destination = world.destination.configure(|can| {
        can.concurrency = 4;
        can.batching = Batching::new(3, 1 << 20, true);
    });
    let source = world.source.account();
    for n in 0..36 {
        let flags: &[&str] = if n % 6 == 0 { &["\\Seen"] } else { &[] };
        let twin = mail(&format!("m{}", n % 12), n % 12);
        add(source, &["INBOX"], twin.with_flags(flags.iter().copied()));
    }
    for n in 0..6 {
        add(source, &["INBOX"], mail("same", 5 + n / 6));
    }
    add(world.destination.account(), &["INBOX"], mail("m3", 3));
    world
}

async fn commits_of_an_undisturbed_run() -> u64 {
    let world = scene();
    world.run().await;
    world.assert_equal();
    world.store.commits()
}

fn landings() -> [Landing; 4] {
    let at = |late| Landing::At(Duration::from_secs(NOW.unsigned_abs() + late));
    [Landing::Stored, Landing::Lost, at(5), at(60)]
}

#[tokio::test]
async fn killed_at_every_commit() {
    let most = commits_of_an_undisturbed_run().await;
    for n in 1..=most {
        for when in [When::Before, When::After] {
            let world = scene();
            world.store.die_at_commit(n, when);
            world.until_done().await;
            world.assert_equal();
        }
    }
    assert!(most > 15, "{most} commits are too few to mean anything");
}

#[tokio::test]
async fn doubt_about_any_batch_takes_nothing_from_another() {
    for first in 0..42 {
        for landing in landings() {
            let world = scene();
            for append in [first, first + 4] {
                let fault = AppendFault::Unknown(landing);
                world.destination.arm(Fault::Append(append, fault));
            }
            world.until_done().await;
            world.destination.land();
            world.assert_equal();
        }
    }
}

#[tokio::test]
async fn killed_while_batches_are_in_doubt() {
    let most = commits_of_an_undisturbed_run().await;
    for n in 1..=most + 2 {
        for (append, landing) in [(2, 0), (7, 1), (11, 2), (20, 0), (30, 3)] {
            let world = scene();
            let fault = AppendFault::Unknown(landings()[landing]);
            world.destination.arm(Fault::Append(append, fault));
            world.store.die_at_commit(n, When::Before);
            let _ = world.try_run().await;
            world.until_done().await;
            world.destination.land();
            world.assert_equal();
        }
    }
}

#[tokio::test]
async fn what_ends_the_folder_leaves_no_batch_behind() {
    for append in 0..42 {
        for kind in [ErrorKind::Quota, ErrorKind::Denied, ErrorKind::Interrupted] {
            let world = scene();
            let fault = AppendFault::Refuse(kind);
            world.destination.arm(Fault::Append(append, fault));
            let _ = world.try_run().await;
            world.until_done().await;
            world.assert_equal();
        }
    }
}

#[tokio::test]
async fn a_server_that_names_no_ids_or_one_id_twice_is_looked_at() {
    for append in 0..42 {
        for fault in [AppendFault::NoIds, AppendFault::SameIds] {
            let world = scene();
            world.destination.arm(Fault::Append(append, fault));
            world.run().await;
            world.assert_equal();
        }
    }
}

#[tokio::test]
async fn doubt_about_one_batch_while_the_next_names_no_ids_or_one_twice() {
    for first in 0..42 {
        for (landing, other) in [
            (Landing::Lost, AppendFault::NoIds),
            (Landing::Stored, AppendFault::NoIds),
            (Landing::Lost, AppendFault::SameIds),
            (Landing::Lost, AppendFault::Refuse(ErrorKind::Refused)),
        ] {
            let world = scene();
            let fault = AppendFault::Unknown(landing);
            world.destination.arm(Fault::Append(first, fault));
            for next in [3, 6, 9] {
                let fault = Fault::Append(first + next, other);
                world.destination.arm(fault);
            }
            world.until_complete().await;
            world.assert_equal();
        }
    }
}
