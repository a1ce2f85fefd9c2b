//! Fetches contents, and sorts out what cannot be sent.

use std::{collections::VecDeque, sync::Arc};

use futures_util::StreamExt as _;

use super::{
    Mode,
    adopt::{Match, Sought},
    produce::{Producer, Work},
};
use crate::{
    checkpoint::{ItemRow, ItemState},
    destination::Existing,
    error::{Error, ErrorKind, Result, Scope},
    identity::{self, HeaderDigest},
    model::{Alteration, AlterationKind, Content, Form},
    observe::Direction,
    source::{FetchRequest, Fetched},
};

/// How far into a message its header is looked for.
pub(super) const HEADER_MOST: usize = 256 * 1024;
/// Ids in one fetch request.
const FETCH_MOST: usize = 500;

impl Producer {
    pub(super) async fn fetch_all(&mut self, mut missing: VecDeque<ItemRow>) -> Result<()> {
        while !missing.is_empty() {
            let many = self.affordable(&missing).await?;
            let rows: Vec<ItemRow> = missing.drain(..many).collect();
            self.fetch(rows, self.engine.form).await?;
        }
        Ok(())
    }

    /// How many of these to fetch now: as many as a request holds, and the day has bytes for.
    async fn affordable(&mut self, rows: &VecDeque<ItemRow>) -> Result<usize> {
        let most = rows.len().min(FETCH_MOST);
        let engine = Arc::clone(&self.engine);
        if !engine.daily.limits_down() {
            return Ok(most);
        }
        let size = |at: usize| rows.get(at).map_or(0, |row: &ItemRow| row.size);
        if !engine.daily.has_room(engine.edges.clock.now(), size(0)) {
            // Nobody shall wait a day for what is ready to be sent.
            self.flush().await?;
            engine.spend(Direction::Down, size(0)).await?;
        }
        let now = engine.edges.clock.now();
        let more = (1..most).take_while(|at| engine.daily.has_room(now, size(*at)));
        Ok(1 + more.count())
    }

    /// Fetches contents; what fails for a passing reason is tried again.
    async fn fetch(&mut self, rows: Vec<ItemRow>, form: Form) -> Result<()> {
        let mut wanted = rows;
        // What goes in another form than it should.
        let mut convert = Vec::new();
        loop {
            self.engine.check_stop()?;
            let ids = wanted.iter().map(|row| row.id.clone()).collect();
            let identity = self.lane.folder.identity.as_str();
            let request = FetchRequest::new(self.lane.folder.id.clone(), identity, ids);
            let request = request.with_form(form);
            let mut answers = self.engine.source.fetch(request);
            let mut again: Option<Error> = None;
            let mut left: VecDeque<ItemRow> = wanted.into();
            let mut failed = Vec::new();
            while let Some((id, fetched)) = answers.next().await {
                // Servers answer in the order asked, nearly always.
                let Some(at) = left.iter().position(|row| row.id == id) else {
                    continue;
                };
                let Some(mut row) = left.remove(at) else {
                    continue;
                };
                match fetched {
                    Fetched::Content(content) => {
                        self.backoff.reset();
                        self.with_content(row, content).await?;
                    }
                    Fetched::Vanished if self.retries(&row).await? => {}
                    Fetched::Vanished => {
                        row.state = ItemState::Vanished;
                        row.pass = self.engine.pass;
                        self.settled(row).await?;
                    }
                    Fetched::Failed(error) if error.is_transient() || wide(&error) => {
                        again = Some(error);
                        failed.push(row);
                    }
                    Fetched::Failed(_) if self.retries(&row).await? => {}
                    Fetched::Failed(error) if form != Form::Mime => {
                        self.unexported
                            .insert(row.id.clone(), error.code().to_owned());
                        convert.push(row);
                    }
                    Fetched::Failed(error) => {
                        let (engine, lane) = (&self.engine, &self.lane);
                        engine.give_up(lane, &mut row, &error, None).await;
                        self.settled(row).await?;
                    }
                }
            }
            failed.extend(left);
            if failed.is_empty() {
                break;
            }
            let error = again.unwrap_or_else(|| {
                Error::new(
                    ErrorKind::Interrupted,
                    "the source left out messages it was asked for",
                )
            });
            if error.scope() == Scope::Message {
                convert.extend(self.wait_after_message(error, &mut failed, form).await?);
            } else {
                self.wait_after(error).await?;
            }
            if failed.is_empty() {
                break;
            }
            wanted = failed;
        }
        match convert.is_empty() {
            true => Ok(()),
            false => Box::pin(self.fetch(convert, Form::Mime)).await,
        }
    }

    /// A passing failure of single messages: tried again, then recorded as failed. What shall go in another
    /// form instead is given back.
    async fn wait_after_message(
        &mut self,
        error: Error,
        rows: &mut Vec<ItemRow>,
        form: Form,
    ) -> Result<Vec<ItemRow>> {
        if let Some(wait) = self.backoff.next(&error) {
            self.engine.rest(&self.backoff, &error, wait).await?;
            return Ok(Vec::new());
        }
        self.backoff.reset();
        if form != Form::Mime {
            let convert = std::mem::take(rows);
            let codes = convert
                .iter()
                .map(|row| (row.id.clone(), error.code().to_owned()));
            self.unexported.extend(codes);
            return Ok(convert);
        }
        for mut row in rows.drain(..) {
            let (engine, lane) = (&self.engine, &self.lane);
            engine.give_up(lane, &mut row, &error, None).await;
            self.settled(row).await?;
        }
        Ok(Vec::new())
    }

