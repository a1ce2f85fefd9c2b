//! Words, names and prepared text to cut from.

use super::{mime, rng::Rng};

pub(super) const WORDS: [&str; 96] = [
    "about", "account", "after", "again", "agenda", "all", "also", "another", "answer", "any",
    "around", "attached", "because", "before", "best", "better", "between", "board", "budget",
    "call", "change", "check", "client", "close", "come", "contract", "could", "date", "day",
    "decide", "delivery", "document", "draft", "early", "email", "end", "every", "file", "final",
    "find", "first", "from", "give", "good", "have", "help", "hope", "house", "idea", "invoice",
    "just", "keep", "know", "last", "later", "letter", "list", "long", "look", "make", "meeting",
    "message", "might", "month", "more", "morning", "move", "need", "new", "next", "number",
    "offer", "office", "old", "only", "order", "other", "paper", "part", "payment", "people",
    "plan", "please", "point", "price", "project", "question", "report", "send", "server", "small",
    "still", "thanks", "travel", "week", "year",
];

const ACCENTED: [&str; 24] = [
    "für",
    "über",
    "schön",
    "Grüße",
    "Straße",
    "déjà",
    "été",
    "garçon",
    "cœur",
    "señor",
    "mañana",
    "naïve",
    "smörgås",
    "ångström",
    "łódź",
    "žluťoučký",
    "привет",
    "письмо",
    "ελληνικά",
    "日本語",
    "会議",
    "안녕",
    "👍",
    "—",
];

pub(super) const PEOPLE: [(&str, &str); 12] = [
    ("Ann Miller", "ann"),
    ("Bob Carter", "bob"),
    ("Carla Rossi", "carla"),
    ("David Okafor", "david"),
    ("Eva Lind", "eva"),
    ("Farid Haddad", "farid"),
    ("Grace Kim", "grace"),
    ("Hugo Lambert", "hugo"),
    ("Ines Duarte", "ines"),
    ("Jan Novak", "jan"),
    ("Keiko Mori", "keiko"),
    ("Liam Byrne", "liam"),
];

/// Several words with blanks between.
pub(super) fn words(rng: &mut Rng, count: usize) -> String {
    let mut out = String::new();
    for n in 0..count {
        if n > 0 {
            out.push(' ');
        }
        let word: &str = rng.pick::<&str>(&WORDS);
        out.push_str(word);
    }
    out
}

/// Text and base64 prepared once, since writing every message word by word would take longer than
/// moving it.
#[derive(Debug)]
pub(super) struct Pools {
    ascii: Lines,
    utf8: Lines,
    base64: Lines,
}

impl Pools {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, u64::MAX);
        let raw: Vec<u8> = (0..32 * 1024)
            .flat_map(|_| rng.next().to_le_bytes())
            .collect();
        // Whole lines only, so that any run of them decodes.
        let whole = raw.len() / 57 * 57;
        Self {
            ascii: Lines::new(prose(&mut rng, 48 * 1024, 0)),
            utf8: Lines::new(prose(&mut rng, 48 * 1024, 250)),
            base64: Lines::new(mime::base64_lines(&raw[..whole])),
        }
    }

    /// Lines of ASCII, about `size` bytes, each with CRLF.
    pub(super) fn ascii(&self, rng: &mut Rng, size: usize) -> Vec<u8> {
        self.ascii.cut(rng, size)
    }

    /// Lines of UTF-8, about `size` bytes, each with CRLF.
    pub(super) fn utf8(&self, rng: &mut Rng, size: usize) -> Vec<u8> {
        self.utf8.cut(rng, size)
    }

    /// Lines of base64, about `size` bytes, each with CRLF.
    pub(super) fn base64(&self, rng: &mut Rng, size: usize) -> Vec<u8> {
        self.base64.cut(rng, size)
    }
}

#[derive(Debug)]
struct Lines {
    text: Vec<u8>,
    /// Where each line begins.
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: Vec<u8>) -> Self {
        let after = |(at, byte): (usize, &u8)| (*byte == b'\n').then_some(at + 1);
        let starts = std::iter::once(0)
            .chain(text.iter().enumerate().filter_map(after))
            .filter(|at| *at < text.len())
            .collect();
        Self { text, starts }
    }

    fn cut(&self, rng: &mut Rng, size: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(size + 128);
        let mut start = *rng.pick(&self.starts);
        while out.len() < size {
            let left = size - out.len();
            let rest = &self.text[start..];
            let end = rest
                .iter()
                .enumerate()
                .skip(left.saturating_sub(1).min(rest.len()))
                .find(|(_, byte)| **byte == b'\n')
                .map_or(rest.len(), |(at, _)| at + 1);
            out.extend_from_slice(&rest[..end]);
            start = 0;
        }
        out
    }
}

/// Paragraphs of words, one in `accented` of a thousand not ASCII.
fn prose(rng: &mut Rng, size: usize, accented: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(size + 128);
    while out.len() < size {
        let line_start = out.len();
        while out.len() - line_start < 60 {
            let list: &[&str] = if rng.chance(accented) {
                &ACCENTED
            } else {
                &WORDS
            };
            out.extend_from_slice(rng.pick(list).as_bytes());
            out.push(b' ');
        }
        out.pop();
        out.extend_from_slice(if rng.chance(120) {
            b".\r\n\r\n"
        } else {
            b"\r\n"
        });
    }
    out
}
