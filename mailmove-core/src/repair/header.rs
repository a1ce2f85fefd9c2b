//! Headers: their fields, and what is none.

use std::{borrow::Cow, collections::BTreeSet};

use super::{
    Repair,
    lines::{LONGEST, line, without_nul},
    words,
};

/// What begins with a field's name: its length, and where its value begins.
fn name(text: &[u8]) -> Option<(usize, usize)> {
    let colon = memchr::memchr(b':', text)?;
    let name = text.get(..colon)?.trim_ascii_end();
    let fits = |byte: &u8| (33..=126).contains(byte);
    (!name.is_empty() && name.iter().all(fits)).then_some((name.len(), colon + 1))
}

fn continues(text: &[u8]) -> bool {
    matches!(text.first(), Some(b' ' | b'\t'))
}

/// The values of a header's fields of that name, unfolded.
pub(crate) fn fields(header: &[u8], wanted: &[u8]) -> Vec<Vec<u8>> {
    let mut at = 0;
    let mut values: Vec<Vec<u8>> = Vec::new();
    let mut within = false;
    while let Some(next) = line(header, at, true) {
        let text = next.text(header);
        at = next.end;
        if continues(text) {
            if let Some(value) = values.last_mut().filter(|_| within) {
                value.extend_from_slice(text);
            }
            continue;
        }
        let found = name(text).filter(|(len, _)| {
            let name = text.get(..*len).unwrap_or_default();
            name.eq_ignore_ascii_case(wanted)
        });
        within = found.is_some();
        values.extend(found.map(|(_, from)| text.get(from..).unwrap_or_default().to_vec()));
    }
    values
}

/// A parameter of a field's value, without quotes.
pub(super) fn parameter(value: &[u8], wanted: &[u8]) -> Option<Vec<u8>> {
    words::parameters(value).skip(1).find_map(|part| {
        let equals = memchr::memchr(b'=', part)?;
        let (name, value) = part.split_at_checked(equals)?;
        name.trim_ascii()
            .eq_ignore_ascii_case(wanted)
            .then(|| words::unquoted(value.get(1..).unwrap_or_default()))
    })
}

/// A message that has a header, and an empty line after it.
pub(super) fn complete<'a>(
    message: Cow<'a, [u8]>,
    repairs: &mut BTreeSet<Repair>,
) -> Cow<'a, [u8]> {
    let (mut at, mut fields, mut odd) = (0, 0, None);
    let mut ended = false;
    while let Some(next) = line(&message, at, true) {
        let text = without_nul(next.text(&message));
        if next.text(&message).is_empty() {
            ended = next.end > next.text;
            break;
        }
        if name(&text).is_some() && !continues(&text) {
            fields += 1;
        } else if fields > 0 && !continues(&text) {
            odd = odd.or(Some(next.start));
        }
        at = next.end;
    }
    let starts_empty = ended && at == 0;
    if starts_empty || (ended && fields > 0) {
        return message;
    }
    repairs.insert(Repair::HeaderLines);
    // Without any field all of it is text; else the text begins where the fields end.
    let (head, body) = match (fields, odd) {
        (0, _) => (&b""[..], &message[..]),
        (_, Some(odd)) => message.split_at_checked(odd).unwrap_or((&message, b"")),
        _ => (&message[..], &b""[..]),
    };
    let mut out = Vec::with_capacity(message.len() + 32);
    out.extend_from_slice(head);
    if head.is_empty() {
        out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    } else if !head.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    Cow::Owned(out)
}

