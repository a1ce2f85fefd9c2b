//! What clients did, for tests that assert how often.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Counts since the start or the last [`reset`](crate::Server::reset_counters).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Requests by operation, such as `CreateMessage`; also those that were made to fail, and those in
    /// batches.
    pub operations: BTreeMap<String, u64>,
    /// HTTP requests of all kinds; a batch is one.
    pub requests: u64,
    /// HTTP answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Answers by status, those within batches instead of the batch's own.
    pub answers: BTreeMap<u16, u64>,
    /// Errors by code, such as `ErrorItemNotFound`.
    pub codes: BTreeMap<String, u64>,
    /// Bytes received, without TLS.
    pub bytes_in: u64,
    /// Bytes sent, without TLS.
    pub bytes_out: u64,
    /// Bytes of bodies that count for the upload budget.
    pub uploaded: u64,
    /// Messages made: by JSON, MIME, copies and imports.
    pub created: u64,
    /// Messages sent as MIME.
    pub bodies_fetched: u64,
    /// Items sent as streams.
    pub exported: u64,
    /// Connections opened.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
    /// Most connections open at a time.
    pub peak: u64,
    /// Requests for a mailbox that came while a back-off that the server had asked for was not over.
    pub during_backoff: u64,
    /// Requests that came while all places of their mailbox were taken.
    pub over_concurrency: u64,
    /// Most places of one mailbox taken at a time.
    pub peak_slots: u64,
    /// How long places were taken, all together, by the server's clock.
    pub slot_time: Duration,
    /// Tokens given out.
    pub tokens: u64,
    /// Requests that asked for immutable ids.
    pub immutable: u64,
    /// Requests without a token where none may be sent, that had one all the same.
    pub leaked_tokens: u64,
}

impl Counters {
    /// How often an operation was asked for.
    #[must_use]
    pub fn operation(&self, name: &str) -> u64 {
        self.operations.get(name).copied().unwrap_or(0)
    }

    /// All operations.
    #[must_use]
    pub fn total_operations(&self) -> u64 {
        self.operations.values().sum()
    }

    /// How often an error had this code.
    #[must_use]
    pub fn code(&self, name: &str) -> u64 {
        self.codes.get(name).copied().unwrap_or(0)
    }

    /// How often HTTP was answered with this status.
    #[must_use]
    pub fn status(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or(0)
    }

    /// How often a request, in a batch or alone, was answered with this status.
    #[must_use]
    pub fn answer(&self, status: u16) -> u64 {
        self.answers.get(&status).copied().unwrap_or(0)
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
}
