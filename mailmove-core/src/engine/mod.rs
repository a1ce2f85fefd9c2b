//! The engine: reads from a source, writes to a destination, and keeps the ledger.
//!
//! A pass goes through the files of this folder in this order: [`reconcile`] (folders), [`survey`]
//! (what changed since the last pass), [`moves`], [`lane`] with [`produce`] and [`deliver`] (what is
//! copied), [`settle`] and [`left_open`] (what is in doubt), [`close`] (sums). What is decided from an outcome is in
//! [`decide`] and [`retry`], free of I/O. A pass that mends ([`mend`]) has neither survey nor moves.

mod adopt;
mod ahead;
mod annotate;
mod changed;
mod claims;
mod close;
mod compare;
mod daily;
mod decide;
mod deliver;
mod dispatch;
mod duplicate;
mod explain;
mod fetch;
mod flags;
mod fold;
mod health;
mod kept;
mod labels;
mod lane;
mod late;
mod left_open;
mod letters;
mod look_back;
mod meaning;
mod mend;
mod moves;
mod pass;
mod plan;
mod produce;
mod reconcile;
mod refused;
mod repaired;
mod replace;
mod retry;
mod settle;
mod share;
mod still;
mod surplus;
mod survey;
mod turns;
mod undelivered;
mod verify;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use tokio::task::JoinSet;

use crate::{
    checkpoint::{FolderNo, ItemRow, Ledger, Record, Scan, Stored},
    dead_letter::DeadLetters,
    destination::{Depth, Destination, Fence, Probe},
    edge::Edges,
    error::{Error, ErrorKind, Result},
    migration::{MigrationBuilder, Stop},
    model::{
        AlterationKind, Capabilities, FolderId, FolderPath, Form, ItemClass, JobId, MessageId,
    },
    observe::{Direction, Event, Observer},
    options::Options,
    report::{AnnotationReport, Failure, MOST_LISTED, Problem, RepairedMessage},
    source::Source,
};

pub(crate) use explain::explain;
pub(crate) use mend::mend;
pub(crate) use pass::run;
pub(crate) use plan::plan;
pub(crate) use verify::verify;

/// What all tasks of a pass share.
#[derive(Debug)]
pub(crate) struct Engine {
    source: Arc<dyn Source>,
    destination: Arc<dyn Destination>,
    ledger: Arc<dyn Ledger>,
    from: Capabilities,
    to: Capabilities,
    options: Options,
    /// In which form contents travel.
    form: Form,
    observer: Arc<dyn Observer>,
    edges: Edges,
    stop: Stop,
    pass: u32,
    /// When this process took the job over, in milliseconds since 1970: whoever had it is dead.
    begun: u64,
    next_batch: AtomicU64,
    contents: share::Contents,
    daily: daily::Daily,
    /// Only what is missing or differs is sent.
    mending: Option<mend::Mending>,
    /// A pass that mends was broken off: what is missing was asked for.
    asked_for: bool,
    circuits: [Arc<retry::Circuit>; 2],
    salt: AtomicU64,
    next_folder: AtomicU32,
    mode: Mode,
    job: JobId,
    dead_letters: Option<Arc<dyn DeadLetters>>,
    /// One message at a time: repairs need memory.
    repairing: tokio::sync::Mutex<()>,
    /// One lane at a time: the ledger counts the lists of what is being replaced.
    replacing: tokio::sync::Mutex<()>,
    notes: Mutex<Notes>,
    /// What the sides do ahead.
    ahead: Mutex<JoinSet<()>>,
}

/// What a pass is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All that is new or open.
    Pass,
    /// What failed.
    Retry,
}

/// What the report tells beside what the ledger holds.
#[derive(Debug, Default)]
struct Notes {
    failures: Vec<Failure>,
    repaired: Vec<RepairedMessage>,
    not_kept: Option<Problem>,
    folders: BTreeMap<FolderNo, FolderNotes>,
    keeps_bytes: Option<bool>,
}

#[derive(Clone, Debug, Default)]
struct FolderNotes {
    moved: u64,
    by_reference: u64,
    flags_changed: u64,
    replaced: u64,
    gone: u64,
    rescued: u64,
    perhaps_doubled: u64,
    doubled: u64,
    /// An earlier pass had stored them, as this one found out.
    settled: u64,
    /// Sent again more than once: how often beyond that.
    again: BTreeMap<MessageId, u32>,
    altered: BTreeMap<AlterationKind, u64>,
    annotations: Option<AnnotationReport>,
}

