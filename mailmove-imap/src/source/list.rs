//! Lists a folder in windows of UIDs.
//!
//! Servers do not wait for ever for who does not read: Dovecot hangs up when nothing was taken from it
//! for 5 minutes, and after 30 without a command. Only what brings contents along can stall so, since
//! it reads no further than they are wanted: while the destination takes a batch in, or is waited
//! for. Then the connection is lost, and no more: a listing goes on from its last page, what is left
//! of a fetch is asked for again, and the message that was to come is asked for alone, once. Any other
//! listing reads a window to its end before it hands out a page. Towards a destination that does not
//! read the configured patience counts, and what was on its way is in doubt.
//!
//! A listing that brings contents along keeps its connection and sends commands ahead, so that the
//! server never waits for us. Any other takes a whole window in, gives its connection back, and only
//! then hands out pages: whoever reads them may fetch meanwhile, even where there is but one
//! connection.

mod ask;

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use futures_util::stream;
use mailmove_core::{
    error::{Error, Result, Scope},
    identity::HeaderDigest,
    model::{Content, Form, Listed},
    source::{BoxStream, Change, Coverage, ListRequest, Page},
};

use super::{
    collect::{Collector, Gathered},
    convert,
    count::Count,
    cursor::Place,
    delta::{Begun, Opening},
    labels::Labels,
    substitute,
    suspects::{Broken, Suspects},
    told::{Told, told},
    windows::{self, Windows},
};
use crate::{
    cut,
    distrust::Feature,
    error::{self, Doing},
    ids,
    pool::{Lease, Pool},
    session::Session,
    wire::{Code, Status, StatusKind, Tag, UidRange, UidSet},
};

/// Commands sent ahead while contents come along.
const AHEAD: usize = 2;
/// Messages on a page with contents.
const PAGE_WITH_CONTENTS: usize = 128;
/// Bytes of contents after which a page is full.
const PAGE_BYTES: u64 = 1 << 20;
/// Changes on any other page.
const PAGE: usize = 256;
/// UIDs that a server may name gone at once; more of them are nonsense.
const VANISHED_MOST: usize = 1 << 20;
/// Longest header that is read for its digest from a content that came along.
const HEADER_MOST: usize = 256 << 10;

/// A range of UIDs that the server was asked for.
#[derive(Debug)]
struct Window {
    tag: Tag,
    range: UidRange,
    contents: bool,
    found: u32,
}

impl Window {
    fn set(&self) -> UidSet {
        UidSet::from_ranges(vec![self.range])
    }
}

/// A message of a window.
#[derive(Debug)]
struct Found {
    uid: u32,
    listed: Box<Listed>,
}

enum Stage {
    Start,
    Listing,
    End,
}

struct Listing {
    pool: Arc<Pool>,
    suspects: Arc<Suspects>,
    labels: Arc<Labels>,
    /// Where connections broke before this listing.
    broken: Broken,
    request: ListRequest,
    stage: Stage,
    lease: Option<Lease>,
    /// The opening of the folder that `count` follows.
    view: u64,
    /// Messages went since then.
    moved: bool,
    collector: Collector,
    ready: VecDeque<Page>,
    begun: Begun,
    windows: Windows,
    in_flight: VecDeque<Window>,
    count: Count,
    /// UIDs of the windows in flight that were listed.
    seen: HashSet<u32>,
    found: Vec<Found>,
    bytes: u64,
    /// Bytes of all contents so far.
    taken: u64,
    /// Messages come in the order of their UIDs, so that a page's end is a place to go on from.
    ordered: bool,
    /// The highest UID listed.
    highest: u32,
    /// Everything below was handed out.
    next: u32,
    handed: u64,
}

/// See [`Source::list`](mailmove_core::source::Source::list).
pub(super) fn list(
    pool: Arc<Pool>,
    suspects: Arc<Suspects>,
    labels: Arc<Labels>,
    request: ListRequest,
) -> BoxStream<Result<Page>> {
    let listing = Listing::new(pool, suspects, labels, request);
    Box::pin(stream::try_unfold(listing, |mut listing| async move {
        let page = listing.next_page().await?;
        Ok(page.map(|page| (page, listing)))
    }))
}

