//! A migration between Exchange servers to which all sorts of things happen, on both sides and all the time:
//! servers hang up before, within and after answers, are busy, refuse logins, answer twice, by halves or with
//! something else, stop in the middle of a batch, and carry out requests seconds after their connection died.
//! All of it is drawn from a seed; a failure says how to have the same again.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a panic is how a test fails, and the counts are its result"
)]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use mailmove_core::{
    Edges, Migration, Report, Result,
    edge::{Clock, Credential, StaticCredential},
    observe::{Event, Observer},
    report::Status,
    store::MemoryStore,
};
use mailmove_ews::{EwsConfig, EwsDestination, EwsSource};
use mailmove_ews_testserver::{Builder, Mixture, Server};
use mailmove_testkit::{
    clock::FastClock,
    corpus::{Corpus, CorpusFolder},
    mailbox::{Account, Store},
    snapshot::Snapshot,
};

/// Seconds of the clock in a real one.
const FASTER: u32 = 50;
/// One of so many operations fails.
const ONE_OF: u64 = 6;
const MESSAGES: u64 = 500;
const SEEDS: u64 = 3;
/// Most passes that it may take.
const RUNS: usize = 6;
/// So many of them in calm.
const CALM: usize = 2;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

struct Side {
    server: Server,
    account: Account,
}

impl Side {
    async fn start(clock: &Arc<FastClock>, setup: fn(Builder) -> Builder) -> Self {
        let builder = Server::builder(Store::new())
            .user("ann", "secret")
            .clock(Arc::clone(clock) as Arc<dyn Clock>)
            .without_default_folders()
            // As MIME: streams are looked at elsewhere.
            .without("ExportItems")
            .without("UploadItems")
            .without_shape_gate();
        let server = setup(builder).start().await.unwrap();
        let account = server.store().account("ann").unwrap();
        Self { server, account }
    }

    fn config(&self) -> EwsConfig {
        EwsConfig::at(&self.server.url())
            .unwrap()
            .with_user("ann@example.com")
            .with_connections(3)
            .with_timeout(Duration::from_secs(20))
    }
}

/// Counts what the engine did about it.
#[derive(Clone, Debug, Default)]
struct Seen {
    retries: Arc<AtomicU64>,
    doubts: Arc<AtomicU64>,
}

