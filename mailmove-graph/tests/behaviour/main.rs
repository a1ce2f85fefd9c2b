//! How the adapter takes what Microsoft 365, and what stands in front of it, is known to do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, helpers included"
)]

mod access;
mod contents;
mod edges;
mod exports;
mod known;
mod limits;
mod listings;
mod odd;
mod support;
