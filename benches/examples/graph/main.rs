//! How well the places that Microsoft 365 gives to one mailbox are used, how many requests a message takes by
//! which way, and what a very large one costs in memory: all on the embedded Graph server.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measuring tool talks to the person who started it"
)]

mod large;
mod limits;
mod requests;
mod sides;

use std::process::ExitCode;

const HELP: &str = "\
Measures migrations from and to the embedded Graph server.

  graph places [options]       how many of the places of a mailbox are taken, both ways
      --seconds N              about so long each way [30]
      --places N               requests that the server takes at once [4]
      --latency MS             of each request [50]
  graph budget                 how much of 150 MB in five minutes is sent, by a clock that jumps
  graph requests [options]     requests for each message, by route
      --messages N             [500]
  graph large [options]        peak memory with one large attachment, both ways
      --mib N                  [100]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["places", rest @ ..] => limits::places(rest),
        ["budget"] => limits::budget(),
        ["requests", rest @ ..] => requests::command(rest),
        ["large", rest @ ..] => large::command(rest),
        ["serve", mib] => large::serve(mib),
        _ => {
            println!("{HELP}");
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("graph: {error}");
            ExitCode::FAILURE
        }
    }
}
