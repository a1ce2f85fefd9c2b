//! Any bytes are repaired into a message that needs no repair, and that has no part less.

use std::collections::BTreeSet;

use mail_parser::MessageParser;
use mailmove_core::identity::HeaderDigest;
use mailmove_core::repair::{Repair, repair};
use mailmove_testkit::corpus::Corpus;

use crate::mime_round_trip::{nesting, parts};

/// The bytes as a message.
pub fn check(mail: &[u8]) {
    let Some(repaired) = repair(mail) else {
        return;
    };
    let bytes = &repaired.bytes;
    assert!(!repaired.repairs.is_empty() && bytes != mail);
    assert!(!bytes.contains(&0) && bytes.ends_with(b"\r\n"));
    if let Some(again) = repair(bytes) {
        panic!(
            "{} is repaired again: {}",
            repaired.describe(),
            again.describe()
        );
    }
    // Three bytes for each of the body, six for each of the header, and what ends lines.
    assert!(bytes.len() <= mail.len() * 14 + 200, "{}", bytes.len());
    // Readers of mail take for a field what is none ("Co ntent-Type"); then parts are a matter of
    // opinion. Bodies only where the nesting was checked first: the parser's stack is not unlimited.
    let has_fields = !repaired.repairs.contains(&Repair::HeaderLines);
    // Neither do they agree on what CR within a line is.
    let lone = |at: &[u8]| at[0] == b'\r' && at[1] != b'\n';
    let has_fields = has_fields && !mail.windows(2).any(lone);
    // Nor on a boundary in the middle of a line, or before other text: for the parser it is one, for
    // RFC 2046 it is text.
    let has_parts = has_fields && !boundary_within_line(mail);
    // What NUL within it makes none is one without.
    let has_parts = has_parts && !boundary_within_line(&without_nul(mail));
    // Nor on where a multipart within another ends that does not say so: RFC 2046 lets the outer one's
    // boundary end it, the parser looks for the inner one's further on.
    let has_parts = has_parts && !left_open(mail);
    if has_parts && nesting(mail) <= 64 && nesting(bytes) <= 64 {
        let (before, after) = (parts(mail).len(), parts(bytes).len());
        assert!(
            after >= before || after >= agreed_parts(mail),
            "{before} parts became {after}: {}\n=====\n{}",
            mail.escape_ascii(),
            bytes.escape_ascii()
        );
    }
    // What only ends lines does not change what the header says, unless it ended none: CR alone
    // becomes a blank there.
    let of_lines = [Repair::LineEnds, Repair::LongLines];
    let lines_alone = repaired.repairs.iter().all(|one| of_lines.contains(one));
    if lines_alone && mail.ends_with(b"\n") && !mail.windows(2).any(lone) {
        assert_eq!(HeaderDigest::of(bytes), HeaderDigest::of(mail));
    }
}

/// The parts that are seen in it however a reader takes what mail may not hold: NUL is a byte or none,
/// a byte above 127 is a letter or a sign, LF alone ends a line or CRLF does.
fn agreed_parts(mail: &[u8]) -> usize {
    let ascii = |mail: &[u8]| -> Vec<u8> {
        let bytes = mail.iter();
        bytes
            .map(|byte| if byte.is_ascii() { *byte } else { b'?' })
            .collect()
    };
    let crlf = |mail: &[u8]| -> Vec<u8> {
        let ends = mail.split_inclusive(|byte| *byte == b'\n');
        ends.flat_map(|line| match line.strip_suffix(b"\n") {
            Some(text) => [text.strip_suffix(b"\r").unwrap_or(text), b"\r\n"].concat(),
            None => line.to_vec(),
        })
        .collect()
    };
    let clean = crlf(&ascii(&without_nul(mail)));
    [mail, &without_nul(mail), &ascii(mail), &crlf(mail), &clean]
        .map(read_parts)
        .into_iter()
        .min()
        .unwrap_or(0)
}

