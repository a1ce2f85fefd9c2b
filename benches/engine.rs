//! Whole migrations, without a network and over loopback.
#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot run shall say why"
)]

use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use mailmove_benches::message;
use mailmove_core::edge::{Credential, StaticCredential};
use mailmove_core::store::{MemoryStore, SqliteStore};
use mailmove_core::{CheckpointStore, Destination, Edges, Migration, Source};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource, Security};
use mailmove_imap_testserver::Server;
use mailmove_testkit::mailbox::{Account, NewMessage, Store};
use mailmove_testkit::memory::MemoryMailbox;
use tokio::runtime::Runtime;

const MESSAGES: usize = 2000;
const SIZE: usize = 2 << 10;
/// Most migrations over loopback in one run.
const COPIES: usize = 200;

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
    // Nothing else takes a processor: messages a second of one of them.
    let one = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    group.bench_function("one-core", |bencher| {
        bencher.to_async(&one).iter_batched(
            &mut fresh,
            |to| {
                let (from, to) = (MemoryMailbox::new(from.clone()), MemoryMailbox::new(to));
                migrate(from, to, MemoryStore::new(), Edges::new())
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// One side, on the embedded server.
fn account(server: &Server, user: &str) -> (ImapConfig, Arc<StaticCredential>) {
    let address = server.plain_address();
    let config = ImapConfig::new(address.ip().to_string())
        .with_port(address.port())
        .with_security(Security::Plain)
        .with_user(user)
        .with_connections(4);
    let credential = Credential::password(user, "secret");
    (config, Arc::new(StaticCredential::new(credential)))
}

/// The whole way over sockets. The server is in this process, and takes its share of the time.
fn loopback(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("loopback");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let mailboxes = Store::new();
    fill(&mailboxes.add_account("from"));
    // A user for each copy; more than criterion asks for.
    let mut builder = Server::builder(mailboxes).user("from", "secret");
    for number in 1..=COPIES {
        builder = builder.user(&format!("to-{number}"), "secret");
    }
    let server = runtime.block_on(builder.start()).expect("a server");
    let mut number = 0;
    group.bench_function("plain", |bencher| {
        bencher.to_async(&runtime).iter_batched(
            || {
                number += 1;
                assert!(number <= COPIES, "more copies than users");
                let directory = tempfile::tempdir().expect("a temporary directory");
                (
                    account(&server, "from"),
                    account(&server, &format!("to-{number}")),
                    directory,
                )
            },
            |((from, reads), (to, writes), directory)| async move {
                let edges = Edges::new();
                let source = ImapSource::new(from, reads, edges.clone());
                let destination = ImapDestination::new(to, writes, edges.clone());
                migrate(
                    source,
                    destination,
                    SqliteStore::new(directory.path()),
                    edges,
                )
                .await;
                directory
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
    targets = memory, loopback
}
criterion_main!(benches);
