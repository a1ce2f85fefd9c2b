//! Puts the pieces of FETCH responses together: attributes, header, content.

use mailmove_core::{
    edge::{Spool, SpoolWriter},
    error::Result,
    identity::HeaderDigest,
    model::{Content, ContentDigest},
};

use crate::nul::{Masked, Watch};
use crate::wire::{BodyContent, BodySection, BodyStart, Fetch, Section};

/// How much of a header goes into its digest.
const HEADER_MOST: usize = 256 << 10;

/// A FETCH response with what came along.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) fetch: Box<Fetch>,
    /// The whole message; absent too if the server sent NIL.
    pub(super) content: Option<Content>,
    pub(super) header: Option<HeaderDigest>,
    /// The content may hold NUL, and something else was sent in its place.
    pub(super) doubtful: bool,
    /// Digest of the content as a server shows it that sends no NUL; if that was asked for.
    pub(super) masked: Option<ContentDigest>,
}

/// Takes bodies in as they pass by: one copy, hashed once.
pub(super) struct Collector {
    spool: Spool,
    /// The message whose body comes just now, if it is known.
    uid: Option<u32>,
    /// Takes the present body.
    writer: Option<SpoolWriter>,
    content: Option<Content>,
    header: Vec<u8>,
    /// The present body is a header.
    in_header: bool,
    has_header: bool,
    watch: Watch,
    masked: Option<Masked>,
}

impl Collector {
    pub(super) fn new(spool: Spool) -> Self {
        Self {
            spool,
            uid: None,
            writer: None,
            content: None,
            header: Vec::new(),
            in_header: false,
            has_header: false,
            watch: Watch::default(),
            masked: None,
        }
    }

    /// Whether contents are digested a second time, with NUL masked.
    pub(super) fn mask(&mut self, mask: bool) {
        self.masked = mask.then(Masked::default);
    }

    fn note(&mut self, octets: &[u8]) {
        self.watch.note(octets);
        if let Some(masked) = &mut self.masked {
            masked.note(octets);
        }
    }

