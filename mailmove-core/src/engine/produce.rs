//! Lists and fetches, and hands on batches ready to be recorded and sent.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::{
    Engine, Mode,
    adopt::{self, Adopter, Match, Sought},
    flags::FlagWork,
    health::LOST,
    labels,
    lane::Lane,
    repaired::Unrepaired,
    retry::Backoff,
    share::{ASIDE_MOST, Copying, Desk},
    survey, undelivered,
};
use crate::{
    checkpoint::{ItemRow, ItemState, Scan, Stored},
    destination::Existing,
    error::{Error, Result},
    model::{AlterationKind, Content, Cursor, Form, Listed, MessageId},
    observe::Direction,
    source::{Change, Coverage, ListRequest},
};

/// Messages to be sent, and what is to be recorded when they are done.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) work: Vec<Work>,
    /// Messages to be copied at the destination.
    pub(super) copies: Vec<Copying>,
    /// Rows that need no sending: excluded, already there, vanished, failed.
    pub(super) rows: Vec<ItemRow>,
    /// Flags to be set on messages that are there.
    pub(super) flags: Vec<FlagWork>,
    /// Known messages that are gone from the source.
    pub(super) gone: Vec<MessageId>,
    /// Everything up to here is in this batch or before it.
    pub(super) cursor: Option<Cursor>,
}

/// A message with its content.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) row: ItemRow,
    pub(super) content: Content,
    /// How often it was sent without a word on what became of it.
    pub(super) doubts: u32,
    /// What it was, if this is a repaired form.
    pub(super) before: Option<Box<Unrepaired>>,
}

/// What a listing said as a whole.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Messages the server counts.
    pub(super) exists: Option<u64>,
    /// Flags of messages that were already on their way differ: all has to be listed once more.
    pub(super) again: bool,
    /// It only covers what came after its cursor: what was before may have changed.
    pub(super) rest: bool,
    /// What changed while it was listed.
    pub(super) changed: Vec<Listed>,
}

/// Contents that an inline listing may leave out before it is given up.
const DEFERRED_MOST: usize = 500;

/// Produces all batches of a lane. `None`: nothing was listed, only what the ledger had pending.
pub(super) async fn run(
    engine: Arc<Engine>,
    lane: Lane,
    desk: Arc<Desk>,
    out: mpsc::Sender<Batch>,
) -> Result<Option<Listing>> {
    let adopter = Adopter::new(lane.shared);
    let mut producer = Producer {
        backoff: Backoff::on(&engine, Direction::Down),
        engine,
        lane,
        out,
        batch: Batch::default(),
        bytes: 0,
        adopter,
        deferred: Vec::new(),
        aside: Vec::new(),
        twins: Vec::new(),
        desk,
        inline: false,
        again: false,
        changed: Vec::new(),
        unexported: HashMap::new(),
    };
    producer.pending().await?;
    let listing = if producer.lane.surveyed || producer.lane.quiet {
        None
    } else {
        Some(producer.listing().await?)
    };
    producer.catch_up().await?;
    Ok(listing)
}

pub(super) struct Producer {
    pub(super) engine: Arc<Engine>,
    pub(super) lane: Lane,
    out: mpsc::Sender<Batch>,
    pub(super) batch: Batch,
    pub(super) bytes: u64,
    pub(super) adopter: Adopter,
    pub(super) backoff: Backoff,
    // Messages that an inline listing came without, to be fetched when it has ended: it may hold
    // the only connection.
    deferred: Vec<ItemRow>,
    /// Messages whose content another lane is fetching.
    pub(super) aside: Vec<ItemRow>,
    /// Messages that are looked for after their twins.
    pub(super) twins: Vec<ItemRow>,
    pub(super) desk: Arc<Desk>,
    inline: bool,
    again: bool,
    /// What changed while it was listed.
    changed: Vec<Listed>,
    /// Items that could not be exported, with the code of the reason.
    pub(super) unexported: HashMap<MessageId, String>,
}

