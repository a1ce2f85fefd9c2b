//! Just enough MIME to number parts and describe them (RFC 2045, RFC 2046).

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

/// Deepest nesting that is followed; what is deeper is a part without parts.
const MAX_DEPTH: usize = 24;
/// Most parts that are told apart in one message.
const MAX_PARTS: usize = 1000;

/// A message or a part of one: where it lies in the message's bytes.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) header: Range<usize>,
    pub(crate) body: Range<usize>,
    pub(crate) content: ContentType,
    pub(crate) children: Children,
}

#[derive(Debug)]
pub(crate) enum Children {
    None,
    Parts(Vec<Part>),
    Message(Box<Part>),
}

/// A header value with parameters: Content-Type, Content-Disposition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContentType {
    pub(crate) kind: String,
    pub(crate) subtype: String,
    pub(crate) parameters: Vec<(String, String)>,
}

impl Part {
    pub(crate) fn message(&self) -> Option<&Self> {
        match &self.children {
            Children::Message(inner) => Some(inner),
            _ => None,
        }
    }
}

/// Where the body begins: after the first empty line.
pub(crate) fn header_end(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(length) = memchr::memchr(b'\n', text.get(at..).unwrap_or_default()) {
        let line = text.get(at..at + length).unwrap_or_default();
        at += length + 1;
        if matches!(line, b"" | b"\r") {
            return at;
        }
    }
    text.len()
}

/// The fields of a header, each with its continuation lines and line ends.
pub(crate) fn fields(header: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut at = 0;
    for line in header.split_inclusive(|b| *b == b'\n') {
        let folded = matches!(line.first(), Some(b' ' | b'\t'));
        if !folded && at > start {
            found.extend(header.get(start..at));
            start = at;
        }
        at += line.len();
    }
    found.extend(header.get(start..at).filter(|field| !field.is_empty()));
    // The empty line that ends the header is no field.
    found.retain(|field| !matches!(*field, b"\r\n" | b"\n"));
    found
}

fn field_name(field: &[u8]) -> &[u8] {
    let colon = memchr::memchr(b':', field).unwrap_or(0);
    field.get(..colon).unwrap_or_default().trim_ascii_end()
}

/// Those fields whose name is listed (or not), and the empty line.
pub(crate) fn select_fields(header: &[u8], names: &[String], not: bool) -> Bytes {
    let listed = |field: &&[u8]| {
        let name = field_name(field);
        names
            .iter()
            .any(|n| n.as_bytes().eq_ignore_ascii_case(name))
            != not
    };
    let mut out: Vec<u8> = fields(header)
        .into_iter()
        .filter(listed)
        .flatten()
        .copied()
        .collect();
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.into()
}

/// The first value of a field, unfolded and trimmed.
pub(crate) fn value(header: &[u8], name: &str) -> Option<Vec<u8>> {
    values(header, name).into_iter().next()
}

/// All values of a field, unfolded and trimmed.
pub(crate) fn values(header: &[u8], name: &str) -> Vec<Vec<u8>> {
    let same = |field: &&[u8]| field_name(field).eq_ignore_ascii_case(name.as_bytes());
    fields(header)
        .into_iter()
        .filter(same)
        .map(unfold)
        .collect()
}

fn unfold(field: &[u8]) -> Vec<u8> {
    let colon = memchr::memchr(b':', field).map_or(0, |at| at + 1);
    let value = field.get(colon..).unwrap_or_default();
    let kept: Vec<u8> = value
        .iter()
        .copied()
        .filter(|b| !matches!(b, b'\r' | b'\n'))
        .collect();
    kept.trim_ascii().to_vec()
}

impl ContentType {
    fn plain() -> Self {
        Self {
            kind: "text".to_owned(),
            subtype: "plain".to_owned(),
            parameters: vec![("charset".to_owned(), "us-ascii".to_owned())],
        }
    }

    /// Reads `kind/subtype; name=value; …`; the slash and what follows may be missing.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        let (head, mut rest) = text.split_once(';').unwrap_or((&text, ""));
        let (kind, subtype) = head.split_once('/').unwrap_or((head, ""));
        let (kind, subtype) = (kind.trim(), subtype.trim());
        if kind.is_empty() {
            return None;
        }
        let mut parameters = Vec::new();
        while let Some((name, tail)) = rest.split_once('=') {
            let (value, tail) = parameter_value(tail.trim_start());
            let name = name.trim_matches([' ', '\t', ';']).to_ascii_lowercase();
            if !name.is_empty() {
                parameters.push((name, value));
            }
            rest = tail.split_once(';').map_or("", |(_, rest)| rest);
        }
        Some(Self {
            kind: kind.to_ascii_lowercase(),
            subtype: subtype.to_ascii_lowercase(),
            parameters,
        })
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A token or a quoted string, and what follows.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
        let (value, tail) = text.split_at_checked(end).unwrap_or((text, ""));
        return (value.to_owned(), tail);
    };
    let mut value = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, inner.get(at + 1..).unwrap_or("")),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

/// Finds the parts of a message.
pub(crate) fn parse(message: &[u8]) -> Arc<Part> {
    let mut left = MAX_PARTS;
    Arc::new(parse_part(message, 0..message.len(), 0, &mut left))
}

