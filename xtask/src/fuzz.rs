//! `cargo xtask fuzz`: each target under libFuzzer, with what it needs and a table at the end.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::{Result, process, workspace};

/// What is installed where there is none.
const CARGO_FUZZ: &str = "0.13.2";

/// Enough for one target, whichever comes first.
const RUNS: &str = "10000000";
const MINUTES: u64 = 15;

/// Longer inputs find nothing that shorter ones do not, only later.
const MAX_LEN: &str = "4096";

struct Options {
    runs: String,
    minutes: u64,
    sanitizer: &'static str,
    targets: Vec<String>,
}

/// How one target ended.
struct Ran {
    executions: u64,
    seconds: u64,
    /// Edges of the code that inputs reached.
    coverage: u64,
    failed: Option<String>,
}

/// Runs `cargo xtask fuzz …`.
pub(crate) fn command(args: &[&str]) -> Result<()> {
    let options = options(args, &all()?)?;
    let tools = cargo_fuzz()?;
    seeds()?;
    let logs = workspace::target()?.join("xtask");
    std::fs::create_dir_all(&logs)?;
    // All at once, so that a target's minutes are its own.
    println!("building the targets");
    let mut build = nightly(&tools)?;
    build.args(["fuzz", "build", "--sanitizer", options.sanitizer]);
    process::capture(&mut build)?;
    let programs = programs()?;
    let mut table = Vec::new();
    for target in &options.targets {
        println!("{target} …");
        let ran = run(&programs, target, &options, &logs)?;
        if let Some(why) = &ran.failed {
            println!("{why}");
        }
        table.push((target.as_str(), ran));
    }
    summary(&table)
}

/// The targets there are.
fn all() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(workspace::root()?.join("fuzz/fuzz_targets"))? {
        let file = entry?.path();
        names.extend(
            file.file_stem()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}

fn options(args: &[&str], all: &[String]) -> Result<Options> {
    let mut options = Options {
        runs: RUNS.to_owned(),
        minutes: MINUTES,
        // Code of ours has no `unsafe`, and runs twice as often without.
        sanitizer: "none",
        targets: Vec::new(),
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut number = || {
            let number = args.next().and_then(|text| text.parse::<u64>().ok());
            number
                .filter(|number| *number > 0)
                .ok_or(format!("{arg} takes a number"))
        };
        match *arg {
            "--runs" => options.runs = number()?.to_string(),
            "--minutes" => options.minutes = number()?,
            "--address" => options.sanitizer = "address",
            name if all.iter().any(|target| target == name) => {
                options.targets.push(name.to_owned());
            }
            _ => return Err(format!("no target `{arg}`, only: {}", all.join(" ")).into()),
        }
    }
    if options.targets.is_empty() {
        options.targets = all.to_vec();
    }
    Ok(options)
}

/// The nightly toolchain's cargo, which finds cargo-fuzz.
fn nightly(tools: &Path) -> Result<Command> {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]);
    process::as_from_the_shell(&mut command);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = [tools.to_path_buf()]
        .into_iter()
        .chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(places)?);
    command.current_dir(workspace::root()?);
    Ok(command)
}

