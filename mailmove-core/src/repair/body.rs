//! Bodies of single parts.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Repair,
    lines::{LONGEST, Line, end, lines, plain},
    parts::Kind,
};

/// Longest line of what is encoded here.
const ENCODED: usize = 76;

/// A repaired body, and its encoding if that is another one now.
pub(super) fn repaired(
    body: &[u8],
    kind: Kind,
    within: bool,
    repairs: &mut BTreeSet<Repair>,
) -> (Option<&'static str>, Vec<u8>) {
    let nul = memchr::memchr(0, body).is_some();
    let long = lines(body).any(|line| line.text - line.start > LONGEST);
    let encoded = |repairs: &mut BTreeSet<Repair>| {
        for (found, repair) in [(nul, Repair::Nul), (long, Repair::LongLines)] {
            if found {
                repairs.insert(repair);
            }
        }
    };
    match kind {
        Kind::Text if nul || long => {
            encoded(repairs);
            (Some("quoted-printable"), to_quoted_printable(body, repairs))
        }
        Kind::Binary { declared } => {
            let odd =
                declared && lines(body).any(|line| line.end > line.text && !line.ends_well(body));
            if !(nul || long || odd) {
                return (None, plain(body, repairs));
            }
            encoded(repairs);
            if odd {
                repairs.insert(Repair::LineEnds);
            }
            (Some("base64"), to_base64(body, within))
        }
        Kind::Base64 if long => (None, each(body, repairs, break_base64)),
        Kind::QuotedPrintable if nul || long => (None, each(body, repairs, break_quoted)),
        _ => (None, plain(body, repairs)),
    }
}

fn each(
    body: &[u8],
    repairs: &mut BTreeSet<Repair>,
    change: fn(&[u8], &mut Vec<u8>, &mut BTreeSet<Repair>),
) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + body.len() / 32 + 2);
    for line in lines(body) {
        change(line.text(body), &mut out, repairs);
        end(&line, body, &mut out, repairs);
    }
    out
}

/// Whoever decodes base64 does not see where its lines end.
fn break_base64(text: &[u8], out: &mut Vec<u8>, repairs: &mut BTreeSet<Repair>) {
    let clean = super::lines::without_nul(text);
    if clean.len() < text.len() {
        repairs.insert(Repair::Nul);
    }
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/= \t".contains(byte);
    if clean.len() <= LONGEST || !clean.iter().all(is_base64) {
        out.extend_from_slice(&clean);
        return;
    }
    repairs.insert(Repair::LongLines);
    for (at, piece) in clean.chunks(ENCODED).enumerate() {
        if at > 0 {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(piece);
    }
}

/// Lines that are quoted-printable already: soft breaks, and NUL written out.
fn break_quoted(text: &[u8], out: &mut Vec<u8>, repairs: &mut BTreeSet<Repair>) {
    if text.len() > LONGEST {
        repairs.insert(Repair::LongLines);
    }
    // Each NUL takes three bytes now.
    let nul = memchr::memchr_iter(0, text).count();
    let long = text.len() + 2 * nul > LONGEST;
    let mut quoted = Quoted {
        out,
        column: 0,
        breaks: long,
    };
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let escape = text.get(at..at + 3).filter(|three| {
            three.first() == Some(&b'=') && three.iter().skip(1).all(u8::is_ascii_hexdigit)
        });
        match (byte, escape) {
            (0, _) => {
                repairs.insert(Repair::Nul);
                quoted.put(b"=00");
                at += 1;
            }
            (_, Some(escape)) => {
                quoted.put(escape);
                at += 3;
            }
            // A soft break of its own.
            (b'=', None) if at + 1 == text.len() => {
                quoted.out.push(b'=');
                at += 1;
            }
            (byte, None) => {
                quoted.put(&[*byte]);
                at += 1;
            }
        }
    }
}

fn to_quoted_printable(body: &[u8], repairs: &mut BTreeSet<Repair>) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + body.len() / 4);
    for line in lines(body) {
        quote(&line, body, &mut out);
        end(&line, body, &mut out, repairs);
    }
    out
}

fn quote(line: &Line, body: &[u8], out: &mut Vec<u8>) {
    let text = line.text(body);
    let mut quoted = Quoted {
        out,
        column: 0,
        breaks: true,
    };
    for (at, byte) in text.iter().enumerate() {
        let last = at + 1 == text.len();
        match byte {
            b' ' | b'\t' if !last => quoted.put(&[*byte]),
            b'!'..=b'<' | b'>'..=b'~' => quoted.put(&[*byte]),
            _ => quoted.put(format!("={byte:02X}").as_bytes()),
        }
    }
}

/// A line of quoted-printable that is being written.
struct Quoted<'a> {
    out: &'a mut Vec<u8>,
    column: usize,
    breaks: bool,
}

impl Quoted<'_> {
    fn put(&mut self, unit: &[u8]) {
        // There has to be room for the mark of a soft break.
        if self.breaks && self.column + unit.len() >= ENCODED {
            self.out.extend_from_slice(b"=\r\n");
            self.column = 0;
            if unit == b"-" {
                // A new line must not look like a boundary.
                self.out.extend_from_slice(b"=2D");
                self.column = 3;
                return;
            }
        }
        self.out.extend_from_slice(unit);
        self.column += unit.len();
    }
}

fn to_base64(body: &[u8], within: bool) -> Vec<u8> {
    let mut content = body;
    if within && let Some(last) = lines(body).last() {
        // This end belongs to the boundary.
        content = body.get(..last.text).unwrap_or(body);
    }
    let mut out = Vec::with_capacity(content.len() / 54 * 78 + 80);
    for line in content.chunks(57) {
        out.extend(STANDARD.encode(line).into_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if out.is_empty() {
        out.extend_from_slice(b"\r\n");
    }
    out
}
