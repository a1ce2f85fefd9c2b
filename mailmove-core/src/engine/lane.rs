//! One source folder on its way to one destination folder.

use std::{collections::HashSet, pin::pin, sync::Arc};

use tokio::sync::mpsc;

use super::{
    Engine, adopt, changed, deliver, duplicate, fold,
    produce::{self, Listing},
    retry::Backoff,
    share::Desk,
    surplus, survey,
    turns::Turn,
};
use crate::{
    checkpoint::{FolderNo, FolderRow, Record, TargetRow},
    error::{Error, ErrorKind, Result},
    model::{Folder, FolderId, Mark},
    observe::{Direction, Event},
};

/// One source folder and its destination.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    /// The source folder in the ledger.
    pub(super) row: FolderRow,
    /// The source folder as just seen.
    pub(super) folder: Folder,
    /// The destination folder in the ledger.
    pub(super) target: TargetRow,
    /// The destination folder as just seen.
    pub(super) place: Folder,
    /// Nothing changed on either side, and no row is open.
    pub(super) quiet: bool,
    /// Nothing came to the destination folder or left it since the last pass: its mark is of then.
    pub(super) still: bool,
    /// The destination names no mark with its folders.
    pub(super) unmarked: bool,
    /// It was never listed as a whole before this pass.
    pub(super) first: bool,
    /// All that is new was listed in this pass and stands in the ledger as pending.
    pub(super) surveyed: bool,
    /// The destination folder holds messages that nobody claims: look there first.
    pub(super) adopting: bool,
    /// Folders whose messages are left to them, if this is the folder with all messages.
    pub(super) homes: Option<Arc<HashSet<FolderId>>>,
    /// Other source folders have the same destination.
    pub(super) shared: bool,
    /// The ledger has rows of the folder.
    pub(super) begun: bool,
    /// Up to where the destination had been looked at before this pass.
    pub(super) looked: Option<Mark>,
}

impl Lane {
    pub(super) fn new(row: FolderRow, folder: Folder, target: TargetRow, place: Folder) -> Self {
        Self {
            looked: target.examined.clone(),
            first: !row.listed,
            shared: false,
            begun: false,
            row,
            folder,
            target,
            place,
            quiet: false,
            still: false,
            unmarked: false,
            surveyed: false,
            adopting: false,
            homes: None,
        }
    }

    /// A folder that the source has no more, or that nothing is to be listed in; `None` if its place is
    /// gone, or another by now.
    pub(super) fn left(
        mut row: FolderRow,
        targets: &[TargetRow],
        destination: &[Folder],
    ) -> Option<Self> {
        let path = targets
            .iter()
            .find(|target| Some(target.no) == row.target)?;
        let place = destination.iter().find(|now| now.path == path.path)?;
        let named = |target: &&TargetRow| {
            target.path == place.path && target.identity == place.identity.as_str()
        };
        let target = targets.iter().rev().find(named)?.clone();
        let mut folder = Folder::new(row.id.clone(), row.path.clone(), &row.identity);
        folder.messages = Some(0);
        row.exists = Some(0);
        Some(Self::new(row, folder, target, place.clone()))
    }

    /// A lower bound for what this pass stores in the destination folder.
    pub(super) fn mark(&self) -> Result<Mark> {
        self.place.mark.clone().ok_or_else(|| {
            Error::new(ErrorKind::Bug, "the destination named no mark for a folder")
                .with_context("folder", self.place.path.to_string())
        })
    }
}

/// Copies all that is to be copied. Ends with the folder's own error; the caller decides by its
/// scope what else ends.
pub(super) async fn run(engine: &Arc<Engine>, lane: &mut Lane, turn: &mut Turn) -> Result<()> {
    engine.check_stop()?;
    engine.emit(Event::FolderStarted {
        folder: lane.folder.path.clone(),
        messages: lane.folder.messages,
        bytes: lane.folder.bytes,
    });
    examine(engine, lane).await?;
    if lane.adopting && !lane.surveyed {
        // All of them are listed before any is looked for: see `Adopter::announce`.
        survey::survey(engine, lane).await?;
    }
    let listing = copy(engine, lane, turn).await?;
    if let Some(listing) = listing {
        lane.row.listed = true;
        lane.row.exists = listing.exists.or(lane.folder.messages);
        engine
            .ledger
            .commit(vec![Record::Folder(Box::new(lane.row.clone()))])
            .await?;
        // A first listing that was interrupted does not see what changed before it went on.
        let all = listing.again || lane.row.exists != Some(survey::live_rows(engine, lane).await?);
        if all {
            lane.row.cursor = None;
        }
        let changed = changed::meanwhile(engine, lane, listing.changed).await?;
        if all || listing.rest || changed {
            turn.take().await;
            survey::survey(engine, lane).await?;
            copy(engine, lane, turn).await?;
        }
    }
    let mut backoff = Backoff::on(engine, Direction::Up);
    while let Err(error) = look_again(engine, lane).await {
        engine.wait_after(&mut backoff, lane, error).await?;
    }
    Ok(())
}

