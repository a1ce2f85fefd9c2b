//! One content, many folders: a message that several source folders show is fetched once, and
//! copied at the destination into the others.
//!
//! A lane that comes to a content holds it until its outcome is recorded. Another that meets it
//! meanwhile puts its own message aside and takes it up when everything else is on its way to the
//! destination: who waits holds nothing that is not being sent, so no two can wait for each other.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{
    Engine,
    adopt::{Match, Sought},
    mend::DAMAGED,
    produce::Producer,
};
use crate::{
    checkpoint::{FolderNo, ItemRow, ItemState, Stored, TargetNo},
    error::Result,
    model::{AlterationKind, Content, ContentId, Flags, MessageId, SystemFlag},
};

/// Copies in one batch.
const COPIES_MOST: usize = 200;
/// Messages put aside before they are taken up in the middle of a listing.
pub(super) const ASIDE_MOST: usize = 10_000;

/// The contents that lanes are working on, for all lanes of a pass.
#[derive(Debug, Default)]
pub(super) struct Contents {
    held: Mutex<Held>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    by: HashMap<ContentId, FolderNo>,
    /// Destination messages that cannot be copied, gone ones mostly.
    spent: HashSet<(TargetNo, MessageId)>,
}

impl Contents {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a content up for a lane; false if it, or another, works on it already.
    fn hold(&self, lane: FolderNo, id: &ContentId) -> bool {
        let mut held = self.lock();
        if held.by.contains_key(id) {
            return false;
        }
        held.by.insert(id.clone(), lane);
        true
    }

    /// The outcome of these is recorded. What another lane holds, it keeps.
    pub(super) fn release<'a>(&self, lane: FolderNo, ids: impl IntoIterator<Item = &'a ContentId>) {
        let mut held = self.lock();
        for id in ids {
            if held.by.get(id) == Some(&lane) {
                held.by.remove(id);
            }
        }
        drop(held);
        self.changed.notify_waiters();
    }

    /// A lane has ended, however it did.
    pub(super) fn release_lane(&self, lane: FolderNo) {
        self.lock().by.retain(|_, holder| *holder != lane);
        self.changed.notify_waiters();
    }

    fn is_held(&self, id: &ContentId) -> bool {
        self.lock().by.contains_key(id)
    }

    /// Waits until nobody holds it. Cancel safe.
    async fn free(&self, id: Option<ContentId>) {
        let Some(id) = id else {
            return std::future::pending().await;
        };
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.is_held(&id) {
                return;
            }
            changed.await;
        }
    }

    /// Nothing is copied from that message any more.
    pub(super) fn spend(&self, from: (TargetNo, MessageId)) {
        self.lock().spent.insert(from);
    }

    fn is_spent(&self, from: &(TargetNo, MessageId)) -> bool {
        self.lock().spent.contains(from)
    }
}

/// Between a lane's producer and its sender: the copies that are under way, and those that have
/// to be fetched after all.
#[derive(Debug, Default)]
pub(super) struct Desk {
    state: Mutex<OnDesk>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct OnDesk {
    under_way: usize,
    back: Vec<ItemRow>,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, OnDesk> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sent(&self, copies: usize) {
        self.lock().under_way += copies;
    }

    /// So many copies are done with; these of them were not made.
    pub(super) fn done(&self, copies: usize, back: Vec<ItemRow>) {
        let mut state = self.lock();
        state.under_way = state.under_way.saturating_sub(copies);
        state.back.extend(back);
        drop(state);
        self.changed.notify_waiters();
    }

    fn take(&self) -> Vec<ItemRow> {
        std::mem::take(&mut self.lock().back)
    }

    fn is_clear(&self) -> bool {
        let state = self.lock();
        state.under_way == 0 && state.back.is_empty()
    }

    /// Waits until something came back, or nothing is under way. Cancel safe.
    async fn news(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let news = {
                let state = self.lock();
                state.under_way == 0 || !state.back.is_empty()
            };
            if news {
                return;
            }
            changed.await;
        }
    }
}

/// A message to be copied at the destination.
#[derive(Debug)]
pub(super) struct Copying {
    /// Its row, with all that is known of its content.
    pub(super) row: ItemRow,
    /// The message there that has the same content.
    pub(super) from: (TargetNo, MessageId),
    /// The flags which that one had when it was last looked at.
    pub(super) flags: Flags,
}

impl Engine {
    /// Contents are fetched once and then copied at the destination.
    pub(super) fn shares(&self) -> bool {
        self.from.content_ids && self.to.copies && self.destination.updater().is_some()
    }

    /// Of the rows that share a content, one whose message at the destination `row` can be copied
    /// from. `\Deleted` must not spread by copying, nor be lost: where it is, messages are fetched.
    fn original(&self, row: &ItemRow, sharing: Vec<Stored>) -> Option<Copying> {
        let deleted = |flags: &Flags| flags.contains(SystemFlag::Deleted);
        sharing.into_iter().find_map(|stored| {
            let original = stored.row;
            let there = matches!(original.state, ItemState::Copied | ItemState::AlreadyThere);
            let from = original.target.clone()?;
            let flags = original
                .accepted
                .as_ref()
                .unwrap_or(&original.flags)
                .clone();
            let fits = there
                && original.digest.is_some()
                && original.received == row.received
                && !deleted(&flags)
                && !deleted(&row.flags)
                && !self.contents.is_spent(&from);
            fits.then(|| Copying {
                row: inherit(row.clone(), original),
                from,
                flags,
            })
        })
    }
}

