//! Takes a message apart.

use super::{Decoder, Encoding, Media};

/// Multiparts and messages within each other; what is deeper is one part.
const DEEPEST: usize = 50;
/// Messages within messages that are looked into: servers keep deeper ones as they are, or not at all.
const EMBEDDED: usize = 4;
/// Bytes of a line that are looked at for a boundary; RFC 2046 allows 70 of one.
const LINE: usize = 1024;
/// Bytes of a header that are read.
const HEADER: usize = 1 << 20;

/// Is told what a message consists of, in its order. Offsets count the message's bytes.
pub trait Visitor {
    /// A header has ended, of the message or of one within it, if `of_message`, and else of a part.
    fn header(&mut self, header: &[u8], media: &Media, of_message: bool);

    /// Parts of that kind follow, until [`Visitor::parts_end`]. `alike`: their boundary begins as that of parts around
    /// them, or the other way round, so that readers may take the one for the other.
    fn parts(&mut self, media: &Media, alike: bool) {
        let _ = (media, alike);
    }

    /// All of them were told; `none`: there was not one.
    fn parts_end(&mut self, none: bool) {
        let _ = none;
    }

    /// A message within the message begins, whose header follows; the part that it is has said that.
    fn message(&mut self, media: &Media, start: u64);

    /// The message within has ended.
    fn message_end(&mut self, end: u64);

    /// A body begins.
    fn body(&mut self, leaf: Leaf, media: Media, start: u64);

    /// What the next bytes of the body mean.
    fn data(&mut self, bytes: &[u8]);

    /// The body has ended; `damaged`: its encoding is.
    fn body_end(&mut self, end: u64, damaged: bool);

    /// The parts of all messages that are open are not well-formed: readers take them apart in different ways.
    fn malformed(&mut self) {}
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Leaf {
    /// A part without parts in it.
    Part,
    /// It says that it holds parts, and has no boundary between them.
    Hollow,
    /// Parts, or a message, that nobody looks into: it is nested too deeply.
    Deep,
}

/// Takes a message apart, and tells a [`Visitor`] of it.
#[derive(Debug)]
pub struct Walker<V> {
    visitor: V,
    /// The line that is being read, as long as all of it fits.
    line: Vec<u8>,
    /// Its beginning was passed on.
    long: bool,
    state: State,
    levels: Vec<Level>,
    /// Messages that are being read, each within the one before.
    messages: usize,
    decoded: Vec<u8>,
    /// Bytes before the line that is being read, and of the line end right before.
    at: u64,
    end: u64,
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
    Body(Box<Body>),
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

#[derive(Debug)]
struct Body {
    decoder: Decoder,
    start: u64,
    /// A line end that belongs to the boundary, if one follows.
    held: Vec<u8>,
}

impl<V: Visitor> Walker<V> {
    /// Before the first byte.
    #[must_use]
    pub fn new(visitor: V) -> Self {
        Self {
            visitor,
            line: Vec::new(),
            long: false,
            state: State::Header {
                bytes: Vec::new(),
                message: true,
                digest: false,
            },
            levels: Vec::new(),
            messages: 1,
            decoded: Vec::new(),
            at: 0,
            end: 0,
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
                let mut line = std::mem::take(&mut self.line);
                // A line end is not torn: it may belong to a boundary.
                let begun = line.pop_if(|last| *last == b'\r');
                self.pass(&line);
                self.long = true;
                self.reuse(line);
                self.line.extend(begun);
            }
        }
    }

    /// The message has ended, and all of it was told.
    #[must_use]
    pub fn finish(mut self) -> V {
        if !self.line.is_empty() {
            self.end_line();
        }
        if let State::Header { bytes, .. } = &mut self.state {
            let header = std::mem::take(bytes);
            self.end_header(&header, self.at);
        }
        self.end_part(false, self.at);
        self.malformed(!self.levels.is_empty());
        self.close(0, self.at);
        self.visitor
    }

    fn reuse(&mut self, mut line: Vec<u8>) {
        self.at += line.len() as u64;
        self.end = line_end(&line) as u64;
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
                        self.end_header(&header, self.at + line.len() as u64);
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
            State::Body(body) => {
                body.line(line, &mut self.decoded, &mut self.visitor);
            }
            State::Outside => {}
        }
    }

