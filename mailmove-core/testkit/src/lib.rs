//! What tests of mail adapters need: mail of all sorts, a strict mailbox in memory, and the suite
//! that every adapter passes.
//!
//! - [`conformance`]: the suite;
//! - [`corpus`]: realistic and ugly mail, the same for the same seed;
//! - [`mailbox`]: what a mail server keeps, without a protocol;
//! - [`clock`]: a clock that a test sets;
//! - [`memory`]: that as a source and a destination, strict, and with faults to arm;
//! - [`proxy`]: a TCP proxy that breaks connections at a chosen byte;
//! - [`snapshot`]: what a mailbox holds, and how two differ.

pub mod clock;
pub mod conformance;
pub mod corpus;
pub mod mailbox;
pub mod memory;
pub mod proxy;
pub mod snapshot;
