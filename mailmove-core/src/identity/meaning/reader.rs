//! Reads a message as it passes by, in pieces of any size: each line once, in bounded memory.

use super::{
    Attachment, Meaning, What,
    decode::{Decoder, Encoding},
    facts::{Importance, Media, facts},
    short,
    text::{Kind, Reading, Text},
};

/// Multiparts and messages within each other; what is deeper is one part.
const DEEPEST: usize = 50;
/// Messages within messages that are looked into: servers keep deeper ones as they are, or not at all.
const EMBEDDED: usize = 4;
/// Parts of a message that are kept apart; more are taken together.
const PARTS: usize = 10_000;
/// Bytes of a line that are looked at for a boundary; RFC 2046 allows 70 of one.
const LINE: usize = 1024;
/// Messages within a message that are kept, all in all.
const MESSAGES: usize = 1000;
/// Bytes of a header that are read.
const HEADER: usize = 1 << 20;

/// Reads what a message [means](Meaning).
#[derive(Debug)]
pub struct MeaningReader {
    /// The line that is being read, as long as all of it fits.
    line: Vec<u8>,
    /// Its beginning was passed on.
    long: bool,
    state: State,
    levels: Vec<Level>,
    /// Messages that are being read, each within the one before.
    open: Vec<Meaning>,
    /// Messages that have ended.
    ended: usize,
    decoded: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Header {
        bytes: Vec<u8>,
        /// Of a message, and not of a part.
        message: bool,
        /// Parts here are messages unless they say otherwise.
        digest: bool,
    },
    Body(Box<Leaf>),
    Outside,
}

#[derive(Debug)]
struct Level {
    delimiter: Vec<u8>,
    digest: bool,
    /// How many messages were open around it.
    messages: usize,
    parts: usize,
}

/// A part without parts in it.
#[derive(Debug)]
struct Leaf {
    decoder: Decoder,
    goes: Goes,
    /// A line end that belongs to the boundary, if one follows.
    held: Vec<u8>,
}

#[derive(Debug)]
enum Goes {
    Text(Box<Reading>),
    Html(Box<Reading>),
    Attachment {
        hasher: Box<blake3::Hasher>,
        /// Of all but carriage returns.
        lines: Box<blake3::Hasher>,
        media: Box<Media>,
    },
    /// What it says cannot be.
    Nowhere,
}

impl Default for MeaningReader {
    fn default() -> Self {
        Self::new()
    }
}

impl MeaningReader {
    /// Before the first byte.
    #[must_use]
    pub fn new() -> Self {
        Self {
            line: Vec::new(),
            long: false,
            state: State::Header {
                bytes: Vec::new(),
                message: true,
                digest: false,
            },
            levels: Vec::new(),
            open: vec![Meaning::default()],
            ended: 0,
            decoded: Vec::new(),
        }
    }

    /// The next piece.
    pub fn update(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while !rest.is_empty() {
            let room = LINE - self.line.len();
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (now, after) = rest.split_at(end.min(room));
            self.line.extend_from_slice(now);
            rest = after;
            if self.line.last() == Some(&b'\n') {
                self.end_line();
            } else if self.line.len() >= LINE {
                let line = std::mem::take(&mut self.line);
                self.pass(&line);
                self.long = true;
                self.reuse(line);
            }
        }
    }

    /// What it was all about.
    #[must_use]
    pub fn finish(mut self) -> Meaning {
        if !self.line.is_empty() {
            self.end_line();
        }
        if let State::Header { bytes, .. } = &mut self.state {
            let header = std::mem::take(bytes);
            self.end_header(&header);
        }
        self.end_part(false);
        self.malformed(!self.levels.is_empty());
        self.close(0);
        self.open.pop().unwrap_or_default()
    }

    fn reuse(&mut self, mut line: Vec<u8>) {
        line.clear();
        self.line = line;
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let long = std::mem::take(&mut self.long);
        match self.delimiter(&line).filter(|_| !long) {
            Some((level, last)) => self.boundary(level, last),
            None => {
                let empty = !long && line.trim_ascii().is_empty() && !line.starts_with(b" ");
                match &mut self.state {
                    State::Header { bytes, .. } if empty => {
                        let header = std::mem::take(bytes);
                        self.end_header(&header);
                    }
                    _ => self.pass(&line),
                }
            }
        }
        self.reuse(line);
    }