impl Producer {
    /// What earlier passes, or the survey of this one, left open.
    async fn pending(&mut self) -> Result<()> {
        if self.lane.quiet && self.engine.mode == Mode::Pass {
            return Ok(());
        }
        if self.lane.adopting {
            let mut pages = self.engine.ledger.scan(self.open_rows());
            while let Some(page) = pages.next().await {
                for stored in page? {
                    self.adopter.announce(&stored.row);
                }
            }
            if self.adopter.has_twins() {
                let mut pages = self.engine.ledger.scan(self.open_rows());
                while let Some(page) = pages.next().await {
                    for stored in page? {
                        self.adopter.announce_flags(&stored.row);
                    }
                }
            }
        }
        let mut pages = self.engine.ledger.scan(self.open_rows());
        while let Some(page) = pages.next().await {
            let rows = page?.into_iter().map(|stored| stored.row);
            // What the destination lost is not sent again unasked: `health` says so. What failed in
            // this very pass had its tries.
            let tried =
                |row: &ItemRow| row.state == ItemState::Failed && row.pass == self.engine.pass;
            let rows = rows.filter(|row| row.code.as_deref() != Some(LOST) && !tried(row));
            let (lost, rows): (Vec<_>, Vec<_>) = match self.engine.mode {
                Mode::Pass => (Vec::new(), rows.collect()),
                Mode::Retry => rows
                    .filter(undelivered::is_taken_up)
                    .partition(undelivered::is_lost),
            };
            self.take(rows.into_iter().map(|row| (row, None)).collect())
                .await?;
            self.rescue(lost).await?;
            self.not_too_many_aside().await?;
        }
        let twins = std::mem::take(&mut self.twins);
        self.fetch_all(twins.into()).await
    }

    async fn not_too_many_aside(&mut self) -> Result<()> {
        if self.aside.len() < ASIDE_MOST {
            return Ok(());
        }
        self.catch_up().await
    }

    fn open_rows(&self) -> Scan {
        let scan = Scan::folder(self.lane.row.no);
        match self.engine.mode {
            Mode::Pass => scan
                .with_states(&[ItemState::Pending, ItemState::Failed])
                .with_gone(false),
            Mode::Retry => scan.with_states(&undelivered::TAKEN_UP),
        }
    }

    /// Lists the folder from its cursor, again from the last page after a failure.
    async fn listing(&mut self) -> Result<Listing> {
        let mut cursor = self.lane.row.cursor.clone();
        // Contents come along only when every one of them will be wanted.
        self.inline = self.engine.form == Form::Mime
            && self.engine.options.filter.is_empty()
            && !self.engine.shares()
            && self.lane.homes.is_none()
            && !self.engine.daily.limits_down();
        loop {
            let listed = self.list_from(&mut cursor).await;
            let deferred = std::mem::take(&mut self.deferred);
            self.fetch_all(deferred.into()).await?;
            match listed {
                Ok(Some(listing)) => return Ok(listing),
                // This source does not bring contents along: go on without asking for them.
                Ok(None) => self.inline = false,
                Err(error) => self.wait_after(error).await?,
            }
        }
    }

    /// `None`: it stopped early because too many contents were left out.
    async fn list_from(&mut self, cursor: &mut Option<Cursor>) -> Result<Option<Listing>> {
        self.engine.ready(Direction::Down).await?;
        let request = ListRequest::new(&self.lane.folder)
            .with_since(cursor.clone())
            .with_form(self.engine.form)
            .with_headers(self.engine.form != Form::Mime)
            .with_inline(self.inline.then_some(Form::Mime));
        let mut pages = self.engine.source.list(request);
        let mut listing = Listing::default();
        while let Some(page) = pages.next().await {
            self.engine.check_stop()?;
            let page = page?;
            let next = page.next.clone();
            listing.exists = page.exists.or(listing.exists);
            listing.rest = page.coverage == Coverage::Rest;
            self.page(page.changes).await?;
            self.batch.cursor = Some(next.clone());
            if cursor.as_ref() != Some(&next) {
                self.backoff.reset();
            }
            *cursor = Some(next);
            self.not_too_many_aside().await?;
            if self.deferred.len() >= DEFERRED_MOST {
                return Ok(None);
            }
        }
        if listing.exists.is_none() {
            return Err(survey::broken_off());
        }
        listing.again = self.again;
        listing.changed.append(&mut self.changed);
        Ok(Some(listing))
    }

