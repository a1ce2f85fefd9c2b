//! What was sent lands 1 to 90 seconds after its connection died, while a new process, or the old one,
//! goes on. By the clock that both sides go by.

use std::time::Duration;

use mailmove_core::edge::Clock as _;
use mailmove_ews_testserver::{Action, Builder};
use tokio::runtime::Handle;

use crate::{
    all_points, at_once,
    ground::{Ground, Held, Kind},
    points::{self, How},
    process::{Attempt, until},
    runtime,
};

/// Seconds of the clock in a real one.
const FASTER: u32 = 40;

#[derive(Debug)]
struct Point<'a> {
    kind: Kind,
    /// What an undisturbed run leaves.
    expected: &'a Held,
    nth: u64,
    seconds: u64,
    how: How,
}

fn attempt(kind: Kind, outside: &Handle) -> Attempt {
    Attempt::new(outside.block_on(Ground::new(kind, FASTER, None)), outside)
}

/// A run with one late request ends as an undisturbed one.
fn late(outside: &Handle, point: &Point<'_>) -> Result<(), String> {
    let Point {
        nth, seconds, how, ..
    } = *point;
    let attempt = attempt(point.kind, outside);
    let faults = attempt.ground.to.server.faults();
    let delay = Duration::from_secs(seconds);
    faults.arm(points::store(&point.kind), nth, Action::LandAfter(delay));
    let killed = until(|| faults.struck() > 0 && how == How::Kill);
    let report = attempt.run_until(killed);
    if faults.struck() == 0 {
        return Err("nothing was late".to_owned());
    }
    let clock = &attempt.ground.clock;
    let landed = clock.now() + delay + Duration::from_secs(2);
    attempt.finish(report)?;
    let rest = landed.saturating_sub(clock.now());
    outside.block_on(clock.sleep(rest));
    attempt.nothing_more()?;
    attempt.compare(point.expected)
}

const GROUNDS: [Kind; 3] = [
    Kind {
        name: "late, searches lag",
        exports: false,
        source: Builder::without_default_folders,
        destination: |builder| builder.rebuilds_mime().search_lags(3),
    },
    Kind {
        name: "late, FindItem alone",
        exports: false,
        source: Builder::without_default_folders,
        destination: |builder| builder.rebuilds_mime().without_sync().search_lags(3),
    },
    // What lands late was never marked.
    Kind {
        name: "late, exports",
        exports: true,
        source: |builder| builder,
        destination: |builder| builder.rebuilds_mime().search_lags(3),
    },
];

#[test]
fn a_request_that_lands_late() {
    let runtime = runtime();
    let mut points = Vec::new();
    let undisturbed = GROUNDS.map(|kind| {
        let calm = attempt(kind, runtime.handle());
        calm.finish(None).unwrap();
        (kind, calm.ground.to.held())
    });
    let all = if all_points() { 8 } else { 1 };
    for (kind, expected) in &undisturbed {
        for (at, seconds) in [1, 4, 8, 12, 20, 40, 90].into_iter().enumerate() {
            for how in [How::Kill, How::Break] {
                // By turns at each request that there is for sure.
                points.extend((0..all).map(|more| Point {
                    kind: *kind,
                    expected,
                    nth: 1 + (at as u64 + more) % 8,
                    seconds,
                    how,
                }));
            }
        }
    }
    let failures = at_once(&points, late);
    println!(
        "interrupts: requests that land 1 to 90 s late: {} points, {} differences",
        points.len(),
        failures.len()
    );
    assert!(failures.is_empty(), "{failures:#?}");
}
