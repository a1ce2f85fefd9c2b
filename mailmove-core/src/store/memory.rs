//! Ledgers in memory: strict, countable, and able to fail on demand.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures_util::stream;

use self::tables::Tables;
use super::{PAGE, locked};
use crate::{
    checkpoint::{
        CheckpointStore, Count, FolderNo, FolderRow, Intent, Ledger, Record, Scan, Stored,
        TargetNo, TargetRow,
    },
    destination::Existing,
    error::{Error, ErrorKind, Result},
    identity::HeaderDigest,
    model::{ContentId, JobId, MessageId},
    source::BoxStream,
};

mod tables;

/// Keeps ledgers in memory, for tests. Clones share the same ledgers, which outlive the handles
/// that [`open`](CheckpointStore::open) gives out: opening a job again is a restart.
///
/// It is strict: a record that refers to a folder or target that was never recorded is a
/// [`Bug`](ErrorKind::Bug).
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    jobs: Mutex<HashMap<JobId, Arc<Job>>>,
    control: Mutex<Control>,
}

#[derive(Debug, Default)]
struct Job {
    tables: Mutex<Tables>,
    open: Mutex<bool>,
}

/// What is counted, and what is to go wrong.
#[derive(Debug, Default)]
struct Control {
    commits: u64,
    records: u64,
    failing: BTreeMap<u64, When>,
    dying: BTreeMap<u64, When>,
    /// Jobs whose process "died": nothing is committed until they are opened again.
    dead: BTreeSet<JobId>,
}

/// When an injected failure strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// Nothing of the commit took effect.
    Before,
    /// All of it took effect, but the caller is told that it failed.
    After,
}

// A panic while a lock is held fails the test that caused it; others may still look.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryStore {
    /// No ledgers yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the `n`-th commit of this store fail, counted over all jobs as by
    /// [`commits`](Self::commits): 1 is the first ever. It fails once; later ones work.
    pub fn fail_commit(&self, n: u64, when: When) {
        lock(&self.0.control).failing.insert(n, when);
    }

    /// As [`fail_commit`](Self::fail_commit), but all later commits of that job fail too and do
    /// nothing, until the job is opened again: as if the process had been killed there.
    pub fn die_at_commit(&self, n: u64, when: When) {
        lock(&self.0.control).dying.insert(n, when);
    }

    /// Takes away all failures that did not strike yet; returns how many those were.
    pub fn disarm(&self) -> usize {
        let mut control = lock(&self.0.control);
        let left = control.failing.len() + control.dying.len();
        control.failing.clear();
        control.dying.clear();
        left
    }

    /// Commits that were asked for so far, over all jobs, those that failed included.
    #[must_use]
    pub fn commits(&self) -> u64 {
        lock(&self.0.control).commits
    }

    /// Records that took effect so far, over all jobs.
    #[must_use]
    pub fn records(&self) -> u64 {
        lock(&self.0.control).records
    }

    /// All rows of a job by number; empty if there is no such job. Needs no lock.
    #[must_use]
    pub fn rows(&self, job: &JobId) -> Vec<Stored> {
        self.job(job).map_or_else(Vec::new, |job| {
            lock(&job.tables).page(&Scan::all(), None, usize::MAX)
        })
    }

    /// All open intents of a job. Needs no lock.
    #[must_use]
    pub fn intents(&self, job: &JobId) -> Vec<Intent> {
        self.job(job).map_or_else(Vec::new, |job| {
            lock(&job.tables).intents.values().cloned().collect()
        })
    }

    fn job(&self, job: &JobId) -> Option<Arc<Job>> {
        lock(&self.0.jobs).get(job).cloned()
    }
}

