//! The result as a table in Markdown.

use super::options::Options;
use super::sample::{Group, Sample, delays};
use super::tool::Tool;

/// One table for each delay, medians of all rounds.
pub(super) fn markdown(samples: &[Sample], options: &Options) -> String {
    let mut text = String::new();
    for delay in delays(samples) {
        let Some(some) = samples.iter().find(|one| one.delay == delay) else {
            continue;
        };
        text += &format!(
            "{} ms round trip, {} messages, {:.0} MB, medians of {} rounds:\n\n",
            delay,
            some.messages,
            some.bytes as f64 / 1e6,
            options.rounds
        );
        text += HEAD;
        for tls in [false, true] {
            for tool in Tool::ALL {
                text += &row(samples, delay, tls, tool).unwrap_or_default();
            }
        }
        text.push('\n');
    }
    text
}

const HEAD: &str = "\
| | first pass | × floor | nothing new | CPU (user + system) | peak memory | round trips, first pass | nothing new | changed: bytes, flags, dates | lost, doubled |
|---|---|---|---|---|---|---|---|---|---|
";

fn row(samples: &[Sample], delay: u64, tls: bool, tool: Tool) -> Option<String> {
    let group = Group::of(samples, delay, tls, tool);
    let floor = Group::of(samples, delay, false, Tool::Floor);
    let last = group.first.last()?;
    let name = match tls {
        true => format!("{}, TLS", tool.name()),
        false => tool.name().to_owned(),
    };
    let some = |value: Option<f64>, digits: usize, unit: &str| match value {
        Some(value) => format!("{value:.digits$}{unit}"),
        None => String::new(),
    };
    let used = tool != Tool::Floor;
    let median = |what: fn(&Sample) -> f64| Group::median(&group.first, what).filter(|_| used);
    let cpu = match (
        median(|one| one.usage.user_seconds),
        median(|one| one.usage.system_seconds),
    ) {
        (Some(user), Some(system)) => format!("{user:.2} + {system:.2} s"),
        _ => String::new(),
    };
    let changed = &last.changed;
    Some(format!(
        "| {name} | {} | {} | {} | {cpu} | {} | {} | {} | {}, {}, {} | {}, {} |\n",
        some(group.seconds(), 2, " s"),
        some(group.ratio(&floor).filter(|_| used), 2, ""),
        some(group.seconds_again(), 2, " s"),
        some(median(Sample::peak_mib), 0, " MiB"),
        trips(&group.first),
        trips(&group.again),
        changed.bytes,
        changed.flags,
        changed.dates,
        changed.missing,
        changed.extra,
    ))
}

/// Turns on the connection that had the most of them, at source and destination.
fn trips(samples: &[&Sample]) -> String {
    match samples.last().and_then(|one| one.passed) {
        // Who is asked nothing opened no connection: doveadm writes its store.
        Some((from, to)) if to.connections == 0 => format!("{} / –", from.most_turns),
        Some((from, to)) => format!("{} / {}", from.most_turns, to.most_turns),
        None => String::new(),
    }
}
