//! The program between real Dovecots: what a user sees, checked by a client of its own.
//!
//! The servers are started by `cargo xtask test` (or `cargo xtask servers start`). Without them the
//! tests say so and pass, unless `MAILMOVE_REQUIRE` names `dovecot`.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is how a test fails"
)]

mod admins;
mod adoption;
#[allow(
    dead_code,
    reason = "shared with the conformance suite, which needs all of it"
)]
#[path = "../../../../mailmove-imap/tests/conformance/client.rs"]
mod client;
mod errors;
mod extensions;
mod kill;
mod passes;
mod world;
