//! Runs of a migration, each as a process of its own as far as one can within a test: own runtime, own
//! connections, own view of the ledger's file.

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

use mailmove_core::{
    Edges, Migration, Options, Report,
    checkpoint::CheckpointStore as _,
    edge::{Credential, Secret, StaticCredential},
    error::{Error, ErrorKind},
    report::Status,
    store::SqliteStore,
};
use mailmove_graph::{Drafts, GraphConfig, GraphDestination, GraphSource, Writing};
use mailmove_testkit::snapshot::{Compare, Snapshot};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::{
    Count,
    ground::{Ground, Held},
    points::{How, Point, Sort},
};

/// Further runs that an interrupted migration has to end in.
const RUNS: usize = 6;

/// One migration with its server and its state.
pub(crate) struct Attempt {
    pub(crate) ground: Ground,
    state: TempDir,
    outside: Handle,
    /// The source as it has to stay.
    before: Snapshot,
}

impl Attempt {
    pub(crate) fn new(ground: Ground, outside: &Handle) -> Self {
        Self {
            before: ground.before(),
            ground,
            state: TempDir::new().unwrap(),
            outside: outside.clone(),
        }
    }

    /// Interrupts, goes on until it is complete, and compares.
    pub(crate) fn check(
        &self,
        point: &Point,
        expected: &Held,
        count: &Count,
    ) -> Result<(), String> {
        point.arm(&self.ground);
        let report = self.run_until(self.interrupt(point));
        count.note(self, point, report.is_none());
        self.ground.server.faults().clear();
        self.finish(report)?;
        self.compare(expected)?;
        self.nothing_more()?;
        self.compare(expected)
    }

    fn struck(&self) -> bool {
        self.ground.server.faults().struck() > 0
    }

    fn asked(&self) -> u64 {
        self.ground.server.counters().requests
    }

    /// Over when the process is to end.
    async fn interrupt(&self, point: &Point) {
        if point.how == How::Break {
            return std::future::pending().await;
        }
        until(|| self.struck()).await;
        if point.how == How::KillNext {
            let asked = self.asked();
            until(|| self.asked() > asked).await;
        }
    }

    /// Runs until it is complete.
    pub(crate) fn finish(&self, first: Option<Result<Report, Error>>) -> Result<Report, String> {
        let mut report = first;
        for _ in 0..RUNS {
            match &report {
                Some(Ok(report)) if report.status() == Status::Complete => break,
                _ => report = self.run(),
            }
        }
        let report = report.ok_or("killed")?.map_err(|error| error.chain())?;
        match report.status() {
            Status::Complete => Ok(report),
            _ => Err(format!("not complete: {report:#?}")),
        }
    }

    /// One run more finds nothing to do, and nothing doubled.
    pub(crate) fn nothing_more(&self) -> Result<(), String> {
        let again = self.run().ok_or("killed")?;
        let again = again.map_err(|error| error.chain())?;
        let total = again.total();
        match total.copied + total.already_there + total.doubled + total.perhaps_doubled {
            0 => Ok(()),
            _ => Err(format!("a further run had something to do: {again:#?}")),
        }
    }

    /// The destination holds what is expected, and the source what it held.
    pub(crate) fn compare(&self, expected: &Held) -> Result<(), String> {
        let difference = Compare::all().diff(&self.before, &self.ground.before());
        let source = difference.none();
        source.map_err(|difference| format!("the source changed: {difference}"))?;
        let found = self.ground.held();
        match *expected == found {
            true => Ok(()),
            false => Err(format!("expected {expected:#?}\nfound {found:#?}")),
        }
    }

    /// One process.
    pub(crate) fn run(&self) -> Option<Result<Report, Error>> {
        self.run_until(std::future::pending())
    }

    /// One process, killed when this is over. `None`: it was killed.
    pub(crate) fn run_until(
        &self,
        killed: impl Future<Output = ()>,
    ) -> Option<Result<Report, Error>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let result = runtime.block_on(async {
            let migration = self.migration();
            tokio::select! {
                biased;
                () = killed => None,
                result = unlocked(&migration) => Some(result),
            }
        });
        // All of its tasks end here, wherever they are.
        drop(runtime);
        result
    }

    fn migration(&self) -> Migration {
        let ground = &self.ground;
        let edges = Edges::new().with_clock(Arc::clone(&ground.clock) as Arc<_>);
        let config = GraphConfig::new(ground.server.tenant(), "bob@example.com")
            .with_base(&ground.server.url())
            .unwrap()
            .with_upload_host("127.0.0.1")
            .with_timeout(Duration::from_secs(20));
        let (user, token) = ("bob@example.com".to_owned(), Secret::new("token"));
        let login = StaticCredential::new(Credential::BearerToken { user, token });
        let mut options = Options::new();
        options.late = ground.late;
        let login = Arc::new(login);
        let writing = match ground.kind.drafts {
            true => Writing::new().with_drafts(Drafts::AsMime),
            false => Writing::new(),
        };
        let tokens = Arc::clone(&login) as _;
        let destination = GraphDestination::with(config, writing, tokens, edges.clone());
        let builder = match ground.kind.exports {
            true => {
                let config = GraphConfig::new(ground.from.tenant(), "ann@example.com");
                let config = config.with_base(&ground.from.url()).unwrap();
                let source = GraphSource::new(config, login, edges.clone());
                Migration::builder(source, destination)
            }
            false => Migration::builder(ground.source.clone(), destination),
        };
        builder
            .store(SqliteStore::new(self.state.path()))
            .options(options)
            .edges(edges)
            .build()
            .unwrap()
    }

    /// Intents that are open in the ledger by now.
    fn open_intents(&self) -> usize {
        let job = self.migration().job();
        let state = self.state.path();
        self.outside.block_on(async {
            let Ok(ledger) = SqliteStore::new(state).open(&job).await else {
                return 0;
            };
            ledger.intents().await.map_or(0, |intents| intents.len())
        })
    }
}

/// Waits for this, looking whenever the process does something, and each millisecond.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    poll_fn(|cx| {
        while !holds() {
            if tick.poll_tick(cx).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    })
    .await;
}

/// The store's thread of a killed process may hold the lock for a moment, as no real one would.
async fn unlocked(migration: &Migration) -> Result<Report, Error> {
    for _ in 0..100 {
        match migration.run().await {
            Err(error) if error.kind() == ErrorKind::Locked => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            result => return result,
        }
    }
    migration.run().await
}

impl Count {
    /// What the interruption hit.
    fn note(&self, attempt: &Attempt, point: &Point, killed: bool) {
        self.points.fetch_add(1, Relaxed);
        if !attempt.struck() {
            self.untouched.fetch_add(1, Relaxed);
            return;
        }
        if point.sort == Sort::Landed && attempt.ground.server.counters().created > 0 {
            self.landed.fetch_add(1, Relaxed);
        }
        if attempt.ground.incomplete() > 0 {
            self.incomplete.fetch_add(1, Relaxed);
        }
        if killed {
            self.killed.fetch_add(1, Relaxed);
            self.open_intents
                .fetch_add(usize::from(attempt.open_intents() > 0), Relaxed);
        }
    }
}
