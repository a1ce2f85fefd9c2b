//! Failures of all kinds, mixed by a seed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::faults::{Action, Script};

/// What goes wrong, how often, and in what order, all drawn from a seed.
///
/// ```
/// use mailmove_imap_testserver::Mixture;
///
/// let mixture = Mixture::new(7, 40).with_late(90);
/// # let _ = mixture;
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Mixture {
    seed: u64,
    one_of: u64,
    connections: u64,
    late: u64,
    lasting: bool,
    scripts: Vec<(&'static str, Script)>,
}

impl Mixture {
    /// One of so many commands fails, in a way that passes.
    pub fn new(seed: u64, one_of: u64) -> Self {
        Self {
            seed,
            one_of: one_of.max(1),
            connections: 0,
            late: 0,
            lasting: false,
            scripts: Vec::new(),
        }
    }

    /// One of so many connections is closed, sent away, or greeted late.
    pub fn with_connections(mut self, one_of: u64) -> Self {
        self.connections = one_of;
        self
    }

    /// Some appends land up to so many seconds after their connection died.
    pub fn with_late(mut self, seconds: u64) -> Self {
        self.late = seconds;
        self
    }

    /// Also answers that a client must not take for passing: a full mailbox, a folder that is not
    /// there.
    pub fn with_lasting(mut self) -> Self {
        self.lasting = true;
        self
    }

    /// Also this, at any command; named for [`Faults::mixed`](crate::Faults::mixed).
    pub fn with_script(mut self, name: &'static str, script: Script) -> Self {
        self.scripts.push((name, script));
        self
    }

    pub(crate) fn begin(self) -> Mixing {
        Mixing {
            state: self.seed ^ 0x9e37_79b9_7f4a_7c15,
            mixture: self,
            told: BTreeMap::new(),
            over: false,
        }
    }
}

/// A mixture at work.
#[derive(Debug)]
pub(crate) struct Mixing {
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

    pub(crate) fn stop(&mut self) {
        self.over = true;
    }

    pub(crate) fn told(&self) -> Vec<(&'static str, u64)> {
        self.told
            .iter()
            .map(|(name, count)| (*name, *count))
            .collect()
    }

    fn tell(&mut self, (name, action): (&'static str, Action)) -> Action {
        *self.told.entry(name).or_default() += 1;
        action
    }

    pub(crate) fn on_connection(&mut self) -> Option<Action> {
        let one_of = self.mixture.connections;
        if self.over || one_of == 0 || self.below(one_of) != 0 {
            return None;
        }
        let drawn = match self.below(4) {
            0 | 1 => ("connection closed", Action::Close),
            2 => (
                "connection sent away",
                Action::Bye("Too many connections from you".to_owned()),
            ),
            _ => {
                let wait = Duration::from_millis(self.below(2000));
                ("greeting late", Action::Delay(wait))
            }
        };
        Some(self.tell(drawn))
    }

    pub(crate) fn on_command(&mut self, name: &str) -> Option<Action> {
        if self.over || self.below(self.mixture.one_of) != 0 {
            return None;
        }
        // A goodbye, and what is about credentials, has consequences of its own.
        if matches!(name, "LOGOUT" | "LOGIN" | "AUTHENTICATE" | "STARTTLS") {
            return None;
        }
        let own = name == "APPEND" && self.below(2) == 0;
        let drawn = match own {
            true => self.of_append(),
            false => self.of_any(),
        };
        Some(self.tell(drawn))
    }

    fn of_append(&mut self) -> (&'static str, Action) {
        let late = u64::from(self.mixture.late > 0) * 2;
        let lasting = u64::from(self.mixture.lasting) * 2;
        match self.below(4 + late + lasting) {
            0 => {
                let bytes = self.below(3000);
                ("closed in a literal", Action::CloseInLiteral(bytes))
            }
            1 => ("append unanswered", Action::CloseUnanswered),
            2 => ("append: BAD", Action::Bad("what is that?".to_owned())),
            3 => (
                "append: LIMIT",
                Action::No("[LIMIT] Rate limit hit.".to_owned()),
            ),
            4 | 5 if late > 0 => {
                let wait = Duration::from_secs(1 + self.below(self.mixture.late));
                ("lands late", Action::LandAfter(wait))
            }
            n if n % 2 == 0 => (
                "append: OVERQUOTA",
                Action::No("[OVERQUOTA] the mailbox is full".to_owned()),
            ),
            _ => (
                "append: TRYCREATE",
                Action::No("[TRYCREATE] there is no such mailbox".to_owned()),
            ),
        }
    }

    fn of_any(&mut self) -> (&'static str, Action) {
        let scripts = self.mixture.scripts.len() as u64;
        let drawn = self.below(9 + scripts);
        if let Some((name, script)) = drawn
            .checked_sub(9)
            .and_then(|at| self.mixture.scripts.get(usize::try_from(at).ok()?))
        {
            return (name, Action::Meanwhile(script.clone()));
        }
        let no = |text: &str| Action::No(text.to_owned());
        match drawn {
            0 => ("BYE", Action::Bye("Server restarts, come back".to_owned())),
            1 => ("closed", Action::Close),
            2 => ("unanswered", Action::CloseUnanswered),
            3 => ("closed after the answer", Action::CloseAnswered),
            4 => {
                let bytes = self.below(400);
                ("closed in the answer", Action::CloseInReply(bytes))
            }
            5 => ("NO UNAVAILABLE", no("[UNAVAILABLE] try again later")),
            6 => {
                let wait = 500 + self.below(5000);
                let text =
                    format!("Request is throttled. Suggested Backoff Time: {wait} milliseconds");
                ("throttled", Action::Bad(text))
            }
            7 => ("NO LIMIT", no("[LIMIT] Rate limit hit.")),
            _ => {
                let wait = Duration::from_millis(self.below(3000));
                ("late", Action::Delay(wait))
            }
        }
    }
}
