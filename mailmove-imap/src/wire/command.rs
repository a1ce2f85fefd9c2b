//! Commands as the I/O layer sends them, and the builder that all of them go through.

use std::fmt::{self, Write as _};

use bytes::Bytes;

use super::args::{EncodeError, MailboxName, Tag};
use super::capability::LiteralMode;
use super::uidset::UidSet;
use super::utf8;

/// Longest text of a set of UIDs in one command, in bytes: the whole line then stays below 8 KiB.
pub const MAX_SET: usize = 7_900;
/// Longest text that is sent quoted; longer ones go as literals.
const MAX_QUOTED: usize = 512;

/// A step in sending a command.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Segment {
    /// Send these bytes.
    Bytes(Bytes),
    /// Send these bytes, and never log them.
    Secret(Bytes),
    /// Flush, and go on only after the server's `+`. If it answers the command's tag instead, the command is over: nothing
    /// more of it may be sent.
    AwaitContinue,
    /// Send the octets of the message at this place of the APPEND, exactly so many.
    Message {
        /// Which of the messages given to [`Encoder::append`](super::Encoder::append).
        index: usize,
        /// Octets announced. To send fewer or more desynchronises the connection: it must then be closed.
        len: u64,
    },
}

/// A command ready to be sent. Its `Debug` form hides credentials and mail.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    tag: Tag,
    segments: Vec<Segment>,
}

impl Command {
    /// The tag that the server will answer with.
    #[must_use]
    pub fn tag(&self) -> Tag {
        self.tag
    }

    /// The steps of sending it, in order.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The steps of sending it, in order.
    #[must_use]
    pub fn into_segments(self) -> Vec<Segment> {
        self.segments
    }

    /// Bytes that it puts on the wire, messages included.
    #[must_use]
    pub fn wire_len(&self) -> u64 {
        let len = |segment: &Segment| match segment {
            Segment::Bytes(bytes) | Segment::Secret(bytes) => bytes.len() as u64,
            Segment::AwaitContinue => 0,
            Segment::Message { len, .. } => *len,
        };
        self.segments.iter().map(len).fold(0, u64::saturating_add)
    }

    /// Whether it must stop and wait for the server somewhere.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.segments.contains(&Segment::AwaitContinue)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            fmt::Debug::fmt(segment, f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{}", bytes.escape_ascii()),
            Self::Secret(_) => f.write_str("<secret>"),
            Self::AwaitContinue => f.write_str("<wait>"),
            Self::Message { len, .. } => write!(f, "<message of {len} octets>"),
        }
    }
}

/// Writes one command.
pub(super) struct Builder {
    tag: Tag,
    mode: LiteralMode,
    /// Mailbox names go in UTF-8.
    utf8: bool,
    text: String,
    segments: Vec<Segment>,
}

impl Builder {
    pub(super) fn new(tag: Tag, mode: LiteralMode, name: &'static str) -> Self {
        Self {
            tag,
            mode,
            utf8: false,
            text: format!("{tag} {name}"),
            segments: Vec::new(),
        }
    }

    pub(super) fn with_utf8(mut self, utf8: bool) -> Self {
        self.utf8 = utf8;
        self
    }

    /// Words of the protocol itself.
    pub(super) fn word(&mut self, word: &'static str) -> &mut Self {
        self.text.push_str(word);
        self
    }

    /// Anything whose type guarantees that its text is safe.
    pub(super) fn show(&mut self, safe: impl fmt::Display) -> &mut Self {
        // Writing to a String can't fail.
        let _ = write!(self.text, "{safe}");
        self
    }

    /// A blank and a mailbox name.
    pub(super) fn mailbox(&mut self, name: &MailboxName) -> Result<&mut Self, EncodeError> {
        self.word(" ").name(name.as_bytes())
    }

    /// A mailbox name or a pattern.
    pub(super) fn name(&mut self, name: &[u8]) -> Result<&mut Self, EncodeError> {
        if self.utf8 {
            self.string(&utf8::sent(name), false)
        } else {
            self.string(name, false)
        }
    }

    /// A text, quoted where that is possible and as a literal elsewhere.
    pub(super) fn string(&mut self, text: &[u8], secret: bool) -> Result<&mut Self, EncodeError> {
        let printable = text.iter().all(|byte| matches!(byte, b' '..=b'~'));
        if text.contains(&0) {
            return Err(EncodeError::Nul);
        }
        if printable && text.len() <= MAX_QUOTED {
            let mut quoted = String::with_capacity(text.len() + 2);
            quoted.push('"');
            for byte in text {
                if matches!(byte, b'"' | b'\\') {
                    quoted.push('\\');
                }
                quoted.push(char::from(*byte));
            }
            quoted.push('"');
            self.put(quoted.into_bytes(), secret);
        } else {
            // What looks like a line must not follow a command that may be refused.
            let lines = text.iter().any(|byte| matches!(byte, b'\r' | b'\n'));
            self.announce(text.len() as u64, lines, false);
            self.put(text.to_vec(), secret);
        }
        Ok(self)
    }

    /// A value that may be any bytes (RFC 5464).
    pub(super) fn value(&mut self, value: &[u8]) -> Result<&mut Self, EncodeError> {
        if !value.contains(&0) {
            return self.string(value, false);
        }
        self.announce(value.len() as u64, true, true);
        self.put(value.to_vec(), false);
        Ok(self)
    }

    fn put(&mut self, bytes: Vec<u8>, secret: bool) {
        if secret {
            self.flush();
            self.segments.push(Segment::Secret(bytes.into()));
        } else {
            match String::from_utf8(bytes) {
                Ok(text) => self.text.push_str(&text),
                Err(error) => {
                    self.flush();
                    self.segments
                        .push(Segment::Bytes(error.into_bytes().into()));
                }
            }
        }
    }

    /// Base64 of a secret.
    pub(super) fn secret(&mut self, text: String) -> &mut Self {
        self.put(text.into_bytes(), true);
        self
    }

    /// Waits for the server.
    pub(super) fn wait(&mut self) -> &mut Self {
        self.flush();
        self.segments.push(Segment::AwaitContinue);
        self
    }

    /// Announces a literal and waits where it must.
    pub(super) fn announce(&mut self, len: u64, sync: bool, binary: bool) {
        let at_once = !sync && self.mode.at_once(len);
        let tilde = if binary { "~" } else { "" };
        let plus = if at_once { "+" } else { "" };
        self.show(format_args!("{tilde}{{{len}{plus}}}\r\n"));
        if !at_once {
            self.wait();
        }
    }

    pub(super) fn message(&mut self, index: usize, len: u64) {
        self.flush();
        self.segments.push(Segment::Message { index, len });
    }

    /// A blank and a set of UIDs.
    pub(super) fn set(&mut self, set: &UidSet) -> Result<&mut Self, EncodeError> {
        if set.is_empty() {
            return Err(EncodeError::Empty);
        }
        match set.text_len() {
            len if len > MAX_SET => Err(EncodeError::SetTooLong(len)),
            _ => Ok(self.show(format_args!(" {set}"))),
        }
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            let text = std::mem::take(&mut self.text);
            self.segments.push(Segment::Bytes(text.into_bytes().into()));
        }
    }

    pub(super) fn end(mut self) -> Command {
        self.word("\r\n").flush();
        self.finish()
    }

    /// Ends it where the last line end was written already.
    pub(super) fn finish(mut self) -> Command {
        self.flush();
        Command {
            tag: self.tag,
            segments: self.segments,
        }
    }
}
