//! What clients did, for tests that assert how often.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts since the start or the last [`reset`](crate::Server::reset_counters).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Commands by upper-case name; UID commands as `UID FETCH`.
    pub commands: BTreeMap<String, u64>,
    /// Bytes received, without TLS.
    pub bytes_in: u64,
    /// Bytes sent, without TLS.
    pub bytes_out: u64,
    /// Bytes received as they came: fewer than `bytes_in` where COMPRESS is on.
    pub wire_in: u64,
    /// Bytes sent as they went: fewer than `bytes_out` where COMPRESS is on.
    pub wire_out: u64,
    /// Times a client was told `+` to go on: literals, AUTHENTICATE, IDLE.
    pub continuations: u64,
    /// Literals that waited for a continuation.
    pub literals_synchronising: u64,
    /// Literals sent without waiting (`{n+}`).
    pub literals_non_synchronising: u64,
    /// Messages sent whole.
    pub bodies_fetched: u64,
    /// Messages appended.
    pub messages_appended: u64,
    /// Times the server sent an answer and then waited, as the client hadn't sent more by then. Exact for
    /// a client that waits for each answer; for one that pipelines it depends on who was faster.
    pub round_trips: u64,
    /// Connections opened.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
    /// Most connections open at a time.
    pub peak: u64,
    /// Commands answered BAD.
    pub bad: u64,
}

impl Counters {
    /// How often a command came; UID commands as `UID FETCH`.
    #[must_use]
    pub fn command(&self, name: &str) -> u64 {
        self.commands
            .get(&name.to_ascii_uppercase())
            .copied()
            .unwrap_or(0)
    }

    /// All commands.
    #[must_use]
    pub fn total_commands(&self) -> u64 {
        self.commands.values().sum()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counting(Mutex<Counters>);

impl Counting {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn reset(&self) {
        let mut counters = self.lock();
        let open = counters.open;
        *counters = Counters {
            open,
            peak: open,
            ..Counters::default()
        };
    }

    pub(crate) fn command(&self, name: &str) {
        let mut counters = self.lock();
        match counters.commands.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                counters.commands.insert(name.to_owned(), 1);
            }
        }
    }
}
