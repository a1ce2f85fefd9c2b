//! When to try again. No I/O, no clock: waits are returned, not made.
//!
//! - By kind: the adapter says whether and when ([`Retry`]); "never" is never tried again.
//! - By scope: what concerns a message or a folder has its tries and no more. What concerns an account
//!   (a connection, "slow down") is tried until the account has been away for as long as the options
//!   allow, because all of the migration would end with it.
//! - Budget: no request is tried more than [`BUDGET`] times as often as the options say, whatever
//!   succeeds beside it.
//! - [`Circuit`]: what one lane learns of an account, the others go by. Nothing is asked of an account
//!   that named a time, whatever was still under way succeeds; one that fails for all is asked by one
//!   of them only.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    error::{Error, ErrorKind, Retry, Scope},
    observe::Direction,
};

/// Wait before the second try; doubles each time.
const FIRST: Duration = Duration::from_millis(500);
/// A request's most tries, in multiples of those that the options allow.
const BUDGET: u32 = 8;
/// Failures of an account in a row after which nobody asks it but one.
const OPENS: u32 = 3;

/// Counts the tries of one request and says how long to wait before the next.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    tries: u32,
    /// All tries since it last succeeded.
    spent: u32,
    most: u32,
    longest: Duration,
    /// What was waited since anything of the account last succeeded.
    waited: Duration,
    outage: Duration,
    side: Option<(Direction, Arc<Circuit>)>,
    /// Successes of the account when this last failed.
    successes: u64,
    // Spreads the tries of many migrations; a plain LCG is random enough for that.
    seed: u64,
}

impl Backoff {
    pub(super) fn new(most: u32, longest: Duration, seed: u64) -> Self {
        Self {
            tries: 0,
            spent: 0,
            most,
            longest,
            waited: Duration::ZERO,
            outage: Duration::ZERO,
            side: None,
            successes: 0,
            seed: seed | 1,
        }
    }

    /// As the options say, with waits of its own.
    pub(super) fn of(engine: &super::Engine) -> Self {
        let options = &engine.options;
        let seed = engine.now_ms().wrapping_add(engine.salt());
        let outage = options.outage;
        Self {
            outage,
            ..Self::new(options.attempts, options.longest_wait, seed)
        }
    }

    /// The same for requests to one side.
    pub(super) fn on(engine: &super::Engine, side: Direction) -> Self {
        let circuit = Arc::clone(engine.circuit(side));
        Self {
            successes: circuit.successes(),
            side: Some((side, circuit)),
            ..Self::of(engine)
        }
    }

    /// The same for part of a request that is tried again itself: it does not wait for an outage to end.
    pub(super) fn within(engine: &super::Engine, side: Direction) -> Self {
        Self {
            outage: Duration::ZERO,
            ..Self::on(engine, side)
        }
    }

    pub(super) fn side(&self) -> Option<Direction> {
        self.side.as_ref().map(|(side, _)| *side)
    }

    /// The wait before trying again after `error`; `None` if it must not or need not be tried.
    pub(super) fn next(&mut self, error: &Error) -> Option<Duration> {
        if error.retry() == Retry::Never {
            return None;
        }
        let wide = is_wide(error);
        if let Some((_, circuit)) = self.side.as_ref().filter(|_| wide) {
            let successes = circuit.successes();
            if successes != self.successes {
                // Others get through: what failed here begins anew, within its budget.
                self.successes = successes;
                self.tries = 0;
                self.waited = Duration::ZERO;
            }
        }
        self.tries += 1;
        self.spent += 1;
        let lasts = self.tries >= self.most && (!wide || self.waited >= self.outage);
        if lasts || self.spent >= self.most.saturating_mul(BUDGET) {
            return None;
        }
        let wait = match error.retry() {
            // The server's word is obeyed to the full, however long.
            Retry::After(wait) => wait,
            _ => {
                let doubled = FIRST.saturating_mul(1 << (self.tries - 1).min(16));
                self.jitter(doubled.min(self.longest))
            }
        };
        self.waited += wait;
        Some(wait)
    }

