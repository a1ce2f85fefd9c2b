//! What takes too long for each change: every interrupt point, many kills, a long soak.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::servers::{self, Lifetime, Servers};
use crate::{Result, process};

/// Runs `cargo xtask interrupts`.
pub(crate) fn interrupts(args: &[&str]) -> Result<()> {
    let only = match args {
        [] => "everywhere_",
        ["--only", name] => name,
        _ => return Err(unknown("interrupts", args)),
    };
    let mut command = process::cargo();
    command.args(["test", "-p", "mailmove-imap", "-p", "mailmove-ews"]);
    command.args(["-p", "mailmove-graph", "--test", "interrupt", "--"]);
    // One server after the other: each test has as many attempts at once as are of use.
    command.args([only, "--nocapture", "--test-threads=1"]);
    command.env("MAILMOVE_INTERRUPT", "all");
    on_servers(command, "interrupts: ")
}

/// Runs `cargo xtask kills`.
pub(crate) fn kills(args: &[&str]) -> Result<()> {
    let migrations: u32 = match args {
        [] => 200,
        ["--migrations", number] => number.parse()?,
        _ => return Err(unknown("kills", args)),
    };
    let mut command = process::cargo();
    command.args(["test", "-p", "mailmove-cli", "--test", "kills", "--"]);
    command.args(["--nocapture", "--test-threads=1"]);
    command.env("MAILMOVE_KILLS", migrations.to_string());
    command.env(
        "MAILMOVE_KILLS_DOVECOT",
        (migrations / 5).max(1).to_string(),
    );
    on_servers(command, "kills: ")
}

/// Runs `cargo xtask soak`.
pub(crate) fn soak(args: &[&str]) -> Result<()> {
    let (mut messages, mut seed) = ("10000", "1");
    let mut rest = args;
    while let [name, value, more @ ..] = rest {
        match (*name, value.parse::<u64>()) {
            ("--messages", Ok(_)) => messages = value,
            ("--seed", Ok(_)) => seed = value,
            _ => return Err(unknown("soak", args)),
        }
        rest = more;
    }
    let mut command = process::cargo();
    command.args(["test", "-p", "mailmove-imap", "--test", "soak", "--"]);
    command.args(["--nocapture", "a_fault_every_few_seconds"]);
    command.env("MAILMOVE_SOAK", messages);
    command.env("MAILMOVE_SOAK_SEED", seed);
    show(command, "soak: ")
}

fn unknown(task: &str, args: &[&str]) -> Box<dyn std::error::Error> {
    format!("unknown: {task} {}\n\n{}", args.join(" "), crate::HELP).into()
}

/// Runs tests that need all servers.
fn on_servers(mut command: Command, telling: &str) -> Result<()> {
    let tools = servers::fetch()?;
    let run = tools.dir.join("proof");
    let running = Servers::start(&tools, &run, servers::QUOTA, Lifetime::Guarded)?;
    println!("{}", tools.versions());
    command.envs(servers::environment(&tools.dir, &run)?);
    command.env("MAILMOVE_REQUIRE", "dovecot,cyrus");
    let shown = show(command, telling);
    drop(running);
    shown
}

/// Shows what tests say, and at the end once more the lines that are the result.
fn show(mut command: Command, telling: &str) -> Result<()> {
    let start = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut told = Vec::new();
    for line in child
        .stdout
        .take()
        .map(BufReader::new)
        .into_iter()
        .flat_map(BufReader::lines)
    {
        let line = line?;
        println!("{line}");
        told.extend(line.strip_prefix(telling).map(str::to_owned));
    }
    let status = child.wait()?;
    println!("\nafter {} s:", start.elapsed().as_secs());
    for line in told {
        println!("  {line}");
    }
    match status.success() {
        true => Ok(()),
        false => Err("it does not hold; see above".into()),
    }
}