impl Listing {
    fn new(
        pool: Arc<Pool>,
        suspects: Arc<Suspects>,
        labels: Arc<Labels>,
        request: ListRequest,
    ) -> Self {
        let spool = pool.access().edges.spool.clone();
        Self {
            pool,
            suspects,
            labels,
            broken: Broken::default(),
            request,
            stage: Stage::Start,
            lease: None,
            view: 0,
            moved: false,
            collector: Collector::new(spool),
            ready: VecDeque::new(),
            begun: Begun::default(),
            windows: Windows::new(1, 1, 0, 1),
            in_flight: VecDeque::new(),
            count: Count::new(0, true),
            seen: HashSet::new(),
            found: Vec::new(),
            bytes: 0,
            taken: 0,
            ordered: true,
            highest: 0,
            next: 1,
            handed: 0,
        }
    }

    async fn next_page(&mut self) -> Result<Option<Page>> {
        loop {
            if let Some(page) = self.ready.pop_front() {
                return Ok(Some(page));
            }
            match self.stage {
                Stage::Start => self.begin().await?,
                Stage::Listing => self.advance().await?,
                Stage::End => return Ok(None),
            }
        }
    }

    /// Contents come along.
    fn streams(&self) -> bool {
        self.request.inline == Some(Form::Mime)
    }

    /// Opens the folder, and finds out what has to be listed.
    async fn begin(&mut self) -> Result<()> {
        let mut lease = self.pool.lease(Some(&self.request.folder)).await?;
        let since = self.request.since.as_ref().and_then(Place::read);
        let target = lease.at_most(windows::first(self.streams()));
        let guess = self.guess(target);
        let (ahead, command) = match guess {
            Some(range) => {
                let (window, command) = self.window(&mut lease, range, true)?;
                (Some(window), Some(command))
            }
            None => (None, None),
        };
        let opening = Opening {
            request: &self.request,
            since,
            labels: &self.labels,
            behind: command,
        };
        let (begun, mut changes) = opening.begin(&mut lease, &mut self.collector).await?;
        self.windows = Windows::new(begun.start, begun.end, begun.exists, target);
        if let Some(window) = ahead.filter(|_| begun.behind) {
            self.windows.skip(window.range);
            self.in_flight.push_back(window);
        }
        self.count = Count::new(begun.exists, begun.start == 1);
        if lease.connection.is_uid_only() {
            self.count.without_numbers();
        }
        self.broken = self.suspects.of(&self.request.folder, begun.validity);
        self.view = begun.view;
        self.next = begun.start;
        self.begun = begun;
        // What changed before the cursor comes first, and the cursor stays until all of it came.
        if let Some(since) = since {
            while !changes.is_empty() {
                let rest = changes.split_off(changes.len().min(PAGE));
                let page = Page::new(changes, since.cursor(), self.begun.coverage);
                self.ready.push_back(page);
                changes = rest;
            }
        }
        self.stage = Stage::Listing;
        self.lease = Some(lease).filter(|_| self.streams());
        Ok(())
    }

    /// The first window, if it can be asked for before the folder is open: by what was last seen of it.
    /// Nothing is risked where that is outdated, since the answer to EXAMINE comes first.
    fn guess(&self, target: u32) -> Option<UidRange> {
        if !self.streams() || self.request.since.is_some() {
            return None;
        }
        let mark = self.request.mark.as_ref()?;
        let (validity, next) = (mark.epoch.as_str().parse().ok()?, mark.next?);
        let exists = u32::try_from(self.request.messages?).ok()?;
        let broken = self.suspects.of(&self.request.folder, validity);
        let mut windows = Windows::new(1, u32::try_from(next).ok()?, exists, target);
        windows.take([]).filter(|range| broken.spares(*range))
    }

    /// Goes on until there is a page, or nothing more.
    async fn advance(&mut self) -> Result<()> {
        let mut lease = match self.lease.take() {
            Some(lease) => lease,
            None => {
                if self.nothing_left() {
                    self.finish();
                    return Ok(());
                }
                self.reopen().await?
            }
        };
        self.send_ahead(&mut lease).await?;
        if self.in_flight.is_empty() {
            self.finish();
            return Ok(());
        }
        while self.ready.is_empty() && !self.in_flight.is_empty() {
            self.step(&mut lease).await?;
            if self.streams() {
                self.send_ahead(&mut lease).await?;
            }
        }
        if self.in_flight.is_empty() && self.nothing_left() {
            self.finish();
        } else if self.streams() {
            self.lease = Some(lease);
            return Ok(());
        }
        if std::mem::take(&mut self.moved) {
            // Whoever comes next would not hear of it.
            lease.forget_folder();
        }
        Ok(())
    }

