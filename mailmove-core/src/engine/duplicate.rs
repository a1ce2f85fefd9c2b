//! Copies at the destination: the sending half of [`share`](super::share), and what settles copies
//! that were interrupted.
//!
//! A copy has the flags of its original. Its row is recorded with those, and the intent stands until
//! they are what the source shows: who comes after a crash sees from it what is still to be done.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use futures_util::StreamExt as _;

use super::{
    Engine,
    deliver::Sender,
    flags::{self, FlagWork},
    fold,
    lane::Lane,
    settle::{self, Doubt, Place, Verdict},
    share::Copying,
    surplus, survey,
};
use crate::{
    checkpoint::{Intent, ItemRow, ItemState, Record, TargetNo},
    destination::{Outcome, Receipt},
    error::{Error, Result, Scope},
    model::{AlterationKind, FolderId, MessageId},
};

/// What came of a round of copies.
#[derive(Default)]
struct Round {
    /// Copied, with the flags of their originals.
    done: Vec<ItemRow>,
    /// To be fetched instead.
    back: Vec<ItemRow>,
    /// To be copied again.
    again: Vec<Copying>,
    doubtful: Vec<Copying>,
    /// Why some are to be copied again.
    passing: Option<Error>,
    /// What ends the pass.
    stop: Option<Error>,
}

impl Sender {
    /// Makes copies, and records what came of them. What cannot be copied goes back to the
    /// producer; the error is what ends the lane.
    pub(super) async fn copies(
        &mut self,
        lane: &Lane,
        intent: &Intent,
        copies: Vec<Copying>,
    ) -> Result<()> {
        let count = copies.len();
        let mut open = copies;
        let mut back = Vec::new();
        let mut stopped = None;
        while !open.is_empty() && stopped.is_none() {
            let mut round = self.round(lane, open).await?;
            stopped = round.stop;
            // Before doubts are settled: what is claimed must not be taken for what is in doubt.
            self.record(lane, round.done).await?;
            let (found, absent) = self.doubts(lane, intent, round.doubtful).await?;
            self.record(lane, found).await?;
            round.back.extend(absent);
            if let (None, Some(error)) = (&stopped, round.passing) {
                match self.backoff.next(&error) {
                    Some(wait) => {
                        self.retrying(lane, &error, wait);
                        let rest = self.engine.rest(&self.backoff, &error, wait);
                        stopped = rest.await.err();
                    }
                    None if error.scope() <= Scope::Folder => {
                        round.back.extend(round.again.drain(..).map(|one| one.row));
                    }
                    None => stopped = Some(error),
                }
            } else {
                self.backoff.reset();
            }
            self.put_back(lane, &round.back).await?;
            back.extend(round.back);
            open = round.again;
        }
        finish(&self.engine, &Place::of(lane), intent).await?;
        self.desk.done(count, back);
        stopped.map_or(Ok(()), Err)
    }

    /// One request for each folder that messages are copied from; no message twice in one of them.
    async fn round(&self, lane: &Lane, copies: Vec<Copying>) -> Result<Round> {
        let mut round = Round::default();
        let mut groups: HashMap<TargetNo, HashMap<MessageId, Copying>> = HashMap::new();
        for copying in copies {
            let (target, id) = copying.from.clone();
            match groups.entry(target).or_default().entry(id) {
                Entry::Occupied(_) => round.again.push(copying),
                Entry::Vacant(place) => {
                    place.insert(copying);
                }
            }
        }
        let places = self.places().await?;
        for (target, mut group) in groups {
            let (Some(place), Some(updater)) =
                (places.get(&target), self.engine.destination.updater())
            else {
                round.back.extend(group.into_values().map(|one| one.row));
                continue;
            };
            if let Err(error) = self.engine.check_stop() {
                round.stop = Some(error);
                break;
            }
            let ids = group.keys().cloned().collect();
            let mut answers = updater.duplicate(place, ids, &lane.place.id);
            while let Some((id, outcome)) = answers.next().await {
                if let Some(copying) = group.remove(&id) {
                    self.sort(lane, copying, outcome, &mut round);
                }
            }
            // No word on these.
            round.doubtful.extend(group.into_values());
        }
        Ok(round)
    }

    async fn places(&self) -> Result<HashMap<TargetNo, FolderId>> {
        let targets = self.engine.ledger.targets().await?;
        let places = targets.into_iter().map(|target| (target.no, target.id));
        Ok(places.collect())
    }

    fn sort(&self, lane: &Lane, copying: Copying, outcome: Outcome, round: &mut Round) {
        match outcome {
            Outcome::Stored(receipt) | Outcome::AlreadyThere(receipt) => {
                round.done.push(self.copied(lane, copying, receipt));
            }
            Outcome::Unknown(error) => {
                tracing::info!(error = %error.chain(), "copy in doubt");
                round.doubtful.push(copying);
            }
            Outcome::NotStored(error) if error.is_transient() => {
                round.again.push(copying);
                round.passing = Some(error);
            }
            Outcome::NotStored(error) if error.scope() <= Scope::Folder => {
                // Gone there, or this server copies no such thing: it is fetched instead, and
                // whatever is wrong with the folder shows then.
                tracing::debug!(error = %error.chain(), "not copied");
                self.engine.contents.spend(copying.from);
                round.back.push(copying.row);
            }
            Outcome::NotStored(error) => round.stop = Some(error),
        }
    }

