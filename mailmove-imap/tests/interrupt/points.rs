//! Where a migration is interrupted: places in what it said and heard when nobody disturbed it.

use mailmove_testkit::proxy::{Cue, Fault, FaultProxy, Trip, Way};

/// Which connection's bytes are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Destination,
}

/// What is done there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The process ends, and a new one begins at once.
    Kill,
    /// The connection breaks, and the process has to get along.
    Break,
}

/// A place and what is done there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) side: Side,
    pub(crate) way: Way,
    pub(crate) at: At,
    pub(crate) kind: Kind,
    pub(crate) how: How,
}

/// How a place is found again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    /// After so many bytes. What is there depends on the server's pace.
    Byte(u64),
    /// So many bytes after these words began, when they are said the `nth` time.
    Words {
        words: &'static str,
        nth: u64,
        after: u64,
    },
}

impl Point {
    /// Has the connection break there.
    pub(crate) fn arm(&self, proxy: &FaultProxy) {
        match self.at {
            At::Byte(after) => proxy.arm(Trip::new(self.way, after, Fault::Cut)),
            At::Words { words, nth, after } => {
                let cue = Cue::new(self.way, words, nth, Fault::Cut);
                proxy.cue(cue.with_after(after));
            }
        }
    }
}

/// How commands that store begin, and how servers with UIDPLUS answer them.
const APPEND: &str = " APPEND ";
const APPENDED: &str = "[APPENDUID ";

/// Places that are surely about appends, whatever the pace: within each one's line and messages,
/// before its answer, and in the middle of it.
pub(crate) fn of_appends(sent: &[u8], answered: &[u8]) -> Vec<Point> {
    let count = |stream: &[u8], words: &str| {
        let said = stream
            .windows(words.len())
            .filter(|at| *at == words.as_bytes());
        said.count() as u64
    };
    let mut out = Vec::new();
    let mut add = |way, kind, words, nth, places: &[u64]| {
        for after in places {
            for how in [How::Kill, How::Break] {
                let (side, after) = (Side::Destination, *after);
                let at = At::Words { words, nth, after };
                out.push(Point {
                    side,
                    way,
                    at,
                    kind,
                    how,
                });
            }
        }
    };
    for nth in 1..=count(sent, APPEND) {
        add(Way::ToServer, Kind::Append, APPEND, nth, &[20, 150, 300]);
    }
    for nth in 1..=count(answered, APPENDED) {
        add(Way::ToClient, Kind::Landed, APPENDED, nth, &[0, 14]);
    }
    out
}

/// What a place is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An APPEND that is not complete.
    Append,
    /// An APPEND that is complete, or the answer to one.
    Landed,
    Other,
}

/// Where in a stream of commands its end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// Between commands, or within the line of one.
    Line,
    /// Within a literal.
    Literal,
}

/// The places of one direction: the start, the middle and the end of each line and literal.
pub(crate) fn places(way: Way, stream: &[u8]) -> Vec<(u64, Kind)> {
    let mut out: Vec<(u64, Kind)> = Vec::new();
    let (mut at, mut append) = (0, false);
    let kind_of = |append| match (append, way) {
        (true, Way::ToServer) => Kind::Append,
        (true, _) => Kind::Landed,
        (false, _) => Kind::Other,
    };
    while at < stream.len() {
        let line = end_of_line(stream, at);
        let text = String::from_utf8_lossy(&stream[at..line]);
        if begins_a_line(&text) {
            if let Some((_, end)) = out.last_mut().filter(|_| append) {
                *end = Kind::Landed;
            }
            append = text.to_ascii_uppercase().contains("APPEND");
        }
        let kind = kind_of(append);
        out.extend([at + 1, at + (line - at) / 2, line].map(|at| (at as u64, kind)));
        at = line;
        if let Some(len) = literal(&stream[..line]) {
            let end = (at + len).min(stream.len());
            out.extend([at + (end - at) / 2, end].map(|at| (at as u64, kind)));
            at = end;
        }
    }
    out
}

/// After a literal, a line goes on.
fn begins_a_line(text: &str) -> bool {
    !text.starts_with([' ', ')']) && text.trim() != ""
}

/// Where a stream of commands stands after these bytes, and its last command's line.
pub(crate) fn stand(stream: &[u8]) -> (Where, String) {
    let (mut at, mut command) = (0, String::new());
    while at < stream.len() {
        let line = end_of_line(stream, at);
        let text = String::from_utf8_lossy(&stream[at..line]);
        if begins_a_line(&text) {
            command = text.trim_end().to_owned();
        }
        at = line;
        if let Some(len) = literal(&stream[..line]) {
            if at + len > stream.len() {
                return (Where::Literal, command);
            }
            at += len;
        }
    }
    (Where::Line, command)
}

fn end_of_line(stream: &[u8], at: usize) -> usize {
    let rest = &stream[at..];
    rest.windows(2)
        .position(|pair| pair == b"\r\n")
        .map_or(stream.len(), |len| at + len + 2)
}

/// The size of the literal that a line announces at its end.
fn literal(upto: &[u8]) -> Option<usize> {
    let head = upto.strip_suffix(b"}\r\n")?;
    let head = head.strip_suffix(b"+").unwrap_or(head);
    let open = head.iter().rposition(|byte| *byte == b'{')?;
    std::str::from_utf8(head.get(open + 1..)?)
        .ok()?
        .parse()
        .ok()
}

#[test]
fn places_and_stands() {
    let stream = b"a LOGIN x\r\nb APPEND y {4+}\r\nmail {3+}\r\nabc\r\n";
    let places = places(Way::ToServer, stream);
    assert!(places.contains(&(11, Kind::Other)) && places.contains(&(30, Kind::Append)));
    assert_eq!(stand(&stream[..30]).0, Where::Literal);
    assert_eq!(stand(&stream[..20]).0, Where::Line);
    assert_eq!(stand(stream), (Where::Line, "b APPEND y {4+}".to_owned()));
}
