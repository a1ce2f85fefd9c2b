//! What follows from an outcome. No I/O.

use crate::error::{Error, ErrorKind, Scope};

/// What to do about messages that were proven not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Send the two halves of the batch on their own: one message spoils it.
    Halve,
    /// Send them one by one until the first refusal: as many as fit shall arrive.
    Singles,
    /// Send the same again after a wait.
    Again,
    /// Record the message as failed.
    Fail,
    /// The folder ends here.
    StopFolder,
    /// The whole pass ends here.
    StopPass,
}

/// `len` messages were sent together and refused with `error`; `whole` says that the request was
/// all or nothing, so that the error need not be about each of them.
pub(super) fn after_refusal(error: &Error, len: usize, whole: bool) -> Next {
    if error.kind() == ErrorKind::Quota {
        return if len > 1 {
            Next::Singles
        } else {
            Next::StopPass
        };
    }
    match error.scope() {
        Scope::Message if len > 1 && whole => Next::Halve,
        Scope::Message if error.is_transient() => Next::Again,
        Scope::Message => Next::Fail,
        // What we remember of the folder is wrong; sending the same again would be refused again.
        _ if error.kind() == ErrorKind::Stale => Next::StopFolder,
        _ if error.is_transient() => Next::Again,
        Scope::Folder => Next::StopFolder,
        Scope::Account | Scope::Job => Next::StopPass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "x")
    }

    #[test]
    fn one_bad_message_costs_one_message() {
        let refused = error(ErrorKind::Refused);
        assert_eq!(after_refusal(&refused, 8, true), Next::Halve);
        assert_eq!(after_refusal(&refused, 1, true), Next::Fail);
        assert_eq!(after_refusal(&refused, 8, false), Next::Fail);
        // What may pass for that message costs a wait.
        let busy = error(ErrorKind::Unavailable).with_scope(Scope::Message);
        assert_eq!(after_refusal(&busy, 1, true), Next::Again);
        assert_eq!(after_refusal(&busy, 8, false), Next::Again);
        assert_eq!(after_refusal(&busy, 8, true), Next::Halve);
    }

    #[test]
    fn a_full_mailbox_takes_what_fits_and_then_ends_the_pass() {
        let full = error(ErrorKind::Quota);
        assert_eq!(after_refusal(&full, 20, true), Next::Singles);
        assert_eq!(after_refusal(&full, 1, true), Next::StopPass);
    }

    #[test]
    fn scope_decides_what_stops() {
        let folder = error(ErrorKind::Denied).with_scope(Scope::Folder);
        assert_eq!(after_refusal(&folder, 3, true), Next::StopFolder);
        assert_eq!(
            after_refusal(&error(ErrorKind::Stale), 3, true),
            Next::StopFolder
        );
        let stale = error(ErrorKind::Stale).with_scope(Scope::Account);
        assert_eq!(after_refusal(&stale, 3, true), Next::StopFolder);
        assert_eq!(
            after_refusal(&error(ErrorKind::Auth), 3, true),
            Next::StopPass
        );
        assert_eq!(
            after_refusal(&error(ErrorKind::Interrupted), 3, true),
            Next::Again
        );
        assert_eq!(
            after_refusal(&error(ErrorKind::Cancelled), 3, true),
            Next::StopPass
        );
    }

    /// A destination that takes all or nothing of a batch, and never one of these.
    fn delivered(batch: &[u32], bad: &[u32], out: &mut (Vec<u32>, Vec<u32>, usize)) {
        out.2 += 1;
        if !batch.iter().any(|one| bad.contains(one)) {
            out.0.extend(batch);
            return;
        }
        match after_refusal(&error(ErrorKind::Refused), batch.len(), true) {
            Next::Halve => {
                let (one, other) = batch.split_at(batch.len() / 2);
                delivered(one, bad, out);
                delivered(other, bad, out);
            }
            Next::Fail => out.1.extend(batch),
            other => panic!("{other:?}"),
        }
    }

    proptest::proptest! {
        #[test]
        fn refused_batches_are_halved_down_to_the_messages_that_spoil_them(
            len in 1..300_u32,
            bad in proptest::collection::btree_set(0..300_u32, 0..6),
        ) {
            let batch: Vec<u32> = (0..len).collect();
            let bad: Vec<u32> = bad.into_iter().filter(|one| *one < len).collect();
            let mut out = (Vec::new(), Vec::new(), 0);
            delivered(&batch, &bad, &mut out);
            let (stored, failed, requests) = out;
            proptest::prop_assert_eq!(&failed, &bad);
            let good: Vec<u32> = batch.into_iter().filter(|one| !bad.contains(one)).collect();
            proptest::prop_assert_eq!(stored, good);
            let levels = len.ilog2() as usize + 2;
            proptest::prop_assert!(requests <= 1 + 2 * bad.len() * levels, "{requests} requests");
        }
    }
}
