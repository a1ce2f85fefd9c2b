//! Sends the messages of one batch until each of them has an end.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    ahead::{self, Answered},
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
    model::{Batching, Mark},
    observe::Direction,
};

/// What is not known to be stored.
enum Doubtful {
    NotStored(Error),
    Unknown(Error),
}

impl Sender {
    /// Sends messages until each of them has an end, or something ends the folder: then the rest
    /// of the batch is not in doubt, and stays as it was, or the intent has to stay open. What was
    /// `answered` was sent already.
    pub(super) async fn deliver(
        &mut self,
        lane: &Lane,
        intent: &mut Intent,
        work: Vec<Work>,
        answered: Vec<Answered>,
        sent: &mut Sent,
    ) -> Result<()> {
        let mut queue = VecDeque::new();
        let mut ended = Ok(());
        match answered.is_empty() {
            true => queue.push_back(work),
            false => ended = self.take(lane, intent, answered, &mut queue, sent).await,
        }
        while ended.is_ok()
            && let Some(work) = queue.pop_front()
        {
            ended = match self.append(lane, &intent.mark, &work).await {
                Ok(outcomes) => {
                    let answered = vec![(work, outcomes)];
                    self.take(lane, intent, answered, &mut queue, sent).await
                }
                Err(error) => {
                    queue.push_front(work);
                    Err(error)
                }
            };
        }
        if ended.is_err() {
            keep_resent(queue, sent);
        }
        ended
    }

    /// Takes answers. What has to be sent again is in the queue then; if it ends the folder, what was
    /// not stored.
    async fn take(
        &mut self,
        lane: &Lane,
        intent: &mut Intent,
        answered: Vec<Answered>,
        queue: &mut VecDeque<Vec<Work>>,
        sent: &mut Sent,
    ) -> Result<()> {
        let mut refused: Vec<Vec<(Work, Error)>> = Vec::new();
        let mut unknown: Vec<Work> = Vec::new();
        let mut slow: Option<(Duration, Error)> = None;
        for (work, outcomes) in answered {
            let mut of_these = Vec::new();
            for (work, outcome) in work.into_iter().zip(outcomes) {
                match self.taken(lane, work, outcome, sent).await {
                    None => {}
                    Some((work, Doubtful::NotStored(error))) => of_these.push((work, error)),
                    Some((work, Doubtful::Unknown(error))) => {
                        tracing::info!(error = %error.chain(), "append in doubt");
                        note_wait(&mut slow, error);
                        unknown.push(work);
                    }
                }
            }
            refused.extend(Some(of_these).filter(|these| !these.is_empty()));
        }
        if refused.is_empty() && unknown.is_empty() {
            self.backoff.reset();
            return Ok(());
        }
        // What is in doubt comes first: nothing may be sent again before it is settled.
        if !unknown.is_empty() {
            sent.open = true;
            let since = self.engine.now_ms();
            self.slow_down(lane, slow, &mut refused).await?;
            let doubt = (&mut *intent, since);
            let again = self.settle(lane, doubt, unknown, &mut sent.done).await?;
            sent.open = false;
            for again in self.in_batches(again).into_iter().rev() {
                self.send_again(lane, again, queue, &mut sent.done).await;
            }
        }
        let mut ended = Ok(());
        for these in refused {
            if ended.is_err() {
                queue.push_back(these.into_iter().map(|(work, _)| work).collect());
                continue;
            }
            ended = self
                .refused(lane, intent, these, queue, &mut sent.done)
                .await;
        }
        ended
    }

    /// Notes a message that is stored; gives back one that is not, or may not be.
    async fn taken(
        &mut self,
        lane: &Lane,
        work: Work,
        outcome: Outcome,
        sent: &mut Sent,
    ) -> Option<(Work, Doubtful)> {
        match outcome {
            Outcome::Stored(receipt) => {
                let row = self.stored(lane, work.row, receipt, ItemState::Copied);
                // Where no bytes are kept, there is nothing to find out.
                if self.engine.to.keeps_bytes && is_odd(&work.content).await {
                    self.odd.note(&row);
                }
                sent.done.push(row);
                None
            }
            Outcome::AlreadyThere(receipt) => {
                let row = self.stored(lane, work.row, receipt, ItemState::AlreadyThere);
                sent.done.push(row);
                None
            }
            Outcome::NotStored(error) => Some((work, Doubtful::NotStored(error))),
            Outcome::Unknown(error) => Some((work, Doubtful::Unknown(error))),
        }
    }

    /// What was sent before the folder ended: what is stored is noted, and what is in doubt stays so.
    pub(super) async fn note_answers(
        &mut self,
        lane: &Lane,
        answered: Vec<Answered>,
        sent: &mut Sent,
    ) {
        for (work, outcome) in answered.into_iter().flat_map(|(work, outcomes)| {
            let pairs = work.into_iter().zip(outcomes);
            pairs.collect::<Vec<_>>()
        }) {
            match self.taken(lane, work, outcome, sent).await {
                Some((_, Doubtful::Unknown(_))) => sent.open = true,
                // As after any refusal: a first copy is looked for after all.
                Some((work, Doubtful::NotStored(_))) if work.row.resent => {
                    sent.done.push(work.row);
                }
                _ => {}
            }
        }
    }

    /// In as many batches as the destination takes at once.
    fn in_batches(&self, work: Vec<Work>) -> Vec<Vec<Work>> {
        let Batching {
            max_items,
            max_bytes,
            ..
        } = self.engine.to.batching;
        let mut out: Vec<Vec<Work>> = Vec::new();
        let mut bytes = 0;
        for work in work {
            let size = work.content.size();
            match out.last_mut() {
                Some(last) if last.len() < max_items && bytes < max_bytes => {
                    bytes += size;
                    last.push(work);
                }
                _ => {
                    bytes = size;
                    out.push(vec![work]);
                }
            }
        }
        out
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
