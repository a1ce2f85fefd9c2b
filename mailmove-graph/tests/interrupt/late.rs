//! What was sent lands 1 to 90 seconds after its connection died, while a new process, or the old one,
//! goes on. By the clock that both sides go by.

use std::time::Duration;

use mailmove_core::edge::Clock as _;
use mailmove_graph_testserver::Action;
use tokio::runtime::Handle;

use crate::{
    all_points, at_once,
    ground::{Ground, Held, Kind},
    points::How,
    process::{Attempt, until},
    runtime,
};

#[derive(Debug)]
struct Point {
    operation: &'static str,
    nth: u64,
    seconds: u64,
    how: How,
}

const KIND: Kind = Kind {
    name: "late, searches lag",
    large: false,
    exports: false,
    drafts: false,
    setup: |builder| builder.rebuilds_mime().search_lags(3),
};

fn attempt(outside: &Handle) -> Attempt {
    Attempt::new(outside.block_on(Ground::new(KIND, None)), outside)
}

/// A run with one late request ends as an undisturbed one.
fn late(outside: &Handle, point: &Point, expected: &Held) -> Result<(), String> {
    let attempt = attempt(outside);
    let faults = attempt.ground.server.faults();
    let delay = Duration::from_secs(point.seconds);
    faults.arm(point.operation, point.nth, Action::LandAfter(delay));
    let killed = until(|| faults.struck() > 0 && point.how == How::Kill);
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
    attempt.compare(expected)
}

#[test]
fn a_request_that_lands_late() {
    let runtime = runtime();
    let calm = attempt(runtime.handle());
    calm.finish(None).unwrap();
    let expected = calm.ground.held();
    let mut points = Vec::new();
    // By turns at each request that there is for sure.
    let operations = [
        ("CreateMessage", 12),
        ("AddAttachment", 5),
        ("UpdateMessage", 2),
    ];
    let all = if all_points() { 12 } else { 1 };
    for (at, seconds) in [1, 4, 8, 12, 20, 40, 90].into_iter().enumerate() {
        for how in [How::Kill, How::Break] {
            for (operation, count) in operations {
                points.extend((0..all.min(count)).map(|more| Point {
                    operation,
                    nth: 1 + (at as u64 * 3 + more) % count,
                    seconds,
                    how,
                }));
            }
        }
    }
    let failures = at_once(&points, |outside, point| late(outside, point, &expected));
    println!(
        "interrupts: requests that land 1 to 90 s late: {} points, {} differences",
        points.len(),
        failures.len()
    );
    assert!(failures.is_empty(), "{failures:#?}");
}
