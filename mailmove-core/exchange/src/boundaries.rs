//! The same bytes at each read.
//!
//! Exchange makes MIME anew whenever it is asked for it, each time with other boundaries. Whoever knows a
//! message by a digest of its bytes would take each read for another message: a lost state would have all mail
//! copied twice. So boundaries are renamed as a message passes by, after their place in it. What is signed is
//! kept by Exchange as it came, and stays as it is.

/// How renamed boundaries begin. `=_` stands in no text that is encoded (RFC 2045 §6.7).
const NAME: &str = "=_mailmove_";
/// Bytes of a line that are looked at.
const LINE: usize = 1024;
/// Longest header in which a boundary is looked for.
const HEADER: usize = 1 << 18;
/// Multiparts and messages within each other.
const DEEPEST: usize = 30;

/// Renames boundaries.
#[derive(Debug, Default)]
pub struct Renaming {
    line: Vec<u8>,
    /// The line's beginning went on already.
    long: bool,
    state: State,
    levels: Vec<Level>,
    /// Boundaries so far.
    count: usize,
    /// A line looks like a renamed boundary, and is none.
    collided: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Within a header, of which this was held back.
    Header(Vec<u8>),
    /// Until the next boundary.
    Other,
    /// To the end: what is to be left alone, or cannot be taken apart.
    Alone,
}

impl Default for State {
    fn default() -> Self {
        Self::Header(Vec::new())
    }
}

#[derive(Debug)]
struct Level {
    /// With the two dashes in front.
    was: Vec<u8>,
    is: String,
}

impl Renaming {
    /// The next bytes; what becomes of them goes to the end of `out`.
    pub fn update(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.state == State::Alone {
                out.extend_from_slice(rest);
                return;
            }
            let room = LINE - self.line.len();
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (now, after) = rest.split_at(end.min(room));
            self.line.extend_from_slice(now);
            rest = after;
            let ends = self.line.last() == Some(&b'\n');
            if ends || self.line.len() >= LINE {
                let line = std::mem::take(&mut self.line);
                self.line(&line, out);
                self.long = !ends;
                self.line = line;
                self.line.clear();
            }
        }
    }

    /// The message has ended. True if what went out is a message with other boundaries and nothing else: false
    /// if one of the new ones stands in its text.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> bool {
        let line = std::mem::take(&mut self.line);
        self.line(&line, out);
        if let State::Header(held) = &mut self.state {
            out.append(held);
        }
        !std::mem::take(self).collided
    }

    /// A line, or a piece of one.
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        if !self.long && line.starts_with(b"--") {
            if let Some(at) = self.level(line) {
                return self.boundary(at, line, out);
            }
            let text = line.get(2..).unwrap_or_default();
            self.collided |= text.starts_with(NAME.as_bytes());
        }
        match &mut self.state {
            State::Header(held) => {
                held.extend_from_slice(line);
                if !self.long && line.trim_ascii().is_empty() {
                    self.end_header(out);
                } else if held.len() > HEADER {
                    // Nobody writes such; what holds it stays as it is.
                    out.append(held);
                    self.state = State::Other;
                }
            }
            State::Other | State::Alone => out.extend_from_slice(line),
        }
    }

    /// Which level a line is the boundary of.
    fn level(&self, line: &[u8]) -> Option<usize> {
        let text = line.trim_ascii_end();
        let is = |level: &Level| {
            let rest = text.strip_prefix(level.was.as_slice());
            matches!(rest, Some(b"" | b"--"))
        };
        self.levels.iter().rposition(is)
    }

    fn boundary(&mut self, at: usize, line: &[u8], out: &mut Vec<u8>) {
        if let State::Header(held) = &mut self.state {
            out.append(held);
        }
        self.levels.truncate(at + 1);
        let Some(level) = self.levels.last() else {
            return;
        };
        let rest = line.get(level.was.len()..).unwrap_or_default();
        out.extend_from_slice(b"--");
        out.extend_from_slice(level.is.as_bytes());
        out.extend_from_slice(rest);
        self.state = match rest.starts_with(b"--") {
            true => State::Other,
            false => State::Header(Vec::new()),
        };
        if self.state == State::Other {
            self.levels.pop();
        }
    }

    fn end_header(&mut self, out: &mut Vec<u8>) {
        let State::Header(header) = std::mem::replace(&mut self.state, State::Other) else {
            return;
        };
        let media = media(&header);
        let deep = self.levels.len() >= DEEPEST;
        match media {
            Media::Message if !deep => {
                out.extend_from_slice(&header);
                self.state = State::Header(Vec::new());
            }
            Media::Parts { from, to, quoted } if !deep => {
                self.count += 1;
                let is = format!("{NAME}{}", self.count);
                let (before, after) = (header.get(..from), header.get(to..));
                let was = header.get(from..to).unwrap_or_default();
                // The name has a sign that may not stand without quotes.
                let quote: &[u8] = if quoted { b"" } else { b"\"" };
                for part in [
                    before.unwrap_or_default(),
                    quote,
                    is.as_bytes(),
                    quote,
                    after.unwrap_or_default(),
                ] {
                    out.extend_from_slice(part);
                }
                let was = [b"--", was].concat();
                self.levels.push(Level { was, is });
            }
            // As a whole; only what is around it goes on.
            Media::Signed if self.levels.is_empty() => {
                out.extend_from_slice(&header);
                self.state = State::Alone;
            }
            _ => out.extend_from_slice(&header),
        }
    }
}

