//! What a program uses while it runs: time, processors, memory, with all that it starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Result;

/// How often the processes are looked at.
const POLL: Duration = Duration::from_millis(5);
/// How often it is looked for what they started.
const LOOK_ROUND: u32 = 10;
/// Linux tells processor time to user space in hundredths of a second, whatever its own clock.
const TICKS_A_SECOND: f64 = 100.0;

/// What a program took.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "used in this workspace alone")]
pub struct Usage {
    /// From the start of the process to its end.
    pub seconds: f64,
    /// The most memory held at once, of each process, added up; zero where the system does not tell.
    pub peak_bytes: u64,
    /// In the program itself, in hundredths.
    pub user_seconds: f64,
    /// In the system, in hundredths.
    pub system_seconds: f64,
}

impl Usage {
    /// User and system time.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        self.user_seconds + self.system_seconds
    }
}

/// Runs it to its end, its output in `log`.
///
/// # Errors
/// If it cannot be started, ends with anything but 0, or takes longer than `limit`; with what it said.
pub fn run(command: &mut Command, log: &Path, limit: Duration) -> Result<Usage> {
    let output = std::fs::File::create(log)?;
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let start = Instant::now();
    let mut child = command
        .spawn()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    let mut usage = watch(child.id(), limit);
    let late = start.elapsed() > limit;
    if late {
        child.kill()?;
    }
    let status = child.wait()?;
    if usage.seconds == 0.0 {
        usage.seconds = start.elapsed().as_secs_f64();
    }
    if status.success() {
        return Ok(usage);
    }
    let said = std::fs::read(log)?;
    let said = String::from_utf8_lossy(&said);
    let from = said.len().saturating_sub(4000);
    let said = said.get(from..).unwrap_or(&said);
    let why = match late {
        true => format!("stopped after {} s", limit.as_secs()),
        false => status.to_string(),
    };
    Err(format!("{program}: {why}\n{said}").into())
}

/// Looks until the process has ended. It is not waited for yet, so that its times can still be
/// read; where there is no /proc, nothing is known.
fn watch(id: u32, limit: Duration) -> Usage {
    let start = Instant::now();
    let mut usage = Usage::default();
    let mut peaks: BTreeMap<u32, u64> = BTreeMap::new();
    let mut processes = vec![id];
    for look in 0.. {
        let seen = Instant::now();
        if look % LOOK_ROUND == 1 {
            processes = family(id);
        }
        for &process in &processes {
            if let Some(peak) = peak(&place(process)) {
                // It only grows, so the last look holds the highest value (up to one poll before the end).
                peaks.insert(process, peak);
            }
        }
        usage.peak_bytes = peaks.values().sum();
        let Some(times) = times(&place(id)) else {
            return usage;
        };
        (usage.user_seconds, usage.system_seconds) = (times.user, times.system);
        let elapsed = seen.duration_since(start);
        if times.ended || elapsed > limit {
            usage.seconds = elapsed.as_secs_f64();
            return usage;
        }
        std::thread::sleep(POLL);
    }
    usage
}

fn place(id: u32) -> PathBuf {
    Path::new("/proc").join(id.to_string())
}

/// A process and all that descend from it.
fn family(id: u32) -> Vec<u32> {
    let mut all = vec![id];
    let mut at = 0;
    while let Some(&one) = all.get(at) {
        at += 1;
        let Ok(tasks) = std::fs::read_dir(place(one).join("task")) else {
            continue;
        };
        for task in tasks.flatten() {
            let children = std::fs::read_to_string(task.path().join("children"));
            let children = children.unwrap_or_default();
            all.extend(
                children
                    .split_ascii_whitespace()
                    .flat_map(str::parse::<u32>),
            );
        }
    }
    all
}

/// The most memory that a process ever held.
fn peak(place: &Path) -> Option<u64> {
    let status = std::fs::read_to_string(place.join("status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// The most memory that this process ever held; zero where the system does not tell.
#[must_use]
pub fn own_peak() -> u64 {
    peak(Path::new("/proc/self")).unwrap_or_default()
}

/// The processor time of this process so far, in seconds; zero where the system does not tell.
#[must_use]
pub fn own_cpu() -> f64 {
    let times = times(Path::new("/proc/self"));
    times.map_or(0.0, |times| times.user + times.system)
}

struct Times {
    ended: bool,
    user: f64,
    system: f64,
}

/// Whether it has ended, and the processor time of all its threads and of the processes that it
/// waited for.
fn times(place: &Path) -> Option<Times> {
    let stat = std::fs::read_to_string(place.join("stat")).ok()?;
    // The name, in parentheses, may hold anything; the fields after it are numbered from 3.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3);
    let ticks = |number| field(number).and_then(|text| text.parse::<f64>().ok());
    Some(Times {
        ended: matches!(*field(3)?, "Z" | "X"),
        user: (ticks(14)? + ticks(16)?) / TICKS_A_SECOND,
        system: (ticks(15)? + ticks(17)?) / TICKS_A_SECOND,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_watched_with_what_it_starts() {
        let dir = std::env::temp_dir().join(format!("mailmove-usage-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let log = dir.join("log");
        let limit = Duration::from_secs(60);
        let mut shell = Command::new("sh");
        let usage = run(shell.args(["-c", "sh -c 'sleep 0.2; :'; :"]), &log, limit).unwrap();
        assert!(usage.seconds >= 0.2, "{usage:?}");
        if Path::new("/proc/self/status").exists() {
            assert!(usage.peak_bytes > 100_000, "{usage:?}");
        }
        let mut fails = Command::new("sh");
        let error = run(fails.args(["-c", "echo because; exit 3"]), &log, limit).unwrap_err();
        assert!(error.to_string().contains("because"), "{error}");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn children_are_found() {
        let mut child = Command::new("sleep").arg("30").spawn().unwrap();
        let found = family(std::process::id()).contains(&child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(
            found
                || !Path::new("/proc/self/task/1").exists()
                    && !Path::new("/proc/self/stat").exists()
        );
    }
}