    /// Takes what the server says next.
    async fn step(&mut self, session: &mut Session) -> Result<()> {
        let seen = &self.seen;
        let wanted = |uid: Option<u32>| uid.is_none_or(|uid| !seen.contains(&uid));
        let told = told(&mut session.connection, &mut self.collector, wanted).await;
        let told = told.inspect_err(|error| self.blame(error))?;
        match told {
            Told::Message(gathered) => self.message(session, gathered).await?,
            Told::Unreadable {
                seq,
                uid: Some(uid),
            } if self.is_new(uid) => {
                let mut listed = Listed::new(ids::message_id(self.begun.validity, uid));
                listed.flags_told = false;
                self.note(seq.unwrap_or_default(), uid, Box::new(listed));
            }
            Told::Unreadable { .. } => {}
            Told::Expunged(seq) => {
                self.count.expunged(seq);
                self.moved = true;
            }
            Told::Vanished(uids) => {
                self.vanished(&uids);
                self.moved = true;
            }
            Told::Done(tag, status) => self.done(session, tag, &status).await?,
        }
        if self.streams() && self.ordered && self.is_page_full() {
            self.hand_out(u32::MAX);
        }
        Ok(())
    }

    /// The connection broke: perhaps because of the message that was to come.
    fn blame(&self, error: &Error) {
        let window = self.in_flight.front().filter(|window| window.contents);
        if let Some(window) = window {
            let next = self.highest.saturating_add(1).max(window.range.start());
            let uid = self.collector.incomplete().unwrap_or(next);
            let validity = self.begun.validity;
            self.suspects
                .note(&self.request.folder, validity, uid, false, error);
        }
    }

    /// Whether a message with this UID was asked for and not listed yet.
    fn is_new(&self, uid: u32) -> bool {
        let asked = |window: &Window| (window.range.start()..=window.range.end()).contains(&uid);
        self.in_flight.iter().any(asked) && !self.seen.contains(&uid)
    }

    async fn message(&mut self, session: &Session, gathered: Gathered) -> Result<()> {
        let Gathered {
            fetch,
            content,
            header,
            doubtful,
            ..
        } = gathered;
        let Some(uid) = fetch.uid.filter(|uid| self.is_new(*uid)) else {
            return Ok(());
        };
        let answers =
            fetch.internal_date.is_some() || fetch.size.is_some() || !fetch.sections.is_empty();
        if !answers {
            // News of its flags, before its turn.
            return Ok(());
        }
        let mut listed = convert::listed(self.begun.validity, uid, &fetch);
        let folder = &self.request.folder;
        self.labels.describe(folder, &mut listed, &fetch);
        // What may hold NUL is left for a fetch, which looks twice.
        let binary = session.offers("BINARY", Feature::Binary) && self.suspects.binary.may_ask();
        let content = content.filter(|_| !(doubtful && binary));
        // Servers are known to send nothing for messages that they cannot read.
        listed.content = content.filter(|content| content.size() > 0 || fetch.size == Some(0));
        // Whether it is the message or an apology for it, a fetch finds out.
        if let Some(content) = &listed.content
            && substitute::is_suspect(content).await?
        {
            listed.content = None;
        }
        listed.header = header;
        if self.request.headers
            && let Some(content) = &listed.content
        {
            let header = content.prefix(HEADER_MOST).await?;
            listed.header = Some(HeaderDigest::of(&header));
        }
        self.note(fetch.seq, uid, Box::new(listed));
        Ok(())
    }

    fn note(&mut self, seq: u32, uid: u32, listed: Box<Listed>) {
        self.count.listed(seq);
        self.seen.insert(uid);
        let window = self.in_flight.iter_mut();
        for window in window.filter(|window| window.range.end() >= uid).take(1) {
            window.found += 1;
        }
        self.ordered &= uid > self.highest;
        self.highest = self.highest.max(uid);
        let size = listed.content.as_ref().map_or(0, Content::size);
        self.bytes += size;
        self.taken += size;
        self.found.push(Found { uid, listed });
    }

    fn vanished(&mut self, uids: &UidSet) {
        let first = self
            .in_flight
            .front()
            .map_or(0, |window| window.range.start());
        for uid in uids.iter().take(VANISHED_MOST) {
            if uid < self.windows.end() {
                let listed = uid < first || self.seen.contains(&uid);
                self.count
                    .vanished(uid <= self.highest || uid < self.next, listed);
            }
        }
    }

