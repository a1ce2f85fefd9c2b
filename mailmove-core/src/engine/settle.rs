//! What is in doubt is settled at the destination before anything is sent again.
//!
//! Presence is believed at once. Absence is believed only when the settle time is over, and only
//! from an enumeration of everything that came in since the intent's mark: each message there is
//! claimed by another row, or was read and differs.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::StreamExt as _;

use super::{Engine, duplicate, lane::Lane, retry::Backoff};
use crate::{
    checkpoint::{ItemRow, ItemState, Record, Scan},
    destination::{Depth, Existing, Probe},
    error::{ErrorKind, Result},
    model::{Alteration, AlterationKind, Mark, MessageId},
    observe::Event,
};

/// What became of a message in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is there; its row says where.
    Found,
    /// Proven: it is not there.
    Absent,
    /// It was not found, but that proves nothing.
    Unproven,
}

/// What is known of messages in doubt.
#[derive(Debug)]
pub(super) struct Doubt<'a> {
    /// They were, or may have been, sent after it.
    pub(super) mark: &'a Mark,
    /// When the doubt began, in milliseconds since 1970.
    pub(super) since: u64,
    /// Messages at the destination that others have, which the ledger does not know yet.
    pub(super) given: HashSet<MessageId>,
}

impl<'a> Doubt<'a> {
    pub(super) fn new(mark: &'a Mark, since: u64) -> Self {
        Self {
            mark,
            since,
            given: HashSet::new(),
        }
    }
}

/// Settles messages that were, or may have been, sent to the lane's destination.
pub(super) async fn settle(
    engine: &Engine,
    lane: &Lane,
    mut doubt: Doubt<'_>,
    rows: Vec<ItemRow>,
) -> Result<Vec<(ItemRow, Verdict)>> {
    let mut open: Vec<Option<ItemRow>> = rows.into_iter().map(Some).collect();
    let mut out: Vec<Option<(ItemRow, Verdict)>> = open.iter().map(|_| None).collect();
    let until = doubt.since + u64::try_from(engine.to.settle.as_millis()).unwrap_or(0);
    let mut proven = look(engine, lane, &mut doubt, &mut open, &mut out).await?;
    let missing = open.iter().flatten().count() as u64;
    if missing > 0 && proven {
        let wait_ms = until.saturating_sub(engine.now_ms());
        engine.emit(Event::Settling {
            folder: lane.place.path.clone(),
            messages: missing,
            wait_ms,
        });
        if wait_ms > 0 {
            engine.pause(Duration::from_millis(wait_ms)).await?;
            proven = look(engine, lane, &mut doubt, &mut open, &mut out).await?;
        }
    }
    let verdict = if proven {
        Verdict::Absent
    } else {
        Verdict::Unproven
    };
    Ok(open
        .into_iter()
        .zip(out)
        .filter_map(|(open, found)| found.or(open.map(|row| (row, verdict))))
        .collect())
}

/// One look: moves what is found from `open` to `out`. False if absence proves nothing.
async fn look(
    engine: &Engine,
    lane: &Lane,
    doubt: &mut Doubt<'_>,
    open: &mut [Option<ItemRow>],
    out: &mut [Option<(ItemRow, Verdict)>],
) -> Result<bool> {
    let seed = engine.now_ms();
    let mut backoff = Backoff::new(engine.options.attempts, engine.options.longest_wait, seed);
    let found = loop {
        let rows: Vec<&ItemRow> = open.iter().flatten().collect();
        match unclaimed_like(engine, lane, doubt.mark, &rows).await {
            Ok(found) => break found,
            // Renumbered since: what was stored under the old numbers cannot be told any more.
            Err(error) if error.kind() == ErrorKind::Stale => return Ok(false),
            Err(error) => match backoff.next(&error) {
                Some(wait) => engine.pause(wait).await?,
                None => return Err(error),
            },
        }
    };
    // What a twin has must not be given to one that is still open.
    let mut found: Vec<Existing> = found
        .into_iter()
        .filter(|existing| !doubt.given.contains(&existing.id))
        .collect();
    for fit in Fit::BEST_FIRST {
        found.retain(|existing| {
            let fits = |row: &ItemRow| fit.allows(engine, row, existing);
            let at = open.iter().position(|row| row.as_ref().is_some_and(fits));
            let Some((at, row)) = at.and_then(|at| Some((at, open.get_mut(at)?.take()?))) else {
                return true;
            };
            doubt.given.insert(existing.id.clone());
            if let Some(place) = out.get_mut(at) {
                let row = found_there(engine, lane, row, existing, fit);
                *place = Some((row, Verdict::Found));
            }
            false
        });
    }
    let perhaps = |existing: &Existing| open.iter().flatten().any(|row| is_alike(row, existing));
    Ok(!found.iter().any(perhaps))
}

