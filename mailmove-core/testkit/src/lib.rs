//! What tests of mail adapters need: mail of all sorts, a strict mailbox in memory, and the suite
//! that every adapter passes.
//!
//! - [`corpus`]: realistic and ugly mail, the same for the same seed;
//! - [`mailbox`]: what a mail server keeps, without a protocol;

pub mod corpus;
pub mod mailbox;
