//! Destinations that fold identical messages of a folder into one (Gmail), at once or some time
//! after they confirmed both.
//!
//! A message that was folded is there, but has no id of its own: its row claims nothing, and says
//! `merged by server`. That takes proof: an equal message in the folder.

use std::collections::{HashMap, HashSet};

use futures_util::StreamExt as _;

use super::{
    Engine, health,
    lane::Lane,
    settle::{self, Doubt, Place, Verdict},
    survey::Seen,
};
use crate::{
    checkpoint::{FolderNo, ItemRow, ItemState, Record, Scan, TargetNo},
    destination::{Depth, Probe},
    error::{Error, ErrorKind, Result, Scope},
    identity::HeaderDigest,
    model::{Alteration, AlterationKind, ContentDigest, MessageId},
};

/// The row of a message that was folded into an equal one.
pub(super) fn merged(mut row: ItemRow) -> ItemRow {
    row.state = ItemState::AlreadyThere;
    row.target = None;
    row.code = None;
    let told = |note: &Alteration| note.kind == AlterationKind::MergedByServer;
    if !row.altered.iter().any(told) {
        let note = Alteration::new(AlterationKind::MergedByServer, "");
        row.altered.push(note);
    }
    row
}

/// Of rows about to be recorded, those whose destination message another row claims already were
/// folded at once.
pub(super) async fn at_once(engine: &Engine, lane: &Lane, rows: &mut [ItemRow]) -> Result<()> {
    if !engine.to.merges {
        return Ok(());
    }
    let ids = |row: &ItemRow| row.target.as_ref().map(|(_, id)| id.clone());
    let all: Vec<MessageId> = rows.iter().filter_map(ids).collect();
    let mut claims = engine.ledger.claims(lane.target.no, all).await?.into_iter();
    let mut taken = HashSet::new();
    for row in rows {
        let Some(id) = ids(row) else { continue };
        let holder = claims.next().flatten();
        let others = holder.is_some_and(|(folder, id)| folder != row.folder || id != row.id);
        if others || !taken.insert(id) {
            *row = merged(row.clone());
        }
    }
    Ok(())
}

/// Of messages that the server has just confirmed without an id of their own, and which are not in
/// the folder, those that were folded: an equal one is there. Any server may do so.
pub(super) async fn in_sight(
    engine: &Engine,
    place: &Place,
    folder: FolderNo,
    settled: &mut [(ItemRow, Verdict)],
) -> Result<()> {
    let absent = settled.iter().filter(|(_, of)| *of == Verdict::Absent);
    let wanted: HashSet<ContentDigest> = absent.filter_map(|(row, _)| row.digest).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let found = settled.iter().map(|(row, _)| row).filter_map(claim);
    let mut ids: Vec<MessageId> = found.collect();
    engine
        .each_page(Scan::target(place.no), |page| {
            let rows = page.iter().map(|stored| &stored.row);
            let equal = rows.filter(|row| row.digest.is_some_and(|of| wanted.contains(&of)));
            ids.extend(equal.filter_map(claim));
            Ok(Vec::new())
        })
        .await?;
    let mut there = HashSet::new();
    for ids in ids.chunks(200) {
        let read = settle::contents(engine, place, ids).await?;
        there.extend(read.into_iter().filter_map(|existing| existing.digest));
    }
    let mut count = 0;
    for (row, verdict) in settled {
        if *verdict == Verdict::Absent && row.digest.is_some_and(|of| there.contains(&of)) {
            *row = merged(row.clone());
            count += 1;
        }
    }
    told(engine, folder, count);
    Ok(())
}

/// What is to move away from a folder may be what others there were folded into: one of them takes it
/// over, and what moved is copied. Gives back what can move.
pub(super) async fn left_to_twins(
    engine: &Engine,
    from: TargetNo,
    pairs: Vec<(ItemRow, ItemRow)>,
) -> Result<Vec<(ItemRow, ItemRow)>> {
    let wanted: HashSet<ContentDigest> = pairs.iter().filter_map(|(old, _)| old.digest).collect();
    let folders = engine.ledger.folders().await?.into_iter();
    let folders = folders.filter(|folder| folder.target == Some(from));
    let folders: HashSet<FolderNo> = folders.map(|folder| folder.no).collect();
    let mut twins: HashMap<ContentDigest, Vec<ItemRow>> = HashMap::new();
    let folded = Scan::all().with_states(&[ItemState::AlreadyThere]);
    engine
        .each_page(folded.with_gone(false), |page| {
            let rows = page.into_iter().map(|stored| stored.row);
            let rows = rows.filter(|row| row.merged() && row.target.is_none());
            for row in rows.filter(|row| folders.contains(&row.folder)) {
                if let Some(digest) = row.digest.filter(|digest| wanted.contains(digest)) {
                    twins.entry(digest).or_default().push(row);
                }
            }
            Ok(Vec::new())
        })
        .await?;
    let (mut left, mut records) = (Vec::with_capacity(pairs.len()), Vec::new());
    for (mut old, new) in pairs {
        let twin = old.digest.and_then(|digest| twins.get_mut(&digest)?.pop());
        let Some(mut twin) = twin else {
            left.push((old, new));
            continue;
        };
        let there = old.accepted.as_ref().unwrap_or(&old.flags);
        twin.accepted = (*there != twin.flags).then(|| there.clone());
        twin.target = old.target.take();
        let is_fold = |note: &Alteration| note.kind == AlterationKind::MergedByServer;
        twin.altered.retain(|note| !is_fold(note));
        // The claim is given up before it is taken.
        records.extend([old, twin].map(|row| Record::Item(Box::new(row))));
    }
    if !records.is_empty() {
        engine.ledger.commit(records).await?;
    }
    Ok(left)
}

