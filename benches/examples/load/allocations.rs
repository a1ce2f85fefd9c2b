//! How often memory is asked for.

use std::alloc::System;
use std::time::Instant;

use mailmove_benches::measure::{Result, number, usage};
use mailmove_core::store::{MemoryStore, SqliteStore};
use mailmove_core::{CheckpointStore, Destination, Edges, Migration, Source};
use mailmove_testkit::mailbox::Store;
use mailmove_testkit::memory::MemoryMailbox;
use stats_alloc::{Region, StatsAlloc};

use crate::ALLOCATOR;
use crate::served::{self, Served};

pub(crate) fn command(options: &[&str]) -> Result<()> {
    let messages = number(options, "--messages", 10_000)?.max(1);
    let bytes = number(options, "--bytes", 2048)?;
    println!("{messages} messages of {bytes} bytes; for each:");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mailboxes = Store::new();
    let from = mailboxes.add_account("from");
    served::fill(&from, 0, messages, bytes)?;
    for (name, sqlite) in [("in memory", false), ("in SQLite", true)] {
        let to = mailboxes.add_account(name);
        let sides = (MemoryMailbox::new(from.clone()), MemoryMailbox::new(to));
        let what = format!("memory to memory, ledger {name}");
        runtime.block_on(passes(&what, sides, sqlite, Edges::new(), messages))?;
    }
    let served = Served::start(1, messages, bytes)?;
    let edges = Edges::new();
    let sides = served.sides(0, 4, &edges);
    runtime.block_on(passes(
        "IMAP, ledger in SQLite",
        sides,
        true,
        edges,
        messages,
    ))
}

/// A first pass and one with nothing new.
async fn passes<S, D>(
    what: &str,
    (source, destination): (S, D),
    sqlite: bool,
    edges: Edges,
    messages: usize,
) -> Result<()>
where
    S: Source,
    D: Destination,
{
    let directory = tempfile::tempdir()?;
    let builder = Migration::builder(source, destination).edges(edges);
    let migration = match sqlite {
        true => store(builder, SqliteStore::new(directory.path()))?,
        false => store(builder, MemoryStore::new())?,
    };
    for pass in ["first pass", "nothing new"] {
        let region = Region::new(counting());
        let (start, cpu) = (Instant::now(), usage::own_cpu());
        let report = migration.run().await?;
        let seconds = start.elapsed().as_secs_f64();
        let cpu = usage::own_cpu() - cpu;
        let change = region.change();
        let first = pass == "first pass";
        if report.total().copied != if first { messages as u64 } else { 0 } {
            return Err(format!("{what}: {report:?}").into());
        }
        let each = |count: usize| count as f64 / messages as f64;
        println!(
            "  {what}, {pass}: {:.2} allocations, {:.2} grown, {:.0} bytes, {:.1} µs of processors; {:.0} a second",
            each(change.allocations),
            each(change.reallocations),
            each(change.bytes_allocated),
            cpu * 1e6 / messages as f64,
            messages as f64 / seconds,
        );
    }
    Ok(())
}

fn counting() -> &'static StatsAlloc<System> {
    ALLOCATOR
}

fn store(
    builder: mailmove_core::MigrationBuilder,
    store: impl CheckpointStore,
) -> Result<Migration> {
    Ok(builder.store(store).build()?)
}
