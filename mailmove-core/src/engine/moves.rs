//! Messages that moved at the source are moved at the destination, not copied again. Decided after
//! all listings: what is gone in one place and new in another, with equal content, moved.

use std::{collections::HashMap, sync::Arc};

use futures_util::StreamExt as _;

use super::{
    Engine,
    flags::{self, FlagWork},
    lane::Lane,
    settle::{self, Doubt, Verdict},
};
use crate::{
    checkpoint::{Intent, ItemRow, ItemState, Record, Scan, TargetNo},
    destination::{Depth, Outcome, Probe},
    error::{ErrorKind, Result, Scope},
    identity::HeaderDigest,
    model::{Alteration, AlterationKind, Content, MessageId},
    observe::Direction,
    source::{FetchRequest, Fetched},
};

/// Messages that are gone from the source and still claimed at the destination.
#[derive(Debug, Default)]
pub(super) struct Gone(HashMap<(u64, i64), Vec<ItemRow>>);

/// Most gone messages that are considered. Beyond it a moved message is copied to its new place
/// and kept in its old one, which loses nothing.
const MOST_GONE: usize = 100_000;

impl Gone {
    pub(super) async fn load(engine: &Engine) -> Result<Self> {
        let mut gone = Self::default();
        let scan = Scan::all()
            .with_gone(true)
            .with_states(&[ItemState::Copied, ItemState::AlreadyThere]);
        let mut count = 0;
        engine
            .each_page(scan, |page| {
                for row in page.into_iter().map(|stored| stored.row) {
                    if row.target.is_some() && count < MOST_GONE {
                        count += 1;
                        gone.0.entry(key(&row)).or_default().push(row);
                    }
                }
                Ok(Vec::new())
            })
            .await?;
        Ok(gone)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn may_hold(&self, row: &ItemRow) -> bool {
        self.0.contains_key(&key(row))
    }

    /// Takes out one message equal to `new`. The nearest place first: within the same destination
    /// folder nothing has to move.
    fn take(&mut self, new: &ItemRow, target: TargetNo) -> Option<ItemRow> {
        let rows = self.0.get_mut(&key(new))?;
        let equal = |old: &ItemRow| match (old.digest, old.header) {
            (Some(digest), _) => Some(digest) == new.digest,
            (None, Some(header)) => !header.is_void() && Some(header) == new.header,
            (None, None) => false,
        };
        let here = |old: &ItemRow| old.target.as_ref().is_some_and(|(no, _)| *no == target);
        // Of identical ones that with the same flags: it needs no change.
        let (at, _) = rows
            .iter()
            .enumerate()
            .filter(|(_, old)| equal(old))
            .min_by_key(|(_, old)| (!here(old), old.flags != new.flags))?;
        Some(rows.swap_remove(at))
    }
}

/// Moves keep size and received date.
fn key(row: &ItemRow) -> (u64, i64) {
    (
        row.size,
        row.received
            .map_or(i64::MIN, crate::model::Timestamp::seconds),
    )
}

/// Finds what moved into the lane's folder, and moves it at the destination. What turns out not to
/// have moved stays pending.
pub(super) async fn run(
    engine: &Arc<Engine>,
    lane: &Lane,
    gone: &mut Gone,
    lanes: &[Lane],
) -> Result<()> {
    let mut candidates = Vec::new();
    let scan = Scan::folder(lane.row.no)
        .with_states(&[ItemState::Pending])
        .with_gone(false);
    engine
        .each_page(scan, |page| {
            let rows = page.into_iter().map(|stored| stored.row);
            candidates.extend(rows.filter(|row| gone.may_hold(row)));
            Ok(Vec::new())
        })
        .await?;
    if candidates.is_empty() {
        return Ok(());
    }
    let mut pairs: HashMap<TargetNo, Vec<(ItemRow, ItemRow)>> = HashMap::new();
    for chunk in candidates.chunks(500) {
        for row in with_digests(engine, lane, chunk.to_vec()).await? {
            if let Some(old) = gone.take(&row, lane.target.no) {
                let from = old.target.as_ref().map_or(lane.target.no, |(no, _)| *no);
                pairs.entry(from).or_default().push((old, row));
            }
        }
    }
    for (from, pairs) in pairs {
        if from == lane.target.no {
            let moved = pairs.into_iter().filter_map(|(old, new)| {
                let id = old.target.as_ref()?.1.clone();
                Some((old, new, id))
            });
            finish(engine, lane, moved.collect()).await?;
        } else {
            for chunk in pairs.chunks(500) {
                relocate(engine, lane, from, chunk.to_vec(), lanes).await?;
            }
        }
    }
    Ok(())
}

/// Reads the candidates: equal size and date are a hint, equal content is the proof. What is known
/// of a content by its name need not be read.
async fn with_digests(engine: &Engine, lane: &Lane, rows: Vec<ItemRow>) -> Result<Vec<ItemRow>> {
    let (mut out, rows) = known_contents(engine, rows).await?;
    if rows.is_empty() {
        return Ok(out);
    }
    let mut by_id: HashMap<MessageId, ItemRow> =
        rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    let bytes = by_id.values().map(|row| row.size).sum();
    engine.spend(Direction::Down, bytes).await?;
    let ids: Vec<MessageId> = by_id.keys().cloned().collect();
    let identity = lane.folder.identity.as_str();
    let request = FetchRequest::new(lane.folder.id.clone(), identity, ids);
    let mut answers = engine.source.fetch(request);
    while let Some((id, fetched)) = answers.next().await {
        // What cannot be read now is copied later, with all tries of the copier.
        if let (Some(mut row), Fetched::Content(content)) = (by_id.remove(&id), fetched) {
            digest(&mut row, &content).await?;
            out.push(row);
        }
    }
    Ok(out)
}

/// Rows whose content another row has, with its digests; and the others.
async fn known_contents(
    engine: &Engine,
    rows: Vec<ItemRow>,
) -> Result<(Vec<ItemRow>, Vec<ItemRow>)> {
    let contents: Vec<_> = rows
        .iter()
        .filter_map(|row| row.content_id.clone())
        .collect();
    let mut sharing = match contents.is_empty() {
        true => Vec::new(),
        false => engine.ledger.sharing(contents).await?,
    }
    .into_iter();
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for mut row in rows {
        let rows = row.content_id.is_some().then(|| sharing.next()).flatten();
        let mut others = rows.into_iter().flatten().map(|stored| stored.row);
        match others.find(|other| other.digest.is_some()) {
            Some(other) => {
                row.size = other.size;
                row.digest = other.digest;
                row.header = other.header;
                known.push(row);
            }
            None => unknown.push(row),
        }
    }
    Ok((known, unknown))
}

async fn digest(row: &mut ItemRow, content: &Content) -> Result<()> {
    row.size = content.size();
    row.digest = Some(content.digest());
    row.header = Some(HeaderDigest::of(&content.prefix(256 * 1024).await?));
    Ok(())
}

async fn relocate(
    engine: &Arc<Engine>,
    lane: &Lane,
    from: TargetNo,
    pairs: Vec<(ItemRow, ItemRow)>,
    lanes: &[Lane],
) -> Result<()> {
    let place = engine
        .ledger
        .targets()
        .await?
        .into_iter()
        .find(|target| target.no == from);
    let (Some(place), Some(updater), true) = (place, engine.destination.updater(), engine.to.moves)
    else {
        return keep_old_place(engine, pairs.into_iter().map(|(_, new)| new)).await;
    };
    let mut intent = Intent::new(
        engine.batch_number(),
        lane.target.no,
        lane.mark()?,
        Vec::new(),
    );
    intent.moved_from = Some(from);
    intent.items = pairs
        .iter()
        .map(|(old, new)| ItemRow {
            target: old.target.clone(),
            ..new.clone()
        })
        .collect();
    engine
        .ledger
        .commit(vec![Record::Intent(Box::new(intent.clone()))])
        .await?;
    let mut by_id: HashMap<MessageId, (ItemRow, ItemRow)> = pairs
        .into_iter()
        .filter_map(|(old, new)| Some((old.target.as_ref()?.1.clone(), (old, new))))
        .collect();
    let ids = by_id.keys().cloned().collect();
    let mut answers = updater.relocate(&place.id, ids, &lane.place.id);
    let mut moved = Vec::new();
    let mut kept = Vec::new();
    let mut doubt = None;
    while let Some((id, outcome)) = answers.next().await {
        let Some((old, new)) = by_id.remove(&id) else {
            continue;
        };
        match outcome {
            Outcome::Stored(receipt) | Outcome::AlreadyThere(receipt) => match receipt.id {
                Some(id) => moved.push((old, new, id)),
                None => doubt = Some(None),
            },
            Outcome::NotStored(error) if error.kind() == ErrorKind::NotFound => {
                removed_there(engine, new).await?;
            }
            Outcome::NotStored(error) if error.scope() > Scope::Folder => doubt = Some(Some(error)),
            Outcome::NotStored(_) => kept.push(new),
            Outcome::Unknown(error) => doubt = Some(Some(error)),
        }
    }
    finish(engine, lane, moved).await?;
    keep_old_place(engine, kept.into_iter()).await?;
    if doubt.is_some() || !by_id.is_empty() {
        tracing::info!("a move is in doubt");
        return resume_one(engine, lanes, intent).await;
    }
    engine
        .ledger
        .commit(vec![Record::Close(intent.batch)])
        .await
}

/// The new row takes over the claim, and the flags are merged from where the old row stood.
async fn finish(
    engine: &Arc<Engine>,
    lane: &Lane,
    moved: Vec<(ItemRow, ItemRow, MessageId)>,
) -> Result<()> {
    let mut records = Vec::with_capacity(moved.len() * 2);
    let mut work = Vec::new();
    let count = moved.len() as u64;
    for (mut old, mut new, id) in moved {
        let now = std::mem::replace(&mut new.flags, old.flags.clone());
        new.accepted.clone_from(&old.accepted);
        new.state = ItemState::Copied;
        new.pass = old.pass;
        new.digest = old.digest.or(new.digest);
        new.target = Some((lane.target.no, id));
        old.target = None;
        if new.flags != now && flags::can_set(engine) {
            work.push(FlagWork::moved(lane, new, old, now));
        } else {
            records.push(Record::Item(Box::new(old)));
            records.push(Record::Item(Box::new(new)));
        }
    }
    engine.ledger.commit(records).await?;
    engine.note(lane.row.no, |notes| notes.moved += count);
    flags::apply(engine, work).await
}

async fn removed_there(engine: &Engine, mut new: ItemRow) -> Result<()> {
    // The user removed it at the destination: it does not come back by having been moved.
    new.state = ItemState::RemovedThere;
    new.pass = engine.pass;
    engine
        .ledger
        .commit(vec![Record::Item(Box::new(new))])
        .await
}

async fn keep_old_place(engine: &Engine, rows: impl Iterator<Item = ItemRow> + Send) -> Result<()> {
    let records = rows
        .map(|mut row| {
            let note = "moved at the source; the old place is kept too";
            row.altered
                .push(Alteration::new(AlterationKind::OldPlaceKept, note));
            Record::Item(Box::new(row))
        })
        .collect();
    engine.ledger.commit(records).await
}

/// Settles moves that an earlier run left open.
pub(super) async fn resume(engine: &Arc<Engine>, lanes: &[Lane]) -> Result<()> {
    for intent in engine.ledger.intents().await? {
        if intent.moved_from.is_some() {
            resume_one(engine, lanes, intent).await?;
        }
    }
    Ok(())
}

/// A message that is still in its old place was not moved, and is matched anew. One that is not is
/// looked for in its new place; if it is nowhere, it is copied: an extra copy beats a missing one.
async fn resume_one(engine: &Arc<Engine>, lanes: &[Lane], intent: Intent) -> Result<()> {
    let close = Record::Close(intent.batch);
    let lane = lanes.iter().find(|lane| lane.target.no == intent.target);
    let from = engine.ledger.targets().await?;
    let from = from
        .into_iter()
        .find(|target| Some(target.no) == intent.moved_from);
    let (Some(lane), Some(from)) = (lane, from) else {
        return engine.ledger.commit(vec![close]).await;
    };
    let old_id = |row: &ItemRow| row.target.as_ref().map(|(_, id)| id.clone());
    let ids: Vec<MessageId> = intent.items.iter().filter_map(old_id).collect();
    let holders = engine.ledger.claims(from.no, ids.clone()).await?;
    let mut still = std::collections::HashSet::new();
    let probe = Probe::new(from.id.clone(), Depth::Ids).with_ids(ids.clone());
    let mut pages = engine.destination.existing(probe);
    while let Some(page) = pages.next().await {
        still.extend(page?.into_iter().map(|existing| existing.id));
    }
    let mut open = Vec::new();
    let mut olds = HashMap::new();
    for ((new, id), holder) in intent.items.into_iter().zip(ids).zip(holders) {
        // Without a holder the move was recorded before the crash.
        let Some((folder, old)) = holder else {
            continue;
        };
        if still.contains(&id) {
            continue;
        }
        let found = engine.ledger.items(folder, vec![old]).await?;
        if let Some(old) = found.into_iter().flatten().next() {
            let old = old.row;
            // It has its new flags, or those that it had in its old place.
            let before = old.accepted.clone().unwrap_or_else(|| old.flags.clone());
            olds.insert(new.id.clone(), old);
            open.push(ItemRow {
                target: None,
                accepted: Some(before),
                ..new
            });
        }
    }
    let settled = settle::settle(
        engine,
        lane,
        Doubt::new(&intent.mark, engine.now_ms()),
        open,
    )
    .await?;
    let mut moved = Vec::new();
    for (row, verdict) in settled {
        if let (Verdict::Found, Some(old), Some((_, id))) =
            (verdict, olds.remove(&row.id), row.target.clone())
        {
            moved.push((old, row, id));
        }
    }
    finish(engine, lane, moved).await?;
    engine.ledger.commit(vec![close]).await
}