    /// Which level a line is the boundary of, and whether it is the last one there.
    fn delimiter(&self, line: &[u8]) -> Option<(usize, bool)> {
        if !line.starts_with(b"--") {
            return None;
        }
        let text = line.trim_ascii_end();
        let levels = self.levels.iter().enumerate().rev();
        levels.into_iter().find_map(|(at, level)| {
            match text.strip_prefix(level.delimiter.as_slice())? {
                b"" => Some((at, false)),
                b"--" => Some((at, true)),
                _ => None,
            }
        })
    }

    /// A line, or a piece of one, that is neither a boundary nor the end of a header.
    fn pass(&mut self, line: &[u8]) {
        match &mut self.state {
            State::Header { bytes, .. } => {
                let room = HEADER.saturating_sub(bytes.len()).min(line.len());
                bytes.extend_from_slice(line.get(..room).unwrap_or_default());
            }
            State::Body(leaf) => leaf.line(line, &mut self.decoded),
            State::Outside => {}
        }
    }

    fn boundary(&mut self, at: usize, last: bool) {
        if let State::Header { bytes, .. } = &mut self.state {
            let header = std::mem::take(bytes);
            // It should have ended with an empty line.
            self.malformed(!header.is_empty());
            self.end_header(&header);
        }
        // Those within should have ended before.
        self.malformed(at + 1 < self.levels.len());
        self.end_part(true);
        let messages = self.levels.get(at).map_or(1, |level| level.messages);
        self.close(if last { at } else { at + 1 });
        self.fold(messages);
        self.state = match self.levels.last_mut() {
            Some(level) if !last => {
                level.parts += 1;
                State::Header {
                    bytes: Vec::new(),
                    message: false,
                    digest: level.digest,
                }
            }
            _ => State::Outside,
        };
    }

    fn malformed(&mut self, is: bool) {
        if is {
            self.open
                .iter_mut()
                .for_each(|message| message.malformed = true);
        }
    }

    /// Ends the levels from `left` on, and the messages within them.
    fn close(&mut self, left: usize) {
        while self.levels.len() > left {
            if let Some(level) = self.levels.pop() {
                self.fold(level.messages);
                if level.parts == 0
                    && let Some(message) = self.open.last_mut()
                {
                    message.hollow = true;
                }
            }
        }
        if left == 0 {
            self.fold(1);
        }
    }

    /// Puts messages that have ended into those around them.
    fn fold(&mut self, messages: usize) {
        while self.open.len() > messages.max(1) {
            if let (Some(ended), Some(around)) = (self.open.pop(), self.open.last_mut()) {
                self.ended += 1;
                match self.ended <= MESSAGES {
                    true => around.embedded.push(ended),
                    false => around.deep = true,
                }
            }
        }
    }

    fn end_header(&mut self, header: &[u8]) {
        let State::Header {
            message: is_message,
            digest,
            ..
        } = self.state
        else {
            return;
        };
        let media = Media::of(header, digest);
        let messages = self.open.len();
        let Some(message) = self.open.last_mut() else {
            return;
        };
        if is_message {
            message.header = facts(header);
            if messages == 1 {
                message.importance = Importance::of(header);
            }
        }
        let deep = self.levels.len() + messages >= DEEPEST;
        let plain = media.encoding == Encoding::Plain;
        let multipart = media.kind.starts_with("multipart/");
        message.malformed |= media.odd;
        let boundary = media.boundary.as_deref().map(str::trim_end);
        let boundary = boundary.filter(|text| (1..LINE / 2).contains(&text.len()));
        match media.kind.as_str() {
            "multipart/signed" | "multipart/encrypted" => message.signed = true,
            "multipart/report" => message.report = true,
            _ => {}
        }
        self.state = match boundary {
            Some(boundary) if multipart && plain && !deep => {
                let mut delimiter = b"--".to_vec();
                delimiter.extend_from_slice(boundary.as_bytes());
                message.malformed |= self.levels.iter().any(|around| {
                    let (one, other) = (&around.delimiter, &delimiter);
                    one.starts_with(other) || other.starts_with(one)
                });
                self.levels.push(Level {
                    delimiter,
                    digest: media.kind == "multipart/digest",
                    messages,
                    parts: 0,
                });
                State::Outside
            }
            _ if media.kind == "message/rfc822" && plain && !deep && messages <= EMBEDDED => {
                self.open.push(Meaning::default());
                State::Header {
                    bytes: Vec::new(),
                    message: true,
                    digest: false,
                }
            }
            _ => {
                message.deep |= media.kind == "message/rfc822" || multipart && deep;
                message.hollow |= multipart && !deep;
                State::Body(Box::new(Leaf::new(media, message)))
            }
        };
    }

