//! Whole migrations, without a network and over loopback.
#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot run shall say why"
)]

use std::time::Duration;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use mailmove_benches::message;
use mailmove_core::store::{MemoryStore, SqliteStore};
use mailmove_core::{CheckpointStore, Destination, Edges, Migration, Source};
use mailmove_testkit::mailbox::{Account, NewMessage, Store};
use mailmove_testkit::memory::MemoryMailbox;
use tokio::runtime::Runtime;

const MESSAGES: usize = 2000;
const SIZE: usize = 2 << 10;

/// Ten folders with equally many messages.
fn fill(account: &Account) {
    for folder in 0..10 {
        let path = [format!("Folder {folder}")];
        let id = account.create(&path).expect("a new folder");
        let messages = (0..MESSAGES / 10)
            .map(|number| {
                NewMessage::new(message(folder * MESSAGES + number, SIZE)).with_flags(["\\Seen"])
            })
            .collect();
        account.append(id, messages).expect("accepted");
    }
}

async fn migrate(
    source: impl Source,
    destination: impl Destination,
    store: impl CheckpointStore,
    edges: Edges,
) {
    let migration = Migration::builder(source, destination)
        .store(store)
        .edges(edges)
        .build()
        .expect("two mailboxes and a store");
    let report = migration.run().await.expect("a report");
    assert_eq!(report.total().copied, MESSAGES as u64, "{report:?}");
}

/// What the engine itself costs: nothing else takes time.
fn memory(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("memory-to-memory");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let mailboxes = Store::new();
    let from = mailboxes.add_account("from");
    fill(&from);
    let mut user = 0;
    let mut fresh = move || {
        user += 1;
        mailboxes.add_account(&format!("to-{user}"))
    };
    group.bench_function("ledger-in-memory", |bencher| {
        bencher.to_async(&runtime).iter_batched(
            &mut fresh,
            |to| {
                let (from, to) = (MemoryMailbox::new(from.clone()), MemoryMailbox::new(to));
                migrate(from, to, MemoryStore::new(), Edges::new())
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("ledger-in-sqlite", |bencher| {
        bencher.to_async(&runtime).iter_batched(
            || (fresh(), tempfile::tempdir().expect("a temporary directory")),
            |(to, directory)| {
                let (from, to) = (MemoryMailbox::new(from.clone()), MemoryMailbox::new(to));
                async move {
                    migrate(from, to, SqliteStore::new(directory.path()), Edges::new()).await;
                    directory
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(1500));
    targets = memory
}
criterion_main!(benches);
