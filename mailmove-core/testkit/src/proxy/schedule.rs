//! Faults that come again and again, chosen by a seed.

use std::{ops::RangeInclusive, time::Duration};

use tokio::time::Instant;

use super::{Fault, State, Trip, Way};
use crate::corpus::Rng;

/// Faults that come again and again: which, in what direction and after how much is drawn from a
/// seed, so that the same seed and the same traffic give the same faults.
///
/// ```
/// use mailmove_testkit::proxy::{Fault, Schedule};
///
/// // Something breaks every 20 to 200 KB, and every eighth connection is refused.
/// let plan = Schedule::by_bytes(7, 20_000..=200_000)
///     .with_faults(&[Fault::Cut, Fault::Reset, Fault::HalfClose])
///     .with_refused(8);
/// # let _ = plan;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Schedule {
    seed: u64,
    gap: Gap,
    faults: Vec<Fault>,
    refused: u64,
}

#[derive(Clone, Debug)]
enum Gap {
    Bytes(RangeInclusive<u64>),
    /// Milliseconds.
    Time(RangeInclusive<u64>),
}

impl Schedule {
    /// A fault each time that so many bytes have passed, both ways together.
    pub fn by_bytes(seed: u64, gap: RangeInclusive<u64>) -> Self {
        Self::new(seed, Gap::Bytes(gap))
    }

    /// A fault each time that so much time has passed, at the next byte. Which fault it is depends on
    /// the seed alone, what it hits on the pace of both sides.
    pub fn by_time(seed: u64, gap: RangeInclusive<Duration>) -> Self {
        let ms = |time: &Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self::new(seed, Gap::Time(ms(gap.start())..=ms(gap.end())))
    }

    fn new(seed: u64, gap: Gap) -> Self {
        Self {
            seed,
            gap,
            faults: vec![Fault::Cut, Fault::Reset, Fault::HalfClose],
            refused: 0,
        }
    }

    /// Which faults; at first those that end a connection and tell at least one side. A fault that is
    /// named twice comes twice as often.
    pub fn with_faults(mut self, faults: &[Fault]) -> Self {
        self.faults = faults.to_vec();
        self
    }

    /// Refuses one of so many connections; 0 is none.
    pub fn with_refused(mut self, one_of: u64) -> Self {
        self.refused = one_of;
        self
    }

    /// The seed, for whoever has to say how to replay it.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn begin(self, state: &State) -> Running {
        let mut running = Running {
            rng: Rng::new(self.seed, 0),
            plan: self,
            next: None,
        };
        running.draw(state);
        running
    }
}

/// A schedule at work.
#[derive(Debug)]
pub(super) struct Running {
    plan: Schedule,
    rng: Rng,
    next: Option<(Way, Fault, When)>,
}

#[derive(Clone, Copy, Debug)]
enum When {
    /// After so many bytes both ways, over all connections.
    Passed(u64),
    At(Instant),
}

impl Running {
    fn draw(&mut self, state: &State) {
        self.next = None;
        if self.plan.faults.is_empty() {
            return;
        }
        let fault = *self.rng.pick(&self.plan.faults);
        let way = *self.rng.pick(&[Way::ToServer, Way::ToClient]);
        let (Gap::Bytes(gap) | Gap::Time(gap)) = self.plan.gap.clone();
        let width = gap.end().saturating_sub(*gap.start()).saturating_add(1);
        let drawn = self.rng.below(usize::try_from(width).unwrap_or(usize::MAX)) as u64;
        let gap_is = gap.start().saturating_add(drawn);
        let when = match &self.plan.gap {
            Gap::Bytes(_) => When::Passed(state.both_ways().saturating_add(gap_is)),
            Gap::Time(_) => When::At(Instant::now() + Duration::from_millis(gap_is)),
        };
        self.next = Some((way, fault, when));
    }
}

impl State {
    /// The schedule's next fault, and after how many bytes that way it is due.
    pub(super) fn scheduled(&mut self, way: Way) -> Option<(u64, Trip)> {
        let (of, fault, when) = self.schedule.as_ref()?.next?;
        let left = match when {
            When::Passed(after) => after.saturating_sub(self.both_ways()),
            When::At(time) if time <= Instant::now() => 0,
            When::At(_) => return None,
        };
        let passed = *self.passed(way);
        (of == way).then(|| (left, Trip::new(of, passed + left, fault)))
    }

    fn both_ways(&self) -> u64 {
        self.to_server + self.to_client
    }

    /// The schedule's fault happened: the next one is drawn.
    pub(super) fn draw_next(&mut self) {
        if let Some(mut running) = self.schedule.take() {
            running.draw(self);
            self.schedule = Some(running);
        }
    }

    /// Whether the schedule refuses this connection.
    pub(super) fn scheduled_refusal(&mut self) -> bool {
        self.schedule.as_mut().is_some_and(|running| {
            let of = usize::try_from(running.plan.refused).unwrap_or(usize::MAX);
            of > 0 && running.rng.below(of) == 0
        })
    }
}
