//! What was measured, as text.

use mailmove_benches::measure::median;
use mailmove_benches::measure::usage::Usage;

/// One pair.
pub(crate) struct Round {
    /// Seconds of the replay.
    pub(crate) floor: f64,
    pub(crate) program: Usage,
}

const MIB: f64 = 1024.0 * 1024.0;

pub(crate) fn line(number: u32, round: &Round) -> String {
    format!(
        "round {number:2}: floor {:7.2} s   mailmove {:7.2} s   ratio {:5.2}   peak {:6.1} MiB   CPU {:6.2} s",
        round.floor,
        round.program.seconds,
        round.program.seconds / round.floor,
        round.program.peak_bytes as f64 / MIB,
        round.program.cpu_seconds(),
    )
}

pub(crate) fn summary(rounds: &[Round], messages: u64, bytes: u64) -> String {
    let floor = median(rounds.iter().map(|round| round.floor).collect());
    let program = median(rounds.iter().map(|round| round.program.seconds).collect());
    let cpu = median(
        rounds
            .iter()
            .map(|round| round.program.cpu_seconds())
            .collect(),
    );
    let ratios: Vec<f64> = rounds
        .iter()
        .map(|round| round.program.seconds / round.floor)
        .collect();
    let peak = rounds.iter().map(|round| round.program.peak_bytes).max();
    let lowest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = ratios.iter().copied().fold(0.0, f64::max);
    let rate = |seconds: f64| {
        let (messages, megabytes) = (messages as f64, bytes as f64 / 1e6);
        format!(
            "{:8.0} messages/s  {:7.1} MB/s",
            messages / seconds,
            megabytes / seconds
        )
    };
    format!(
        "\nmedians of {} rounds\n  floor     {floor:7.2} s  {}\n  mailmove  {program:7.2} s  {}\n\
         ratio of medians  {:.2}  (pairs from {lowest:.2} to {highest:.2})\n\
         peak memory       {:.1} MiB (highest of all rounds)\nCPU               {cpu:.2} s",
        rounds.len(),
        rate(floor),
        rate(program),
        program / floor,
        peak.unwrap_or_default() as f64 / MIB,
    )
}
