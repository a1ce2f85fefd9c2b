//! Messages that moved at the source are moved at the destination, not copied again. Decided after
//! all listings: what is gone in one place and new in another, with equal content, moved.

mod contents;

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};

use futures_util::StreamExt as _;

use self::contents::with_digests;
use super::{
    Engine,
    adopt::{self, Adopter, Match},
    flags::{self, FlagWork},
    fold,
    health::LOST,
    lane::Lane,
    retry::Backoff,
    settle::{self, Doubt, Place, Verdict, known_rows},
    survey,
};
use crate::{
    checkpoint::{Intent, ItemRow, ItemState, Record, Scan, TargetNo, TargetRow},
    destination::{Depth, Outcome},
    error::{Error, ErrorKind, Result, Scope},
    model::{Alteration, AlterationKind, MessageId},
    observe::Direction,
};

/// Code of a row whose message was found in another place at the source: what is known of it at the
/// destination was used up. One removal keeps one message away, not all that are like it; and what
/// stayed in its old place does not move a second time.
pub(super) const MOVED: &str = "moved";

/// Messages that are gone from the source, and whose place at the destination is known: it holds
/// them still, or somebody removed them there. Only those that may equal a message now at hand.
#[derive(Debug)]
struct Gone {
    rows: HashMap<(u64, i64), Vec<ItemRow>>,
    /// The source tells sizes that can be compared.
    sizes: bool,
}

fn gone_rows() -> Scan {
    Scan::all().with_gone(true).with_states(&[
        ItemState::Copied,
        ItemState::AlreadyThere,
        ItemState::RemovedThere,
    ])
}

fn may_have_moved(row: &ItemRow) -> bool {
    row.target.is_some()
        || row.state == ItemState::RemovedThere && row.code.as_deref() != Some(MOVED)
}