#[async_trait]
impl CheckpointStore for MemoryStore {
    async fn open(&self, job: &JobId) -> Result<Arc<dyn Ledger>> {
        let kept = Arc::clone(lock(&self.0.jobs).entry(job.clone()).or_default());
        let mut open = lock(&kept.open);
        if *open {
            return Err(locked(format!("memory ledger {job}"), None));
        }
        *open = true;
        drop(open);
        lock(&self.0.control).dead.remove(job);
        Ok(Arc::new(MemoryLedger(Arc::new(Handle {
            name: job.clone(),
            job: kept,
            shared: Arc::clone(&self.0),
        }))))
    }
}

#[derive(Debug)]
struct MemoryLedger(Arc<Handle>);

/// Shared with the streams; the lock ends with the last of them.
#[derive(Debug)]
struct Handle {
    name: JobId,
    job: Arc<Job>,
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        *lock(&self.job.open) = false;
    }
}

impl Handle {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        lock(&self.job.tables)
    }

    /// Counts a commit and says whether and when it is to fail.
    fn begin(&self) -> Option<When> {
        let mut control = lock(&self.shared.control);
        control.commits += 1;
        let number = control.commits;
        if control.dead.contains(&self.name) {
            return Some(When::Before);
        }
        if let Some(when) = control.dying.remove(&number) {
            control.dead.insert(self.name.clone());
            return Some(when);
        }
        control.failing.remove(&number)
    }
}

fn injected() -> Error {
    Error::new(ErrorKind::Store, "the store failed as the test asked it to")
        .with_code("store/injected")
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn commit(&self, records: Vec<Record>) -> Result<()> {
        // Held throughout, so that the count and the effect of commits have the same order.
        let mut tables = self.0.tables();
        let fails = self.0.begin();
        if fails == Some(When::Before) {
            return Err(injected());
        }
        let count = records.len() as u64;
        tables.apply(records)?;
        lock(&self.0.shared.control).records += count;
        match fails {
            Some(_) => Err(injected()),
            None => Ok(()),
        }
    }

    async fn meta(&self, key: &str) -> Result<Option<String>> {
        Ok(self.0.tables().meta.get(key).cloned())
    }

    async fn folders(&self) -> Result<Vec<FolderRow>> {
        Ok(self.0.tables().folders.values().cloned().collect())
    }

    async fn targets(&self) -> Result<Vec<TargetRow>> {
        Ok(self.0.tables().targets.values().cloned().collect())
    }

    async fn intents(&self) -> Result<Vec<Intent>> {
        Ok(self.0.tables().intents.values().cloned().collect())
    }

    async fn items(&self, folder: FolderNo, ids: Vec<MessageId>) -> Result<Vec<Option<Stored>>> {
        let tables = self.0.tables();
        Ok(ids.into_iter().map(|id| tables.item(folder, id)).collect())
    }

    fn scan(&self, scan: Scan) -> BoxStream<Result<Vec<Stored>>> {
        let state = (Arc::clone(&self.0), scan, None);
        Box::pin(stream::unfold(
            state,
            |(handle, scan, mut after)| async move {
                let page = handle.tables().page(&scan, after, PAGE);
                after = Some(page.last()?.number);
                Some((Ok(page), (handle, scan, after)))
            },
        ))
    }

    async fn sharing(&self, contents: Vec<ContentId>) -> Result<Vec<Vec<Stored>>> {
        let tables = self.0.tables();
        Ok(contents.iter().map(|id| tables.sharing(id)).collect())
    }

    async fn claims(
        &self,
        target: TargetNo,
        ids: Vec<MessageId>,
    ) -> Result<Vec<Option<(FolderNo, MessageId)>>> {
        let tables = self.0.tables();
        Ok(ids.into_iter().map(|id| tables.claim(target, id)).collect())
    }

    async fn candidates(
        &self,
        target: TargetNo,
        header: HeaderDigest,
        size: Option<u64>,
    ) -> Result<Vec<Existing>> {
        Ok(self.0.tables().candidates(target, header, size))
    }

    async fn counts(&self, folder: FolderNo) -> Result<Vec<Count>> {
        Ok(self.0.tables().counts(folder))
    }
}
