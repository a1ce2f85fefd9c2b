//! One extension after the other: used where it is offered, done without where it is not.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up fails"
)]

mod append_limit;
mod binary;
mod compress;
mod esearch;
mod matrix;
mod quota;
mod rights;
mod support;
mod utf8;