/// Whether anything is gone from the source that might be new elsewhere.
pub(super) async fn any_gone(engine: &Engine) -> Result<bool> {
    let mut pages = engine.ledger.scan(gone_rows());
    while let Some(page) = pages.next().await {
        if page?.iter().any(|stored| may_have_moved(&stored.row)) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Gone {
    /// Those with the size and date of one of `new`.
    async fn like(engine: &Engine, new: &[ItemRow]) -> Result<Self> {
        let mut gone = Self {
            rows: HashMap::new(),
            sizes: engine.from.exact_sizes,
        };
        let wanted: HashSet<(u64, i64)> = new.iter().map(|row| gone.key(row)).collect();
        let mut pages = engine.ledger.scan(gone_rows());
        while let Some(page) = pages.next().await {
            for row in page?.into_iter().map(|stored| stored.row) {
                let key = gone.key(&row);
                if may_have_moved(&row) && wanted.contains(&key) {
                    gone.rows.entry(key).or_default().push(row);
                }
            }
        }
        Ok(gone)
    }

    /// Moves keep size and received date.
    fn key(&self, row: &ItemRow) -> (u64, i64) {
        (
            if self.sizes { row.source_size() } else { 0 },
            row.received
                .map_or(i64::MIN, crate::model::Timestamp::seconds),
        )
    }

    fn may_hold(&self, row: &ItemRow) -> bool {
        self.rows
            .get(&self.key(row))
            .is_some_and(|rows| !rows.is_empty())
    }

    /// Takes out one message equal to `new` that is in this place, where nothing has to move; or else
    /// (not `here`) one of another place, and last of all one that was removed.
    fn take(&mut self, new: &ItemRow, target: TargetNo, here: bool) -> Option<ItemRow> {
        let key = self.key(new);
        let rows = self.rows.get_mut(&key)?;
        let digests = |row: &ItemRow| (row.source_digest(), row.source_header());
        let (content, head) = digests(new);
        let equal = |old: &ItemRow| match digests(old) {
            (Some(digest), _) => Some(digest) == content,
            (None, Some(header)) => !header.is_void() && Some(header) == head,
            (None, None) => false,
        };
        let rank = |old: &ItemRow| match &old.target {
            Some((no, _)) if *no == target => Some(0),
            _ if old.code.as_deref() == Some(MOVED) => None,
            Some(_) => Some(1),
            None => Some(2),
        };
        let equals = rows.iter().enumerate().filter(|(_, old)| equal(old));
        let ranked = equals.filter_map(|(at, old)| Some((rank(old)?, old.flags != new.flags, at)));
        let ranked = ranked.filter(|(rank, ..)| (*rank == 0) == here);
        let (.., at) = ranked.min()?;
        Some(rows.swap_remove(at))
    }
}

/// Finds what moved into the lane's folder, and moves it at the destination. What turns out not to
/// have moved stays pending.
pub(super) async fn run(
    engine: &Arc<Engine>,
    lane: &mut Lane,
    theres: &mut HashMap<TargetNo, Adopter>,
) -> Result<()> {
    let scan = Scan::folder(lane.row.no)
        .with_states(&[ItemState::Pending, ItemState::Failed])
        .with_gone(false);
    let mut pages = engine.ledger.scan(scan);
    while let Some(page) = pages.next().await {
        engine.check_stop()?;
        let rows = page?.into_iter().map(|stored| stored.row);
        let mut new: Vec<ItemRow> = rows
            .filter(|row| row.code.as_deref() != Some(LOST))
            .collect();
        let mut gone = Gone::like(engine, &new).await?;
        new.retain(|row| gone.may_hold(row));
        for chunk in new.chunks(500) {
            matched(engine, lane, &mut gone, theres, chunk.to_vec()).await?;
        }
    }
    Ok(())
}

async fn matched(
    engine: &Arc<Engine>,
    lane: &mut Lane,
    gone: &mut Gone,
    theres: &mut HashMap<TargetNo, Adopter>,
    rows: Vec<ItemRow>,
) -> Result<()> {
    let place = Place::of(lane);
    let mut here = Vec::new();
    let mut elsewhere: HashMap<TargetNo, Vec<(ItemRow, ItemRow)>> = HashMap::new();
    for new in with_digests(engine, lane, rows).await? {
        let old = match gone.take(&new, place.no, true) {
            Some(old) => Some(old),
            // One that is there already and nobody's is taken before one is moved away from where
            // it may have an equal of its own.
            None if is_there(engine, lane, theres, &new).await? => None,
            None => gone.take(&new, place.no, false),
        };
        let Some(old) = old else { continue };
        let new = as_sent(new, &old);
        match old.target.clone() {
            None => removed_there(engine, Some(old), new).await?,
            Some((no, id)) if no == place.no => here.push((old, new, id)),
            Some((no, _)) => elsewhere.entry(no).or_default().push((old, new)),
        }
    }
    if !here.is_empty() {
        finish(engine, &place, here, false).await?;
    }
    for (from, pairs) in elsewhere {
        let pairs = fold::left_to_twins(engine, from, pairs).await?;
        relocate(engine, lane, from, pairs).await?;
    }
    Ok(())
}

/// Whether an unclaimed equal is in the new place: then the copier will find it.
async fn is_there(
    engine: &Engine,
    lane: &mut Lane,
    theres: &mut HashMap<TargetNo, Adopter>,
    new: &ItemRow,
) -> Result<bool> {
    // Folders with the same destination share what is there.
    let adopter = match theres.entry(lane.target.no) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => {
            adopt::examine(engine, lane).await?;
            entry.insert(Adopter::default())
        }
    };
    let found = adopter.find_again(engine, lane, new, false).await?;
    Ok(matches!(found, Match::Found(_)))
}

/// What moves is what was stored: perhaps a repaired form of the message.
fn as_sent(mut new: ItemRow, old: &ItemRow) -> ItemRow {
    if old.original.is_some() {
        new.restore();
        new.size = old.size;
        new.digest = old.digest;
        new.header = old.header;
        new.original = old.original;
        let repaired = |note: &&Alteration| note.kind == AlterationKind::ContentRepaired;
        new.altered
            .extend(old.altered.iter().filter(repaired).cloned());
    }
    new
}

type Pairs = Vec<(ItemRow, ItemRow)>;

/// Moves messages (old and new row) from one destination folder into the lane's, again after
/// failures that pass.
async fn relocate(
    engine: &Arc<Engine>,
    lane: &Lane,
    from: TargetNo,
    mut pairs: Pairs,
) -> Result<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    let targets = engine.ledger.targets().await?;
    let from = targets.into_iter().find(|target| target.no == from);
    let Some(from) = from.filter(|_| engine.to.moves && engine.destination.updater().is_some())
    else {
        return keep_old_place(engine, pairs).await;
    };
    let mut backoff = Backoff::on(engine, Direction::Up);
    loop {
        let Some((left, error)) = try_relocate(engine, lane, &from, pairs).await? else {
            return Ok(());
        };
        match backoff.next(&error) {
            Some(wait) => engine.rest(&backoff, &error, wait).await?,
            None if error.scope() > Scope::Folder => return Err(error),
            None => return keep_old_place(engine, left).await,
        }
        pairs = left;
    }
}

