//! Ledgers in SQLite files: one per job.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::{Builder, JoinHandle},
};

use async_trait::async_trait;
use futures_util::stream;
use rusqlite::Connection;
use tokio::sync::oneshot;

use self::{error::store_error, write::Commit};
use super::PAGE;
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

mod error;
mod file;
mod items;
mod read;
mod rows;
#[cfg(test)]
mod tests;
mod write;

/// Keeps each ledger in a file `<job>.sqlite3` of a directory, readable by this user alone.
///
/// All commits that wait are written as one group by a thread of their own; reads have another thread,
/// so neither blocks the async runtime. Operators may read the file with the `sqlite3` tool at any
/// time.
///
/// # After a power loss
///
/// Every commit that was answered is there, as it is after `kill -9`; one that was under way is there
/// as a whole or not at all. The file is in WAL mode with `synchronous=FULL`: an answer waits until the
/// group's frames in the log (`<job>.sqlite3-wal`) were synced to the disk, and each frame has a
/// checksum, so that what is behind the last whole commit does not count. There is no weaker level, and
/// no commit that is answered before. What this rests on is the disk: one that confirms what it keeps
/// only in a cache, or a backup that is put back, may set the ledger back to an earlier state. That is
/// a state that was committed once, and a run that goes on from it looks at what came in at the
/// destination since, and doubles nothing.
///
/// A file whose pages were lost or damaged is refused, not guessed at: it is checked as a whole when it
/// is opened, if it was not closed in order or has at most 4 MiB. SQLite keeps no checksum of pages: a
/// bit that turns in the middle of a value without breaking anything else is not seen;
/// [`verify`](crate::Migration::verify) compares with the destination.
///
/// The directory must be on a local file system: locks of network file systems cannot be trusted.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    directory: PathBuf,
}

impl SqliteStore {
    /// Ledgers in that directory. It is made, for this user alone, when the first ledger is opened.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// The file of a job's ledger.
    #[must_use]
    pub fn file(&self, job: &JobId) -> PathBuf {
        self.directory.join(format!("{job}.sqlite3"))
    }
}

#[async_trait]
impl CheckpointStore for SqliteStore {
    async fn open(&self, job: &JobId) -> Result<Arc<dyn Ledger>> {
        check_name(job)?;
        let path = self.file(job);
        let lock = self.directory.join(format!("{job}.lock"));
        let directory = self.directory.clone();
        let open = move || {
            file::make_directory(&directory)?;
            let lock = file::lock(&lock)?;
            Files::open(&path, lock)
        };
        let files = tokio::task::spawn_blocking(open).await;
        let files = files.map_err(|error| ended().with_source(error))??;
        Ok(Arc::new(SqliteLedger(Arc::new(files))))
    }
}

/// Job ids are made by programs, and become file names.
fn check_name(job: &JobId) -> Result<()> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let text = job.as_str();
    if (1..=128).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('.') {
        return Ok(());
    }
    Err(
        Error::new(ErrorKind::Config, "the job's id cannot be a file name")
            .with_code("config/job")
            .with_remedy("Use up to 128 letters, digits, - _ and . that do not begin with a dot.")
            .with_context("job", text),
    )
}

fn ended() -> Error {
    Error::new(ErrorKind::Store, "the ledger's thread has ended")
        .with_remedy("Run again; if it stays, report it.")
}

#[derive(Debug)]
struct SqliteLedger(Arc<Files>);

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// Both threads of a ledger. Shared with the streams; closed when the last of them goes.
#[derive(Debug)]
struct Files {
    path: PathBuf,
    reader: Option<mpsc::Sender<Job>>,
    writer: Option<mpsc::Sender<Commit>>,
    reading: Option<JoinHandle<()>>,
    writing: Option<JoinHandle<()>>,
    lock: File,
}

impl Files {
    fn open(path: &Path, lock: File) -> Result<Self> {
        let writer = file::open_writer(path)?;
        let reader = file::open_reader(path)?;
        Self::start(path, lock, writer, reader)
    }

