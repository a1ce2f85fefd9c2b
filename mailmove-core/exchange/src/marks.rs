//! Flags as Exchange has them.

use mailmove_core::model::{Flags, Keyword};

use crate::keywords::{self, FORWARDED};

/// Whether a message was replied to and forwarded, by `PR_LAST_VERB_EXECUTED` and `PR_ICON_INDEX`: they are set by
/// mail programs one by one, and both may say something.
#[must_use]
pub const fn read(verb: Option<i64>, icon: Option<i64>) -> (bool, bool) {
    let answered = matches!(verb, Some(102 | 103)) || matches!(icon, Some(261));
    let forwarded = matches!(verb, Some(104)) || matches!(icon, Some(262));
    (answered, forwarded)
}

/// Verb and icon that say it. Where both were done, each is said by one of the two.
#[must_use]
pub const fn write(answered: bool, forwarded: bool) -> (i64, i64) {
    match (answered, forwarded) {
        (true, true) => (102, 262),
        (true, false) => (102, 261),
        (false, true) => (104, 262),
        // Nothing done; the icon of any mail.
        (false, false) => (0, -1),
    }
}

/// Whether the keyword of forwarded mail is among these.
#[must_use]
pub fn is_forwarded(flags: &Flags) -> bool {
    Keyword::new(FORWARDED).is_ok_and(|keyword| flags.contains_keyword(&keyword))
}

/// The categories that keywords become.
#[must_use]
pub fn categories(flags: &Flags) -> Vec<String> {
    let all = flags.keywords().iter();
    let all = all.filter(|keyword| !keyword.as_str().eq_ignore_ascii_case(FORWARDED));
    all.map(keywords::category).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_said_and_read_back() {
        for answered in [false, true] {
            for forwarded in [false, true] {
                let (verb, icon) = write(answered, forwarded);
                assert_eq!(read(Some(verb), Some(icon)), (answered, forwarded));
            }
        }
        assert_eq!(read(None, None), (false, false));
    }
}
