//! One source folder on its way to one destination folder.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Engine, adopt, deliver, produce, settle};
use crate::{
    checkpoint::{FolderRow, Record, TargetRow},
    error::{Error, ErrorKind, Result},
    model::{Folder, Mark},
    observe::Event,
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
    /// All that is new was listed in this pass and stands in the ledger as pending.
    pub(super) surveyed: bool,
    /// The destination folder holds messages that nobody claims: look there first.
    pub(super) adopting: bool,
}

impl Lane {
    pub(super) fn new(row: FolderRow, folder: Folder, target: TargetRow, place: Folder) -> Self {
        Self {
            row,
            folder,
            target,
            place,
            quiet: false,
            surveyed: false,
            adopting: false,
        }
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
pub(super) async fn run(engine: &Arc<Engine>, lane: &mut Lane) -> Result<()> {
    engine.check_stop()?;
    engine.emit(Event::FolderStarted {
        folder: lane.folder.path.clone(),
        messages: lane.folder.messages,
        bytes: lane.folder.bytes,
    });
    settle::open_intents(engine, lane).await?;
    adopt::examine(engine, lane).await?;
    // One batch is being made, one waits with its intent durable, one is on the wire.
    let (made, to_record) = mpsc::channel(1);
    let (recorded, to_send) = mpsc::channel(1);
    let producer = tokio::spawn(produce::run(Arc::clone(engine), lane.clone(), made));
    let recorder = tokio::spawn(deliver::record(
        Arc::clone(engine),
        lane.clone(),
        to_record,
        recorded,
    ));
    // Ends the other two when this future is dropped or fails.
    let guards = [
        Abort(producer.abort_handle()),
        Abort(recorder.abort_handle()),
    ];
    deliver::send(engine, lane, to_send).await?;
    let recorded = joined(recorder.await)?;
    let listing = joined(producer.await)?;
    drop(guards);
    recorded?;
    let listing = listing?;
    settle::unnamed(engine, lane).await?;
    deliver::audit(engine, lane).await?;
    if let Some(listing) = listing {
        lane.row.listed = true;
        lane.row.exists = listing.exists.or(lane.folder.messages);
        engine
            .ledger
            .commit(vec![Record::Folder(Box::new(lane.row.clone()))])
            .await?;
    }
    Ok(())
}

struct Abort(tokio::task::AbortHandle);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn joined<T>(result: Result<T, tokio::task::JoinError>) -> Result<T> {
    result.map_err(|error| {
        Error::new(ErrorKind::Bug, "a task of the engine ended").with_source(error)
    })
}
