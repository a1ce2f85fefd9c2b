//! Batches that are sent before what became of those before them is known, where the order within a
//! folder need not be kept.
//!
//! Each batch has its own intent and is dealt with in turn, so that a cursor never passes what is open.
//! No doubt is settled before all that is under way was answered, and recorded as far as it is stored:
//! what other batches stored must not be taken for what one has lost.

use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    Engine,
    deliver::{Recorded, Sender},
    lane::{Abort, Lane, joined},
    produce::Work,
};
use crate::{
    checkpoint::{ItemRow, ItemState, Record},
    destination::{self, Outcome, Outgoing},
    error::{Error, ErrorKind, Result},
    model::{FolderId, Mark},
    observe::Direction,
    options::Order,
};

/// A batch that may have been sent.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) recorded: Recorded,
    sending: Sending,
    /// What is stored of it stands in the ledger, ahead of its turn.
    noted: bool,
}

#[derive(Debug)]
enum Sending {
    /// It waits for its turn.
    Not,
    Now(
        JoinHandle<Vec<Outcome>>,
        #[allow(dead_code, reason = "it acts when dropped")] Abort,
    ),
    Answered(Vec<Outcome>),
}

impl Engine {
    /// Batches of a folder that may be under way at once.
    pub(super) fn width(&self) -> usize {
        // Where an append does not say what it stored, a batch has to be looked up before the next one.
        match self.options.order {
            Order::Relaxed if self.to.returns_ids => self.to.concurrency.max(1),
            _ => 1,
        }
    }

    /// Nothing has to be waited for before something is sent.
    fn may_send_ahead(&self) -> bool {
        let held = self.circuit(Direction::Up).hold(self.edges.clock.now());
        held.is_none() && !self.daily.limits_up() && self.check_stop().is_ok()
    }
}

impl Begun {
    fn new(recorded: Recorded) -> Self {
        Self {
            recorded,
            sending: Sending::Not,
            noted: false,
        }
    }

    async fn answered(&mut self) -> Result<()> {
        if let Sending::Now(task, _) = &mut self.sending {
            self.sending = Sending::Answered(joined(task.await)?);
        }
        Ok(())
    }

    fn outcomes(&self) -> impl Iterator<Item = (&Work, &Outcome)> {
        let outcomes = match &self.sending {
            Sending::Answered(outcomes) => outcomes.as_slice(),
            Sending::Not | Sending::Now(..) => &[],
        };
        self.recorded.batch.work.iter().zip(outcomes)
    }

    /// The batch, and what was answered if it was sent.
    pub(super) fn into_parts(self) -> (Recorded, Option<Vec<Outcome>>) {
        let outcomes = match self.sending {
            Sending::Answered(outcomes) => Some(outcomes),
            Sending::Not | Sending::Now(..) => None,
        };
        (self.recorded, outcomes)
    }
}

impl Sender {
    /// The oldest batch, and what came of it if it was sent already; meanwhile others are sent, unless
    /// the folder has ended. `None` at the end.
    pub(super) async fn next(
        &mut self,
        lane: &Lane,
        batches: &mut mpsc::Receiver<Recorded>,
        goes_on: bool,
    ) -> Result<Option<Begun>> {
        loop {
            let room = self.ahead.len() < self.engine.width();
            let Some(front) = self.ahead.front_mut() else {
                match batches.recv().await {
                    Some(recorded) => self.begin(lane, recorded, goes_on),
                    None => return Ok(None),
                }
                continue;
            };
            tokio::select! {
                biased;
                answered = front.answered() => {
                    answered?;
                    return Ok(self.ahead.pop_front());
                }
                Some(recorded) = batches.recv(), if room => {
                    self.begin(lane, recorded, goes_on);
                }
            }
        }
    }

    /// Sends a batch, if more than one may be under way.
    fn begin(&mut self, lane: &Lane, recorded: Recorded, goes_on: bool) {
        let mut begun = Begun::new(recorded);
        let batch = &begun.recorded.batch;
        if goes_on
            && self.engine.width() > 1
            && batch.copies.is_empty()
            && let Some(intent) = &begun.recorded.intent
            && self.engine.may_send_ahead()
        {
            let engine = Arc::clone(&self.engine);
            let mark = intent.mark.clone();
            let task = tokio::spawn(append(
                engine,
                lane.place.id.clone(),
                mark,
                outgoing(&batch.work),
            ));
            let abort = Abort(task.abort_handle());
            begun.sending = Sending::Now(task, abort);
        }
        self.ahead.push_back(begun);
    }