/// In which form contents travel, and the options with the classes of folders that go so.
fn route(migration: &MigrationBuilder, from: &Capabilities, to: &Capabilities) -> (Form, Options) {
    let mut options = migration.options.clone();
    let alike = migration.source.endpoint().scheme == migration.destination.endpoint().scheme;
    let streams = options.streams && (alike || options.streams_across);
    let both = |form| from.forms.contains(&form) && to.forms.contains(&form);
    let form = match streams && both(Form::ExchangeStream) {
        true => Form::ExchangeStream,
        false => Form::Mime,
    };
    let goes = |class: &ItemClass| match form {
        Form::Mime => *class == ItemClass::Mail,
        _ => from.classes.contains(class) && to.classes.contains(class),
    };
    let mut classes: Vec<ItemClass> = from.classes.iter().copied().filter(goes).collect();
    let asked = &options.folders.classes;
    if !asked.is_empty() {
        classes.retain(|class| asked.contains(class));
    }
    // None would mean all: what was asked for leaves out the rest as well.
    if !classes.is_empty() {
        options.folders.classes = classes;
    }
    (form, options)
}

impl Engine {
    /// A look at a destination folder.
    fn probe(&self, folder: &FolderId, depth: Depth) -> Probe {
        Probe::new(folder.clone(), depth).with_form(self.form)
    }

    /// Connects both sides and opens the ledger.
    async fn open(migration: &MigrationBuilder, ledger: Arc<dyn Ledger>) -> Result<Self> {
        let (from, to) = futures_util::future::try_join(
            migration.source.capabilities(),
            migration.destination.capabilities(),
        )
        .await?;
        migration.observer.on(&Event::Connected {
            source: from.system.clone(),
            destination: to.system.clone(),
        });
        for (side, notes) in [("source", &from.notes), ("destination", &to.notes)] {
            for note in notes {
                migration.observer.on(&Event::Note {
                    folder: None,
                    text: format!("{side}: {note}"),
                });
            }
        }
        let pass = read_number(&*ledger, "pass").await?;
        let last_batch = ledger
            .intents()
            .await?
            .iter()
            .map(|intent| intent.batch)
            .max();
        let last_folder = ledger.folders().await?.iter().map(|row| row.no.0).max();
        let keeps_bytes = match ledger.meta("keeps-bytes").await?.as_deref() {
            Some("yes") => Some(true),
            Some("no") => Some(false),
            _ => None,
        };
        let asked_for = mend::is_open(&*ledger).await?;
        let daily = daily::Daily::open(&migration.options, &from, &to, &*ledger).await?;
        let (form, options) = route(migration, &from, &to);
        Ok(Self {
            source: Arc::clone(&migration.source),
            destination: Arc::clone(&migration.destination),
            ledger,
            from,
            to,
            options,
            form,
            observer: Arc::clone(&migration.observer),
            edges: migration.edges.clone(),
            stop: migration.stop.clone(),
            pass,
            begun: u64::try_from(migration.edges.clock.now().as_millis()).unwrap_or(0),
            next_batch: AtomicU64::new(last_batch.map_or(0, |batch| batch + 1)),
            contents: share::Contents::default(),
            daily,
            mending: None,
            asked_for,
            circuits: Default::default(),
            salt: AtomicU64::new(0),
            next_folder: AtomicU32::new(last_folder.map_or(0, |no| no + 1)),
            mode: Mode::Pass,
            job: migration.job(),
            dead_letters: migration.dead_letters.clone(),
            repairing: tokio::sync::Mutex::default(),
            notes: Mutex::new(Notes {
                keeps_bytes,
                ..Notes::default()
            }),
            replacing: tokio::sync::Mutex::default(),
            ahead: Mutex::default(),
        })
    }

    /// Folders that are worked on at once.
    fn folders_at_once(&self) -> usize {
        let hosts = [
            self.source.endpoint().host,
            self.destination.endpoint().host,
        ];
        let [from, to] = &hosts;
        let most = self.options.concurrency.unwrap_or(usize::MAX);
        most.min(self.from.concurrency)
            .min(self.to.concurrency)
            .min(self.edges.connections.folders_at_once(from, to))
            .max(1)
    }

    /// Both sides may get ready for this many folders. That holds nothing of the engine, and ends with it.
    fn warm_up(&self, folders: usize) {
        let (source, destination) = (Arc::clone(&self.source), Arc::clone(&self.destination));
        let both = async move {
            let sides = (source.warm_up(folders), destination.warm_up(folders));
            futures_util::future::join(sides.0, sides.1).await;
        };
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        ahead.spawn(both);
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, folder: FolderNo, change: impl FnOnce(&mut FolderNotes)) {
        change(self.notes().folders.entry(folder).or_default());
    }

    fn emit(&self, event: Event) {
        self.observer.on(&event);
    }

    fn batch_number(&self) -> u64 {
        self.next_batch.fetch_add(1, Ordering::Relaxed)
    }

