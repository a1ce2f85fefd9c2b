//! Records intents, sends batches, and records what came of them.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    Engine,
    decide::{Next, after_refusal},
    flags,
    kept::{self, Odd, is_odd},
    lane::{Lane, joined},
    produce::{Batch, Work},
    retry::Backoff,
    settle::{self, Doubt, Verdict},
};
use crate::{
    checkpoint::{Intent, ItemRow, ItemState, Record},
    destination::{self, Depth, Outcome, Outgoing, Probe, Receipt},
    error::{Error, ErrorKind, Result, Scope},
    model::{Cursor, Mark},
    observe::Event,
};

/// A batch whose intent is durable.
#[derive(Debug)]
pub(super) struct Recorded {
    batch: Batch,
    intent: Option<Intent>,
}

impl Recorded {
    /// What to record of a batch that is not sent.
    fn abandon(&self) -> Vec<Record> {
        self.intent
            .iter()
            .map(|intent| Record::Close(intent.batch))
            .collect()
    }
}

/// Batches between two refreshes of the mark: it bounds what must be read after a crash.
const MARK_EVERY: u32 = 64;

/// Makes each batch's intent durable while the batch before it is being sent.
pub(super) async fn record(
    engine: Arc<Engine>,
    lane: Lane,
    mut batches: mpsc::Receiver<Batch>,
    out: mpsc::Sender<Recorded>,
) -> Result<()> {
    let mut mark = lane.mark()?;
    let mut count = 0;
    while let Some(batch) = batches.recv().await {
        let intent = if batch.work.is_empty() {
            None
        } else {
            count += 1;
            if count % MARK_EVERY == 0 {
                // Any earlier mark is a lower bound too, so a failure here costs nothing.
                if let Ok(newer) = engine.destination.mark(&lane.place.id).await
                    && newer.epoch == mark.epoch
                {
                    mark = newer;
                }
            }
            let rows = batch.work.iter().map(|work| work.row.clone()).collect();
            let intent = Intent::new(engine.batch_number(), lane.target.no, mark.clone(), rows);
            engine
                .ledger
                .commit(vec![Record::Intent(Box::new(intent.clone()))])
                .await?;
            Some(intent)
        };
        if let Err(unsent) = out.send(Recorded { batch, intent }).await {
            // The sending side ended with an error of its own: nothing of this is in doubt.
            return engine.ledger.commit(unsent.0.abandon()).await;
        }
    }
    Ok(())
}

/// Sends everything, in order. After an order to stop, what is on the wire is waited for and
/// recorded, and intents of what was not sent are closed.
pub(super) async fn send(
    engine: &Arc<Engine>,
    lane: &mut Lane,
    mut batches: mpsc::Receiver<Recorded>,
) -> Result<()> {
    let seed = u64::from(lane.target.no.0) + engine.now_ms();
    let backoff = Backoff::new(engine.options.attempts, engine.options.longest_wait, seed);
    let mut sender = Sender {
        engine: Arc::clone(engine),
        backoff,
        ahead: Vec::new(),
        odd: Odd::default(),
        committing: None,
    };
    let mut ended = Ok(());
    while let Some(recorded) = batches.recv().await {
        if ended.is_ok() {
            ended = engine.check_stop();
        }
        if ended.is_ok() {
            ended = sender.batch(lane, recorded.batch, recorded.intent).await;
            if ended.is_err() {
                batches.close();
            }
        } else {
            engine.ledger.commit(recorded.abandon()).await?;
        }
    }
    let committed = sender.committed().await;
    ended?;
    committed?;
    engine.check_stop()?;
    sender.odd.look(engine, lane).await?;
    kept::dates(engine, lane, sender.ahead).await
}

struct Sender {
    engine: Arc<Engine>,
    backoff: Backoff,
    /// Stored messages whose date lies ahead: servers replace such dates without a word.
    ahead: Vec<ItemRow>,
    /// Stored messages with bytes that servers change, as quietly.
    odd: Odd,
    /// What came of the batch before, on its way into the ledger.
    committing: Option<JoinHandle<Result<()>>>,
}

