//! Requests and bytes within a time, as the server allows them: waited for before it has to object.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use mailmove_core::edge::Clock;

/// Pieces of the time in which sums are kept.
const PIECES: u32 = 100;

/// An amount within a time that slides along.
#[derive(Debug)]
struct Window {
    most: u64,
    within: Duration,
    /// When, and how much; what is older than `within` is gone.
    spent: VecDeque<(Duration, u64)>,
    sum: u64,
}

impl Window {
    fn new(most: u64, within: Duration) -> Self {
        Self {
            most,
            within,
            spent: VecDeque::new(),
            sum: 0,
        }
    }

    /// How long to wait until so much more may be spent; nothing at all if it may be now.
    fn wait(&mut self, now: Duration, amount: u64) -> Option<Duration> {
        // A clock that was set back has nothing to say of what was before.
        if self.spent.back().is_some_and(|(at, _)| *at > now) {
            self.spent.clear();
            self.sum = 0;
        }
        while let Some((at, spent)) = self.spent.front().copied()
            && now - at >= self.within
        {
            self.spent.pop_front();
            self.sum -= spent;
        }
        if self.sum == 0 || self.sum + amount <= self.most {
            return None;
        }
        let mut left = self.sum;
        for (at, spent) in &self.spent {
            left -= spent;
            if left == 0 || left + amount <= self.most {
                return Some((*at + self.within).saturating_sub(now));
            }
        }
        None
    }

    fn spend(&mut self, now: Duration, amount: u64) {
        self.sum += amount;
        let step = self.within / PIECES;
        // Counted to the later time, so that no window ever has more than is allowed.
        match self.spent.back_mut() {
            Some((at, spent)) if now.saturating_sub(*at) < step => {
                *spent += amount;
                *at = now;
            }
            _ => self.spent.push_back((now, amount)),
        }
    }
}

/// What one mailbox may ask and send.
#[derive(Debug)]
pub(super) struct Pace {
    windows: Mutex<(Window, Window)>,
    waited: Mutex<Duration>,
}

impl Pace {
    pub(super) fn new(requests: (u32, Duration), bytes: (u64, Duration)) -> Self {
        let requests = Window::new(u64::from(requests.0), requests.1);
        Self {
            windows: Mutex::new((requests, Window::new(bytes.0, bytes.1))),
            waited: Mutex::default(),
        }
    }

    /// Waits until so many requests with so many bytes may be sent. Cancel safe.
    pub(super) async fn pass(&self, clock: &dyn Clock, requests: u64, bytes: u64) {
        while let Some(wait) = self.take(|| clock.now(), requests, bytes) {
            clock.sleep(wait.max(Duration::from_millis(1))).await;
            *self.waited.lock().unwrap_or_else(PoisonError::into_inner) += wait;
        }
    }

    fn take(&self, now: impl FnOnce() -> Duration, requests: u64, bytes: u64) -> Option<Duration> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: a time from before another's would look like a clock that was set back.
        let now = now();
        let (asked, sent) = &mut *windows;
        let wait = asked.wait(now, requests).max(sent.wait(now, bytes));
        if wait.is_none() {
            asked.spend(now, requests);
            sent.spend(now, bytes);
        }
        wait
    }

    /// Time that was waited so, by all together.
    pub(super) fn waited(&self) -> Duration {
        *self.waited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends pieces of `size` for `time` as fast as it may, each taking a hundredth of a second.
    fn sent(pace: &Pace, size: u64, time: u64) -> Vec<(Duration, u64)> {
        let mut now = Duration::from_secs(1_000_000);
        let end = now + Duration::from_secs(time);
        let mut out = Vec::new();
        while now < end {
            match pace.take(|| now, 1, size) {
                Some(wait) => now += wait,
                None => {
                    out.push((now, size));
                    now += Duration::from_millis(10);
                }
            }
        }
        out
    }

    #[test]
    fn bytes_are_used_up_and_never_more_than_allowed() {
        let within = Duration::from_secs(300);
        let pace = Pace::new((1_000_000, within), (150_000_000, within));
        let sent = sent(&pace, 1_000_000, 3000);
        let all: u64 = sent.iter().map(|(_, size)| size).sum();
        assert!(all >= 1_500_000_000 * 95 / 100, "{all}");
        for (at, _) in &sent {
            let inside = sent
                .iter()
                .filter(|(then, _)| then <= at && *at - *then < within);
            let sum: u64 = inside.map(|(_, size)| size).sum();
            assert!(sum <= 150_000_000, "{sum} within five minutes");
        }
    }

    #[test]
    fn one_larger_than_all_goes_alone_and_clocks_may_jump() {
        let within = Duration::from_secs(10);
        let pace = Pace::new((10, within), (100, within));
        let at = Duration::from_secs;
        assert_eq!(pace.take(|| at(100), 1, 1000), None);
        assert_eq!(pace.take(|| at(101), 1, 1), Some(at(9)));
        assert_eq!(pace.take(|| at(110), 1, 1), None);
        assert_eq!(pace.take(|| at(50), 1, 100), None);
    }
}
