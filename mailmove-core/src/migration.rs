//! The way in: one source mailbox, one destination mailbox, one ledger.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{
    checkpoint::CheckpointStore,
    dead_letter::DeadLetters,
    destination::{Depth, Destination},
    edge::Edges,
    engine::{self, Mode},
    error::{Error, ErrorKind, Result},
    model::{FolderPath, JobId},
    observe::{Observer, Silent},
    options::{Mend, Options},
    report::{Explanation, Plan, Report, Verification},
    source::Source,
};

/// Moves one mailbox. Build it with [`Migration::builder`].
#[derive(Debug)]
pub struct Migration {
    inner: MigrationBuilder,
    store: Arc<dyn CheckpointStore>,
}

/// Collects what a [`Migration`] needs.
#[derive(Clone, Debug)]
pub struct MigrationBuilder {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) destination: Arc<dyn Destination>,
    pub(crate) store: Option<Arc<dyn CheckpointStore>>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) options: Options,
    pub(crate) edges: Edges,
    pub(crate) stop: Stop,
    pub(crate) dead_letters: Option<Arc<dyn DeadLetters>>,
}

impl Migration {
    /// Starts with the two mailboxes.
    pub fn builder(source: impl Source, destination: impl Destination) -> MigrationBuilder {
        MigrationBuilder {
            source: Arc::new(source),
            destination: Arc::new(destination),
            store: None,
            observer: Arc::new(Silent),
            options: Options::new(),
            edges: Edges::new(),
            stop: Stop::new(),
            dead_letters: None,
        }
    }

    /// The id under which the store keeps this job: a digest of both endpoints.
    #[must_use]
    pub fn job(&self) -> JobId {
        self.inner.job()
    }

    /// Says what [`run`](Self::run) would do, without changing anything on either side.
    ///
    /// # Errors
    /// If a side cannot be reached or the store cannot be read.
    pub async fn plan(&self) -> Result<Plan> {
        engine::plan(&self.inner, &self.store, &self.job()).await
    }

    /// Runs one pass: the first copies everything, later ones bring what is new.
    ///
    /// Messages and folders that fail are told by the report; the pass goes on. Not cancel safe in
    /// the sense that dropping it leaves appends in doubt, which the next run settles; use
    /// [`Stop`] to end it in order.
    ///
    /// # Errors
    /// If the pass could not begin: a side cannot be reached or refuses the login, the job is
    /// locked, the store cannot be read. What ends a pass later is in [`Report::stopped`].
    pub async fn run(&self) -> Result<Report> {
        engine::run(&self.inner, &self.store, &self.job(), Mode::Pass).await
    }

    /// Takes up again what failed, and nothing else: no folder is listed. What the source does not
    /// have any more comes from its dead letter, if its content was kept and no other message of
    /// the source is equal to it. The report tells of folders that were listed before.
    ///
    /// # Errors
    /// As of [`run`](Self::run).
    pub async fn retry(&self) -> Result<Report> {
        engine::run(&self.inner, &self.store, &self.job(), Mode::Retry).await
    }

    /// Compares what the ledger says was stored with what the destination holds:
    /// [`Depth::Meta`] for presence, size, flags and date, [`Depth::Content`] for every byte.
    ///
    /// # Errors
    /// If a side cannot be reached or the store cannot be read.
    pub async fn verify(&self, depth: Depth) -> Result<Verification> {
        engine::verify(&self.inner, &self.store, &self.job(), depth).await
    }

    /// A targeted pass: sends again what [`verify`](Self::verify) finds missing or damaged at the
    /// destination, and what was never copied, by the same rules as [`run`](Self::run): the intent
    /// comes first, each message there has one claim, and a pass that is killed goes on with the
    /// next one, whichever it is. What is new at the source is left to [`run`](Self::run).
    ///
    /// A damaged copy is removed, by its id alone, once the new one was read back, if we stored it
    /// and its header is still the message's. Flags that differ are the destination's own, and stay.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn mend(&self, what: Mend) -> Result<Report> {
        engine::mend(&self.inner, &self.store, &self.job(), what).await
    }

    /// Tells what became of the messages of a source folder (of all folders, if `None`) that users
    /// call `message`: by number (`17`), as in reports (`UID 17`), by id, or by digest: of its content
    /// (64 digits), or of its header (32 digits), which holds for one that was saved to a file with
    /// other line ends. Asks the ledger and the dead letters alone; neither side is connected. Cancel
    /// safe.
    ///
    /// # Errors
    /// If the job is locked by a running pass, the store cannot be read, or `message` is a Message-ID,
    /// of which the ledger has none.
    pub async fn explain(
        &self,
        folder: Option<&FolderPath>,
        message: &str,
    ) -> Result<Vec<Explanation>> {
        engine::explain(&self.inner, &self.store, &self.job(), folder, message).await
    }
}

impl MigrationBuilder {
    pub(crate) fn job(&self) -> JobId {
        let text = format!(
            "{}\n{}",
            self.source.endpoint(),
            self.destination.endpoint()
        );
        JobId::new(&blake3::hash(text.as_bytes()).to_hex()[..32])
    }

    /// Sets where the ledger is kept.
    #[must_use]
    pub fn store(mut self, store: impl CheckpointStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Sets who is told what happens.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Arc::new(observer);
        self
    }

    /// Sets what shall be done and left out.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Sets the edges; give the adapters the same.
    #[must_use]
    pub fn edges(mut self, edges: Edges) -> Self {
        self.edges = edges;
        self
    }

    /// Sets what ends the migration in order.
    #[must_use]
    pub fn stop(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// Sets where messages are kept that could not be delivered. Without one they are only told.
    #[must_use]
    pub fn dead_letters(mut self, dead_letters: impl DeadLetters) -> Self {
        self.dead_letters = Some(Arc::new(dead_letters));
        self
    }

    /// Makes the migration.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there is no store, both sides are the same mailbox, or the edges
    /// allow only one connection where both sides need one at the same time.
    pub fn build(self) -> Result<Migration> {
        let Some(store) = self.store.clone() else {
            return Err(
                Error::new(ErrorKind::Config, "a migration needs a checkpoint store")
                    .with_code("config/store"),
            );
        };
        let (from, to) = (self.source.endpoint(), self.destination.endpoint());
        if from == to {
            return Err(Error::new(
                ErrorKind::Config,
                "source and destination are the same mailbox",
            )
            .with_code("config/same-mailbox")
            .with_context("mailbox", from.to_string()));
        }
        let connections = &self.edges.connections;
        if connections.folders_at_once(&from.host, &to.host) == 0 {
            return Err(Error::new(
                ErrorKind::Config,
                "source and destination would wait for each other's only connection",
            )
            .with_code("config/connections")
            .with_context("host", to.host)
            .with_remedy("Allow at least two connections to this host, and two in all."));
        }
        Ok(Migration { inner: self, store })
    }
}

/// Asks a migration to end in order: what was sent is waited for and recorded, nothing new is sent.
#[derive(Clone, Debug, Default)]
pub struct Stop(CancellationToken);

impl Stop {
    /// Not asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that is asked when this one is, and may be asked on its own.
    pub(crate) fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Asks. May be called from anywhere, any number of times.
    pub fn request(&self) {
        self.0.cancel();
    }

    /// True once asked.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Returns once asked. Cancel safe.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }
}
