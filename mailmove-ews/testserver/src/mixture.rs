//! Failures of all kinds, mixed by a seed.

use std::time::Duration;

use mailmove_testkit_exchange::mixture::{self, Dice, Drawn};

use crate::faults::{Action, Mangle, Script};

/// What goes wrong, how often, and in what order, all drawn from a seed. All of it passes.
///
/// ```
/// use mailmove_ews_testserver::Mixture;
///
/// let mixture = Mixture::new(7, 40).with_late(90);
/// # let _ = mixture;
/// ```
pub type Mixture = mixture::Mixture<Action>;

impl Drawn for Action {
    const KINDS: u64 = 18;

    fn drawn(kind: u64, operation: &str, late: u64, dice: &mut Dice) -> (&'static str, Self) {
        let makes = matches!(
            operation,
            "CreateItem" | "UploadItems" | "MoveItem" | "CopyItem"
        );
        match kind {
            0 if makes && late > 0 => {
                let seconds = 1 + dice.below(late);
                ("late", Self::LandAfter(Duration::from_secs(seconds)))
            }
            0 | 1 => ("closed before", Self::Close),
            2 | 3 => ("closed unanswered", Self::CloseUnanswered),
            4 => ("closed in the answer", Self::CloseInReply(dice.below(600))),
            5 => ("closed after", Self::CloseAnswered),
            6 => ("503", Self::Status(503)),
            7 => ("503 after", Self::StatusAfter(503)),
            8 => ("401", Self::Status(401)),
            9 => ("busy fault", Self::BusyFault(Duration::from_secs(1))),
            10 => ("busy inside", Self::Busy(Duration::from_secs(1))),
            11 => (
                "fault",
                Self::Fault(500, "ErrorInternalServerTransientError".to_owned()),
            ),
            12 => ("two replies", Self::FaultTwice),
            13 => ("stopped", Self::StopBatch(1)),
            14 => ("cut short", Self::Mangle(Mangle::Truncated)),
            15 => ("no XML", Self::Mangle(Mangle::NoXml)),
            16 => ("bare fault", Self::Fault(500, String::new())),
            _ => ("one too few", Self::Mangle(Mangle::MissingMessage)),
        }
    }

    fn meanwhile(script: Script) -> Self {
        Self::Meanwhile(script)
    }
}

#[cfg(test)]
mod tests {
    use mailmove_testkit_exchange::faults::Mixture as _;

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
