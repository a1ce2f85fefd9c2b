//! What changed in folders that were listed before: new, changed, gone. New messages are only
//! recorded here; whether they are copied or moved is decided when all folders are known.

use std::sync::Arc;

use futures_util::StreamExt as _;

use super::{
    Engine, changed,
    flags::{self, FlagWork},
    labels::{self, LABEL},
    lane::Lane,
    produce::row_of,
    reconcile, replace,
    retry::Backoff,
};
use crate::{
    checkpoint::{ItemRow, ItemState, Record, Scan, Stored},
    error::{Error, ErrorKind, Result},
    model::{Alteration, AlterationKind, Cursor, Flags, Form, Listed, MessageId},
    observe::Direction,
    source::{Change, Coverage, ListRequest},
};

/// Brings the ledger's rows of a folder up to date. Afterwards the lane is surveyed.
pub(super) async fn survey(engine: &Arc<Engine>, lane: &mut Lane) -> Result<()> {
    let mut backoff = Backoff::on(engine, Direction::Down);
    settle_vanished(engine, lane).await?;
    let mut cursor = lane.row.cursor.clone();
    let mut renumbered = false;
    // At most the rest of a first listing, a delta and a full listing: a count that differs after
    // that is told at the end.
    for _ in 0..3 {
        let (exists, coverage) = loop {
            match once(engine, lane, cursor.clone()).await {
                Ok(seen) => break seen,
                Err(error) if error.kind() == ErrorKind::Stale && !renumbered => {
                    renumbered = true;
                    let identity = lane.folder.identity.as_str();
                    lane.row = reconcile::renumber(engine, lane.row.clone(), identity).await?;
                    cursor = None;
                }
                Err(error) => match backoff.next(&error) {
                    Some(wait) => engine.rest(&backoff, &error, wait).await?,
                    None => return Err(error),
                },
            }
        };
        let live = live_rows(engine, lane).await?;
        if let Some(exists) = exists {
            lane.row.exists = Some(exists);
        }
        match coverage {
            Coverage::Full => break,
            // What was before the cursor may have changed.
            Coverage::Rest => cursor.clone_from(&lane.row.cursor),
            Coverage::Delta if exists.is_none_or(|exists| exists == live) => break,
            Coverage::Delta => cursor = None,
        }
    }
    lane.surveyed = true;
    lane.row.listed = true;
    engine
        .ledger
        .commit(vec![Record::Folder(Box::new(lane.row.clone()))])
        .await
}

/// Messages that vanished during an earlier pass are gone, now that there is a new one.
async fn settle_vanished(engine: &Engine, lane: &Lane) -> Result<()> {
    let scan = Scan::folder(lane.row.no)
        .with_states(&[ItemState::Vanished])
        .with_gone(false);
    let gone = |stored: Stored| Record::Gone(stored.row.folder, stored.row.id, true);
    engine
        .each_page(scan, |page| Ok(page.into_iter().map(gone).collect()))
        .await
}

pub(super) async fn live_rows(engine: &Engine, lane: &Lane) -> Result<u64> {
    let counts = engine.ledger.counts(lane.row.no).await?;
    Ok(counts
        .iter()
        .filter(|count| !count.gone)
        .map(|count| count.messages)
        .sum())
}

async fn once(
    engine: &Arc<Engine>,
    lane: &mut Lane,
    since: Option<Cursor>,
) -> Result<(Option<u64>, Coverage)> {
    let mut seen = Seen::default();
    let mut exists = None;
    let mut whole = false;
    let mut coverage = Coverage::Full;
    let request = ListRequest::new(&lane.folder)
        .with_since(since)
        .with_form(engine.form)
        .with_headers(lane.adopting || engine.form != Form::Mime);
    let mut pages = engine.source.list(request);
    let mut last = None;
    while let Some(page) = pages.next().await {
        engine.check_stop()?;
        let page = page?;
        coverage = page.coverage;
        exists = page.exists.or(exists);
        whole |= page.exists.is_some();
        take(engine, lane, page.changes, &mut seen).await?;
        // Rows first, cursor after them. A full listing's cursor waits for its end: until then it
        // is not known what is gone.
        if coverage == Coverage::Delta {
            lane.row.cursor = Some(page.next);
            engine
                .ledger
                .commit(vec![Record::Folder(Box::new(lane.row.clone()))])
                .await?;
        } else {
            last = Some(page.next);
        }
    }
    if !whole {
        // What it did not name may exist all the same.
        return Err(broken_off());
    }
    if coverage == Coverage::Full {
        forget_unseen(engine, lane, &seen).await?;
    }
    if let Some(last) = last {
        lane.row.cursor = Some(last);
        engine
            .ledger
            .commit(vec![Record::Folder(Box::new(lane.row.clone()))])
            .await?;
    }
    Ok((exists, coverage))
}