/// A header with CRLF, foldable lines folded, and (at the top) fields of ASCII alone. With an
/// encoding, it is that of the body from now on.
pub(super) fn repaired(
    header: &[u8],
    top: bool,
    encoding: Option<&str>,
    repairs: &mut BTreeSet<Repair>,
) -> Vec<u8> {
    let mut lines = clean_lines(header, repairs);
    let ended = lines.last().is_some_and(Vec::is_empty);
    if ended {
        lines.pop();
    }
    if top {
        lines = fields_alone(lines, repairs);
        lines = ascii_alone(lines, repairs);
    }
    if let Some(encoding) = encoding {
        set_encoding(&mut lines, encoding, top);
    }
    let mut out = Vec::with_capacity(header.len() + 64);
    for line in &lines {
        fold(line, &mut out, repairs);
        out.extend_from_slice(b"\r\n");
    }
    if ended {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Lines without their ends, and without NUL and CR in them.
fn clean_lines(header: &[u8], repairs: &mut BTreeSet<Repair>) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(next) = line(header, at, true) {
        at = next.end;
        let mut text = next.text(header).to_vec();
        if next.end > next.text && !next.ends_well(header) || text.contains(&b'\r') {
            repairs.insert(Repair::LineEnds);
            // A blank in front would make it a part of the field before it.
            let in_front = text.iter().take_while(|byte| **byte == b'\r').count();
            text.drain(..in_front);
            text.iter_mut()
                .filter(|byte| **byte == b'\r')
                .for_each(|byte| *byte = b' ');
        }
        if text.contains(&0) {
            repairs.insert(Repair::Nul);
            text.retain(|byte| *byte != 0);
            if text.is_empty() {
                // It did not end the header, and must not from now on.
                continue;
            }
        }
        out.push(text);
    }
    out
}

/// What is no field becomes one.
fn fields_alone(lines: Vec<Vec<u8>>, repairs: &mut BTreeSet<Repair>) -> Vec<Vec<u8>> {
    let mut out = Vec::with_capacity(lines.len());
    for (at, mut text) in lines.into_iter().enumerate() {
        if at > 0 && continues(&text) {
            out.push(text);
            continue;
        }
        match name(&text).filter(|_| !continues(&text)) {
            Some((len, value)) if len + 1 == value => {}
            Some((len, value)) => {
                repairs.insert(Repair::HeaderLines);
                text.drain(len..value - 1);
            }
            None => {
                repairs.insert(Repair::HeaderLines);
                text.splice(..0, b"X-Mailmove-Line: ".iter().copied());
            }
        }
        out.push(text);
    }
    out
}

/// Fields with bytes above 127 are encoded, as a whole, except where readers would not find the
/// parts any more.
fn ascii_alone(lines: Vec<Vec<u8>>, repairs: &mut BTreeSet<Repair>) -> Vec<Vec<u8>> {
    if lines.iter().all(|line| line.is_ascii()) {
        return lines;
    }
    let mut out: Vec<Vec<u8>> = Vec::with_capacity(lines.len());
    let mut fields: Vec<Vec<Vec<u8>>> = Vec::new();
    for line in lines {
        match fields.last_mut() {
            Some(field) if continues(&line) => field.push(line),
            _ => fields.push(vec![line]),
        }
    }
    for field in fields {
        let whole = field.concat();
        if whole.is_ascii() || words::has_to_stay(&whole) {
            out.extend(field);
        } else {
            repairs.insert(Repair::HeaderBytes);
            out.extend(words::encode(&whole));
        }
    }
    out
}

fn set_encoding(lines: &mut Vec<Vec<u8>>, encoding: &str, top: bool) {
    let is = |text: &[u8], wanted: &[u8]| {
        name(text).is_some_and(|(len, _)| {
            text.get(..len)
                .is_some_and(|name| name.eq_ignore_ascii_case(wanted))
        })
    };
    let mut dropping = false;
    lines.retain(|text| {
        dropping = is(text, b"Content-Transfer-Encoding") || dropping && continues(text);
        !dropping
    });
    if top && !lines.iter().any(|text| is(text, b"MIME-Version")) {
        lines.push(b"MIME-Version: 1.0".to_vec());
    }
    lines.push(format!("Content-Transfer-Encoding: {encoding}").into_bytes());
}

/// The line says how the message is divided.
fn names_boundary(text: &[u8]) -> bool {
    const WORD: &[u8] = b"boundary";
    text.windows(WORD.len())
        .any(|at| at.eq_ignore_ascii_case(WORD))
}

/// Breaks a line before blanks, as far as there are any: whoever unfolds it gets what it was.
fn fold(text: &[u8], out: &mut Vec<u8>, repairs: &mut BTreeSet<Repair>) {
    let mut rest = text;
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    // Within quotes that do not end a reader may not find it any more.
    if text.len() > LONGEST && names_boundary(text) {
        out.extend_from_slice(text);
        return;
    }
    while rest.len() > LONGEST {
        // Neither of the two lines may be blank.
        let first = rest.iter().position(|byte| !is_blank(byte));
        let last = rest.iter().rposition(|byte| !is_blank(byte));
        let fits = |at: &usize| {
            rest.get(*at).is_some_and(is_blank)
                && first.is_some_and(|first| first < *at)
                && last.is_some_and(|last| last > *at)
        };
        let place = (1..=LONGEST).rev().find(fits);
        let place = place.or_else(|| (LONGEST + 1..rest.len()).find(fits));
        let Some((line, left)) = place.and_then(|at| rest.split_at_checked(at)) else {
            break;
        };
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
        repairs.insert(Repair::LongLines);
        rest = left;
    }
    out.extend_from_slice(rest);
}
