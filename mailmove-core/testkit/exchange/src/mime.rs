//! Reads a message as far as Exchange shows its parts.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

/// Deeper parts are not looked into.
const MAX_DEPTH: usize = 20;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A part, or the whole.
#[derive(Debug, Clone, Default)]
pub struct Mime {
    raw_header: Bytes,
    /// Unfolded, as they are; names in lower case.
    headers: Vec<(String, String)>,
    /// As it is, encoded.
    pub body: Bytes,
    /// Of a multipart.
    pub children: Vec<Self>,
    /// Within a digest: a message, unless it says otherwise.
    in_digest: bool,
}

/// What Exchange keeps as an attachment.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// Decoded; may be empty.
    pub name: String,
    /// Media type in lower case.
    pub kind: String,
    /// Content-ID without its angles.
    pub id: Option<String>,
    /// Called so by its disposition.
    pub inline: bool,
    /// Decoded.
    pub content: Vec<u8>,
}

impl Mime {
    /// Takes a message apart.
    #[must_use]
    pub fn parse(message: &Bytes) -> Self {
        Self::part(message, 0, false)
    }

    fn part(message: &Bytes, depth: usize, in_digest: bool) -> Self {
        let split = end_of_header(message);
        let raw_header = message.slice(..split.0);
        let mut part = Self {
            headers: headers(&raw_header),
            raw_header,
            body: message.slice(split.1..),
            children: Vec::new(),
            in_digest,
        };
        if depth < MAX_DEPTH
            && part.kind().starts_with("multipart/")
            && let Some(boundary) = part.parameter("content-type", "boundary")
        {
            let digest = part.kind() == "multipart/digest";
            part.children = pieces(&part.body, &boundary)
                .into_iter()
                .map(|piece| Self::part(&piece, depth + 1, digest))
                .collect();
        }
        part
    }

