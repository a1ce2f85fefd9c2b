//! What clients did, for tests that assert how often.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts since the start or the last [`reset`](crate::Server::reset_counters).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// SOAP requests by operation, such as `CreateItem`; also those that were made to fail.
    pub operations: BTreeMap<String, u64>,
    /// HTTP requests of all kinds, with those that were only challenged.
    pub requests: u64,
    /// HTTP answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Response messages by code, `NoError` and others.
    pub codes: BTreeMap<String, u64>,
    /// Bytes received, without TLS.
    pub bytes_in: u64,
    /// Bytes sent, without TLS.
    pub bytes_out: u64,
    /// Items created by `CreateItem` and `UploadItems`.
    pub created: u64,
    /// Messages sent with their MIME content.
    pub bodies_fetched: u64,
    /// Items sent as streams by `ExportItems`.
    pub exported: u64,
    /// Connections opened.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
    /// Most connections open at a time.
    pub peak: u64,
    /// Operations that came while a back-off that the server had asked for was not over.
    pub during_backoff: u64,
    /// Ids of one mailbox that were used while acting for another.
    pub foreign: u64,
    /// Requests that brought the cookie of their user.
    pub own_cookies: u64,
    /// Requests that brought another user's cookie.
    pub foreign_cookies: u64,
    /// Logins that succeeded, by scheme: `Basic`, `NTLM`, `Negotiate`, `Bearer`.
    pub logins: BTreeMap<String, u64>,
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

    /// How often a response message had this code.
    #[must_use]
    pub fn code(&self, name: &str) -> u64 {
        self.codes.get(name).copied().unwrap_or(0)
    }

    /// How often HTTP was answered with this status.
    #[must_use]
    pub fn status(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or(0)
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