impl Observer for Seen {
    fn on(&self, event: &Event) {
        match event {
            Event::Retrying { .. } => self.retries.fetch_add(1, Ordering::Relaxed),
            Event::Settling { .. } => self.doubts.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

/// Ordinary mail in some folders, every tenth message twice.
fn fill(account: &Account, seed: u64, messages: u64) {
    let messages = usize::try_from(messages).unwrap();
    let names = ["INBOX", "Work", "Letters", "Lists", "2019", "2020", "2021"];
    let folders = names.map(|name| CorpusFolder::new(&[name]));
    let corpus = Corpus::new(seed)
        .with_folders(folders.into())
        .with_median(1200)
        .with_largest(60_000)
        .with_special(0);
    corpus.fill(account, messages * 10 / 11).unwrap();
    for message in corpus.messages(messages * 10 / 11).step_by(10) {
        let folder = account.folder(&message.folder).unwrap();
        let twin = vec![message.to_new_message()];
        account.append(folder.id, twin).unwrap();
    }
}

/// By folder, content and received date: how often.
type Contents = BTreeMap<(String, String, i64), usize>;

/// How often each message is in each folder. Of its flags the server keeps the keywords in another order.
fn contents(account: &Account) -> Contents {
    let mut out = BTreeMap::new();
    for (path, folder) in &Snapshot::of(account).folders {
        for message in &folder.messages {
            let received = message.received.seconds();
            let key = (path.to_string(), message.digest.to_string(), received);
            *out.entry(key).or_default() += 1;
        }
    }
    out
}

/// Runs as a timer would, until one is complete. A fault that says nothing but that the request cannot be run
/// (gromox) is no failure that passes, as far as one can know, and may end a pass or fail a message. So the
/// last passes go in calm.
async fn until_complete(
    migration: impl Fn() -> Migration,
    calm: impl Fn(),
) -> (Result<Report>, usize) {
    let mut runs = 0;
    loop {
        if runs + CALM == RUNS {
            calm();
        }
        let report = migration().run().await;
        runs += 1;
        let complete = matches!(&report, Ok(report) if report.status() == Status::Complete);
        if complete || runs == RUNS {
            return (report, runs);
        }
    }
}

/// How many faults there were.
async fn soak(seed: u64, messages: u64) -> u64 {
    let replay = format!("replay with MAILMOVE_SOAK_SEED={seed}");
    let clock = Arc::new(FastClock::new(FASTER));
    let from = Side::start(&clock, |builder| builder).await;
    let to = Side::start(&clock, |builder| builder.rebuilds_mime().search_lags(5)).await;
    fill(&from.account, seed, messages);
    let before = contents(&from.account);
    for (side, seed) in [(&from, seed * 2), (&to, seed * 2 + 1)] {
        // What lands later than doubt is settled is a matter of its own.
        let mixture = Mixture::new(seed, ONE_OF).with_late(8);
        side.server.faults().mix(mixture);
    }
    let (store, seen) = (MemoryStore::new(), Seen::default());
    let migration = || {
        let edges = Edges::new().with_clock(Arc::clone(&clock) as Arc<_>);
        let login = || Arc::new(StaticCredential::new(Credential::password("ann", "secret")));
        Migration::builder(
            // This one keeps MIME as it came, so that bytes can be compared.
            EwsSource::new(
                from.config().with_renamed_boundaries(false),
                login(),
                edges.clone(),
            ),
            EwsDestination::new(to.config(), login(), edges.clone()),
        )
        .store(store.clone())
        .observer(seen.clone())
        .edges(edges)
        .build()
        .unwrap()
    };
    let (report, runs) = until_complete(migration, || {
        for side in [&from, &to] {
            side.server.faults().clear();
        }
    })
    .await;
    let report = report.unwrap_or_else(|error| panic!("{replay}: {}", error.chain()));
    let total = report.total();
    let mut kinds = BTreeMap::new();
    for side in [&from, &to] {
        for (name, count) in side.server.faults().mixed() {
            *kinds.entry(name).or_insert(0) += count;
        }
        side.server.faults().clear();
    }
    let struck: u64 = kinds.values().sum();
    println!(
        "soak: {} messages in {runs} passes, {struck} faults {kinds:?}; {} retries and {} doubts settled by \
         the engine",
        total.found,
        seen.retries.load(Ordering::Relaxed),
        seen.doubts.load(Ordering::Relaxed),
    );
    assert_eq!(report.status(), Status::Complete, "{replay}: {report:#?}");
    assert!(total.is_closed(), "{replay}: {total:?}");
    let after = contents(&to.account);
    let differ = |one: &Contents, other: &Contents| -> Vec<String> {
        let all = one
            .iter()
            .filter(|(key, count)| other.get(key) != Some(*count));
        all.take(5).map(|one| format!("{one:?}")).collect()
    };
    assert!(
        after == before,
        "{replay}: expected {:#?}, found {:#?}\n{report:#?}",
        differ(&before, &after),
        differ(&after, &before)
    );
    assert!(
        contents(&from.account) == before,
        "{replay}: the source changed"
    );
    // And nothing is left to do.
    let again = migration().run().await.unwrap();
    let left = (again.status(), again.total().copied);
    assert_eq!(left, (Status::Complete, 0), "{replay}");
    struck
}

/// However much goes wrong, nobody has to do anything: the ledger closes, and both sides hold the same. `MAILMOVE_SOAK` says how many messages, `MAILMOVE_SOAK_SEED` which seed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_in_each_sixth_operation() {
    let messages = number("MAILMOVE_SOAK").unwrap_or(MESSAGES);
    let seeds = match number("MAILMOVE_SOAK_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..SEEDS + 1,
    };
    let (mut struck, count) = (0, seeds.end - seeds.start);
    for seed in seeds {
        struck += soak(seed, messages).await;
    }
    assert!(struck >= 10 * count, "too few faults to mean anything");
}
