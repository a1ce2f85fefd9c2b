//! Sends the messages of one batch until each of them has an end.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    ahead,
    claims::target_id,
    deliver::{Sender, Sent},
    kept::is_odd,
    lane::Lane,
    produce::Work,
    refused::note_wait,
    settle::{self, Doubt, Place, Verdict},
    surplus,
};
use crate::{
    checkpoint::{Intent, ItemRow, ItemState, Record},
    destination::Outcome,
    error::{Error, Result},
    model::Mark,
    observe::Direction,
};

impl Sender {
    /// Sends messages until each of them has an end, or something ends the folder: then the rest
    /// of the batch is not in doubt, and stays as it was, or the intent has to stay open.
    pub(super) async fn deliver(
        &mut self,
        lane: &Lane,
        intent: &mut Intent,
        (work, mut answered): (Vec<Work>, Option<Vec<Outcome>>),
        sent: &mut Sent,
    ) -> Result<()> {
        let mut queue = VecDeque::from([work]);
        while let Some(work) = queue.pop_front() {
            let outcomes = match answered.take() {
                Some(outcomes) => outcomes,
                None => match self.append(lane, &intent.mark, &work).await {
                    Ok(outcomes) => outcomes,
                    Err(error) => {
                        queue.push_front(work);
                        keep_resent(queue, sent);
                        return Err(error);
                    }
                },
            };
            let mut refused: Vec<(Work, Error)> = Vec::new();
            let mut unknown: Vec<Work> = Vec::new();
            let mut slow: Option<(Duration, Error)> = None;
            for (work, outcome) in work.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Stored(receipt) => {
                        let row = self.stored(lane, work.row, receipt, ItemState::Copied);
                        if is_odd(&work.content).await {
                            self.odd.note(&row);
                        }
                        sent.done.push(row);
                    }
                    Outcome::AlreadyThere(receipt) => {
                        let row = self.stored(lane, work.row, receipt, ItemState::AlreadyThere);
                        sent.done.push(row);
                    }
                    Outcome::NotStored(error) => refused.push((work, error)),
                    Outcome::Unknown(error) => {
                        tracing::info!(error = %error.chain(), "append in doubt");
                        note_wait(&mut slow, error);
                        unknown.push(work);
                    }
                }
            }
            if refused.is_empty() && unknown.is_empty() {
                self.backoff.reset();
                continue;
            }
            // What is in doubt comes first: nothing may be sent again before it is settled.
            if !unknown.is_empty() {
                sent.open = true;
                let since = self.engine.now_ms();
                self.slow_down(lane, slow, &mut refused).await?;
                let doubt = (&mut *intent, since);
                let again = self.settle(lane, doubt, unknown, &mut sent.done).await?;
                sent.open = false;
                self.send_again(lane, again, &mut queue, &mut sent.done)
                    .await;
            }
            if let Err(error) = self
                .refused(lane, intent, refused, &mut queue, &mut sent.done)
                .await
            {
                keep_resent(queue, sent);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Sends messages as soon as more may be sent.
    async fn append(&self, lane: &Lane, mark: &Mark, work: &[Work]) -> Result<Vec<Outcome>> {
        let bytes = work.iter().map(|work| work.content.size()).sum();
        self.engine.spend(Direction::Up, bytes).await?;
        let engine = Arc::clone(&self.engine);
        let items = ahead::outgoing(work);
        Ok(ahead::append(engine, lane.place.id.clone(), mark.clone(), items).await)
    }

    /// Settles what is in doubt at the destination; returns what has to be sent again.
    async fn settle(
        &mut self,
        lane: &Lane,
        (intent, since): (&mut Intent, u64),
        unknown: Vec<Work>,
        done: &mut Vec<ItemRow>,
    ) -> Result<Vec<Work>> {
        // What is stored for sure must not be taken for these: neither what the batches before
        // stored, nor what this one did.
        self.named(lane).await?;
        let elsewhere = self.quiet(lane).await?;
        let taken = done.iter().filter_map(target_id).collect();
        let unnamed = |row: &ItemRow| row.state == ItemState::Unnamed;
        let (certain, named): (Vec<ItemRow>, Vec<ItemRow>) =
            std::mem::take(done).into_iter().partition(unnamed);
        *done = named;
        let count = certain.len();
        let doubt = Doubt {
            rows: certain
                .iter()
                .chain(unknown.iter().map(|work| &work.row))
                // What fits one of another batch better is not given to one of these.
                .chain(&elsewhere)
                .cloned()
                .collect(),
            mark: Some(&intent.mark),
            since,
            taken,
        };
        let settled = match settle::settle(&self.engine, &Place::of(lane), doubt).await {
            Ok(settled) => settled,
            Err(error) => {
                done.extend(certain);
                return Err(error);
            }
        };
        let mut settled = settled.into_iter();
        done.extend(settled.by_ref().take(count).map(|(row, _)| row));
        let mut again = Vec::new();
        for (mut work, (row, verdict)) in unknown.into_iter().zip(settled) {
            work.row = row;
            if verdict == Verdict::Found {
                done.push(work.row);
                continue;
            }
            if verdict == Verdict::Unproven {
                self.engine
                    .note(lane.row.no, |notes| notes.perhaps_doubled += 1);
            }
            if work.row.resent {
                let row = &work.row;
                self.engine.note(row.folder, |notes| {
                    *notes.again.entry(row.id.clone()).or_default() += 1;
                });
            }
            work.row.resent = true;
            work.doubts += 1;
            again.push(work);
        }
        self.remember_resent(lane, intent, &again).await?;
        Ok(again)
    }

    /// Before anything is sent again, the ledger knows of it: whoever goes on after this process looks
    /// for a first copy, too.
    async fn remember_resent(
        &self,
        lane: &Lane,
        intent: &mut Intent,
        again: &[Work],
    ) -> Result<()> {
        if again.is_empty() {
            return Ok(());
        }
        for work in again {
            put(&mut intent.items, &work.row);
        }
        let rows = again.iter().map(|work| &work.row);
        let mut records = surplus::remember_all(&self.engine, rows, &lane.mark()?).await?;
        records.push(Record::Intent(Box::new(intent.clone())));
        self.engine.ledger.commit(records).await
    }
}

/// Puts a row in the place of the same message's in an intent.
pub(super) fn put(items: &mut [ItemRow], row: &ItemRow) {
    let same = |item: &&mut ItemRow| item.folder == row.folder && item.id == row.id;
    if let Some(item) = items.iter_mut().find(same) {
        item.clone_from(row);
    }
}

/// What was in doubt is proven absent; but what lands after all is looked for.
fn keep_resent(queue: VecDeque<Vec<Work>>, sent: &mut Sent) {
    let left = queue.into_iter().flatten().filter(|work| work.row.resent);
    sent.done.extend(left.map(|work| work.row));
}
