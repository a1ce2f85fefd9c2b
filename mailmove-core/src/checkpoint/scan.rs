//! What is asked of a ledger's rows.

use super::{FolderNo, ItemState, TargetNo};

/// Which rows to scan.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Scan {
    /// Of this source folder; of all if `None`.
    pub folder: Option<FolderNo>,
    /// With a claim on this destination folder.
    pub target: Option<TargetNo>,
    /// In one of these states; in any if empty.
    pub states: Vec<ItemState>,
    /// Gone from the source, or not; either if `None`.
    pub gone: Option<bool>,
}

impl Scan {
    /// All rows of the job.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Rows of one source folder.
    #[must_use]
    pub fn folder(folder: FolderNo) -> Self {
        Self {
            folder: Some(folder),
            ..Self::default()
        }
    }

    /// Rows with a claim on one destination folder.
    #[must_use]
    pub fn target(target: TargetNo) -> Self {
        Self {
            target: Some(target),
            ..Self::default()
        }
    }

    /// Only rows in these states.
    #[must_use]
    pub fn with_states(mut self, states: &[ItemState]) -> Self {
        self.states = states.to_vec();
        self
    }

    /// Only rows that are gone from the source, or that are not.
    #[must_use]
    pub fn with_gone(mut self, gone: bool) -> Self {
        self.gone = Some(gone);
        self
    }
}

/// Rows of one source folder with the same state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Count {
    /// The state.
    pub state: ItemState,
    /// The pass in which they got it.
    pub pass: u32,
    /// Gone from the source.
    pub gone: bool,
    /// How many.
    pub messages: u64,
    /// How many bytes.
    pub bytes: u64,
}

impl Count {
    /// So many messages and bytes in that state.
    #[must_use]
    pub fn new(state: ItemState, pass: u32, gone: bool, messages: u64, bytes: u64) -> Self {
        Self {
            state,
            pass,
            gone,
            messages,
            bytes,
        }
    }
}