    /// Sorts a page of a first listing: what is known already, what is left out, what is new.
    async fn page(&mut self, changes: Vec<Change>) -> Result<()> {
        let mut items = Vec::with_capacity(changes.len());
        for change in changes {
            match change {
                Change::Item(listed) => items.push(*listed),
                // It may be on its way just now.
                Change::Altered(listed) => {
                    let known = self.known(vec![listed.id.clone()]).await?;
                    match known.into_iter().flatten().next() {
                        Some(_) => self.changed.push(*listed),
                        None => items.push(*listed),
                    }
                }
                // An interrupted first listing goes on: what changed before the cursor.
                Change::Flags(id, flags) => {
                    let known = self.known(vec![id]).await?;
                    for stored in known.into_iter().flatten() {
                        self.batch
                            .flags
                            .extend(FlagWork::of(&self.lane, stored.row, &flags));
                    }
                }
                Change::Removed(id) => self.batch.gone.push(id),
            }
        }
        let known = self
            .known(items.iter().map(|item| item.id.clone()).collect())
            .await?;
        let mut fresh = Vec::with_capacity(items.len());
        for (mut item, known) in items.into_iter().zip(known) {
            if let Some(stored) = &known {
                survey::keep_untold(&mut item, &stored.row);
            }
            match known {
                Some(stored) if stored.row.state.is_final() && !self.is_wanted(&stored, &item) => {
                    let flags = item.flags;
                    self.batch
                        .flags
                        .extend(FlagWork::of(&self.lane, stored.row, &flags));
                }
                // Open rows were taken up by `pending` already, with the flags they had then.
                Some(stored) if !stored.row.state.is_final() => {
                    self.again |= self.engine.options.flags && stored.row.flags != item.flags;
                }
                _ if self.lane.leaves_to_others(&item.also_in) => {
                    let row = row_of(&self.engine, &self.lane, item);
                    self.settled(labels::labelled(&self.engine, row)).await?;
                }
                _ => {
                    let content = item.content.clone();
                    fresh.push((row_of(&self.engine, &self.lane, item), content));
                }
            }
        }
        self.take(fresh).await
    }

    /// Left out by a rule that lets it through now.
    fn is_wanted(&self, known: &Stored, item: &Listed) -> bool {
        labels::wanted_again(&self.engine, &self.lane, &known.row, &item.also_in)
    }

