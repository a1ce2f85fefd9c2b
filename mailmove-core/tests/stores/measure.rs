//! How fast the stores are. Prints, judges nothing: run it by hand, optimised, with
//! `cargo test --release -p mailmove-core --test stores measure -- --ignored --nocapture`.

use std::time::Instant;

use mailmove_core::{
    checkpoint::{FolderNo, ItemState, Record, Scan},
    model::{ContentDigest, Flags, Timestamp},
};

use super::util::*;

const ROWS: u64 = 100_000;

fn full(n: u64) -> Record {
    let mut row = copied(0, n, 0, n);
    row.state = ItemState::Copied;
    row.size = n;
    row.received = Some(Timestamp::new(1_700_000_000, 60));
    row.flags = Flags::parse("\\Seen $Forwarded");
    row.digest = Some(ContentDigest::of(&n.to_le_bytes()));
    row.header = Some(header(7));
    item(row)
}

async fn measure(name: &str, place: Place) {
    let ledger = place.open().await;
    ledger.commit(places()).await.unwrap();
    let since = |what: &str, start: Instant| {
        let rate = 1e5 / start.elapsed().as_secs_f64();
        println!("{name}: {what}: {rate:.0} rows/s");
    };
    let commit = |what: &'static str, make: fn(u64) -> Record, waiting: usize| {
        let ledger = &ledger;
        async move {
            use futures_util::StreamExt as _;
            let start = Instant::now();
            futures_util::stream::iter((0..ROWS).step_by(100))
                .map(|from| ledger.commit((from..from + 100).map(make).collect()))
                .buffered(waiting)
                .for_each(|result| async { result.unwrap() })
                .await;
            since(what, start);
        }
    };
    commit("listed, commits of 100", |n| item(row(0, n)), 1).await;
    commit("claimed, commits of 100", full, 1).await;
    commit("claimed again, 8 commits waiting", full, 8).await;
    let start = Instant::now();
    for from in (0..ROWS).step_by(500) {
        let ids = (from..from + 500).map(|n| id(n * 7919 % ROWS)).collect();
        let found = ledger.items(FolderNo(0), ids).await.unwrap();
        assert!(found.iter().all(Option::is_some));
    }
    since("looked up by 500", start);
    let start = Instant::now();
    assert_eq!(
        scan(&ledger, Scan::folder(FolderNo(0))).await.len(),
        100_000
    );
    since("scanned", start);
    let start = Instant::now();
    ledger.counts(FolderNo(0)).await.unwrap();
    since("counted", start);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints how fast the stores are"]
async fn measure_memory() {
    measure("memory", memory()).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints how fast the stores are"]
async fn measure_sqlite() {
    measure("sqlite", sqlite()).await;
}
