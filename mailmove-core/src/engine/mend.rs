//! A targeted pass: sends again what is missing at the destination, or is there otherwise than it was
//! stored. Nothing is listed at the source; what is new there waits for the next pass.
//!
//! What is to be sent again becomes pending, and goes the way of all that is pending: intent first,
//! looked for at the destination, one claim each. So it may be broken off anywhere, and any later
//! pass goes on with it.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, OnceLock},
};

use super::{
    Engine,
    compare::{Comparison, Sources, What},
    health,
    lane::Lane,
    meaning,
    pass::{self, Ended},
    reconcile::{self, World},
    replace,
    retry::Backoff,
};
use crate::{
    checkpoint::{CheckpointStore, ItemRow, ItemState, Ledger, Record, Scan},
    error::Result,
    migration::MigrationBuilder,
    model::{AlterationKind, Folder, JobId},
    observe::Event,
    options::Mend,
    report::Report,
};

/// Code of a row whose message was missing and is to be sent again.
const MISSING: &str = "mend/missing";
/// Code of a row whose message is there otherwise than it was stored, and is to be sent again.
pub(super) const DAMAGED: &str = "mend/damaged";
/// Code of a row whose message somebody removed there, and that is asked for.
const REMOVED: &str = "mend/removed";

/// Under this key the ledger keeps that a pass that mends has begun, and not ended.
const OPEN: &str = "mend";

/// Whether such a pass was broken off. What it did not come to must not be taken for removed by a
/// later pass that knows nothing of it.
pub(super) async fn is_open(ledger: &dyn Ledger) -> Result<bool> {
    Ok(ledger.meta(OPEN).await?.as_deref() == Some("open"))
}

/// Says that it begins, or that all of what was asked for is known now.
pub(super) fn record(engine: &Engine, begins: bool) -> Option<Record> {
    let what = if begins { "open" } else { "" };
    let wanted = if begins {
        engine.mending.is_some()
    } else {
        engine.mends()
    };
    wanted.then(|| Record::Meta(OPEN.to_owned(), what.to_owned()))
}

/// What this pass mends.
#[derive(Debug)]
pub(super) struct Mending {
    what: Mend,
    /// The source folders that are at hand.
    folders: OnceLock<Arc<Sources>>,
}

impl Mending {
    /// Whether the message can be sent again in this pass.
    fn covers(&self, row: &ItemRow) -> bool {
        let folders = self.folders.get();
        !row.gone && folders.is_some_and(|folders| folders.contains_key(&row.folder))
    }
}

/// Runs a pass that mends.
pub(crate) async fn mend(
    migration: &MigrationBuilder,
    store: &Arc<dyn CheckpointStore>,
    job: &JobId,
    what: Mend,
) -> Result<Report> {
    let ledger = store.open(job).await?;
    let mut engine = pass::connect(migration, ledger).await?;
    engine.mending = Some(Mending {
        what,
        folders: OnceLock::new(),
    });
    pass::carry_out(migration, engine).await
}

/// The folders of a mending pass: those that the ledger knows.
pub(super) async fn folders(
    engine: &Engine,
    mending: &Mending,
    source: Vec<Folder>,
    destination: Vec<Folder>,
) -> Result<World> {
    let world = reconcile::known(engine, source, destination).await?;
    let lanes = world.lanes.iter().map(|lane| (lane.row.no, &lane.folder));
    // Asked for once in a pass.
    let _ = mending.folders.set(meaning::sources(lanes));
    Ok(world)
}

/// Finds out what is to be sent again, in all lanes, before anything is sent.
pub(super) async fn look(engine: &Arc<Engine>, mending: &Mending, lanes: &mut Ended) -> Result<()> {
    let mut seen = HashSet::new();
    for (lane, problem) in lanes.iter_mut() {
        let first = seen.insert(lane.target.no);
        let mut backoff = Backoff::of(engine);
        *problem = loop {
            engine.check_stop()?;
            match check(engine, mending, lane, first).await {
                Err(error) if backoff.may_pass(&error) => {
                    engine.wait_after(&mut backoff, lane, error).await?;
                }
                result => break pass::of_folder(result)?,
            }
        };
    }
    Ok(())
}

