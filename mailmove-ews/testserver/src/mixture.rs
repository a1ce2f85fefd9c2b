//! Failures of all kinds, mixed by a seed.

use std::collections::BTreeMap;
use std::time::Duration;

use mailmove_testkit_exchange::faults::{Mix, Mixture as Begins};

use crate::faults::{Action, Mangle, Script};

/// What goes wrong, how often, and in what order, all drawn from a seed. All of it passes.
///
/// ```
/// use mailmove_ews_testserver::Mixture;
///
/// let mixture = Mixture::new(7, 40).with_late(90);
/// # let _ = mixture;
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Mixture {
    seed: u64,
    one_of: u64,
    late: u64,
    scripts: Vec<(&'static str, Script)>,
}

impl Mixture {
    /// One of so many operations fails.
    pub fn new(seed: u64, one_of: u64) -> Self {
        Self {
            seed,
            one_of: one_of.max(1),
            late: 0,
            scripts: Vec::new(),
        }
    }

    /// Some operations that make items land up to so many seconds after their connection died.
    pub fn with_late(mut self, seconds: u64) -> Self {
        self.late = seconds;
        self
    }

    /// Also this, at any operation; named for [`Faults::mixed`](mailmove_testkit_exchange::faults::Faults::mixed).
    pub fn with_script(mut self, name: &'static str, script: Script) -> Self {
        self.scripts.push((name, script));
        self
    }
}

impl Begins<Action> for Mixture {
    fn begin(self) -> Box<dyn Mix<Action>> {
        Box::new(Mixing {
            state: self.seed ^ 0x9e37_79b9_7f4a_7c15,
            mixture: self,
            told: BTreeMap::new(),
            over: false,
        })
    }
}

/// A mixture at work.
#[derive(Debug)]
struct Mixing {
    mixture: Mixture,
    state: u64,
    told: BTreeMap<&'static str, u64>,
    over: bool,
}

impl Mixing {
    /// SplitMix64.
    fn below(&mut self, n: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }
}

impl Mix<Action> for Mixing {
    fn stop(&mut self) {
        self.over = true;
    }

    fn told(&self) -> Vec<(&'static str, u64)> {
        self.told
            .iter()
            .map(|(name, count)| (*name, *count))
            .collect()
    }

    fn on_operation(&mut self, operation: &str) -> Option<Action> {
        if self.over || self.below(self.mixture.one_of) != 0 {
            return None;
        }
        let scripts = self.mixture.scripts.len() as u64;
        let drawn = self.below(18 + scripts);
        let makes = matches!(
            operation,
            "CreateItem" | "UploadItems" | "MoveItem" | "CopyItem"
        );
        let (name, action) = match drawn {
            0 if makes && self.mixture.late > 0 => {
                let seconds = 1 + self.below(self.mixture.late);
                ("late", Action::LandAfter(Duration::from_secs(seconds)))
            }
            0 | 1 => ("closed before", Action::Close),
            2 | 3 => ("closed unanswered", Action::CloseUnanswered),
            4 => (
                "closed in the answer",
                Action::CloseInReply(self.below(600)),
            ),
            5 => ("closed after", Action::CloseAnswered),
            6 => ("503", Action::Status(503)),
            7 => ("503 after", Action::StatusAfter(503)),
            8 => ("401", Action::Status(401)),
            9 => ("busy fault", Action::BusyFault(Duration::from_secs(1))),
            10 => ("busy inside", Action::Busy(Duration::from_secs(1))),
            11 => (
                "fault",
                Action::Fault(500, "ErrorInternalServerTransientError".to_owned()),
            ),
            12 => ("two replies", Action::FaultTwice),
            13 => ("stopped", Action::StopBatch(1)),
            14 => ("cut short", Action::Mangle(Mangle::Truncated)),
            15 => ("no XML", Action::Mangle(Mangle::NoXml)),
            16 => ("one too few", Action::Mangle(Mangle::MissingMessage)),
            17 => ("bare fault", Action::Fault(500, String::new())),
            nth => {
                let nth = usize::try_from(nth - 18).unwrap_or(0);
                let (name, script) = self.mixture.scripts.get(nth)?.clone();
                (name, Action::Meanwhile(script))
            }
        };
        *self.told.entry(name).or_default() += 1;
        Some(action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_mixes_the_same() {
        let draw = || {
            let mut mixing = Mixture::new(3, 4).with_late(5).begin();
            let drawn: Vec<_> = (0..200)
                .map(|_| mixing.on_operation("CreateItem"))
                .collect();
            (drawn, mixing.told())
        };
        let (drawn, told) = draw();
        assert_eq!((drawn.clone(), told.clone()), draw());
        let count = drawn.iter().flatten().count() as u64;
        assert_eq!(told.iter().map(|(_, n)| n).sum::<u64>(), count);
        assert!((30..70).contains(&count));
        assert!(told.len() > 10);
    }
}
