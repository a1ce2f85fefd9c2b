//! One measured pass.

use mailmove_benches::measure::delay::Passed;
use mailmove_benches::measure::mailbox::Differences;
use mailmove_benches::measure::usage::Usage;

use super::tool::Tool;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pass {
    /// Everything, into an empty mailbox.
    First,
    /// Nothing new.
    Again,
}

impl Pass {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::First => "first pass",
            Self::Again => "nothing new",
        }
    }
}

/// What was measured of it.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) tool: Tool,
    pub(super) delay: u64,
    pub(super) tls: bool,
    pub(super) pass: Pass,
    pub(super) round: usize,
    pub(super) messages: usize,
    pub(super) bytes: u64,
    pub(super) usage: Usage,
    /// On both sides, where there was a proxy to count it.
    pub(super) passed: Option<(Passed, Passed)>,
    pub(super) changed: Differences,
}

const MIB: f64 = 1024.0 * 1024.0;

impl Sample {
    pub(super) fn peak_mib(&self) -> f64 {
        self.usage.peak_bytes as f64 / MIB
    }

    /// For people, as it happens.
    pub(super) fn line(&self) -> String {
        let turns = match &self.passed {
            Some((from, to)) => format!("  turns {} and {}", from.most_turns, to.most_turns),
            None => String::new(),
        };
        let tls = if self.tls { "TLS" } else { "" };
        format!(
            "{:3} ms {tls:3} round {:2}: {:9} {:11} {:8.3} s  CPU {:6.2} + {:5.2} s  {:6.1} MiB  changed {}{turns}",
            self.delay,
            self.round + 1,
            self.tool.name(),
            self.pass.name(),
            self.usage.seconds,
            self.usage.user_seconds,
            self.usage.system_seconds,
            self.peak_mib(),
            self.changed.any,
        )
    }
}

/// All of it for other programs.
pub(super) fn lines(samples: &[Sample]) -> String {
    let mut text = String::from(
        "delay_ms\ttls\tround\ttool\tpass\tmessages\tbytes\tseconds\tuser_s\tsystem_s\tpeak_bytes\t\
         connections_from\tturns_from\tsent_from\tconnections_to\tturns_to\tsent_to\t\
         missing\textra\tchanged_bytes\tchanged_flags\tchanged_dates\n",
    );
    for one in samples {
        let (from, to) = one.passed.unwrap_or_default();
        let words = [
            one.delay.to_string(),
            one.tls.to_string(),
            one.round.to_string(),
            one.tool.name().to_owned(),
            one.pass.name().to_owned(),
            one.messages.to_string(),
            one.bytes.to_string(),
            format!("{:.3}", one.usage.seconds),
            format!("{:.2}", one.usage.user_seconds),
            format!("{:.2}", one.usage.system_seconds),
            one.usage.peak_bytes.to_string(),
            from.connections.to_string(),
            from.most_turns.to_string(),
            from.to_server.to_string(),
            to.connections.to_string(),
            to.most_turns.to_string(),
            to.to_server.to_string(),
            one.changed.missing.to_string(),
            one.changed.extra.to_string(),
            one.changed.bytes.to_string(),
            one.changed.flags.to_string(),
            one.changed.dates.to_string(),
        ];
        text += &words.join("\t");
        text.push('\n');
    }
    text
}

/// A tool with or without TLS at one delay: its samples, and what README tells of them.
#[derive(Debug, Default)]
pub(super) struct Group<'a> {
    pub(super) first: Vec<&'a Sample>,
    pub(super) again: Vec<&'a Sample>,
}

impl<'a> Group<'a> {
    pub(super) fn of(samples: &'a [Sample], delay: u64, tls: bool, tool: Tool) -> Self {
        let mut group = Self::default();
        for one in samples {
            if (one.delay, one.tls, one.tool) == (delay, tls, tool) {
                match one.pass {
                    Pass::First => group.first.push(one),
                    Pass::Again => group.again.push(one),
                }
            }
        }
        group
    }

    /// The median, if there is anything.
    pub(super) fn median(of: &[&Sample], what: fn(&Sample) -> f64) -> Option<f64> {
        let values: Vec<f64> = of.iter().map(|one| what(one)).collect();
        (!values.is_empty()).then(|| mailmove_benches::measure::median(values))
    }

    pub(super) fn seconds(&self) -> Option<f64> {
        Self::median(&self.first, |one| one.usage.seconds)
    }

    pub(super) fn seconds_again(&self) -> Option<f64> {
        Self::median(&self.again, |one| one.usage.seconds)
    }

    /// How much slower than another in the same rounds: the median of each pair's ratio.
    pub(super) fn ratio(&self, to: &Self) -> Option<f64> {
        let ratios: Vec<f64> = self
            .first
            .iter()
            .filter_map(|one| {
                let other = to.first.iter().find(|other| other.round == one.round)?;
                Some(one.usage.seconds / other.usage.seconds)
            })
            .collect();
        (!ratios.is_empty()).then(|| mailmove_benches::measure::median(ratios))
    }
}

/// The delays in the order in which they were measured, each once.
pub(super) fn delays(samples: &[Sample]) -> Vec<u64> {
    let mut delays: Vec<u64> = Vec::new();
    for one in samples {
        if !delays.contains(&one.delay) {
            delays.push(one.delay);
        }
    }
    delays
}
