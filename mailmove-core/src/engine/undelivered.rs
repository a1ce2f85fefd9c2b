//! Messages that could not be delivered: kept as they came, and taken up again.

use std::collections::HashSet;

use futures_util::StreamExt as _;

use super::{Engine, lane::Lane, letters::Known, produce::Producer, reconcile::World, still};
use crate::{
    checkpoint::{FolderNo, FolderState, ItemRow, ItemState, Record, Scan},
    dead_letter::DeadLetter,
    error::{Error, ErrorKind, Result},
    model::{Content, ContentDigest, Folder, Form},
    observe::Event,
    report::Problem,
};

impl Engine {
    /// Marks a row as failed, tells why, and keeps the message as it came. That it cannot be kept
    /// is told too; the row is open all the same.
    pub(super) async fn give_up(
        &self,
        lane: &Lane,
        row: &mut ItemRow,
        error: &Error,
        content: Option<&Content>,
    ) {
        row.restore();
        // An export is of no use to anybody but Exchange.
        let content = content.filter(|content| content.form() == Form::Mime);
        if let Some(content) = content {
            row.digest = Some(content.digest());
            row.size = content.size();
        }
        if let Some(letters) = &self.dead_letters {
            let letter = self.letter(lane, row, error);
            match letters.keep(&letter, content).await {
                Ok(place) => row.dead_letter = Some(place),
                Err(error) => self.not_kept(lane, &error),
            }
        }
        self.fail(&lane.folder.path, row, error);
    }

    fn letter(&self, lane: &Lane, row: &ItemRow, error: &Error) -> DeadLetter {
        let folder = lane.folder.path.clone();
        let mut letter = DeadLetter::new(&self.job, folder, row.folder, row.id.clone());
        letter.source = self.source.endpoint().to_string();
        letter.destination = self.destination.endpoint().to_string();
        lane.row.identity.clone_into(&mut letter.identity);
        letter.to = lane.place.path.clone();
        letter.message = self.source.describe(&row.id);
        error.code().clone_into(&mut letter.code);
        letter.reason = error.chain();
        letter.remedy = error.remedy().map(str::to_owned);
        letter.digest = row.digest;
        letter.size = row.size;
        letter.received = row.received;
        letter.flags = row.flags.clone();
        letter.tries = row.attempts.saturating_add(1);
        letter.pass = self.pass;
        letter
    }

    fn not_kept(&self, lane: &Lane, error: &Error) {
        self.emit(Event::Note {
            folder: Some(lane.folder.path.clone()),
            text: error.chain(),
        });
        let mut notes = self.notes();
        notes.not_kept.get_or_insert_with(|| Problem::from(error));
    }

    /// Where a message is kept, as users know it.
    pub(super) fn letter_of(&self, row: &ItemRow) -> Option<String> {
        let letters = self.dead_letters.as_ref()?;
        row.dead_letter
            .as_ref()
            .map(|place| letters.describe(place))
    }

    /// A dead letter's content, if it is what the ledger remembers.
    async fn content_of_letter(&self, row: &ItemRow) -> Result<Option<Content>> {
        let (Some(letters), Some(place)) = (&self.dead_letters, &row.dead_letter) else {
            return Ok(None);
        };
        let Some((_, Some(content))) = letters.open(place).await? else {
            return Ok(None);
        };
        if row
            .source_digest()
            .is_some_and(|digest| digest != content.digest())
        {
            return Err(
                Error::new(ErrorKind::Mismatch, "a dead letter is not what it was")
                    .with_code("dead-letter/changed")
                    .with_context("file", letters.describe(place))
                    .with_remedy("Somebody changed it: put the original back, or save it by hand."),
            );
        }
        Ok(Some(content))
    }

    /// At a pass's end: takes away the letters of messages that were delivered after all.
    pub(super) async fn discard_delivered(&self) -> Result<()> {
        let Some(letters) = &self.dead_letters else {
            return Ok(());
        };
        let list = letters.list(&self.job).await?;
        if list.is_empty() {
            return Ok(());
        }
        let ledger = Known::of(self).await?;
        for (place, letter) in list {
            let (_, Some(mut row)) = ledger.about(self, &letter).await? else {
                continue;
            };
            let delivered = matches!(
                row.state,
                ItemState::Copied | ItemState::AlreadyThere | ItemState::RemovedThere
            );
            if !delivered {
                continue;
            }
            // The row first: as long as the letter is there, this is done again.
            if row.dead_letter.take().is_some() {
                self.ledger
                    .commit(vec![Record::Item(Box::new(row))])
                    .await?;
            }
            letters.discard(&place).await?;
        }
        Ok(())
    }
}

