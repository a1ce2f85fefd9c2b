//! `cargo xtask pairs`: much mail through all pairs of servers.

use crate::servers::{self, Lifetime, Servers};
use crate::{Result, corpora, process};

/// Messages per pair, unless asked otherwise.
const MESSAGES: &str = "10000";

/// More than there are: all of them.
const ALL: &str = "1000000";

/// Runs the tests of the program's pairs, optimised, and shows what each pair says.
pub(crate) fn command(args: &[&str]) -> Result<()> {
    let messages = match args {
        [] => MESSAGES,
        ["--messages", number] if number.parse::<u32>().is_ok() => number,
        _ => return Err(format!("unknown: pairs {}\n\n{}", args.join(" "), crate::HELP).into()),
    };
    let mails = corpora::fetch()?;
    let tools = servers::fetch()?;
    let run = tools.dir.join("pairs");
    let running = Servers::start(&tools, &run, servers::QUOTA, Lifetime::Guarded)?;
    println!("{}, {messages} messages for each pair", tools.versions());
    let mut command = process::cargo();
    command.args(["test", "--release", "-p", "mailmove-cli", "--test", "pairs"]);
    command.args(["--", "--nocapture", "--test-threads=2", "_to_"]);
    command.envs(servers::environment(&tools.dir, &run)?);
    command.env("MAILMOVE_TEST_CORPORA", mails);
    command.env("MAILMOVE_REQUIRE", "dovecot,cyrus,courier,corpora");
    command.env("MAILMOVE_PAIR_MESSAGES", messages);
    command.env("MAILMOVE_PAIR_MAILS", ALL);
    let status = command.status()?;
    drop(running);
    match status.success() {
        true => Ok(()),
        false => Err("not everything arrived or was explained".into()),
    }
}