    async fn known(&self, ids: Vec<MessageId>) -> Result<Vec<Option<Stored>>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.engine.ledger.items(self.lane.row.no, ids).await
    }

    /// Filters, looks whether they are there already, fetches, and puts them into batches.
    pub(super) async fn take(&mut self, rows: Vec<(ItemRow, Option<Content>)>) -> Result<()> {
        let mut missing = VecDeque::new();
        let mut wanted = Vec::with_capacity(rows.len());
        let mut found = Vec::new();
        for (mut row, content) in rows {
            let size = Some(row.source_size()).filter(|size| *size > 0);
            if let Some(rule) = self.engine.options.filter.excludes(row.received, size) {
                row.state = ItemState::Excluded;
                row.code = Some(rule.to_owned());
                row.pass = self.engine.pass;
                self.settled(row).await?;
                continue;
            }
            wanted.push((row, content));
        }
        for (row, content) in self.share(wanted).await? {
            match content {
                Some(content) => self.with_content(row, content).await?,
                None => match self.search(&row, None).await? {
                    Match::Found(existing) => found.push((row, existing.id)),
                    _ if self.inline => {
                        // Recorded as pending, so that the cursor may pass it.
                        self.settled(row.clone()).await?;
                        self.deferred.push(row);
                    }
                    Match::None | Match::NeedsContent => missing.push_back(row),
                },
            }
        }
        // It is not there because it once was: what was found is looked at together.
        let ids = found.iter().map(|(_, id)| id.clone()).collect();
        let mut there = self.present(ids).await?;
        for (row, id) in found {
            match there.remove(&id) {
                Some(existing) => self.adopt(row, &existing).await?,
                None if self.inline => {
                    self.settled(row.clone()).await?;
                    self.deferred.push(row);
                }
                None => missing.push_back(row),
            }
        }
        self.fetch_all(missing).await
    }

    async fn present(&mut self, ids: Vec<MessageId>) -> Result<HashMap<MessageId, Existing>> {
        loop {
            match adopt::present(&self.engine, &self.lane, ids.clone()).await {
                Ok(there) => return Ok(there),
                Err(error) => self.wait_after(error).await?,
            }
        }
    }

    pub(super) async fn search(&mut self, row: &ItemRow, content: Option<Sought>) -> Result<Match> {
        if !self.lane.adopting {
            return Ok(Match::None);
        }
        loop {
            let found = self.adopter.find(&self.engine, &self.lane, row, content);
            match found.await {
                Ok(found) => return Ok(found),
                Err(error) => self.wait_after(error).await?,
            }
        }
    }

    pub(super) async fn adopt(&mut self, row: ItemRow, existing: &Existing) -> Result<()> {
        let now = row.flags.clone();
        let mut row = adopt::adopted(&self.engine, &self.lane, row, existing);
        if self.engine.options.flags && self.engine.to.sets_flags {
            // Flags are only added to a message that the user may have put there.
            row.flags = now.intersection(&existing.flags);
            row.accepted = (row.flags != existing.flags).then(|| existing.flags.clone());
            let work = FlagWork::of(&self.lane, row.clone(), &now);
            self.batch.flags.extend(work);
        }
        self.settled(row).await
    }

    /// A row that needs no sending.
    pub(super) async fn settled(&mut self, row: ItemRow) -> Result<()> {
        self.batch.rows.push(row);
        if self.batch.rows.len() >= 1000 {
            self.flush().await
        } else {
            Ok(())
        }
    }

    pub(super) async fn flush(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        let empty = batch.work.is_empty()
            && batch.copies.is_empty()
            && batch.rows.is_empty()
            && batch.flags.is_empty();
        if empty && batch.cursor.is_none() && batch.gone.is_empty() {
            return Ok(());
        }
        self.desk.sent(batch.copies.len());
        // A closed channel means that the sending side ended: its own error says why.
        self.out.send(batch).await.map_err(|_| super::cancelled())
    }

    /// Waits before the next try, or gives up with the error.
    pub(super) async fn wait_after(&mut self, error: Error) -> Result<()> {
        self.engine
            .wait_after(&mut self.backoff, &self.lane, error)
            .await
    }
}

/// The row of a newly listed message.
pub(super) fn row_of(engine: &Engine, lane: &Lane, listed: Listed) -> ItemRow {
    let mut row = ItemRow::new(lane.row.no, listed.id);
    row.size = listed
        .content
        .as_ref()
        .map_or(listed.size.unwrap_or(0), Content::size);
    row.received = listed.received;
    row.header = listed.header;
    row.content_id = listed.content_id;
    if engine.options.flags {
        row.flags = listed.flags;
        row.altered = listed.notes;
        row.altered
            .extend((!listed.flags_told).then(survey::untold));
    } else {
        row.altered = listed.notes;
        row.altered
            .retain(|note| note.kind != AlterationKind::FlagDropped);
    }
    row.pass = engine.pass;
    row
}
