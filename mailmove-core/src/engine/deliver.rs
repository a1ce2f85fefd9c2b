//! Records intents, sends batches, and records what came of them.

use std::{collections::VecDeque, sync::Arc};

use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    Engine,
    ahead::Begun,
    flags, fold,
    kept::Odd,
    lane::{Lane, joined},
    produce::Batch,
    retry::Backoff,
    settle::{self, Place},
    share::Desk,
    surplus,
};
use crate::{
    checkpoint::{FolderNo, Intent, ItemRow, ItemState, Record},
    destination::Receipt,
    error::Result,
    model::{ContentId, Cursor, Mark},
    observe::{Direction, Event},
};

/// A batch whose intent is durable.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) batch: Batch,
    pub(super) intent: Option<Intent>,
    /// Of the messages to be copied.
    copying: Option<Intent>,
}

impl Recorded {
    /// What to record of a batch that is not sent.
    pub(super) fn abandon(&self) -> Vec<Record> {
        self.intent
            .iter()
            .chain(&self.copying)
            .map(|intent| Record::Close(intent.batch))
            .collect()
    }
}

/// Batches between two refreshes of the mark: it bounds what must be read after a crash.
const MARK_EVERY: u32 = 64;

/// Makes each batch's intent durable while the batch before it is being sent. True if that were all.
pub(super) async fn record(
    engine: Arc<Engine>,
    lane: Lane,
    mut batches: mpsc::Receiver<Batch>,
    out: mpsc::Sender<Recorded>,
) -> Result<bool> {
    let mut mark = lane.mark()?;
    let mut count = 0;
    loop {
        // Not taken before there is room for it: each batch is as much memory as a server takes at once.
        if out.reserve().await.is_err() {
            return Ok(false);
        }
        let Some(batch) = batches.recv().await else {
            return Ok(true);
        };
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
            engine.ledger.commit(unsent.0.abandon()).await?;
            return Ok(false);
        }
    }
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
        committing: None,
        ahead: VecDeque::new(),
        desk,
    };
    let mut ended = Ok(());
    while let Some(begun) = sender.next(lane, &mut batches, ended.is_ok()).await? {
        if ended.is_ok() {
            ended = engine.check_stop();
        }
        if ended.is_ok() {
            ended = sender.batch(lane, begun, true).await;
            if ended.is_err() {
                batches.close();
            }
        } else if begun.was_sent() {
            sender.batch(lane, begun, false).await?;
        } else {
            engine.ledger.commit(begun.recorded.abandon()).await?;
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
pub(super) struct Sent {
    pub(super) done: Vec<ItemRow>,
    /// Some of it is in doubt.
    pub(super) open: bool,
}

pub(super) struct Sender {
    pub(super) engine: Arc<Engine>,
    pub(super) backoff: Backoff,
    /// Stored messages whose date lies ahead, or before 1970: servers replace such dates without a word.
    pub(super) odd_dates: Vec<ItemRow>,
    /// Stored messages with bytes that servers change, as quietly.
    pub(super) odd: Odd,
    /// Messages stored since `unnamed_mark` whose ids are not known.
    unnamed: usize,
    unnamed_mark: Mark,
    /// What came of the batch before, on its way into the ledger.
    committing: Option<JoinHandle<Result<()>>>,
    /// Batches that are under way, or wait for their turn.
    pub(super) ahead: VecDeque<Begun>,
    pub(super) desk: Arc<Desk>,
}

/// Most messages that wait for their ids to be looked up.
const UNNAMED_MOST: usize = 500;

impl Sender {
    /// Deals with a batch. If the folder has ended (not `goes_on`), with what was answered, and no further.
    async fn batch(&mut self, lane: &mut Lane, begun: Begun, goes_on: bool) -> Result<()> {
        let (recorded, work, answered) = begun.into_parts();
        let Recorded {
            batch,
            mut intent,
            copying,
        } = recorded;
        let mut sent = Sent::default();
        let mut ended = Ok(());
        if let Some(copying) = &copying {
            ended = self.copies(lane, copying, batch.copies).await;
        }
        if let (Some(intent), Ok(())) = (&mut intent, &ended) {
            ended = match goes_on {
                true => self.deliver(lane, intent, work, answered, &mut sent).await,
                false => {
                    self.note_answers(lane, answered, &mut sent).await;
                    Ok(())
                }
            };
        }
        // The next batch goes out while this is being made durable. Until it is, the intent stands.
        self.committed().await?;
        let contents = contents(batch.rows.iter().chain(&sent.done));
        fold::at_once(&self.engine, lane, &mut sent.done).await?;
        let sent_rows = self.distinct(lane, sent.done).await?;
        // A message may be recorded as pending first, and in the same batch as sent.
        let mut done = self.still_free(lane, &sent_rows, batch.rows).await?;
        let mut records = surplus::remember_all(&self.engine, &sent_rows, &lane.mark()?).await?;
        done.extend(sent_rows);
        let rows = done.iter().cloned();
        records.extend(rows.map(|row| Record::Item(Box::new(row))));
        let gone = batch.gone.into_iter();
        records.extend(gone.map(|id| Record::Gone(lane.row.no, id, true)));
        // What is in doubt keeps its intent.
        if !sent.open {
            records.extend(intent.iter().map(|intent| Record::Close(intent.batch)));
        }
        let (flags, intended) = flags::intend(&self.engine, batch.flags);
        records.extend(flags);
        records.extend(self.engine.daily.records());
        if ended.is_ok() && goes_on {
            records.extend(batch.cursor.map(|cursor| advance(lane, cursor)));
        }
        let (engine, no) = (Arc::clone(&self.engine), lane.row.no);
        self.committing = Some(tokio::spawn(commit(engine, no, records, contents)));
        self.report(lane, &done);
        if ended.is_err() || !goes_on {
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

    /// Looks up ids that the server did not name before there are too many of them.
    pub(super) async fn look_up(&mut self, lane: &Lane, done: &[ItemRow]) -> Result<()> {
        let unnamed = |row: &&ItemRow| row.state == ItemState::Unnamed;
        self.unnamed += done.iter().filter(unnamed).count();
        if self.unnamed >= UNNAMED_MOST && self.is_quiet() {
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

    pub(super) fn report(&self, lane: &Lane, done: &[ItemRow]) {
        // What is only recorded as new has not got anywhere yet.
        let told = tally(done).into_iter();
        for (state, messages, bytes) in told.filter(|(state, ..)| *state != ItemState::Pending) {
            self.engine.emit(Event::Progress {
                folder: lane.folder.path.clone(),
                state,
                messages,
                bytes,
            });
        }
        self.engine.tell_repaired(&lane.folder.path, done);
        let rescued = done.iter().filter(|row| row.gone && row.state.is_final());
        let rescued = rescued.count() as u64;
        if rescued > 0 {
            self.engine
                .note(lane.row.no, |notes| notes.rescued += rescued);
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