fn claim(row: &ItemRow) -> Option<MessageId> {
    row.target.as_ref().map(|(_, id)| id.clone())
}

fn told(engine: &Engine, folder: FolderNo, count: u64) {
    if count > 0 {
        engine.note(folder, |notes| {
            let sum = notes.altered.entry(AlterationKind::MergedByServer);
            *sum.or_default() += count;
        });
    }
}

/// At a lane's end: which of the messages stored in this pass are gone again, and into what they
/// were folded.
pub(super) async fn afterwards(engine: &Engine, lane: &Lane) -> Result<()> {
    if !engine.to.merges {
        return Ok(());
    }
    let mut missing = missing(engine, lane).await?;
    missing.extend(twins_missing(engine, lane).await?);
    if missing.is_empty() {
        return Ok(());
    }
    // Perhaps the one that is left is nobody's: the copy of an append that was sent twice.
    let free = |row: ItemRow| ItemRow {
        target: None,
        ..row
    };
    let unclaimed = settle_among(engine, lane, missing.into_iter().map(free).collect());
    let (mut done, left) = unclaimed.await?;
    let equal = claimed_equals(engine, lane, &left).await?;
    let mut count = 0;
    for mut row in left {
        if row.digest.is_some_and(|digest| equal.contains(&digest)) {
            row = merged(row);
            count += 1;
        } else if row.state == ItemState::Copied && row.pass == engine.pass {
            engine.fail(&lane.folder.path, &mut row, &lost());
        } else {
            // Somebody removed it meanwhile: the next pass says so.
            continue;
        }
        done.push(row);
    }
    let records = done.into_iter().map(|row| Record::Item(Box::new(row)));
    engine.ledger.commit(records.collect()).await?;
    told(engine, lane.row.no, count);
    Ok(())
}

fn lost() -> Error {
    Error::new(
        ErrorKind::Mismatch,
        "the destination confirmed the message, and neither it nor an equal one is there now",
    )
    .with_scope(Scope::Message)
    .with_code("destination/merged-away")
    .with_remedy(
        "The destination may have folded it into another message with the same Message-ID: compare \
         both by hand. The next run tries again.",
    )
}

/// Rows whose message was stored in this pass and is not in the folder.
async fn missing(engine: &Engine, lane: &Lane) -> Result<Vec<ItemRow>> {
    let mut stored: Vec<(u64, ItemRow)> = Vec::new();
    let scan = Scan::folder(lane.row.no).with_states(&[ItemState::Copied]);
    engine
        .each_page(scan, |page| {
            let page = page.into_iter();
            let page = page.filter(|stored| is_new(engine, &stored.row));
            stored.extend(page.map(|stored| (stored.number, stored.row)));
            Ok(Vec::new())
        })
        .await?;
    if stored.is_empty() {
        return Ok(Vec::new());
    }
    let mut seen = Seen::default();
    let since = engine
        .probe(&lane.place.id, Depth::Ids)
        .with_since(Some(lane.mark()?));
    see(engine, lane, since, &mut seen).await?;
    stored.retain(|(number, _)| !seen.contains(*number));
    // What an earlier run had sent has its place before this pass's mark.
    let ids: Vec<MessageId> = stored
        .iter()
        .filter_map(|(_, row)| row.target.as_ref().map(|(_, id)| id.clone()))
        .collect();
    for ids in ids.chunks(500) {
        let probe = engine
            .probe(&lane.place.id, Depth::Ids)
            .with_ids(ids.to_vec());
        see(engine, lane, probe, &mut seen).await?;
    }
    stored.retain(|(number, _)| !seen.contains(*number));
    Ok(stored.into_iter().map(|(_, row)| row).collect())
}

