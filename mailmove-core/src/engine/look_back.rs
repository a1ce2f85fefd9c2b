//! Looks back at what was stored: whether the destination keeps bytes and dates, and whether
//! anything arrived twice.

use std::collections::HashMap;

use futures_util::StreamExt as _;

use super::{
    Engine,
    deliver::Sender,
    lane::Lane,
    settle::{self, Place},
};
use crate::{
    checkpoint::{ItemRow, ItemState, Record, Scan},
    destination::{Depth, Existing, Outcome, Probe},
    error::Result,
    model::{Alteration, AlterationKind, ContentDigest, MessageId, Timestamp},
    observe::Event,
};

/// Most messages with an odd date that are looked at; more of them are a wrong clock.
const ODD_DATES_MOST: usize = 10_000;
/// Dates below this lie before 1970 in some zone.
const EARLIEST: i64 = 86_400;

impl Sender {
    /// Reads the job's first stored message back: that decides whether equal bytes can be relied on.
    pub(super) async fn read_back(&self, lane: &Lane, done: &[ItemRow]) -> Result<()> {
        if self.engine.notes().keeps_bytes.is_some() {
            return Ok(());
        }
        let copied = |row: &&ItemRow| row.state == ItemState::Copied && row.digest.is_some();
        let Some(row) = done.iter().find(copied) else {
            return Ok(());
        };
        let Some((_, id)) = &row.target else {
            return Ok(());
        };
        let probe = Probe::new(lane.place.id.clone(), Depth::Content).with_ids(vec![id.clone()]);
        let mut pages = self.engine.destination.existing(probe);
        while let Some(page) = pages.next().await {
            // A failure to read is no verdict: the next batch tries again.
            let Ok(page) = page else { return Ok(()) };
            for existing in page.into_iter().filter(|existing| existing.id == *id) {
                let kept = existing.digest == row.digest;
                self.engine.notes().keeps_bytes = Some(kept);
                let answer = if kept { "yes" } else { "no" };
                let record = Record::Meta("keeps-bytes".to_owned(), answer.to_owned());
                self.engine.ledger.commit(vec![record]).await?;
                if !kept && self.engine.to.keeps_bytes {
                    self.engine.emit(Event::Note {
                        folder: Some(lane.folder.path.clone()),
                        text: "the destination stores other bytes than it is given".to_owned(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Remembers what was stored with a date that servers are known to replace.
    pub(super) fn note_odd_dates(&mut self, done: &[ItemRow]) {
        let now = i64::try_from(self.engine.now_ms() / 1000).unwrap_or(i64::MAX);
        let is_odd = |row: &&ItemRow| {
            let odd = |at: Timestamp| at.seconds() > now || at.seconds() < EARLIEST;
            row.state == ItemState::Copied && row.received.is_some_and(odd) && !has_other_date(row)
        };
        let room = ODD_DATES_MOST.saturating_sub(self.odd_dates.len());
        self.odd_dates
            .extend(done.iter().filter(is_odd).take(room).cloned());
    }

    /// Looks which of the odd dates were kept, and reports those that were not.
    pub(super) async fn dates(&mut self, lane: &Lane) -> Result<()> {
        let mut by_id = as_recorded(&self.engine, std::mem::take(&mut self.odd_dates)).await?;
        let ids: Vec<MessageId> = by_id.keys().cloned().collect();
        for ids in ids.chunks(500) {
            let probe = Probe::new(lane.place.id.clone(), Depth::Meta).with_ids(ids.to_vec());
            let mut pages = self.engine.destination.existing(probe);
            let mut records = Vec::new();
            // A failure to look is no failure to store: `verify` still tells.
            while let Some(Ok(page)) = pages.next().await {
                for existing in page {
                    let Some(mut row) = by_id.remove(&existing.id) else {
                        continue;
                    };
                    let (Some(sent), Some(kept)) = (row.received, existing.received) else {
                        continue;
                    };
                    if sent != kept {
                        let detail = format!("{sent} became {kept}");
                        let note = Alteration::new(AlterationKind::DateReplaced, detail);
                        row.altered.push(note);
                        records.push(Record::Item(Box::new(row)));
                    }
                }
            }
            let count = records.len() as u64;
            if count > 0 {
                self.engine.ledger.commit(records).await?;
                self.engine.note(lane.row.no, |notes| {
                    *notes
                        .altered
                        .entry(AlterationKind::DateReplaced)
                        .or_default() += count;
                });
            }
        }
        Ok(())
    }
}

/// It is known already that its date was replaced.
fn has_other_date(row: &ItemRow) -> bool {
    let mut notes = row.altered.iter();
    notes.any(|note| note.kind == AlterationKind::DateReplaced)
}

/// Rows as the ledger has them by now, by the id of their message there. Whose message is another
/// one since, or none, is left out.
pub(super) async fn as_recorded(
    engine: &Engine,
    rows: Vec<ItemRow>,
) -> Result<HashMap<MessageId, ItemRow>> {
    let known = settle::known_rows(engine, &rows).await?;
    let still = |(then, now): (ItemRow, Option<ItemRow>)| {
        let now = now.filter(|now| now.target == then.target)?;
        Some((now.target.as_ref()?.1.clone(), now))
    };
    Ok(rows.into_iter().zip(known).filter_map(still).collect())
}

/// Where the ledger remembers in which pass something of a folder was last sent twice.
fn marker(lane: &Lane) -> String {
    format!("resent/{}", lane.row.no.0)
}

/// Says that something of this folder was sent twice, in this pass.
pub(super) fn resent(engine: &Engine, lane: &Lane) -> Record {
    Record::Meta(marker(lane), engine.pass.to_string())
}

/// The last pass in which something of this folder was sent twice, if that was not looked into
/// in a pass after it.
pub(super) async fn last_resent(engine: &Engine, lane: &Lane) -> Result<Option<u32>> {
    let text = engine.ledger.meta(&marker(lane)).await?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// At a folder's end, looks for surplus copies of what was sent twice. Those that came in during
/// this pass are our own, and are removed, as many as there were sent too many; those that came
/// between two passes may be the user's, and are reported.
pub(super) async fn audit(engine: &Engine, lane: &Lane) -> Result<()> {
    let Some(last) = last_resent(engine, lane).await? else {
        return Ok(());
    };
    let (mut now, mut before): (Vec<ItemRow>, Vec<ItemRow>) = Default::default();
    let scan = Scan::folder(lane.row.no).with_states(&[ItemState::Copied, ItemState::AlreadyThere]);
    engine
        .each_page(scan, |page| {
            let rows = page.into_iter().map(|stored| stored.row);
            for row in rows.filter(|row| row.resent) {
                let list = if row.pass == engine.pass {
                    &mut now
                } else {
                    &mut before
                };
                list.push(row);
            }
            Ok(Vec::new())
        })
        .await?;
    let place = Place::of(lane);
    let start = lane.mark()?;
    let (mut doubled, mut alike) = (0, 0);
    if !now.is_empty() {
        let looked = settle::unclaimed_equals(engine, &place, Some(&start), &now);
        let (surplus, others) = looked.await?;
        alike = others;
        doubled += remove_surplus(engine, lane, surplus, &now).await?;
    }
    if !before.is_empty() {
        let since = lane.looked.as_ref();
        let (since, _) = settle::unclaimed_equals(engine, &place, since, &before).await?;
        doubled += since.len() as u64;
    }
    let comparable =
        |row: &&ItemRow| engine.keeps_bytes() || row.header.is_some_and(|header| !header.is_void());
    let unproven = now.len() - now.iter().filter(comparable).count();
    engine.note(lane.row.no, |notes| {
        // What a server changed as it stored it is not proven ours, and stays.
        notes.perhaps_doubled = notes.perhaps_doubled.min(alike).max(unproven as u64);
        notes.doubled += doubled;
    });
    // Looked into once more in the next pass, then no more.
    let again = !now.is_empty() && last == engine.pass;
    let records = if again {
        Vec::new()
    } else {
        let rows = before.into_iter().chain(now).map(|row| ItemRow {
            resent: false,
            ..row
        });
        let mut records: Vec<Record> = rows.map(|row| Record::Item(Box::new(row))).collect();
        records.push(Record::Meta(marker(lane), String::new()));
        records
    };
    engine.ledger.commit(records).await
}

/// Removes what was sent too often; returns how many copies are left.
async fn remove_surplus(
    engine: &Engine,
    lane: &Lane,
    surplus: Vec<Existing>,
    resent: &[ItemRow],
) -> Result<u64> {
    let count = surplus.len() as u64;
    if count == 0 {
        return Ok(0);
    }
    // At most one copy of each was sent too often, and equal bytes prove it.
    let mut ours: HashMap<ContentDigest, usize> = HashMap::new();
    for digest in resent.iter().filter_map(|row| row.digest) {
        *ours.entry(digest).or_default() += 1;
    }
    let proven = surplus.into_iter().filter_map(|existing| {
        let left = ours.get_mut(&existing.digest?)?;
        *left = left.checked_sub(1)?;
        Some(existing.id)
    });
    let proven: Vec<MessageId> = proven.collect();
    let mut removed = 0;
    if let (true, Some(updater)) = (engine.to.removes, engine.destination.updater()) {
        let mut answers = updater.remove(&lane.place.id, proven);
        while let Some((_, outcome)) = answers.next().await {
            removed += u64::from(matches!(outcome, Outcome::Stored(_)));
        }
    }
    engine.emit(Event::Note {
        folder: Some(lane.folder.path.clone()),
        text: format!("{count} surplus copies of our own found, {removed} removed"),
    });
    Ok(count - removed.min(count))
}
