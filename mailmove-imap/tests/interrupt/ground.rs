//! Two mailboxes that a migration runs between.

use std::{fmt::Debug, net::SocketAddr};

use mailmove_testkit::snapshot::Snapshot;

/// A source mailbox that stays, and a fresh destination for each attempt.
pub(crate) trait Ground: Debug + Send + Sync {
    fn name(&self) -> String;

    /// Where the source is reached, without protection.
    fn source(&self) -> (SocketAddr, String);

    /// A new user, with what somebody put into the mailbox before.
    fn destination(&self) -> (SocketAddr, String);

    fn password(&self) -> String;

    /// What a mailbox holds, read behind the adapter's back.
    fn snapshot(&self, user: &str, source: bool) -> Snapshot;
}