    /// Whether there is another try after this error.
    pub(super) fn may_pass(&self, error: &Error) -> bool {
        let left = self.tries + 1 < self.most || is_wide(error) && self.waited < self.outage;
        error.is_transient() && left && self.spent + 1 < self.most.saturating_mul(BUDGET)
    }

    /// Something succeeded: the next failure starts from the beginning.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
        self.spent = 0;
        self.waited = Duration::ZERO;
        if let Some((_, circuit)) = &self.side {
            circuit.succeeded();
        }
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

/// An account's matter, which passes by itself.
fn is_wide(error: &Error) -> bool {
    error.scope() == Scope::Account && error.is_transient()
}

/// What all lanes of a pass know of the failures of one side. Times are given, not read.
#[derive(Debug, Default)]
pub(super) struct Circuit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    successes: u64,
    /// Failures since the last success.
    row: u32,
    /// Nothing is asked before this time.
    until: Duration,
    /// The same by the server's word, which holds although what was asked before it succeeds.
    named: Duration,
}

impl Circuit {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn successes(&self) -> u64 {
        self.state().successes
    }

    /// It works: whoever waits for that may go on, unless the server named a time.
    pub(super) fn succeeded(&self) {
        let mut state = self.state();
        state.successes += 1;
        if state.row > 0 {
            state.row = 0;
            state.until = state.named;
        }
    }

    /// A request failed, and is tried again after `wait`.
    pub(super) fn failed(&self, error: &Error, now: Duration, wait: Duration) {
        if !is_wide(error) {
            return;
        }
        let mut state = self.state();
        state.row += 1;
        let named =
            error.kind() == ErrorKind::Throttled || matches!(error.retry(), Retry::After(_));
        let until = now.saturating_add(wait);
        if named {
            state.named = state.named.max(until);
        }
        if named || state.row >= OPENS {
            state.until = state.until.max(until);
        }
    }

    /// How long a request has to wait. When the time is over, one goes first, and the others wait for
    /// what comes of it.
    pub(super) fn hold(&self, now: Duration) -> Option<Duration> {
        let mut state = self.state();
        if now < state.until {
            return Some(state.until - now);
        }
        if state.row >= OPENS {
            state.until = now.saturating_add(FIRST);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "x")
    }

    fn of_folder(kind: ErrorKind) -> Error {
        error(kind).with_scope(Scope::Folder)
    }

    #[test]
    fn waits_double_up_to_the_longest_and_end() {
        for error in [error(ErrorKind::Interrupted), of_folder(ErrorKind::Timeout)] {
            let mut backoff = Backoff::new(12, 5 * SECOND, 7);
            let waits: Vec<_> = std::iter::from_fn(|| backoff.next(&error)).collect();
            assert_eq!(waits.len(), 11);
            for (index, wait) in waits.iter().enumerate() {
                let full = (FIRST * (1 << index)).min(5 * SECOND);
                assert!(*wait >= full / 2 && *wait <= full, "{index}: {wait:?}");
            }
            backoff.reset();
            assert!(backoff.next(&error).is_some());
        }
    }

    #[test]
    fn the_servers_wait_is_obeyed_and_permanent_errors_are_not_retried() {
        let mut backoff = Backoff::new(3, SECOND, 7);
        let after = error(ErrorKind::Throttled).with_retry(Retry::After(300 * SECOND));
        assert_eq!(backoff.next(&after), Some(300 * SECOND));
        assert_eq!(backoff.next(&error(ErrorKind::Auth)), None);
    }

    #[test]
    fn an_account_is_waited_for_longer_than_a_folder() {
        let mut backoff = Backoff::new(5, 60 * SECOND, 7);
        backoff.outage = 300 * SECOND;
        let folder = of_folder(ErrorKind::Unavailable);
        let waits = std::iter::from_fn(|| backoff.clone().next(&folder)).take(1);
        assert_eq!(waits.count(), 1);
        let waits: Vec<Duration> =
            std::iter::from_fn(|| backoff.next(&error(ErrorKind::Interrupted))).collect();
        let sum: Duration = waits.iter().sum();
        assert!((300 * SECOND..=360 * SECOND).contains(&sum), "{waits:?}");
        let mut backoff = Backoff::new(5, 60 * SECOND, 7);
        backoff.outage = 300 * SECOND;
        assert_eq!(std::iter::from_fn(|| backoff.next(&folder)).count(), 4);
    }

