//! What must hold for any bytes at all, one module for each fuzz target.
//!
//! Each has `check`, which panics when it does not hold, and `seeds`, inputs from which a fuzzer gets
//! far. The targets in `fuzz_targets/` are nothing but calls of `check`, so that `cargo test` can
//! run the same code over the seeds with any compiler.
#![forbid(unsafe_code)]

pub mod checkpoint_records;
pub mod core_texts;
pub mod ews_login;
pub mod ews_reply;
mod feed;
pub mod folder_map;
pub mod graph_draft;
pub mod graph_session;
pub mod header_digest;
pub mod imap_command;
pub mod imap_compressed;
pub mod imap_fetch;
pub mod imap_frames;
pub mod imap_response;
pub mod imap_session;
pub mod imap_texts;
pub mod meaning;
pub mod mime_round_trip;
pub mod modified_utf7;
mod program;
pub mod repair;
mod server;
pub mod state_file;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, as of the program and of the directory of its corpus.
    pub name: &'static str,
    /// Panics if something does not hold for these bytes.
    pub check: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! targets {
    ($($name:ident)*) => {
        /// All of them.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            check: $name::check,
            seeds: $name::seeds,
        }),*];
    };
}

targets! {
    checkpoint_records core_texts ews_login ews_reply folder_map graph_draft graph_session header_digest imap_command
    imap_compressed imap_fetch imap_frames imap_response imap_session imap_texts meaning mime_round_trip
    modified_utf7 repair state_file
}
