//! The digest of what follows a message's header.

use crate::{
    error::Result,
    model::{Content, ContentDigest},
};

/// Digests a message's body as the message passes by, in pieces of any size. Tools that move mail add
/// fields to its header (`X-TUID`), leave some out, or fold it anew; the body they leave alone.
///
/// The body begins after the first empty line, as for [`HeaderDigest`](super::HeaderDigest).
#[derive(Clone, Debug)]
pub struct BodyHasher {
    hasher: blake3::Hasher,
    /// In the body.
    found: bool,
    /// Since the start of the line there was nothing, or CR alone.
    empty_line: bool,
}

impl Default for BodyHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl BodyHasher {
    /// Before the first byte.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            found: false,
            empty_line: true,
        }
    }

    /// The next piece.
    pub fn update(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while !self.found {
            let Some(at) = memchr::memchr(b'\n', rest) else {
                self.empty_line &= rest.iter().all(|byte| *byte == b'\r');
                return;
            };
            let (line, after) = rest.split_at(at);
            self.found = self.empty_line && line.iter().all(|byte| *byte == b'\r');
            self.empty_line = true;
            rest = after.get(1..).unwrap_or_default();
        }
        self.hasher.update(rest);
    }

    /// The digest, if there is a body, be it empty.
    #[must_use]
    pub fn finish(&self) -> Option<ContentDigest> {
        let digest = self.hasher.finalize();
        self.found
            .then(|| ContentDigest::from_bytes(*digest.as_bytes()))
    }
}

/// The digest of a content's body.
pub(crate) async fn body_of(content: &Content) -> Result<Option<ContentDigest>> {
    let mut hasher = BodyHasher::new();
    let mut reader = content.reader();
    while let Some(piece) = reader.next().await? {
        hasher.update(&piece);
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(message: &[u8], piece: usize) -> Option<ContentDigest> {
        let mut hasher = BodyHasher::new();
        for piece in message.chunks(piece) {
            hasher.update(piece);
        }
        hasher.finish()
    }

    #[test]
    fn what_follows_the_first_empty_line_counts_and_nothing_else() {
        for (message, expected) in [
            ("A: 1\r\n\r\nbody\r\n\r\nmore", Some("body\r\n\r\nmore")),
            ("A: 1\r\n x\r\nX-TUID: 7\r\n\r\nbody", Some("body")),
            ("A: 1\n\nbody", Some("body")),
            ("\r\nbody", Some("body")),
            ("A: 1\r\n\r\n", Some("")),
            ("A: 1\r\n", None),
            ("A: 1\r\n \r", None),
            ("", None),
        ] {
            let expected = expected.map(|text| ContentDigest::of(text.as_bytes()));
            for piece in 1..9 {
                assert_eq!(body(message.as_bytes(), piece), expected, "{message:?}");
            }
        }
    }
}
