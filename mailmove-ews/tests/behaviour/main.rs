//! How the adapter takes what Exchange, and what stands in front of it, is known to do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a panic is how a test fails, helpers included"
)]

mod access;
mod apart;
mod bare;
mod discovery;
mod exports;
mod faults;
mod fidelity;
mod find;
mod limits;
mod passes;
mod recipe;
mod room;
mod support;
mod tokens;