/// Most messages with a date ahead that are looked at; more of them are a wrong clock.
const AHEAD_MOST: usize = 10_000;

impl Sender {
    async fn batch(&mut self, lane: &mut Lane, batch: Batch, intent: Option<Intent>) -> Result<()> {
        let mut done = batch.rows;
        let mut stopped = None;
        if let Some(intent) = &intent {
            let (rows, stop) = self.deliver(lane, intent, batch.work).await?;
            done.extend(rows);
            stopped = stop;
        }
        let found = batch.flags.iter().filter_map(flags::FlagWork::unrecorded);
        let progress = tally(done.iter().chain(found));
        let mut records: Vec<Record> = done
            .iter()
            .map(|row| Record::Item(Box::new(row.clone())))
            .collect();
        records.extend(intent.iter().map(|intent| Record::Close(intent.batch)));
        // With flags still to be set, the cursor waits: their change is not listed again after it.
        let mut cursor = batch.cursor.filter(|_| stopped.is_none());
        if batch.flags.is_empty() {
            records.extend(cursor.take().map(|cursor| advance(lane, cursor)));
        }
        // The next batch goes out while this is being made durable. Until it is, the intent stands.
        self.committed().await?;
        let ledger = Arc::clone(&self.engine.ledger);
        self.committing = Some(tokio::spawn(async move { ledger.commit(records).await }));
        self.report(lane, &done, progress);
        if let Some(error) = stopped {
            self.committed().await?;
            return Err(error);
        }
        self.read_back(lane, &done).await?;
        self.note_dates_ahead(&done);
        if !batch.flags.is_empty() {
            self.committed().await?;
            self.flags(batch.flags).await?;
        }
        match cursor {
            Some(cursor) => self.engine.ledger.commit(vec![advance(lane, cursor)]).await,
            None => Ok(()),
        }
    }

    /// Waits until the batch before is recorded: its claims count from now on.
    async fn committed(&mut self) -> Result<()> {
        match self.committing.take() {
            Some(task) => joined(task.await)?,
            None => Ok(()),
        }
    }

    fn note_dates_ahead(&mut self, done: &[ItemRow]) {
        let now = i64::try_from(self.engine.now_ms() / 1000).unwrap_or(i64::MAX);
        let is_ahead = |row: &&ItemRow| {
            row.state == ItemState::Copied && row.received.is_some_and(|at| at.seconds() > now)
        };
        let room = AHEAD_MOST.saturating_sub(self.ahead.len());
        self.ahead
            .extend(done.iter().filter(is_ahead).take(room).cloned());
    }

    /// Sends messages until each of them has an end, or something ends the folder: then the rest
    /// of the batch is not in doubt, and stays as it was.
    async fn deliver(
        &mut self,
        lane: &Lane,
        intent: &Intent,
        work: Vec<Work>,
    ) -> Result<(Vec<ItemRow>, Option<Error>)> {
        let mut done = Vec::with_capacity(work.len());
        let mut queue = VecDeque::from([work]);
        while let Some(work) = queue.pop_front() {
            let outcomes = self.append(lane, &intent.mark, &work).await;
            let mut refused: Vec<(Work, Error)> = Vec::new();
            let mut unknown: Vec<Work> = Vec::new();
            for (work, outcome) in work.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Stored(receipt) => {
                        let row = self.stored(lane, work.row, receipt, ItemState::Copied);
                        if is_odd(&work.content).await {
                            self.odd.note(&row);
                        }
                        done.push(row);
                    }
                    Outcome::AlreadyThere(receipt) => {
                        done.push(self.stored(lane, work.row, receipt, ItemState::AlreadyThere));
                    }
                    Outcome::NotStored(error) => refused.push((work, error)),
                    Outcome::Unknown(error) => {
                        tracing::info!(error = %error.chain(), "append in doubt");
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
                let again = self.settle(lane, intent, unknown, &mut done).await?;
                self.send_again(lane, again, &mut queue, &mut done);
            }
            if let Some(error) = self.refused(lane, refused, &mut queue, &mut done).await? {
                return Ok((done, Some(error)));
            }
        }
        Ok((done, None))
    }