/// Sees that there is a nightly compiler and cargo-fuzz; returns where programs of ours are.
fn cargo_fuzz() -> Result<PathBuf> {
    let tools = workspace::target()?.join("tools");
    let bin = tools.join("bin");
    process::capture(nightly(&bin)?.arg("--version")).map_err(|error| {
        format!("libFuzzer needs a nightly compiler (`rustup toolchain install nightly`): {error}")
    })?;
    if process::capture(nightly(&bin)?.args(["fuzz", "--version"])).is_err() {
        println!("installing cargo-fuzz {CARGO_FUZZ} in {}", tools.display());
        let mut install = process::cargo();
        install.args(["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ]);
        process::capture(install.arg("--root").arg(&tools))?;
    }
    Ok(bin)
}

/// Writes the seeds to where cargo-fuzz looks for them.
fn seeds() -> Result<()> {
    let mut command = process::cargo();
    command.args([
        "run",
        "--locked",
        "--no-default-features",
        "--manifest-path",
    ]);
    command.arg(workspace::root()?.join("fuzz/Cargo.toml"));
    command
        .args(["--example", "seeds"])
        .env("CARGO_TARGET_DIR", workspace::target()?);
    process::capture(&mut command).map(drop)
}

/// Where cargo-fuzz puts the programs: below the name of the compiler's own platform.
fn programs() -> Result<PathBuf> {
    let said = process::capture(Command::new("rustup").args(["run", "nightly", "rustc", "-vV"]))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("the compiler does not tell its platform")?;
    let target = workspace::root()?.join("fuzz/target");
    Ok(target.join(host).join("release"))
}

/// Runs a program as built, whatever is done to the sources meanwhile.
fn run(programs: &Path, target: &str, options: &Options, logs: &Path) -> Result<Ran> {
    let fuzz = workspace::root()?.join("fuzz");
    let (corpus, artifacts) = (fuzz.join("corpus"), fuzz.join("artifacts").join(target));
    std::fs::create_dir_all(&artifacts)?;
    let file = logs.join(format!("fuzz-{target}.log"));
    let log = std::fs::File::create(&file)?;
    let mut command = Command::new(programs.join(target));
    command.arg(corpus.join(target)).current_dir(&fuzz);
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.arg(format!("-runs={}", options.runs));
    command.arg(format!("-max_total_time={}", options.minutes * 60));
    command.arg(format!("-max_len={MAX_LEN}"));
    command.args(["-timeout=10", "-print_final_stats=1"]);
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let start = Instant::now();
    let status = command.status()?;
    let output = String::from_utf8_lossy(&std::fs::read(&file)?).into_owned();
    let failed = (!status.success()).then(|| {
        let last: Vec<&str> = output.lines().rev().take(30).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        format!("{}\n(all of it is in {})", last.join("\n"), file.display())
    });
    Ok(Ran {
        executions: number_after(&output, "stat::number_of_executed_units:"),
        seconds: start.elapsed().as_secs(),
        coverage: number_after(&output, "cov:"),
        failed,
    })
}

/// The number that follows a word where it stands last.
fn number_after(output: &str, word: &str) -> u64 {
    let last = output.rsplit_once(word).map_or("", |(_, rest)| rest);
    let number = last.split_whitespace().next().unwrap_or_default();
    number.parse().unwrap_or(0)
}

fn summary(table: &[(&str, Ran)]) -> Result<()> {
    println!("\n| Target | Executions | Minutes | Edges | |\n|---|---:|---:|---:|---|");
    let mut failed = Vec::new();
    for (target, ran) in table {
        let minutes = std::time::Duration::from_secs(ran.seconds).as_secs_f64() / 60.0;
        let end = if ran.failed.is_some() { "FOUND" } else { "" };
        println!(
            "| `{target}` | {} | {minutes:.1} | {} | {end} |",
            grouped(ran.executions),
            ran.coverage
        );
        failed.extend(ran.failed.as_ref().map(|_| *target));
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("found something, see fuzz/artifacts: {}", failed.join(", ")).into())
}

/// `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_last_line_that_has_them() {
        let output = "#1 INITED cov: 5 ft: 6\n#9\tDONE   cov: 37 ft: 6 corp: 3/4b\n\
                      stat::number_of_executed_units: 1200\n";
        assert_eq!(number_after(output, "cov:"), 37);
        assert_eq!(
            number_after(output, "stat::number_of_executed_units:"),
            1200
        );
        assert_eq!(number_after(output, "none:"), 0);
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(999), "999");
    }

    #[test]
    fn targets_are_chosen_by_name() {
        let all = ["a".to_owned(), "b".to_owned()];
        let chosen = options(&["--minutes", "2", "b"], &all).unwrap();
        assert_eq!((chosen.minutes, chosen.targets), (2, vec!["b".to_owned()]));
        assert_eq!(options(&[], &all).unwrap().targets, all);
        assert!(options(&["c"], &all).is_err());
        assert!(options(&["--runs", "x"], &all).is_err());
    }
}
