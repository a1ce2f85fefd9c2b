//! Contents within JSON: cut out as they arrive, so that no export is ever held as a text.

use mailmove_exchange::{base64::Decoder, sink::Contents};
use memchr::memchr2;

/// The member whose text is a content.
const MEMBER: &[u8] = b"data";
/// Longest JSON without its contents.
const SKELETON_MAX: usize = 8 << 20;
/// Most contents: a request asks for fewer.
const CONTENTS_MAX: usize = 1000;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Between texts.
    Between,
    /// In a text that stays.
    Text,
    /// Behind a backslash in one.
    Escape,
    /// In a content.
    Content,
    /// Behind a backslash in one.
    ContentEscape,
    /// In the digits of a character: so many are left.
    ContentDigits(u8, u32),
}

/// Takes JSON apart: the text of each member called `data` goes to the sink as the bytes that it is Base64 of,
/// and stands in the rest as `#0`, `#1` and so on.
pub(crate) struct Splitter<C: Contents> {
    sink: C,
    at: At,
    skeleton: Vec<u8>,
    /// The last text between contents, as far as it may be the member's name.
    last: Vec<u8>,
    /// The next text is a content.
    wanted: bool,
    decoder: Decoder,
    broken: bool,
    contents: Vec<C::Item>,
    too_long: bool,
}

impl<C: Contents> Splitter<C> {
    pub(crate) fn new(sink: C) -> Self {
        Self {
            sink,
            at: At::Between,
            skeleton: Vec::new(),
            last: Vec::new(),
            wanted: false,
            decoder: Decoder::default(),
            broken: false,
            contents: Vec::new(),
            too_long: false,
        }
    }