/// How a message at the destination fits a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// Equal content, flags and date.
    Exact,
    /// Equal content and flags.
    SameFlags,
    /// Of a move: equal content, and the flags that it had in its old place, yet to be changed.
    FlagsBefore,
    /// Equal content.
    Equal,
    /// Other bytes under an equal header that leaves no doubt.
    Rewritten,
}

impl Fit {
    /// Identical copies are told apart by flags and date as far as these differ: what fits exactly
    /// is given first, so that it is not taken by one that fits less.
    const BEST_FIRST: [Self; 5] = [
        Self::Exact,
        Self::SameFlags,
        Self::FlagsBefore,
        Self::Equal,
        Self::Rewritten,
    ];

    fn allows(self, engine: &Engine, row: &ItemRow, existing: &Existing) -> bool {
        let like = match self {
            Self::Exact => row.flags == existing.flags && row.received == existing.received,
            Self::SameFlags => row.flags == existing.flags,
            Self::FlagsBefore => row.accepted.as_ref() == Some(&existing.flags),
            Self::Equal => true,
            Self::Rewritten => return is_alike(row, existing) && is_sure(row),
        };
        like && is_equal(engine, row, existing)
    }
}

/// Other bytes under an equal header: perhaps the row's message, changed as it was stored (Dovecot
/// makes CR CR LF to CR LF, Cyrus writes X for 8-bit octets in headers).
fn is_alike(row: &ItemRow, existing: &Existing) -> bool {
    row.header
        .is_some_and(|header| !header.is_void() && Some(header) == existing.header)
}

/// An equal header, in a message that came in since the row's was sent, leaves no doubt: the server
/// said that it stored this one, or the header names that one transmission.
fn is_sure(row: &ItemRow) -> bool {
    row.state == ItemState::Unnamed || row.header.is_some_and(|header| header.is_traced())
}

fn found_there(
    engine: &Engine,
    lane: &Lane,
    mut row: ItemRow,
    existing: &Existing,
    fit: Fit,
) -> ItemRow {
    row.state = ItemState::Copied;
    row.code = None;
    row.pass = engine.pass;
    row.accepted = (existing.flags != row.flags).then(|| existing.flags.clone());
    row.target = Some((lane.target.no, existing.id.clone()));
    if fit == Fit::Rewritten {
        let detail = "the destination stored other bytes than it was given";
        let note = Alteration::new(AlterationKind::ContentRewritten, detail);
        row.altered.push(note);
    }
    row
}

/// Equal bytes; where the destination rebuilds messages, an equal header that says something.
fn is_equal(engine: &Engine, row: &ItemRow, existing: &Existing) -> bool {
    if row.digest.is_some() && row.digest == existing.digest {
        return true;
    }
    !engine.keeps_bytes()
        && row
            .header
            .is_some_and(|header| !header.is_void() && Some(header) == existing.header)
}

/// Reads every unclaimed message since `mark` that may equal one of the rows.
async fn unclaimed_like(
    engine: &Engine,
    lane: &Lane,
    mark: &Mark,
    rows: &[&ItemRow],
) -> Result<Vec<Existing>> {
    let sizes: HashSet<u64> = rows.iter().map(|row| row.size).collect();
    let probe = Probe::new(lane.place.id.clone(), Depth::Meta).with_since(Some(mark.clone()));
    let mut pages = engine.destination.existing(probe);
    // Servers guess sizes, and change them: what does not fit is read if what fits is not enough.
    let (mut fitting, mut others): (Vec<MessageId>, Vec<MessageId>) = (Vec::new(), Vec::new());
    while let Some(page) = pages.next().await {
        let page = page?;
        let all = page.iter().map(|existing| existing.id.clone()).collect();
        let claims = engine.ledger.claims(lane.target.no, all).await?;
        for (existing, claim) in page.into_iter().zip(claims) {
            if claim.is_none() {
                match existing.size.is_none_or(|size| sizes.contains(&size)) {
                    true => fitting.push(existing.id),
                    false => others.push(existing.id),
                }
            }
        }
    }
    drop(pages);
    let mut found = contents(engine, lane, &fitting).await?;
    let is_missing = |row: &&ItemRow| !found.iter().any(|one| is_equal(engine, row, one));
    if rows.iter().any(is_missing) {
        found.extend(contents(engine, lane, &others).await?);
    }
    Ok(found)
}

