//! Migrations to which all sorts of things happen, on both sides and all the time: a proxy that breaks
//! connections in every way, and servers that refuse, hang up, say "later", and change meanwhile. All of
//! it is drawn from a seed; a failure says how to have the same again.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a panic is how a test fails, and the counts are its result"
)]

mod meanwhile;
mod world;

use std::time::Duration;

use mailmove_core::report::Status;
use mailmove_imap_testserver::Mixture;
use mailmove_testkit::{
    proxy::{Fault, Schedule},
    snapshot::Snapshot,
};

use crate::world::World;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// All that the proxy can do. What ends a connection comes more often than what delays it.
const FAULTS: [Fault; 11] = [
    Fault::Cut,
    Fault::Cut,
    Fault::Cut,
    Fault::Reset,
    Fault::Reset,
    Fault::HalfClose,
    Fault::HalfClose,
    Fault::Corrupt,
    Fault::Trickle,
    Fault::Pause(Duration::from_millis(300)),
    Fault::Stall,
];

/// One pass, however much goes wrong: nobody has to do anything, the ledger closes, and both sides are
/// equal. CI moves 500 messages, with a fault about every 130 KB; `cargo xtask soak` 10,000, with a
/// fault every 0.4 to 1.2 seconds, which are 2 to 6 by the migration's clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_every_few_seconds() {
    let messages = number("MAILMOVE_SOAK");
    let seed = number("MAILMOVE_SOAK_SEED").unwrap_or(1);
    let replay = format!("replay with MAILMOVE_SOAK_SEED={seed}");
    let world = World::new(seed, if messages.is_some() { 5 } else { 50 }, false).await;
    world.fill(messages.unwrap_or(500));
    for (side, seed) in world.sides().into_iter().zip([seed * 2, seed * 2 + 1]) {
        let plan = match messages {
            None => Schedule::by_bytes(seed, 60_000..=200_000),
            Some(_) => {
                let few = Duration::from_millis(400)..=Duration::from_millis(1200);
                Schedule::by_time(seed, few)
            }
        };
        side.proxy
            .schedule(plan.with_faults(&FAULTS).with_refused(10));
        // What lands later than an append is waited for is a matter of its own.
        let mixture = Mixture::new(seed, 30).with_connections(10).with_late(8);
        side.server.faults().mix(mixture);
    }
    let report = world.migration().run().await;
    let happened = world.happened();
    let report = report.unwrap_or_else(|error| panic!("{replay}: {}", error.chain()));
    let total = report.total();
    println!(
        "soak: {} messages, {} bytes, {happened}; {} retries and {} doubts settled by the engine",
        total.copied,
        total.bytes,
        world.retries(),
        world.doubts()
    );
    assert_eq!(report.status(), Status::Complete, "{replay}: {report:#?}");
    assert!(total.is_closed(), "{replay}: {total:?}");
    let difference = Snapshot::of(&world.from.account).diff(&Snapshot::of(&world.to.account));
    assert!(difference.is_empty(), "{replay}: {difference}");
    assert!(
        happened.proxy() + happened.scripted() >= 20,
        "too few faults to mean anything: {happened}"
    );
    // And nothing is left to do.
    world.calm();
    let again = world.migration().run().await.unwrap();
    assert_eq!(
        (again.status(), again.total().copied),
        (Status::Complete, 0)
    );
}
