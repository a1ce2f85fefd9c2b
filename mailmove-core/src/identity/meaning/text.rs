//! A text's meaning: its characters, without what converters do to blanks and line ends.

use encoding_rs::{Decoder, Encoding, UTF_8};

use super::short;

/// A text as it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text {
    /// Of what [`Reading`] leaves of it.
    pub(super) digest: u64,
    /// Of its ASCII letters and digits alone.
    pub(super) letters: u64,
    /// Nothing but blanks.
    pub(super) empty: bool,
    /// Not all of its bytes are characters of the set that it names; or it names none that is known, and
    /// has bytes above 127.
    pub(super) odd: bool,
    /// It holds NUL; what comes after counts for `whole` alone.
    pub(super) cut: bool,
    /// Of all of it, as if there were no NUL.
    pub(super) whole: u64,
    /// Its encoding is damaged: readers differ about what it says.
    pub(super) damaged: bool,
}

/// What of a text counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Every character; line ends of any kind are one, without the blanks before them, nor empty lines at
    /// the end.
    Plain,
    /// Characters outside of tags, without blanks: converters write tags anew.
    Html,
}

/// Reads a text.
#[derive(Debug)]
pub(super) struct Reading {
    kind: Kind,
    decoder: Decoder,
    /// Does it say which character set it is written in?
    declared: bool,
    digest: blake3::Hasher,
    letters: blake3::Hasher,
    /// Blanks and line ends that count only if something follows.
    lines: usize,
    blanks: String,
    after_return: bool,
    in_tag: bool,
    empty: bool,
    odd: bool,
    cut: bool,
    /// From the first NUL on.
    whole: Option<Box<blake3::Hasher>>,
}

/// Blanks that are held back; of more, that there were as many.
const BLANKS: usize = 4096;