/// The parts that the parser sees; none where it reads on beyond the empty line that ends a header, as it
/// does within a date that is none.
fn read_parts(mail: &[u8]) -> usize {
    let Some(message) = MessageParser::default().parse(mail) else {
        return 0;
    };
    let ends_late = message.parts.iter().any(|part| {
        let header = mail.get(part.offset_header as usize..part.offset_body as usize);
        let lines: Vec<&[u8]> = header
            .unwrap_or_default()
            .split_inclusive(|byte| *byte == b'\n')
            .collect();
        let empty = lines
            .iter()
            .position(|line| matches!(line, [b'\n'] | [b'\r', b'\n']));
        empty.is_some_and(|at| at + 1 < lines.len())
    });
    match ends_late {
        true => 0,
        false => message.parts.len(),
    }
}

fn without_nul(mail: &[u8]) -> Vec<u8> {
    let bytes = mail.iter().copied();
    bytes.filter(|byte| *byte != 0).collect()
}

/// There are several multiparts, and one of them does not end.
fn left_open(mail: &[u8]) -> bool {
    const NAME: &[u8] = b"boundary";
    let clean = without_nul(mail);
    let lines: BTreeSet<&[u8]> = clean
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end)
        .collect();
    let named = clean.windows(NAME.len()).enumerate();
    let named = named.filter(|(_, at)| at.eq_ignore_ascii_case(NAME));
    let values: Vec<&[u8]> = named
        .map(|(at, _)| value(&clean[at + NAME.len()..]))
        .collect();
    let ends = |value: &&[u8]| lines.contains([b"--", *value, b"--"].concat().as_slice());
    values.len() > 1 && !values.iter().all(ends)
}

/// The value after a parameter's name.
fn value(rest: &[u8]) -> &[u8] {
    let rest = rest.trim_ascii_start();
    let rest = rest.strip_prefix(b"=").unwrap_or(rest).trim_ascii_start();
    let (rest, ends): (&[u8], &[u8]) = match rest.strip_prefix(b"\"") {
        Some(quoted) => (quoted, b"\"\r\n"),
        None => (rest, b"; \t\r\n"),
    };
    let end = rest.iter().position(|byte| ends.contains(byte));
    &rest[..end.unwrap_or(rest.len())]
}

/// What begins a line as a boundary does stands within a line, too, or goes on with other text.
fn boundary_within_line(mail: &[u8]) -> bool {
    let lines = || mail.split(|byte| *byte == b'\n');
    let boundaries: BTreeSet<&[u8]> = lines()
        .filter(|line| line.starts_with(b"--"))
        .map(|line| line.trim_ascii_end())
        .map(|line| line.strip_suffix(b"--").unwrap_or(line))
        .filter(|line| line.len() > 2)
        .collect();
    boundaries.iter().any(|boundary| {
        let goes_on = |other: &&[u8]| other.len() > boundary.len() && other.starts_with(boundary);
        if boundaries.iter().any(goes_on) {
            return true;
        }
        lines().any(|line| {
            let rest = line.get(1..).unwrap_or_default();
            rest.windows(boundary.len()).any(|part| part == *boundary)
        })
    })
}

/// Ugly mail, as it is and with other line ends.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for message in Corpus::ugly() {
        if message.body.len() <= 4000 {
            let plain = message.body.iter().copied().filter(|byte| *byte != b'\r');
            seeds.push(plain.collect());
            seeds.push(message.body.to_vec());
        }
    }
    for text in [
        "From x\nSubject: \u{e4}\nnonsense\n\n\0\r\r\n",
        "Content-Type: multipart/signed; boundary=x\n\n--x\n\na\rb\n--x--\n",
        "To: \"\u{e4}\" <a@b>, c;\nContent-Type: text/plain; name=\"\u{fc}\"\n\nx",
        "Content-Transfer-Encoding: quoted-printable\n\n=00\0=\n",
        "Content-Type: multipart/mixed; boundary=\"=x\"\n\n--=x\n\na\0b--=x\n\nc\n--=x--\n",
        "Content-Type: \0text/plain; name=\u{fc}\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\na\n--x--\n",
    ] {
        seeds.push(text.as_bytes().to_vec());
    }
    seeds.push(
        [
            b"Subject: ".as_slice(),
            &b"long ".repeat(500),
            b"\n\n",
            &b"x".repeat(2000),
        ]
        .concat(),
    );
    seeds
}
