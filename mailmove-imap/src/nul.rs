//! Mail that holds NUL.
//!
//! A literal of RFC 3501 holds none, so servers put something else in its place: Dovecot sends 0x80
//! for each. `BINARY.PEEK[]` (RFC 3516) brings the octets themselves, but may also undo a
//! Content-Transfer-Encoding, and then is another text. So both are looked at: only where they differ
//! by nothing but NUL against 0x80 is the binary one the message.

use std::sync::atomic::{AtomicU32, Ordering};

use mailmove_core::model::ContentDigest;
use memchr::memchr;

/// What stands for NUL.
const MASK: u8 = 0x80;

/// Watches octets pass by for what may stand for NUL: 0x80 with no other 8-bit octet before it. In
/// UTF-8 it never stands like that; in windows-1252 it is a euro sign.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    last: u8,
    seen: bool,
}

impl Watch {
    /// The next octets.
    pub(crate) fn note(&mut self, octets: &[u8]) {
        let mut from = 0;
        while !self.seen
            && let Some(at) = memchr(MASK, octets.get(from..).unwrap_or_default())
        {
            let at = from + at;
            let before = at.checked_sub(1).and_then(|before| octets.get(before));
            self.seen = *before.unwrap_or(&self.last) < 0x80;
            from = at + 1;
        }
        self.last = octets.last().copied().unwrap_or(self.last);
    }

    /// Whether there was one; begins anew.
    pub(crate) fn take(&mut self) -> bool {
        std::mem::take(self).seen
    }
}

/// Digests octets as a server shows them that puts 0x80 in the place of NUL.
#[derive(Debug, Default)]
pub(crate) struct Masked(Box<blake3::Hasher>);

impl Masked {
    /// The next octets.
    pub(crate) fn note(&mut self, mut octets: &[u8]) {
        while let Some(at) = memchr(0, octets) {
            let (before, after) = octets.split_at_checked(at).unwrap_or((octets, &[]));
            self.0.update(before);
            self.0.update(&[MASK]);
            octets = after.get(1..).unwrap_or_default();
        }
        self.0.update(octets);
    }

    /// The digest; begins anew.
    pub(crate) fn take(&mut self) -> ContentDigest {
        let hasher = std::mem::take(&mut self.0);
        ContentDigest::from_bytes(*hasher.finalize().as_bytes())
    }
}

/// How often a connection broke while it brought BINARY. It is of use to few messages: a server that
/// cannot do it must not cost the others.
#[derive(Debug, Default)]
pub(crate) struct Breaks(AtomicU32);

impl Breaks {
    /// It may be asked for.
    pub(crate) fn may_ask(&self) -> bool {
        self.0.load(Ordering::Relaxed) < 2
    }

    /// A connection broke.
    pub(crate) fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(pieces: &[&[u8]]) -> bool {
        let mut watch = Watch::default();
        pieces.iter().for_each(|piece| watch.note(piece));
        watch.take()
    }

    #[test]
    fn what_stands_alone_is_seen_however_it_is_cut() {
        assert!(watched(&[b"a\x80b"]));
        assert!(watched(&[b"a", b"\x80b"]));
        assert!(watched(&[b"\x80"]));
        assert!(watched(&["\u{20ac}".as_bytes(), b"x\x80\x80"]));
        // Text in UTF-8 that holds the octet.
        assert!(!watched(&["\u{c0}\u{2000}\u{400}".as_bytes()]));
        assert!(!watched(&[b"\xe2", b"\x80", b"\x80"]));
        assert!(!watched(&[b"plain", b""]));
        let mut watch = Watch::default();
        watch.note(b"\x80");
        assert!(watch.take() && !watch.take());
    }

    #[test]
    fn masked_octets_are_those_a_server_shows() {
        let mut masked = Masked::default();
        for piece in [&b"\0a\0\0b"[..], b"", b"c", b"\0"] {
            masked.note(piece);
        }
        let shown = ContentDigest::of(b"\x80a\x80\x80bc\x80");
        assert_eq!(masked.take(), shown);
        assert_eq!(masked.take(), ContentDigest::of(b""));
    }
}