async fn check(
    engine: &Arc<Engine>,
    mending: &Mending,
    lane: &mut Lane,
    first: bool,
) -> Result<()> {
    health::renumbered(engine, lane).await?;
    if first {
        differing(engine, mending, lane).await?;
        health::removed(engine, lane).await?;
    }
    health::still_lost(engine, lane).await?;
    if mending.what.removed {
        let scan = Scan::folder(lane.row.no).with_states(&[ItemState::RemovedThere]);
        engine
            .each_page(scan.with_gone(false), |page| {
                let rows = page.into_iter().map(|stored| stored.row);
                Ok(rows.map(|row| item(again(row, REMOVED))).collect())
            })
            .await?;
    }
    lane.begun = true;
    // What is pending is all that there is to do.
    lane.surveyed = true;
    Ok(())
}

/// Has what differs sent again. Flags that differ are the destination's own change, which wins.
async fn differing(engine: &Engine, mending: &Mending, lane: &Lane) -> Result<()> {
    let (no, place) = (lane.target.no, lane.place.id.clone());
    let sources = mending.folders.get().cloned().unwrap_or_default();
    let mut comparison = Comparison::new(engine, mending.what.depth, (no, place), &sources);
    while let Some(page) = comparison.next().await? {
        let mut rows: BTreeMap<u64, ItemRow> = BTreeMap::new();
        let mut damaged = Vec::new();
        for compared in page {
            let mut row = compared.stored.row;
            let is_damage = |what: What| what != What::Flags;
            let differs = compared.differs.iter().filter(|differs| !differs.known);
            let (damage, flags): (Vec<_>, Vec<_>) =
                differs.partition(|differs| is_damage(differs.what));
            if !damage.is_empty() && mending.covers(&row) {
                damaged.push(replace::Replaced::new(&row, no, compared.existing.id));
                rows.insert(compared.stored.number, again(row, DAMAGED));
            } else if !flags.is_empty() {
                let there = compared.existing.flags;
                row.accepted = (there != row.flags).then_some(there);
                rows.insert(compared.stored.number, row);
            }
        }
        let rows = rows.into_values().map(item).collect();
        replace::commit(engine, damaged, rows).await?;
    }
    Ok(())
}

fn item(row: ItemRow) -> Record {
    Record::Item(Box::new(row))
}

/// The row of a message that is missing.
pub(super) fn missing(row: ItemRow) -> ItemRow {
    again(row, MISSING)
}

/// The row of a message that is to be sent again.
pub(super) fn again(mut row: ItemRow, code: &str) -> ItemRow {
    row.state = ItemState::Pending;
    row.code = Some(code.to_owned());
    row.target = None;
    row.accepted = None;
    row.attempts = 0;
    // Where it was repaired, it is the original that is fetched again.
    row.restore();
    // What the destination made of the copy that is lost.
    row.altered.retain(|note| {
        !matches!(
            note.kind,
            AlterationKind::ContentRewritten
                | AlterationKind::MergedByServer
                | AlterationKind::OldPlaceKept
        )
    });
    row
}

impl Engine {
    /// Whether a message that was stored and is missing is to be sent again in this pass.
    pub(super) fn wants_back(&self, row: &ItemRow) -> bool {
        match &self.mending {
            Some(mending) => mending.covers(row),
            None => self.asked_for && !row.gone,
        }
    }

    /// What is missing is sent again, and not taken for removed.
    pub(super) fn mends(&self) -> bool {
        self.mending.is_some() || self.asked_for
    }

    /// Tells of messages that are on neither side any more.
    pub(super) fn on_neither_side(&self, lane: &Lane, count: u64) {
        if count > 0 {
            self.emit(Event::Note {
                folder: Some(lane.folder.path.clone()),
                text: format!(
                    "{count} messages that were copied are missing at the destination, and are no \
                     longer at the source either"
                ),
            });
        }
    }
}