    fn end_part(&mut self, at_boundary: bool) {
        let State::Body(mut leaf) = std::mem::replace(&mut self.state, State::Outside) else {
            return;
        };
        let held = std::mem::take(&mut leaf.held);
        if !at_boundary {
            leaf.take(&held, &mut self.decoded);
        }
        if let Some(message) = self.open.last_mut() {
            leaf.end(message, &mut self.decoded);
        }
    }
}

impl Leaf {
    fn new(media: Media, message: &Meaning) -> Self {
        let decoder = Decoder::new(media.encoding);
        let charset = media.charset.as_deref();
        let reading = |kind| Box::new(Reading::new(kind, charset));
        let goes = match media.kind.as_str() {
            "text/plain" if !media.attachment && message.text.is_none() => {
                Goes::Text(reading(Kind::Plain))
            }
            "text/html" if !media.attachment && message.html.is_none() => {
                Goes::Html(reading(Kind::Html))
            }
            kind if kind.starts_with("multipart/") => Goes::Nowhere,
            // Nobody looks into it: that is said of the whole message.
            "message/rfc822" => Goes::Nowhere,
            _ => Goes::Attachment {
                hasher: Box::default(),
                lines: Box::default(),
                media: Box::new(media),
            },
        };
        Self {
            decoder,
            goes,
            held: Vec::new(),
        }
    }

    /// A line with its end, or a piece of one.
    fn line(&mut self, line: &[u8], decoded: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        self.take(&held, decoded);
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = match text.len() < line.len() {
            true => text.strip_suffix(b"\r").unwrap_or(text),
            false => text,
        };
        self.take(text, decoded);
        self.held = held;
        self.held.clear();
        self.held
            .extend_from_slice(line.get(text.len()..).unwrap_or_default());
    }

    fn take(&mut self, bytes: &[u8], decoded: &mut Vec<u8>) {
        decoded.clear();
        self.decoder.update(bytes, decoded);
        self.goes.take(decoded);
    }

    fn end(mut self, message: &mut Meaning, decoded: &mut Vec<u8>) {
        decoded.clear();
        self.decoder.finish(decoded);
        self.goes.take(decoded);
        let damaged = self.decoder.damaged;
        let text = |reading: Box<Reading>| {
            let text = reading.finish();
            Some(Text { damaged, ..text })
        };
        match self.goes {
            Goes::Text(reading) => message.text = text(reading),
            Goes::Html(reading) => message.html = text(reading),
            Goes::Attachment {
                hasher,
                lines,
                media,
            } => {
                let what = match media.kind.as_str() {
                    "text/calendar" => What::Calendar,
                    kind if kind.starts_with("message/") => What::Report,
                    _ => What::Other,
                };
                let attachment = Attachment {
                    content: short(&hasher),
                    lines: short(&lines),
                    has_lines: media.encoding == Encoding::Plain || media.kind.starts_with("text/"),
                    name: media.name,
                    what,
                    damaged,
                };
                let full = message.attachments.len() >= PARTS;
                match message.attachments.last_mut().filter(|_| full) {
                    Some(last) => last.content = last.content.wrapping_add(attachment.content),
                    None => message.attachments.push(attachment),
                }
            }
            Goes::Nowhere => {}
        }
    }
}

impl Goes {
    fn take(&mut self, bytes: &[u8]) {
        match self {
            Self::Text(reading) | Self::Html(reading) => reading.update(bytes),
            Self::Attachment { hasher, lines, .. } => {
                hasher.update(bytes);
                for part in bytes.split(|byte| *byte == b'\r') {
                    lines.update(part);
                }
            }
            Self::Nowhere => {}
        }
    }
}