    async fn done(&mut self, session: &mut Session, tag: Tag, status: &Status) -> Result<()> {
        let Some(at) = self.in_flight.iter().position(|window| window.tag == tag) else {
            return Ok(());
        };
        if let Some(window) = self.in_flight.get(at) {
            let left = cut::left(&window.set(), status)?;
            if !left.is_empty() {
                return self.cut_short(session, at, &left).await;
            }
        }
        let gone = status.code == Some(Code::ExpungeIssued);
        if status.kind != StatusKind::Ok && !gone {
            let error = error::refused(Doing::folder("UID FETCH"), status)
                .with_context("folder", self.request.folder.as_str());
            let window = self.in_flight.remove(at).filter(|window| window.contents);
            return match window {
                // Perhaps one of them cannot be read: list them all, and leave contents out.
                Some(window) if error.scope() <= Scope::Folder && !error.is_transient() => {
                    self.ask(session, window.range, false).await?;
                    if let Some(again) = self.in_flight.pop_back() {
                        self.in_flight.insert(at, again);
                    }
                    Ok(())
                }
                _ => Err(error),
            };
        }
        let mut end = 0;
        if let Some(window) = self.in_flight.remove(at) {
            self.windows.learn(window.range, window.found);
            end = window.range.end();
        }
        if self
            .in_flight
            .iter()
            .all(|window| window.range.start() > end)
        {
            self.hand_out(end);
            self.next = self.next.max(end + 1);
            let cursor = self.place().cursor();
            if let Some(page) = self.ready.back_mut() {
                page.next = cursor;
            }
            self.seen.retain(|uid| *uid > end);
        }
        let so_far = self.handed + self.found.len() as u64;
        let mean = self.streams().then(|| self.taken / so_far.max(1));
        self.windows.aim(session.at_most(windows::later(mean)));
        Ok(())
    }

    /// The server did a part of a window: asks for the rest, in its place.
    async fn cut_short(&mut self, session: &mut Session, at: usize, left: &[UidSet]) -> Result<()> {
        let Some(window) = self.in_flight.remove(at) else {
            return Ok(());
        };
        self.windows.halve(window.range);
        let ranges = left.iter().flat_map(UidSet::ranges).copied();
        for (place, range) in ranges.enumerate() {
            self.ask(session, range, window.contents).await?;
            if let Some(again) = self.in_flight.pop_back() {
                self.in_flight.insert(at + place, again);
            }
        }
        Ok(())
    }

    fn is_page_full(&self) -> bool {
        if self.streams() {
            self.found.len() >= PAGE_WITH_CONTENTS || self.bytes >= PAGE_BYTES
        } else {
            self.found.len() >= PAGE
        }
    }

    fn nothing_left(&self) -> bool {
        self.windows.is_done() || self.count.is_through()
    }

    /// Makes pages of the messages found with UIDs up to `last`: nothing more comes below them.
    fn hand_out(&mut self, last: u32) {
        if !self.ordered {
            self.found.sort_unstable_by_key(|found| found.uid);
        }
        let many = self.found.partition_point(|found| found.uid <= last);
        let later = self.found.split_off(many);
        let found = std::mem::replace(&mut self.found, later);
        self.bytes = 0;
        let size = if self.streams() {
            PAGE_WITH_CONTENTS
        } else {
            PAGE
        };
        let mut found = found.into_iter().peekable();
        while found.peek().is_some() {
            let mut changes = Vec::with_capacity(size);
            for Found { uid, listed } in found.by_ref().take(size) {
                self.next = self.next.max(uid.saturating_add(1));
                self.handed += 1;
                changes.push(Change::Item(listed));
            }
            let page = Page::new(changes, self.place().cursor(), self.begun.coverage);
            self.ready.push_back(page);
        }
    }

    /// Where to go on after everything that was handed out.
    fn place(&self) -> Place {
        let before = match (self.begun.coverage, self.count.passed()) {
            (Coverage::Rest, _) | (_, None) => self.begun.below,
            (_, Some(passed)) => passed.saturating_sub(self.count.listed_so_far()),
        };
        Place {
            validity: self.begun.validity,
            next: self.next,
            modseq: self.begun.modseq,
            below: before + self.handed,
            complete: false,
        }
    }

    /// The last page says what the server counts.
    fn finish(&mut self) {
        self.hand_out(u32::MAX);
        let total = self.count.total();
        let mut place = self.place();
        place.next = self.windows.end().max(self.next);
        place.complete = true;
        if self.begun.coverage != Coverage::Rest {
            place.below = total;
        }
        let coverage = self.begun.coverage;
        let last = self
            .ready
            .pop_back()
            .unwrap_or_else(|| Page::new(Vec::new(), place.cursor(), coverage));
        let mut last = last.with_exists(Some(total));
        last.next = place.cursor();
        self.ready.push_back(last);
        self.stage = Stage::End;
    }
}