async fn contents(engine: &Engine, lane: &Lane, ids: &[MessageId]) -> Result<Vec<Existing>> {
    let mut found = Vec::new();
    for ids in ids.chunks(200) {
        let probe = Probe::new(lane.place.id.clone(), Depth::Content).with_ids(ids.to_vec());
        let mut pages = engine.destination.existing(probe);
        while let Some(page) = pages.next().await {
            found.extend(page?);
        }
    }
    Ok(found)
}

/// Ids of unclaimed messages since `mark` that equal one of the rows, and how many more there are
/// that may have been one when they were sent.
pub(super) async fn unclaimed_equals(
    engine: &Engine,
    lane: &Lane,
    mark: &Mark,
    rows: &[ItemRow],
) -> Result<(Vec<MessageId>, u64)> {
    let borrowed: Vec<&ItemRow> = rows.iter().collect();
    let found = unclaimed_like(engine, lane, mark, &borrowed).await?;
    let ours = |existing: &Existing| {
        existing.digest.is_some() && rows.iter().any(|row| row.digest == existing.digest)
    };
    let (equal, others): (Vec<Existing>, Vec<Existing>) = found.into_iter().partition(ours);
    let alike = |existing: &&Existing| rows.iter().any(|row| is_alike(row, existing));
    let alike = others.iter().filter(alike).count() as u64;
    Ok((
        equal.into_iter().map(|existing| existing.id).collect(),
        alike,
    ))
}

/// Settles the intents that an earlier run left open for this destination folder.
pub(super) async fn open_intents(engine: &Arc<Engine>, lane: &Lane) -> Result<()> {
    for intent in engine.ledger.intents().await? {
        if intent.target != lane.target.no || intent.moved_from.is_some() {
            continue;
        }
        if intent.copied {
            duplicate::resume(engine, lane, &intent).await?;
            continue;
        }
        let known = known_rows(engine, &intent.items).await?;
        let open: Vec<ItemRow> = intent
            .items
            .into_iter()
            .zip(known)
            .filter(|(_, known)| known.as_ref().is_none_or(|row| !row.state.is_final()))
            .map(|(row, _)| row)
            .collect();
        let settled = settle(engine, lane, Doubt::new(&intent.mark, engine.begun), open).await?;
        let mut records = Vec::with_capacity(settled.len() + 1);
        for (mut row, verdict) in settled {
            if verdict != Verdict::Found {
                row.state = ItemState::Pending;
                row.resent = true;
                if verdict == Verdict::Unproven {
                    engine.note(row.folder, |notes| notes.perhaps_doubled += 1);
                }
            }
            records.push(Record::Item(Box::new(row)));
        }
        records.push(Record::Close(intent.batch));
        engine.ledger.commit(records).await?;
    }
    Ok(())
}

pub(super) async fn known_rows(engine: &Engine, items: &[ItemRow]) -> Result<Vec<Option<ItemRow>>> {
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        let found = engine
            .ledger
            .items(item.folder, vec![item.id.clone()])
            .await?;
        out.push(found.into_iter().flatten().next().map(|stored| stored.row));
    }
    Ok(out)
}

/// Looks up the ids of messages that the server confirmed without one.
pub(super) async fn unnamed(engine: &Arc<Engine>, lane: &Lane) -> Result<()> {
    let mut rows = Vec::new();
    let scan = Scan::folder(lane.row.no).with_states(&[ItemState::Unnamed]);
    engine
        .each_page(scan, |page| {
            rows.extend(page.into_iter().map(|stored| stored.row));
            Ok(Vec::new())
        })
        .await?;
    if rows.is_empty() {
        return Ok(());
    }
    // From the start of the folder if an earlier pass stored some of them.
    let earlier = rows.iter().any(|row| row.pass != engine.pass);
    let mut mark = lane.mark()?;
    if earlier && mark.next.is_some() {
        mark.next = Some(1);
    }
    let settled = settle(engine, lane, Doubt::new(&mark, engine.now_ms()), rows).await?;
    let found = settled
        .into_iter()
        .filter(|(_, verdict)| *verdict == Verdict::Found);
    let records = found.map(|(row, _)| Record::Item(Box::new(row))).collect();
    engine.ledger.commit(records).await
}
