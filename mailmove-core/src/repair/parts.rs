//! Which bytes of a message are headers, bodies of parts, and what is between them.

use super::{
    header::{fields, parameter},
    lines::{line, without_nul},
};

/// Multiparts and messages within each other; what is deeper is taken as it is.
const DEEPEST: usize = 100;

/// A stretch of a message. Together they are all of it.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    /// A header with its empty line, of something that holds parts, or without a body.
    Header { bytes: &'a [u8], top: bool },
    /// A part without parts in it.
    Leaf {
        header: &'a [u8],
        top: bool,
        body: &'a [u8],
        kind: Kind,
        /// A boundary comes after it: its last line end belongs to that.
        within: bool,
    },
    /// Boundaries, and what is outside of parts.
    Other(&'a [u8]),
}

/// What may be done with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text that is not encoded.
    Text,
    /// Something else that is not encoded.
    Binary {
        /// And says that any byte may be in it.
        declared: bool,
    },
    Base64,
    QuotedPrintable,
    /// Signed, or of an unknown form: only what has to be changed.
    Opaque,
}

struct Level {
    delimiter: Vec<u8>,
    signed: bool,
    digest: bool,
}

#[derive(Clone, Copy)]
enum State<'a> {
    Header {
        start: usize,
        signed: bool,
        digest: bool,
        top: bool,
    },
    Body {
        header: &'a [u8],
        start: usize,
        kind: Kind,
        top: bool,
    },
    Outside {
        start: usize,
    },
}

/// Takes a message apart.
pub(super) fn pieces(message: &[u8]) -> Vec<Piece<'_>> {
    let mut taking = Taking {
        message,
        levels: Vec::new(),
        nested: 0,
        out: Vec::new(),
        state: State::Header {
            start: 0,
            signed: false,
            digest: false,
            top: true,
        },
    };
    let mut at = 0;
    while let Some(next) = line(message, at, matches!(taking.state, State::Header { .. })) {
        let text = without_nul(next.text(message));
        if let Some((depth, last)) = taking.delimiter(&text) {
            taking.finish(next.start, true);
            taking
                .out
                .push(Piece::Other(slice(message, next.start, next.end)));
            taking.levels.truncate(if last { depth } else { depth + 1 });
            taking.state = match taking.levels.last() {
                Some(level) if !last => State::Header {
                    start: next.end,
                    signed: level.signed,
                    digest: level.digest,
                    top: false,
                },
                _ => State::Outside { start: next.end },
            };
        } else if next.text(message).is_empty() {
            taking.end_header(next.end);
        }
        at = next.end;
    }
    taking.finish(message.len(), false);
    taking.out
}

fn slice(message: &[u8], from: usize, to: usize) -> &[u8] {
    message.get(from..to).unwrap_or_default()
}

struct Taking<'a> {
    message: &'a [u8],
    levels: Vec<Level>,
    /// Messages within messages that were entered.
    nested: usize,
    out: Vec<Piece<'a>>,
    state: State<'a>,
}

impl<'a> Taking<'a> {
    /// Which level a line is the boundary of, and whether it is the last one there.
    fn delimiter(&self, text: &[u8]) -> Option<(usize, bool)> {
        if !text.starts_with(b"--") {
            return None;
        }
        let text = text.trim_ascii_end();
        self.levels
            .iter()
            .enumerate()
            .rev()
            .find_map(|(depth, level)| {
                let rest = text.strip_prefix(level.delimiter.as_slice())?;
                match rest {
                    b"" => Some((depth, false)),
                    b"--" => Some((depth, true)),
                    _ => None,
                }
            })
    }

    /// An empty line: if it ends a header, what comes next depends on that.
    fn end_header(&mut self, end: usize) {
        let State::Header {
            start,
            signed,
            digest,
            top,
        } = self.state
        else {
            return;
        };
        let bytes = slice(self.message, start, end);
        let header = without_nul(bytes);
        let media = Media::of(&header, digest);
        let deep = self.levels.len() + self.nested >= DEEPEST;
        match media.holds {
            Holds::Parts(boundary) if !deep => {
                self.out.push(Piece::Header { bytes, top });
                let mut delimiter = b"--".to_vec();
                delimiter.extend(boundary);
                self.levels.push(Level {
                    delimiter,
                    signed: signed || media.signed,
                    digest: media.digest,
                });
                self.state = State::Outside { start: end };
            }
            Holds::Message if !deep => {
                self.out.push(Piece::Header { bytes, top });
                self.nested += 1;
                self.state = State::Header {
                    start: end,
                    signed,
                    digest: false,
                    top: false,
                };
            }
            holds => {
                let kind = match holds {
                    Holds::Body(kind) if !signed => kind,
                    _ => Kind::Opaque,
                };
                self.state = State::Body {
                    header: bytes,
                    start: end,
                    kind,
                    top,
                };
            }
        }
    }

