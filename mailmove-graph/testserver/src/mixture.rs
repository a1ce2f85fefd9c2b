//! Failures of all kinds, mixed by a seed.

use std::time::Duration;

use mailmove_testkit_exchange::mixture::{self, Dice, Drawn};

use crate::faults::{Action, Mangle, Script};

/// What goes wrong, how often, and in what order, all drawn from a seed. All of it passes.
///
/// ```
/// use mailmove_graph_testserver::Mixture;
///
/// let mixture = Mixture::new(7, 40).with_late(90);
/// # let _ = mixture;
/// ```
pub type Mixture = mixture::Mixture<Action>;

impl Drawn for Action {
    const KINDS: u64 = 16;

    fn drawn(kind: u64, operation: &str, late: u64, dice: &mut Dice) -> (&'static str, Self) {
        let makes = matches!(
            operation,
            "CreateMessage"
                | "CopyMessage"
                | "MoveMessage"
                | "AddAttachment"
                | "ImportItem"
                | "Batch"
        );
        let seconds = |dice: &mut Dice| Duration::from_secs(1 + dice.below(3));
        match kind {
            0 if makes && late > 0 => {
                let seconds = 1 + dice.below(late);
                ("late", Self::LandAfter(Duration::from_secs(seconds)))
            }
            0 | 1 => ("closed before", Self::Close),
            2 | 3 => ("closed unanswered", Self::CloseUnanswered),
            4 => ("closed in the answer", Self::CloseInReply(dice.below(600))),
            5 => ("closed after", Self::CloseAnswered),
            6 => ("503", Self::Unavailable(Some(seconds(dice)))),
            7 => ("504 after", Self::StatusAfter(504)),
            8 => ("504", Self::Status(504)),
            9 => ("401", Self::Status(401)),
            10 => ("429", Self::Throttle(Some(seconds(dice)))),
            11 => ("429 without a time", Self::Throttle(None)),
            12 => (
                "500",
                Self::Error(500, "ErrorInternalServerError".to_owned()),
            ),
            13 => ("cut short", Self::Mangle(Mangle::Truncated)),
            14 => ("no JSON", Self::Mangle(Mangle::Html)),
            _ => ("delayed", Self::Delay(Duration::from_secs(1))),
        }
    }

    fn meanwhile(script: Script) -> Self {
        Self::Meanwhile(script)
    }
}
