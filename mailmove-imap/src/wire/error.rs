//! What can be wrong with a server's byte stream.

use std::fmt;

/// Longest excerpt of a server's words that an error repeats, in bytes of its printed form.
const EXCERPT_MAX: usize = 80;

/// A server's byte stream that can't be followed any further.
///
/// Every one of these is fatal for the connection: after it nobody knows where the next response begins, and
/// guessing could turn a mail's text into a server's answer. A response that is well framed but makes no sense is
/// not an error, see [`Response::Malformed`](super::Response::Malformed).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The first line is no IMAP greeting: another protocol answers on this port.
    #[error("not an IMAP server: it says {excerpt}")]
    NotImap {
        /// How its first line begins.
        excerpt: Excerpt,
    },
    /// A line begins neither with `*`, `+` nor a tag and status. It isn't quoted here because it may be mail.
    #[error("the server's stream is out of step: a line is no IMAP response")]
    OutOfStep,
    /// A line has no end within the limit.
    #[error("a line of the server exceeds {limit} bytes")]
    LineTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// A response, counted without streamed bodies, exceeds the limit.
    #[error("a response of the server exceeds {limit} bytes")]
    ResponseTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// Parentheses nest deeper than any sane response does.
    #[error("a response of the server nests deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// A literal's announcement that isn't one: `{12+}` from a server, or a length beyond 64 bits.
    #[error("a literal is announced in an impossible way: {excerpt}")]
    BadLiteral {
        /// The announcement.
        excerpt: Excerpt,
    },
    /// A literal is announced inside a quoted string that never ends, so its extent is ambiguous.
    #[error("a quoted string without end is followed by a literal")]
    OpenQuote,
    /// The owner of the framer reported more body bytes than are pending.
    #[error("{taken} body bytes were taken where {pending} are pending")]
    BodyOverrun {
        /// How many were reported.
        taken: u64,
        /// How many were pending.
        pending: u64,
    },
}

/// A few bytes of what a server said: at most 80 of them, control and non-ASCII characters escaped.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Excerpt(String);

impl Excerpt {
    /// Takes the beginning of `bytes`, without their line end.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut end = bytes;
        while let [head @ .., b'\r' | b'\n'] = end {
            end = head;
        }
        let mut text = String::new();
        for (index, byte) in end.iter().enumerate() {
            let escaped = byte.escape_ascii();
            // Three bytes are kept for the dots, except where this is the very last character.
            let room = if index + 1 == end.len() {
                EXCERPT_MAX
            } else {
                EXCERPT_MAX - 3
            };
            if text.len() + escaped.len() > room {
                text.push_str("...");
                break;
            }
            text.extend(escaped.map(char::from));
        }
        Self(text)
    }

    /// The printable text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Excerpt;

    #[test]
    fn excerpts_are_short_and_printable() {
        assert_eq!(
            Excerpt::new(b"a\x00b\"\xff\r\n").as_str(),
            "a\\x00b\\\"\\xff"
        );
        for len in 0..200 {
            for byte in [b'x', 0, b'"'] {
                let excerpt = Excerpt::new(&vec![byte; len]);
                assert!(excerpt.as_str().len() <= 80, "{len}");
                assert!(excerpt.as_str().bytes().all(|b| (0x20..0x7f).contains(&b)));
            }
        }
        assert_eq!(Excerpt::new(&[b'x'; 80]).as_str().len(), 80);
        assert!(Excerpt::new(&[b'x'; 81]).as_str().ends_with("..."));
    }
}
