//! Each destination message is claimed once: what a server says of ids is not believed blindly.

use std::collections::{HashMap, HashSet};

use super::{deliver::Sender, lane::Lane};
use crate::{
    checkpoint::{FolderNo, ItemRow, ItemState},
    error::Result,
    model::{Alteration, AlterationKind, MessageId},
};

impl Sender {
    /// Of messages that were just stored, each has an id of its own. A server that names one twice
    /// is not believed: what came of them is looked up.
    pub(super) async fn distinct(
        &self,
        lane: &Lane,
        mut done: Vec<ItemRow>,
    ) -> Result<Vec<ItemRow>> {
        let mut stored: HashMap<MessageId, u32> = HashMap::new();
        let mut ids = Vec::with_capacity(done.len());
        for row in &done {
            let Some(id) = target_id(row) else { continue };
            if row.state == ItemState::Copied {
                *stored.entry(id.clone()).or_default() += 1;
            }
            ids.push(id);
        }
        let held = self.held(lane, &done, ids).await?;
        let mut folded = HashSet::new();
        for row in &mut done {
            let Some(id) = target_id(row) else { continue };
            let count = stored.get(&id).copied().unwrap_or(0);
            if row.state == ItemState::Copied {
                if count > 1 || held.contains(&id) {
                    row.state = ItemState::Unnamed;
                    row.target = None;
                }
            } else if count > 0 || held.contains(&id) || !folded.insert(id) {
                // The server folded equal messages into one: it is there once, claimed once.
                row.target = None;
                if !row.merged() {
                    let note = Alteration::new(AlterationKind::MergedByServer, "");
                    row.altered.push(note);
                }
            }
        }
        Ok(done)
    }

    /// Which of these messages are claimed by other rows than these.
    async fn held(
        &self,
        lane: &Lane,
        rows: &[ItemRow],
        ids: Vec<MessageId>,
    ) -> Result<HashSet<MessageId>> {
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let ledger = &self.engine.ledger;
        let claims = ledger.claims(lane.target.no, ids.clone()).await?;
        let own = |(folder, of): &(FolderNo, MessageId)| {
            rows.iter()
                .any(|row| row.folder == *folder && row.id == *of)
        };
        let held = ids.into_iter().zip(claims);
        Ok(held
            .filter(|(_, claim)| claim.as_ref().is_some_and(|claim| !own(claim)))
            .map(|(id, _)| id)
            .collect())
    }

    /// A message that was found there may have been taken for another that was in doubt: then this
    /// one is looked for anew.
    pub(super) async fn still_free(
        &self,
        lane: &Lane,
        done: &[ItemRow],
        mut rows: Vec<ItemRow>,
    ) -> Result<Vec<ItemRow>> {
        let ids: Vec<MessageId> = rows.iter().filter_map(target_id).collect();
        if ids.is_empty() {
            return Ok(rows);
        }
        let now: HashSet<MessageId> = done.iter().filter_map(target_id).collect();
        let held = self.held(lane, &rows, ids).await?;
        for row in &mut rows {
            let taken = target_id(row).is_some_and(|id| held.contains(&id) || now.contains(&id));
            if taken {
                row.state = ItemState::Pending;
                row.target = None;
            }
        }
        Ok(rows)
    }
}

pub(super) fn target_id(row: &ItemRow) -> Option<MessageId> {
    row.target.as_ref().map(|(_, id)| id.clone())
}
