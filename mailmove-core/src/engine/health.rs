//! Is the destination still as the last pass left it? And is there anything to do at all?

use std::sync::Arc;

use futures_util::StreamExt as _;

use super::{
    Engine,
    adopt::{self, Adopter, Match},
    lane::Lane,
    survey::Seen,
};
use crate::{
    checkpoint::{FolderNo, ItemRow, ItemState, Record, Scan, Stored},
    destination::{Depth, Probe},
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
            "Restore them from the destination's backup and run again, or accept the loss: \
             then they are not copied again.",
        );
    match count {
        Some(count) => error.with_context("missing", count.to_string()),
        None => error,
    }
}

/// Looks at one lane before work begins: decides whether it is quiet, and settles what became of
/// messages that the destination does not have any more.
pub(super) async fn check(engine: &Arc<Engine>, lane: &mut Lane) -> Result<()> {
    if lane.target.identity != lane.place.identity.as_str() {
        renumbered(engine, lane).await?;
    } else if lost_some(lane) {
        removed(engine, lane).await?;
    }
    still_lost(engine, lane).await?;
    let counts = engine.ledger.counts(lane.row.no).await?;
    let open = counts
        .iter()
        .any(|count| !count.gone && !count.state.is_final());
    let unchanged = lane.row.token.is_some() && lane.row.token == lane.folder.token;
    let no_arrivals = lane.target.examined.is_some();
    lane.quiet = lane.row.listed && unchanged && !open && no_arrivals;
    Ok(())
}

/// Fewer messages than there were, plus those that came: some are gone.
fn lost_some(lane: &Lane) -> bool {
    let (Some(before), Some(now)) = (&lane.target.mark, &lane.place.mark) else {
        return false;
    };
    let (Some(had), Some(has)) = (lane.target.messages, lane.place.messages) else {
        return false;
    };
    match (before.next, now.next) {
        (Some(then), Some(now)) => has < had + now.saturating_sub(then),
        _ => has < had,
    }
}

/// Finds out which claimed messages are gone. A few were removed by the user and stay so; many are
/// a loss that the user must know of.
async fn removed(engine: &Arc<Engine>, lane: &Lane) -> Result<()> {
    let mut seen = Seen::default();
    let probe = Probe::new(lane.place.id.clone(), Depth::Ids);
    let mut pages = engine.destination.existing(probe);
    while let Some(page) = pages.next().await {
        engine.check_stop()?;
        let ids: Vec<MessageId> = page?.into_iter().map(|existing| existing.id).collect();
        for stored in claimed_rows(engine, lane, ids).await? {
            seen.insert(stored.number);
        }
    }
    let (mut claims, mut missing) = (0_u64, 0_u64);
    engine
        .each_page(Scan::target(lane.target.no), |page| {
            claims += page.len() as u64;
            missing += page
                .iter()
                .filter(|stored| !seen.contains(stored.number))
                .count() as u64;
            Ok(Vec::new())
        })
        .await?;
    if missing > 20 && missing * 10 > claims && !engine.options.accept_lost {
        return Err(lost(&lane.place.path, Some(missing)));
    }
    engine
        .each_page(Scan::target(lane.target.no), |page| {
            let gone = page
                .into_iter()
                .filter(|stored| !seen.contains(stored.number));
            Ok(gone
                .map(|stored| Record::Item(Box::new(removed_there(engine, stored.row))))
                .collect())
        })
        .await
}

fn removed_there(engine: &Engine, mut row: ItemRow) -> ItemRow {
    row.state = ItemState::RemovedThere;
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

/// The destination folder was renumbered or replaced: its claims are void, and every message is
/// looked for again by its header and size.
async fn renumbered(engine: &Arc<Engine>, lane: &mut Lane) -> Result<()> {
    lane.target.identity = lane.place.identity.as_str().to_owned();
    lane.target.examined = None;
    lane.target.messages = None;
    lane.target.mark = None;
    let mut rows = Vec::new();
    engine
        .each_page(Scan::target(lane.target.no), |page| {
            rows.extend(page.into_iter().map(|stored| stored.row));
            Ok(Vec::new())
        })
        .await?;
    engine
        .ledger
        .commit(vec![
            Record::ReleaseClaims(lane.target.no),
            Record::ForgetUnclaimed(lane.target.no),
            Record::Target(Box::new(lane.target.clone())),
        ])
        .await?;
    match_again(engine, lane, rows).await
}

/// Messages that an earlier pass found lost: they may have been restored, or the loss accepted.
async fn still_lost(engine: &Arc<Engine>, lane: &mut Lane) -> Result<()> {
    let mut rows = Vec::new();
    let scan = Scan::folder(lane.row.no)
        .with_states(&[ItemState::Failed])
        .with_gone(false);
    engine
        .each_page(scan, |page| {
            let page = page.into_iter().map(|stored| stored.row);
            rows.extend(page.filter(|row| row.code.as_deref() == Some(LOST)));
            Ok(Vec::new())
        })
        .await?;
    if rows.is_empty() {
        Ok(())
    } else {
        match_again(engine, lane, rows).await
    }
}

async fn match_again(engine: &Arc<Engine>, lane: &mut Lane, rows: Vec<ItemRow>) -> Result<()> {
    adopt::examine(engine, lane).await?;
    let mut adopter = Adopter::default();
    let mut missing = 0;
    for chunk in rows.chunks(500) {
        let mut records = Vec::with_capacity(chunk.len());
        for row in chunk {
            let mut row = ItemRow {
                target: None,
                ..row.clone()
            };
            // A void header or an ambiguity needs the content, which may be gone at the source.
            let found = adopter.find_by_header(engine, lane, &row).await?;
            match found {
                Match::Found(existing) => {
                    row.target = Some((lane.target.no, existing.id));
                    row.state = ItemState::Copied;
                    row.code = None;
                }
                _ if row.gone => {}
                _ if engine.options.accept_lost => row = removed_there(engine, row),
                _ => {
                    missing += 1;
                    row.state = ItemState::Failed;
                    row.code = Some(LOST.to_owned());
                }
            }
            records.push(Record::Item(Box::new(row)));
        }
        engine.ledger.commit(records).await?;
    }
    if missing > 0 {
        Err(lost(&lane.place.path, Some(missing)))
    } else {
        Ok(())
    }
}
