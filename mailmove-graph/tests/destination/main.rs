//! What the destination does, seen from the server.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod attachments;
mod classes;
mod drafts;
mod fidelity;
mod imports;
mod looks;
mod outcomes;
mod places;
mod rests;
mod support;
