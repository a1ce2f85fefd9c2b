//! Servers in disguise: what is done otherwise for whom, and what their words mean to the engine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, helpers included"
)]

#[path = "../destination/support.rs"]
#[allow(dead_code, reason = "shared with the destination's tests")]
mod support;

mod shared;
mod tables;
mod throttling;
mod world;
