//! The IMAP destination against the test server: what it stores, what it says, what it sends.

mod append;
mod faults;
mod folders;
mod look;
mod support;
mod update;
