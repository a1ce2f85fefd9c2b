//! The ledger: filled, read back, and worked with while it is large.
//!
//! 100,000 messages unless MAILMOVE_BENCH_ROWS says otherwise.
#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot run shall say why"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use futures_util::StreamExt as _;
use mailmove_benches::measuring;
use mailmove_core::checkpoint::{
    FolderNo, FolderRow, Intent, ItemRow, ItemState, Record, Scan, TargetNo, TargetRow,
};
use mailmove_core::identity::HeaderDigest;
use mailmove_core::model::{
    ContentDigest, Flags, FolderId, FolderPath, JobId, Mark, MessageId, Timestamp,
};
use mailmove_core::store::{MemoryStore, SqliteStore};
use mailmove_core::{CheckpointStore, Ledger};
use tokio::runtime::Runtime;

const FOLDER: FolderNo = FolderNo(0);
const TARGET: TargetNo = TargetNo(0);
/// Rows in one commit of a listing.
const PAGE: usize = 1000;
/// Messages in one append.
const BATCH: usize = 100;

fn rows() -> usize {
    let usual = if measuring() { 100_000 } else { 2000 };
    std::env::var("MAILMOVE_BENCH_ROWS").map_or(usual, |text| {
        text.parse().expect("MAILMOVE_BENCH_ROWS is a number")
    })
}

fn source_id(number: usize) -> MessageId {
    MessageId::format(format_args!("1700000000/{}", number + 1))
}

/// As after its first pass.
fn row(number: usize) -> ItemRow {
    let mut row = ItemRow::new(FOLDER, source_id(number));
    row.state = ItemState::Copied;
    row.size = 20_480;
    row.received = Some(Timestamp::new(1_689_587_065, -420));
    row.flags = Flags::parse("\\Seen $Forwarded");
    let mut digest = [7; 32];
    digest[..8].copy_from_slice(&number.to_le_bytes());
    row.digest = Some(ContentDigest::from_bytes(digest));
    let mut header = [9; 16];
    header[..8].copy_from_slice(&number.to_le_bytes());
    row.header = Some(HeaderDigest::from_bytes(header));
    row.target = Some((
        TARGET,
        MessageId::format(format_args!("1800000000/{}", number + 1)),
    ));
    row.pass = 1;
    row
}

async fn open(store: &dyn CheckpointStore) -> Arc<dyn Ledger> {
    let ledger = store.open(&JobId::new("bench")).await.expect("a ledger");
    let folder = FolderId::new("INBOX");
    let source = FolderRow::new(FOLDER, folder.clone(), FolderPath::inbox(), "1700000000");
    let target = TargetRow::new(TARGET, folder, FolderPath::inbox(), "1800000000");
    let folders = vec![
        Record::Folder(Box::new(source)),
        Record::Target(Box::new(target)),
    ];
    ledger.commit(folders).await.expect("recorded");
    ledger
}

async fn fill(ledger: &dyn Ledger, rows: usize) {
    for start in (0..rows).step_by(PAGE) {
        let page = start..(start + PAGE).min(rows);
        let records = page
            .map(|number| Record::Item(Box::new(row(number))))
            .collect();
        ledger.commit(records).await.expect("recorded");
    }
}

async fn scan(ledger: &dyn Ledger) -> usize {
    let mut pages = ledger.scan(Scan::folder(FOLDER));
    let mut count = 0;
    while let Some(page) = pages.next().await {
        count += page.expect("a page").len();
    }
    count
}

/// What one append costs the ledger: an intent before, the rows and the end of the intent after.
async fn batch(ledger: &dyn Ledger, number: u64, first: usize) {
    let items: Vec<ItemRow> = (first..first + BATCH).map(row).collect();
    let mark = Mark::counted("1800000000", first as u64);
    let intent = Intent::new(number, TARGET, mark, items.clone());
    let before = vec![Record::Intent(Box::new(intent))];
    ledger.commit(before).await.expect("recorded");
    let mut after: Vec<Record> = items
        .into_iter()
        .map(|row| Record::Item(Box::new(row)))
        .collect();
    after.push(Record::Close(number));
    ledger.commit(after).await.expect("recorded");
}

fn sqlite(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let rows = rows();
    let mut group = criterion.benchmark_group("sqlite");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(rows as u64));
    group.bench_function("fill", |bencher| {
        bencher.to_async(&runtime).iter_batched(
            || tempfile::tempdir().expect("a temporary directory"),
            |fresh| async move {
                fill(&*open(&SqliteStore::new(fresh.path())).await, rows).await;
                fresh
            },
            BatchSize::PerIteration,
        );
    });
    let ledger = runtime.block_on(large(directory.path(), rows));
    group.bench_function("scan", |bencher| {
        bencher.to_async(&runtime).iter(|| scan(&*ledger));
    });
    group.throughput(Throughput::Elements(BATCH as u64));
    let mut number = 0;
    group.bench_function("batch", |bencher| {
        bencher.to_async(&runtime).iter_batched(
            || {
                number += 1;
                number
            },
            |number| {
                let first = usize::try_from(number).unwrap_or(0) * 7919 % (rows - BATCH);
                batch(&*ledger, number, first)
            },
            BatchSize::PerIteration,
        );
    });
    group.throughput(Throughput::Elements(PAGE as u64));
    group.bench_function("look-up", |bencher| {
        bencher.to_async(&runtime).iter_batched(
            || {
                (0..PAGE)
                    .map(|n| source_id(n * 7919 % rows))
                    .collect::<Vec<_>>()
            },
            |ids| async {
                let found = ledger.items(FOLDER, ids).await.expect("readable");
                assert!(found.iter().all(Option::is_some));
                found
            },
            BatchSize::PerIteration,
        );
    });
    group.throughput(Throughput::Elements(rows as u64));
    group.bench_function("counts", |bencher| {
        bencher
            .to_async(&runtime)
            .iter(|| async { ledger.counts(FOLDER).await.expect("readable") });
    });
    drop(ledger);
    group.bench_function("open", |bencher| {
        bencher
            .to_async(&runtime)
            .iter(|| async { open(&SqliteStore::new(directory.path())).await });
    });
    group.finish();
}

async fn large(directory: &Path, rows: usize) -> Arc<dyn Ledger> {
    let ledger = open(&SqliteStore::new(directory)).await;
    fill(&*ledger, rows).await;
    assert_eq!(scan(&*ledger).await, rows);
    ledger
}

/// What the benches of the engine leave out of their account.
fn memory(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("memory-store");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("fill", |bencher| {
        bencher
            .to_async(&runtime)
            .iter(|| async { fill(&*open(&MemoryStore::new()).await, 10_000).await });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(1500));
    targets = sqlite, memory
}
criterion_main!(benches);
