//! The IMAP destination against the test server: what it stores, what it says, what it sends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, helpers included"
)]

mod append;
mod faults;
mod folders;
mod keywords;
mod look;
mod support;
mod update;
