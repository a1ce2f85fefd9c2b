//! Where a listing may continue.

use mailmove_core::model::Cursor;

/// Everything below `next` is known as it was at `modseq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) validity: u32,
    /// The lowest UID that is not known.
    pub(super) next: u32,
    /// HIGHESTMODSEQ before anything below `next` was listed: what changed since then has a higher
    /// one. `None` where the server counts no changes.
    pub(super) modseq: Option<u64>,
    /// Messages known below `next`. No message can be added there: if the server counts as many,
    /// none was removed either.
    pub(super) below: u64,
    /// The listing came to its end: `next` was UIDNEXT.
    pub(super) complete: bool,
}

impl Place {
    /// Written `1:validity:next:modseq:below:c`, with modseq 0 for none, and `p` (partial) instead
    /// of `c` within a listing. This is a file format: the 1 is its version.
    pub(super) fn cursor(&self) -> Cursor {
        let modseq = self.modseq.unwrap_or(0);
        let end = if self.complete { 'c' } else { 'p' };
        Cursor::format(format_args!(
            "1:{}:{}:{modseq}:{}:{end}",
            self.validity, self.next, self.below
        ))
    }

    /// Reads [`cursor`](Self::cursor); `None` for any other text, e.g. of a later version.
    pub(super) fn read(cursor: &Cursor) -> Option<Self> {
        let mut parts = cursor.as_str().split(':');
        if parts.next()? != "1" {
            return None;
        }
        let validity = parts.next()?.parse().ok()?;
        let next = parts.next()?.parse().ok().filter(|next| *next > 0)?;
        let modseq = parts.next()?.parse().ok()?;
        let below = parts.next()?.parse().ok()?;
        let complete = match parts.next()? {
            "c" => true,
            "p" => false,
            _ => return None,
        };
        parts.next().is_none().then_some(Self {
            validity,
            next,
            modseq: Some(modseq).filter(|modseq| *modseq > 0),
            below,
            complete,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back() {
        let place = Place {
            validity: 7,
            next: u32::MAX,
            modseq: Some(u64::MAX),
            below: 12,
            complete: true,
        };
        assert_eq!(Place::read(&place.cursor()), Some(place));
        let partial = Place {
            modseq: None,
            complete: false,
            ..place
        };
        assert_eq!(Place::read(&partial.cursor()), Some(partial));
        for foreign in [
            "",
            "2:1:1:1:1:c",
            "1:1:0:1:1:c",
            "1:1:1:1:1:c:",
            "1:1:1:1:c",
            "1:-1:1:1:1:p",
        ] {
            assert_eq!(Place::read(&Cursor::new(foreign)), None, "{foreign}");
        }
    }
}
