//! `kill -9` of the program, at least three times in each of many migrations, started again at once,
//! until it completes: what arrives is what an undisturbed run leaves, and nothing twice.
//!
//! A third of the kills comes at moments that nobody chose; the others within an append, or when one
//! was stored and its answer is on the way, at a place that a proxy finds. CI does a few migrations,
//! `cargo xtask kills` many (`MAILMOVE_KILLS`). `MAILMOVE_KILLS_SEED` replays one.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is how a test fails, and the counts are its result"
)]

#[path = "../../../../mailmove-imap/tests/conformance/client.rs"]
#[allow(dead_code, reason = "the conformance suite needs more of it")]
mod client;
#[path = "../../../../mailmove-imap/tests/interrupt/embedded.rs"]
#[allow(dead_code, reason = "shared with the interrupt tests")]
mod embedded;
#[path = "../../../../mailmove-imap/tests/interrupt/ground.rs"]
#[allow(dead_code, reason = "shared with the interrupt tests")]
mod ground;
mod ledger;
mod migration;
#[path = "../../../../mailmove-imap/tests/interrupt/real.rs"]
mod real;
#[path = "../../../../mailmove-imap/tests/interrupt/scene.rs"]
mod scene;

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use ground::Ground;
use migration::{Job, Tally};

/// Migrations at once: most of their time is the wait for late appends.
const AT_ONCE: usize = 16;

/// Kills in each migration.
const KILLS: u64 = 3;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// So many migrations between two mailboxes, each killed and compared.
fn kills(ground: &dyn Ground, migrations: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let job = |seed| Job::new(ground, runtime.handle(), seed);
    let before = ground.snapshot(&ground.source().1, true);
    let expected = job(0).undisturbed();
    let first = number("MAILMOVE_KILLS_SEED").unwrap_or(1);
    let (next, tally) = (AtomicU64::new(first), Tally::default());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + migrations {
                        return;
                    }
                    if let Err(failure) = job(seed).check(&expected, KILLS, &tally) {
                        let replay = format!("MAILMOVE_KILLS_SEED={seed} MAILMOVE_KILLS=1");
                        let mut failures = failures.lock().unwrap();
                        failures.push(format!("{replay}: {failure}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    println!(
        "kills: {}: {migrations} migrations, {tally}; {} differ from an undisturbed run",
        ground.name(),
        failures.len()
    );
    assert!(failures.is_empty(), "{failures:#?}");
    let after = ground.snapshot(&ground.source().1, true);
    assert!(before.diff(&after).is_empty(), "the source changed");
    assert!(tally.kills() >= KILLS * migrations, "{tally}");
    let (open, landed) = (migrations / 2, migrations * 3 / 20);
    assert!(tally.open() >= open.max(1), "too few open intents: {tally}");
    assert!(
        tally.landed() >= landed.max(1),
        "too few batches that had landed: {tally}"
    );
}

#[test]
fn killed_between_test_servers() {
    let ground = embedded::Embedded::start("all extensions", |server| server);
    kills(&ground, number("MAILMOVE_KILLS").unwrap_or(8));
}

#[test]
fn killed_between_dovecots() {
    match real::Real::connect("dovecot", "a", "b") {
        Ok(ground) => kills(&ground, number("MAILMOVE_KILLS_DOVECOT").unwrap_or(4)),
        Err(why) if real::required("dovecot") => panic!("{why}"),
        Err(why) => println!("not run: {why}"),
    }
}
