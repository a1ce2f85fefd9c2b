//! What many mailboxes in one process, and single messages, cost: memory, fairness, allocations.
//!
//! The embedded server runs in a process of its own, so that what is counted here is mailmove's alone.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measuring tool talks to the person who started it"
)]

mod allocations;
mod many;
mod served;

use std::alloc::System;
use std::process::ExitCode;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts what is asked of the system's allocator.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const HELP: &str = "\
Measures many mailboxes in one process, and allocations.

  load many [options]          mailboxes moved at once, from and to the embedded server
      --mailboxes N            [500]
      --messages N             in each [200]
      --bytes N                of each message [4096]
      --connections N          of all together; no fewer than two for each mailbox [1000]
      --memory MIB             for bodies, of all together [64]
  load allocations [options]   allocations for each message
      --messages N             [10000]
      --bytes N                of each message [2048]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["many", rest @ ..] => many::command(rest),
        ["allocations", rest @ ..] => allocations::command(rest),
        ["serve", mailboxes, messages, bytes] => served::serve(mailboxes, messages, bytes),
        _ => {
            println!("{HELP}");
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}