/// Looks whether a message with parts has its last boundary: what was cut off has not.
#[derive(Debug, Default)]
pub struct Ending {
    start: Vec<u8>,
    end: Vec<u8>,
}

/// Bytes at the end in which the last boundary is looked for: an epilogue may follow it.
const END: usize = 4096;

impl Ending {
    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let room = HEADER.saturating_sub(self.start.len()).min(bytes.len());
        self.start
            .extend_from_slice(bytes.get(..room).unwrap_or_default());
        let from = bytes.len().saturating_sub(END);
        self.end
            .extend_from_slice(bytes.get(from..).unwrap_or_default());
        if self.end.len() > 2 * END {
            self.end.drain(..self.end.len() - END);
        }
    }

    /// Whether there should be a last boundary, and is none.
    #[must_use]
    pub fn is_cut(self) -> bool {
        let mut end = 0;
        for line in self.start.split_inclusive(|byte| *byte == b'\n') {
            end += line.len();
            if line.trim_ascii().is_empty() {
                break;
            }
        }
        let header = self.start.get(..end).unwrap_or_default();
        let Some((start, end)) = field(header, b"content-type") else {
            return false;
        };
        let value = header.get(start..end).unwrap_or_default();
        let lower = value.to_ascii_lowercase();
        let parts = lower.trim_ascii_start().starts_with(b"multipart/");
        let Some((from, to)) = boundary(&lower).filter(|_| parts) else {
            return false;
        };
        let name = value.get(from..to).unwrap_or_default();
        let last = [b"--", name, b"--"].concat();
        memchr::memmem::find(&self.end, &last).is_none()
    }
}

enum Media {
    Message,
    /// Where in the header the boundary stands, and whether in quotes.
    Parts {
        from: usize,
        to: usize,
        quoted: bool,
    },
    Signed,
    Other,
}

/// What a header says of the body, as far as Exchange writes headers.
fn media(header: &[u8]) -> Media {
    let Some((start, end)) = field(header, b"content-type") else {
        return Media::Other;
    };
    let value = header.get(start..end).unwrap_or_default();
    let lower = value.to_ascii_lowercase();
    let kind = lower.split(|byte| *byte == b';').next().unwrap_or_default();
    let kind = kind.trim_ascii();
    let encoded = field(header, b"content-transfer-encoding").is_some_and(|(start, end)| {
        let value = header.get(start..end).unwrap_or_default();
        let value = value.trim_ascii().to_ascii_lowercase();
        !matches!(value.as_slice(), b"" | b"7bit" | b"8bit" | b"binary")
    });
    match kind {
        _ if encoded => Media::Other,
        b"message/rfc822" => Media::Message,
        b"multipart/signed" | b"multipart/encrypted" => Media::Signed,
        _ if kind.starts_with(b"multipart/") => {
            boundary(&lower).map_or(Media::Other, |(from, to)| Media::Parts {
                from: start + from,
                to: start + to,
                quoted: value.get(from.wrapping_sub(1)) == Some(&b'"'),
            })
        }
        _ => Media::Other,
    }
}

/// Where the value of the only field of that name stands.
fn field(header: &[u8], name: &[u8]) -> Option<(usize, usize)> {
    let mut found: Option<(usize, usize)> = None;
    let (mut at, mut within) = (0, false);
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        let end = at + line.len();
        if matches!(line.first(), Some(b' ' | b'\t')) {
            if let Some(found) = found.as_mut().filter(|_| within) {
                found.1 = end;
            }
        } else {
            let colon = memchr::memchr(b':', line);
            let is = colon.and_then(|colon| line.get(..colon));
            within = is.is_some_and(|is| is.trim_ascii_end().eq_ignore_ascii_case(name));
            if within {
                if found.is_some() {
                    return None;
                }
                found = Some((at + colon.unwrap_or(0) + 1, end));
            }
        }
        at = end;
    }
    found
}