/// Of those that have an equal in the same place, and were not stored in this pass, those that are not in
/// the folder any more: what moves may be folded, too.
async fn twins_missing(engine: &Engine, lane: &Lane) -> Result<Vec<ItemRow>> {
    let mut equals: HashMap<ContentDigest, u32> = HashMap::new();
    engine
        .each_page(Scan::target(lane.target.no), |page| {
            for digest in page.iter().filter_map(|stored| stored.row.digest) {
                *equals.entry(digest).or_default() += 1;
            }
            Ok(Vec::new())
        })
        .await?;
    equals.retain(|_, count| *count > 1);
    if equals.is_empty() {
        return Ok(Vec::new());
    }
    let mut twins = Vec::new();
    engine
        .each_page(Scan::target(lane.target.no), |page| {
            let rows = page.into_iter().map(|stored| stored.row);
            let rows = rows.filter(|row| row.folder == lane.row.no && !is_new(engine, row));
            twins.extend(rows.filter(|row| row.digest.is_some_and(|of| equals.contains_key(&of))));
            Ok(Vec::new())
        })
        .await?;
    let ids: Vec<MessageId> = twins.iter().filter_map(claim).collect();
    let mut there = HashSet::new();
    for ids in ids.chunks(500) {
        let probe = engine
            .probe(&lane.place.id, Depth::Ids)
            .with_ids(ids.to_vec());
        let mut pages = engine.destination.existing(probe);
        while let Some(page) = pages.next().await {
            there.extend(page?.into_iter().map(|existing| existing.id));
        }
    }
    twins.retain(|row| claim(row).is_some_and(|id| !there.contains(&id)));
    Ok(twins)
}

fn is_new(engine: &Engine, row: &ItemRow) -> bool {
    row.state == ItemState::Copied && row.pass == engine.pass && row.target.is_some()
}

/// The contents that are in a destination folder that folds, by the rows that claim what was seen there.
pub(super) async fn contents_seen(
    engine: &Engine,
    target: TargetNo,
    seen: &Seen,
) -> Result<HashSet<ContentDigest>> {
    let mut out = HashSet::new();
    if engine.to.merges {
        engine
            .each_page(Scan::target(target), |page| {
                let there = page.iter().filter(|stored| seen.contains(stored.number));
                out.extend(there.filter_map(|stored| stored.row.digest));
                Ok(Vec::new())
            })
            .await?;
    }
    Ok(out)
}

async fn see(engine: &Engine, lane: &Lane, probe: Probe, seen: &mut Seen) -> Result<()> {
    let mut pages = engine.destination.existing(probe);
    while let Some(page) = pages.next().await {
        engine.check_stop()?;
        let ids = page?.into_iter().map(|existing| existing.id).collect();
        for stored in health::claimed_rows(engine, lane, ids).await? {
            seen.insert(stored.number);
        }
    }
    Ok(())
}

/// Rows that found an unclaimed equal message, and the others.
async fn settle_among(
    engine: &Engine,
    lane: &Lane,
    rows: Vec<ItemRow>,
) -> Result<(Vec<ItemRow>, Vec<ItemRow>)> {
    // Nothing is in doubt since long: what is not seen now is not there.
    let doubt = Doubt {
        rows,
        mark: None,
        since: 0,
        taken: HashSet::new(),
    };
    let settled = settle::settle(engine, &Place::of(lane), doubt).await?;
    let (found, left): (Vec<_>, Vec<_>) = settled
        .into_iter()
        .partition(|(_, verdict)| *verdict == Verdict::Found);
    let rows = |pairs: Vec<(ItemRow, _)>| pairs.into_iter().map(|(row, _)| row).collect();
    Ok((rows(found), rows(left)))
}

/// The contents among those of `rows` that other rows have in this folder.
async fn claimed_equals(
    engine: &Engine,
    lane: &Lane,
    rows: &[ItemRow],
) -> Result<HashSet<ContentDigest>> {
    let missing: HashSet<_> = rows
        .iter()
        .map(|row| (row.folder, row.id.clone()))
        .collect();
    let wanted: HashSet<ContentDigest> = rows.iter().filter_map(|row| row.digest).collect();
    let headers: HashSet<HeaderDigest> = rows.iter().filter_map(|row| row.header).collect();
    let (mut equal, mut unread) = (HashSet::new(), Vec::new());
    engine
        .each_page(Scan::target(lane.target.no), |page| {
            let others = page.into_iter().map(|stored| stored.row);
            for row in others.filter(|row| !missing.contains(&(row.folder, row.id.clone()))) {
                match row.digest {
                    Some(digest) => equal.extend(Some(digest).filter(|d| wanted.contains(d))),
                    // It was there already, and was not fetched.
                    None if row.header.is_some_and(|header| headers.contains(&header)) => {
                        unread.extend(claim(&row));
                    }
                    None => {}
                }
            }
            Ok(Vec::new())
        })
        .await?;
    for ids in unread.chunks(200) {
        let read = settle::contents(engine, &Place::of(lane), ids).await?;
        let digests = read.into_iter().filter_map(|existing| existing.digest);
        equal.extend(digests.filter(|digest| wanted.contains(digest)));
    }
    Ok(equal)
}
