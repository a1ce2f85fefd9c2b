//! Is the destination still as the last pass left it? And is there anything to do at all?

use std::{collections::HashSet, sync::Arc};

use futures_util::StreamExt as _;

use super::{
    Engine,
    adopt::{self, Adopter, Match},
    fold,
    lane::Lane,
    mend,
    moves::MOVED,
    surplus,
    survey::Seen,
};
use crate::{
    checkpoint::{FolderNo, ItemRow, ItemState, Record, Scan, Stored},
    destination::{Depth, Existing},
    error::{Error, ErrorKind, Result, Scope},
    model::{FolderPath, MessageId},
};

/// Code of the error that stops a folder whose destination lost messages.
pub(super) const LOST: &str = "destination/lost";

/// The destination lost messages: `Some(n)` of them, or a folder as a whole.
pub(super) fn lost(path: &FolderPath, count: Option<u64>) -> Error {
    let what = match count {
        Some(_) => "messages that were copied are missing at the destination",
        None => "a folder that was filled is missing at the destination",
    };
    let error = Error::new(ErrorKind::Mismatch, what)
        .with_scope(Scope::Folder)
        .with_code(LOST)
        .with_context("folder", path.to_string())
        .with_remedy(
            "Restore them from the destination's backup and run again; or have them copied again by \
             a verification that repairs; or accept the loss: then they are not copied again.",
        );
    match count {
        Some(count) => error.with_context("missing", count.to_string()),
        None => error,
    }
}

/// Looks at one lane before work begins: decides whether it is quiet, and settles what became of
/// messages that the destination does not have any more.
pub(super) async fn check(engine: &Arc<Engine>, lane: &mut Lane) -> Result<()> {
    renumbered(engine, lane).await?;
    if lost_some(engine, lane).await? {
        removed(engine, lane).await?;
    }
    still_lost(engine, lane).await?;
    let counts = engine.ledger.counts(lane.row.no).await?;
    // What vanished is looked at once more: a server may have been wrong.
    let open = counts.iter().any(|count| {
        let state = count.state;
        !count.gone && (!state.is_final() || state == ItemState::Vanished)
    });
    lane.begun = !counts.is_empty();
    let unchanged = lane.row.token.is_some() && lane.row.token == lane.folder.token;
    let examined = lane.target.examined.is_some();
    let audited = !surplus::is_open(engine, lane).await?;
    // A count that differs is looked into, whatever the token says.
    let live = counts.iter().filter(|count| !count.gone);
    let live: u64 = live.map(|count| count.messages).sum();
    let counted = lane.folder.messages.is_none_or(|messages| messages == live);
    lane.quiet = lane.row.listed && unchanged && counted && !open && examined && audited;
    Ok(())
}

/// Fewer messages than there were, plus those that came: some are gone. Nothing to compare with,
/// after a first pass that did not come to its end: some may be gone.
async fn lost_some(engine: &Engine, lane: &Lane) -> Result<bool> {
    if lane.still {
        return Ok(false);
    }
    let (Some(had), Some(before)) = (lane.target.messages, &lane.target.mark) else {
        let mut claims = engine.ledger.scan(Scan::target(lane.target.no));
        return Ok(claims.next().await.transpose()?.is_some());
    };
    let (Some(has), Some(now)) = (lane.place.messages, &lane.place.mark) else {
        return Ok(false);
    };
    Ok(match (before.next, now.next) {
        (Some(then), Some(now)) => has < had + now.saturating_sub(then),
        // Uncounted: what came in hides what left.
        _ => has < had || before != now,
    })
}

