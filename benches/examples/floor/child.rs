//! Runs the program and looks at what it uses.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::options::Options;

/// How often the child is looked at.
const POLL: Duration = Duration::from_millis(5);
/// Linux tells processor time to user space in hundredths of a second, whatever its own clock.
const TICKS_A_SECOND: f64 = 100.0;

/// What one migration took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// From the start of the process to its end.
    pub(crate) seconds: f64,
    /// The most memory held at once; zero where the system does not tell.
    pub(crate) peak_bytes: u64,
    /// User and system time.
    pub(crate) cpu_seconds: f64,
}

/// Migrates into `user`'s mailbox with an empty state directory.
pub(crate) fn run(options: &Options, user: &str) -> Result<Usage> {
    let state = tempfile::tempdir()?;
    let log = state.path().join("output");
    let output = std::fs::File::create(&log)?;
    let mut command = Command::new(&options.program);
    command
        .arg("migrate")
        .args(["--from", &options.from.url(&options.from.user)])
        .args(["--to", &options.to.url(user)])
        .arg("--state")
        .arg(state.path().join("state"))
        .args(["--connections", &options.connections.to_string()])
        .arg("--quiet")
        .args(&options.rest)
        .env("MAILMOVE_FROM_PASSWORD", &options.from.password)
        .env("MAILMOVE_TO_PASSWORD", &options.to.password)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let start = Instant::now();
    let mut child = command
        .spawn()
        .map_err(|error| format!("cannot run {}: {error}", options.program.display()))?;
    let mut usage = watch(child.id());
    let status = child.wait()?;
    if usage.seconds == 0.0 {
        usage.seconds = start.elapsed().as_secs_f64();
    }
    if status.success() {
        return Ok(usage);
    }
    let said = std::fs::read(&log)?;
    Err(format!("mailmove: {status}\n{}", String::from_utf8_lossy(&said)).into())
}

/// Looks until the process has ended. It is not waited for yet, so that its times can still be
/// read; where there is no /proc, nothing is known.
fn watch(id: u32) -> Usage {
    let start = Instant::now();
    let place = Path::new("/proc").join(id.to_string());
    let mut usage = Usage::default();
    loop {
        let seen = Instant::now();
        if let Some(peak) = peak(&place) {
            usage.peak_bytes = usage.peak_bytes.max(peak);
        }
        let Some((ended, cpu_seconds)) = times(&place) else {
            return usage;
        };
        usage.cpu_seconds = cpu_seconds;
        if ended {
            usage.seconds = seen.duration_since(start).as_secs_f64();
            return usage;
        }
        std::thread::sleep(POLL);
    }
}

/// VmHWM only grows, so the last look holds the highest value (up to one poll before the end).
fn peak(place: &Path) -> Option<u64> {
    let status = std::fs::read_to_string(place.join("status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Whether it has ended, and the processor time of all its threads.
fn times(place: &Path) -> Option<(bool, f64)> {
    let stat = std::fs::read_to_string(place.join("stat")).ok()?;
    // The name, in parentheses, may hold anything; the fields after it are numbered from 3.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3);
    let ticks = |number| field(number).and_then(|text| text.parse::<f64>().ok());
    let ended = matches!(*field(3)?, "Z" | "X");
    Some((ended, (ticks(14)? + ticks(15)?) / TICKS_A_SECOND))
}
