//! Two mailboxes that a migration runs between.

use std::{fmt::Debug, net::SocketAddr, sync::Arc, time::Duration};

use mailmove_testkit::{clock::FastClock, snapshot::Snapshot};

/// Seconds of the migration's clock in a real one: the wait for late appends is short, and yet real.
const FASTER: u32 = 10;

/// A source mailbox that stays, and a fresh destination for each attempt.
pub(crate) trait Ground: Debug + Send + Sync {
    fn name(&self) -> String;

    /// Where the source is reached, without protection.
    fn source(&self) -> (SocketAddr, String);

    /// A new user, with what somebody put into the mailbox before.
    fn destination(&self) -> (SocketAddr, String);

    fn password(&self) -> String;

    /// The clock that the migration goes by.
    fn clock(&self) -> Arc<FastClock> {
        Arc::new(FastClock::new(FASTER))
    }

    /// How long a pass waits for what may land late, if something was sent twice. These servers store
    /// at once what they store at all.
    fn late(&self) -> Option<Duration> {
        Some(Duration::from_secs(2))
    }

    /// What a mailbox holds, read behind the adapter's back.
    fn snapshot(&self, user: &str, source: bool) -> Snapshot;
}
