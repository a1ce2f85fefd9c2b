//! The engine against the strict in-memory mailbox: promises and ledger rules, one test each.
//! ARCHITECTURE.md names these tests.

mod adoption;
mod interrupt;
mod outcomes;
mod passes;
mod world;
