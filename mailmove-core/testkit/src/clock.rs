//! A clock that a test sets.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use mailmove_core::edge::Clock;
use tokio::sync::watch;

/// A clock that stands still until it is moved. Clones show the same time.
///
/// It needs neither tokio's timer nor a paused runtime, so that threads beside the runtime (a
/// database's) cannot make time jump while they work.
#[derive(Clone)]
pub struct TestClock {
    now: watch::Sender<Duration>,
    jumping: bool,
}

impl TestClock {
    /// Shows this time since 1970 and moves by [`advance`](Self::advance) alone: who sleeps, sleeps
    /// until somebody moves it far enough.
    #[must_use]
    pub fn new(now: Duration) -> Self {
        Self {
            now: watch::Sender::new(now),
            jumping: false,
        }
    }

    /// Shows this time since 1970; who sleeps moves it to where he would wake up, and goes on at
    /// once.
    #[must_use]
    pub fn jumping(now: Duration) -> Self {
        Self {
            jumping: true,
            ..Self::new(now)
        }
    }

    /// Moves on.
    pub fn advance(&self, by: Duration) {
        self.now.send_modify(|now| *now = now.saturating_add(by));
    }

    /// Sets it, be it back, as somebody sets a system's clock. Who sleeps goes by the new time.
    pub fn set(&self, now: Duration) {
        self.now.send_replace(now);
    }

    fn move_to(&self, time: Duration) {
        self.now.send_modify(|now| *now = time.max(*now));
    }
}

impl fmt::Debug for TestClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestClock({:?})", *self.now.borrow())
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Duration {
        *self.now.borrow()
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.now().saturating_add(duration);
        if self.jumping {
            self.move_to(until);
            tokio::task::yield_now().await;
            return;
        }
        let mut changes = self.now.subscribe();
        // The sender lives in `self`, so this ends by the time alone.
        let _ = changes.wait_for(|now| *now >= until).await;
    }
}

/// A clock that runs faster than the system's, so that waits are short and yet real: what is a second
/// late by this clock is late for everybody who goes by it.
#[derive(Debug)]
pub struct FastClock {
    begun: Instant,
    from: Duration,
    times: u32,
}

impl FastClock {
    /// So many of its seconds pass in a real one.
    #[must_use]
    pub fn new(times: u32) -> Self {
        Self {
            begun: Instant::now(),
            from: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            times: times.max(1),
        }
    }
}

#[async_trait]
impl Clock for FastClock {
    fn now(&self) -> Duration {
        self.from + self.begun.elapsed() * self.times
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration / self.times).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleepers_wake_when_it_is_moved_far_enough() {
        let clock = TestClock::new(Duration::from_secs(100));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_secs(10)).await }
        });
        clock.advance(Duration::from_secs(9));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        // One that went to sleep only now would wait for ten more seconds.
        clock.advance(Duration::from_secs(10));
        sleeper.await.unwrap();
    }

    #[tokio::test]
    async fn a_jumping_clock_never_waits() {
        let clock = TestClock::jumping(Duration::ZERO);
        clock.sleep(Duration::from_secs(3600)).await;
        assert_eq!(clock.now(), Duration::from_secs(3600));
    }
}
