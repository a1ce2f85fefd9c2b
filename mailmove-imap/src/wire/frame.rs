//! The framer: cuts a server's byte stream into responses, each complete exactly once, in linear time.
//!
//! It owns no socket and no clock. The owner appends what it read to a [`BytesMut`] and calls [`Framer::next`] until that
//! wants more. Only the framer decides where a response ends; parsers see complete ones and can't move that border, so
//! that no text of a mail is ever taken for a server's answer.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use super::error::{Excerpt, WireError};
use super::fetch::{BodyContent, Fetch, FetchParser, LiteralUse, Section};
use super::lex::{Bad, Literal, literal_at_end, shape, trim_line_end};
use super::response::{self, FetchHead, Kind, Malformed, Response};

/// How much of a server's words is held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Longest line in bytes, its end included.
    pub line: usize,
    /// Longest line of SEARCH, ESEARCH, SORT and VANISHED, which hold a whole folder's numbers.
    pub search_line: usize,
    /// Longest response in bytes, streamed bodies not counted.
    pub response: usize,
    /// Body literals up to this many octets come whole inside the [`Fetch`] instead of as events. They are slices of the
    /// read buffer, and count towards `response`; where they would exceed it they are streamed after all.
    pub inline_body: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 1 << 20,
            search_line: 16 << 20,
            response: 16 << 20,
            inline_body: 0,
        }
    }
}

impl Limits {
    /// Sets [`inline_body`](Self::inline_body).
    #[must_use]
    pub const fn with_inline_body(mut self, octets: u64) -> Self {
        self.inline_body = octets;
        self
    }

    /// Sets the longest line and response.
    #[must_use]
    pub const fn with_sizes(mut self, line: usize, search_line: usize, response: usize) -> Self {
        self.line = line;
        self.search_line = search_line;
        self.response = response;
        self
    }
}

/// What the stream holds next.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A complete response. For a FETCH with streamed bodies it comes last, with everything but their octets.
    Response(Response),
    /// A body begins. [`Framer::fetch_so_far`] has the attributes that came before it.
    BodyStart(BodyStart),
    /// Its next octets, not copied from the read buffer; never empty.
    BodyChunk(Bytes),
    /// It is complete.
    BodyEnd,
}

impl fmt::Debug for Event {
    // Never the mail itself: this ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response(response) => fmt::Debug::fmt(response, f),
            Self::BodyStart(start) => fmt::Debug::fmt(start, f),
            Self::BodyChunk(octets) => write!(f, "BodyChunk({} octets)", octets.len()),
            Self::BodyEnd => f.write_str("BodyEnd"),
        }
    }
}

/// The beginning of a streamed body.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BodyStart {
    /// Message sequence number.
    pub seq: u32,
    /// UID, if it came before the body; it may also come after (in the closing [`Fetch`]).
    pub uid: Option<u32>,
    /// Index that the section will have in [`Fetch::sections`].
    pub index: usize,
    /// Which section.
    pub section: Section,
    /// Exact number of octets.
    pub len: u64,
    /// It may hold NUL.
    pub binary: bool,
}

#[derive(Debug)]
enum State {
    /// Looking for the end of a line.
    Line,
    /// A literal inside a response that stays in the buffer; it ends at this offset.
    Held { end: usize },
    /// A literal that the FETCH parser wants whole.
    Gather {
        len: usize,
        body: bool,
        binary: bool,
    },
    /// Octets of a body are to come.
    Body { remaining: u64, len: u64 },
    /// Octets of a literal that nobody wants are to come.
    Drop { remaining: u64 },
}

/// Cuts a server's byte stream into [`Event`]s. Feed it by [`next`](Self::next).
///
/// After an error nothing more can be read from the connection.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    state: State,
    /// Where the current line begins in the buffer.
    line: usize,
    /// Up to where the buffer was searched for a line end.
    searched: usize,
    /// Bytes of the current response that are framed, streamed bodies not counted.
    total: usize,
    depth: usize,
    kind: Option<Kind>,
    fetch: Option<Box<FetchParser>>,
    /// Why the current FETCH can't be understood; its literals are dropped until its end.
    broken: Option<Malformed>,
    greeted: bool,
    bare_lf: bool,
    scanned: u64,
    dead: Option<WireError>,
}

enum Step {
    More,
    Again,
    Out(Event),
}

