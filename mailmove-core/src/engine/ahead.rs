//! Batches that are sent before what became of those before them is known, where the order within a
//! folder need not be kept.
//!
//! Each batch has its own intent and is dealt with in turn, so that a cursor never passes what is open.
//! A batch that is not plainly stored, each message under an id, is dealt with as one with all that are
//! under way behind it, when these were answered: then nothing is under way while doubt is settled, and
//! what one of them stored is not taken for what another has lost.

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
    checkpoint::Record,
    destination::{self, Outcome, Outgoing},
    error::{Error, ErrorKind, Result},
    model::{FolderId, Form, Mark},
    observe::Direction,
    options::Order,
};

/// A batch that may have been sent.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) recorded: Recorded,
    sending: Sending,
    /// How many messages went together, if several batches have become one.
    sizes: Vec<usize>,
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

/// Messages that went together, and what came of each.
pub(super) type Answered = (Vec<Work>, Vec<Outcome>);

impl Engine {
    /// Batches of a folder that may be under way at once.
    pub(super) fn width(&self) -> usize {
        // Where an append does not say what it stored, a batch has to be looked up before the next one.
        match self.options.order {
            // Of exports that look alike one at most may be in doubt.
            _ if self.form != Form::Mime => 1,
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
            sizes: vec![recorded.batch.work.len()],
            recorded,
            sending: Sending::Not,
        }
    }

    pub(super) fn was_sent(&self) -> bool {
        !matches!(self.sending, Sending::Not)
    }

    async fn answered(&mut self) -> Result<()> {
        if let Sending::Now(task, _) = &mut self.sending {
            self.sending = Sending::Answered(joined(task.await)?);
        }
        Ok(())
    }

    /// All of it is stored, each message under an id.
    fn is_plain(&self) -> bool {
        let plain = |outcome: &Outcome| match outcome {
            Outcome::Stored(receipt) | Outcome::AlreadyThere(receipt) => receipt.id.is_some(),
            Outcome::NotStored(_) | Outcome::Unknown(_) => false,
        };
        match &self.sending {
            Sending::Answered(outcomes) => outcomes.iter().all(plain),
            Sending::Not | Sending::Now(..) => false,
        }
    }

    /// Makes one batch of this and the next. Gives the intent that is spent with it.
    fn join(&mut self, other: Self) -> Option<u64> {
        if let (Sending::Answered(all), Sending::Answered(more)) =
            (&mut self.sending, other.sending)
        {
            all.extend(more);
        }
        self.sizes.extend(other.sizes);
        let (batch, more) = (&mut self.recorded.batch, other.recorded.batch);
        batch.work.extend(more.work);
        batch.rows.extend(more.rows);
        batch.flags.extend(more.flags);
        batch.gone.extend(more.gone);
        batch.cursor = more.cursor.or(batch.cursor.take());
        let spent = other.recorded.intent?;
        if let Some(intent) = &mut self.recorded.intent {
            // Its mark is the earlier one.
            intent.items.extend(spent.items);
        }
        Some(spent.batch)
    }

    /// The batch without its messages, and these: as they went, if they were sent, or else by
    /// themselves.
    pub(super) fn into_parts(mut self) -> (Recorded, Vec<Work>, Vec<Answered>) {
        let mut work = std::mem::take(&mut self.recorded.batch.work);
        let Sending::Answered(outcomes) = self.sending else {
            return (self.recorded, work, Vec::new());
        };
        let mut outcomes = outcomes.into_iter();
        let mut answered = Vec::with_capacity(self.sizes.len());
        for size in self.sizes {
            let rest = work.split_off(size.min(work.len()));
            let went = std::mem::replace(&mut work, rest);
            let of_these = outcomes.by_ref().take(went.len()).collect();
            answered.push((went, of_these));
        }
        (self.recorded, Vec::new(), answered)
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
                    let Some(front) = self.ahead.pop_front() else { continue };
                    return self.together(front, goes_on).await.map(Some);
                }
                Some(recorded) = batches.recv(), if room => {
                    self.begin(lane, recorded, goes_on);
                }
            }
        }
    }

    /// With all that are under way, if it is not plainly stored. The ledger has one intent of them then.
    async fn together(&mut self, mut front: Begun, goes_on: bool) -> Result<Begun> {
        if !goes_on || !front.was_sent() || front.is_plain() {
            return Ok(front);
        }
        let mut records = Vec::new();
        while self.ahead.front().is_some_and(Begun::was_sent)
            && let Some(mut next) = self.ahead.pop_front()
        {
            next.answered().await?;
            records.extend(front.join(next).map(Record::Close));
        }
        if !records.is_empty() {
            let intent = front.recorded.intent.iter();
            records.extend(intent.map(|intent| Record::Intent(Box::new(intent.clone()))));
            self.engine.ledger.commit(records).await?;
        }
        Ok(front)
    }

    /// Sends a batch, if more than one may be under way.
    fn begin(&mut self, lane: &Lane, recorded: Recorded, goes_on: bool) {
        let mut begun = Begun::new(recorded);
        let batch = &begun.recorded.batch;
        // Nothing overtakes a batch that waits: it may say less of a message than a later one.
        if goes_on
            && self.engine.width() > 1
            && self.ahead.iter().all(Begun::was_sent)
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

    /// Nothing of the folder is under way.
    pub(super) fn is_quiet(&self) -> bool {
        !self.ahead.iter().any(Begun::was_sent)
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