fn parse_part(all: &[u8], range: Range<usize>, depth: usize, left: &mut usize) -> Part {
    let text = all.get(range.clone()).unwrap_or_default();
    let split = range.start + header_end(text);
    let header = all.get(range.start..split).unwrap_or_default();
    let content = value(header, "content-type").and_then(|value| ContentType::parse(&value));
    let content = content.unwrap_or_else(ContentType::plain);
    let body = split..range.end;
    let mut children = Children::None;
    *left = left.saturating_sub(1);
    if depth < MAX_DEPTH && *left > 0 {
        if content.kind == "multipart"
            && let Some(boundary) = content.parameter("boundary").filter(|b| !b.is_empty())
        {
            let ranges = split_parts(all, body.clone(), boundary, *left);
            let parts: Vec<Part> = ranges
                .into_iter()
                .map(|part| parse_part(all, part, depth + 1, left))
                .collect();
            if !parts.is_empty() {
                children = Children::Parts(parts);
            }
        } else if (content.kind.as_str(), content.subtype.as_str()) == ("message", "rfc822") {
            let inner = parse_part(all, body.clone(), depth + 1, left);
            children = Children::Message(Box::new(inner));
        }
    }
    Part {
        header: range.start..split,
        body,
        content,
        children,
    }
}

/// Where the parts between boundary lines lie. The line end before a boundary belongs to it.
fn split_parts(all: &[u8], body: Range<usize>, boundary: &str, max: usize) -> Vec<Range<usize>> {
    let mark = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut open = None;
    let mut at = body.start;
    let text = all.get(body.clone()).unwrap_or_default();
    for line in text.split_inclusive(|b| *b == b'\n') {
        let start = at;
        at += line.len();
        let Some(tail) = line.strip_prefix(mark.as_bytes()) else {
            continue;
        };
        let tail = tail.trim_ascii_end();
        let last = tail == b"--";
        if !tail.is_empty() && !last {
            continue;
        }
        if let Some(open) = open.take() {
            parts.push(open..before_line_end(all, open, start));
        }
        if last || parts.len() >= max {
            return parts;
        }
        open = Some(at);
    }
    // The closing boundary is missing.
    parts.extend(open.map(|open| open.min(body.end)..body.end));
    parts
}

fn before_line_end(all: &[u8], from: usize, to: usize) -> usize {
    let text = all.get(from..to).unwrap_or_default();
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    from + text.strip_suffix(b"\r").unwrap_or(text).len()
}

/// The part with this number, and whether it is a part (not the message itself).
pub(crate) fn find<'a>(root: &'a Part, numbers: &[u32]) -> Option<(&'a Part, bool)> {
    let mut here = root;
    let mut is_part = false;
    for &number in numbers {
        let container = if is_part {
            here.message().unwrap_or(here)
        } else {
            here
        };
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        let leaf = is_part && here.message().is_none();
        here = match &container.children {
            Children::Parts(parts) => parts.get(at)?,
            // A message without parts has itself as its only part.
            _ if at == 0 && !leaf => container,
            _ => return None,
        };
        is_part = true;
    }
    Some((here, is_part))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NESTED: &str = "Content-Type: multipart/mixed; boundary=\"a b\"\r\n\r\npreamble\r\n\
        --a b\r\n\r\none\r\n--a b\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: inner\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n\
        --c\r\nContent-Type: text/html\r\n\r\nhtml\r\n--c--\r\n\r\n--a b--\r\nepilogue\r\n";

    fn text(numbers: &[u32]) -> Option<&'static str> {
        let tree = parse(NESTED.as_bytes());
        let (part, _) = find(&tree, numbers)?;
        NESTED.get(part.body.clone())
    }

    #[test]
    fn parts_are_numbered() {
        assert_eq!(text(&[1]), Some("one"));
        assert!(text(&[2]).unwrap().starts_with("Subject: inner"));
        assert_eq!(text(&[2, 1]), Some("html"));
        assert_eq!(text(&[3]), None);
        assert_eq!(text(&[1, 1]), None);
        assert_eq!(text(&[2, 1, 1]), None);
    }

    #[test]
    fn a_plain_message_is_its_own_first_part() {
        let message = b"Subject: x\r\n\r\nbody";
        let tree = parse(message);
        let (part, _) = find(&tree, &[1]).unwrap();
        assert_eq!(&message[part.body.clone()], b"body");
        assert!(find(&tree, &[2]).is_none());
        assert!(find(&tree, &[1, 1]).is_none());
    }

    #[test]
    fn deep_and_broken_messages_end() {
        let mut deep = String::new();
        for _ in 0..5000 {
            deep.push_str("Content-Type: message/rfc822\r\n\r\n");
        }
        parse(deep.as_bytes());
        let many = "Content-Type: multipart/mixed; boundary=x\r\n\r\n".to_owned()
            + &"--x\r\n".repeat(20_000);
        let tree = parse(many.as_bytes());
        assert!(matches!(&tree.children, Children::Parts(parts) if parts.len() <= MAX_PARTS));
        for odd in [
            "",
            "\r\n",
            "Content-Type: multipart/mixed; boundary=\"",
            ":",
            "\n\n",
        ] {
            parse(odd.as_bytes());
        }
    }

    #[test]
    fn fields_keep_their_folding() {
        let header = b"A: 1\r\n 2\r\nB: x\r\na: 3\r\n\r\n";
        assert_eq!(
            select_fields(header, &["a".into()], false),
            "A: 1\r\n 2\r\na: 3\r\n\r\n"
        );
        assert_eq!(select_fields(header, &["a".into()], true), "B: x\r\n\r\n");
        assert_eq!(select_fields(header, &["z".into()], false), "\r\n");
        assert_eq!(value(header, "a").unwrap(), b"1 2");
    }

    #[test]
    fn parameters() {
        let content =
            ContentType::parse(b"Text/HTML; Charset=\"u\\\"8\" ; name = x; broken").unwrap();
        assert_eq!(
            (content.kind.as_str(), content.subtype.as_str()),
            ("text", "html")
        );
        assert_eq!(content.parameter("charset"), Some("u\"8"));
        assert_eq!(content.parameter("name"), Some("x"));
    }
}