impl Framer {
    /// A framer at the beginning of a connection: the first response must be a greeting.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Line,
            line: 0,
            searched: 0,
            total: 0,
            depth: 0,
            kind: None,
            fetch: None,
            broken: None,
            greeted: false,
            bare_lf: false,
            scanned: 0,
            dead: None,
        }
    }

    /// A framer in the midst of a connection, as after STARTTLS.
    #[must_use]
    pub fn without_greeting(limits: Limits) -> Self {
        Self {
            greeted: true,
            ..Self::new(limits)
        }
    }

    /// Takes the next event out of `buf`; `None` if it needs more bytes.
    ///
    /// Between calls the owner may only append to `buf`. After `None`, all that belongs to a pending body is taken.
    ///
    /// # Errors
    /// When the stream can't be followed. The same error is given ever after.
    pub fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Event>, WireError> {
        if let Some(error) = &self.dead {
            return Err(error.clone());
        }
        loop {
            let step = match self.state {
                State::Line => self.on_line(buf),
                State::Held { end } => Ok(self.on_held(buf, end)),
                State::Gather { len, body, binary } => Ok(self.on_gather(buf, len, body, binary)),
                State::Body { remaining, len } => Ok(self.on_body(buf, remaining, len)),
                State::Drop { remaining } => Ok(self.on_drop(buf, remaining)),
            };
            match step {
                Ok(Step::Again) => {}
                Ok(Step::More) => return Ok(None),
                Ok(Step::Out(event)) => return Ok(Some(event)),
                Err(error) => {
                    self.dead = Some(error.clone());
                    return Err(error);
                }
            }
        }
    }

    /// Octets of the current body that are still to come; 0 outside a body.
    ///
    /// After `next` gave `None` and this is above 0, the owner may read up to so many octets from the socket into a
    /// buffer of its own and report them by [`direct_body`](Self::direct_body).
    #[must_use]
    pub fn body_remaining(&self) -> u64 {
        match self.state {
            State::Body { remaining, .. } => remaining,
            _ => 0,
        }
    }

    /// Reports body octets that the owner took past the read buffer, which must be empty.
    ///
    /// # Errors
    /// If they are more than are pending: then the owner holds bytes of the next response, and the stream is lost.
    pub fn direct_body(&mut self, octets: u64) -> Result<(), WireError> {
        let pending = self.body_remaining();
        match &mut self.state {
            State::Body { remaining, .. } if octets <= *remaining => *remaining -= octets,
            _ if octets == 0 => {}
            _ => {
                let error = WireError::BodyOverrun {
                    taken: octets,
                    pending,
                };
                self.dead = Some(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }

    /// How many bytes more are known to be needed before the next event; 0 if that isn't known. A hint for reading.
    #[must_use]
    pub fn wanted(&self, buffered: usize) -> usize {
        match self.state {
            State::Line => 0,
            State::Held { end } => end.saturating_sub(buffered),
            State::Gather { len, .. } => len.saturating_sub(buffered),
            State::Body { remaining, .. } | State::Drop { remaining } => {
                usize::try_from(remaining).unwrap_or(usize::MAX)
            }
        }
    }

    /// Whether no response has been begun. With an empty buffer the stream is then between two responses, which STARTTLS
    /// and COMPRESS require.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Line) && self.kind.is_none() && self.searched == 0
    }

    /// The attributes of the current FETCH that came before the pending body.
    #[must_use]
    pub fn fetch_so_far(&self) -> Option<&Fetch> {
        self.fetch.as_ref().map(|parser| &parser.fetch)
    }

    /// Whether the server ever ended a line by LF alone.
    #[must_use]
    pub fn saw_bare_lf(&self) -> bool {
        self.bare_lf
    }

    /// Bytes looked at so far, counted once for every pass over them: proves linear time.
    #[must_use]
    pub fn scanned(&self) -> u64 {
        self.scanned
    }

    fn on_line(&mut self, buf: &mut BytesMut) -> Result<Step, WireError> {
        let fresh = buf.get(self.searched..).unwrap_or_default();
        let found = memchr(b'\n', fresh);
        self.scanned += found.map_or(fresh.len(), |at| at + 1) as u64;
        let Some(at) = found else {
            self.searched = buf.len();
            // The end itself would be one byte more.
            self.check_size(buf, buf.len() - self.line + 1)?;
            return Ok(Step::More);
        };
        let end = self.searched + at + 1;
        self.check_size(buf, end - self.line)?;
        let whole = buf.get(self.line..end).unwrap_or_default();
        let (text, bare) = trim_line_end(whole);
        self.bare_lf |= bare;
        if self.kind.is_none() && text.is_empty() {
            // A blank line between responses says nothing.
            buf.advance(end);
            self.searched = 0;
            return Ok(Step::Again);
        }
        self.total += whole.len();
        let kind = *self.kind.get_or_insert_with(|| response::classify(text));
        if !self.greeted && !matches!(kind, Kind::Status) {
            return Err(WireError::NotImap {
                excerpt: Excerpt::new(text),
            });
        }
        match kind {
            Kind::Status | Kind::Tagged => self.plain_end(buf, end),
            Kind::Data => match self.scan_line(buf, self.line, end, false)? {
                None => self.plain_end(buf, end),
                Some(literal) => self.hold(end, literal),
            },
            Kind::Fetch(head) => {
                let literal = self.scan_line(buf, 0, end, true)?;
                self.fetch_text(buf, end, head, literal)
            }
        }
    }

    /// Checks the size of the line so far and of the response with it. The smaller limit counts, so that the error is the
    /// same however the line arrives.
    fn check_size(&self, buf: &BytesMut, line: usize) -> Result<(), WireError> {
        let room = self.limits.response.saturating_sub(self.total);
        if line <= room.min(self.limits.line) {
            return Ok(());
        }
        let long = response::has_long_lines(buf);
        let limit = if long {
            self.limits.search_line
        } else {
            self.limits.line
        };
        if line <= room.min(limit) {
            Ok(())
        } else if limit < room {
            Err(WireError::LineTooLong { limit })
        } else {
            Err(WireError::ResponseTooLong {
                limit: self.limits.response,
            })
        }
    }

    fn check_total(&self, more: u64) -> Result<(), WireError> {
        let limit = self.limits.response;
        if (self.total as u64).saturating_add(more) > limit as u64 {
            return Err(WireError::ResponseTooLong { limit });
        }
        Ok(())
    }

    /// One pass over a structured line: nesting, quotes, and the literal it announces.
    fn scan_line(
        &mut self,
        buf: &BytesMut,
        from: usize,
        end: usize,
        fetch: bool,
    ) -> Result<Option<Literal>, WireError> {
        let (text, _) = trim_line_end(buf.get(from..end).unwrap_or_default());
        self.scanned += text.len() as u64;
        let shape = shape(text, self.depth)?;
        self.depth = shape.depth;
        if shape.open_quote {
            // Text or literal: both readings are possible, and one of them would let a mail speak for the server.
            return match literal_at_end(text, true)? {
                Some(_) => Err(WireError::OpenQuote),
                None => Ok(None),
            };
        }
        literal_at_end(text, fetch)
    }

    fn hold(&mut self, end: usize, literal: Literal) -> Result<Step, WireError> {
        self.check_total(literal.len)?;
        let limit = self.limits.response;
        let len = usize::try_from(literal.len).map_err(|_| WireError::ResponseTooLong { limit })?;
        self.total += len;
        self.state = State::Held { end: end + len };
        Ok(Step::Again)
    }

    fn on_held(&mut self, buf: &BytesMut, end: usize) -> Step {
        if buf.len() < end {
            return Step::More;
        }
        self.line = end;
        self.searched = end;
        self.state = State::Line;
        Step::Again
    }

    fn plain_end(&mut self, buf: &mut BytesMut, end: usize) -> Result<Step, WireError> {
        let (text, _) = trim_line_end(buf.get(..end).unwrap_or_default());
        self.scanned += text.len() as u64;
        let first = !self.greeted;
        let response = response::parse(text);
        if first && !response.as_ref().is_some_and(Response::is_greeting) {
            return Err(WireError::NotImap {
                excerpt: Excerpt::new(text),
            });
        }
        self.greeted = true;
        let response = response.ok_or(WireError::OutOfStep)?;
        buf.advance(end);
        self.reset();
        Ok(Step::Out(Event::Response(response)))
    }

    fn reset(&mut self) {
        self.state = State::Line;
        self.line = 0;
        self.searched = 0;
        self.total = 0;
        self.depth = 0;
        self.kind = None;
        self.fetch = None;
        self.broken = None;
    }

    fn fetch_text(
        &mut self,
        buf: &mut BytesMut,
        end: usize,
        head: FetchHead,
        literal: Option<Literal>,
    ) -> Result<Step, WireError> {
        let skip = if self.fetch.is_none() { head.skip } else { 0 };
        let parser = self
            .fetch
            .get_or_insert_with(|| Box::new(FetchParser::new(head)));
        let (text, _) = trim_line_end(buf.get(..end).unwrap_or_default());
        let stop = literal.map_or(text.len(), |literal| literal.start);
        let piece = text.get(skip..stop).unwrap_or_default();
        self.scanned += piece.len() as u64;
        if self.broken.is_none()
            && let Err(bad) = parser.text(piece, literal.is_some())
        {
            self.broken = Some(fetch_malformed(parser, piece, bad));
        }
        buf.advance(end);
        self.searched = 0;
        match literal {
            Some(literal) => self.fetch_literal(literal),
            None => Ok(Step::Out(Event::Response(self.fetch_end()))),
        }
    }

    fn fetch_end(&mut self) -> Response {
        let response = match (self.broken.take(), self.fetch.take()) {
            (None, Some(parser)) => Response::Fetch(Box::new(parser.fetch)),
            (broken, _) => Response::Malformed(broken.unwrap_or_default()),
        };
        self.reset();
        response
    }

    fn fetch_literal(&mut self, literal: Literal) -> Result<Step, WireError> {
        let Literal { len, binary, .. } = literal;
        let usage = match &self.fetch {
            Some(parser) if self.broken.is_none() => parser.literal_use(),
            _ => LiteralUse::Drop,
        };
        let fits = self.check_total(len);
        let small = usize::try_from(len);
        self.state = match (usage, small) {
            (LiteralUse::Drop, _) => State::Drop { remaining: len },
            (LiteralUse::Gather, Ok(small)) => {
                fits?;
                self.total += small;
                State::Gather {
                    len: small,
                    body: false,
                    binary,
                }
            }
            (LiteralUse::Body, Ok(small)) if len <= self.limits.inline_body && fits.is_ok() => {
                self.total += small;
                State::Gather {
                    len: small,
                    body: true,
                    binary,
                }
            }
            (LiteralUse::Body, _) => return Ok(Step::Out(self.body_start(len, binary))),
            (LiteralUse::Gather, Err(_)) => {
                return Err(WireError::ResponseTooLong {
                    limit: self.limits.response,
                });
            }
        };
        Ok(Step::Again)
    }

    fn body_start(&mut self, len: u64, binary: bool) -> Event {
        self.state = State::Body {
            remaining: len,
            len,
        };
        let mut start = BodyStart {
            seq: 0,
            uid: None,
            index: 0,
            section: Section::Full,
            len,
            binary,
        };
        if let Some(parser) = &mut self.fetch {
            parser.pending.binary |= binary;
            start.seq = parser.fetch.seq;
            start.uid = parser.fetch.uid;
            start.index = parser.fetch.sections.len();
            start.section = parser.pending.section.clone();
            start.binary = parser.pending.binary;
        }
        Event::BodyStart(start)
    }

    fn on_gather(&mut self, buf: &mut BytesMut, len: usize, body: bool, binary: bool) -> Step {
        if buf.len() < len {
            return Step::More;
        }
        self.state = State::Line;
        let Some(parser) = &mut self.fetch else {
            return Step::Again;
        };
        if body {
            parser.pending.binary |= binary;
            parser.body(BodyContent::Inline(buf.split_to(len).freeze()));
            return Step::Again;
        }
        let octets = buf.get(..len).unwrap_or_default();
        self.scanned += len as u64;
        if let Err(bad) = parser.literal(octets) {
            self.broken = Some(fetch_malformed(parser, b"", bad));
        }
        buf.advance(len);
        Step::Again
    }

    fn on_body(&mut self, buf: &mut BytesMut, remaining: u64, len: u64) -> Step {
        if remaining == 0 {
            self.state = State::Line;
            if let Some(parser) = &mut self.fetch {
                parser.body(BodyContent::Streamed(len));
            }
            return Step::Out(Event::BodyEnd);
        }
        if buf.is_empty() {
            return Step::More;
        }
        let take = usize::try_from(remaining)
            .unwrap_or(usize::MAX)
            .min(buf.len());
        self.state = State::Body {
            remaining: remaining - take as u64,
            len,
        };
        Step::Out(Event::BodyChunk(buf.split_to(take).freeze()))
    }

    fn on_drop(&mut self, buf: &mut BytesMut, remaining: u64) -> Step {
        let take = usize::try_from(remaining)
            .unwrap_or(usize::MAX)
            .min(buf.len());
        buf.advance(take);
        let remaining = remaining - take as u64;
        if remaining > 0 {
            self.state = State::Drop { remaining };
            return Step::More;
        }
        self.state = State::Line;
        if let Some(parser) = &mut self.fetch {
            parser.dropped();
        }
        Step::Again
    }
}

/// What to say about a FETCH that can't be understood: one word of it, none near a body.
fn fetch_malformed(parser: &FetchParser, piece: &[u8], bad: Bad) -> Malformed {
    let word = piece.get(bad.at..).unwrap_or_default();
    let word = word.split(|byte| *byte == b' ').next().unwrap_or_default();
    Malformed {
        what: bad.what,
        seq: Some(parser.fetch.seq).filter(|seq| *seq > 0),
        uid: parser.fetch.uid,
        excerpt: if parser.in_body() {
            Excerpt::default()
        } else {
            Excerpt::new(word)
        },
    }
}
