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

const DRAFTS: Kind = Kind {
    name: "late, drafts as MIME",
    drafts: true,
    ..KIND
};

fn attempt(kind: Kind, outside: &Handle) -> Attempt {
    Attempt::new(outside.block_on(Ground::new(kind, None)), outside)
}

/// A run with one late request ends as an undisturbed one.
fn late(kind: Kind, outside: &Handle, point: &Point, expected: &Held) -> Result<(), String> {
    let attempt = attempt(kind, outside);
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

/// By turns at each request that there is for sure.
fn everywhere(kind: Kind, operations: [(&'static str, u64); 3]) {
    let runtime = runtime();
    let calm = attempt(kind, runtime.handle());
    calm.finish(None).unwrap();
    let expected = calm.ground.held();
    let mut points = Vec::new();
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
    let failures = at_once(&points, |outside, point| {
        late(kind, outside, point, &expected)
    });
    println!(
        "interrupts: {}, 1 to 90 s: {} points, {} differences",
        kind.name,
        points.len(),
        failures.len()
    );
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_request_that_lands_late() {
    let operations = [
        ("CreateMessage", 12),
        ("AddAttachment", 5),
        ("UpdateMessage", 2),
    ];
    everywhere(KIND, operations);
}

/// A draft that is moved late, too, is one message.
#[test]
fn a_draft_that_lands_late() {
    let operations = [
        ("CreateMessage", 9),
        ("UpdateMessage", 9),
        ("MoveMessage", 9),
    ];
    everywhere(DRAFTS, operations);
}