/// Finds out which claimed messages are gone. Those that were put back have another id by now. A
/// few were removed by the user and stay so; many are a loss that the user must know of.
pub(super) async fn removed(engine: &Arc<Engine>, lane: &mut Lane) -> Result<()> {
    let mut seen = Seen::default();
    let probe = engine.probe(&lane.place.id, Depth::Ids);
    let mut pages = engine.destination.existing(probe);
    while let Some(page) = pages.next().await {
        engine.check_stop()?;
        let ids: Vec<MessageId> = page?.into_iter().map(|existing| existing.id).collect();
        for stored in claimed_rows(engine, lane, ids).await? {
            seen.insert(stored.number);
        }
    }
    drop(pages);
    let all = Scan::target(lane.target.no);
    let folded = fold::contents_seen(engine, lane.target.no, &seen).await?;
    let folded = |row: &ItemRow| row.digest.is_some_and(|digest| folded.contains(&digest));
    let (mut claims, mut missing) = (0_u64, 0_u64);
    let mut adopter = None;
    let mut pages = engine.ledger.scan(all.clone());
    while let Some(page) = pages.next().await {
        let page = page?;
        claims += page.len() as u64;
        let mut records = Vec::new();
        for stored in page {
            if seen.contains(stored.number) {
                continue;
            }
            let adopter = match &mut adopter {
                Some(adopter) => adopter,
                None => {
                    adopt::examine(engine, lane).await?;
                    adopter.insert(announced(engine, &all, |row| row.target.is_some()).await?)
                }
            };
            match adopter.find_again(engine, lane, &stored.row, false).await? {
                Match::Found(existing) => {
                    seen.insert(stored.number);
                    let row = found_again(lane, stored.row, &existing);
                    records.push(Record::Item(Box::new(row)));
                }
                _ if folded(&stored.row) => {
                    records.push(Record::Item(Box::new(fold::merged(stored.row))));
                }
                _ => missing += 1,
            }
        }
        if !records.is_empty() {
            engine.ledger.commit(records).await?;
        }
    }
    let mends = engine.mends();
    if missing > 20 && missing * 10 > claims && !engine.options.accept_lost && !mends {
        return Err(lost(&lane.place.path, Some(missing)));
    }
    let mut nowhere = 0;
    engine
        .each_page(all, |page| {
            let gone = page
                .into_iter()
                .filter(|stored| !seen.contains(stored.number));
            let rows = gone.filter_map(|Stored { row, .. }| {
                if engine.wants_back(&row) {
                    return Some(mend::missing(row));
                }
                nowhere += u64::from(row.gone);
                // Else its folder at the source is not at hand.
                (row.gone || !mends).then(|| removed_there(engine, row))
            });
            Ok(rows.map(|row| Record::Item(Box::new(row))).collect())
        })
        .await?;
    if mends {
        engine.on_neither_side(lane, nowhere);
    }
    Ok(())
}

fn found_again(lane: &Lane, mut row: ItemRow, existing: &Existing) -> ItemRow {
    if row.received != existing.received {
        // It is not the one that was sent, but one that is equal.
        row.state = ItemState::AlreadyThere;
    }
    row.target = Some((lane.target.no, existing.id.clone()));
    row.code.take_if(|code| code != MOVED);
    row
}

/// An adopter that knows which of the rows of a scan could be taken for each other.
async fn announced(
    engine: &Engine,
    scan: &Scan,
    wanted: impl Fn(&ItemRow) -> bool,
) -> Result<Adopter> {
    let mut adopter = Adopter::default();
    let mut pages = engine.ledger.scan(scan.clone());
    while let Some(page) = pages.next().await {
        for stored in page? {
            if wanted(&stored.row) {
                adopter.announce(&stored.row);
            }
        }
    }
    Ok(adopter)
}

fn removed_there(engine: &Engine, mut row: ItemRow) -> ItemRow {
    row.state = ItemState::RemovedThere;
    row.code.take_if(|code| code != MOVED);
    row.target = None;
    row.pass = engine.pass;
    row
}