/// What is known of the content, and what the destination made of it.
fn inherit(mut row: ItemRow, original: ItemRow) -> ItemRow {
    row.size = original.size;
    row.digest = original.digest;
    row.header = original.header;
    row.original = original.original;
    let of_content = |kind| {
        matches!(
            kind,
            AlterationKind::DateReplaced
                | AlterationKind::ContentRepaired
                | AlterationKind::ContentRewritten
        )
    };
    let altered = original.altered.into_iter();
    row.altered
        .extend(altered.filter(|note| of_content(note.kind)));
    row
}

impl Producer {
    /// Sorts out what can be copied, and what another lane is fetching just now. What is left this
    /// lane has to fetch; until that is recorded, others wait for it.
    pub(super) async fn share(
        &mut self,
        rows: Vec<(ItemRow, Option<Content>)>,
    ) -> Result<Vec<(ItemRow, Option<Content>)>> {
        if !self.engine.shares() {
            return Ok(rows);
        }
        let mut left = Vec::with_capacity(rows.len());
        let mut ours = Vec::new();
        for (row, content) in rows {
            match row.content_id.clone() {
                // A damaged message is not made whole from what may be the same one.
                Some(id) if content.is_none() && row.code.as_deref() != Some(DAMAGED) => {
                    if self.engine.contents.hold(self.lane.row.no, &id) {
                        ours.push((row, id));
                    } else {
                        // Recorded as pending, so that the cursor may pass it.
                        self.settled(row.clone()).await?;
                        self.aside.push(row);
                    }
                }
                _ => left.push((row, content)),
            }
        }
        if ours.is_empty() {
            return Ok(left);
        }
        let ids = ours.iter().map(|(_, id)| id.clone()).collect();
        let sharing = self.engine.ledger.sharing(ids).await?;
        for ((row, id), sharing) in ours.into_iter().zip(sharing) {
            match self.engine.original(&row, sharing) {
                Some(copying) => {
                    // Whoever looks for it finds it in the ledger.
                    self.engine.contents.release(self.lane.row.no, [&id]);
                    self.copy(copying).await?;
                }
                None => left.push((row, None)),
            }
        }
        Ok(left)
    }

    async fn copy(&mut self, copying: Copying) -> Result<()> {
        let digest = copying.row.digest;
        let sought = digest.map(|digest| Sought { digest, body: None });
        if let Match::Found(existing) = self.search(&copying.row, sought).await? {
            return self.adopt(copying.row, &existing).await;
        }
        self.batch.copies.push(copying);
        if self.batch.copies.len() >= COPIES_MOST {
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends what there is, and takes up what was put aside or could not be copied, until nothing
    /// of that is left.
    pub(super) async fn catch_up(&mut self) -> Result<()> {
        loop {
            self.flush().await?;
            let mut rows = self.desk.take();
            let aside = std::mem::take(&mut self.aside);
            let contents = &self.engine.contents;
            let held = |row: &ItemRow| {
                row.content_id
                    .as_ref()
                    .is_some_and(|id| contents.is_held(id))
            };
            let (held, free): (Vec<_>, Vec<_>) = aside.into_iter().partition(held);
            self.aside = held;
            rows.extend(free);
            if !rows.is_empty() {
                self.take(rows.into_iter().map(|row| (row, None)).collect())
                    .await?;
                continue;
            }
            let first = self.aside.first().and_then(|row| row.content_id.clone());
            let copying = !self.desk.is_clear();
            if first.is_none() && !copying {
                return Ok(());
            }
            tokio::select! {
                () = self.desk.news(), if copying => {}
                () = self.engine.contents.free(first) => {}
                () = self.engine.stop.requested() => return Err(super::cancelled()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_content_is_held_by_one_lane_at_a_time() {
        let contents = Contents::default();
        let id = ContentId::new("x");
        let (one, other) = (FolderNo(1), FolderNo(2));
        assert!(contents.hold(one, &id));
        assert!(!contents.hold(other, &id) && !contents.hold(one, &id));
        contents.release(other, [&id]);
        assert!(contents.is_held(&id), "it is not the other's to release");
        contents.release(one, [&id]);
        contents.free(Some(id.clone())).await;
        assert!(contents.hold(other, &id));
        contents.release_lane(other);
        assert!(!contents.is_held(&id));
    }

    #[tokio::test]
    async fn who_waits_for_a_content_wakes_when_it_is_free() {
        let contents = std::sync::Arc::new(Contents::default());
        let id = ContentId::new("x");
        contents.hold(FolderNo(1), &id);
        let waiting = tokio::spawn({
            let (contents, id) = (std::sync::Arc::clone(&contents), id.clone());
            async move { contents.free(Some(id)).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        contents.release(FolderNo(1), [&id]);
        waiting.await.unwrap();
    }
}
