//! Which messages went, where the server has no QRESYNC: those that `UID SEARCH RETURN (ALL)` (ESEARCH,
//! RFC 4731) leaves out. A set of UIDs in ranges is short; listing the folder again is not.

use mailmove_core::error::Result;

use crate::{
    cut,
    distrust::Feature,
    session::{self, Session},
    wire::{Code, Response, SearchKey, StatusKind, UidRange, UidSet},
};

/// What a search showed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// These UIDs below the cursor name no message, or none any more.
    These(UidSet),
    /// The search says something else than the folder's count: it is not to be trusted.
    Unclear,
    /// Messages went meanwhile.
    Moved,
}

/// Asks which of the UIDs below `next` name a message. Searches may lag behind, and servers have been
/// seen to name messages that are gone; so it counts only if it names as many as the server counts
/// there by other means.
///
/// # Errors
/// If the connection fails.
pub(super) async fn ask(session: &mut Session, next: u32, count: u64) -> Result<Missing> {
    let Some(set) = UidSet::range(1, next.saturating_sub(1)) else {
        return Ok(Missing::Unclear);
    };
    let (mut later, mut there) = (vec![set], Vec::new());
    while let Some(set) = later.pop() {
        let tag = session.connection.tag();
        let keys = [SearchKey::Uid(set.clone())];
        let command = session.connection.encoder().uid_search(tag, &keys, true);
        let (mut found, mut moved) = (None, false);
        let note = |response| match response {
            Response::Esearch(these) if these.uid => found = Some(these.all.unwrap_or_default()),
            Response::Expunge(_) | Response::Vanished(_) => moved = true,
            _ => {}
        };
        let command = command.map_err(session::encode)?;
        let status = session.connection.run(command, note).await?;
        session.server.distrust.note(Feature::Esearch, &status);
        later.extend(cut::left(&set, &status)?);
        match found {
            _ if moved => return Ok(Missing::Moved),
            Some(found) if status.kind == StatusKind::Ok => there.extend(found.ranges()),
            _ if matches!(status.code, Some(Code::MessageLimit { .. })) => {}
            _ => return Ok(Missing::Unclear),
        }
    }
    let there = UidSet::from_ranges(there);
    Ok(match gaps(&there, next) {
        Some(gaps) if there.count() == count => Missing::These(gaps),
        _ => Missing::Unclear,
    })
}

/// What is below `next` and not in a set; `None` if the set is none of that range.
fn gaps(there: &UidSet, next: u32) -> Option<UidSet> {
    let mut ranges: Vec<UidRange> = there.ranges().to_vec();
    ranges.sort_unstable_by_key(|range| range.start());
    let mut gaps = Vec::new();
    let mut from = 1;
    for range in ranges {
        if range.start() < from || range.end() >= next {
            return None;
        }
        if range.start() > from {
            gaps.extend(UidRange::new(from, range.start() - 1));
        }
        from = range.end().checked_add(1)?;
    }
    if from < next {
        gaps.extend(UidRange::new(from, next - 1));
    }
    Some(UidSet::from_ranges(gaps))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_what_is_left_out() {
        let of = |text: &[u8], next| {
            let there = UidSet::parse(text).unwrap_or_default();
            gaps(&there, next).map(|gaps| gaps.to_string())
        };
        assert_eq!(of(b"2:4,7", 10), Some("1,5:6,8:9".to_owned()));
        // Servers may answer in any order.
        assert_eq!(of(b"7,2:4", 8), Some("1,5:6".to_owned()));
        assert_eq!(of(b"1:9", 10), Some(String::new()));
        assert_eq!(of(b"", 3), Some("1:2".to_owned()));
        // Twice the same, and what was not asked for.
        assert_eq!(of(b"2:4,4", 10), None);
        assert_eq!(of(b"2:10", 10), None);
        assert_eq!(of(b"4294967295", u32::MAX), None);
    }
}