/// One try. What did not move, and why, is given back.
async fn try_relocate(
    engine: &Arc<Engine>,
    lane: &Lane,
    from: &TargetRow,
    pairs: Pairs,
) -> Result<Option<(Pairs, Error)>> {
    let Some(updater) = engine.destination.updater() else {
        return Ok(None);
    };
    let place = Place::of(lane);
    let mut intent = Intent::new(engine.batch_number(), place.no, lane.mark()?, Vec::new());
    intent.moved_from = Some(from.no);
    let item = |(old, new): &(ItemRow, ItemRow)| ItemRow {
        target: old.target.clone(),
        ..new.clone()
    };
    intent.items = pairs.iter().map(item).collect();
    let record = Record::Intent(Box::new(intent.clone()));
    engine.ledger.commit(vec![record]).await?;
    let since = engine.now_ms();
    let ids: Vec<MessageId> = pairs.iter().filter_map(|(old, _)| there(old)).collect();
    let mut by_id: HashMap<MessageId, (ItemRow, ItemRow)> = pairs
        .into_iter()
        .filter_map(|(old, new)| Some((there(&old)?, (old, new))))
        .collect();
    let mut answers = updater.relocate(&from.id, ids, &place.id);
    let (mut moved, mut beside) = (Vec::new(), Vec::new());
    let (mut kept, mut left) = (Vec::new(), Vec::new());
    let (mut doubt, mut why) = (Vec::new(), None);
    while let Some((id, outcome)) = answers.next().await {
        let Some((old, new)) = by_id.remove(&id) else {
            continue;
        };
        match outcome {
            Outcome::Stored(receipt) | Outcome::AlreadyThere(receipt) => match receipt.id {
                Some(id) if keeps_old(&receipt.altered) => beside.push((old, new, id)),
                Some(id) => moved.push((old, new, id)),
                None => doubt.push((old, new)),
            },
            Outcome::NotStored(error) if flags::gone(&error) => {
                removed_there(engine, None, new).await?;
            }
            Outcome::NotStored(error) if error.is_transient() || error.scope() > Scope::Folder => {
                left.push((old, new));
                why = Some(error);
            }
            Outcome::NotStored(_) => kept.push((old, new)),
            Outcome::Unknown(error) => {
                doubt.push((old, new));
                why = Some(error);
            }
        }
    }
    // What got no answer is in doubt too.
    doubt.extend(by_id.into_values());
    finish(engine, &place, moved, false).await?;
    finish(engine, &place, beside, true).await?;
    keep_old_place(engine, kept).await?;
    if !doubt.is_empty() {
        tracing::info!(messages = doubt.len(), "moves are in doubt");
        left.extend(settle_moves(engine, &place, from, &intent, doubt, since).await?);
    }
    let close = Record::Close(intent.batch);
    engine.ledger.commit(vec![close]).await?;
    if left.is_empty() {
        return Ok(None);
    }
    let why = why
        .unwrap_or_else(|| Error::new(ErrorKind::Interrupted, "no word on what became of a move"));
    Ok(Some((left, why)))
}

