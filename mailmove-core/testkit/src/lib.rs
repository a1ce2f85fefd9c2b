//! Work in progress.

pub mod mailbox;