/// What a retry takes up: what failed, and what the source has lost since.
pub(super) const TAKEN_UP: [ItemState; 3] =
    [ItemState::Failed, ItemState::Vanished, ItemState::Pending];

/// The source has it no more: only its letter can be sent.
pub(super) fn is_lost(row: &ItemRow) -> bool {
    row.dead_letter.is_some() && (row.gone || row.state == ItemState::Vanished)
}

/// What failed, of which the source still has it or a letter does. A retry that was cut off leaves it
/// pending.
pub(super) fn is_taken_up(row: &ItemRow) -> bool {
    let failed = match row.state {
        ItemState::Failed => true,
        ItemState::Pending => row.attempts > 0 || row.dead_letter.is_some(),
        _ => false,
    };
    is_lost(row) || failed && !row.gone
}

/// For a retry: the folders that were listed before, and those that the source has no more but that
/// left letters behind. None of them is listed.
pub(super) async fn only_those(
    engine: &Engine,
    world: &mut World,
    destination: &[Folder],
) -> Result<()> {
    let mut lanes = Vec::with_capacity(world.lanes.len());
    for mut lane in std::mem::take(&mut world.lanes) {
        if lane.row.listed || any_row(engine, lane.row.no, |_| true).await? {
            lane.surveyed = true;
            lanes.push(lane);
        }
    }
    let targets = engine.ledger.targets().await?;
    for row in engine.ledger.folders().await? {
        if row.state != FolderState::Gone || !any_row(engine, row.no, is_lost).await? {
            continue;
        }
        let lane = match Lane::left(row.clone(), &targets, destination) {
            Some(lane) => still::left(engine, lane).await?,
            None => None,
        };
        let Some(mut lane) = lane else {
            engine.emit(Event::Note {
                folder: Some(row.path),
                text: "dead letters of this folder stay: it has no place at the destination".into(),
            });
            continue;
        };
        lane.surveyed = true;
        lanes.push(lane);
    }
    world.lanes = lanes;
    Ok(())
}

async fn any_row(engine: &Engine, folder: FolderNo, test: fn(&ItemRow) -> bool) -> Result<bool> {
    let mut pages = engine
        .ledger
        .scan(Scan::folder(folder).with_states(&TAKEN_UP));
    while let Some(page) = pages.next().await {
        if page?.iter().any(|stored| test(&stored.row)) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Producer {
    /// Takes up a message from its dead letter; false if there is none.
    pub(super) async fn take_letter(&mut self, row: &ItemRow) -> Result<bool> {
        match self.engine.content_of_letter(row).await {
            Ok(Some(content)) => {
                self.with_content(row.clone(), content).await?;
                Ok(true)
            }
            Ok(None) => Ok(false),
            // It costs this one message.
            Err(error) => {
                let mut row = row.clone();
                self.engine.fail(&self.lane.folder.path, &mut row, &error);
                self.settled(row).await?;
                Ok(true)
            }
        }
    }

    /// Sends the letters of what the source has no more. What has an equal there is left to that: it
    /// has moved rather than gone.
    pub(super) async fn rescue(&mut self, mut rows: Vec<ItemRow>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let wanted: HashSet<ContentDigest> =
            rows.iter().filter_map(ItemRow::source_digest).collect();
        // Where each of them is, or was delivered to before it went from there too.
        let (mut live, mut delivered) = (HashSet::new(), HashSet::new());
        let mut pages = self.engine.ledger.scan(Scan::all());
        while let Some(page) = pages.next().await {
            for row in page?.into_iter().map(|stored| stored.row) {
                let digest = row.source_digest();
                let Some(digest) = digest.filter(|digest| wanted.contains(digest)) else {
                    continue;
                };
                if !row.gone && row.state != ItemState::Vanished {
                    live.insert(digest);
                } else if matches!(row.state, ItemState::Copied | ItemState::AlreadyThere) {
                    delivered.insert((digest, row.folder));
                }
            }
        }
        // What was delivered in the letter's own folder was its twin.
        let elsewhere = |row: &ItemRow, digest| {
            let mut places = delivered.iter();
            live.contains(&digest) || places.any(|(of, at)| *of == digest && *at != row.folder)
        };
        rows.retain(|row| {
            row.source_digest()
                .is_some_and(|digest| !elsewhere(row, digest))
        });
        for row in rows {
            self.take_letter(&row).await?;
        }
        Ok(())
    }
}
