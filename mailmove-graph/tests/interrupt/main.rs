//! A migration to Graph is stopped at every request that the destination is asked, in every way in which one can
//! end: either killed, or left to help itself. Then it goes on with a new process, and must end as an undisturbed
//! run does: the same messages, flags, dates and attachments in each folder, nothing doubled, nothing without an
//! attachment, and nothing left to copy.
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

use std::{
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ground::{Ground, Kind};
use points::Point;
use process::Attempt;
use tokio::runtime::{Handle, Runtime};

/// Points tried at once: much of their time is the wait for what may land late.
const AT_ONCE: usize = 12;

/// What the points of a run were, counted.
#[derive(Debug, Default)]
struct Count {
    points: AtomicUsize,
    untouched: AtomicUsize,
    open_intents: AtomicUsize,
    /// Something was made, and that it was is not known.
    landed: AtomicUsize,
    /// Messages were there without all of their attachments.
    incomplete: AtomicUsize,
    killed: AtomicUsize,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>4} points: {:>4} kills, {:>4} cut off; {:>4} with something made but unconfirmed, {:>4} with incomplete \
             messages, {:>4} with open intents, {:>3} that nothing reached",
            get(&self.points),
            get(&self.killed),
            get(&self.points) - get(&self.killed) - get(&self.untouched),
            get(&self.landed),
            get(&self.incomplete),
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

/// Interrupts at `most` of the points and compares.
fn everywhere(kind: Kind, most: usize) -> Count {
    let runtime = runtime();
    let attempt = |outside: &Handle| {
        let late = Some(Duration::from_secs(2));
        Attempt::new(outside.block_on(Ground::new(kind, late)), outside)
    };
    let calm = attempt(runtime.handle());
    calm.finish(None).unwrap();
    let expected = calm.ground.held();
    assert_eq!(
        ground::count(&expected),
        calm.ground.messages,
        "{expected:#?}"
    );
    let all = points::all(&calm.ground.server.counters());
    let points = match all_points() {
        true => all.clone(),
        false => points::spread(&all, most),
    };
    let count = Count::default();
    let failures = at_once(&points, |outside, point: &Point| {
        attempt(outside).check(point, &expected, &count)
    });
    println!(
        "interrupts: {:<34} {count}; {} differences (of {} possible points)",
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
    // Few may be out of reach: how many requests there are depends a little on the pace.
    assert!(
        get(&count.untouched) * 10 <= get(&count.points),
        "{count:?}"
    );
    count
}

#[test]
fn everywhere_by_fields() {
    let kind = Kind {
        name: "fields and attachments",
        large: false,
        exports: false,
        drafts: false,
        setup: |builder| builder.rebuilds_mime().search_lags(3),
    };
    let count = everywhere(kind, 120);
    assert!(get(&count.open_intents) >= 30, "{count:?}");
    assert!(get(&count.landed) >= 30, "{count:?}");
    assert!(get(&count.incomplete) >= 10, "{count:?}");
}

/// An attachment that is uploaded in parts.
#[test]
fn everywhere_by_upload_sessions() {
    let kind = Kind {
        name: "upload sessions, replays",
        large: true,
        exports: false,
        drafts: false,
        setup: |builder| builder.replays().max_page(4),
    };
    let count = everywhere(kind, 14);
    assert!(get(&count.open_intents) >= 3, "{count:?}");
}

/// Exports carry no mark before they are there.
#[test]
fn everywhere_as_exports() {
    let kind = Kind {
        name: "exports",
        large: false,
        exports: true,
        drafts: false,
        setup: |builder| builder.rebuilds_mime(),
    };
    let count = everywhere(kind, 60);
    assert!(get(&count.open_intents) >= 10, "{count:?}");
    assert!(get(&count.landed) >= 10, "{count:?}");
}

/// Drafts as MIME are made in a place of their own, and moved from there.
#[test]
fn everywhere_with_drafts_as_mime() {
    let kind = Kind {
        name: "drafts as MIME",
        large: false,
        exports: false,
        drafts: true,
        setup: |builder| builder.rebuilds_mime(),
    };
    let count = everywhere(kind, 80);
    assert!(get(&count.open_intents) >= 20, "{count:?}");
    assert!(get(&count.landed) >= 20, "{count:?}");
}
