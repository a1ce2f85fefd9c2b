//! Looks at what was stored: whether it is as it was sent, and whether it is there once.

use std::collections::HashMap;

use futures_util::StreamExt as _;

use super::{Engine, deliver::Sender, lane::Lane, settle};
use crate::{
    checkpoint::{ItemRow, ItemState, Record},
    destination::{Depth, Outcome, Probe},
    error::Result,
    model::{Alteration, AlterationKind, MessageId},
    observe::Event,
};

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

    /// Looks which of the dates ahead were kept, and reports those that were not.
    pub(super) async fn dates(&mut self, lane: &Lane) -> Result<()> {
        let mut by_id: HashMap<MessageId, ItemRow> = std::mem::take(&mut self.ahead)
            .into_iter()
            .filter_map(|row| Some((row.target.as_ref()?.1.clone(), row)))
            .collect();
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

/// At a folder's end, looks for surplus copies of what was sent twice, and removes those that the
/// ledger proves ours.
pub(super) async fn audit(engine: &Engine, lane: &Lane) -> Result<()> {
    let mut resent: Vec<ItemRow> = Vec::new();
    let scan = crate::checkpoint::Scan::folder(lane.row.no).with_states(&[ItemState::Copied]);
    engine
        .each_page(scan, |page| {
            let ours = |row: &ItemRow| row.resent && row.pass == engine.pass;
            resent.extend(page.into_iter().map(|stored| stored.row).filter(ours));
            Ok(Vec::new())
        })
        .await?;
    if resent.is_empty() {
        return Ok(());
    }
    let (surplus, alike) = settle::unclaimed_equals(engine, lane, &lane.mark()?, &resent).await?;
    if surplus.is_empty() {
        // What a server changed as it stored it is not proven ours, and stays.
        engine.note(lane.row.no, |notes| {
            notes.perhaps_doubled = notes.perhaps_doubled.min(alike);
        });
        return Ok(());
    }
    // At most one copy of each was sent too often: what is beyond that is not proven ours.
    let (count, ours) = (surplus.len() as u64, resent.len());
    let surplus: Vec<_> = surplus.into_iter().take(ours).collect();
    let mut removed = 0;
    if let (true, Some(updater)) = (engine.to.removes, engine.destination.updater()) {
        let mut answers = updater.remove(&lane.place.id, surplus);
        while let Some((_, outcome)) = answers.next().await {
            removed += u64::from(matches!(outcome, Outcome::Stored(_)));
        }
    }
    engine.note(lane.row.no, |notes| {
        notes.perhaps_doubled = 0;
        notes.doubled += count - removed.min(count);
    });
    engine.emit(Event::Note {
        folder: Some(lane.folder.path.clone()),
        text: format!("{count} surplus copies of our own found, {removed} removed"),
    });
    Ok(())
}
