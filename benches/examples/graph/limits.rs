//! What the server allows to one mailbox, and how much of it is used.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mailmove_benches::measure::{Result, number};
use mailmove_core::edge::{Clock as _, SystemClock};
use mailmove_core::observe::{Event, Observer};
use mailmove_core::{Edges, Options};
use mailmove_graph::{GraphDestination, GraphSource};
use mailmove_graph_testserver::Server;
use mailmove_testkit::clock::TestClock;
use mailmove_testkit::mailbox::Store;
use mailmove_testkit::memory::MemoryMailbox;
use tokio::runtime::Runtime;

use crate::sides::{self, FROM, TO};

/// Folders that are worked on at once.
const FOLDERS: usize = 8;

/// Measures how many of the server's places are taken, while it is read and while it is filled.
pub(crate) fn places(options: &[&str]) -> Result<()> {
    let seconds = number(options, "--seconds", 30)?.max(1);
    let places = number(options, "--places", 4)?.max(1);
    let latency = number(options, "--latency", 50)?.max(1);
    let each = Duration::from_millis(latency as u64);
    // As many as all places serve in that time, if each takes one request.
    let messages = (seconds * 1000 / latency * places / FOLDERS).max(1);
    let runtime = Runtime::new()?;
    for way in ["read", "filled"] {
        let server = sides::builder().concurrency(places).latency(each);
        let server = runtime.block_on(server.start())?;
        let full = match way {
            "read" => server.store().account(FROM).ok_or("no mailbox")?,
            _ => Store::new().add_account(FROM),
        };
        for folder in 0..FOLDERS {
            sides::fill(&full, &format!("Folder {folder}"), messages, 4096)?;
        }
        let begun = Instant::now();
        let edges = Edges::new();
        let copied = match way {
            "read" => {
                let config = sides::config(server.tenant(), &server.url(), FROM)?;
                let source = GraphSource::new(config, sides::token(), edges.clone());
                let memory = MemoryMailbox::new(Store::new().add_account(TO));
                runtime.block_on(sides::migrate(source, memory, Options::new(), &edges))?
            }
            _ => {
                let config = sides::config(server.tenant(), &server.url(), TO)?;
                let destination = GraphDestination::new(config, sides::token(), edges.clone());
                let memory = MemoryMailbox::new(full);
                runtime.block_on(sides::migrate(memory, destination, Options::new(), &edges))?
            }
        };
        let took = begun.elapsed().as_secs_f64();
        let counters = server.counters();
        let taken = counters.slot_time.as_secs_f64() / (took * places as f64);
        let answers: u64 = counters.answers.values().sum();
        println!(
            "{way}: {copied} messages in {took:.1} s; {:.1} % of {places} places taken; {} of {answers} answers 429 \
             ({:.2} %); {} requests during a back-off",
            taken * 100.0,
            counters.answer(429),
            counters.answer(429) as f64 * 100.0 / answers as f64,
            counters.during_backoff
        );
    }
    Ok(())
}

/// What Microsoft allows: so many bytes, and in which time.
const BUDGET: u64 = 150_000_000;
const WINDOW: Duration = Duration::from_secs(300);
/// How many such times are looked at.
const WINDOWS: u64 = 5;
const MESSAGE: usize = 1_000_000;

/// Bytes that had arrived, and when.
#[derive(Debug)]
struct Watch {
    server: Arc<Server>,
    clock: TestClock,
    seen: Mutex<Vec<(Duration, u64)>>,
}

#[derive(Debug, Clone)]
struct Watcher(Arc<Watch>);

impl Observer for Watcher {
    fn on(&self, event: &Event) {
        if matches!(event, Event::Progress { .. }) {
            let now = (self.0.clock.now(), self.0.server.counters().uploaded);
            let seen = self.0.seen.lock();
            seen.unwrap_or_else(PoisonError::into_inner).push(now);
        }
    }
}

/// Measures how much of the bytes is sent that a mailbox takes in five minutes, by a clock that goes on as somebody
/// waits.
pub(crate) fn budget() -> Result<()> {
    let start = SystemClock.now();
    let clock = TestClock::jumping(start);
    let runtime = Runtime::new()?;
    let server = sides::builder()
        .clock(Arc::new(clock.clone()))
        .latency(Duration::from_millis(50))
        .upload_budget(BUDGET, WINDOW);
    let server = Arc::new(runtime.block_on(server.start())?);
    let full = Store::new().add_account(FROM);
    let messages = usize::try_from((WINDOWS + 1) * BUDGET)? / MESSAGE;
    sides::fill(&full, "Folder", messages, MESSAGE)?;
    let edges = Edges::new().with_clock(Arc::new(clock.clone()));
    // One at a time: with this clock minutes may pass while another request is on its way.
    let config = sides::config(server.tenant(), &server.url(), TO)?.with_concurrency(1);
    let config = config.with_upload_limit(BUDGET, WINDOW);
    let destination = GraphDestination::new(config, sides::token(), edges.clone());
    let memory = MemoryMailbox::new(full);
    let watch = Watcher(Arc::new(Watch {
        server: Arc::clone(&server),
        clock,
        seen: Mutex::default(),
    }));
    let moving = sides::watched(memory, destination, Options::new(), &edges, watch.clone());
    let copied = runtime.block_on(moving)?;
    let seen = watch.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
    let mut before = 0;
    for window in 1..=WINDOWS {
        let end = start + WINDOW * u32::try_from(window)?;
        let inside = seen.iter().take_while(|(at, _)| *at < end);
        let so_far = inside.last().map_or(0, |(_, bytes)| *bytes);
        let share = (so_far - before) as f64 * 100.0 / BUDGET as f64;
        println!("five minutes no. {window}: {share:.1} % of {BUDGET} bytes sent");
        before = so_far;
    }
    let counters = server.counters();
    println!(
        "{copied} messages; {} answers 429, {} requests during a back-off",
        counters.answer(429),
        counters.during_backoff
    );
    Ok(())
}