    async fn append(&self, lane: &Lane, mark: &Mark, work: &[Work]) -> Vec<Outcome> {
        let outgoing = |work: &Work| {
            Outgoing::new(work.content.clone())
                .with_flags(work.row.flags.clone())
                .with_received(work.row.received)
        };
        let items = work.iter().map(outgoing).collect();
        let fence = Arc::clone(&self.engine) as Arc<dyn destination::Fence>;
        let batch = destination::Batch::new(lane.place.id.clone(), mark.clone(), items, fence);
        let mut outcomes: Vec<Option<Outcome>> = work.iter().map(|_| None).collect();
        let mut answers = self.engine.destination.append(batch);
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

    fn stored(&self, lane: &Lane, mut row: ItemRow, receipt: Receipt, state: ItemState) -> ItemRow {
        row.code = None;
        row.pass = self.engine.pass;
        row.altered.extend(receipt.altered);
        row.accepted = receipt.flags.filter(|flags| *flags != row.flags);
        row.state = state;
        match receipt.id {
            Some(id) => row.target = Some((lane.target.no, id)),
            None => row.state = ItemState::Unnamed,
        }
        row
    }

    /// Decides about refused messages; `Some` is what ends the folder.
    async fn refused(
        &mut self,
        lane: &Lane,
        refused: Vec<(Work, Error)>,
        queue: &mut VecDeque<Vec<Work>>,
        done: &mut Vec<ItemRow>,
    ) -> Result<Option<Error>> {
        let len = refused.len();
        let whole = self.engine.to.batching.atomic;
        let mut together: Vec<Work> = Vec::new();
        let mut plan = None;
        for (mut work, error) in refused {
            match after_refusal(&error, len, whole) {
                Next::Fail => {
                    self.engine.fail(&lane.folder.path, &mut work.row, &error);
                    done.push(work.row);
                }
                next => {
                    together.push(work);
                    plan.get_or_insert((next, error));
                }
            }
        }
        let Some((next, error)) = plan else {
            return Ok(None);
        };
        match next {
            Next::StopFolder | Next::StopPass | Next::Fail => {
                let scope = if next == Next::StopFolder {
                    Scope::Folder
                } else {
                    Scope::Account
                };
                let scope = error.scope().max(scope);
                return Ok(Some(error.with_scope(scope)));
            }
            Next::Halve => {
                let back = together.split_off(together.len() / 2);
                queue.push_front(back);
                queue.push_front(together);
            }
            Next::Singles => {
                for work in together.into_iter().rev() {
                    queue.push_front(vec![work]);
                }
            }
            Next::Again => match self.backoff.next(&error) {
                Some(wait) => {
                    self.retrying(lane, &error, wait);
                    if let Err(stop) = self.engine.pause(wait).await {
                        return Ok(Some(stop));
                    }
                    queue.push_front(together);
                }
                None if error.scope() == Scope::Message => {
                    for mut work in together {
                        self.engine.fail(&lane.folder.path, &mut work.row, &error);
                        done.push(work.row);
                    }
                    self.backoff.reset();
                }
                None => return Ok(Some(error)),
            },
        }
        Ok(None)
    }

    fn retrying(&self, lane: &Lane, error: &Error, wait: Duration) {
        self.engine.emit(Event::Retrying {
            folder: Some(lane.folder.path.clone()),
            reason: error.chain(),
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        });
    }

    /// Settles what is in doubt at the destination; returns what has to be sent again.
    async fn settle(
        &mut self,
        lane: &Lane,
        intent: &Intent,
        unknown: Vec<Work>,
        done: &mut Vec<ItemRow>,
    ) -> Result<Vec<Work>> {
        // What is not claimed yet by the batch before must not be taken for these.
        self.committed().await?;
        let rows: Vec<ItemRow> = unknown.iter().map(|work| work.row.clone()).collect();
        let mut doubt = Doubt::new(&intent.mark, self.engine.now_ms());
        let id = |row: &ItemRow| row.target.as_ref().map(|(_, id)| id.clone());
        doubt.given.extend(done.iter().filter_map(id));
        let settled = settle::settle(&self.engine, lane, doubt, rows).await?;
        let mut again = Vec::new();
        for (mut work, (row, verdict)) in unknown.into_iter().zip(settled) {
            work.row = row;
            match verdict {
                Verdict::Found => done.push(work.row),
                Verdict::Absent => again.push(work),
                Verdict::Unproven => {
                    work.row.resent = true;
                    self.engine
                        .note(lane.row.no, |notes| notes.perhaps_doubled += 1);
                    again.push(work);
                }
            }
        }
        for work in &mut again {
            work.row.resent = true;
            work.doubts += 1;
        }
        Ok(again)
    }

    /// A message on which a server chokes must not be sent for ever, nor take its neighbours with
    /// it: in doubt twice, they go in halves, and one alone fails in the end.
    fn send_again(
        &self,
        lane: &Lane,
        mut again: Vec<Work>,
        queue: &mut VecDeque<Vec<Work>>,
        done: &mut Vec<ItemRow>,
    ) {
        let most = self.engine.options.attempts.max(2);
        let doubts = again.iter().map(|work| work.doubts).max().unwrap_or(0);
        match again.len() {
            0 => {}
            1 if doubts >= most => {
                let error = Error::new(ErrorKind::Interrupted, "no word on this message")
                    .with_scope(Scope::Message)
                    .with_code("destination/no-answer")
                    .with_context("attempts", doubts.to_string())
                    .with_remedy(
                        "The destination breaks off when it gets this message; ask its operator, \
                         or save the message by hand.",
                    );
                for mut work in again {
                    self.engine.fail(&lane.folder.path, &mut work.row, &error);
                    done.push(work.row);
                }
            }
            len if len > 1 && doubts >= 2 => {
                let back = again.split_off(len / 2);
                queue.push_front(back);
                queue.push_front(again);
            }
            _ => queue.push_front(again),
        }
    }

    /// Reads the job's first stored message back: that decides whether equal bytes can be relied on.
    async fn read_back(&self, lane: &Lane, done: &[ItemRow]) -> Result<()> {
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

    async fn flags(&mut self, work: Vec<flags::FlagWork>) -> Result<()> {
        if work.is_empty() {
            return Ok(());
        }
        loop {
            let Err(error) = flags::apply(&self.engine, work.clone()).await else {
                self.backoff.reset();
                return Ok(());
            };
            let Some(wait) = self.backoff.next(&error) else {
                return Err(error);
            };
            self.engine.pause(wait).await?;
        }
    }

    fn report(&self, lane: &Lane, done: &[ItemRow], progress: Vec<(ItemState, u64, u64)>) {
        for (state, messages, bytes) in progress {
            self.engine.emit(Event::Progress {
                folder: lane.folder.path.clone(),
                state,
                messages,
                bytes,
            });
        }
        if done.iter().any(|row| !row.altered.is_empty()) {
            self.engine.note(lane.row.no, |notes| {
                for alteration in done.iter().flat_map(|row| &row.altered) {
                    *notes.altered.entry(alteration.kind).or_default() += 1;
                }
            });
        }
    }
}

fn advance(lane: &mut Lane, cursor: Cursor) -> Record {
    lane.row.cursor = Some(cursor);
    Record::Folder(Box::new(lane.row.clone()))
}

fn tally<'a>(done: impl Iterator<Item = &'a ItemRow>) -> Vec<(ItemState, u64, u64)> {
    let mut out: Vec<(ItemState, u64, u64)> = Vec::new();
    for row in done {
        match out.iter_mut().find(|(state, ..)| *state == row.state) {
            Some((_, messages, bytes)) => {
                *messages += 1;
                *bytes += row.size;
            }
            None => out.push((row.state, 1, row.size)),
        }
    }
    out
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
