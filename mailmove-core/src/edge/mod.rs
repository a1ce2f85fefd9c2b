//! The edges between a migration and the world, all of them injected by the program: which
//! addresses may be reached, where credentials come from, what time it is, and how much memory,
//! bandwidth and how many connections all migrations of the process may use together.

mod budget;
mod clock;
mod credential;
mod daily;
mod net;
mod spool;
#[cfg(feature = "tls")]
pub mod tls;

use std::sync::Arc;

pub use budget::{Bandwidth, ConnectionBudget, ConnectionPermit, MemoryBudget, MemoryPermit};
pub use clock::{Clock, SystemClock};
pub use credential::{Credential, CredentialProvider, CredentialRequest, Secret, StaticCredential};
pub use daily::DailyBudget;
pub use net::{AllowAll, NetworkPolicy, connect, resolve};
pub use spool::{Spool, SpoolWriter};

/// The edges that adapters and engine share. Cheap to clone; give the same one to every
/// migration of the process so that they share its budgets.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Edges {
    /// Judges every address before a socket goes there.
    pub network: Arc<dyn NetworkPolicy>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Holds message bodies, in memory up to its budget.
    pub spool: Spool,
    /// Bytes per second over all connections.
    pub bandwidth: Bandwidth,
    /// Connections at once, in all and per host.
    pub connections: ConnectionBudget,
}

impl Edges {
    /// Any address, the system's clock, no limit but 24 MiB of message bodies in memory.
    #[must_use]
    pub fn new() -> Self {
        Self {
            network: Arc::new(AllowAll),
            clock: Arc::new(SystemClock),
            spool: Spool::new(std::env::temp_dir(), MemoryBudget::new(24 << 20)),
            bandwidth: Bandwidth::unlimited(),
            connections: ConnectionBudget::unlimited(),
        }
    }

    /// Sets who judges addresses.
    #[must_use]
    pub fn with_network(mut self, network: Arc<dyn NetworkPolicy>) -> Self {
        self.network = network;
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets where bodies are held.
    #[must_use]
    pub fn with_spool(mut self, spool: Spool) -> Self {
        self.spool = spool;
        self
    }

    /// Sets the bandwidth limit.
    #[must_use]
    pub fn with_bandwidth(mut self, bandwidth: Bandwidth) -> Self {
        self.bandwidth = bandwidth;
        self
    }

    /// Sets the limits of connections.
    #[must_use]
    pub fn with_connections(mut self, connections: ConnectionBudget) -> Self {
        self.connections = connections;
        self
    }
}

impl Default for Edges {
    fn default() -> Self {
        Self::new()
    }
}