/// The rows that claim these destination messages.
pub(super) async fn claimed_rows(
    engine: &Engine,
    lane: &Lane,
    ids: Vec<MessageId>,
) -> Result<Vec<Stored>> {
    let claims = engine.ledger.claims(lane.target.no, ids).await?;
    let mut by_folder: Vec<(FolderNo, Vec<MessageId>)> = Vec::new();
    for (folder, id) in claims.into_iter().flatten() {
        match by_folder.iter_mut().find(|(no, _)| *no == folder) {
            Some((_, ids)) => ids.push(id),
            None => by_folder.push((folder, vec![id])),
        }
    }
    let mut out = Vec::new();
    for (folder, ids) in by_folder {
        out.extend(
            engine
                .ledger
                .items(folder, ids)
                .await?
                .into_iter()
                .flatten(),
        );
    }
    Ok(out)
}

/// The destination folder was renumbered or replaced: it stands in the ledger under a new number,
/// and the claims on the old one are void. Each of their messages is looked for again. A claim is
/// void until that is done, so that it may be broken off anywhere.
pub(super) async fn renumbered(engine: &Arc<Engine>, lane: &mut Lane) -> Result<()> {
    let mut missing = 0;
    for old in engine.ledger.targets().await? {
        if old.path != lane.target.path || old.no == lane.target.no {
            continue;
        }
        let claims = Scan::target(old.no);
        if engine.ledger.scan(claims.clone()).next().await.is_none() {
            continue;
        }
        adopt::examine(engine, lane).await?;
        let mut adopter = announced(engine, &claims, |_| true).await?;
        missing += match_again(engine, lane, &mut adopter, claims, true, |_| true).await?;
    }
    if missing > 0 {
        Err(lost(&lane.place.path, Some(missing)))
    } else {
        Ok(())
    }
}

/// Messages that an earlier pass found lost: they may have been restored, or the loss accepted.
pub(super) async fn still_lost(engine: &Arc<Engine>, lane: &mut Lane) -> Result<()> {
    let scan = Scan::folder(lane.row.no)
        .with_states(&[ItemState::Failed])
        .with_gone(false);
    let is_lost = |row: &ItemRow| row.code.as_deref() == Some(LOST);
    let mut adopter = announced(engine, &scan, is_lost).await?;
    if adopter.announced() == 0 {
        return Ok(());
    }
    adopt::examine(engine, lane).await?;
    let missing = match_again(engine, lane, &mut adopter, scan, false, is_lost).await?;
    if missing > 0 {
        Err(lost(&lane.place.path, Some(missing)))
    } else {
        Ok(())
    }
}

/// Looks for messages that were stored before; returns how many are not there.
async fn match_again(
    engine: &Arc<Engine>,
    lane: &Lane,
    adopter: &mut Adopter,
    scan: Scan,
    fresh: bool,
    wanted: impl Fn(&ItemRow) -> bool,
) -> Result<u64> {
    let (mut missing, mut found) = (0, HashSet::new());
    let mut pages = engine.ledger.scan(scan);
    while let Some(page) = pages.next().await {
        engine.check_stop()?;
        let mut records = Vec::new();
        for mut row in page?.into_iter().map(|stored| stored.row) {
            if !wanted(&row) {
                continue;
            }
            row.target = None;
            match adopter.find_again(engine, lane, &row, fresh).await? {
                Match::Found(existing) => {
                    if row.state == ItemState::Failed {
                        row.state = ItemState::Copied;
                    }
                    row = found_again(lane, row, &existing);
                    found.extend(row.digest.filter(|_| engine.to.merges));
                }
                _ if row.digest.is_some_and(|digest| found.contains(&digest)) => {
                    row = fold::merged(row);
                }
                _ if row.gone => {}
                _ if engine.wants_back(&row) => row = mend::missing(row),
                _ if engine.options.accept_lost => row = removed_there(engine, row),
                _ => {
                    missing += 1;
                    row.state = ItemState::Failed;
                    row.code = Some(LOST.to_owned());
                }
            }
            records.push(Record::Item(Box::new(row)));
        }
        if !records.is_empty() {
            engine.ledger.commit(records).await?;
        }
    }
    Ok(missing)
}
