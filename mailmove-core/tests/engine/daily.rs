//! A provider's bytes a day are paced over days.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mailmove_core::{
    Event, Migration, Observer, observe::Direction, report::Status, store::SqliteStore,
};

use crate::world::{World, add, mail};

const DAY: Duration = Duration::from_secs(86_400);

/// A hundred messages of about 200 bytes in four folders.
fn world() -> World {
    let mut world = World::new();
    world.destination = world
        .destination
        .configure(|can| can.batching = mailmove_core::model::Batching::new(4, 1 << 20, true));
    for n in 0..100 {
        let folder = ["INBOX", "A", "B", "C"][n % 4];
        add(
            world.source.account(),
            &[folder],
            mail(&format!("m{n:02}"), 1),
        );
    }
    world
}

fn bytes(world: &World) -> u64 {
    world.source.account().used_bytes()
}

#[derive(Clone, Debug, Default)]
struct Waits(Arc<Mutex<Vec<(Direction, u64)>>>);

impl Observer for Waits {
    fn on(&self, event: &Event) {
        if let Event::DailyLimit {
            direction,
            until_ms,
            ..
        } = event
        {
            self.0.lock().unwrap().push((*direction, *until_ms));
        }
    }
}

#[tokio::test]
async fn a_run_waits_for_the_next_day() {
    for direction in [Direction::Down, Direction::Up] {
        let mut world = world();
        let limit = Some(bytes(&world) / 3);
        match direction {
            Direction::Down => world.options.daily_down = limit,
            _ => world.options.daily_up = limit,
        }
        let waits = Waits::default();
        let start = world.edges.clock.now();
        let report = Migration::builder(world.source.clone(), world.destination.clone())
            .store(world.store.clone())
            .options(world.options.clone())
            .edges(world.edges.clone())
            .observer(waits.clone())
            .build()
            .unwrap()
            .run()
            .await
            .unwrap();
        assert_eq!(report.status(), Status::Complete);
        world.assert_equal();
        let days = (world.edges.clock.now() - start).as_secs() / DAY.as_secs();
        assert!((2..=3).contains(&days), "{days} days");
        let waits = waits.0.lock().unwrap();
        assert!(waits.iter().all(|(which, _)| *which == direction));
        let first = u64::try_from((start + DAY).as_millis()).unwrap();
        assert!(waits.iter().any(|(_, until)| *until == first), "{waits:?}");
    }
}

#[tokio::test]
async fn one_that_shall_not_wait_ends_and_goes_on_the_next_day() {
    let mut world = world();
    world.options.daily_down = Some(bytes(&world) / 3);
    world.options.waits_for_next_day = false;
    let directory = tempfile::tempdir().unwrap();
    let run = || {
        let migration = Migration::builder(world.source.clone(), world.destination.clone())
            .store(SqliteStore::new(directory.path()))
            .options(world.options.clone())
            .edges(world.edges.clone())
            .build()
            .unwrap();
        async move { migration.run().await.unwrap() }
    };
    let mut fetched = 0;
    let mut days = 0;
    loop {
        let report = run().await;
        let now = world.source.counters().fetched;
        if report.status() == Status::Complete {
            break;
        }
        assert_eq!(report.status(), Status::Stopped);
        assert_eq!(report.stopped.unwrap().code, "budget/daily-down");
        assert!((25..=34).contains(&(now - fetched)), "{}", now - fetched);
        fetched = now;
        // Another process on the same day: it knows what was used.
        let again = run().await;
        assert_eq!(again.stopped.unwrap().code, "budget/daily-down");
        assert_eq!(world.source.counters().fetched, fetched);
        world.edges.clock.sleep(DAY).await;
        days += 1;
        assert!(days < 10);
    }
    assert!((3..=4).contains(&days), "{days}");
    world.assert_equal();
    assert_eq!(world.source.counters().fetched, 100);
}

#[tokio::test]
async fn what_the_adapter_knows_counts_unless_the_user_says_otherwise() {
    let mut world = world();
    let limit = bytes(&world) / 2;
    world.options.waits_for_next_day = false;
    world.destination = world
        .destination
        .configure(|can| can.daily_up = Some(limit));
    let report = world.try_run().await.unwrap();
    assert_eq!(report.stopped.unwrap().code, "budget/daily-up");
    world.options.daily_up = Some(0);
    world.run().await;
    world.assert_equal();
}
