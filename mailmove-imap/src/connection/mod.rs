//! One connection: commands go out while answers come in.
//!
//! It has one owner at a time and no task of its own. Whoever waits on it, for reading or for
//! writing, drives both directions, so that two full buffers can't block each other. Answers are
//! told apart by their tags; any number of commands may be under way.

mod deflate;
mod dial;
mod measure;
mod pump;
mod scrub;
mod suspect;
mod transport;

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use mailmove_core::{
    edge::{Bandwidth, ConnectionPermit, Secret},
    error::Result,
    model::Content,
};
use tokio::{
    io::AsyncWrite as _,
    time::{Instant, Sleep},
};

pub(crate) use deflate::Deflate;
pub(crate) use dial::{Dialled, Tls, dial, located, start_tls};
use measure::Measure;
use pump::Moved;
use transport::Transport;

use crate::{
    error,
    wire::{
        BodyStart, Capabilities, Code, Command, Encoder, Event, Framer, Limits, LiteralMode,
        Response, Segment, Status, StatusKind, Tag,
    },
};

/// Small pieces are gathered up to this size; what is larger is written from where it lies.
const GATHER: usize = 64 << 10;
/// Pieces from this size on are not copied into the buffer, if they don't fit.
const DIRECT: usize = 16 << 10;

/// What the server sends, sorted.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A command of ours is answered.
    Done(Tag, Status),
    /// Anything else but bodies.
    Untagged(Response),
    /// The server waits for a literal or an authentication step, and perhaps says why.
    Continue(Box<str>),
    /// A body begins; its UID may come only after it, in the FETCH that ends it.
    BodyStart(BodyStart),
    /// Its next octets.
    BodyChunk(Bytes),
    /// It is complete.
    BodyEnd,
}

/// Whether a command went out whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Whole,
    /// The server answered before it was complete; the rest was not sent. The answer is yet to be
    /// taken from [`Connection::next`].
    Cut,
}

pub(crate) struct Connection {
    transport: Transport,
    framer: Framer,
    input: BytesMut,
    output: BytesMut,
    /// Written to TLS, but perhaps not yet to the socket.
    unflushed: bool,
    /// Read while waiting for something else.
    held: VecDeque<Incoming>,
    in_flight: VecDeque<Tag>,
    last_tag: u32,
    literals: LiteralMode,
    /// UTF8=ACCEPT is enabled.
    utf8: bool,
    /// UIDONLY is enabled.
    uid_only: bool,
    /// Said in front of the answer to the command that was cut short: MESSAGELIMIT, where that
    /// answer has another code (RFC 9738).
    cut: Option<Code>,
    /// What the server announced unasked or asked, until somebody takes it.
    announced: Option<Capabilities>,
    bye: Option<Status>,
    dead: bool,
    patience: Duration,
    stalled: Pin<Box<Sleep>>,
    /// How much the server says, and how slowly.
    measure: Measure,
    /// What proved who we are, to be cut out of whatever the server repeats of it.
    secrets: Vec<Secret>,
    bandwidth: Bandwidth,
    last_used: Instant,
    number: u64,
    _permit: ConnectionPermit,
}

impl Connection {
    fn new(
        transport: Transport,
        patience: Duration,
        bandwidth: Bandwidth,
        permit: ConnectionPermit,
    ) -> Self {
        static NUMBERS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        Self {
            transport,
            framer: Framer::new(Limits::default()),
            input: BytesMut::new(),
            output: BytesMut::new(),
            unflushed: false,
            held: VecDeque::new(),
            in_flight: VecDeque::new(),
            last_tag: 0,
            literals: LiteralMode::Synchronizing,
            utf8: false,
            uid_only: false,
            cut: None,
            announced: None,
            bye: None,
            dead: false,
            patience,
            stalled: Box::pin(tokio::time::sleep(patience)),
            measure: Measure::default(),
            secrets: Vec::new(),
            bandwidth,
            last_used: Instant::now(),
            number: NUMBERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            _permit: permit,
        }
    }

    /// A tag for the next command.
    pub(crate) fn tag(&mut self) -> Tag {
        self.last_tag = self.last_tag.wrapping_add(1);
        Tag::new(self.last_tag)
    }

    /// Writes commands in the way that this server takes them.
    pub(crate) fn encoder(&self) -> Encoder {
        Encoder::new(self.literals).with_utf8(self.utf8)
    }

