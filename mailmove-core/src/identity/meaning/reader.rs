//! Reads a message as it passes by, in pieces of any size: each line once, in bounded memory.

use super::{
    Attachment, Meaning, What,
    facts::{self, Importance, facts},
    short,
    text::{Kind, Reading, Text},
};
use crate::mime::{Encoding, Leaf, Media, Visitor, Walker};

/// Parts of a message that are kept apart; more are taken together.
const PARTS: usize = 10_000;
/// Messages within a message that are kept, all in all.
const MESSAGES: usize = 1000;

/// Reads what a message [means](Meaning).
#[derive(Debug)]
pub struct MeaningReader(Walker<Making>);

#[derive(Debug)]
struct Making {
    /// Messages that are being read, each within the one before.
    open: Vec<Meaning>,
    /// Messages that have ended.
    ended: usize,
    goes: Goes,
}

/// What becomes of the body that is being read.
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
    /// What it says cannot be, or nobody looks into it: that is said of the whole message.
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
        Self(Walker::new(Making {
            open: vec![Meaning::default()],
            ended: 0,
            goes: Goes::Nowhere,
        }))
    }

    /// The next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// What it was all about.
    #[must_use]
    pub fn finish(self) -> Meaning {
        self.0.finish().open.pop().unwrap_or_default()
    }
}

impl Visitor for Making {
    fn header(&mut self, header: &[u8], media: &Media, of_message: bool) {
        let outermost = self.open.len() == 1;
        let Some(message) = self.open.last_mut() else {
            return;
        };
        if of_message {
            message.header = facts(header);
            if outermost {
                message.importance = Importance::of(header);
            }
        }
        message.malformed |= media.odd;
        match media.kind.as_str() {
            "multipart/signed" | "multipart/encrypted" => message.signed = true,
            "multipart/report" => message.report = true,
            _ => {}
        }
    }

    fn parts(&mut self, _media: &Media, alike: bool) {
        if let Some(message) = self.open.last_mut() {
            message.malformed |= alike;
        }
    }

    fn parts_end(&mut self, none: bool) {
        if let Some(message) = self.open.last_mut() {
            message.hollow |= none;
        }
    }

    fn message(&mut self, _media: &Media, _start: u64) {
        self.open.push(Meaning::default());
    }

    /// Puts a message that has ended into the one around it.
    fn message_end(&mut self, _end: u64) {
        if let (Some(ended), Some(around)) = (self.open.pop(), self.open.last_mut()) {
            self.ended += 1;
            match self.ended <= MESSAGES {
                true => around.embedded.push(ended),
                false => around.deep = true,
            }
        }
    }

    fn body(&mut self, leaf: Leaf, media: Media, _start: u64) {
        let Some(message) = self.open.last_mut() else {
            return;
        };
        message.deep |= leaf == Leaf::Deep;
        message.hollow |= leaf == Leaf::Hollow;
        let charset = media.charset.as_deref();
        let reading = |kind| Box::new(Reading::new(kind, charset));
        self.goes = match media.kind.as_str() {
            _ if leaf != Leaf::Part => Goes::Nowhere,
            "text/plain" if !media.attachment && message.text.is_none() => {
                Goes::Text(reading(Kind::Plain))
            }
            "text/html" if !media.attachment && message.html.is_none() => {
                Goes::Html(reading(Kind::Html))
            }
            _ => Goes::Attachment {
                hasher: Box::default(),
                lines: Box::default(),
                media: Box::new(media),
            },
        };
    }

    fn data(&mut self, bytes: &[u8]) {
        match &mut self.goes {
            Goes::Text(reading) | Goes::Html(reading) => reading.update(bytes),
            Goes::Attachment { hasher, lines, .. } => {
                hasher.update(bytes);
                for part in bytes.split(|byte| *byte == b'\r') {
                    lines.update(part);
                }
            }
            Goes::Nowhere => {}
        }
    }

    fn body_end(&mut self, _end: u64, damaged: bool) {
        let goes = std::mem::replace(&mut self.goes, Goes::Nowhere);
        let Some(message) = self.open.last_mut() else {
            return;
        };
        let text = |reading: Box<Reading>| {
            let text = reading.finish();
            Some(Text { damaged, ..text })
        };
        match goes {
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
                    name: facts::name(&media),
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

    fn malformed(&mut self) {
        self.open
            .iter_mut()
            .for_each(|message| message.malformed = true);
    }
}
