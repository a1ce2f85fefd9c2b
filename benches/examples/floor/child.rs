//! Runs the program.

use std::process::Command;
use std::time::Duration;

use mailmove_benches::measure::Result;
use mailmove_benches::measure::usage::{self, Usage};

use crate::options::Options;

/// A migration that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(3600);

/// Migrates into `user`'s mailbox with an empty state directory.
pub(crate) fn run(options: &Options, user: &str) -> Result<Usage> {
    let state = tempfile::tempdir()?;
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
        .env("MAILMOVE_TO_PASSWORD", &options.to.password);
    usage::run(&mut command, &state.path().join("output"), LIMIT)
}
