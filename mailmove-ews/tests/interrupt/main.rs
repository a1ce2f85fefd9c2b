//! A migration from Exchange to Exchange is stopped at every operation of either side, in every way in
//! which one can end, and within messages on the wire: either killed, or left to help itself. Then it
//! goes on with a new process, and must end as an undisturbed run does: the same multiset of bytes, flags
//! and dates in each folder, nothing doubled, and nothing left to copy.
//!
//! All points: `MAILMOVE_INTERRUPT=all`. Otherwise every n-th, so many that it means something.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a panic is how a test fails, and the counts are its result"
)]

mod ground;
mod late;
mod points;
mod process;
mod scene;

use std::{
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ground::{Ground, Held, Kind};
use mailmove_ews_testserver::Builder;
use points::{Point, Where};
use process::Attempt;
use tokio::runtime::{Handle, Runtime};

/// Points tried at once: much of their time is the wait for what may land late.
const AT_ONCE: usize = 12;
/// Seconds of the migration's clock in a real one: that wait is short, and yet real.
const FASTER: u32 = 20;

/// What the points of a run were, counted.
#[derive(Debug, Default)]
struct Count {
    points: AtomicUsize,
    untouched: AtomicUsize,
    open_intents: AtomicUsize,
    /// Messages were stored, and that they are is not yet known.
    landed: AtomicUsize,
    /// Within the content of a message.
    within: AtomicUsize,
    killed: AtomicUsize,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>5} points: {:>5} kills, {:>5} cut off; {:>4} within a message, {:>4} with messages landed \
             but unconfirmed, {:>4} with open intents, {:>3} that nothing reached",
            get(&self.points),
            get(&self.killed),
            get(&self.points) - get(&self.killed) - get(&self.untouched),
            get(&self.within),
            get(&self.landed),
            get(&self.open_intents),
            get(&self.untouched),
        )
    }
}

fn get(count: &AtomicUsize) -> usize {
    count.load(Ordering::Relaxed)
}

fn all_points() -> bool {
    std::env::var_os("MAILMOVE_INTERRUPT").is_some_and(|what| what == "all")
}

/// The servers live in it.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Does this with each point, many at once; what failed.
fn at_once<T: fmt::Debug + Sync>(
    points: &[T],
    check: impl Fn(&Handle, &T) -> Result<(), String> + Sync,
) -> Vec<String> {
    let runtime = runtime();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(failure) = check(runtime.handle(), point) {
                        let failure = format!("{point:?}: {failure}");
                        failures.lock().unwrap().push(failure);
                    }
                }
            });
        }
    });
    failures.into_inner().unwrap()
}

/// What an undisturbed run leaves, and where it can be interrupted.
fn undisturbed(attempt: &Attempt) -> (Held, Vec<Point>) {
    attempt.finish(None).unwrap();
    let ground = &attempt.ground;
    let (source, own) = ground.messages;
    let end = ground.to.held();
    let stored = end.messages();
    // One of the user's is the source's, too, where the server keeps it as it came.
    assert!(
        (source + own - 1..=source + own).contains(&stored),
        "{stored} messages of {source} and {own}"
    );
    let of_side =
        |place, side: &ground::Side| points::of_side(place, ground.kind.exports, &side.counters());
    let mut points = of_side(Where::Destination, &ground.to);
    points.extend(of_side(Where::Source, &ground.from));
    (end, points)
}

/// Interrupts at `most` of the points and compares.
fn everywhere(kind: Kind, most: usize) -> Count {
    let late = Some(Duration::from_secs(2));
    let runtime = runtime();
    let attempt = |outside: &Handle| {
        let ground = outside.block_on(Ground::new(kind, FASTER, late));
        Attempt::new(ground, outside)
    };
    let (expected, all) = undisturbed(&attempt(runtime.handle()));
    let points = match all_points() {
        true => all.clone(),
        false => points::spread(&all, most),
    };
    let count = Count::default();
    let failures = at_once(&points, |outside, point| {
        attempt(outside).at(point).check(point, &expected, &count)
    });
    println!(
        "interrupts: {:<44} {count}; {} differences (of {} possible points)",
        kind.name,
        failures.len(),
        all.len(),
    );
    let some: Vec<&str> = failures.iter().take(5).map(String::as_str).collect();
    assert!(
        failures.is_empty(),
        "{} of {} points differ from an undisturbed run, e.g.\n{}",
        failures.len(),
        points.len(),
        some.join("\n")
    );
    assert_eq!(get(&count.points), points.len());
    // Few may be out of reach: how many operations there are depends a little on the pace.
    assert!(
        get(&count.untouched) * 10 <= get(&count.points),
        "{count:?}"
    );
    count
}

#[test]
fn everywhere_on_exchange() {
    let count = everywhere(
        Kind {
            name: "Exchange that makes MIME anew",
            exports: false,
            source: |builder| builder,
            destination: Builder::rebuilds_mime,
        },
        155,
    );
    assert!(get(&count.open_intents) >= 50, "{count:?}");
    assert!(get(&count.landed) >= 30, "{count:?}");
    assert!(get(&count.within) >= 30, "{count:?}");
}

/// Folders are looked through by FindItem there, and searches would not know what came last.
#[test]
fn everywhere_without_sync() {
    let count = everywhere(
        Kind {
            name: "no SyncFolderItems, searches lag",
            exports: false,
            source: |builder| builder.without_default_folders().without_sync(),
            destination: |builder| {
                let builder = builder.without_default_folders().rebuilds_mime();
                builder.without_sync().search_lags(5)
            },
        },
        80,
    );
    assert!(get(&count.open_intents) >= 20, "{count:?}");
    assert!(get(&count.landed) >= 15, "{count:?}");
}

/// A source that makes MIME anew at each read, and a destination that keeps what it was given.
#[test]
fn everywhere_from_exchange_that_makes_mime_anew() {
    let count = everywhere(
        Kind {
            name: "from Exchange that makes MIME anew",
            exports: false,
            source: Builder::rebuilds_mime,
            destination: |builder| builder.without_default_folders(),
        },
        40,
    );
    assert!(get(&count.open_intents) >= 10, "{count:?}");
}

/// Items of every class, as Exchange's own exports: they carry no mark before they are there.
#[test]
fn everywhere_as_exports() {
    let count = everywhere(
        Kind {
            name: "as exports",
            exports: true,
            source: |builder| builder,
            destination: Builder::rebuilds_mime,
        },
        120,
    );
    assert!(get(&count.open_intents) >= 30, "{count:?}");
    assert!(get(&count.landed) >= 20, "{count:?}");
    assert!(get(&count.within) >= 20, "{count:?}");
}