    /// A number for a source folder, given out once.
    fn folder_number(&self) -> FolderNo {
        FolderNo(self.next_folder.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether equal messages have equal bytes at the destination, if that was measured.
    fn measured_bytes(&self) -> Option<bool> {
        self.notes().keeps_bytes
    }

    /// Whether equal messages have equal bytes at the destination: measured if it was, else as the
    /// adapter claims.
    fn keeps_bytes(&self) -> bool {
        self.notes().keeps_bytes.unwrap_or(self.to.keeps_bytes)
    }

    /// Now, in milliseconds since 1970.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.edges.clock.now().as_millis()).unwrap_or(u64::MAX)
    }

    /// What is known of the failures of a side.
    fn circuit(&self, side: Direction) -> &Arc<retry::Circuit> {
        let [down, up] = &self.circuits;
        match side {
            Direction::Down => down,
            Direction::Up => up,
        }
    }

    /// Another number each time, so that no two wait in step.
    fn salt(&self) -> u64 {
        self.salt.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits before the next try, and lets the others know what failed.
    async fn rest(&self, backoff: &retry::Backoff, error: &Error, wait: Duration) -> Result<()> {
        if let Some(side) = backoff.side() {
            self.circuit(side)
                .failed(error, self.edges.clock.now(), wait);
        }
        self.pause(wait).await
    }

    /// Waits while a side is not to be asked for anything.
    async fn ready(&self, side: Direction) -> Result<()> {
        while let Some(wait) = self.circuit(side).hold(self.edges.clock.now()) {
            self.pause(wait).await?;
        }
        Ok(())
    }

    /// Waits before the next try, or gives up with the error.
    async fn wait_after(
        &self,
        backoff: &mut retry::Backoff,
        lane: &lane::Lane,
        error: Error,
    ) -> Result<()> {
        let Some(wait) = backoff.next(&error) else {
            return Err(error);
        };
        self.emit(Event::Retrying {
            folder: Some(lane.folder.path.clone()),
            reason: error.chain(),
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        });
        self.rest(backoff, &error, wait).await
    }

    /// Waits, unless asked to stop.
    async fn pause(&self, wait: Duration) -> Result<()> {
        tokio::select! {
            () = self.edges.clock.sleep(wait) => Ok(()),
            () = self.stop.requested() => Err(cancelled()),
        }
    }

    /// A retry and a repair list nothing, and cannot tell whether the sums hold: where a pass was killed
    /// after it listed, the ledger has more rows than the last count.
    fn looks_at_the_source(&self) -> bool {
        self.mode == Mode::Pass && self.mending.is_none()
    }

    fn check_stop(&self) -> Result<()> {
        if self.stop.is_requested() {
            Err(cancelled())
        } else {
            Ok(())
        }
    }

    /// Marks a row as failed and tells the user why, and where the message is kept.
    fn fail(&self, folder: &FolderPath, row: &mut ItemRow, error: &Error) {
        row.state = crate::checkpoint::ItemState::Failed;
        row.code = Some(error.code().to_owned());
        row.attempts = row.attempts.saturating_add(1);
        row.pass = self.pass;
        let message = self.source.describe(&row.id);
        self.emit(Event::MessageFailed {
            folder: folder.clone(),
            message: message.clone(),
            code: error.code().to_owned(),
            reason: error.chain(),
            remedy: error.remedy().map(str::to_owned),
        });
        let mut notes = self.notes();
        if notes.failures.len() < MOST_LISTED {
            notes.failures.push(Failure {
                folder: folder.clone(),
                message,
                received: row.received.map(|received| received.to_string()),
                size: row.size,
                code: error.code().to_owned(),
                reason: error.chain(),
                remedy: error.remedy().map(str::to_owned),
                dead_letter: self.letter_of(row),
            });
        }
    }

    /// All rows of a scan, page by page.
    async fn each_page(
        &self,
        scan: Scan,
        mut take: impl FnMut(Vec<Stored>) -> Result<Vec<Record>> + Send,
    ) -> Result<()> {
        let mut pages = self.ledger.scan(scan);
        while let Some(page) = pages.next().await {
            let records = take(page?)?;
            if !records.is_empty() {
                self.ledger.commit(records).await?;
            }
        }
        Ok(())
    }
}

impl Fence for Engine {
    fn check(&self) -> Result<()> {
        self.check_stop()
    }
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "stopped as asked")
        .with_remedy("Run the same command again to continue.")
}

async fn read_number(ledger: &dyn Ledger, key: &str) -> Result<u32> {
    Ok(ledger
        .meta(key)
        .await?
        .and_then(|text| text.parse().ok())
        .unwrap_or(0))
}
