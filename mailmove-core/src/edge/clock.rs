use std::{
    fmt::Debug,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;

/// Tells the time and waits. Injected, so that tests decide how time passes.
#[async_trait]
pub trait Clock: Debug + Send + Sync + 'static {
    /// Time since 1970-01-01T00:00:00Z. May jump when the system's clock is set.
    fn now(&self) -> Duration;

    /// Returns after `duration`. Cancel safe.
    async fn sleep(&self, duration: Duration);
}

/// The system's clock, waiting on tokio's timer.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "a unit; it has nothing to grow")]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Duration {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