    fn start(path: &Path, lock: File, writer: Connection, reader: Connection) -> Result<Self> {
        let (commit, commits) = mpsc::channel();
        let (job, jobs) = mpsc::channel::<Job>();
        let mut files = Self {
            path: path.to_owned(),
            reader: Some(job),
            writer: Some(commit),
            reading: None,
            writing: None,
            lock,
        };
        let failed =
            |error| error::file_error(path, "a thread for the ledger cannot be started", error);
        let place = path.to_owned();
        let write = move || write::serve(&writer, &place, &commits);
        let read = move || jobs.into_iter().for_each(|job| job(&reader));
        let thread = |name: &str| Builder::new().name(name.to_owned());
        files.writing = Some(thread("ledger-write").spawn(write).map_err(failed)?);
        files.reading = Some(thread("ledger-read").spawn(read).map_err(failed)?);
        Ok(files)
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Whoever does not listen any more has dropped the call.
            let _ = answer.send(read(connection));
        });
        let reader = self.reader.as_ref().ok_or_else(ended)?;
        reader.send(job).map_err(|_| ended())?;
        let result = answered.await.map_err(|_| ended())?;
        result.map_err(|error| store_error(&self.path, error))
    }
}

impl Drop for Files {
    /// Waits for commits under way, so that the job can be opened again at once. The reader goes
    /// first: the last connection to close folds the log into the file, and must be able to write.
    fn drop(&mut self) {
        self.reader = None;
        if let Some(thread) = self.reading.take() {
            let _ = thread.join();
        }
        self.writer = None;
        if let Some(thread) = self.writing.take() {
            let _ = thread.join();
        }
        // Not left to the closing of the file: a child process that is just being started may
        // hold it open a moment longer.
        let _ = self.lock.unlock();
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn commit(&self, records: Vec<Record>) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        let writer = self.0.writer.as_ref().ok_or_else(ended)?;
        let commit = Commit { records, answer };
        writer.send(commit).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    async fn meta(&self, key: &str) -> Result<Option<String>> {
        let key = key.to_owned();
        self.0.read(move |file| read::meta(file, &key)).await
    }

    async fn folders(&self) -> Result<Vec<FolderRow>> {
        self.0.read(read::folders).await
    }

    async fn targets(&self) -> Result<Vec<TargetRow>> {
        self.0.read(read::targets).await
    }

    async fn intents(&self) -> Result<Vec<Intent>> {
        self.0.read(read::intents).await
    }

    async fn items(&self, folder: FolderNo, ids: Vec<MessageId>) -> Result<Vec<Option<Stored>>> {
        let read = move |file: &Connection| read::items(file, folder, &ids);
        self.0.read(read).await
    }

    fn scan(&self, scan: Scan) -> BoxStream<Result<Vec<Stored>>> {
        // Where to go on; `None` once the end was seen or told.
        let start = Some((Arc::clone(&self.0), Arc::new(scan), None));
        Box::pin(stream::unfold(start, |state| async move {
            let (files, scan, after) = state?;
            let asked = Arc::clone(&scan);
            let read = move |file: &Connection| read::page(file, &asked, after);
            let page = match files.read(read).await {
                Ok(page) => page,
                Err(error) => return Some((Err(error), None)),
            };
            let last = page.last()?.number;
            let next = (page.len() == PAGE).then_some((files, scan, Some(last)));
            Some((Ok(page), next))
        }))
    }

    async fn sharing(&self, contents: Vec<ContentId>) -> Result<Vec<Vec<Stored>>> {
        let read = move |file: &Connection| read::sharing(file, &contents);
        self.0.read(read).await
    }

    async fn claims(
        &self,
        target: TargetNo,
        ids: Vec<MessageId>,
    ) -> Result<Vec<Option<(FolderNo, MessageId)>>> {
        let read = move |file: &Connection| read::claims(file, target, &ids);
        self.0.read(read).await
    }

    async fn candidates(
        &self,
        target: TargetNo,
        header: HeaderDigest,
        size: Option<u64>,
    ) -> Result<Vec<Existing>> {
        let read = move |file: &Connection| read::candidates(file, target, header, size);
        self.0.read(read).await
    }

    async fn counts(&self, folder: FolderNo) -> Result<Vec<Count>> {
        self.0.read(move |file| read::counts(file, folder)).await
    }
}