    /// Takes the next bytes; false if it is longer by now than any may be, or has more contents.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> bool {
        while let Some((first, rest)) = bytes.split_first() {
            if self.at == At::Content {
                let end = memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
                let (content, tail) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
                self.content(content);
                bytes = match tail.split_first() {
                    Some((b'\\', tail)) => {
                        self.at = At::ContentEscape;
                        tail
                    }
                    Some((_, tail)) => {
                        self.end();
                        tail
                    }
                    None => &[],
                };
                continue;
            }
            if self.too_long {
                break;
            }
            self.byte(*first);
            bytes = rest;
        }
        !self.too_long
    }

    fn byte(&mut self, byte: u8) {
        match self.at {
            At::Between => self.between(byte),
            At::Text => {
                self.keep(byte);
                match byte {
                    b'"' => self.at = At::Between,
                    b'\\' => {
                        self.at = At::Escape;
                        self.remember(byte);
                    }
                    _ => self.remember(byte),
                }
            }
            At::Escape => {
                self.keep(byte);
                self.at = At::Text;
            }
            At::Content => {}
            At::ContentEscape => {
                self.at = At::Content;
                match byte {
                    b'/' => self.content(b"/"),
                    b'n' | b'r' | b't' => {}
                    b'u' => self.at = At::ContentDigits(4, 0),
                    _ => self.broken = true,
                }
            }
            At::ContentDigits(left, code) => {
                let digit = char::from(byte).to_digit(16);
                self.broken |= digit.is_none();
                let code = code * 16 + digit.unwrap_or_default();
                self.at = At::ContentDigits(left - 1, code);
                if left == 1 {
                    self.at = At::Content;
                    match u8::try_from(code).ok().filter(u8::is_ascii) {
                        Some(byte) => self.content(&[byte]),
                        None => self.broken = true,
                    }
                }
            }
        }
    }

    fn between(&mut self, byte: u8) {
        self.keep(byte);
        match byte {
            b'"' if self.wanted => {
                self.wanted = false;
                self.at = At::Content;
                let number = self.contents.len().to_string();
                self.skeleton.push(b'#');
                self.skeleton.extend_from_slice(number.as_bytes());
            }
            b'"' => {
                self.last.clear();
                self.at = At::Text;
            }
            b':' => self.wanted = self.last == MEMBER,
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => self.wanted = false,
        }
    }

    /// One byte more than the member's name has is enough to tell it from that.
    fn remember(&mut self, byte: u8) {
        if self.last.len() <= MEMBER.len() {
            self.last.push(byte);
        }
    }

    fn keep(&mut self, byte: u8) {
        self.too_long |= self.skeleton.len() >= SKELETON_MAX;
        if !self.too_long {
            self.skeleton.push(byte);
        }
    }

    fn content(&mut self, text: &[u8]) {
        let sink = &mut self.sink;
        self.decoder.push(text, |bytes| sink.write(bytes));
    }

    fn end(&mut self) {
        let sink = &mut self.sink;
        let whole = self.decoder.finish(|bytes| sink.write(bytes));
        let whole = whole && !std::mem::take(&mut self.broken);
        let item = self.sink.end(whole);
        match self.contents.len() < CONTENTS_MAX {
            true => self.contents.push(item),
            false => self.too_long = true,
        }
        self.skeleton.push(b'"');
        self.at = At::Between;
    }

    /// The JSON without contents, and these; `None` if it was longer than any may be.
    pub(crate) fn finish(self) -> Option<(Vec<u8>, Vec<C::Item>)> {
        (!self.too_long).then_some((self.skeleton, self.contents))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Plain(Vec<u8>);

    impl Contents for Plain {
        type Item = (String, bool);
        fn write(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
        fn end(&mut self, whole: bool) -> Self::Item {
            let text = std::mem::take(&mut self.0);
            (String::from_utf8_lossy(&text).into_owned(), whole)
        }
    }

    fn split(json: &str, step: usize) -> (String, Vec<(String, bool)>) {
        let mut splitter = Splitter::new(Plain::default());
        for piece in json.as_bytes().chunks(step) {
            assert!(splitter.push(piece));
        }
        let (skeleton, contents) = splitter.finish().unwrap();
        (String::from_utf8(skeleton).unwrap(), contents)
    }

    #[test]
    fn contents_are_cut_out_wherever_the_pieces_end() {
        let whole = |text: &str| (text.to_owned(), true);
        for (json, skeleton, contents) in [
            (
                r#"{"value":[{"itemId":"a","data":"aGVsbG8="},{"data" : "aGk="}]}"#,
                r##"{"value":[{"itemId":"a","data":"#0"},{"data" : "#1"}]}"##,
                vec![whole("hello"), whole("hi")],
            ),
            (
                r#"{"data":"Pz8\/"}"#,
                r##"{"data":"#0"}"##,
                vec![whole("???")],
            ),
            (
                r#"{"data":"Pz8\u002F"}"#,
                r##"{"data":"#0"}"##,
                vec![whole("???")],
            ),
            (r#"{"data":""}"#, r##"{"data":"#0"}"##, vec![whole("")]),
            (
                r#"{"data":null,"x":"data"}"#,
                r#"{"data":null,"x":"data"}"#,
                vec![],
            ),
            (
                r#"{"a\"data":"x","xdata":"y","data\\":"z","datas":"w"}"#,
                r#"{"a\"data":"x","xdata":"y","data\\":"z","datas":"w"}"#,
                vec![],
            ),
            (
                r#"{"data":"a*=="}"#,
                r##"{"data":"#0"}"##,
                vec![(String::new(), false)],
            ),
        ] {
            for step in [1, 2, 3, 7, 1000] {
                let (made, found) = split(json, step);
                assert_eq!((made.as_str(), &found), (skeleton, &contents), "{json}");
            }
        }
    }

    #[test]
    fn nothing_grows_without_end() {
        let mut splitter = Splitter::new(Plain::default());
        assert!(splitter.push(b"{\""));
        for _ in 0..100 {
            splitter.push(&[b'\\'; 10_000]);
        }
        assert!(splitter.last.len() <= MEMBER.len() + 1);
        assert!(splitter.push(&vec![b'x'; SKELETON_MAX - 1_000_100]));
        assert!(!splitter.push(&[b'x'; 200]));
        assert!(splitter.finish().is_none());
        let mut splitter = Splitter::new(Plain::default());
        let many = r#""data":"","#.repeat(CONTENTS_MAX);
        assert!(splitter.push(many.as_bytes()));
        assert!(!splitter.push(br#""data":"","#));
        assert_eq!(splitter.contents.len(), CONTENTS_MAX);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, step in 1_usize..9) {
            let mut splitter = Splitter::new(Plain::default());
            for piece in bytes.chunks(step) {
                splitter.push(piece);
            }
            let _ = splitter.finish();
        }
    }
}
