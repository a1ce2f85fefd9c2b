//! Lines and their ends.

use std::{borrow::Cow, collections::BTreeSet};

use super::Repair;

/// Longest line that is allowed, without its end (RFC 5322).
pub(super) const LONGEST: usize = 998;

/// A line: where it starts, where its text ends, and where its end ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) start: usize,
    pub(super) text: usize,
    pub(super) end: usize,
}

impl Line {
    pub(super) fn text<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.start..self.text).unwrap_or_default()
    }

    pub(super) fn ends_well(&self, bytes: &[u8]) -> bool {
        bytes.get(self.text..self.end) == Some(b"\r\n")
    }
}

/// The line at `at`. It ends with LF and any number of CR before it, or (in a body) with CR alone; so
/// that CR CR LF is one end and not two.
pub(super) fn line(bytes: &[u8], at: usize, in_header: bool) -> Option<Line> {
    let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
    let mut from = 0;
    loop {
        let left = rest.get(from..).unwrap_or_default();
        let Some(found) = memchr::memchr2(b'\r', b'\n', left) else {
            return Some(Line {
                start: at,
                text: bytes.len(),
                end: bytes.len(),
            });
        };
        let text = from + found;
        let run = rest.get(text..).unwrap_or_default();
        let crs = run.iter().take_while(|byte| **byte == b'\r').count();
        let (text, end) = match run.get(crs) {
            Some(b'\n') => (text, text + crs + 1),
            None if in_header => (text, text + crs),
            _ if in_header => {
                from = text + crs;
                continue;
            }
            _ => (text, text + 1),
        };
        return Some(Line {
            start: at,
            text: at + text,
            end: at + end,
        });
    }
}

/// All lines of a body.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = Line> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let line = line(bytes, at, false)?;
        at = line.end;
        Some(line)
    })
}

/// Without NUL.
pub(super) fn without_nul(bytes: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(0, bytes).is_none() {
        return Cow::Borrowed(bytes);
    }
    Cow::Owned(bytes.iter().copied().filter(|byte| *byte != 0).collect())
}

/// A message whose lines end in CR alone.
pub(super) fn of_old_macs<'a>(message: &'a [u8], repairs: &mut BTreeSet<Repair>) -> Cow<'a, [u8]> {
    if memchr::memchr(b'\n', message).is_some() || memchr::memchr(b'\r', message).is_none() {
        return Cow::Borrowed(message);
    }
    repairs.insert(Repair::LineEnds);
    let mut out = Vec::with_capacity(message.len() + message.len() / 32);
    for line in lines(message) {
        out.extend_from_slice(line.text(message));
        out.extend_from_slice(b"\r\n");
    }
    Cow::Owned(out)
}

/// A body that is not encoded anew: CRLF, and no NUL.
pub(super) fn plain(bytes: &[u8], repairs: &mut BTreeSet<Repair>) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 2);
    for line in lines(bytes) {
        let text = line.text(bytes);
        let clean = without_nul(text);
        if clean.len() < text.len() {
            repairs.insert(Repair::Nul);
        }
        out.extend_from_slice(&clean);
        end(&line, bytes, &mut out, repairs);
    }
    out
}

/// Ends a line as it should, if it ended at all.
pub(super) fn end(line: &Line, bytes: &[u8], out: &mut Vec<u8>, repairs: &mut BTreeSet<Repair>) {
    if line.end > line.text {
        out.extend_from_slice(b"\r\n");
        if !line.ends_well(bytes) {
            repairs.insert(Repair::LineEnds);
        }
    }
}

/// The last line ends too.
pub(super) fn end_last(message: &mut Vec<u8>, repairs: &mut BTreeSet<Repair>) {
    if !message.ends_with(b"\r\n") {
        repairs.insert(Repair::LineEnds);
        message.extend_from_slice(b"\r\n");
    }
}
