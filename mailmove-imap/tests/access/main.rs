//! Ways in: OAuth tokens and their renewal, administrators who open other people's mailboxes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, helpers included"
)]

mod admins;
mod oauth;
mod support;
