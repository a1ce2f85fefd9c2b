//! What the ledger knows of one message.

use serde::Serialize;

use crate::{
    checkpoint::ItemState,
    model::{Alteration, FolderPath},
};

/// What the ledger knows of one message.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// Where it is, or was, at the source.
    pub source: Place,
    /// The message at the destination that it claims.
    pub destination: Option<Place>,
    /// What became of it.
    pub state: ItemState,
    /// Why: an error's code, or the rule that excludes it.
    pub code: Option<String>,
    /// The pass in which it got its state.
    pub pass: u32,
    /// Failed attempts so far.
    pub attempts: u32,
    /// It no longer exists at the source.
    pub gone: bool,
    /// It was sent again although its first append was never proven absent.
    pub resent: bool,
    /// Its size in bytes.
    pub size: u64,
    /// When the source received it.
    pub received: Option<String>,
    /// The source's flags that were last dealt with.
    pub flags: String,
    /// The destination's flags, where they differ.
    pub accepted: Option<String>,
    /// Digest of its content, once fetched.
    pub digest: Option<String>,
    /// Digest of what the source holds, where a repaired form was sent: `digest` is of that.
    pub original: Option<String>,
    /// What did not arrive as it left.
    pub altered: Vec<Alteration>,
    /// Where the message is kept because it could not be delivered.
    pub dead_letter: Option<String>,
    /// What happened when it failed last, if it is kept.
    pub reason: Option<String>,
    /// What the user can do about that.
    pub remedy: Option<String>,
    /// What was begun with it and is not known to be done: the next run settles it first.
    pub open: Vec<OpenIntent>,
}

/// Something that was begun at the destination, and is not known to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OpenIntent {
    /// Number of the batch.
    pub batch: u64,
    /// `append`, `copy`, `move` or `flags`.
    pub what: &'static str,
    /// The destination folder.
    pub folder: Option<FolderPath>,
}

/// A message's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Place {
    /// Its folder.
    pub folder: FolderPath,
    /// Its name there, as users know it.
    pub message: String,
}
