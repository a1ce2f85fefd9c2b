//! What changes with everything that happens in a folder.

use mailmove_core::model::{Timestamp, Token};

use crate::date::parse_date;

/// What is told of the last change is older than this, or the folder has no token: the server tells
/// it to the second, so that two changes of the same second look alike, and the clocks of its front end
/// and of the mailbox differ a little.
const SETTLED: i64 = 60;

/// Which tokens are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "told by adapters alone")]
pub enum Tokens {
    /// Those that prove that nothing changed.
    Settled,
    /// All: they prove that nothing came or left, for that is counted.
    Any,
}

/// What a server tells of a folder, as it tells it.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "made by adapters alone")]
pub struct Told<'a> {
    /// When something was made or changed last (0x670A); empty if nothing ever was.
    pub last: &'a str,
    /// How many items ever left it (0x670B).
    pub deleted: i64,
    /// Items in it.
    pub total: u64,
    /// Items in it that were not read.
    pub unread: i64,
    /// Bytes in it, where that is told.
    pub bytes: &'a str,
}

/// When something was made or changed last, how many items ever left the folder, and what it holds. The last
/// two tell of what a server might not take for a change, such as that a message was read. `None` if the
/// last change is too young by the server's own clock to be told from another one, and that matters.
#[must_use]
pub fn token(told: Told<'_>, now: Option<Timestamp>, tokens: Tokens) -> Option<Token> {
    let last = told.last.trim();
    match parse_date(last) {
        Some(_) if tokens == Tokens::Any => {}
        Some(at) if now?.seconds() - at.seconds() > SETTLED => {}
        // Nothing was ever in it.
        None if last.is_empty() && told.total == 0 => {}
        _ => return None,
    }
    let Told {
        deleted,
        total,
        unread,
        bytes,
        ..
    } = told;
    Some(Token::new(format!(
        "c1 {last} {deleted} {total} {unread} {bytes}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_changed_in_the_same_second_has_no_token() {
        let now = parse_date("2026-11-26T10:00:00Z");
        let told = |last, total| Told {
            last,
            total,
            ..Told::default()
        };
        let any = token(told("2026-11-26T09:59:30Z", 1), None, Tokens::Any);
        assert!(any.is_some());
        let token = |told, now| token(told, now, Tokens::Settled);
        assert!(token(told("2026-11-26T09:58:59Z", 1), now).is_some());
        assert!(token(told("2026-11-26T09:59:30Z", 1), now).is_none());
        assert!(token(told("2026-11-26T09:00:00Z", 1), None).is_none());
        assert!(token(told("", 0), None).is_some());
        assert!(token(told("", 1), now).is_none());
    }
}
