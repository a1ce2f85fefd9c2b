//! Commands that a server cuts short (MESSAGELIMIT, RFC 9738): it does its part from the highest UID
//! down, says OK, and names the lowest that it did. What it left out looks as if it did not exist.

use mailmove_core::error::{Error, ErrorKind, Result};

use crate::{
    session::Session,
    wire::{Code, MAX_SET, Status, StatusKind, UidSet},
};

/// What is left to be asked for of a set, lowest first; nothing where the server did all of it.
///
/// # Errors
/// If the server does not even do one of them.
pub(crate) fn left(asked: &UidSet, status: &Status) -> Result<Vec<UidSet>> {
    let Some(Code::MessageLimit { lowest, .. }) = status.code else {
        return Ok(Vec::new());
    };
    if let (Some(lowest), StatusKind::Ok) = (lowest, status.kind) {
        let below = asked.below(lowest);
        if below.count() < asked.count() {
            return Ok(Some(below)
                .filter(|set| !set.is_empty())
                .into_iter()
                .collect());
        }
    }
    // Which ones it did it does not say: all of them again, in smaller parts.
    let half = asked.count().div_ceil(2);
    match u32::try_from(half) {
        Ok(half) if asked.count() > 1 => Ok(asked.pieces(half)),
        _ => Err(Error::new(
            ErrorKind::Refused,
            "the server limits how many messages a command may touch, and takes not even one",
        )
        .with_code("imap/message-limit")),
    }
}

impl Session {
    /// A set of known UIDs in parts that fit a command: by their length, and by the server's limit.
    pub(crate) fn parts(&self, set: &UidSet) -> Vec<UidSet> {
        let parts = match self.can().message_limit() {
            Some(limit) => set.pieces(limit),
            None => vec![set.clone()],
        };
        parts.iter().flat_map(|part| part.split(MAX_SET)).collect()
    }

    /// How many messages a command should be about: `wanted`, or as many as the server takes.
    pub(crate) fn at_most(&self, wanted: u32) -> u32 {
        wanted.min(self.can().message_limit().unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Event, Framer, Limits, Response};

    fn status(line: &str) -> Status {
        let mut framer = Framer::without_greeting(Limits::default());
        let mut buffer = bytes::BytesMut::from(format!("{line}\r\n").as_bytes());
        match framer.next(&mut buffer).unwrap() {
            Some(Event::Response(Response::Tagged { status, .. })) => status,
            other => panic!("{other:?}"),
        }
    }

    fn rest(set: &str, line: &str) -> Option<String> {
        let set = UidSet::parse(set.as_bytes()).unwrap();
        let sets: Vec<_> = left(&set, &status(line)).ok()?;
        Some(
            sets.iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" "),
        )
    }

    #[test]
    fn what_a_server_left_out_is_asked_for_again() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(rest("1:9", "a OK done"), some(""));
        assert_eq!(rest("1:9", "a OK [MESSAGELIMIT 3 7] cut"), some("1:6"));
        assert_eq!(rest("2,4:9", "a OK [MESSAGELIMIT 3 5] cut"), some("2,4"));
        assert_eq!(rest("4:9", "a OK [MESSAGELIMIT 3 4] cut"), some(""));
        // Without a UID, or with one that makes no sense, or refused: in smaller parts.
        assert_eq!(rest("1:9", "a OK [MESSAGELIMIT 3] cut"), some("1:5 6:9"));
        assert_eq!(rest("1:9", "a OK [MESSAGELIMIT 3 70] cut"), some("1:5 6:9"));
        assert_eq!(
            rest("1,3,7:9", "a NO [MESSAGELIMIT 3 7] cut"),
            some("1,3,7 8:9")
        );
        assert_eq!(
            rest("1:4294967295", "a NO [MESSAGELIMIT 3]").map(|sets| sets.len()),
            Some(34)
        );
        assert_eq!(rest("7", "a NO [MESSAGELIMIT 3] cut"), None);
    }

    #[test]
    fn sets_in_pieces() {
        let pieces = |set: &str, most| {
            let set = UidSet::parse(set.as_bytes()).unwrap();
            let pieces = set.pieces(most);
            assert_eq!(pieces.iter().map(UidSet::count).sum::<u64>(), set.count());
            pieces
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(pieces("1:5,9,11:12", 3), "1:3 4:5,9 11:12");
        assert_eq!(pieces("1:5", 0), "1 2 3 4 5");
        assert_eq!(
            pieces("4294967290:4294967295", 4),
            "4294967290:4294967293 4294967294:4294967295"
        );
        assert_eq!(pieces("5", 4), "5");
    }
}