fn keeps_old(altered: &[Alteration]) -> bool {
    let kept = |note: &Alteration| note.kind == AlterationKind::OldPlaceKept;
    altered.iter().any(kept)
}

fn there(row: &ItemRow) -> Option<MessageId> {
    row.target.as_ref().map(|(_, id)| id.clone())
}

/// Finds out what became of moves: found in their new place, they moved. Of the others those are
/// given back that are still in their old place. What is nowhere is copied: an extra copy beats a
/// missing one.
async fn settle_moves(
    engine: &Arc<Engine>,
    place: &Place,
    from: &TargetRow,
    intent: &Intent,
    pairs: Pairs,
    since: u64,
) -> Result<Pairs> {
    let (olds, news): (Vec<ItemRow>, Vec<ItemRow>) = pairs.into_iter().unzip();
    // Equal ones are told apart by the flags that they have in their old place.
    let rows = olds.iter().zip(&news).map(|(old, new)| ItemRow {
        target: None,
        flags: old.accepted.clone().unwrap_or_else(|| old.flags.clone()),
        ..new.clone()
    });
    let doubt = Doubt {
        rows: rows.collect(),
        mark: Some(&intent.mark),
        since,
        taken: HashSet::new(),
    };
    let settled = settle::settle(engine, place, doubt).await?;
    let still = still_there(engine, from, olds.iter().filter_map(there).collect()).await?;
    let is_still = |old: &ItemRow| there(old).is_some_and(|id| still.contains(&id));
    let (mut moved, mut beside, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for ((old, new), (row, verdict)) in olds.into_iter().zip(news).zip(settled) {
        match (verdict, row.target) {
            // Servers without MOVE copy first.
            (Verdict::Found, Some((_, id))) if is_still(&old) => beside.push((old, new, id)),
            (Verdict::Found, Some((_, id))) => moved.push((old, new, id)),
            _ => missing.push((old, new)),
        }
    }
    finish(engine, place, moved, false).await?;
    finish(engine, place, beside, true).await?;
    missing.retain(|(old, _)| is_still(old));
    Ok(missing)
}

/// Which of these are in their folder.
async fn still_there(
    engine: &Engine,
    from: &TargetRow,
    ids: Vec<MessageId>,
) -> Result<HashSet<MessageId>> {
    let mut still = HashSet::new();
    let probe = engine.probe(&from.id, Depth::Ids).with_ids(ids);
    let mut pages = engine.destination.existing(probe);
    while let Some(page) = pages.next().await {
        match page {
            Ok(page) => still.extend(page.into_iter().map(|existing| existing.id)),
            // Renumbered, or gone: nothing is known to be there.
            Err(error) if matches!(error.kind(), ErrorKind::Stale | ErrorKind::NotFound) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(still)
}

/// The new row takes over the claim, and the flags are merged from where the old row stood. What was
/// copied, and is in its old place still, stays there.
async fn finish(
    engine: &Arc<Engine>,
    place: &Place,
    moved: Vec<(ItemRow, ItemRow, MessageId)>,
    stays: bool,
) -> Result<()> {
    if moved.is_empty() {
        return Ok(());
    }
    let mut records = Vec::with_capacity(moved.len() * 2 + 1);
    let mut work = Vec::new();
    for (mut old, mut new, id) in moved {
        engine.note(new.folder, |notes| notes.moved += 1);
        let told = std::mem::replace(&mut new.flags, old.flags.clone());
        let now = match survey::is_untold(&new) {
            true => old.flags.clone(),
            false => told,
        };
        new.accepted.clone_from(&old.accepted);
        new.state = old.state;
        new.code = None;
        new.pass = old.pass;
        new.resent = old.resent;
        new.digest = old.digest.or(new.digest);
        new.target = Some((place.no, id));
        if stays {
            old_place_kept(&mut old, &mut new);
            engine.note(new.folder, |notes| {
                *notes
                    .altered
                    .entry(AlterationKind::OldPlaceKept)
                    .or_default() += 1;
            });
        } else {
            old.target = None;
        }
        // The claim is given up before it is taken.
        records.push(Record::Item(Box::new(old)));
        records.push(Record::Item(Box::new(new.clone())));
        work.extend(FlagWork::at(&place.id, new, &now));
    }
    let (intents, intended) = flags::intend(engine, work);
    records.extend(intents);
    engine.ledger.commit(records).await?;
    flags::carry_out(engine, intended).await
}

/// The user removed it at the destination: it does not come back by having been moved.
async fn removed_there(engine: &Engine, old: Option<ItemRow>, mut new: ItemRow) -> Result<()> {
    new.state = ItemState::RemovedThere;
    new.code = None;
    new.pass = engine.pass;
    let mut records = vec![Record::Item(Box::new(new))];
    if let Some(mut old) = old {
        old.code = Some(MOVED.to_owned());
        records.push(Record::Item(Box::new(old)));
    }
    engine.ledger.commit(records).await
}

/// What cannot be moved is copied to its new place, and stays in the old one.
async fn keep_old_place(engine: &Engine, pairs: Pairs) -> Result<()> {
    let mut records = Vec::with_capacity(pairs.len() * 2);
    for (mut old, mut new) in pairs {
        old_place_kept(&mut old, &mut new);
        records.extend([old, new].map(|row| Record::Item(Box::new(row))));
    }
    if records.is_empty() {
        return Ok(());
    }
    engine.ledger.commit(records).await
}

fn old_place_kept(old: &mut ItemRow, new: &mut ItemRow) {
    old.code = Some(MOVED.to_owned());
    let note = "moved at the source; the old place is kept too";
    new.altered
        .push(Alteration::new(AlterationKind::OldPlaceKept, note));
}

/// Settles a move that an earlier run left open. What did not move is matched anew.
pub(super) async fn resume(
    engine: &Arc<Engine>,
    place: Option<Place>,
    from: Option<&TargetRow>,
    intent: Intent,
) -> Result<()> {
    if let (Some(place), Some(from)) = (place, from) {
        let known = known_rows(engine, &intent.items).await?;
        let ids: Vec<MessageId> = intent.items.iter().filter_map(there).collect();
        let holders = engine.ledger.claims(from.no, ids.clone()).await?;
        let mut holders: HashMap<MessageId, _> = ids.into_iter().zip(holders).collect();
        let mut pairs = Vec::new();
        for (item, known) in intent.items.iter().zip(known) {
            let holder = there(item).and_then(|id| holders.remove(&id)).flatten();
            // Without a holder, or with a final row, the move was recorded before the crash.
            let (Some((folder, old)), Some(new)) = (holder, known) else {
                continue;
            };
            if new.state.is_final() {
                continue;
            }
            let new = ItemRow {
                size: item.size,
                digest: item.digest,
                header: item.header,
                original: item.original,
                altered: item.altered.clone(),
                ..new
            };
            let old = engine.ledger.items(folder, vec![old]).await?;
            pairs.extend(old.into_iter().flatten().map(|old| (old.row, new.clone())));
        }
        if !pairs.is_empty() {
            for (_, new) in &pairs {
                engine.note(new.folder, |notes| notes.settled += 1);
            }
            settle_moves(engine, &place, from, &intent, pairs, engine.begun).await?;
        }
    }
    let close = Record::Close(intent.batch);
    engine.ledger.commit(vec![close]).await
}