    fn boundary(&mut self, at: usize, last: bool) {
        // The line end before a boundary belongs to it.
        let end = self.at.saturating_sub(self.end);
        if let State::Header { bytes, .. } = &mut self.state {
            let header = std::mem::take(bytes);
            // It should have ended with an empty line.
            self.malformed(!header.is_empty());
            self.end_header(&header, self.at);
        }
        // Those within should have ended before.
        self.malformed(at + 1 < self.levels.len());
        self.end_part(true, end);
        let messages = self.levels.get(at).map_or(1, |level| level.messages);
        self.close(if last { at } else { at + 1 }, end);
        self.fold(messages, end);
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
            self.visitor.malformed();
        }
    }

    /// Ends the levels from `left` on, and the messages within them.
    fn close(&mut self, left: usize, end: u64) {
        while self.levels.len() > left {
            if let Some(level) = self.levels.pop() {
                self.fold(level.messages, end);
                self.visitor.parts_end(level.parts == 0);
            }
        }
        if left == 0 {
            self.fold(1, end);
        }
    }

    fn fold(&mut self, messages: usize, end: u64) {
        while self.messages > messages.max(1) {
            self.messages -= 1;
            self.visitor.message_end(end);
        }
    }

    /// `next`: where what follows it begins.
    fn end_header(&mut self, header: &[u8], next: u64) {
        let State::Header {
            message: of_message,
            digest,
            ..
        } = self.state
        else {
            return;
        };
        let media = Media::of(header, digest);
        self.visitor.header(header, &media, of_message);
        let deep = self.levels.len() + self.messages >= DEEPEST;
        let plain = media.encoding == Encoding::Plain;
        let boundary = media.boundary.as_deref().map(str::trim_end);
        let boundary = boundary.filter(|text| (1..LINE / 2).contains(&text.len()));
        let is_message = media.kind == "message/rfc822";
        self.state = match boundary {
            Some(boundary) if media.is_multipart() && plain && !deep => {
                let mut delimiter = b"--".to_vec();
                delimiter.extend_from_slice(boundary.as_bytes());
                let alike = self.levels.iter().any(|around| {
                    let (one, other) = (&around.delimiter, &delimiter);
                    one.starts_with(other) || other.starts_with(one)
                });
                self.visitor.parts(&media, alike);
                self.levels.push(Level {
                    delimiter,
                    digest: media.kind == "multipart/digest",
                    messages: self.messages,
                    parts: 0,
                });
                State::Outside
            }
            _ if is_message && plain && !deep && self.messages <= EMBEDDED => {
                self.messages += 1;
                self.visitor.message(&media, next);
                State::Header {
                    bytes: Vec::new(),
                    message: true,
                    digest: false,
                }
            }
            _ => {
                let leaf = match media.is_multipart() {
                    true if deep => Leaf::Deep,
                    true => Leaf::Hollow,
                    false if is_message => Leaf::Deep,
                    false => Leaf::Part,
                };
                let decoder = Decoder::new(media.encoding);
                self.visitor.body(leaf, media, next);
                State::Body(Box::new(Body {
                    decoder,
                    start: next,
                    held: Vec::new(),
                }))
            }
        };
    }

    fn end_part(&mut self, at_boundary: bool, end: u64) {
        let State::Body(mut body) = std::mem::replace(&mut self.state, State::Outside) else {
            return;
        };
        let held = std::mem::take(&mut body.held);
        if !at_boundary {
            body.take(&held, &mut self.decoded, &mut self.visitor);
        }
        self.decoded.clear();
        body.decoder.finish(&mut self.decoded);
        self.visitor.data(&self.decoded);
        let damaged = body.decoder.is_damaged();
        self.visitor.body_end(end.max(body.start), damaged);
    }
}

/// How many bytes of it are the end of a line.
fn line_end(line: &[u8]) -> usize {
    let Some(text) = line.strip_suffix(b"\n") else {
        return 0;
    };
    line.len() - text.strip_suffix(b"\r").unwrap_or(text).len()
}

impl Body {
    /// A line with its end, or a piece of one.
    fn line(&mut self, line: &[u8], decoded: &mut Vec<u8>, visitor: &mut impl Visitor) {
        let held = std::mem::take(&mut self.held);
        self.take(&held, decoded, visitor);
        let (text, end) = line.split_at(line.len() - line_end(line));
        self.take(text, decoded, visitor);
        self.held = held;
        self.held.clear();
        self.held.extend_from_slice(end);
    }

    fn take(&mut self, bytes: &[u8], decoded: &mut Vec<u8>, visitor: &mut impl Visitor) {
        decoded.clear();
        self.decoder.update(bytes, decoded);
        visitor.data(decoded);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Data(Vec<u8>, Vec<(u64, u64)>);

    impl Visitor for Data {
        fn header(&mut self, _: &[u8], _: &Media, _: bool) {}
        fn message(&mut self, _: &Media, _: u64) {}
        fn message_end(&mut self, _: u64) {}
        fn body(&mut self, _: Leaf, _: Media, start: u64) {
            self.1.push((start, start));
        }
        fn data(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
        fn body_end(&mut self, end: u64, _: bool) {
            if let Some(last) = self.1.last_mut() {
                last.1 = end;
            }
        }
    }

    #[test]
    fn the_line_end_before_a_boundary_is_no_data_however_long_the_line() {
        let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n";
        for length in [
            1,
            LINE - 2,
            LINE - 1,
            LINE,
            LINE + 1,
            2 * LINE - 1,
            3 * LINE,
        ] {
            let line = "x".repeat(length);
            let message = format!("{head}{line}\r\n--b--\r\n");
            for step in [1, 7, LINE, message.len()] {
                let mut walker = Walker::new(Data::default());
                for piece in message.as_bytes().chunks(step) {
                    walker.update(piece);
                }
                let Data(data, places) = walker.finish();
                assert_eq!(data, line.as_bytes(), "{length} in pieces of {step}");
                let place = (head.len() as u64, (head.len() + length) as u64);
                assert_eq!(places, [place], "{length} in pieces of {step}");
            }
        }
    }
}
