//! Measures a migration against the floor: a replay of the same mail by raw sockets, between the
//! same servers, in the same run.
//!
//! Time alone says little on a machine that does other things too. So each round runs both, one
//! right after the other, in turned order; what counts is the ratio of the medians.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measuring tool talks to the person who started it"
)]

mod child;
mod options;
mod table;

use std::process::ExitCode;

use mailmove_benches::measure::Result;
use mailmove_benches::measure::raw::{Connection, Folder};
use mailmove_benches::measure::replay::{self, Replay};
use options::Options;
use table::Round;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.is_empty() || arguments.iter().any(|argument| argument == "--help") {
        println!("{}", options::HELP);
        return ExitCode::SUCCESS;
    }
    match Options::parse(&arguments).and_then(|options| measure(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<()> {
    let mut source = options.from.connect(&options.from.user)?;
    let folders = source.folders()?;
    let messages: u64 = folders.iter().map(|folder| folder.messages).sum();
    if messages == 0 {
        return Err("the source is empty: nothing can be measured".into());
    }
    // Whoever comes first would otherwise pay for the disk.
    let bytes = replay::read_all(&mut source, &folders)?;
    drop(source);
    println!(
        "{messages} messages, {:.1} MB, {} folders; {} connections to each side, batches of {}",
        bytes as f64 / 1e6,
        folders.len(),
        options.connections,
        options.batch
    );
    let mut rounds = Vec::new();
    for number in 1..=options.rounds {
        let round = pair(options, &folders, number)?;
        println!("{}", table::line(number, &round));
        rounds.push(round);
    }
    println!("{}", table::summary(&rounds, messages, bytes));
    Ok(())
}

/// Both, one after the other; which is first alternates.
fn pair(options: &Options, folders: &[Folder], number: u32) -> Result<Round> {
    let floor = || {
        let user = format!("{}-{}", options.to.user, 2 * number - 1);
        check_empty(options, &user)?;
        let replay = Replay {
            from: options.from.side(&options.from.user),
            to: options.to.side(&user),
            connections: options.connections,
            batch: options.batch,
            spread: false,
        };
        let seconds = replay::run(&replay, folders)?;
        check_arrived(options, folders, &user, "the replay")?;
        Result::Ok(seconds)
    };
    let program = || {
        let user = format!("{}-{}", options.to.user, 2 * number);
        check_empty(options, &user)?;
        let usage = child::run(options, &user)?;
        check_arrived(options, folders, &user, "the program")?;
        Result::Ok(usage)
    };
    Ok(if number % 2 == 1 {
        let floor = floor()?;
        Round {
            floor,
            program: program()?,
        }
    } else {
        let program = program()?;
        Round {
            floor: floor()?,
            program,
        }
    })
}

fn check_empty(options: &Options, user: &str) -> Result<()> {
    let there = total(&options.to.connect(user)?.folders()?);
    if there == 0 {
        return Ok(());
    }
    Err(format!("{user} has {there} messages already at the destination; name another").into())
}

/// A copy that is not whole is no measurement.
fn check_arrived(options: &Options, folders: &[Folder], user: &str, who: &str) -> Result<()> {
    let there = total(&options.to.connect(user)?.folders()?);
    let expected = total(folders);
    if there == expected {
        return Ok(());
    }
    Err(format!("{who} left {there} messages with {user} instead of {expected}").into())
}

fn total(folders: &[Folder]) -> u64 {
    folders.iter().map(|folder| folder.messages).sum()
}

impl options::Side {
    fn side<'a>(&'a self, user: &'a str) -> replay::Side<'a> {
        replay::Side {
            host: &self.host,
            port: self.port,
            user,
            password: &self.password,
        }
    }

    fn connect(&self, user: &str) -> Result<Connection> {
        self.side(user).connect()
    }
}
