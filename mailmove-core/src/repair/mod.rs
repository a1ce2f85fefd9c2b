//! Repairs of messages that a destination refuses as they are.
//!
//! [`repair`] is a pure function: the same bytes give the same repaired message, so that one which a
//! lost run stored is recognised, and a repaired message needs no repair. No part is lost: what cannot
//! be represented is encoded, not dropped; the exception is NUL where nothing can be encoded (in the
//! header, between parts, in what is signed, and where a header says twice what its body is). What is
//! signed keeps its lines, however long: a broken signature is worse than a message that waits as a
//! dead letter.
//!
//! | Repair | What is repaired | How |
//! |---|---|---|
//! | line ends | CR or LF alone, CR CR LF, no end of the last line | CRLF; in the header CR alone becomes a blank, or goes where a line begins |
//! | NUL | NUL anywhere | text becomes quoted-printable, other parts base64; elsewhere it is left out |
//! | header lines | lines in the header that are no fields, blanks before a colon, no header, no empty line after it | kept as `X-Mailmove-Line`; an empty line or a header is added |
//! | 8-bit header | bytes above 127 in the header | encoded words (RFC 2047), parameters as of RFC 2231; `unknown-8bit` (RFC 1428) if it is no UTF-8; not where a field says how the message is divided, or is not clear: that would hide parts |
//! | long lines | lines of more than 998 bytes | headers folded at blanks, but not a line that names a boundary; text becomes quoted-printable, other parts base64; base64 and quoted-printable are broken anew |
//!
//! A message of more than [`LARGEST`] bytes is not repaired, and its failure says so: which part of it is
//! text, and what is signed, is known only when all of it was seen, and the repaired form must be the
//! same in each run.
//!
//! Dates are no matter of bytes: what a server does not take as a received date its adapter replaces.

mod body;
mod header;
mod lines;
mod parts;
#[cfg(test)]
mod tests;
mod words;

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

pub(crate) use self::header::fields;

/// Largest message that is repaired, in bytes: repairs need a few times its size in memory.
pub const LARGEST: u64 = 32 << 20;

/// A kind of repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Repair {
    /// Lines end in CRLF.
    LineEnds,
    /// NUL is encoded, or left out.
    Nul,
    /// The header has fields alone, and ends.
    HeaderLines,
    /// Bytes above 127 in the header are encoded.
    HeaderBytes,
    /// No line is too long.
    LongLines,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LineEnds => "line ends",
            Self::Nul => "NUL",
            Self::HeaderLines => "header lines",
            Self::HeaderBytes => "8-bit header",
            Self::LongLines => "long lines",
        })
    }
}

/// A repaired message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repaired {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What was repaired; never empty.
    pub repairs: BTreeSet<Repair>,
}

impl Repaired {
    /// What was repaired, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        let names: Vec<String> = self.repairs.iter().map(ToString::to_string).collect();
        names.join(", ")
    }
}

/// Repairs a message. `None` if there is nothing to repair. Linear in its length; stack and depth of
/// nesting are bounded.
#[must_use]
pub fn repair(message: &[u8]) -> Option<Repaired> {
    let mut repairs = BTreeSet::new();
    let message = lines::of_old_macs(message, &mut repairs);
    let message = header::complete(message, &mut repairs);
    let mut bytes = Vec::with_capacity(message.len() + message.len() / 16 + 64);
    for piece in parts::pieces(&message) {
        write(&piece, &mut bytes, &mut repairs);
    }
    lines::end_last(&mut bytes, &mut repairs);
    (!repairs.is_empty()).then_some(Repaired { bytes, repairs })
}

fn write(piece: &parts::Piece<'_>, out: &mut Vec<u8>, repairs: &mut BTreeSet<Repair>) {
    match piece {
        parts::Piece::Header { bytes, top } => {
            out.extend(header::repaired(bytes, *top, None, repairs));
        }
        parts::Piece::Leaf {
            header,
            top,
            body,
            kind,
            within,
        } => {
            let (encoding, body) = body::repaired(body, *kind, *within, repairs);
            out.extend(header::repaired(header, *top, encoding, repairs));
            out.extend(body);
        }
        parts::Piece::Other(bytes) => out.extend(lines::plain(bytes, repairs)),
    }
}
