//! Looks back at what was stored: whether the destination keeps bytes and dates.

use std::collections::HashMap;

use futures_util::StreamExt as _;

use super::{Engine, deliver::Sender, lane::Lane, settle};
use crate::{
    checkpoint::{ItemRow, ItemState, Record},
    destination::Depth,
    error::Result,
    model::{Alteration, AlterationKind, MessageId, Timestamp},
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
        let probe = self
            .engine
            .probe(&lane.place.id, Depth::Content)
            .with_ids(vec![id.clone()]);
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
            let probe = self
                .engine
                .probe(&lane.place.id, Depth::Meta)
                .with_ids(ids.to_vec());
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
