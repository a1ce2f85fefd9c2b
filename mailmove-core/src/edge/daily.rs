//! Bytes a day, where a provider counts them.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// So many bytes a day. A day begins with its first byte and lasts 24 hours.
///
/// It knows no clock: whoever asks says what time it is.
#[derive(Debug, Default)]
pub struct DailyBudget {
    limit: Option<u64>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// When the day began, since 1970.
    start: Duration,
    used: u64,
}

impl DailyBudget {
    /// Up to `limit` bytes a day; any number if `None`.
    #[must_use]
    pub fn new(limit: Option<u64>) -> Self {
        Self {
            limit,
            state: Mutex::default(),
        }
    }

    /// The limit.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Takes `bytes` if that many are left today. If not, says when the day is over, since 1970. A
    /// fresh day lets through even what is more than a day's worth: else it never would pass.
    ///
    /// # Errors
    /// The end of the day.
    pub fn take(&self, now: Duration, bytes: u64) -> Result<(), Duration> {
        let Some(limit) = self.limit else {
            return Ok(());
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not make it wait for longer than a day.
        let over = now >= state.start.saturating_add(DAY) || now < state.start;
        if over || state.used == 0 {
            *state = State {
                start: now,
                used: 0,
            };
        }
        if state.used > 0 && state.used.saturating_add(bytes) > limit {
            return Err(state.start.saturating_add(DAY));
        }
        state.used = state.used.saturating_add(bytes);
        Ok(())
    }

    /// What to remember of it, for [`recall`](Self::recall); `None` if there is no limit.
    #[must_use]
    pub fn remember(&self) -> Option<String> {
        self.limit?;
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Some(format!("{} {}", state.start.as_millis(), state.used))
    }

    /// Goes on with what was used before. What cannot be read is no use.
    pub fn recall(&self, text: &str) {
        let read = || {
            let (start, used) = text.split_once(' ')?;
            Some(State {
                start: Duration::from_millis(start.parse().ok()?),
                used: used.parse().ok()?,
            })
        };
        if let Some(state) = read() {
            *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: u64) -> Duration {
        Duration::from_secs(1_000_000 + hours * 3600)
    }

    #[test]
    fn a_day_has_so_many_bytes_and_begins_with_the_first() {
        let budget = DailyBudget::new(Some(100));
        assert_eq!(budget.take(at(5), 60), Ok(()));
        assert_eq!(budget.take(at(6), 40), Ok(()));
        assert_eq!(budget.take(at(7), 1), Err(at(29)));
        assert_eq!(budget.take(at(29), 100), Ok(()));
        assert_eq!(budget.take(at(30), 1), Err(at(53)));
        // More than a day's worth goes alone.
        assert_eq!(budget.take(at(53), 500), Ok(()));
        assert_eq!(budget.take(at(54), 0), Err(at(77)));
    }

    #[test]
    fn a_restart_does_not_forget() {
        let budget = DailyBudget::new(Some(100));
        budget.take(at(5), 90).unwrap();
        let again = DailyBudget::new(Some(100));
        again.recall(&budget.remember().unwrap());
        assert_eq!(again.take(at(6), 20), Err(at(29)));
        assert_eq!(again.take(at(6), 10), Ok(()));
        again.recall("nonsense");
        assert_eq!(again.take(at(6), 1), Err(at(29)));
    }

    #[test]
    fn without_a_limit_nothing_is_counted_and_clocks_may_go_back() {
        let free = DailyBudget::new(None);
        assert_eq!(free.take(at(1), u64::MAX), Ok(()));
        assert_eq!(free.remember(), None);
        let budget = DailyBudget::new(Some(10));
        budget.take(at(50), 10).unwrap();
        assert_eq!(budget.take(at(1), 10), Ok(()));
    }
}
