//! The program `mailmove`: moves a mailbox from one mail server to another.

mod adapter;
mod args;
mod commands;
mod demo;
mod exit;
mod explain;
mod failure;
mod interrupt;
mod job;
mod meter;
mod oauth;
mod output;
mod progress;
mod report;
mod secrets;
mod state;
mod table;
mod url;
mod value;

use std::{process::ExitCode, time::Duration};

use clap::Parser as _;
use mailmove_core::{Error, ErrorKind};

use crate::{
    args::{Cli, Command},
    exit::Exit,
    failure::Failure,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = match &cli.command {
        Command::Migrate(args) | Command::Plan(args) | Command::Retry(args) => args.output.json,
        Command::Explain(args) => args.output.json,
        Command::Verify(args) => args.output.json,
        Command::Demo(args) => args.json,
    };
    run(&cli.command)
        .unwrap_or_else(|failure| {
            failure.show(json);
            Exit::of_error(&failure.error)
        })
        .into()
}

fn run(command: &Command) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Error::new(ErrorKind::Io, "cannot start the program's threads").with_source(error)
        })?;
    let done = runtime.block_on(async {
        match command {
            Command::Migrate(args) => commands::migrate(args).await,
            Command::Plan(args) => commands::plan(args).await,
            Command::Retry(args) => commands::retry(args).await,
            Command::Explain(args) => explain::explain(args).await,
            Command::Verify(args) => commands::verify(args).await,
            Command::Demo(args) => demo::demo(args).await,
        }
    });
    // A name look-up that hangs in the system's resolver must not keep the program.
    runtime.shutdown_timeout(Duration::from_secs(2));
    done
}