    fn finish(&mut self, at: usize, within: bool) {
        let piece = match self.state {
            State::Header { start, top, .. } => Piece::Header {
                bytes: slice(self.message, start, at),
                top,
            },
            State::Body {
                header,
                start,
                kind,
                top,
            } => Piece::Leaf {
                header,
                top,
                body: slice(self.message, start, at),
                kind,
                within,
            },
            State::Outside { start } => Piece::Other(slice(self.message, start, at)),
        };
        self.out.push(piece);
    }
}

/// What a header says of the body.
struct Media {
    holds: Holds,
    signed: bool,
    digest: bool,
}

enum Holds {
    Parts(Vec<u8>),
    Message,
    Body(Kind),
}

impl Media {
    fn of(header: &[u8], digest: bool) -> Self {
        let types = fields(header, b"Content-Type");
        let encodings = fields(header, b"Content-Transfer-Encoding");
        // Which of several counts, readers do not agree on: it is neither divided nor encoded.
        let clear = types.len() <= 1 && encodings.len() <= 1;
        let content_type = types.into_iter().next();
        let kind = match &content_type {
            Some(value) => {
                let kind = value.split(|byte| *byte == b';').next().unwrap_or_default();
                kind.trim_ascii().to_ascii_lowercase()
            }
            None if digest => b"message/rfc822".to_vec(),
            None => b"text/plain".to_vec(),
        };
        let encoding = encodings.into_iter().next();
        let encoding = encoding.map(|value| value.trim_ascii().to_ascii_lowercase());
        let plain = matches!(
            encoding.as_deref(),
            None | Some(b"" | b"7bit" | b"8bit" | b"binary")
        );
        let boundary = content_type
            .as_deref()
            .and_then(|value| parameter(value, b"boundary"))
            .filter(|boundary| !boundary.is_empty());
        let holds = match boundary {
            _ if !clear => Holds::Body(Kind::Opaque),
            Some(boundary) if plain && is_multipart(&kind) => Holds::Parts(boundary),
            _ if plain && kind == b"message/rfc822" => Holds::Message,
            _ => Holds::Body(body_kind(
                &kind,
                encoding.as_deref(),
                content_type.as_deref(),
            )),
        };
        Self {
            holds,
            signed: kind == b"multipart/signed" || kind == b"multipart/encrypted",
            digest: kind == b"multipart/digest",
        }
    }
}

/// Also without a subtype: readers of mail look for parts there.
fn is_multipart(kind: &[u8]) -> bool {
    kind == b"multipart" || kind.starts_with(b"multipart/")
}

/// A damaged type in which readers of mail may see one that holds parts (`"multipart/mixed`).
fn may_hold_parts(kind: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(byte);
    let clear = kind.split(|byte| *byte == b'/').count() == 2
        && kind.iter().all(|byte| *byte == b'/' || is_token(byte));
    let says = |word: &[u8]| memchr::memmem::find(kind, word).is_some();
    !clear && (says(b"multipart") || says(b"message"))
}

fn body_kind(kind: &[u8], encoding: Option<&[u8]>, content_type: Option<&[u8]>) -> Kind {
    match encoding {
        Some(b"base64") => return Kind::Base64,
        Some(b"quoted-printable") => return Kind::QuotedPrintable,
        None | Some(b"" | b"7bit" | b"8bit" | b"binary") => {}
        Some(_) => return Kind::Opaque,
    }
    let declared = encoding == Some(b"binary");
    let charset = content_type.and_then(|value| parameter(value, b"charset"));
    let charset = charset.unwrap_or_default().to_ascii_lowercase();
    // Characters of more than a byte: what looks like CR or LF may be half of one.
    let wide = charset.starts_with(b"utf-16") || charset.starts_with(b"utf-32");
    if kind.starts_with(b"text/") && wide {
        Kind::Binary { declared: true }
    } else if kind.starts_with(b"text/") {
        Kind::Text
    } else if is_multipart(kind) || kind.starts_with(b"message/") || may_hold_parts(kind) {
        // Must not be encoded.
        Kind::Opaque
    } else {
        Kind::Binary { declared }
    }
}