/// Where the boundary stands in a type's value, in lower case.
fn boundary(value: &[u8]) -> Option<(usize, usize)> {
    const BOUNDARY: &[u8] = b"boundary=";
    let mut all = memchr::memmem::find_iter(value, BOUNDARY);
    let start = all.next()? + BOUNDARY.len();
    if all.next().is_some() {
        return None;
    }
    let rest = value.get(start..)?;
    let (from, len) = match rest.strip_prefix(b"\"") {
        Some(quoted) => {
            let inner = memchr::memchr(b'"', quoted)?;
            (start + 1, inner)
        }
        None => {
            let end = |byte: &u8| byte.is_ascii_whitespace() || *byte == b';';
            (start, rest.iter().position(end).unwrap_or(rest.len()))
        }
    };
    let name = value.get(from..from + len)?;
    let plain = (1..=70).contains(&len) && !name.iter().any(|byte| b"\\\r\n".contains(byte));
    plain.then_some((from, from + len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(message: &str, piece: usize) -> Option<String> {
        let (mut renaming, mut out) = (Renaming::default(), Vec::new());
        for piece in message.as_bytes().chunks(piece) {
            renaming.update(piece, &mut out);
        }
        let whole = renaming.finish(&mut out);
        whole.then(|| String::from_utf8(out).unwrap())
    }

    fn mail(one: &str, two: &str, three: &str) -> String {
        format!(
            "Subject: x\r\nContent-Type: multipart/mixed;\r\n\tboundary=\"{one}\"\r\n\r\npre\r\n--{one}\r\n\
            Content-Type: multipart/alternative; boundary={two}; x=y\r\n\r\n--{two}\r\n\r\n--not\r\n--{two}\r\n\
            Content-Type: text/html\r\n\r\nb\r\n--{two}--\r\n--{one}\r\nContent-Type: message/rfc822\r\n\r\n\
            Subject: within\r\nContent-Type: Multipart/Mixed; boundary=\"{three}\"\r\n\r\n--{three}\r\n\r\nc\r\n\
            --{three}--\r\n--{one}\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\
            Content-Type: multipart/mixed; boundary=t\r\n\r\n--t\r\n\r\nd\r\n--t--\r\n--s--\r\n--{one}--\r\nepi"
        )
    }

    #[test]
    fn boundaries_are_named_after_their_place() {
        let expected = mail("=_mailmove_1", "=_mailmove_2", "=_mailmove_3");
        let expected = expected.replace("boundary==_mailmove_2;", "boundary=\"=_mailmove_2\";");
        for names in [
            ("a", "b", "c"),
            ("_000_x 1", "=_2", "b--"),
            ("A1", "a2", "A3"),
        ] {
            for piece in [1, 7, 64, 4096] {
                let given = mail(names.0, names.1, names.2);
                assert_eq!(renamed(&given, piece).unwrap(), expected, "{names:?}");
            }
        }
        assert_eq!(renamed(&expected, 100), Some(expected.clone()));
        // A text that would end a part.
        let text = expected.replace("--not", "--=_mailmove_1x");
        assert_eq!(renamed(&text, 100), None);
    }

    #[test]
    fn what_has_no_parts_or_is_signed_stays_as_it_is() {
        for same in [
            "",
            "Subject: x",
            "Subject: x\r\n\r\n--a\r\nbody",
            "Content-Type: multipart/signed; boundary=a\r\n\r\n--a\r\n\
             Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n--a--\r\n",
            "Content-Type: multipart/mixed; boundary=\"a\r\n\r\n--a\r\n",
            "Content-Type: multipart/mixed; boundary=a; boundary=b\r\n\r\n--a\r\n",
            "Content-Type: multipart/mixed; boundary=a\r\nContent-Type: text/plain\r\n\r\n--a\r\n",
        ] {
            assert_eq!(renamed(same, 5).as_deref(), Some(same));
        }
    }

    #[test]
    fn what_was_cut_off_is_told() {
        let cut = |message: &str| {
            let mut ending = Ending::default();
            message
                .as_bytes()
                .chunks(7)
                .for_each(|piece| ending.update(piece));
            ending.is_cut()
        };
        let whole = mail("a", "b", "c");
        assert!(!cut(&whole));
        assert!(cut(whole.trim_end_matches("--a--\r\nepi")));
        assert!(cut(&mail("a", "b", "c").replace("\r\n\r\n--a--", "")[..300]));
        for plain in [
            "",
            "Subject: x\r\n\r\nbody",
            "Content-Type: text/plain; boundary=a\r\n\r\nx",
        ] {
            assert!(!cut(plain), "{plain}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_renamed_alike_in_any_pieces(message: Vec<u8>, piece in 1..40_usize) {
            let all = |piece: usize| {
                let (mut renaming, mut out) = (Renaming::default(), Vec::new());
                message.chunks(piece.max(1)).for_each(|piece| renaming.update(piece, &mut out));
                (renaming.finish(&mut out), out)
            };
            let (whole, out) = all(message.len());
            proptest::prop_assert_eq!(all(piece), (whole, out.clone()));
            let says = message.to_ascii_lowercase();
            if memchr::memmem::find(&says, b"multipart/").is_none() {
                proptest::prop_assert_eq!(out, message);
            }
        }
    }
}
