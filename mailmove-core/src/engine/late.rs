//! What an earlier run had under way, whose state was lost, may land while this one works: then the
//! message is there twice. Nobody but a run that knows of no earlier one, and finds that there was
//! one, has to look for it.

use std::collections::{HashMap, HashSet};

use futures_util::StreamExt as _;

use super::{
    Engine, adopt,
    flags::{self, FlagWork},
    lane::Lane,
    pass::Ended,
    replace::{self, Replaced},
    settle::{self, Place},
};
use crate::{
    checkpoint::{ItemRow, ItemState, Record, Scan, TargetNo},
    destination::{Depth, Existing},
    error::{ErrorKind, Result},
    model::{ContentDigest, Flags, MessageId},
    observe::Event,
};

/// Claims what landed late instead of our own copies, which are to be removed then.
pub(super) async fn look(engine: &Engine, lanes: &Ended) -> Result<()> {
    let first = lanes
        .iter()
        .filter(|(lane, problem)| lane.first && lane.row.listed && problem.is_none());
    let mut seen: HashSet<TargetNo> = HashSet::new();
    let mut places: Vec<&Lane> = Vec::new();
    let mut adopted = false;
    for (lane, _) in first {
        adopted |= adopted_some(engine, lane).await?;
        if seen.insert(lane.target.no) {
            places.push(lane);
        }
    }
    if !adopted {
        return Ok(());
    }
    let settle = u64::try_from(engine.to.settle.as_millis()).unwrap_or(0);
    let wait = (engine.begun + settle).saturating_sub(engine.now_ms());
    if wait > 0 {
        engine.emit(Event::Note {
            folder: None,
            text: format!(
                "some of it was there already: waiting {} s for what an earlier run may have sent last",
                wait.div_ceil(1000)
            ),
        });
        engine.pause(std::time::Duration::from_millis(wait)).await?;
    }
    for lane in places {
        one_folder(engine, lane).await?;
    }
    Ok(())
}

async fn adopted_some(engine: &Engine, lane: &Lane) -> Result<bool> {
    let counts = engine.ledger.counts(lane.row.no).await?;
    Ok(counts
        .iter()
        .any(|count| count.state == ItemState::AlreadyThere && count.pass == engine.pass))
}

async fn one_folder(engine: &Engine, lane: &Lane) -> Result<()> {
    let foreign = foreign(engine, lane).await?;
    if foreign.is_empty() {
        return Ok(());
    }
    let equal = equal_rows(engine, lane, &foreign).await?;
    let ours = equal.iter().filter(|row| is_ours(engine, row)).cloned();
    let (mut rows, mut replaced, mut work) = (Vec::new(), Vec::new(), Vec::new());
    for (row, there) in pairs(engine, ours.collect(), foreign) {
        if let Some((no, own)) = row.target.clone() {
            replaced.push(Replaced::new(&row, no, own));
            let now = row.flags.clone();
            let mut row = adopt::adopted(engine, lane, row, &there);
            if engine.options.flags && engine.to.sets_flags {
                row.flags = flags_of(&row, &there, &equal);
                row.accepted = (row.flags != there.flags).then_some(there.flags);
                work.extend(FlagWork::of(lane, row.clone(), &now));
            }
            rows.push(Record::Item(Box::new(row)));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let (intents, intended) = flags::intend(engine, work);
    rows.extend(intents);
    replace::commit(engine, replaced, rows).await?;
    flags::carry_out(engine, intended).await
}

/// The flags that came with the lost run, and may be taken away again: those of the message, or all if it
/// is the twin's. Others may be the user's.
fn flags_of(row: &ItemRow, there: &Existing, equal: &[ItemRow]) -> Flags {
    let is_twin = |other: &&ItemRow| {
        (other.folder, &other.id) != (row.folder, &row.id) && other.digest == row.digest
    };
    let mut twins = equal.iter().filter(is_twin);
    if twins.any(|twin| twin.flags == there.flags) {
        there.flags.clone()
    } else {
        row.flags.intersection(&there.flags)
    }
}

/// Messages that came in during this pass, and that nobody claims: none where the destination can't tell them from
/// those before.
async fn foreign(engine: &Engine, lane: &Lane) -> Result<Vec<Existing>> {
    let probe = engine
        .probe(&lane.place.id, Depth::Ids)
        .with_since(Some(lane.mark()?))
        .exactly();
    let mut pages = engine.destination.existing(probe);
    let mut free: Vec<MessageId> = Vec::new();
    while let Some(page) = pages.next().await {
        let page = match page {
            Err(error) if error.kind() == ErrorKind::Stale => return Ok(Vec::new()),
            page => page?,
        };
        let ids: Vec<MessageId> = page.into_iter().map(|existing| existing.id).collect();
        let claims = engine.ledger.claims(lane.target.no, ids.clone()).await?;
        let unclaimed = ids.into_iter().zip(claims).filter(|(_, it)| it.is_none());
        free.extend(unclaimed.map(|(id, _)| id));
    }
    drop(pages);
    let mut out = Vec::with_capacity(free.len());
    for ids in free.chunks(200) {
        out.extend(settle::contents(engine, &Place::of(lane), ids).await?);
    }
    Ok(out)
}

/// What claims something there with the same bytes.
async fn equal_rows(engine: &Engine, lane: &Lane, foreign: &[Existing]) -> Result<Vec<ItemRow>> {
    let digests: HashSet<ContentDigest> = foreign.iter().filter_map(|it| it.digest).collect();
    let scan = Scan::target(lane.target.no);
    let scan = scan.with_states(&[ItemState::Copied, ItemState::AlreadyThere]);
    let mut out = Vec::new();
    let mut pages = engine.ledger.scan(scan);
    while let Some(page) = pages.next().await {
        let rows = page?.into_iter().map(|stored| stored.row);
        out.extend(rows.filter(|row| row.digest.is_some_and(|digest| digests.contains(&digest))));
    }
    Ok(out)
}

/// This pass stored it.
fn is_ours(engine: &Engine, row: &ItemRow) -> bool {
    row.state == ItemState::Copied && row.pass == engine.pass
}

/// One of ours for each of them: with the same date, and the same flags where there is a choice.
fn pairs(engine: &Engine, ours: Vec<ItemRow>, foreign: Vec<Existing>) -> Vec<(ItemRow, Existing)> {
    let mut by_digest: HashMap<ContentDigest, Vec<ItemRow>> = HashMap::new();
    for row in ours {
        if let Some(digest) = row.digest {
            by_digest.entry(digest).or_default().push(row);
        }
    }
    let mut out = Vec::new();
    for there in foreign {
        let rows = there.digest.and_then(|digest| by_digest.get_mut(&digest));
        let Some(rows) = rows else { continue };
        let fitting = rows.iter().enumerate().filter(|(_, row)| {
            !engine.to.keeps_received || row.received.is_none() || row.received == there.received
        });
        let best = fitting.min_by_key(|(_, row)| row.flags != there.flags);
        if let Some((at, _)) = best {
            out.push((rows.swap_remove(at), there));
        }
    }
    out
}
