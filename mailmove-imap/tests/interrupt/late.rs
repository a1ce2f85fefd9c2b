//! What was sent lands 1 to 90 seconds after its connection died, while a new process, or the old one,
//! goes on. By the clock that both sides go by.

use std::{sync::Arc, time::Duration};

use mailmove_core::{edge::Clock as _, report::Status};
use mailmove_imap_testserver::Action;
use mailmove_testkit::clock::FastClock;
use tokio::runtime::Handle;

use crate::{
    embedded::Embedded,
    points::How,
    process::{self, Attempt},
};

/// Seconds of the clock in a real one.
const FASTER: u32 = 40;

/// A run with one late append ends as an undisturbed one.
fn late(outside: &Handle, nth: u64, seconds: u64, how: How) -> Result<(), String> {
    let clock = Arc::new(FastClock::new(FASTER));
    let ground = Embedded::start_with("late", 3, |server| {
        server.clock(Arc::clone(&clock) as Arc<_>).search_lags(3)
    })
    .with_clock(Arc::clone(&clock));
    let expected = outside.block_on(process::undisturbed(&ground)).end;
    let attempt = Attempt::calm(&ground, outside);
    let faults = ground.faults();
    let delay = Duration::from_secs(seconds);
    faults.arm("APPEND", nth, Action::LandAfter(delay));
    let struck = async {
        while faults.struck() == 0 || how == How::Break {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let mut report = attempt.run_until(struck);
    if faults.struck() == 0 {
        return Err("nothing was late".to_owned());
    }
    let landed = clock.now() + delay + Duration::from_secs(2);
    for _ in 0..6 {
        match &report {
            Some(Ok(report)) if report.status() == Status::Complete => break,
            _ => report = attempt.run(None),
        }
    }
    let rest = landed.saturating_sub(clock.now());
    outside.block_on(clock.sleep(rest));
    let again = attempt.run(None).ok_or("killed")?;
    let again = again.map_err(|error| error.chain())?;
    if again.total().copied + again.total().already_there > 0 {
        return Err(format!("a further run copied something: {again:#?}"));
    }
    let total = again.total();
    if total.doubled + total.perhaps_doubled > 0 {
        return Err(format!("a further run tells of copies: {again:#?}"));
    }
    attempt.compare(&expected)
}

#[test]
fn an_append_that_lands_late() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut points = Vec::new();
    for nth in 1..=4 {
        for seconds in [1, 4, 8, 12, 20, 40, 90] {
            points.extend([How::Kill, How::Break].map(|how| (nth, seconds, how)));
        }
    }
    let results = std::sync::Mutex::new(Vec::new());
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some((nth, seconds, how)) = points.get(at) else {
                        return;
                    };
                    let result = late(runtime.handle(), *nth, *seconds, *how);
                    results.lock().unwrap().push((*nth, *seconds, *how, result));
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    let failed: Vec<_> = results.iter().filter(|one| one.3.is_err()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    println!(
        "interrupts: test server, appends that land 1 to 90 s late: {} points, 0 differences",
        results.len(),
    );
}
