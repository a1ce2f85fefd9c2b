//! Runs of a migration, each as a process of its own as far as one can within a test: own runtime, own
//! connections, own view of the ledger's file.

use std::{sync::Arc, time::Duration};

use mailmove_core::{
    Edges, Migration, Options, Report,
    checkpoint::CheckpointStore as _,
    edge::{Credential, StaticCredential},
    error::{Error, ErrorKind},
    map::Place,
    model::FolderPath,
    report::Status,
    store::SqliteStore,
};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource, Security};
use mailmove_testkit::{
    clock::FastClock,
    proxy::{FaultProxy, Tripped, Way},
    snapshot::{Compare, Snapshot},
};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::{
    Count,
    ground::Ground,
    points::{At, How, Point, Side, Where, of_appends, places, stand},
    scene,
};

/// One migration with its proxies and its state.
pub(crate) struct Attempt<'a> {
    ground: &'a dyn Ground,
    point: Option<Point>,
    from: FaultProxy,
    to: FaultProxy,
    users: (String, String),
    state: TempDir,
    clock: Arc<FastClock>,
    outside: Handle,
}

/// What an undisturbed run leaves, and the places where it can be interrupted.
/// first those that are found again for sure, then all by their bytes.
pub(crate) async fn undisturbed(ground: &dyn Ground) -> Undisturbed {
    let attempt = Attempt::with(ground, &Handle::current(), None).await;
    attempt.from.record();
    attempt.to.record();
    let report = tokio::task::block_in_place(|| attempt.run(None));
    let report = report.unwrap().unwrap();
    assert_eq!(report.status(), Status::Complete, "{report:#?}");
    let said = |proxy: &FaultProxy, way| {
        let chunks = proxy.transcript().into_iter();
        let of_way = chunks.filter(|(to, _)| *to == way);
        of_way.flat_map(|(_, bytes)| bytes).collect::<Vec<u8>>()
    };
    let sure = of_appends(
        &said(&attempt.to, Way::ToServer),
        &said(&attempt.to, Way::ToClient),
    );
    let mut points = Vec::new();
    for (side, proxy) in [
        (Side::Destination, &attempt.to),
        (Side::Source, &attempt.from),
    ] {
        for way in [Way::ToServer, Way::ToClient] {
            for (after, kind) in places(way, &said(proxy, way)) {
                let at = At::Byte(after);
                points.extend([How::Kill, How::Break].map(|how| Point {
                    side,
                    way,
                    at,
                    kind,
                    how,
                }));
            }
        }
    }
    Undisturbed {
        end: ground.snapshot(&attempt.users.1, false),
        sure,
        points,
    }
}

/// What an undisturbed run shows.
pub(crate) struct Undisturbed {
    pub(crate) end: Snapshot,
    pub(crate) sure: Vec<Point>,
    pub(crate) points: Vec<Point>,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(ground: &'a dyn Ground, outside: &Handle, point: Point) -> Self {
        outside.block_on(Self::with(ground, outside, Some(point)))
    }

    /// One that no proxy interrupts.
    pub(crate) fn calm(ground: &'a dyn Ground, outside: &Handle) -> Self {
        outside.block_on(Self::with(ground, outside, None))
    }

    async fn with(ground: &'a dyn Ground, outside: &Handle, point: Option<Point>) -> Self {
        let ((from, source), (to, destination)) = (ground.source(), ground.destination());
        Self {
            ground,
            point,
            from: FaultProxy::start(from).await.unwrap(),
            to: FaultProxy::start(to).await.unwrap(),
            users: (source, destination),
            state: TempDir::new().unwrap(),
            clock: ground.clock(),
            outside: outside.clone(),
        }
    }

    /// Interrupts, goes on until it is complete, and compares.
    pub(crate) fn check(&self, expected: &Snapshot, count: &Count) -> Result<(), String> {
        let Some(point) = self.point else {
            return Ok(());
        };
        let proxy = match point.side {
            Side::Source => &self.from,
            Side::Destination => &self.to,
        };
        proxy.record();
        point.arm(proxy);
        let mut report = self.run(Some((proxy, point.how)));
        count.note(self, proxy);
        proxy.disarm();
        for _ in 0..6 {
            match &report {
                Some(Ok(report)) if report.status() == Status::Complete => break,
                _ => report = self.run(None),
            }
        }
        let report = report.ok_or("killed")?.map_err(|error| error.chain())?;
        if report.status() != Status::Complete {
            return Err(format!("not complete: {report:#?}"));
        }
        self.compare(expected)?;
        let again = self
            .run(None)
            .ok_or("killed")?
            .map_err(|error| error.chain())?;
        match again.total().copied + again.total().already_there {
            0 => self.compare(expected),
            n => Err(format!("a further run copied {n} messages")),
        }
    }

    pub(crate) fn compare(&self, expected: &Snapshot) -> Result<(), String> {
        let found = self.ground.snapshot(&self.users.1, false);
        let difference = Compare::all().diff(expected, &found);
        difference
            .none()
            .map_err(|difference| difference.to_string())
    }

    /// One process. `None`: it was killed.
    pub(crate) fn run(
        &self,
        interrupt: Option<(&FaultProxy, How)>,
    ) -> Option<Result<Report, Error>> {
        self.run_until(async {
            match interrupt {
                Some((proxy, How::Kill)) => drop(proxy.tripped().await),
                _ => std::future::pending().await,
            }
        })
    }

    /// One process, killed when this is over.
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
        let edges = Edges::new().with_clock(Arc::clone(&self.clock) as Arc<_>);
        let password = self.ground.password();
        let side = |proxy: &FaultProxy, user: &str| {
            let config = ImapConfig::new("127.0.0.1")
                .with_port(proxy.address().port())
                .with_user(user)
                .with_security(Security::Plain)
                .with_connections(1)
                .with_timeout(Duration::from_secs(20));
            let login = Arc::new(StaticCredential::new(Credential::password(
                user,
                password.clone(),
            )));
            (config, login)
        };
        let (from, from_login) = side(&self.from, &self.users.0);
        let (to, to_login) = side(&self.to, &self.users.1);
        let mut options = Options::new();
        options.late = self.ground.late();
        let (old, place) = scene::MERGED;
        options.folders = options
            .folders
            .with_place(Place::new(FolderPath::new([old]), FolderPath::new([place])).unwrap());
        Migration::builder(
            ImapSource::new(from, from_login, edges.clone()),
            ImapDestination::new(to, to_login, edges.clone()),
        )
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
    fn note(&self, attempt: &Attempt<'_>, proxy: &FaultProxy) {
        use std::sync::atomic::Ordering::Relaxed;
        self.points.fetch_add(1, Relaxed);
        if attempt.point.is_some_and(|point| point.how == How::Kill) {
            self.killed.fetch_add(1, Relaxed);
        }
        if proxy.faults() == 0 {
            self.untouched.fetch_add(1, Relaxed);
            return;
        }
        let tripped: Tripped = attempt.outside.block_on(proxy.tripped());
        let (place, command) = stand(&tripped.sent);
        if place == Where::Literal {
            self.within_literal.fetch_add(1, Relaxed);
        }
        let complete = place == Where::Line && tripped.sent.ends_with(b"\r\n");
        let point_is = |side| attempt.point.is_some_and(|point| point.side == side);
        if command.contains(" APPEND ") && complete && point_is(Side::Destination) {
            self.landed.fetch_add(1, Relaxed);
        }
        if attempt.point.is_some_and(|point| point.how == How::Kill) && attempt.open_intents() > 0 {
            self.open_intents.fetch_add(1, Relaxed);
        }
    }
}
