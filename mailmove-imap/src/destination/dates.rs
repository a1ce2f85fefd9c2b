//! Received dates that some servers do not keep.
//!
//! Measured: Cyrus 3.6 answers BAD to those before 1970 and keeps 32 bits of the others; Courier 5.0
//! answers NO; Dovecot 2.3 takes them and shows 32 bits of them. See `quirks`.

use mailmove_core::{
    error::{ErrorKind, Scope},
    model::Timestamp,
};

use super::{known::Known, prepare::Ready};
use crate::{
    error::{self, Doing},
    quirks::Quirks,
    wire::{InternalDate, Status, StatusKind},
};

/// Which received dates the server keeps, as far as that is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dates {
    /// In Unix seconds.
    earliest: Option<i64>,
    latest: Option<i64>,
    /// It refused one from before 1970.
    refused: bool,
}

/// A received date as it is sent.
pub(super) struct Received {
    pub(super) sent: Option<InternalDate>,
    /// Why it is not the message's own, in words.
    pub(super) replaced: Option<String>,
    /// Nobody knows whether the server takes it.
    pub(super) doubtful: bool,
}

/// The day after the epoch began: the epoch itself stands for "no date" here and there, and is
/// 1969 in some zones. Every server keeps it.
const EARLIEST: i64 = 86_400;

impl Dates {
    pub(super) fn new(quirks: &Quirks, known: &Known) -> Self {
        Self {
            earliest: quirks.earliest_received,
            latest: quirks.latest_received,
            refused: known.refuses_dates(),
        }
    }

    /// What to send. A date that the server is known not to keep is replaced by the next that it
    /// keeps; one that it may not keep is sent with its leave.
    pub(super) fn of(self, received: Option<Timestamp>) -> Received {
        let replaced = |sent: Option<i64>, why: String| Received {
            sent: sent.and_then(|seconds| InternalDate::new(seconds, 0).ok()),
            replaced: Some(why),
            doubtful: false,
        };
        let Some(received) = received else {
            let why = "no received date: the server's time of arrival stands";
            return replaced(None, why.to_owned());
        };
        let seconds = received.seconds();
        let old = seconds < self.earliest.unwrap_or(EARLIEST);
        if old && (self.earliest.is_some() || self.refused) {
            let earliest = EARLIEST.max(self.earliest.unwrap_or(EARLIEST));
            return replaced(Some(earliest), too_old(received));
        }
        if let Some(latest) = self.latest.filter(|latest| seconds > *latest) {
            let why = format!("{received} is later than this server keeps");
            return replaced(Some(latest), why);
        }
        let whole = InternalDate::new(seconds, received.offset_minutes());
        // A zone that cannot be written must not cost the moment.
        match whole.or_else(|_| InternalDate::new(seconds, 0)) {
            Ok(date) => Received {
                sent: Some(date),
                replaced: None,
                doubtful: old,
            },
            Err(_) => replaced(
                None,
                format!("{received} cannot be written in IMAP: the time of arrival stands"),
            ),
        }
    }
}

fn too_old(received: Timestamp) -> String {
    format!("{received} is earlier than this server keeps")
}

/// What goes instead of a date that was refused, and why in words.
pub(super) fn instead(date: InternalDate) -> (Option<InternalDate>, String) {
    let date = Timestamp::new(date.unix_seconds(), date.offset_minutes());
    (InternalDate::new(EARLIEST, 0).ok(), too_old(date))
}

/// Before messages go in one command: a refusal of one for its date must not meet bodies that are on
/// their way.
pub(super) fn hold_back(messages: &mut [Ready]) {
    if messages.iter().any(Ready::has_old_date) {
        messages.iter_mut().for_each(Ready::wait_for_leave);
    }
}

/// Whether a refusal may be for a date that some servers do not take. `whole`: the server had all of
/// the message by then.
pub(super) fn is_for_date(message: &Ready, status: &Status, whole: bool, at_once: bool) -> bool {
    let unexplained = || {
        let error = error::refused(Doing::message("APPEND"), status);
        error.kind() == ErrorKind::Refused && error.scope() == Scope::Message
    };
    message.has_old_date()
        && match status.kind {
            StatusKind::No => unexplained(),
            StatusKind::Bad => !whole && !at_once,
            _ => false,
        }
}

/// Where the refusal of some messages may be for a date, gives those that are in question another, to
/// be sent again. False if it is for something else. `waiting`: the one that was about to be sent.
pub(super) fn replace(
    known: &Known,
    messages: &mut [Ready],
    waiting: Option<usize>,
    status: &Status,
    (whole, at_once): (bool, bool),
) -> bool {
    let at_fault = |one: &Ready| is_for_date(one, status, whole, at_once);
    let found = match waiting {
        Some(index) => messages.get(index).is_some_and(at_fault),
        None => whole && messages.iter().any(at_fault),
    };
    if found {
        if !whole {
            // Nothing but arguments was sent: the others' dates will not be taken either.
            known.refuse_dates();
        }
        messages.iter_mut().for_each(Ready::replace_date);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_that_a_server_does_not_keep_become_the_next_that_it_keeps() {
        let known = Dates {
            earliest: Some(1),
            latest: Some(0xffff_ffff),
            refused: false,
        };
        let refused = Dates {
            refused: true,
            ..Dates::default()
        };
        let first = "02-Jan-1970 00:00:00 +0000";
        for (dates, seconds, expected) in [
            (known, 0, first),
            (known, -2_000_000_000, first),
            (known, 0x1_0000_0000, "07-Feb-2106 06:28:15 +0000"),
            (refused, 86_399, first),
        ] {
            let date = dates.of(Some(Timestamp::new(seconds, 840)));
            assert_eq!(date.sent.unwrap().to_string(), expected);
            assert!(date.replaced.is_some() && !date.doubtful);
        }
        for (dates, seconds, doubtful) in [
            (known, 1, false),
            (known, 0xffff_ffff, false),
            (Dates::default(), 86_400, false),
            (Dates::default(), 86_399, true),
            (Dates::default(), i64::from(i32::MIN), true),
            (Dates::default(), 0x1_0000_0000, false),
        ] {
            let date = dates.of(Some(Timestamp::new(seconds, 0)));
            assert_eq!(date.sent.unwrap().unix_seconds(), seconds);
            assert_eq!((date.replaced, date.doubtful), (None, doubtful));
        }
    }
}
