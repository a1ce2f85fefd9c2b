//! The engine against the strict in-memory mailbox: promises and ledger rules, one test each.
//! ARCHITECTURE.md names these tests.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a panic is how a test fails"
)]

mod adoption;
mod annotations;
mod claims;
mod closing;
mod daily;
mod explain;
mod found;
mod interrupt;
mod labels;
mod many;
mod mending;
mod orphans;
mod outcomes;
mod passes;
mod refusal;
mod relaxed;
mod retry;
mod scheduler;
mod set_back;
mod sharing;
mod simulate;
mod world;
