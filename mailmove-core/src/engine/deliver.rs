//! Records intents, sends batches, and records what came of them.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt as _;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    Engine, flags, fold,
    kept::{Odd, is_odd},
    lane::{Lane, joined},
    look_back,
    produce::{Batch, Work},
    refused::note_wait,
    retry::Backoff,
    settle::{self, Doubt, Place, Verdict},
    share::Desk,
};
use crate::{
    checkpoint::{FolderNo, Intent, ItemRow, ItemState, Record},
    destination::{self, Outcome, Outgoing, Receipt},
    error::{Error, ErrorKind, Result},
    model::{Alteration, AlterationKind, ContentId, Cursor, Mark, MessageId},
    observe::{Direction, Event},
};

/// A batch whose intent is durable.
#[derive(Debug)]
pub(super) struct Recorded {
    batch: Batch,
    intent: Option<Intent>,
    /// Of the messages to be copied.
    copying: Option<Intent>,
}

impl Recorded {
    /// What to record of a batch that is not sent.
    fn abandon(&self) -> Vec<Record> {
        self.intent
            .iter()
            .chain(&self.copying)
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
        let mut intents = [None, None];
        if !batch.work.is_empty() || !batch.copies.is_empty() {
            count += 1;
            if count % MARK_EVERY == 0 {
                // Any earlier mark is a lower bound too, so a failure here costs nothing.
                if let Ok(newer) = engine.destination.mark(&lane.place.id).await
                    && newer.epoch == mark.epoch
                {
                    mark = newer;
                }
            }
            let sent = batch.work.iter().map(|work| work.row.clone()).collect();
            let copied = batch.copies.iter().map(|copying| copying.row.clone());
            let new = |rows: Vec<ItemRow>| {
                let number = || engine.batch_number();
                (!rows.is_empty())
                    .then(|| Intent::new(number(), lane.target.no, mark.clone(), rows))
            };
            intents = [new(sent), new(copied.collect())];
            if let [_, Some(copying)] = &mut intents {
                copying.copied = true;
            }
            let records = intents.iter().flatten().cloned();
            let records = records.map(|intent| Record::Intent(Box::new(intent)));
            engine.ledger.commit(records.collect()).await?;
        }
        let [intent, copying] = intents;
        let recorded = Recorded {
            batch,
            intent,
            copying,
        };
        if let Err(unsent) = out.send(recorded).await {
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
    desk: Arc<Desk>,
    mut batches: mpsc::Receiver<Recorded>,
) -> Result<()> {
    let mut sender = Sender {
        engine: Arc::clone(engine),
        backoff: Backoff::on(engine, Direction::Up),
        odd_dates: Vec::new(),
        odd: Odd::default(),
        unnamed: 0,
        unnamed_mark: lane.mark()?,
        resent: false,
        committing: None,
        desk,
    };
    let mut ended = Ok(());
    while let Some(recorded) = batches.recv().await {
        if ended.is_ok() {
            ended = engine.check_stop();
        }
        if ended.is_ok() {
            ended = sender.batch(lane, recorded).await;
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
    sender.named(lane).await?;
    sender.odd.look(engine, lane).await?;
    sender.dates(lane).await
}

/// What came of a batch.
#[derive(Debug, Default)]
struct Sent {
    done: Vec<ItemRow>,
    /// Some of it is in doubt.
    open: bool,
}

pub(super) struct Sender {
    pub(super) engine: Arc<Engine>,
    pub(super) backoff: Backoff,
    /// Stored messages whose date lies ahead, or before 1970: servers replace such dates without a word.
    pub(super) odd_dates: Vec<ItemRow>,
    /// Stored messages with bytes that servers change, as quietly.
    odd: Odd,
    /// Messages stored since `unnamed_mark` whose ids are not known.
    unnamed: usize,
    unnamed_mark: Mark,
    /// The ledger knows that something was sent twice.
    resent: bool,
    /// What came of the batch before, on its way into the ledger.
    committing: Option<JoinHandle<Result<()>>>,
    pub(super) desk: Arc<Desk>,
}

/// Most messages that wait for their ids to be looked up.
const UNNAMED_MOST: usize = 500;

impl Sender {
    async fn batch(&mut self, lane: &mut Lane, recorded: Recorded) -> Result<()> {
        let Recorded {
            batch,
            intent,
            copying,
        } = recorded;
        let mut sent = Sent::default();
        let mut ended = Ok(());
        if let Some(copying) = &copying {
            ended = self.copies(lane, copying, batch.copies).await;
        }
        if let (Some(intent), Ok(())) = (&intent, &ended) {
            ended = self.deliver(lane, intent, batch.work, &mut sent).await;
        }
        // The next batch goes out while this is being made durable. Until it is, the intent stands.
        self.committed().await?;
        let contents = contents(batch.rows.iter().chain(&sent.done));
        fold::at_once(&self.engine, lane, &mut sent.done).await?;
        let sent_rows = self.distinct(lane, sent.done).await?;
        // A message may be recorded as pending first, and in the same batch as sent.
        let mut done = self.still_free(lane, &sent_rows, batch.rows).await?;
        done.extend(sent_rows);
        let mut records: Vec<Record> = done
            .iter()
            .map(|row| Record::Item(Box::new(row.clone())))
            .collect();
        self.resent(lane, &done, &mut records);
        let gone = batch.gone.into_iter();
        records.extend(gone.map(|id| Record::Gone(lane.row.no, id, true)));
        // What is in doubt keeps its intent.
        if !sent.open {
            records.extend(intent.iter().map(|intent| Record::Close(intent.batch)));
        }
        let (flags, intended) = flags::intend(&self.engine, batch.flags);
        records.extend(flags);
        records.extend(self.engine.daily.records());
        if ended.is_ok() {
            records.extend(batch.cursor.map(|cursor| advance(lane, cursor)));
        }
        let (engine, no) = (Arc::clone(&self.engine), lane.row.no);
        self.committing = Some(tokio::spawn(commit(engine, no, records, contents)));
        self.report(lane, &done);
        if ended.is_err() {
            self.committed().await?;
            return ended;
        }
        self.read_back(lane, &done).await?;
        self.note_odd_dates(&done);
        if !intended.is_empty() {
            self.committed().await?;
            flags::carry_out(&self.engine, intended).await?;
        }
        self.look_up(lane, &done).await
    }

    /// Has the ledger remember that something was sent twice.
    pub(super) fn resent(&mut self, lane: &Lane, done: &[ItemRow], records: &mut Vec<Record>) {
        if !self.resent && done.iter().any(|row| row.resent) {
            self.resent = true;
            records.push(look_back::resent(&self.engine, lane));
        }
    }

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
    async fn still_free(
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

    /// Looks up ids that the server did not name before there are too many of them.
    pub(super) async fn look_up(&mut self, lane: &Lane, done: &[ItemRow]) -> Result<()> {
        let unnamed = |row: &&ItemRow| row.state == ItemState::Unnamed;
        self.unnamed += done.iter().filter(unnamed).count();
        if self.unnamed >= UNNAMED_MOST {
            self.named(lane).await?;
        }
        Ok(())
    }

    pub(super) async fn named(&mut self, lane: &Lane) -> Result<()> {
        self.committed().await?;
        if self.unnamed == 0 {
            return Ok(());
        }
        let place = Place::of(lane);
        settle::unnamed(&self.engine, &place, lane.row.no, Some(&self.unnamed_mark)).await?;
        self.unnamed = 0;
        // All that was stored so far has its id: what comes next comes after this.
        if let Ok(mark) = self.engine.destination.mark(&lane.place.id).await
            && mark.epoch == self.unnamed_mark.epoch
        {
            self.unnamed_mark = mark;
        }
        Ok(())
    }

    /// Waits until the batch before is recorded: its claims count from now on.
    pub(super) async fn committed(&mut self) -> Result<()> {
        match self.committing.take() {
            Some(task) => joined(task.await)?,
            None => Ok(()),
        }
    }

    /// Sends messages until each of them has an end, or something ends the folder: then the rest
    /// of the batch is not in doubt, and stays as it was, or the intent has to stay open.
    async fn deliver(
        &mut self,
        lane: &Lane,
        intent: &Intent,
        work: Vec<Work>,
        sent: &mut Sent,
    ) -> Result<()> {
        let mut queue = VecDeque::from([work]);
        while let Some(work) = queue.pop_front() {
            let bytes = work.iter().map(|work| work.content.size()).sum();
            if let Err(error) = self.engine.spend(Direction::Up, bytes).await {
                queue.push_front(work);
                keep_resent(queue, sent);
                return Err(error);
            }
            let outcomes = self.append(lane, &intent.mark, &work).await;
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
                let doubt = (intent, since);
                let again = self.settle(lane, doubt, unknown, &mut sent.done).await?;
                sent.open = false;
                self.send_again(lane, again, &mut queue, &mut sent.done);
            }
            if let Err(error) = self
                .refused(lane, refused, &mut queue, &mut sent.done)
                .await
            {
                keep_resent(queue, sent);
                return Err(error);
            }
        }
        Ok(())
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

    pub(super) fn stored(
        &self,
        lane: &Lane,
        mut row: ItemRow,
        receipt: Receipt,
        state: ItemState,
    ) -> ItemRow {
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

    /// Settles what is in doubt at the destination; returns what has to be sent again.
    async fn settle(
        &mut self,
        lane: &Lane,
        (intent, since): (&Intent, u64),
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
            work.row.resent = true;
            work.doubts += 1;
            again.push(work);
        }
        Ok(again)
    }

    pub(super) fn report(&self, lane: &Lane, done: &[ItemRow]) {
        for (state, messages, bytes) in tally(done) {
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

/// Makes a batch's outcome durable. Only then others may count on the contents in it.
async fn commit(
    engine: Arc<Engine>,
    lane: FolderNo,
    records: Vec<Record>,
    contents: Vec<ContentId>,
) -> Result<()> {
    let result = engine.ledger.commit(records).await;
    if !contents.is_empty() {
        engine.contents.release(lane, &contents);
    }
    result
}

/// Contents that this batch has done with, however it ended for them.
fn contents<'a>(rows: impl Iterator<Item = &'a ItemRow>) -> Vec<ContentId> {
    // A message that was put aside is recorded as pending: another works on its content.
    let settled = rows.filter(|row| row.state != ItemState::Pending);
    settled.filter_map(|row| row.content_id.clone()).collect()
}

/// What was in doubt is proven absent; but what lands after all is looked for.
fn keep_resent(queue: VecDeque<Vec<Work>>, sent: &mut Sent) {
    let left = queue.into_iter().flatten().filter(|work| work.row.resent);
    sent.done.extend(left.map(|work| work.row));
}

fn target_id(row: &ItemRow) -> Option<MessageId> {
    row.target.as_ref().map(|(_, id)| id.clone())
}

fn advance(lane: &mut Lane, cursor: Cursor) -> Record {
    lane.row.cursor = Some(cursor);
    Record::Folder(Box::new(lane.row.clone()))
}

fn tally(done: &[ItemRow]) -> Vec<(ItemState, u64, u64)> {
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