    /// Waits until nothing of the folder is under way, and records what is stored of it. Gives what is
    /// in doubt itself.
    pub(super) async fn quiet(&mut self, lane: &Lane) -> Result<Vec<ItemRow>> {
        let mut records = Vec::new();
        let mut unknown = Vec::new();
        for at in 0..self.ahead.len() {
            let Some(begun) = self.ahead.get_mut(at) else {
                break;
            };
            begun.answered().await?;
            let noted = std::mem::replace(&mut begun.noted, true);
            let mut stored = Vec::new();
            for (work, outcome) in begun.outcomes() {
                let (receipt, state) = match outcome {
                    Outcome::Stored(receipt) => (receipt, ItemState::Copied),
                    Outcome::AlreadyThere(receipt) => (receipt, ItemState::AlreadyThere),
                    Outcome::Unknown(_) => {
                        unknown.push(work.row.clone());
                        continue;
                    }
                    Outcome::NotStored(_) => continue,
                };
                stored.push((work.row.clone(), receipt.clone(), state));
            }
            if !noted {
                let rows = stored.into_iter();
                let rows = rows.map(|(row, receipt, state)| self.stored(lane, row, receipt, state));
                let rows = self.distinct(lane, rows.collect()).await?;
                records.extend(rows.into_iter().map(|row| Record::Item(Box::new(row))));
            }
        }
        if !records.is_empty() {
            self.engine.ledger.commit(records).await?;
        }
        Ok(unknown)
    }

    /// The folder ends before this batch's turn: what is stored of it is recorded; what is in doubt
    /// keeps its intent.
    pub(super) async fn wind_up(&mut self, lane: &Lane, mut begun: Begun) -> Result<()> {
        begun.answered().await?;
        let (recorded, outcomes) = begun.into_parts();
        let mut records = recorded.abandon();
        let mut done = Vec::new();
        let outcomes = outcomes.unwrap_or_default();
        for (work, outcome) in recorded.batch.work.into_iter().zip(outcomes) {
            let (receipt, state) = match outcome {
                Outcome::Stored(receipt) => (receipt, ItemState::Copied),
                Outcome::AlreadyThere(receipt) => (receipt, ItemState::AlreadyThere),
                Outcome::NotStored(_) => continue,
                Outcome::Unknown(_) => {
                    records.clear();
                    continue;
                }
            };
            done.push(self.stored(lane, work.row, receipt, state));
        }
        let done = self.distinct(lane, done).await?;
        let rows = done.iter().cloned();
        records.extend(rows.map(|row| Record::Item(Box::new(row))));
        self.report(lane, &done);
        self.engine.ledger.commit(records).await
    }
}

/// Messages as they are sent.
pub(super) fn outgoing(work: &[Work]) -> Vec<Outgoing> {
    let one = |work: &Work| {
        Outgoing::new(work.content.clone())
            .with_flags(work.row.flags.clone())
            .with_received(work.row.received)
    };
    work.iter().map(one).collect()
}

/// Appends messages; an outcome for each, in their order.
pub(super) async fn append(
    engine: Arc<Engine>,
    folder: FolderId,
    mark: Mark,
    items: Vec<Outgoing>,
) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = items.iter().map(|_| None).collect();
    let fence = Arc::clone(&engine) as Arc<dyn destination::Fence>;
    let batch = destination::Batch::new(folder, mark, items, fence);
    let mut answers = engine.destination.append(batch);
    while let Some((slot, outcome)) = answers.next().await {
        if let Some(place) = outcomes.get_mut(slot.index()) {
            *place = Some(outcome);
        }
    }
    let silent = || {
        let error = Error::new(ErrorKind::Interrupted, "no answer for this message");
        Outcome::Unknown(error)
    };
    outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap_or_else(silent))
        .collect()
}
