//! Development tasks of this repository: `cargo xtask help` lists them.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a development tool talks to the person who started it"
)]

mod checks;
mod contracts;
mod corpora;
mod fuzz;
mod mutants;
mod oracles;
mod pairs;
mod peers;
mod process;
mod proof;
mod sabotage;
mod servers;
mod test;
mod workspace;

use std::process::ExitCode;

/// An error with its whole explanation in the text; nothing here is handled by kind.
pub(crate) type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const HELP: &str = "\
Development tasks of mailmove.

  cargo xtask test                 format, lints, tests on real servers, docs, packages
      --quick                      without servers and packages
      --only STEP                  this step only; may be repeated
      --require-servers            a server that cannot be had is a failure, not a skip

  cargo xtask servers fetch        unpack the servers and independent clients under target/
  cargo xtask servers start        start all instances; they stay until `stop`
      --quota SIZE                 storage of users named quota* (default 1M)
  cargo xtask servers env          print what the tests read, as shell exports
  cargo xtask servers stop         stop them and remove their mail

  cargo xtask corpora              fetch ugly real mail from registries, below target/
  cargo xtask pairs                much mail between all pairs of Dovecot, Cyrus and Courier
      --messages NUMBER            of made-up messages per pair (default 10000)

  cargo xtask peers                mailmove beside mbsync, doveadm backup, imapsync and raw sockets: time, memory,
                                   what changed; see benches/README.md for its options
  cargo xtask growth               time, memory and state from 1,000 to 1,000,000 messages and with 1,000 folders
  cargo xtask counts               round trips, bytes, system calls and instructions of one migration
  cargo xtask contracts DIR        hold what the tests of EWS and Graph say against Microsoft's schemas, which are in DIR
  cargo xtask oracles              clients that others wrote, against the test servers of EWS and Graph
      fetch                        only get them
      --debian                     by Debian's pip and Java, even if the machine has its own
      --only NAME                  tests whose name holds this

  cargo xtask sabotage [FAULT…]    plant faults, one at a time: a named test must notice each
  cargo xtask interrupts           interrupt a migration at every point of the wire, on the test servers,
                                   Dovecot and Cyrus; prints the matrix
      --only NAME                  tests whose name holds this
  cargo xtask kills                kill -9 the program at least three times in each of many migrations
      --migrations NUMBER          between test servers (default 200); a fifth as many between Dovecots
  cargo xtask soak                 a migration with a fault every few seconds, on both sides
      --messages NUMBER            default 10000
      --seed NUMBER                replays the faults of a run

  cargo xtask mutants [FILE…]      change ledger and identity, one expression at a time: a test must
                                   notice each; takes hours. FILE: part of a name
      -- ARGUMENT…                 for cargo-mutants, such as --list or --re PATTERN

  cargo xtask fuzz [TARGET…]       each fuzz target under libFuzzer; needs a nightly compiler
      --runs NUMBER                executions of each (default 10000000), or
      --minutes NUMBER             this long (default 15), whichever comes first
      --address                    with the address sanitizer
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["test", rest @ ..] => test::command(rest),
        ["servers", rest @ ..] => servers::command(rest),
        ["fuzz", rest @ ..] => fuzz::command(rest),
        ["mutants", rest @ ..] => mutants::command(rest),
        ["pairs", rest @ ..] => pairs::command(rest),
        ["sabotage", rest @ ..] => sabotage::command(rest),
        ["interrupts", rest @ ..] => proof::interrupts(rest),
        ["kills", rest @ ..] => proof::kills(rest),
        ["soak", rest @ ..] => proof::soak(rest),
        ["peers", rest @ ..] => peers::command(rest),
        ["growth", rest @ ..] => peers::growth(rest),
        ["counts", rest @ ..] => peers::counts(rest),
        ["contracts", rest @ ..] => contracts::command(rest),
        ["oracles", rest @ ..] => oracles::command(rest),
        ["corpora"] => corpora::fetch().map(|dir| println!("The mails are in {}", dir.display())),
        ["help" | "--help" | "-h"] | [] => {
            print!("{HELP}");
            Ok(())
        }
        _ => Err(format!("unknown task `{}`\n\n{HELP}", args.join(" ")).into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
