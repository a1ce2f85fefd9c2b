//! A clock that runs faster, so that the wait for late appends is short and yet real.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use mailmove_core::edge::Clock;

/// Seconds of this clock in a real one.
const FASTER: u32 = 10;

#[derive(Debug)]
pub(crate) struct FastClock {
    begun: Instant,
    from: Duration,
}

impl FastClock {
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            from: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }
}

#[async_trait]
impl Clock for FastClock {
    fn now(&self) -> Duration {
        self.from + self.begun.elapsed() * FASTER
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration / FASTER).await;
    }
}