    /// The first field of this name (in lower case), unfolded.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let mut all = self.headers.iter();
        all.find(|(have, _)| have == name).map(|(_, v)| v.clone())
    }

    /// All fields: names in lower case, values unfolded.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The header as it is, with LF as line end.
    #[must_use]
    pub fn header_block(&self) -> String {
        String::from_utf8_lossy(&self.raw_header).replace("\r\n", "\n")
    }

    /// Decoded.
    #[must_use]
    pub fn subject(&self) -> String {
        decode_words(&self.header("subject").unwrap_or_default())
    }

    /// The media type in lower case.
    #[must_use]
    pub fn kind(&self) -> String {
        let value = self.header("content-type").unwrap_or_default();
        let kind = value.split(';').next().unwrap_or_default().trim();
        match kind.contains('/') {
            true => kind.to_ascii_lowercase(),
            false if self.in_digest => "message/rfc822".to_owned(),
            false => "text/plain".to_owned(),
        }
    }

    /// A parameter of a field, whole again where RFC 2231 has it in pieces, percent signs undone.
    #[must_use]
    pub fn parameter(&self, header: &str, name: &str) -> Option<String> {
        let value = self.header(header)?;
        let mut pieces: Vec<(usize, bool, String)> = Vec::new();
        for part in unquoted_split(&value).into_iter().skip(1) {
            let Some((key, value)) = part.split_once('=') else {
                continue;
            };
            let (key, encoded) = match key.trim().strip_suffix('*') {
                Some(key) => (key, true),
                None => (key.trim(), false),
            };
            let (key, number) = match key.split_once('*') {
                Some((key, number)) => (key, number.parse().unwrap_or(0)),
                None => (key, 0),
            };
            if key.eq_ignore_ascii_case(name) {
                let value = value.trim().trim_matches('"').replace("\\\"", "\"");
                pieces.push((number, encoded, value));
            }
        }
        pieces.sort_by_key(|(number, ..)| *number);
        let first = pieces.first()?;
        if pieces.iter().all(|(_, encoded, _)| !encoded) {
            return Some(pieces.into_iter().map(|(.., value)| value).collect());
        }
        let charset = first.2.split('\'').next().unwrap_or_default().to_owned();
        let mut bytes = Vec::new();
        for (at, (_, encoded, value)) in pieces.iter().enumerate() {
            let value = match at {
                0 => value.splitn(3, '\'').nth(2).unwrap_or(value),
                _ => value,
            };
            match encoded {
                true => bytes.extend(quoted_printable(value.replace('%', "=").as_bytes())),
                false => bytes.extend_from_slice(value.as_bytes()),
            }
        }
        Some(charset_text(&bytes, &charset))
    }

    /// The decoded body.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        let encoding = self.header("content-transfer-encoding").unwrap_or_default();
        match encoding.trim().to_ascii_lowercase().as_str() {
            "base64" => {
                let text: Vec<u8> = self
                    .body
                    .iter()
                    .copied()
                    .filter(|b| !b.is_ascii_whitespace())
                    .collect();
                LENIENT.decode(&text).unwrap_or(text)
            }
            "quoted-printable" => quoted_printable(&self.body),
            _ => self.body.to_vec(),
        }
    }

    /// Text of a text part, as far as it can be told.
    #[must_use]
    pub fn text(&self) -> String {
        let content = self.content();
        let charset = self.parameter("content-type", "charset");
        charset_text(&content, charset.as_deref().unwrap_or_default())
    }

    fn is_attachment(&self) -> bool {
        let disposition = self.header("content-disposition").unwrap_or_default();
        disposition.to_ascii_lowercase().starts_with("attachment")
            || !matches!(self.kind().as_str(), "text/plain" | "text/html")
    }

    /// The first body of this type that is no attachment.
    #[must_use]
    pub fn find_text(&self, kind: &str) -> Option<&Self> {
        if self.children.is_empty() {
            return (self.kind() == kind && !self.is_attachment()).then_some(self);
        }
        self.children.iter().find_map(|child| child.find_text(kind))
    }

    /// Whether there are any.
    #[must_use]
    pub fn has_attachments(&self) -> bool {
        !self.attached().is_empty()
    }

    /// What becomes attachments, in order.
    #[must_use]
    pub fn attachments(&self) -> Vec<Attachment> {
        self.attached().into_iter().map(Self::attachment).collect()
    }

    /// The parts that become attachments: also further texts, since there is room for one body of
    /// each kind alone.
    fn attached(&self) -> Vec<&Self> {
        let (mut found, mut bodies) = (Vec::new(), Vec::new());
        self.collect(&mut found, &mut bodies);
        found
    }

    fn collect<'a>(&'a self, found: &mut Vec<&'a Self>, bodies: &mut Vec<String>) {
        let kind = self.kind();
        if !self.children.is_empty() {
            for child in &self.children {
                child.collect(found, bodies);
            }
        } else if self.is_attachment() {
            // What calls itself multipart and has no parts holds nothing.
            found.extend((!kind.starts_with("multipart/")).then_some(self));
        } else if bodies.contains(&kind) {
            found.push(self);
        } else {
            bodies.push(kind);
        }
    }

    fn attachment(&self) -> Attachment {
        let name = self
            .parameter("content-disposition", "filename")
            .or_else(|| self.parameter("content-type", "name"));
        let disposition = self.header("content-disposition").unwrap_or_default();
        Attachment {
            name: decode_words(&name.unwrap_or_default()),
            kind: self.kind(),
            id: self
                .header("content-id")
                .map(|id| id.trim_matches(['<', '>']).to_owned()),
            inline: disposition.to_ascii_lowercase().starts_with("inline"),
            content: self.content(),
        }
    }
}

/// Where the header ends, and where the body begins.
fn end_of_header(message: &[u8]) -> (usize, usize) {
    let mut start = 0;
    for line in message.split_inclusive(|b| *b == b'\n') {
        if matches!(line, b"\r\n" | b"\n") {
            return (start, start + line.len());
        }
        start += line.len();
    }
    (message.len(), message.len())
}