    #[test]
    fn who_fails_while_others_succeed_has_a_budget() {
        let circuit = Arc::new(Circuit::default());
        let mut backoff = Backoff::new(5, SECOND, 7);
        backoff.side = Some((Direction::Up, Arc::clone(&circuit)));
        let broken = error(ErrorKind::Interrupted);
        let tries = std::iter::from_fn(|| {
            circuit.succeeded();
            let may = backoff.may_pass(&broken);
            let wait = backoff.next(&broken);
            assert_eq!(may, wait.is_some(), "both know of the budget");
            wait
        });
        assert_eq!(tries.count(), 39);
    }

    #[test]
    fn many_migrations_do_not_try_in_step() {
        let wait = |seed: u64| {
            let mut backoff = Backoff::new(5, SECOND, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            backoff.next(&error(ErrorKind::Interrupted)).unwrap()
        };
        let waits: Vec<Duration> = (0..200).map(wait).collect();
        for part in 0..4 {
            let from = FIRST / 2 + FIRST / 8 * part;
            let within = waits
                .iter()
                .filter(|w| **w >= from && **w < from + FIRST / 8);
            assert!(within.count() > 20, "{part}: {waits:?}");
        }
    }

    #[test]
    fn one_that_is_throttled_or_names_a_time_is_obeyed_at_once() {
        let timed = error(ErrorKind::Unavailable).with_retry(Retry::After(SECOND));
        for error in [error(ErrorKind::Throttled), timed] {
            let circuit = Circuit::default();
            circuit.failed(&error, SECOND, 30 * SECOND);
            // Another lane's request, which was under way already.
            circuit.succeeded();
            circuit.failed(&error, SECOND, SECOND);
            assert_eq!(circuit.hold(2 * SECOND), Some(29 * SECOND), "{error}");
            circuit.succeeded();
            assert_eq!(circuit.hold(31 * SECOND), None);
        }
    }

    #[test]
    fn what_an_account_says_holds_for_all() {
        let circuit = Circuit::default();
        let now = 100 * SECOND;
        assert_eq!(circuit.hold(now), None);
        let throttled = error(ErrorKind::Throttled).with_retry(Retry::After(30 * SECOND));
        circuit.failed(&throttled, now, 30 * SECOND);
        assert_eq!(circuit.hold(now + 10 * SECOND), Some(20 * SECOND));
        assert_eq!(circuit.hold(now + 30 * SECOND), None);
        // A folder's or a message's failure is nobody else's.
        let circuit = Circuit::default();
        for _ in 0..9 {
            circuit.failed(&of_folder(ErrorKind::Unavailable), now, SECOND);
        }
        assert_eq!(circuit.hold(now), None);
    }

    #[test]
    fn an_account_that_fails_for_all_is_asked_by_one() {
        let circuit = Circuit::default();
        let (now, broken) = (100 * SECOND, error(ErrorKind::Interrupted));
        circuit.failed(&broken, now, SECOND);
        circuit.failed(&broken, now, SECOND);
        assert_eq!(circuit.hold(now), None, "that may be chance");
        circuit.failed(&broken, now, 4 * SECOND);
        assert_eq!(circuit.hold(now), Some(4 * SECOND));
        // One goes first …
        assert_eq!(circuit.hold(now + 4 * SECOND), None);
        // … the others wait for what comes of it.
        assert_eq!(circuit.hold(now + 4 * SECOND), Some(FIRST));
        circuit.succeeded();
        assert_eq!(circuit.hold(now + 4 * SECOND), None);
        assert_eq!(circuit.hold(now + 4 * SECOND), None);
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
                // What is not tried again is no try.
                row += u32::from(!matches!(came, Came::ForGood));
                let may = backoff.may_pass(&error);
                let wait = backoff.next(&error);
                proptest::prop_assert_eq!(may, wait.is_some());
                let full = FIRST.saturating_mul(1 << row.saturating_sub(1).min(16)).min(longest);
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
