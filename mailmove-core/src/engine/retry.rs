//! When to try again. No I/O, no clock: waits are returned, not made.

use std::time::Duration;

use crate::error::{Error, Retry};

/// Counts the tries of one request and says how long to wait before the next.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    tries: u32,
    most: u32,
    longest: Duration,
    // Spreads the tries of many migrations; a plain LCG is random enough for that.
    seed: u64,
}

/// Wait before the second try; doubles each time.
const FIRST: Duration = Duration::from_millis(500);

impl Backoff {
    pub(super) fn new(most: u32, longest: Duration, seed: u64) -> Self {
        Self {
            tries: 0,
            most,
            longest,
            seed: seed | 1,
        }
    }

    /// As the options say, with waits of its own.
    pub(super) fn of(engine: &super::Engine) -> Self {
        let options = &engine.options;
        Self::new(options.attempts, options.longest_wait, engine.now_ms())
    }

    /// The wait before trying again after `error`; `None` if it must not or need not be tried.
    pub(super) fn next(&mut self, error: &Error) -> Option<Duration> {
        self.tries += 1;
        if self.tries >= self.most {
            return None;
        }
        match error.retry() {
            Retry::Never => None,
            // The server's word is obeyed to the full, however long.
            Retry::After(wait) => Some(wait),
            Retry::Backoff => {
                let doubled = FIRST.saturating_mul(1 << (self.tries - 1).min(16));
                Some(self.jitter(doubled.min(self.longest)))
            }
        }
    }

    /// Whether there is another try after this error.
    pub(super) fn may_pass(&self, error: &Error) -> bool {
        error.is_transient() && self.tries + 1 < self.most
    }

    /// Something succeeded: the next failure starts from the beginning.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }

    /// Between half of `wait` and all of it.
    fn jitter(&mut self, wait: Duration) -> Duration {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let part = u32::try_from(self.seed >> 54).unwrap_or(0);
        wait / 2 + wait * part / 2048
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn waits_double_up_to_the_longest_and_end() {
        let error = Error::new(ErrorKind::Interrupted, "x");
        let mut backoff = Backoff::new(12, Duration::from_secs(5), 7);
        let waits: Vec<_> = std::iter::from_fn(|| backoff.next(&error)).collect();
        assert_eq!(waits.len(), 11);
        for (index, wait) in waits.iter().enumerate() {
            let full = (FIRST * (1 << index)).min(Duration::from_secs(5));
            assert!(*wait >= full / 2 && *wait <= full, "{index}: {wait:?}");
        }
        backoff.reset();
        assert!(backoff.next(&error).is_some());
    }

    #[test]
    fn the_servers_wait_is_obeyed_and_permanent_errors_are_not_retried() {
        let mut backoff = Backoff::new(3, Duration::from_secs(1), 7);
        let after = Error::new(ErrorKind::Throttled, "x")
            .with_retry(Retry::After(Duration::from_secs(300)));
        assert_eq!(backoff.next(&after), Some(Duration::from_secs(300)));
        assert_eq!(backoff.next(&Error::new(ErrorKind::Auth, "x")), None);
    }

    /// What may come of a try.
    #[derive(Clone, Copy, Debug)]
    enum Came {
        Well,
        Passing,
        AskedToWait(u64),
        ForGood,
    }

    fn came() -> impl proptest::strategy::Strategy<Value = Came> {
        use proptest::prelude::*;
        prop_oneof![
            1 => Just(Came::Well),
            4 => Just(Came::Passing),
            2 => (0..10_000_u64).prop_map(Came::AskedToWait),
            1 => Just(Came::ForGood),
        ]
    }

    proptest::proptest! {
        /// Against a model that counts failures in a row.
        #[test]
        fn no_history_is_tried_too_often_or_too_soon(
            most in 0..8_u32,
            longest in 1..100_000_u64,
            seed: u64,
            history in proptest::collection::vec(came(), 1..40),
        ) {
            let longest = Duration::from_millis(longest);
            let mut backoff = Backoff::new(most, longest, seed);
            let mut row = 0_u32;
            for came in history {
                let error = match came {
                    Came::Well => {
                        backoff.reset();
                        row = 0;
                        continue;
                    }
                    Came::Passing => Error::new(ErrorKind::Interrupted, "x"),
                    Came::AskedToWait(ms) => Error::new(ErrorKind::Throttled, "x")
                        .with_retry(Retry::After(Duration::from_millis(ms))),
                    Came::ForGood => Error::new(ErrorKind::Auth, "x"),
                };
                row += 1;
                let may = backoff.may_pass(&error);
                let wait = backoff.next(&error);
                proptest::prop_assert_eq!(may, wait.is_some());
                let full = FIRST.saturating_mul(1 << (row - 1).min(16)).min(longest);
                match (came, wait) {
                    (Came::ForGood, wait) => proptest::prop_assert_eq!(wait, None),
                    (_, None) => proptest::prop_assert!(row >= most, "given up after {row} of {most}"),
                    (_, Some(_)) if row >= most => proptest::prop_assert!(false, "tried too often"),
                    // However long.
                    (Came::AskedToWait(ms), wait) => {
                        proptest::prop_assert_eq!(wait, Some(Duration::from_millis(ms)));
                    }
                    (_, Some(wait)) => {
                        proptest::prop_assert!(wait >= full / 2 && wait <= full, "{row}: {wait:?}");
                    }
                }
            }
        }
    }
}