    /// Sets how literals are sent.
    pub(crate) fn set_literals(&mut self, literals: LiteralMode) {
        self.literals = literals;
    }

    /// UTF8=ACCEPT is enabled.
    pub(crate) fn is_utf8(&self) -> bool {
        self.utf8
    }

    /// UIDONLY is enabled (RFC 9586): messages have no sequence numbers, which none of our commands
    /// needs.
    pub(crate) fn is_uid_only(&self) -> bool {
        self.uid_only
    }

    /// How literals are sent.
    pub(crate) fn literals(&self) -> LiteralMode {
        self.literals
    }

    /// The capabilities that the server announced since the last call.
    pub(crate) fn take_announced(&mut self) -> Option<Capabilities> {
        self.announced.take()
    }

    /// Forgets announced capabilities: they were said before TLS, by whoever.
    fn forget_announced(&mut self) {
        self.announced = None;
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.transport.is_tls()
    }

    /// From here on both directions are packed: the server said OK to COMPRESS, which was the last
    /// command sent. What was read behind that OK is packed already.
    ///
    /// # Errors
    /// If the server was in the middle of something else.
    pub(crate) fn start_deflate(&mut self) -> Result<()> {
        if !self.framer.is_idle() || !self.output.is_empty() {
            self.dead = true;
            return Err(error::unexpected("COMPRESS in the middle of something"));
        }
        let early = std::mem::take(&mut self.input);
        let inner = std::mem::replace(&mut self.transport, Transport::Gone);
        self.transport = Transport::Deflate(Box::new(Deflate::new(inner, early)));
        Ok(())
    }