/// A listing that ended without its last page.
pub(super) fn broken_off() -> Error {
    let what = "the listing ended before its last page";
    Error::new(ErrorKind::Interrupted, what).with_code("source/listing-broken-off")
}

async fn take(
    engine: &Arc<Engine>,
    lane: &Lane,
    changes: Vec<Change>,
    seen: &mut Seen,
) -> Result<()> {
    let ids: Vec<MessageId> = changes
        .iter()
        .map(|change| match change {
            Change::Item(listed) | Change::Altered(listed) => listed.id.clone(),
            Change::Flags(id, _) | Change::Removed(id) => id.clone(),
        })
        .collect();
    let known = engine.ledger.items(lane.row.no, ids).await?;
    let mut records = Vec::new();
    let mut work = Vec::new();
    let mut altered = Vec::new();
    for (change, known) in changes.into_iter().zip(known) {
        match (change, known) {
            (Change::Item(mut listed), Some(stored)) => {
                check_same(lane, &stored.row, &listed)?;
                keep_untold(&mut listed, &stored.row);
                seen.insert(stored.number);
                let listed = Again {
                    flags: &listed.flags,
                    listed: Some(&listed),
                };
                revive(engine, lane, stored, listed, &mut records, &mut work);
            }
            (Change::Altered(listed), Some(stored)) => {
                seen.insert(stored.number);
                altered.push((stored, *listed));
            }
            (Change::Item(listed) | Change::Altered(listed), None) => {
                let left = lane.leaves_to_others(&listed.also_in);
                let mut row = row_of(engine, lane, *listed);
                if left {
                    row = labels::labelled(engine, row);
                }
                records.push(Record::Item(Box::new(row)));
            }
            (Change::Flags(_, flags), Some(stored)) => {
                seen.insert(stored.number);
                let listed = Again {
                    flags: &flags,
                    listed: None,
                };
                revive(engine, lane, stored, listed, &mut records, &mut work);
            }
            (Change::Removed(_), Some(stored)) if !stored.row.gone => {
                engine.note(lane.row.no, |notes| notes.gone += 1);
                records.push(Record::Gone(stored.row.folder, stored.row.id, true));
            }
            // Of a message that was never told of: it counts as missing, and is listed again.
            (Change::Flags(..) | Change::Removed(_), _) => {}
        }
    }
    let (replaced, rows) = changed::replaced(engine, altered);
    records.extend(rows);
    let fresh = records.len();
    if fresh > 0 {
        // New rows get numbers: they are seen too.
        let ids: Vec<MessageId> = records
            .iter()
            .filter_map(|record| match record {
                Record::Item(row) => Some(row.id.clone()),
                _ => None,
            })
            .collect();
        replace::commit(engine, replaced, records).await?;
        for stored in engine
            .ledger
            .items(lane.row.no, ids)
            .await?
            .into_iter()
            .flatten()
        {
            seen.insert(stored.number);
        }
    }
    flags::apply(engine, work).await
}

const UNTOLD: &str = "those that the source has: it could not tell them";

/// What is noted at a message whose flags nobody could tell.
pub(super) fn untold() -> Alteration {
    Alteration::new(AlterationKind::FlagDropped, UNTOLD)
}

/// Nobody could tell its flags: that it has none proves nothing.
pub(super) fn is_untold(row: &ItemRow) -> bool {
    row.altered.iter().any(|note| note.detail == UNTOLD)
}

/// Flags that were not told are those of before.
pub(super) fn keep_untold(listed: &mut Listed, row: &ItemRow) {
    if !listed.flags_told {
        listed.flags.clone_from(&row.flags);
    }
}

