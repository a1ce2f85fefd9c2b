//! One extension after the other: used where it is offered, done without where it is not.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot be set up fails, or says that there is no server"
)]

mod append_limit;
mod binary;
mod compress;
mod esearch;
mod limits;
mod matrix;
mod metadata;
mod quota;
mod rights;
mod servers;
mod support;
mod utf8;
