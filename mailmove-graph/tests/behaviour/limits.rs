//! How much is asked for, and when.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mailmove_core::{
    Edges, Source as _,
    edge::{Clock as _, ConnectionBudget},
    error::{ErrorKind, Retry},
    model::MessageId,
    source::Fetched,
};
use mailmove_graph::{GraphConfig, GraphSource};
use mailmove_graph_testserver::{Action, Server};
use mailmove_testkit::clock::TestClock;

use crate::support::{all, config, fetch, fill, ids, refusal, source, start, token, words};

fn clock() -> TestClock {
    TestClock::new(Duration::from_secs(1_767_225_600))
}

fn clocked(config: GraphConfig, clock: &TestClock) -> GraphSource {
    let edges = Edges::new().with_clock(Arc::new(clock.clone()));
    GraphSource::new(config, token(), edges)
}

#[tokio::test]
async fn a_back_off_is_kept_to_the_second_by_all() {
    let clock = clock();
    let by = Arc::new(clock.clone());
    let server = start(|builder| builder.clock(by)).await;
    fill(&server, 8);
    // One at a time, so that none is under way already when the server says what it wants.
    let source = clocked(config(&server).with_concurrency(1), &clock);
    let found = ids(&all(&source).await);
    let wait = Duration::from_secs(7);
    server
        .faults()
        .arm("GetMime", 1, Action::Throttle(Some(wait)));
    let fetched = fetch(&source, found.clone()).await;
    let told = fetched.iter().filter_map(|(_, fetched)| match fetched {
        Fetched::Failed(error) => Some((error.code(), error.retry())),
        _ => None,
    });
    let told: Vec<_> = told.collect();
    assert!(told.len() >= 5, "{told:?}");
    assert!(
        told.iter()
            .all(|told| *told == ("graph/throttled", Retry::After(wait)))
    );
    clock.advance(wait - Duration::from_millis(1));
    let error = refusal(&source).await;
    assert_eq!(error.retry(), Retry::After(Duration::from_millis(1)));
    assert_eq!(server.counters().during_backoff, 0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(words(&fetch(&source, found).await), vec!["content"; 8]);
    assert_eq!(server.counters().during_backoff, 0);
}

/// Those that wait for a connection leave after the others were told to slow down.
#[tokio::test]
async fn a_back_off_is_kept_by_those_that_wait_for_a_connection() {
    let clock = clock();
    let by = Arc::new(clock.clone());
    let server = start(|builder| builder.clock(by)).await;
    fill(&server, 8);
    let edges = Edges::new().with_clock(Arc::new(clock.clone()));
    let edges = edges.with_connections(ConnectionBudget::new(1, 1));
    let source = GraphSource::new(config(&server), token(), edges);
    let found = ids(&all(&source).await);
    let wait = Duration::from_secs(7);
    server
        .faults()
        .arm("GetMime", 1, Action::Throttle(Some(wait)));
    let fetched = fetch(&source, found).await;
    assert_eq!(words(&fetched), vec!["graph/throttled"; 8]);
    assert_eq!(server.counters().during_backoff, 0);
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_prolong_a_back_off() {
    let (ours, theirs) = (clock(), clock());
    let by = Arc::new(theirs.clone());
    let server = start(|builder| builder.clock(by)).await;
    let source = clocked(config(&server), &ours);
    let wait = Duration::from_secs(600);
    let throttle = Action::Throttle(Some(wait));
    server.faults().arm("Batch", 1, throttle.clone());
    assert_eq!(refusal(&source).await.retry(), Retry::After(wait));
    ours.set(ours.now() - Duration::from_secs(86_400));
    theirs.advance(wait);
    // What the server says from then on holds by the new time.
    server.faults().arm("Batch", 1, throttle);
    let asked = server.counters().requests;
    for _ in 0..3 {
        assert_eq!(refusal(&source).await.retry(), Retry::After(wait));
    }
    assert_eq!(server.counters().requests, asked + 1);
    ours.advance(wait);
    theirs.advance(wait);
    source.folders().await.unwrap();
}

#[tokio::test]
async fn one_of_a_batch_that_is_throttled_holds_back_all() {
    let clock = clock();
    let by = Arc::new(clock.clone());
    let server = start(|builder| builder.clock(by)).await;
    let source = clocked(config(&server), &clock);
    let wait = Duration::from_secs(5);
    server
        .faults()
        .arm("GetFolder", 3, Action::Throttle(Some(wait)));
    let error = refusal(&source).await;
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert_eq!(error.retry(), Retry::After(wait));
    let asked = server.counters().requests;
    assert_eq!(refusal(&source).await.retry(), Retry::After(wait));
    assert_eq!(server.counters().requests, asked);
    clock.advance(wait);
    source.folders().await.unwrap();
}

#[tokio::test]
async fn where_no_wait_is_told_waits_grow() {
    let clock = clock();
    let by = Arc::new(clock.clone());
    let server = start(|builder| builder.clock(by).tells_no_wait()).await;
    let source = clocked(config(&server), &clock);
    let root = "Batch";
    server.faults().arm_every(root, 1, Action::Throttle(None));
    let mut waits = Vec::new();
    for _ in 0..5 {
        let Retry::After(wait) = refusal(&source).await.retry() else {
            panic!("no wait");
        };
        waits.push(wait.as_secs());
        clock.advance(wait);
    }
    assert_eq!(waits, [1, 1, 2, 4, 8]);
    server.faults().clear();
    source.folders().await.unwrap();
    // It begins anew.
    server.faults().arm(root, 1, Action::Throttle(None));
    assert_eq!(
        refusal(&source).await.retry(),
        Retry::After(Duration::from_secs(1))
    );
}

/// Else what the server says once would be taken for its third word, and be waited for longer.
#[tokio::test]
async fn what_several_are_told_at_once_is_one_objection() {
    let clock = clock();
    let server = start(|builder| builder.tells_no_wait().latency(Duration::from_millis(50))).await;
    fill(&server, 3);
    let source = clocked(config(&server), &clock);
    let found = ids(&all(&source).await);
    let throttle = Action::Throttle(None);
    server.faults().arm_every("GetMime", 1, throttle);
    let fetched = fetch(&source, found).await;
    let told = fetched.iter().filter_map(|(_, fetched)| match fetched {
        Fetched::Failed(error) => Some(error.retry()),
        _ => None,
    });
    let second = Retry::After(Duration::from_secs(1));
    assert_eq!(told.collect::<Vec<_>>(), [second; 3]);
    assert_eq!(server.counters().answer(429), 3);
}

#[tokio::test]
async fn servers_that_are_out_of_order_are_asked_later() {
    let server = start(|builder| builder).await;
    let source = source(config(&server));
    for (action, retry) in [
        (
            Action::Unavailable(Some(Duration::from_secs(3))),
            Retry::After(Duration::from_secs(3)),
        ),
        (Action::Unavailable(None), Retry::Backoff),
        (Action::Status(504), Retry::Backoff),
        (Action::Status(500), Retry::Backoff),
    ] {
        server.faults().arm("Batch", 1, action.clone());
        let error = refusal(&source).await;
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Unavailable, retry),
            "{action:?}"
        );
    }
    source.folders().await.unwrap();
}