impl Reading {
    pub(super) fn new(kind: Kind, charset: Option<&str>) -> Self {
        let label = charset.map(|name| name.trim().to_ascii_lowercase());
        // What calls itself ASCII and has more in it is UTF-8 as often as anything.
        let label = label.filter(|name| !matches!(name.as_str(), "us-ascii" | "ascii"));
        let known = label.and_then(|name| Encoding::for_label(name.as_bytes()));
        let decoder = known.unwrap_or(UTF_8).new_decoder_with_bom_removal();
        Self {
            kind,
            decoder,
            declared: known.is_some(),
            digest: blake3::Hasher::new(),
            letters: blake3::Hasher::new(),
            lines: 0,
            blanks: String::new(),
            after_return: false,
            in_tag: false,
            empty: true,
            odd: false,
            cut: false,
            whole: None,
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.decode(bytes, false);
    }

    pub(super) fn finish(mut self) -> Text {
        self.decode(b"", true);
        Text {
            digest: short(&self.digest),
            letters: short(&self.letters),
            empty: self.empty,
            odd: self.odd,
            cut: self.cut,
            whole: short(self.whole.as_deref().unwrap_or(&self.digest)),
            damaged: false,
        }
    }

    fn decode(&mut self, bytes: &[u8], last: bool) {
        self.odd |= !self.declared && !bytes.is_ascii();
        let most = self.decoder.max_utf8_buffer_length(bytes.len());
        let mut text = String::with_capacity(most.unwrap_or(0));
        let (_, _, odd) = self.decoder.decode_to_string(bytes, &mut text, last);
        self.odd |= odd;
        // In one go per piece: a hasher that is fed single characters takes ten times as long.
        let (mut counted, mut letters) = (String::new(), String::new());
        for c in text.chars() {
            if c == '\0' {
                self.nul(&mut counted);
                continue;
            }
            self.character(c, &mut counted);
            if c.is_ascii_alphanumeric() && !self.cut && !self.in_tag {
                letters.push(c);
            }
        }
        match &mut self.whole {
            Some(whole) => drop(whole.update(counted.as_bytes())),
            None => drop(self.digest.update(counted.as_bytes())),
        }
        self.letters.update(letters.as_bytes());
    }

    /// What comes now counts for the whole alone.
    fn nul(&mut self, out: &mut String) {
        self.cut = true;
        if self.whole.is_none() {
            self.digest.update(out.as_bytes());
            out.clear();
            self.whole = Some(Box::new(self.digest.clone()));
        }
    }

    fn character(&mut self, c: char, out: &mut String) {
        if self.kind == Kind::Html {
            match c {
                '<' => self.in_tag = true,
                '>' => self.in_tag = false,
                _ if self.in_tag || c.is_whitespace() => {}
                _ => self.counts(c, out),
            }
            return;
        }
        let after_return = std::mem::replace(&mut self.after_return, c == '\r');
        match c {
            '\n' if after_return => {}
            '\r' | '\n' => {
                self.lines += 1;
                self.blanks.clear();
            }
            ' ' | '\t' | '\u{a0}' => {
                if self.blanks.len() < BLANKS {
                    self.blanks.push(c);
                }
            }
            _ => {
                for _ in 0..std::mem::take(&mut self.lines) {
                    out.push('\n');
                }
                out.push_str(&self.blanks);
                self.blanks.clear();
                self.counts(c, out);
            }
        }
    }

    fn counts(&mut self, c: char, out: &mut String) {
        self.empty &= self.cut;
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, charset: Option<&str>, bytes: &[u8], piece: usize) -> Text {
        let mut reading = Reading::new(kind, charset);
        bytes.chunks(piece).for_each(|piece| reading.update(piece));
        reading.finish()
    }

    fn plain(charset: &str, bytes: &[u8]) -> Text {
        let text = read(Kind::Plain, Some(charset), bytes, bytes.len().max(1));
        for piece in 1..5 {
            assert_eq!(read(Kind::Plain, Some(charset), bytes, piece), text);
        }
        text
    }

    #[test]
    fn blanks_and_line_ends_do_not_count_where_converters_change_them() {
        let text = plain("utf-8", b"a b\n\n  c\n");
        for same in [
            "a b \r\n\r\n  c",
            "a b\r\r  c\r\n \r\n",
            "\u{feff}a b\n\t\n  c",
        ] {
            assert_eq!(plain("utf-8", same.as_bytes()), text, "{same:?}");
        }
        for other in [
            "a  b\n\n  c",
            "a b\n  c",
            "a b\n\n c",
            "a b\n\n  c.",
            "a c\n\n  b",
        ] {
            assert_ne!(plain("utf-8", other.as_bytes()).digest, text.digest);
        }
        assert!(plain("utf-8", b" \r\n ").empty && !text.empty && !text.odd && !text.cut);
    }

    #[test]
    fn character_sets_do_not_count_and_odd_ones_are_told() {
        let text = plain("utf-8", "größe".as_bytes());
        assert_eq!(plain("iso-8859-1", b"gr\xf6\xdfe"), text);
        let utf16: Vec<u8> = "größe".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(plain("utf-16le", &utf16), text);
        for charset in ["us-ascii", "unknown-8bit", "utf-8"] {
            let odd = plain(charset, b"gr\xf6\xdfe");
            assert!(odd.odd && odd.letters == text.letters, "{charset}");
        }
        let cut = plain("utf-8", b"ab\0cd");
        assert!(cut.cut && cut.digest == plain("utf-8", b"ab").digest);
        assert_eq!(cut.whole, plain("utf-8", b"abcd").digest);
    }

    #[test]
    fn of_html_the_text_counts() {
        let html = |text: &str| read(Kind::Html, Some("utf-8"), text.as_bytes(), 3);
        let one = html("<p class=x>Hello <b>you</b></p>");
        assert_eq!(html("<html>\r\nHello\r\n you</html>"), one);
        assert_ne!(html("<p>Hello me</p>").digest, one.digest);
    }
}