/// At a lane's end: is all that was stored there, once, and as it is at the source?
async fn look_again(engine: &Engine, lane: &Lane) -> Result<()> {
    duplicate::finish_all(engine, lane).await?;
    fold::afterwards(engine, lane).await?;
    surplus::report(engine, lane).await
}

async fn examine(engine: &Engine, lane: &mut Lane) -> Result<()> {
    let mut backoff = Backoff::on(engine, Direction::Up);
    while let Err(error) = adopt::examine(engine, lane).await {
        engine.wait_after(&mut backoff, lane, error).await?;
    }
    Ok(())
}

/// One batch is being made, one waits with its intent durable, one is on the wire.
async fn copy(engine: &Arc<Engine>, lane: &mut Lane, turn: &mut Turn) -> Result<Option<Listing>> {
    let (made, to_record) = mpsc::channel(1);
    let (recorded, to_send) = mpsc::channel(1);
    let desk = Arc::new(Desk::default());
    let _held = Release(Arc::clone(engine), lane.row.no);
    let producer = tokio::spawn(produce::run(
        Arc::clone(engine),
        lane.clone(),
        Arc::clone(&desk),
        made,
    ));
    let recorder = tokio::spawn(deliver::record(
        Arc::clone(engine),
        lane.clone(),
        to_record,
        recorded,
    ));
    let expecting = tokio::spawn(expect(Arc::clone(engine), lane.clone()));
    // They end with this future, should it be dropped.
    let _guards = [
        Abort(producer.abort_handle()),
        Abort(recorder.abort_handle()),
        Abort(expecting.abort_handle()),
    ];
    let mut recorder = recorder;
    let (sent, recorded) = {
        let mut sending = pin!(deliver::send(engine, lane, desk, to_send));
        tokio::select! {
            sent = &mut sending => (sent, None),
            recorded = &mut recorder => {
                if matches!(recorded, Ok(Ok(true))) {
                    // All is read; what is left is on its way to the destination.
                    turn.release();
                }
                (sending.await, Some(recorded))
            }
        }
    };
    if sent.is_err() {
        // It may wait for the source; what it holds was never sent. The recorder in contrast ends
        // by itself, having closed the intents that led to nothing.
        producer.abort();
    }
    let recorded = match recorded {
        Some(recorded) => recorded,
        None => recorder.await,
    };
    let recorded = joined(recorded)?;
    if recorded.is_err() {
        // It waits for what became of copies that nobody makes.
        producer.abort();
    }
    let listing = producer.await;
    // Whoever opens the ledger next must not find it in its hands.
    expecting.abort();
    let _ = expecting.await;
    sent?;
    recorded?;
    joined(listing)?
}

/// The destination gets ready while the first messages are read.
async fn expect(engine: Arc<Engine>, lane: Lane) {
    if lane.first
        && lane.folder.messages != Some(0)
        && let Ok(mark) = lane.mark()
    {
        engine.destination.expect(&lane.place.id, &mark).await;
    }
}

/// Whatever a lane's end: nobody waits for what it held.
struct Release(Arc<Engine>, FolderNo);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.contents.release_lane(self.1);
    }
}

/// Ends a task when dropped.
#[derive(Debug)]
pub(super) struct Abort(pub(super) tokio::task::AbortHandle);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) fn joined<T>(result: Result<T, tokio::task::JoinError>) -> Result<T> {
    result.map_err(|error| {
        Error::new(ErrorKind::Bug, "a task of the engine ended").with_source(error)
    })
}