#[tokio::test]
async fn the_request_limit_is_kept_without_being_told() {
    let clock = TestClock::jumping(clock().now());
    let (by, window) = (Arc::new(clock.clone()), Duration::from_secs(60));
    let server = start(|builder| builder.clock(by).request_budget(40, window)).await;
    fill(&server, 100);
    // One at a time: with this clock a minute may pass while another request is on its way.
    let config = config(&server).with_concurrency(1);
    let config = config.with_request_limit(40, window);
    let source = clocked(config, &clock);
    let before = clock.now();
    let found = ids(&all(&source).await);
    let mut words = words(&fetch(&source, found).await);
    words.dedup();
    assert_eq!(words, ["content"]);
    assert_eq!(server.counters().answer(429), 0);
    // What was waited is told, and no more than needed: 100 contents and as many headers, with the listing.
    let asked = server.counters().total_operations();
    let waited = clock.now() - before;
    let needed = window * u32::try_from(asked / 40 + 1).unwrap();
    assert!(waited <= needed, "{waited:?} for {asked} requests");
    assert!(source.time_waited() >= waited, "{:?}", source.time_waited());
}

/// Fetches all of these, and waits as it is told.
async fn fetch_all(source: &GraphSource, mut wanted: Vec<MessageId>) {
    while !wanted.is_empty() {
        let fetched = fetch(source, std::mem::take(&mut wanted)).await;
        let mut wait = Duration::ZERO;
        for (id, fetched) in fetched {
            match fetched {
                Fetched::Content(_) => {}
                Fetched::Failed(error) => {
                    let Retry::After(told) = error.retry() else {
                        panic!("{error:?}");
                    };
                    wait = wait.max(told);
                    wanted.push(id);
                }
                other => panic!("{other:?}"),
            }
        }
        tokio::time::sleep(wait).await;
    }
}

async fn slow(places: usize) -> Server {
    let latency = Duration::from_millis(50);
    start(|builder| builder.concurrency(places).latency(latency)).await
}

/// Two to three seconds of real time: what is measured is how many of the server's places are taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_places_are_used_and_few_requests_refused() {
    let server = slow(4).await;
    fill(&server, 130);
    let source = source(config(&server));
    let found = ids(&all(&source).await);
    // It finds out how many there are, and hears of it once.
    fetch_all(&source, found[..60].to_vec()).await;
    assert!(server.counters().over_concurrency <= 5);
    server.reset_counters();
    let begun = Instant::now();
    fetch_all(&source, found[60..].to_vec()).await;
    let elapsed = begun.elapsed();
    let counters = server.counters();
    let busy = counters.slot_time.as_secs_f64() / (elapsed.as_secs_f64() * 4.0);
    assert!(busy >= 0.75, "{busy:.2} of the places were taken");
    let refused = counters.answer(429) * 100;
    assert!(refused <= counters.total_operations(), "{counters:?}");
    assert_eq!(counters.during_backoff, 0);
}