    /// Sets how long the server may be silent while we wait.
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
        self.rearm();
    }

    fn rearm(&mut self) {
        let deadline = Instant::now() + self.patience;
        self.stalled.as_mut().reset(deadline);
    }

    /// Nothing is under way, so that the next owner starts from a clean state.
    pub(crate) fn is_clean(&self) -> bool {
        !self.dead
            && self.bye.is_none()
            && self.in_flight.is_empty()
            && self.output.is_empty()
            && self.framer.body_remaining() == 0
    }

    /// Gives what the server said while no command was under way.
    pub(crate) fn take_unsolicited(&mut self) -> impl Iterator<Item = Response> + use<> {
        let held = std::mem::take(&mut self.held).into_iter();
        held.filter_map(|incoming| match incoming {
            Incoming::Untagged(response) => Some(response),
            _ => None,
        })
    }

    /// How long nothing was sent.
    pub(crate) fn idle_for(&self) -> Duration {
        self.last_used.elapsed()
    }

    /// Makes it unusable: what is under way is lost.
    pub(crate) fn kill(&mut self) {
        self.dead = true;
    }

    /// Logs out without waiting for anything, where nothing is under way.
    pub(crate) fn say_goodbye(&mut self) {
        if !self.is_clean() {
            return;
        }
        let tag = self.tag();
        let mut context = Context::from_waker(Waker::noop());
        for segment in self.encoder().logout(tag).into_segments() {
            if let Segment::Bytes(bytes) = segment {
                self.output.extend_from_slice(&bytes);
            }
        }
        // Polite, not needed: what fails here is lost anyway.
        let _ = self.poll_write(&mut context, &mut Bytes::new(), &mut Moved::default());
        let _ = Pin::new(&mut self.transport).poll_shutdown(&mut context);
        self.dead = true;
    }

    /// Looks, without waiting, whether the server closed it meanwhile.
    pub(crate) fn is_alive(&mut self) -> bool {
        if !self.dead {
            self.salvage();
        }
        !self.dead && self.bye.is_none()
    }

    /// Sends a command up to its first message body, or whole if it has none. Not cancel safe.
    ///
    /// # Errors
    /// If the connection fails; it is of no use then.
    pub(crate) async fn send(&mut self, command: Command) -> Result<Sent> {
        self.begin(&command);
        let tag = command.tag();
        for segment in command.into_segments() {
            if self.segment(tag, segment).await? == Sent::Cut {
                return Ok(Sent::Cut);
            }
        }
        Ok(Sent::Whole)
    }

    /// Says that a command's segments are about to be sent one by one.
    pub(crate) fn begin(&mut self, command: &Command) {
        tracing::trace!(connection = self.number, "> {command}");
        self.in_flight.push_back(command.tag());
        self.last_used = Instant::now();
    }

    /// Sends a part of a command; message bodies are for [`write_content`](Self::write_content).
    pub(crate) async fn segment(&mut self, tag: Tag, segment: Segment) -> Result<Sent> {
        match segment {
            Segment::Bytes(bytes) | Segment::Secret(bytes) => self.write(bytes).await?,
            Segment::AwaitContinue => return self.await_continue(tag).await,
            Segment::Message { .. } => {}
        }
        Ok(Sent::Whole)
    }

    /// Sends a message body. Not cancel safe.
    pub(crate) async fn write_content(&mut self, content: &Content) -> Result<()> {
        let mut reader = content.reader();
        while let Some(piece) = reader.next().await? {
            self.write(piece).await?;
        }
        Ok(())
    }

    /// Waits for the server's `+`; everything else that comes is kept for later.
    async fn await_continue(&mut self, tag: Tag) -> Result<Sent> {
        let mut before = VecDeque::new();
        let sent = loop {
            match self.next().await? {
                Incoming::Continue(_) => break Sent::Whole,
                Incoming::Done(done, status) => {
                    let cut = done == tag;
                    before.push_back(Incoming::Done(done, status));
                    if cut {
                        break Sent::Cut;
                    }
                }
                other => before.push_back(other),
            }
        };
        before.append(&mut self.held);
        self.held = before;
        Ok(sent)
    }

    /// Gathers small pieces and writes large ones from where they lie. Reads meanwhile.
    async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        if self.output.len() + bytes.len() <= GATHER {
            self.output.extend_from_slice(&bytes);
            return Ok(());
        }
        if bytes.len() < DIRECT {
            self.flush_to(0).await?;
            self.output.extend_from_slice(&bytes);
            return Ok(());
        }
        while !bytes.is_empty() {
            self.step(&mut bytes).await?;
        }
        Ok(())
    }

    /// Writes what is gathered, until at most `left` bytes are.
    async fn flush_to(&mut self, left: usize) -> Result<()> {
        while self.output.len() > left {
            self.step(&mut Bytes::new()).await?;
        }
        Ok(())
    }

    /// The next thing that the server says. Writes what is gathered meanwhile. Cancel safe.
    ///
    /// # Errors
    /// If the connection is lost, silent for too long, or makes no sense.
    pub(crate) async fn next(&mut self) -> Result<Incoming> {
        loop {
            if let Some(incoming) = self.ready()? {
                return Ok(incoming);
            }
            if self.dead {
                return Err(error::closed(self.bye.as_ref()));
            }
            self.step(&mut Bytes::new()).await?;
        }
    }

    /// What was read already, without waiting.
    pub(crate) fn ready(&mut self) -> Result<Option<Incoming>> {
        loop {
            if let Some(held) = self.held.pop_front() {
                return Ok(Some(held));
            }
            let before = self.input.len();
            let event = match self.framer.next(&mut self.input) {
                Ok(event) => event,
                Err(failure) => {
                    self.dead = true;
                    return Err(self.unreadable(failure));
                }
            };
            // Contents have bounds of their own, and what nobody wants is not kept.
            let content = match &event {
                Some(event) => matches!(event, Event::BodyChunk(_)),
                None => self.framer.wanted(self.input.len()) > 0,
            };
            if !content {
                let said = self.measure.said(before.saturating_sub(self.input.len()));
                said.inspect_err(|_| self.dead = true)?;
            }
            let Some(event) = event else { return Ok(None) };
            if let Some(incoming) = self.sort(event)? {
                return Ok(Some(incoming));
            }
        }
    }

    /// Whether a command was answered already, as far as has been read. Nothing is lost by asking.
    pub(crate) fn is_answered(&mut self, tag: Tag) -> Result<bool> {
        let mut found = VecDeque::new();
        while let Some(incoming) = self.ready()? {
            found.push_back(incoming);
        }
        self.held = found;
        Ok(!self.in_flight.contains(&tag))
    }

    /// Waits for a command's answer; what comes before it is given to `sink`. Answers to other
    /// commands are kept.
    ///
    /// # Errors
    /// If the connection fails. A NO or BAD is no error here.
    pub(crate) async fn complete(
        &mut self,
        tag: Tag,
        mut sink: impl FnMut(Response) + Send,
    ) -> Result<Status> {
        let kept = self
            .held
            .iter()
            .position(|held| matches!(held, Incoming::Done(done, _) if *done == tag));
        if let Some(at) = kept {
            // Everything that came before it belongs to it or to nobody.
            let mut rest = self.held.split_off(at);
            let before = std::mem::take(&mut self.held);
            let done = rest.pop_front();
            self.held = rest;
            for incoming in before {
                match incoming {
                    Incoming::Untagged(response) => sink(response),
                    other @ Incoming::Done(..) => self.held.push_back(other),
                    _ => {}
                }
            }
            if let Some(Incoming::Done(_, status)) = done {
                return Ok(status);
            }
        }
        let mut others = VecDeque::new();
        let status = loop {
            match self.next().await? {
                Incoming::Done(done, status) if done == tag => break status,
                other @ Incoming::Done(..) => others.push_back(other),
                Incoming::Untagged(response) => sink(response),
                // Bodies that nobody asked for here.
                _ => {}
            }
        };
        others.append(&mut self.held);
        self.held = others;
        Ok(status)
    }

    /// Sends a command and waits for its answer.
    pub(crate) async fn run(
        &mut self,
        command: Command,
        sink: impl FnMut(Response) + Send,
    ) -> Result<Status> {
        let tag = command.tag();
        self.send(command).await?;
        self.complete(tag, sink).await
    }

    fn sort(&mut self, event: Event) -> Result<Option<Incoming>> {
        Ok(Some(match event {
            Event::BodyStart(start) => Incoming::BodyStart(start),
            Event::BodyChunk(chunk) => Incoming::BodyChunk(chunk),
            Event::BodyEnd => Incoming::BodyEnd,
            Event::Response(response) => return self.sort_response(response),
        }))
    }

    fn sort_response(&mut self, response: Response) -> Result<Option<Incoming>> {
        match self.scrubbed(response) {
            Response::Tagged { tag, mut status } => {
                let cut = self.cut.take();
                if matches!(
                    status.code,
                    None | Some(Code::ExpungeIssued | Code::Other(_))
                ) {
                    status.code = cut.or(status.code);
                }
                tracing::trace!(connection = self.number, "< {tag} {status:?}");
                let tag = Tag::parse(&tag);
                let at = self.in_flight.iter().position(|known| Some(*known) == tag);
                let Some(tag) = at.and_then(|at| self.in_flight.remove(at)) else {
                    self.dead = true;
                    return Err(error::unexpected(
                        "the server answered a command that was not sent",
                    ));
                };
                self.measure.answered();
                self.note_capabilities(&status);
                Ok(Some(Incoming::Done(tag, status)))
            }
            Response::Continue(text) => Ok(Some(Incoming::Continue(text))),
            Response::Status(status) if status.kind == StatusKind::Bye && self.greeted() => {
                self.bye = Some(status);
                Ok(None)
            }
            Response::Status(status) => {
                self.note_capabilities(&status);
                if let Some(Code::MessageLimit { .. }) = status.code {
                    self.cut.clone_from(&status.code);
                }
                if status.code == Some(Code::Alert) {
                    tracing::warn!(
                        alert = error::printable(&status.text),
                        "the server has a message"
                    );
                }
                Ok(Some(Incoming::Untagged(Response::Status(status))))
            }
            Response::Capability(capabilities) => {
                self.announced = Some(capabilities);
                Ok(None)
            }
            Response::Malformed(malformed) => {
                tracing::debug!(connection = self.number, "unreadable response: {malformed}");
                Ok(Some(Incoming::Untagged(Response::Malformed(malformed))))
            }
            Response::Enabled(enabled) => {
                self.utf8 |= enabled.has("UTF8=ACCEPT");
                self.uid_only |= enabled.has("UIDONLY");
                Ok(Some(Incoming::Untagged(Response::Enabled(enabled))))
            }
            other if self.utf8 => Ok(Some(Incoming::Untagged(other.in_utf7()))),
            other => Ok(Some(Incoming::Untagged(other))),
        }
    }

    /// The first response is the greeting, and its BYE is for whoever dialled.
    fn greeted(&self) -> bool {
        self.last_tag > 0
    }

    fn note_capabilities(&mut self, status: &Status) {
        if let Some(Code::Capability(capabilities)) = &status.code {
            self.announced = Some(capabilities.clone());
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("number", &self.number)
            .field("tls", &self.is_tls())
            .field("in_flight", &self.in_flight.len())
            .field("dead", &self.dead)
            .finish_non_exhaustive()
    }
}
