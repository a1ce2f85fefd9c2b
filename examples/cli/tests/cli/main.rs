//! The program as its users see it: arguments in, exit code and output out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a panic is how a test fails"
)]

mod across;
mod errors;
mod exchange;
mod input;
#[cfg(unix)]
mod interrupt;
mod migrate;
#[cfg(unix)]
mod oauth;
mod repair;
mod state;
mod support;
mod terminal;
mod undelivered;