fn headers(raw: &[u8]) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in raw.split(|b| *b == b'\n') {
        let text = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
        if text.starts_with([' ', '\t']) {
            if let Some((_, value)) = headers.last_mut() {
                value.push(' ');
                value.push_str(text.trim_start());
            }
        } else if let Some((name, value)) = text.split_once(':') {
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    headers
}

/// What stands between the boundaries.
fn pieces(body: &Bytes, boundary: &str) -> Vec<Bytes> {
    let open = format!("--{boundary}");
    let mut found = Vec::new();
    let (mut at, mut start) = (0, None);
    for line in body.split_inclusive(|b| *b == b'\n') {
        let text = line.trim_ascii_end();
        let last = text.strip_prefix(open.as_bytes()) == Some(b"--");
        if text == open.as_bytes() || last {
            if let Some(start) = start {
                found.push(body.slice(start..before_line_end(body, start, at)));
            }
            start = Some(at + line.len());
            if last {
                return found;
            }
        }
        at += line.len();
    }
    if let Some(start) = start
        && start < body.len()
    {
        found.push(body.slice(start..));
    }
    found
}

/// The line end before a boundary belongs to the boundary.
fn before_line_end(body: &[u8], start: usize, at: usize) -> usize {
    let piece = body.get(start..at).unwrap_or_default();
    let less = if piece.ends_with(b"\r\n") {
        2
    } else {
        usize::from(piece.ends_with(b"\n"))
    };
    at - less
}

fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'=' {
            out.push(byte);
        } else if let Some(after) = after
            .strip_prefix(b"\r\n")
            .or_else(|| after.strip_prefix(b"\n"))
        {
            rest = after;
        } else if let Some((pair, after)) = after.split_at_checked(2)
            && let Some(value) = std::str::from_utf8(pair)
                .ok()
                .and_then(|hex| u8::from_str_radix(hex, 16).ok())
        {
            out.push(value);
            rest = after;
        } else {
            out.push(byte);
        }
    }
    out
}

/// A value's parts between semicolons that are not in quotes.
fn unquoted_split(value: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = value.split(move |c: char| {
        let was_escaped = escaped;
        escaped = quoted && c == '\\' && !was_escaped;
        quoted ^= c == '"' && !was_escaped;
        c == ';' && !quoted
    });
    parts.collect()
}

fn charset_text(bytes: &[u8], charset: &str) -> String {
    let encoding = match charset.to_ascii_lowercase().as_str() {
        "" | "us-ascii" | "ascii" => None,
        name => encoding_rs::Encoding::for_label(name.as_bytes()),
    };
    match encoding {
        Some(encoding) => encoding.decode(bytes).0.into_owned(),
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Decodes RFC 2047 words.
#[must_use]
pub fn decode_words(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let mut after_word = false;
    while let Some((before, after)) = rest.split_once("=?") {
        let Some((word, tail)) = encoded_word(after) else {
            out.push_str(before);
            out.push_str("=?");
            rest = after;
            after_word = false;
            continue;
        };
        if !(after_word && before.trim().is_empty()) {
            out.push_str(before);
        }
        out.push_str(&word);
        rest = tail;
        after_word = true;
    }
    out.push_str(rest);
    out
}

fn encoded_word(text: &str) -> Option<(String, &str)> {
    let (charset, rest) = text.split_once('?')?;
    let (encoding, rest) = rest.split_once('?')?;
    let (payload, rest) = rest.split_once("?=")?;
    let bytes = match encoding {
        "B" | "b" => LENIENT.decode(payload).ok()?,
        "Q" | "q" => quoted_printable(payload.replace('_', " ").as_bytes()),
        _ => return None,
    };
    Some((charset_text(&bytes, charset), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found() {
        let message = Bytes::from_static(
            b"Subject: =?utf-8?Q?gr=C3=BC=C3=9Fe?= =?utf-8?B?IQ==?=\r\nContent-Type: multipart/mixed;\r\n boundary=\"x\"\r\n\r\n\
              pre\r\n--x\r\n\r\nhallo\r\n--x\r\n\r\nfooter\r\n--x\r\nContent-Type: image/png; name=a.png\r\n\
              Content-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--x--\r\npost\r\n",
        );
        let mime = Mime::parse(&message);
        assert_eq!(mime.subject(), "grüße!");
        assert_eq!(mime.find_text("text/plain").unwrap().text(), "hallo");
        let attachments = mime.attachments();
        assert_eq!(attachments.len(), 2);
        assert_eq!(attachments[0].content, b"footer");
        assert_eq!(attachments[1].content, [0, 1, 2]);
        assert_eq!(attachments[1].name, "a.png");
    }
}
