//! Many migrations at once that share connections and memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use mailmove_benches::measure::{Result, number, usage};
use mailmove_core::checkpoint::ItemState;
use mailmove_core::edge::{ConnectionBudget, MemoryBudget, Spool};
use mailmove_core::observe::{Event, Observer};
use mailmove_core::report::Status;
use mailmove_core::store::SqliteStore;
use mailmove_core::{Edges, Migration};

use crate::served::Served;

/// What each migration has copied so far, and how far all were when the first was done.
#[derive(Debug)]
struct Race {
    copied: Vec<AtomicU64>,
    /// Milliseconds until the first message.
    begun: Vec<AtomicU64>,
    at_first_end: std::sync::OnceLock<Vec<u64>>,
    start: Instant,
}

#[derive(Debug)]
struct Runner(Arc<Race>, usize);

impl Observer for Runner {
    fn on(&self, event: &Event) {
        let Event::Progress {
            state: ItemState::Copied,
            messages,
            ..
        } = event
        else {
            return;
        };
        let Self(race, number) = self;
        if let (Some(copied), Some(begun)) = (race.copied.get(*number), race.begun.get(*number))
            && copied.fetch_add(*messages, Ordering::Relaxed) == 0
        {
            let ms = race.start.elapsed().as_millis();
            begun.store(u64::try_from(ms).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }
}

impl Race {
    fn now(&self) -> Vec<u64> {
        let values = self.copied.iter();
        values.map(|one| one.load(Ordering::Relaxed)).collect()
    }
}

pub(crate) fn command(options: &[&str]) -> Result<()> {
    let mailboxes = number(options, "--mailboxes", 500)?.max(1);
    let messages = number(options, "--messages", 200)?.max(1);
    let bytes = number(options, "--bytes", 4096)?;
    let connections = number(options, "--connections", 1000)?;
    let memory = number(options, "--memory", 64)?;
    if connections < 2 * mailboxes {
        return Err("each mailbox needs a connection to both sides".into());
    }
    let served = Served::start(mailboxes, messages, bytes)?;
    let directory = tempfile::tempdir()?;
    let budget = MemoryBudget::new((memory as u64) << 20);
    let edges = Edges::new()
        .with_spool(Spool::new(directory.path(), budget.clone()))
        .with_connections(ConnectionBudget::new(connections, connections));
    let race = Arc::new(Race {
        copied: (0..mailboxes).map(|_| AtomicU64::new(0)).collect(),
        begun: (0..mailboxes).map(|_| AtomicU64::new(0)).collect(),
        at_first_end: std::sync::OnceLock::new(),
        start: Instant::now(),
    });
    let before = usage::own_peak();
    let runtime = tokio::runtime::Runtime::new()?;
    let ends = runtime.block_on(async {
        let store = SqliteStore::new(directory.path().join("state"));
        let each = connections / mailboxes / 2;
        let mut tasks = Vec::new();
        for number in 0..mailboxes {
            let (source, destination) = served.sides(number, each, &edges);
            let migration = Migration::builder(source, destination)
                .store(store.clone())
                .edges(edges.clone())
                .observer(Runner(Arc::clone(&race), number))
                .build()?;
            let race = Arc::clone(&race);
            tasks.push(tokio::spawn(async move {
                let report = migration.run().await?;
                race.at_first_end.get_or_init(|| race.now());
                let whole = report.status() == Status::Complete;
                let whole = whole && report.total().copied == messages as u64;
                match whole {
                    true => Ok(race.start.elapsed().as_secs_f64()),
                    false => Err(format!("mailbox {number}: {report:?}").into()),
                }
            }));
        }
        let mut ends = Vec::new();
        for task in tasks {
            let end: Result<f64> = task.await?;
            ends.push(end?);
        }
        Result::Ok(ends)
    })?;
    tell(&race, ends, messages as f64);
    let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
    println!(
        "peak memory {:.0} MiB of {:.0} before the first; bodies at most {:.1} of {memory} MiB",
        mib(usage::own_peak()),
        mib(before),
        mib(budget.peak())
    );
    Ok(())
}

fn tell(race: &Race, mut ends: Vec<f64>, messages: f64) {
    ends.sort_by(f64::total_cmp);
    let (first, last) = (ends.first(), ends.last());
    let (first, last) = (first.copied().unwrap_or(0.0), last.copied().unwrap_or(0.0));
    let count = ends.len() as f64;
    println!(
        "{count} mailboxes: first done after {first:.2} s, last after {last:.2} s; {:.0} messages a second",
        count * messages / last
    );
    let mut shares = race.at_first_end.get().cloned().unwrap_or_default();
    shares.sort_unstable();
    let mut begun: Vec<u64> = race
        .begun
        .iter()
        .map(|one| one.load(Ordering::Relaxed))
        .collect();
    begun.sort_unstable();
    let share = |part: usize| at(&shares, part) as f64 * 100.0 / messages;
    println!(
        "copied when the first was done: least {:.0} %, a tenth below {:.0} %, half below {:.0} %",
        share(0),
        share(10),
        share(50)
    );
    println!(
        "first message of each: half within {} ms, the last at {} ms",
        at(&begun, 50),
        at(&begun, 100)
    );
}

/// The value below which so many percent are.
fn at(sorted: &[u64], percent: usize) -> u64 {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get(last * percent / 100)
        .copied()
        .unwrap_or_default()
}
