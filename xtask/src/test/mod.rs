//! `cargo xtask test`: everything that must hold before a change is kept.

mod steps;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::servers::Servers;
use crate::{Result, process, workspace};

/// What a step reports when nothing is wrong.
pub(crate) enum Outcome {
    /// It holds; the text says what was looked at.
    Passed(String),
    /// It could not be looked at, for this reason.
    Skipped(String),
}

type Check = fn(&mut Context) -> Result<Outcome>;

struct Step {
    name: &'static str,
    run: Check,
    /// Whether `--quick` runs it too.
    quick: bool,
}

const fn step(name: &'static str, quick: bool, run: Check) -> Step {
    Step { name, run, quick }
}

/// In the order in which they run: what fails fast comes first.
const STEPS: [Step; 22] = [
    step("fmt", true, steps::fmt),
    step("paths", true, crate::checks::paths::check),
    step("clippy", true, steps::clippy),
    step("clippy-core", true, steps::clippy_core),
    step("clippy-core-bare", true, steps::clippy_core_bare),
    step("clippy-testkit", true, steps::clippy_testkit),
    step("clippy-exchange", true, steps::clippy_exchange),
    step("clippy-imap", true, steps::clippy_imap),
    step("clippy-ews", true, steps::clippy_ews),
    step("clippy-graph", true, steps::clippy_graph),
    step("msrv", true, crate::checks::msrv::check),
    step("dependencies", true, crate::checks::dependencies::check),
    step("licences", true, crate::checks::licences::check),
    step("build", true, steps::build),
    step("servers", false, steps::servers),
    step("corpora", false, steps::corpora),
    step("tests", true, steps::tests),
    step("peers", false, steps::peers),
    step("doc-tests", true, steps::doc_tests),
    step("docs", true, steps::docs),
    step("fuzz", false, steps::fuzz),
    step("package", false, steps::package),
];

/// What steps share.
pub(crate) struct Context {
    /// A server or client that is missing is a failure.
    require: bool,
    servers: Option<Servers>,
    /// Variables for the tests.
    environment: Vec<(&'static str, PathBuf)>,
    logs: PathBuf,
}

impl Context {
    /// Runs a command to its end with its output in a file; returns that output, or fails with it.
    pub(crate) fn run(&self, name: &str, command: &mut Command) -> Result<String> {
        let file = self.logs.join(format!("{name}.log"));
        let log = std::fs::File::create(&file)?;
        let status = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()
            .map_err(|error| format!("cannot run `{}`: {error}", process::line(command)))?;
        let output = String::from_utf8_lossy(&std::fs::read(&file)?).into_owned();
        if status.success() {
            return Ok(output);
        }
        Err(format!(
            "`{}` failed ({status}; all of its output is in {}):\n{}",
            process::line(command),
            file.display(),
            telling(&output)
        )
        .into())
    }
}

/// Output without the lines that say that something went well.
fn telling(output: &str) -> String {
    let well = |line: &&str| {
        let word = line.split_whitespace().next().unwrap_or_default();
        let progress = [
            "Checking",
            "Compiling",
            "Documenting",
            "Running",
            "Downloaded",
            "Fresh",
        ];
        (line.starts_with("  ") && progress.contains(&word))
            || (line.starts_with("test ") && line.ends_with("... ok"))
            || *line == "running 0 tests"
            || line.starts_with("test result: ok. 0 passed; 0 failed; 0 ignored")
    };
    let lines: Vec<&str> = output.lines().filter(|line| !well(line)).collect();
    lines.join("\n")
}

struct Options {
    quick: bool,
    require: bool,
    only: Vec<String>,
}

fn options(args: &[&str]) -> Result<Options> {
    let mut options = Options {
        quick: false,
        require: false,
        only: Vec::new(),
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match *arg {
            "--quick" => options.quick = true,
            "--require-servers" => options.require = true,
            "--only" => {
                let name = args.next().copied().unwrap_or_default();
                if !STEPS.iter().any(|step| step.name == name) {
                    let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
                    return Err(format!("--only takes one of: {}", names.join(" ")).into());
                }
                options.only.push(name.to_owned());
            }
            _ => return Err(format!("unknown: test {arg}\n\n{}", crate::HELP).into()),
        }
    }
    Ok(options)
}

impl Options {
    fn wants(&self, step: &Step) -> bool {
        if self.only.is_empty() {
            step.quick || !self.quick
        } else {
            self.names(step)
        }
    }

    fn names(&self, step: &Step) -> bool {
        let named = |name: &str| self.only.iter().any(|only| only == name);
        // Tests without servers would skip the most of what they are for.
        let needed = ["servers", "corpora"].contains(&step.name);
        named(step.name) || (needed && !self.quick && named("tests"))
    }
}

/// Runs `cargo xtask test …`.
pub(crate) fn command(args: &[&str]) -> Result<()> {
    let options = options(args)?;
    let logs = workspace::target()?.join("xtask");
    std::fs::create_dir_all(&logs)?;
    let mut context = Context {
        require: options.require,
        servers: None,
        environment: Vec::new(),
        logs,
    };
    let mut table = Vec::new();
    for step in STEPS.iter().filter(|step| options.wants(step)) {
        println!("{:>17} …", step.name);
        let start = Instant::now();
        let outcome = (step.run)(&mut context);
        if let Err(error) = &outcome {
            println!("{error}\n{:>17} FAILED", step.name);
        }
        table.push((step.name, start.elapsed(), outcome));
    }
    drop(context.servers.take());
    summary(&table)
}

fn summary(table: &[(&str, Duration, Result<Outcome>)]) -> Result<()> {
    println!();
    let mut failed = Vec::new();
    for (name, time, outcome) in table {
        let (word, note) = match outcome {
            Ok(Outcome::Passed(note)) => ("ok", note.as_str()),
            Ok(Outcome::Skipped(reason)) => ("SKIPPED", reason.as_str()),
            Err(_) => {
                failed.push(*name);
                ("FAILED", "see above")
            }
        };
        println!("{name:>17}  {:7.1} s  {word:8}{note}", time.as_secs_f64());
    }
    let total: Duration = table.iter().map(|(_, time, _)| *time).sum();
    println!("{:>17}  {:7.1} s", "total", total.as_secs_f64());
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("failed: {}", failed.join(", ")).into())
}

#[cfg(test)]
mod tests {
    use super::telling;

    #[test]
    fn what_went_well_is_left_out() {
        let output =
            "   Compiling tokio v1\nerror: no such thing\ntest a ... ok\ntest b ... FAILED\n";
        assert_eq!(telling(output), "error: no such thing\ntest b ... FAILED");
    }
}
