//! The result as a picture: bars on a logarithmic scale, since the slowest takes a hundred times as long.

use std::fmt::Write as _;

use super::sample::{Group, Sample, delays};
use super::tool::Tool;

const WIDTH: f64 = 760.0;
/// Where bars begin, and where the longest ends.
const LEFT: f64 = 90.0;
const RIGHT: f64 = 690.0;
const BAR: f64 = 14.0;
const STEP: f64 = 18.0;

/// What a bar shows of a tool's passes.
type Value = fn(&Group<'_>) -> Option<f64>;

struct Bar {
    tool: Tool,
    seconds: f64,
}

/// A panel for first passes and one for passes with nothing new, without TLS.
pub(super) fn svg(samples: &[Sample]) -> String {
    let mut body = String::new();
    let mut top = 30.0;
    let panels: [(&str, Value); 2] = [
        ("First pass", |group| group.seconds()),
        ("Nothing new", |group| group.seconds_again()),
    ];
    for (title, value) in panels {
        let groups: Vec<(u64, Vec<Bar>)> = delays(samples)
            .into_iter()
            .map(|delay| (delay, bars(samples, delay, value)))
            .filter(|(_, bars)| !bars.is_empty())
            .collect();
        top = panel(&mut body, title, &groups, top);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{top:.0}\" \
         viewBox=\"0 0 {WIDTH} {top:.0}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

fn bars(samples: &[Sample], delay: u64, value: Value) -> Vec<Bar> {
    // Where all was measured with TLS alone, that is shown.
    let tls = !samples.iter().any(|one| !one.tls);
    let bar = |tool| {
        let seconds = value(&Group::of(samples, delay, tls, tool))?;
        Some(Bar { tool, seconds })
    };
    Tool::ALL.into_iter().filter_map(bar).collect()
}

/// Draws one panel; returns where the next begins.
fn panel(body: &mut String, title: &str, groups: &[(u64, Vec<Bar>)], top: f64) -> f64 {
    let all = || groups.iter().flat_map(|(_, bars)| bars);
    let longest = all().map(|bar| bar.seconds).fold(0.02, f64::max);
    let shortest = all()
        .map(|bar| bar.seconds)
        .fold(longest, f64::min)
        .max(0.001);
    // Whole powers of ten around all of them.
    let (low, high) = (shortest.log10().floor(), longest.log10().ceil());
    let high = if high > low { high } else { low + 1.0 };
    let x =
        |seconds: f64| LEFT + (seconds.max(0.001).log10() - low) / (high - low) * (RIGHT - LEFT);
    let rows: usize = groups.iter().map(|(_, bars)| bars.len() + 1).sum();
    let bottom = top + 14.0 + rows as f64 * STEP;
    text(
        body,
        10.0,
        top,
        "font-weight=\"bold\" font-size=\"13\"",
        title,
    );
    let mut power = low;
    while power <= high {
        let at = x(10_f64.powf(power));
        let seconds = 10_f64.powf(power);
        line(body, at, top + 8.0, bottom);
        text(
            body,
            at,
            bottom + 12.0,
            "text-anchor=\"middle\" fill=\"#666\"",
            &format!("{seconds} s"),
        );
        power += 1.0;
    }
    let mut y = top + 12.0;
    for (delay, bars) in groups {
        y += STEP;
        text(
            body,
            10.0,
            y - 4.0,
            "fill=\"#444\"",
            &format!("{delay} ms round trip"),
        );
        for bar in bars {
            let width = (x(bar.seconds) - LEFT).max(1.0);
            let _ = writeln!(
                body,
                "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{}\"/>",
                colour(bar.tool)
            );
            text(
                body,
                LEFT - 6.0,
                y + 11.0,
                "text-anchor=\"end\"",
                bar.tool.name(),
            );
            text(
                body,
                LEFT + width + 4.0,
                y + 11.0,
                "",
                &format!("{:.2} s", bar.seconds),
            );
            y += STEP;
        }
    }
    bottom + 44.0
}

fn colour(tool: Tool) -> &'static str {
    match tool {
        Tool::Floor => "#bbb",
        Tool::Mailmove => "#0a6ebd",
        Tool::Mbsync => "#e08a1e",
        Tool::Doveadm => "#5a9e4b",
        Tool::Imapsync => "#a65db0",
    }
}

fn text(body: &mut String, x: f64, y: f64, with: &str, said: &str) {
    let _ = writeln!(body, "<text x=\"{x:.1}\" y=\"{y:.1}\" {with}>{said}</text>");
}

fn line(body: &mut String, x: f64, from: f64, to: f64) {
    let _ = writeln!(
        body,
        "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{from:.1}\" y2=\"{to:.1}\" stroke=\"#ddd\"/>"
    );
}

#[cfg(test)]
mod tests {
    use mailmove_benches::measure::usage::Usage;

    use super::super::sample::Pass;
    use super::*;

    fn sample(tool: Tool, pass: Pass, seconds: f64) -> Sample {
        Sample {
            tool,
            delay: 0,
            tls: false,
            pass,
            round: 0,
            messages: 1,
            bytes: 1,
            usage: Usage {
                seconds,
                ..Usage::default()
            },
            passed: None,
            changed: Default::default(),
        }
    }

    #[test]
    fn a_bar_ten_times_as_long_ends_one_power_further() {
        let samples = [
            sample(Tool::Floor, Pass::First, 1.0),
            sample(Tool::Mailmove, Pass::First, 10.0),
            sample(Tool::Mailmove, Pass::Again, 0.05),
        ];
        let drawn = svg(&samples);
        assert!(drawn.contains("width=\"600.0\""), "{drawn}");
        assert!(drawn.contains("10.00 s") && drawn.contains("0.05 s"));
        assert_eq!(drawn.matches("<rect x=").count(), 3);
        assert!(drawn.ends_with("</svg>\n"));
    }
}
