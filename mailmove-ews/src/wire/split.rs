//! Takes the contents of messages out of a reply while it arrives, so that neither the XML nor their
//! Base64 is ever in memory as a whole.
//!
//! What remains, the reply's skeleton, has `#0`, `#1`, … in the place of each content, and goes to the
//! XML parser when it is complete.

use mailmove_exchange::{base64::Decoder, sink::Contents};

use super::WireError;

/// Elements whose text is Base64 of a content.
const CONTENTS: [&[u8]; 2] = [b"MimeContent", b"Data"];
/// Longest skeleton. A page of 512 items with all that is asked for has about 1 MiB.
pub(crate) const SKELETON_MAX: usize = 64 << 20;

/// Where a reply may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Text,
    /// After `<`, or further into a tag; the quotation mark that is open.
    Tag(Option<u8>),
    /// After `<!`, while it is not clear what follows.
    Bang,
    Comment,
    Cdata,
    Instruction,
    Content,
    /// Within `&…;` of a content.
    Reference,
}

/// Cuts a reply into skeleton and contents.
pub struct Splitter<C: Contents> {
    state: State,
    skeleton: Vec<u8>,
    /// Where the present markup begins in the skeleton.
    start: usize,
    decoder: Decoder,
    sink: C,
    contents: Vec<C::Item>,
}

impl<C: Contents> Splitter<C> {
    /// Before the first byte.
    pub fn new(sink: C) -> Self {
        Self {
            state: State::Text,
            skeleton: Vec::new(),
            start: 0,
            decoder: Decoder::default(),
            sink,
            contents: Vec::new(),
        }
    }