    /// A body begins; if it is not wanted it goes nowhere.
    ///
    /// # Errors
    /// If no place can be made for it.
    pub(super) fn start(&mut self, start: &BodyStart, wanted: bool) -> Result<()> {
        self.uid = start.uid;
        match &start.section {
            Section::Full if wanted && self.content.is_none() => {
                self.writer = Some(self.spool.writer(start.len)?);
            }
            Section::HeaderFields(_) | Section::Header if wanted => {
                self.header.clear();
                self.has_header = true;
                self.in_header = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// The body's next octets.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub(super) fn chunk(&mut self, octets: &[u8]) -> Result<()> {
        if self.writer.is_some() {
            self.note(octets);
        }
        if let Some(writer) = &mut self.writer {
            return writer.write(octets);
        }
        if self.in_header {
            let room = HEADER_MOST.saturating_sub(self.header.len());
            let part = octets.get(..room.min(octets.len())).unwrap_or_default();
            self.header.extend_from_slice(part);
        }
        Ok(())
    }

    /// The message whose body is incomplete.
    pub(super) fn incomplete(&self) -> Option<u32> {
        self.uid
    }

    /// The body is complete.
    pub(super) fn end(&mut self) {
        self.uid = None;
        if let Some(writer) = self.writer.take() {
            self.content = Some(writer.finish());
        }
        self.in_header = false;
    }

    /// The response is complete.
    ///
    /// # Errors
    /// As [`start`](Self::start), for bodies sent as quoted strings.
    pub(super) fn finish(&mut self, fetch: Box<Fetch>) -> Result<Gathered> {
        for part in &fetch.sections {
            self.short(part)?;
        }
        // Only a part of the message would be stored as if it were the whole.
        let cut = |part: &BodySection| {
            part.section == Section::Full && part.origin.is_some_and(|origin| origin > 0)
        };
        let content = self
            .content
            .take()
            .filter(|_| !fetch.sections.iter().any(cut));
        let header = self.has_header.then(|| HeaderDigest::of(&self.header));
        self.has_header = false;
        Ok(Gathered {
            fetch,
            content,
            header,
            doubtful: self.watch.take(),
            masked: self.masked.as_mut().map(Masked::take),
        })
    }

    /// A section that came within the line.
    fn short(&mut self, part: &BodySection) -> Result<()> {
        let BodyContent::Inline(octets) = &part.content else {
            return Ok(());
        };
        match &part.section {
            Section::Full if self.content.is_none() => {
                let mut writer = self.spool.writer(octets.len() as u64)?;
                writer.write(octets)?;
                self.content = Some(writer.finish());
                self.note(octets);
            }
            Section::HeaderFields(_) | Section::Header if !self.has_header => {
                self.header.clear();
                self.header.extend_from_slice(octets);
                self.has_header = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// What came of the response so far is of no use.
    pub(super) fn discard(&mut self) {
        self.uid = None;
        self.writer = None;
        self.content = None;
        self.in_header = false;
        self.has_header = false;
        self.watch.take();
        if let Some(masked) = &mut self.masked {
            masked.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use mailmove_core::{
        edge::{Edges, MemoryBudget},
        model::ContentDigest,
    };

    use super::*;
    use crate::wire::{Event, Framer, Limits, Response};

    /// Feeds a server's bytes in pieces of `step`.
    fn gather(text: &[u8], step: usize) -> Vec<Gathered> {
        let mut framer = Framer::without_greeting(Limits::default());
        let spool = Spool::new(Edges::new().spool.directory(), MemoryBudget::new(1 << 20));
        let mut collector = Collector::new(spool);
        let (mut buffer, mut out) = (BytesMut::new(), Vec::new());
        for piece in text.chunks(step) {
            buffer.extend_from_slice(piece);
            while let Some(event) = framer.next(&mut buffer).unwrap() {
                match event {
                    Event::BodyStart(start) => collector.start(&start, true).unwrap(),
                    Event::BodyChunk(chunk) => collector.chunk(&chunk).unwrap(),
                    Event::BodyEnd => collector.end(),
                    Event::Response(Response::Fetch(fetch)) => {
                        out.push(collector.finish(fetch).unwrap());
                    }
                    Event::Response(_) => collector.discard(),
                }
            }
        }
        out
    }

    #[test]
    fn content_and_header_in_any_pieces() {
        let text = b"* 1 FETCH (BODY[] {5}\r\nab\r\nc UID 7 BODY[HEADER.FIELDS (Subject)] {12}\r\n\
            Subject: x\r\n)\r\n* 2 FETCH (UID 8 BODY[] \"short\")\r\n* 3 FETCH (UID 9 BODY[] NIL)\r\n\
            * 4 FETCH (UID 10 BODY[] {0}\r\n)\r\n* 5 FETCH (UID 11 BODY[]<3> {2}\r\nxy)\r\n";
        for step in [1, 7, 1000] {
            let found = gather(text, step);
            let uids: Vec<_> = found.iter().map(|one| one.fetch.uid).collect();
            assert_eq!(uids, [Some(7), Some(8), Some(9), Some(10), Some(11)]);
            let contents: Vec<_> = found
                .iter()
                .map(|one| one.content.as_ref()?.as_bytes().cloned())
                .collect();
            let expected = [Some("ab\r\nc"), Some("short"), None, Some(""), None];
            assert_eq!(contents, expected.map(|text| text.map(Bytes::from)));
            assert_eq!(found[0].header, Some(HeaderDigest::of(b"Subject: x\r\n")));
            assert_eq!(found[1].header, None);
            let digest = found[0].content.as_ref().map(Content::digest);
            assert_eq!(digest, Some(ContentDigest::of(b"ab\r\nc")));
        }
    }
}
