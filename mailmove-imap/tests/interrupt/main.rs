//! A migration is stopped at every command and reply of the wire – before a command, within its line,
//! within a literal, after its last byte, after its answer – either killed, or cut off and left to
//! help itself. Then it goes on with a new process, and must end as an undisturbed run does: the same
//! multiset of bytes, flags and dates in each folder, and nothing left to copy.
//!
//! All points: `MAILMOVE_INTERRUPT=all`. Otherwise every n-th, so many that it means something.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a panic is how a test fails, and the counts are its result"
)]

#[path = "../conformance/client.rs"]
#[allow(dead_code, reason = "the conformance suite needs more of it")]
mod client;
mod embedded;
mod ground;
mod late;
mod points;
mod process;
mod real;
mod scene;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use ground::Ground;
use mailmove_imap_testserver::Capability;
use points::{Kind, Point};
use process::Attempt;

/// Points tried at once: nearly all of their time is the wait for late appends.
const AT_ONCE: usize = 12;
/// The same where there are all of them.
const AT_ONCE_OF_ALL: usize = 24;

/// What the points of a run were, counted.
#[derive(Debug, Default)]
struct Count {
    points: AtomicUsize,
    untouched: AtomicUsize,
    open_intents: AtomicUsize,
    /// A batch was complete at the server, and that it is stored not yet recorded.
    landed: AtomicUsize,
    within_literal: AtomicUsize,
    killed: AtomicUsize,
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:>5} points: {:>5} kills, {:>5} cut off; {:>4} within a literal, {:>4} with a batch \
             landed but unconfirmed, {:>4} with open intents, {:>3} that nothing reached",
            get(&self.points),
            get(&self.killed),
            get(&self.points) - get(&self.killed),
            get(&self.within_literal),
            get(&self.landed),
            get(&self.open_intents),
            get(&self.untouched),
        )
    }
}

/// Interrupts at `most` of the points, spread evenly, and compares.
fn everywhere(ground: Arc<dyn Ground>, most: usize) -> Count {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let before = ground.snapshot(&ground.source().1, true);
    let undisturbed = runtime.block_on(process::undisturbed(&*ground));
    let expected = undisturbed.end;
    let total = undisturbed.sure.len() + undisturbed.points.len();
    let mut points = undisturbed.sure;
    if all_points() {
        points.extend(undisturbed.points);
    } else {
        let rest = most.saturating_sub(points.len());
        points.extend(spread(undisturbed.points, rest));
    }
    let (next, count) = (AtomicUsize::new(0), Count::default());
    let failures = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let at_once = match all_points() {
            true => AT_ONCE_OF_ALL,
            false => AT_ONCE,
        };
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let attempt = Attempt::new(&*ground, runtime.handle(), *point);
                    if let Err(failure) = attempt.check(&expected, &count) {
                        failures
                            .lock()
                            .unwrap()
                            .push(format!("{point:?}: {failure}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    println!(
        "interrupts: {:<44} {count}; {} differences (of {total} possible points)",
        ground.name(),
        failures.len()
    );
    assert!(
        failures.is_empty(),
        "{} of {} points differ from an undisturbed run, e.g.\n{}",
        failures.len(),
        points.len(),
        failures
            .iter()
            .take(5)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    );
    let after = ground.snapshot(&ground.source().1, true);
    assert!(before.diff(&after).is_empty(), "the source changed");
    count
}

fn all_points() -> bool {
    std::env::var_os("MAILMOVE_INTERRUPT").is_some_and(|what| what == "all")
}

/// So many of the points, evenly, most of them about appends.
fn spread(points: Vec<Point>, most: usize) -> Vec<Point> {
    let mut out: Vec<Point> = Vec::with_capacity(most);
    for (kind, share) in [(Kind::Landed, 3), (Kind::Append, 2), (Kind::Other, 1)] {
        let of_kind: Vec<&Point> = points.iter().filter(|point| point.kind == kind).collect();
        let len = of_kind.len();
        let want = ((most - out.len()) / share).min(len);
        out.extend(
            (0..want)
                .filter_map(|n| of_kind.get(n * len / want))
                .copied(),
        );
    }
    out
}

fn get(count: &AtomicUsize) -> usize {
    count.load(Ordering::Relaxed)
}

fn embedded(name: &'static str, without: &[Capability], most: usize) -> Count {
    let without = without.to_vec();
    let setup = move |server| {
        without
            .iter()
            .fold(server, |server: mailmove_imap_testserver::Builder, one| {
                server.without(*one)
            })
    };
    let count = everywhere(Arc::new(embedded::Embedded::start(name, setup)), most);
    assert!(
        get(&count.points) >= most.min(100),
        "too few points: {count:?}"
    );
    assert!(
        get(&count.open_intents) >= 10,
        "too few open intents: {count:?}"
    );
    count
}

#[test]
fn everywhere_on_the_test_server() {
    let count = embedded("all extensions", &[], 200);
    assert!(get(&count.landed) >= 10, "{count:?}");
    assert!(get(&count.within_literal) >= 10, "{count:?}");
}

#[test]
fn everywhere_with_single_synchronising_appends() {
    embedded(
        "no MULTIAPPEND, no LITERAL+",
        &[Capability::MultiAppend, Capability::LiteralPlus],
        100,
    );
}

/// With UIDPLUS missing, ids are looked up; a search would not know them yet.
#[test]
fn everywhere_with_a_search_that_lags() {
    let setup = |server: mailmove_imap_testserver::Builder| {
        server.without(Capability::UidPlus).search_lags(5)
    };
    let ground = embedded::Embedded::start("no UIDPLUS, searches lag", setup);
    let count = everywhere(Arc::new(ground), 100);
    assert!(get(&count.open_intents) >= 10, "{count:?}");
}

#[test]
fn everywhere_without_uids_in_answers() {
    embedded("no UIDPLUS", &[Capability::UidPlus], 100);
}

/// At real servers, three hundred points, and as many of them in the middle of an append as it takes
/// to mean something.
fn everywhere_on(kind: &'static str, from: &str, to: &str) {
    match real::Real::connect(kind, from, to) {
        Ok(ground) => {
            let count = everywhere(Arc::new(ground), 300);
            assert!(get(&count.points) >= 300, "too few points: {count:?}");
            assert!(get(&count.open_intents) >= 50, "{count:?}");
            assert!(get(&count.landed) >= 30, "{count:?}");
        }
        Err(why) if real::required(kind) => panic!("{why}"),
        Err(why) => println!("not run: {why}"),
    }
}

#[test]
fn everywhere_on_dovecot() {
    everywhere_on("dovecot", "a", "b");
}

#[test]
fn everywhere_on_cyrus() {
    everywhere_on("cyrus", "cyrus", "cyrus-dots");
}
