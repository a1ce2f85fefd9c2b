//! Failures of all kinds, mixed by a seed.

use std::collections::BTreeMap;
use std::fmt;

use crate::faults::{Mix, Mixture as Begins, Script};

/// Numbers out of a seed.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// One of so many, from 0; SplitMix64.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }
}

/// Failures of which one is drawn.
pub trait Drawn: Clone + fmt::Debug + Send + 'static {
    /// How many there are.
    const KINDS: u64;
    /// The one with this number for this operation; if it is to land late, then so many seconds at
    /// most, and not at all if that is 0.
    fn drawn(kind: u64, operation: &str, late: u64, dice: &mut Dice) -> (&'static str, Self);
    /// Something happens to the mailbox.
    fn meanwhile(script: Script) -> Self;
}

/// What goes wrong, how often, and in what order, all drawn from a seed. All of it passes.
#[derive(Debug, Clone)]
#[must_use]
pub struct Mixture<A> {
    seed: u64,
    one_of: u64,
    late: u64,
    scripts: Vec<(&'static str, Script)>,
    kind: std::marker::PhantomData<fn() -> A>,
}

impl<A: Drawn> Mixture<A> {
    /// One of so many operations fails.
    pub fn new(seed: u64, one_of: u64) -> Self {
        Self {
            seed,
            one_of: one_of.max(1),
            late: 0,
            scripts: Vec::new(),
            kind: std::marker::PhantomData,
        }
    }

    /// Some operations that make items land up to so many seconds after their connection died.
    pub fn with_late(mut self, seconds: u64) -> Self {
        self.late = seconds;
        self
    }

    /// Also this, at any operation; named for [`Faults::mixed`](crate::faults::Faults::mixed).
    pub fn with_script(mut self, name: &'static str, script: Script) -> Self {
        self.scripts.push((name, script));
        self
    }
}

impl<A: Drawn> Begins<A> for Mixture<A> {
    fn begin(self) -> Box<dyn Mix<A>> {
        Box::new(Mixing {
            dice: Dice(self.seed ^ 0x9e37_79b9_7f4a_7c15),
            mixture: self,
            told: BTreeMap::new(),
            over: false,
        })
    }
}

/// A mixture at work.
#[derive(Debug)]
struct Mixing<A> {
    mixture: Mixture<A>,
    dice: Dice,
    told: BTreeMap<&'static str, u64>,
    over: bool,
}

impl<A: Drawn> Mix<A> for Mixing<A> {
    fn stop(&mut self) {
        self.over = true;
    }

    fn told(&self) -> Vec<(&'static str, u64)> {
        let all = self.told.iter();
        all.map(|(name, count)| (*name, *count)).collect()
    }

    fn on_operation(&mut self, operation: &str) -> Option<A> {
        if self.over || self.dice.below(self.mixture.one_of) != 0 {
            return None;
        }
        let scripts = self.mixture.scripts.len() as u64;
        let kind = self.dice.below(A::KINDS + scripts);
        let (name, action) = match kind.checked_sub(A::KINDS) {
            None => A::drawn(kind, operation, self.mixture.late, &mut self.dice),
            Some(nth) => {
                let nth = usize::try_from(nth).unwrap_or(0);
                let (name, script) = self.mixture.scripts.get(nth)?.clone();
                (name, A::meanwhile(script))
            }
        };
        *self.told.entry(name).or_default() += 1;
        Some(action)
    }
}
