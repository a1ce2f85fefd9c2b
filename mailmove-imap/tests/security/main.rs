//! Attacks: what a hostile server, or whoever stands in between, does to get more than it should. The
//! table in SECURITY.md names each.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod floods;
mod hostile;
mod injection;
mod names;
mod referrals;
mod secrets;