    /// The next bytes of the reply.
    ///
    /// # Errors
    /// If it holds a document type, or more than any reply may.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), WireError> {
        while let Some(first) = bytes.first() {
            let used = match self.state {
                State::Text => self.text(bytes),
                State::Tag(quote) => self.tag(bytes, quote),
                State::Bang => self.bang(*first)?,
                State::Comment => self.until(bytes, b"-->"),
                State::Cdata => self.until(bytes, b"]]>"),
                State::Instruction => self.until(bytes, b"?>"),
                State::Content => self.content(bytes),
                State::Reference => {
                    if *first == b';' {
                        self.state = State::Content;
                    }
                    1
                }
            };
            if self.skeleton.len() > SKELETON_MAX {
                return Err(WireError::TooLarge);
            }
            bytes = bytes.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    /// The skeleton, and the contents in their order.
    ///
    /// # Errors
    /// If the reply ends within a tag or a content.
    pub fn finish(self) -> Result<(Vec<u8>, Vec<C::Item>), WireError> {
        match self.state {
            State::Text => Ok((self.skeleton, self.contents)),
            _ => Err(WireError::Truncated),
        }
    }

    fn text(&mut self, bytes: &[u8]) -> usize {
        let end = memchr::memchr(b'<', bytes);
        let used = end.map_or(bytes.len(), |at| at + 1);
        self.start = self.skeleton.len() + used - 1;
        self.keep(bytes, used);
        if end.is_some() {
            self.state = State::Tag(None);
        }
        used
    }

    fn keep(&mut self, bytes: &[u8], used: usize) {
        self.skeleton
            .extend_from_slice(bytes.get(..used).unwrap_or_default());
    }

    fn tag(&mut self, bytes: &[u8], quote: Option<u8>) -> usize {
        if let Some(mark) = quote {
            let end = memchr::memchr(mark, bytes);
            let used = end.map_or(bytes.len(), |at| at + 1);
            self.keep(bytes, used);
            if end.is_some() {
                self.state = State::Tag(None);
            }
            return used;
        }
        let is_first = self.skeleton.len() == self.start + 1;
        if is_first && matches!(bytes.first(), Some(b'!' | b'?')) {
            self.state = match bytes.first() {
                Some(b'!') => State::Bang,
                _ => State::Instruction,
            };
            self.keep(bytes, 1);
            return 1;
        }
        let end = bytes.iter().position(|b| matches!(b, b'>' | b'"' | b'\''));
        let used = end.map_or(bytes.len(), |at| at + 1);
        self.keep(bytes, used);
        match end.and_then(|at| bytes.get(at)) {
            Some(b'>') if self.opens_content() => self.state = State::Content,
            Some(b'>') => self.state = State::Text,
            mark => self.state = State::Tag(mark.copied()),
        }
        used
    }

    /// Whether the tag that just ended begins a content.
    fn opens_content(&self) -> bool {
        let tag = self.skeleton.get(self.start + 1..).unwrap_or_default();
        let Some(tag) = tag.strip_suffix(b">") else {
            return false;
        };
        if tag.ends_with(b"/") {
            return false;
        }
        let name = tag.split(u8::is_ascii_whitespace).next();
        let local = name.and_then(|name| name.rsplit(|b| *b == b':').next());
        // An end tag's name begins with a slash.
        let is_end = tag.first() == Some(&b'/');
        !is_end && local.is_some_and(|local| CONTENTS.contains(&local))
    }

    fn bang(&mut self, byte: u8) -> Result<usize, WireError> {
        self.skeleton.push(byte);
        let so_far = self.skeleton.get(self.start + 2..).unwrap_or_default();
        match so_far {
            b"--" => self.state = State::Comment,
            b"[CDATA[" => self.state = State::Cdata,
            _ if b"--".starts_with(so_far) || b"[CDATA[".starts_with(so_far) => {}
            _ => return Err(WireError::DocumentType),
        }
        // `<!-->` is no comment yet.
        self.start = match self.state {
            State::Bang => self.start,
            _ => self.skeleton.len(),
        };
        Ok(1)
    }

    fn until(&mut self, bytes: &[u8], end: &[u8]) -> usize {
        let last = end.last().copied().unwrap_or_default();
        let found = memchr::memchr(last, bytes);
        let used = found.map_or(bytes.len(), |at| at + 1);
        self.keep(bytes, used);
        let inside = self.skeleton.get(self.start..).unwrap_or_default();
        if found.is_some() && inside.ends_with(end) {
            self.state = State::Text;
        }
        used
    }

    fn content(&mut self, bytes: &[u8]) -> usize {
        let end = memchr::memchr2(b'<', b'&', bytes);
        let text = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let sink = &mut self.sink;
        self.decoder.push(text, |piece| sink.write(piece));
        let Some(at) = end else { return bytes.len() };
        if bytes.get(at) == Some(&b'&') {
            self.state = State::Reference;
            return at + 1;
        }
        let sink = &mut self.sink;
        let whole = self.decoder.finish(|piece| sink.write(piece));
        let index = self.contents.len();
        self.contents.push(self.sink.end(whole));
        self.skeleton
            .extend_from_slice(format!("#{index}").as_bytes());
        self.state = State::Text;
        // The `<` is read again, as text.
        at
    }
}

impl<C: Contents> std::fmt::Debug for Splitter<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (bytes, contents) = (self.skeleton.len(), self.contents.len());
        write!(
            f,
            "Splitter({:?}, {bytes} bytes, {contents} contents)",
            self.state
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Collect(Vec<u8>);

    impl Contents for Collect {
        type Item = (Vec<u8>, bool);
        fn write(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
        fn end(&mut self, whole: bool) -> Self::Item {
            (std::mem::take(&mut self.0), whole)
        }
    }

    type Split = Result<(Vec<u8>, Vec<(Vec<u8>, bool)>), WireError>;

    fn split(xml: &[u8], piece: usize) -> Split {
        let mut splitter = Splitter::new(Collect::default());
        for piece in xml.chunks(piece) {
            splitter.push(piece)?;
        }
        splitter.finish()
    }

    #[test]
    fn contents_come_out_however_the_reply_is_cut() {
        let xml = b"<?xml version='1.0'?><!-- <t:MimeContent>eA== --><a x='<\">'><t:MimeContent \
            CharacterSet=\"UTF-8\">aGVs\r\nbG8=</t:MimeContent><t:Data/><![CDATA[<Data>]]><Data>\
            aGk&#xD;\n</Data><MimeContent></MimeContent></a>";
        let skeleton =
            b"<?xml version='1.0'?><!-- <t:MimeContent>eA== --><a x='<\">'><t:MimeContent \
            CharacterSet=\"UTF-8\">#0</t:MimeContent><t:Data/><![CDATA[<Data>]]><Data>#1</Data>\
            <MimeContent>#2</MimeContent></a>";
        for piece in 1..xml.len() {
            let (found, contents) = split(xml, piece).unwrap();
            assert_eq!(
                String::from_utf8_lossy(&found),
                String::from_utf8_lossy(skeleton)
            );
            let expected = [&b"hello"[..], b"hi", b""].map(|text| (text.to_vec(), true));
            assert_eq!(contents, expected);
        }
    }

    #[test]
    fn a_document_type_is_refused_and_a_cut_reply_too() {
        for piece in [1, 100] {
            let bomb = b"<!DOCTYPE a [<!ENTITY b \"c\">]><a/>";
            assert_eq!(split(bomb, piece), Err(WireError::DocumentType));
            for cut in [&b"<a"[..], b"<a><MimeContent>aGV", b"<!-- ", b"<a b='>"] {
                assert_eq!(split(cut, piece), Err(WireError::Truncated));
            }
        }
        assert_eq!(split(b"<!ELEMENT a>", 1), Err(WireError::DocumentType));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_split_the_same_however_they_are_cut(bytes: Vec<u8>, piece in 1_usize..9) {
            proptest::prop_assert_eq!(split(&bytes, piece), split(&bytes, bytes.len().max(1)));
        }

        #[test]
        fn any_markup_splits_the_same_however_it_is_cut(
            parts in proptest::collection::vec(
                proptest::sample::select(vec![
                    "<", ">", "!", "--", "[CDATA[", "]]>", "?", "MimeContent", "/", "'", "\"", "aGk=", "&", ";", ":", " ", "DOCTYPE",
                ]),
                0..20,
            ),
            piece in 1_usize..5,
        ) {
            let text = parts.concat();
            let whole = split(text.as_bytes(), text.len().max(1));
            proptest::prop_assert_eq!(split(text.as_bytes(), piece), whole);
        }
    }
}