    fn copied(&self, lane: &Lane, copying: Copying, mut receipt: Receipt) -> ItemRow {
        let flags = receipt.flags.take().unwrap_or(copying.flags);
        let mut row = self.stored(lane, copying.row, receipt, ItemState::Copied);
        row.flags = flags;
        row.accepted = None;
        row
    }

    /// Looks for copies in doubt: those found, and those to be fetched.
    async fn doubts(
        &mut self,
        lane: &Lane,
        intent: &Intent,
        doubtful: Vec<Copying>,
    ) -> Result<(Vec<ItemRow>, Vec<ItemRow>)> {
        let (mut found, mut back) = (Vec::new(), Vec::new());
        if doubtful.is_empty() {
            return Ok((found, back));
        }
        // What is stored for sure must not be taken for these.
        let since = self.engine.now_ms();
        self.named(lane).await?;
        for copying in &doubtful {
            self.engine.contents.spend(copying.from.clone());
        }
        let doubt = Doubt {
            rows: doubtful.into_iter().map(|one| one.row).collect(),
            mark: Some(&intent.mark),
            since,
            taken: HashSet::new(),
        };
        let settled = settle::settle(&self.engine, &Place::of(lane), doubt).await?;
        for (mut row, verdict) in settled {
            if verdict == Verdict::Found {
                found.push(as_there(row, &intent.items));
                continue;
            }
            row.resent = true;
            if verdict == Verdict::Unproven {
                self.engine
                    .note(lane.row.no, |notes| notes.perhaps_doubled += 1);
            }
            back.push(row);
        }
        Ok((found, back))
    }

    async fn record(&mut self, lane: &Lane, mut done: Vec<ItemRow>) -> Result<()> {
        if done.is_empty() {
            return Ok(());
        }
        self.committed().await?;
        fold::at_once(&self.engine, lane, &mut done).await?;
        let done = self.distinct(lane, done).await?;
        let records = done.iter().cloned().map(|row| Record::Item(Box::new(row)));
        let mut records: Vec<Record> = records.collect();
        records.extend(surplus::remember_all(&self.engine, &done, &lane.mark()?).await?);
        self.engine.ledger.commit(records).await?;
        self.report(lane, &done);
        self.note_odd_dates(&done);
        let count = done.len() as u64;
        self.engine
            .note(lane.row.no, |notes| notes.by_reference += count);
        self.look_up(lane, &done).await
    }

    /// In the ledger they are pending, so that a cursor may pass them.
    async fn put_back(&self, lane: &Lane, rows: &[ItemRow]) -> Result<()> {
        let records = rows.iter().cloned().map(|row| Record::Item(Box::new(row)));
        let mut records: Vec<Record> = records.collect();
        records.extend(surplus::remember_all(&self.engine, rows, &lane.mark()?).await?);
        self.engine.ledger.commit(records).await
    }
}

/// A row that was found by its content: from there on its flags are merged as of any other. That
/// it lacks some is no loss: nobody has set them yet.
pub(super) fn as_there(mut row: ItemRow, sent: &[ItemRow]) -> ItemRow {
    if let Some(there) = row.accepted.take() {
        row.flags = there;
    }
    let of = |other: &&ItemRow| other.folder == row.folder && other.id == row.id;
    let before = sent.iter().find(of).map_or(&[][..], |row| &row.altered);
    row.altered
        .retain(|note| note.kind != AlterationKind::FlagDropped || before.contains(note));
    row
}

/// Gives copies the flags that the source shows, and closes their intent, unless one of them is yet
/// to be found.
pub(super) async fn finish(engine: &Engine, place: &Place, intent: &Intent) -> Result<()> {
    let known = settle::known_rows(engine, &intent.items).await?;
    let mut work = Vec::new();
    let mut open = false;
    for (item, known) in intent.items.iter().zip(known) {
        let Some(row) = known else { continue };
        open |= row.state == ItemState::Unnamed;
        let here = row
            .target
            .as_ref()
            .is_some_and(|(target, _)| *target == intent.target);
        if here && !survey::is_untold(item) {
            work.extend(FlagWork::at(&place.id, row, &item.flags));
        }
    }
    flags::apply(engine, work).await?;
    if open {
        return Ok(());
    }
    let close = vec![Record::Close(intent.batch)];
    engine.ledger.commit(close).await
}

/// At a lane's end: copies that the server confirmed without an id have been looked up.
pub(super) async fn finish_all(engine: &Engine, lane: &Lane) -> Result<()> {
    if !engine.shares() {
        return Ok(());
    }
    for intent in engine.ledger.intents().await? {
        if intent.copied && intent.target == lane.target.no {
            finish(engine, &Place::of(lane), &intent).await?;
        }
    }
    Ok(())
}