/// An id that names another message now (a folder was deleted and another renamed into its place,
/// with the same UIDVALIDITY) shows by its date. Sizes are not compared: servers guess them.
fn check_same(lane: &Lane, row: &ItemRow, listed: &Listed) -> Result<()> {
    match (row.received, listed.received) {
        (Some(before), Some(now)) if before != now => Err(Error::new(
            ErrorKind::Stale,
            "the folder's numbers name other messages now",
        )
        .with_code("source/renumbered")
        .with_context("folder", lane.folder.path.to_string())
        .with_context("message", listed.id.to_string())),
        _ => Ok(()),
    }
}

/// What is told of a message that is known.
#[derive(Clone, Copy)]
struct Again<'a> {
    flags: &'a Flags,
    /// `None` if only its flags are told.
    listed: Option<&'a Listed>,
}

/// A message that is listed again: its flags may have changed, it may have been thought gone, or a
/// filter may let it through now.
fn revive(
    engine: &Engine,
    lane: &Lane,
    stored: Stored,
    again: Again<'_>,
    records: &mut Vec<Record>,
    work: &mut Vec<FlagWork>,
) {
    let mut row = stored.row;
    if row.gone {
        records.push(Record::Gone(row.folder, row.id.clone(), false));
        row.gone = false;
    }
    let Again { flags, listed } = again;
    if let Some(listed) = listed
        && row.content_id.is_none()
        && listed.content_id.is_some()
    {
        // Listed by an earlier version, or before the server had such names.
        row.content_id.clone_from(&listed.content_id);
        records.push(Record::Item(Box::new(row.clone())));
    }
    let wanted = match listed {
        Some(listed) => labels::wanted_again(engine, lane, &row, &listed.also_in),
        // Nothing is said of where else it is.
        None => row.code.as_deref() != Some(LABEL) && labels::wanted_again(engine, lane, &row, &[]),
    };
    // Its place at the destination was given to another, when it was thought to have moved.
    let homeless = row.target.is_none()
        && matches!(row.state, ItemState::Copied | ItemState::AlreadyThere)
        && !row.merged();
    if wanted || homeless || row.state == ItemState::Vanished {
        row.state = ItemState::Pending;
        row.code = None;
        row.flags = if engine.options.flags {
            flags.clone()
        } else {
            Flags::new()
        };
        records.push(Record::Item(Box::new(row)));
    } else if matches!(
        row.state,
        ItemState::Pending | ItemState::Failed | ItemState::Excluded
    ) && row.flags != *flags
        && engine.options.flags
    {
        // For when it is sent, or wanted again.
        row.flags = flags.clone();
        records.push(Record::Item(Box::new(row)));
    } else {
        work.extend(FlagWork::of(lane, row, flags));
    }
}

async fn forget_unseen(engine: &Engine, lane: &Lane, seen: &Seen) -> Result<()> {
    let scan = Scan::folder(lane.row.no).with_gone(false);
    let mut count = 0;
    engine
        .each_page(scan, |page| {
            let unseen = page
                .into_iter()
                .filter(|stored| !seen.contains(stored.number));
            let records: Vec<Record> = unseen
                .map(|stored| Record::Gone(stored.row.folder, stored.row.id, true))
                .collect();
            count += records.len() as u64;
            Ok(records)
        })
        .await?;
    engine.note(lane.row.no, |notes| notes.gone += count);
    Ok(())
}

/// Row numbers that a listing named: a bit for each row of the job.
#[derive(Debug, Default)]
pub(super) struct Seen(Vec<u64>);

impl Seen {
    pub(super) fn insert(&mut self, number: u64) {
        let Ok(word) = usize::try_from(number / 64) else {
            return;
        };
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << (number % 64);
        }
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        let word = usize::try_from(number / 64)
            .ok()
            .and_then(|word| self.0.get(word));
        word.is_some_and(|bits| bits & (1 << (number % 64)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seen_is_a_set() {
        let mut seen = Seen::default();
        for number in [0, 63, 64, 1000] {
            seen.insert(number);
        }
        let found: Vec<u64> = (0..1100).filter(|number| seen.contains(*number)).collect();
        assert_eq!(found, [0, 63, 64, 1000]);
    }
}
