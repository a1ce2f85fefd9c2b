//! Limits that all migrations of a process share.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// Bytes of message bodies that may be in memory at once.
#[derive(Clone, Debug)]
pub struct MemoryBudget(Arc<Memory>);

#[derive(Debug)]
struct Memory {
    limit: u64,
    used: AtomicU64,
    peak: AtomicU64,
}

impl MemoryBudget {
    /// Up to `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(Memory {
            limit,
            used: AtomicU64::new(0),
            peak: AtomicU64::new(0),
        }))
    }

    /// Takes `bytes` if that many are free. Never waits: who gets nothing uses a file instead, so
    /// that no two parts of a migration can wait for each other's memory.
    #[must_use]
    pub fn take(&self, bytes: u64) -> Option<MemoryPermit> {
        let taken = self
            .0
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.0.limit)
            });
        let before = taken.ok()?;
        self.0.peak.fetch_max(before + bytes, Ordering::Relaxed);
        Some(MemoryPermit {
            memory: Arc::clone(&self.0),
            bytes,
        })
    }

    /// The limit.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Bytes in use now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Most bytes that were in use at once.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.0.peak.load(Ordering::Relaxed)
    }
}

/// Bytes taken from a [`MemoryBudget`]; given back on drop.
#[derive(Debug)]
pub struct MemoryPermit {
    memory: Arc<Memory>,
    bytes: u64,
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes per second over all connections, in both directions together.
#[derive(Clone, Debug, Default)]
pub struct Bandwidth(Option<Arc<Rate>>);

#[derive(Debug)]
struct Rate {
    bytes_per_second: f64,
    free_at: Mutex<Option<Instant>>,
}

impl Bandwidth {
    /// No limit.
    #[must_use]
    pub fn unlimited() -> Self {
        Self(None)
    }

    /// At most so many bytes a second (at least 1).
    #[must_use]
    pub fn bytes_per_second(rate: u64) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
        let bytes_per_second = rate.max(1) as f64;
        Self(Some(Arc::new(Rate {
            bytes_per_second,
            free_at: Mutex::new(None),
        })))
    }

    /// Waits until `bytes` more may pass. Pieces pass in the order they asked. Cancel safe, but the
    /// bytes count as passed.
    pub async fn pass(&self, bytes: usize) {
        let Some(rate) = &self.0 else { return };
        let until = {
            let mut free_at = rate.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let start = free_at.map_or(now, |at| at.max(now));
            #[allow(
                clippy::cast_precision_loss,
                reason = "pieces are far below 2^53 bytes"
            )]
            let cost = Duration::from_secs_f64(bytes as f64 / rate.bytes_per_second);
            *free_at = Some(start + cost);
            start
        };
        tokio::time::sleep_until(until).await;
    }
}

/// Connections at once, in all and per host. Migrations that share a budget must not need all of it
/// for their sources: give it two for each migration that runs at once.
#[derive(Clone, Debug)]
pub struct ConnectionBudget(Arc<Connections>);

#[derive(Debug)]
struct Connections {
    all: Arc<Semaphore>,
    most: usize,
    per_host: usize,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl ConnectionBudget {
    /// No limit beyond those of the adapters.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(Semaphore::MAX_PERMITS, Semaphore::MAX_PERMITS)
    }

    /// At most `all` at once, and at most `per_host` to the same host (at least one each).
    #[must_use]
    pub fn new(all: usize, per_host: usize) -> Self {
        let limit = |n: usize| n.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Connections {
            all: Arc::new(Semaphore::new(limit(all))),
            most: limit(all),
            per_host: limit(per_host),
            hosts: Mutex::new(HashMap::new()),
        }))
    }

    /// Folders that one migration between these hosts may work on at once. Each of them keeps a
    /// connection to the source while it waits for one to the destination: one must be left, or all
    /// would wait for ever. 0: no migration between them is possible.
    #[must_use]
    pub fn folders_at_once(&self, from: &str, to: &str) -> usize {
        let most = if from.eq_ignore_ascii_case(to) {
            self.0.most.min(self.0.per_host)
        } else {
            self.0.most
        };
        most - 1
    }

    /// Waits for leave to open one connection to `host`. Cancel safe.
    pub async fn acquire(&self, host: &str) -> ConnectionPermit {
        // The host's turn first: who waits for one host must not keep others from theirs.
        let host = self.of_host(host).acquire_owned().await.ok();
        let all = Arc::clone(&self.0.all).acquire_owned().await.ok();
        ConnectionPermit {
            _host: host,
            _all: all,
        }
    }

    /// Leave to open one connection to `host`, if there is one that nobody waits for.
    #[must_use]
    pub fn try_acquire(&self, host: &str) -> Option<ConnectionPermit> {
        let host = self.of_host(host).try_acquire_owned().ok()?;
        let all = Arc::clone(&self.0.all).try_acquire_owned().ok()?;
        Some(ConnectionPermit {
            _host: Some(host),
            _all: Some(all),
        })
    }

    fn of_host(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Semaphore::new(self.0.per_host));
        Arc::clone(hosts.entry(host.to_ascii_lowercase()).or_insert_with(new))
    }
}

/// Leave to have one connection open; given back on drop.
#[derive(Debug)]
pub struct ConnectionPermit {
    _host: Option<OwnedSemaphorePermit>,
    _all: Option<OwnedSemaphorePermit>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back() {
        let budget = MemoryBudget::new(10);
        let six = budget.take(6).unwrap();
        assert!(budget.take(5).is_none());
        drop(six);
        assert!(budget.take(10).is_some());
        assert_eq!((budget.used(), budget.peak()), (0, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn bandwidth_spreads_bytes_over_time() {
        let limit = Bandwidth::bytes_per_second(1000);
        let start = Instant::now();
        for _ in 0..5 {
            limit.pass(500).await;
        }
        // The first piece passes at once, each next one when the one before is paid for.
        assert_eq!(start.elapsed().as_millis() / 10, 200);
    }

    #[test]
    fn one_connection_is_left_for_the_destination() {
        let budget = ConnectionBudget::new(10, 3);
        assert_eq!(budget.folders_at_once("a.example", "A.EXAMPLE"), 2);
        assert_eq!(budget.folders_at_once("a.example", "b.example"), 9);
        let one = ConnectionBudget::new(10, 1);
        assert_eq!(one.folders_at_once("a.example", "a.example"), 0);
        assert_eq!(one.folders_at_once("a.example", "b.example"), 9);
    }

    #[tokio::test]
    async fn connections_are_limited_per_host() {
        let budget = ConnectionBudget::new(10, 1);
        let first = budget.acquire("A.example").await;
        let second = tokio::spawn({
            let budget = budget.clone();
            async move { budget.acquire("a.EXAMPLE").await }
        });
        let _other = budget.acquire("b.example").await;
        assert!(!second.is_finished());
        assert!(budget.try_acquire("a.example").is_none());
        assert!(budget.try_acquire("c.example").is_some());
        drop(first);
        second.await.unwrap();
    }
}