    pub(super) async fn with_content(&mut self, mut row: ItemRow, content: Content) -> Result<()> {
        if row.size > 0 && row.size != content.size() {
            tracing::debug!(announced = row.size, exact = content.size(), "size differs");
        }
        row.restore();
        row.size = content.size();
        if let Some(rule) = self
            .engine
            .options
            .filter
            .excludes(row.received, Some(row.size))
        {
            row.state = ItemState::Excluded;
            row.code = Some(rule.to_owned());
            row.pass = self.engine.pass;
            return self.settled(row).await;
        }
        if self
            .engine
            .to
            .max_message
            .is_some_and(|most| content.size() > most)
        {
            let error = Error::new(ErrorKind::TooLarge, "larger than the destination takes")
                .with_code("destination/too-large")
                .with_context("bytes", content.size().to_string())
                .with_remedy("Raise the destination's limit, or save this message by hand.");
            let (engine, lane) = (&self.engine, &self.lane);
            engine.give_up(lane, &mut row, &error, Some(&content)).await;
            return self.settled(row).await;
        }
        row.digest = Some(content.digest());
        if let Some(code) = self.unexported.remove(&row.id) {
            row.altered.push(converted(&code));
        }
        // Where contents travel as exports, it is the listing that tells items apart.
        if self.engine.form == Form::Mime {
            let header = content.prefix(HEADER_MOST).await?;
            row.header = Some(HeaderDigest::of(&header));
            if row.received.is_none() {
                date_from_header(&mut row, &header);
            }
        }
        let sought = self.sought(&content).await?;
        if let Match::Found(existing) = self.search(&row, Some(sought)).await? {
            if self.engine.options.flags && self.adopter.is_rather_a_twins(&row, &existing) {
                self.twins.push(row);
                return Ok(());
            }
            return self.adopt(row, &existing).await;
        }
        if let Some((row, existing)) = self.search_mended(&row, &content).await? {
            return self.adopt(row, &existing).await;
        }
        let batching = self.engine.to.batching;
        let full = self.batch.work.len() >= batching.max_items
            || self.bytes + content.size() > batching.max_bytes;
        if (full || self.is_anothers_double(&row)) && !self.batch.work.is_empty() {
            self.flush().await?;
        }
        self.bytes += content.size();
        self.batch.work.push(Work {
            row,
            content,
            doubts: 0,
            before: None,
        });
        Ok(())
    }

    /// Looks like a message of the batch, and is another: of two exports in doubt nobody could say which one
    /// is there. With a batch of its own each, there is never more than one in doubt.
    fn is_anothers_double(&self, row: &ItemRow) -> bool {
        let alike = |work: &Work| work.row.header == row.header && work.row.digest != row.digest;
        self.engine.form != Form::Mime && row.header.is_some() && self.batch.work.iter().any(alike)
    }

    /// What this content is looked for by.
    async fn sought(&self, content: &Content) -> Result<Sought> {
        Ok(Sought {
            digest: content.digest(),
            body: match self.lane.adopting && content.form() == Form::Mime {
                true => identity::body_of(content).await?,
                false => None,
            },
        })
    }

    /// A run whose state was lost may have sent a repaired form: the same that would be made now.
    async fn search_mended(
        &mut self,
        row: &ItemRow,
        content: &Content,
    ) -> Result<Option<(ItemRow, Box<Existing>)>> {
        let mime = content.form() == Form::Mime;
        if !mime || !self.lane.adopting || !self.engine.repairs() {
            return Ok(None);
        }
        let Some((row, content)) = self.engine.mended(row, content, "").await? else {
            return Ok(None);
        };
        let sought = self.sought(&content).await?;
        Ok(match self.search(&row, Some(sought)).await? {
            Match::Found(existing) => Some((row, existing)),
            _ => None,
        })
    }

    /// What the source does not give any more is taken from its letter, if that is asked for.
    async fn retries(&mut self, row: &ItemRow) -> Result<bool> {
        if self.engine.mode == Mode::Pass {
            return Ok(false);
        }
        self.take_letter(row).await
    }
}

/// It goes as MIME, since it could not be exported, or its export was not taken.
pub(super) fn converted(code: &str) -> Alteration {
    let detail = format!("as MIME ({code})");
    Alteration::new(AlterationKind::Converted, detail)
}

/// The source names no date: the message's own header is the next best, and better than the day of
/// the migration.
fn date_from_header(row: &mut ItemRow, header: &[u8]) {
    row.received = identity::received(header);
    let detail = match row.received {
        Some(date) => format!("the source names no received date; {date} is from its header"),
        None => "the source names no received date, and neither does the header".to_owned(),
    };
    row.altered
        .push(Alteration::new(AlterationKind::DateReplaced, detail));
}

/// True if the error is about more than one message.
fn wide(error: &Error) -> bool {
    error.scope() > Scope::Message
}
