//! The header digest: a *candidate* test, cheap enough to make for whole folders.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The header fields that make up the digest, in this order. Ask servers for just these.
///
/// Tracing fields that tools or destinations add (`X-TUID`, `Delivered-To`, `X-*`) are not among
/// them; `Received` is, since its identifiers tell apart what a list footer or a draft makes alike.
pub const HEADER_FIELDS: [&str; 12] = [
    "Message-ID",
    "Date",
    "From",
    "To",
    "Cc",
    "Bcc",
    "Subject",
    "In-Reply-To",
    "References",
    "Received",
    "Content-Type",
    "Resent-Message-ID",
];
/// The place of `Received` among them.
const RECEIVED: usize = 9;

/// Digest of the fields [`HEADER_FIELDS`] of a message's header. Written as 32 hexadecimal digits.
///
/// This is a file format. Version `h1`: for each field of the list, in the list's order, for each
/// occurrence in the message's order: the field's name in lower case, `:`, the value with every
/// run of blanks, tabs, CR and LF replaced by one blank and trimmed, every byte above 0x7F and
/// every NUL replaced by `X` (servers munge them so), and LF. BLAKE3 of it all, first 16 bytes, of
/// which the lowest bit of the last is set if there is a `Received` field, else cleared.
/// A header ends at the first empty line; lines may end in CRLF or LF. A line without a colon that
/// continues nothing is ignored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeaderDigest([u8; 16]);

impl HeaderDigest {
    /// Digest of a message, or of as much of it as holds the header. Linear in the header's length.
    #[must_use]
    pub fn of(message: &[u8]) -> Self {
        let fields = fields(message);
        let mut text = Vec::with_capacity(1024);
        for (rank, value) in &fields {
            let name = HEADER_FIELDS.get(*rank).copied().unwrap_or_default();
            text.extend(name.bytes().map(|b| b.to_ascii_lowercase()));
            text.push(b':');
            normalise(value, &mut text);
            text.push(b'\n');
        }
        let hash = blake3::hash(&text);
        let mut out = [0; 16];
        out.copy_from_slice(&hash.as_bytes()[..16]);
        let traced = fields.iter().any(|(rank, _)| *rank == RECEIVED);
        out[15] = out[15] & !1 | u8::from(traced);
        Self(out)
    }

    /// From its 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The message came over the network: its `Received` fields name that one transmission, which a
    /// revision of a draft or a copy in a folder of sent mail lacks.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.0[15] & 1 == 1
    }

    /// The digest of a header with none of the fields: it tells nothing apart.
    #[must_use]
    pub fn is_void(&self) -> bool {
        *self == Self::of(b"")
    }
}

/// The listed fields of a header as (place in the list, raw value with folds), in the list's order.
fn fields(message: &[u8]) -> Vec<(usize, &[u8])> {
    let mut out: Vec<(usize, &[u8])> = Vec::new();
    let mut at = 0;
    // Where the value begins that the next line may continue, if it is one of a listed field.
    let mut value_start = None;
    while at < message.len() {
        let rest = &message[at..];
        let len = memchr::memchr(b'\n', rest).map_or(rest.len(), |n| n + 1);
        let line = &rest[..len];
        if line.iter().all(|b| matches!(b, b'\r' | b'\n')) {
            break;
        }
        let continues = matches!(line.first(), Some(b' ' | b'\t'));
        if continues {
            if let (Some(start), Some(last)) = (value_start, out.last_mut()) {
                last.1 = &message[start..at + len];
            }
        } else {
            value_start = None;
            if let Some(colon) = memchr::memchr(b':', line)
                && let Some(rank) = rank(line[..colon].trim_ascii_end())
            {
                out.push((rank, &line[colon + 1..]));
                value_start = Some(at + colon + 1);
            }
        }
        at += len;
    }
    out.sort_by_key(|(rank, _)| *rank);
    out
}

fn rank(name: &[u8]) -> Option<usize> {
    HEADER_FIELDS
        .iter()
        .position(|field| name.eq_ignore_ascii_case(field.as_bytes()))
}

fn normalise(value: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    for word in value.split(blank).filter(|word| !word.is_empty()) {
        if out.len() > start {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
    for byte in &mut out[start..] {
        if *byte > 0x7f || *byte == 0 {
            *byte = b'X';
        }
    }
}

impl fmt::Display for HeaderDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
impl fmt::Debug for HeaderDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeaderDigest({self})")
    }
}
impl Serialize for HeaderDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for HeaderDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bad = || serde::de::Error::custom("not a header digest");
        let mut out = [0; 16];
        // Numbers may have signs, digests do not.
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(bad());
        }
        for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &[u8] = b"Received: from a\r\n\tby b\r\nMessage-ID: <1@x>\r\nX-TUID: abc\r\n\
        Subject: a  b\r\nFrom: A <a@x>\r\n\r\nSubject: not this\r\n";

    #[test]
    fn folding_blanks_line_ends_and_other_fields_do_not_matter() {
        let same = b"From: A <a@x>\nsubject:a b\nMESSAGE-ID:   <1@x>\nReceived: from a by b\n";
        assert_eq!(HeaderDigest::of(MAIL), HeaderDigest::of(same));
        assert_ne!(HeaderDigest::of(MAIL), HeaderDigest::of(b"From: A <a@x>\n"));
    }

    #[test]
    fn eight_bit_and_nul_are_munged_alike() {
        assert_eq!(
            HeaderDigest::of(b"Subject: \xfc\0"),
            HeaderDigest::of(b"Subject: XX")
        );
        // The last of seven bits is none of these.
        assert_ne!(
            HeaderDigest::of(b"Subject: \x7f"),
            HeaderDigest::of(b"Subject: X")
        );
    }

    #[test]
    fn only_what_a_digest_is_written_as_is_read_as_one() {
        let digits = "af1349b9f5f9a1a6a0404dea36dcc948";
        let read = |text: &str| serde_json::from_str::<HeaderDigest>(&format!("\"{text}\""));
        assert_eq!(read(digits).unwrap(), HeaderDigest::of(b""));
        assert_eq!(
            format!("{:?}", HeaderDigest::of(b"")),
            format!("HeaderDigest({digits})")
        );
        for wrong in [
            "",
            &digits[1..],
            &digits[2..],
            &format!("{digits}0"),
            &format!("{digits}00"),
            &format!("+{}", &digits[1..]),
            &format!("x{}", &digits[1..]),
            &format!("\u{fc}{}", &digits[2..]),
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn version_h1_vectors() {
        assert_eq!(
            HeaderDigest::of(b"").to_string(),
            "af1349b9f5f9a1a6a0404dea36dcc948"
        );
        assert!(HeaderDigest::of(b"X-Only: y\r\n\r\n").is_void());
        assert!(!HeaderDigest::of(MAIL).is_void());
        let text = b"message-id:<1@x>\nfrom:A <a@x>\nsubject:a b\nreceived:from a by b\n";
        let plain = blake3::hash(text);
        assert_eq!(
            &plain.as_bytes()[..15],
            &HeaderDigest::of(MAIL).as_bytes()[..15]
        );
        assert!(HeaderDigest::of(MAIL).is_traced());
        assert!(!HeaderDigest::of(b"Subject: x\r\n\r\nReceived: no\r\n").is_traced());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_have_a_digest_that_reads_back(bytes: Vec<u8>) {
            let digest = HeaderDigest::of(&bytes);
            let json = serde_json::to_string(&digest).unwrap();
            proptest::prop_assert_eq!(serde_json::from_str::<HeaderDigest>(&json).unwrap(), digest);
        }
    }
}
