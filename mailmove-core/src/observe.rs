//! What happens, as it happens.

use std::fmt::Debug;

use serde::Serialize;

use crate::{checkpoint::ItemState, model::FolderPath};

/// Gets told what happens. Called from the engine's tasks: return quickly, never block.
pub trait Observer: Debug + Send + Sync + 'static {
    /// Something happened.
    fn on(&self, event: &Event);
}

/// Ignores everything.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "a unit; it has nothing to grow")]
pub struct Silent;

impl Observer for Silent {
    fn on(&self, _event: &Event) {}
}

/// From the source, or to the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Direction {
    /// From the source.
    Down,
    /// To the destination.
    Up,
}

/// Something that happened. Holds no secret, no subject and no body.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// Both sides answered.
    Connected {
        /// The source's system.
        source: String,
        /// The destination's system.
        destination: String,
    },
    /// Folders are listed and mapped; work begins.
    Mapped {
        /// Folders that will be worked on.
        folders: usize,
        /// Messages in them, as the source says.
        messages: u64,
        /// Bytes in them, as far as the source says.
        bytes: Option<u64>,
    },
    /// Work on a folder begins.
    FolderStarted {
        /// Where it is at the source.
        folder: FolderPath,
        /// Messages in it, as the source says.
        messages: Option<u64>,
        /// Bytes in it, if the source says.
        bytes: Option<u64>,
    },
    /// What became of messages; each is told once in a pass, unless its folder is listed again. `Unnamed`
    /// are stored, and were confirmed without an id.
    Progress {
        /// Their source folder.
        folder: FolderPath,
        /// What became of them.
        state: ItemState,
        /// How many.
        messages: u64,
        /// How many bytes.
        bytes: u64,
    },
    /// One message could not be moved.
    MessageFailed {
        /// Its source folder.
        folder: FolderPath,
        /// Its name there, e.g. `UID 17`.
        message: String,
        /// The error's code.
        code: String,
        /// What happened.
        reason: String,
        /// What the user can do.
        remedy: Option<String>,
    },
    /// Something failed and will be tried again.
    Retrying {
        /// The folder, if it concerns just one.
        folder: Option<FolderPath>,
        /// What failed.
        reason: String,
        /// Milliseconds until the next try.
        wait_ms: u64,
    },
    /// A provider's bytes of the day are used up; work goes on when the next day begins.
    DailyLimit {
        /// Whose.
        direction: Direction,
        /// How many a day.
        bytes: u64,
        /// When it goes on, in milliseconds since 1970.
        until_ms: u64,
    },
    /// Appends are in doubt; their folder waits until they are settled.
    Settling {
        /// The destination folder.
        folder: FolderPath,
        /// How many messages.
        messages: u64,
        /// Milliseconds until absence can be believed.
        wait_ms: u64,
    },
    /// Something the user should know, without harm.
    Note {
        /// The folder, if it concerns just one.
        folder: Option<FolderPath>,
        /// In words.
        text: String,
    },
    /// A folder is done.
    FolderFinished {
        /// Where it is at the source.
        folder: FolderPath,
        /// False if it failed, or not all of its messages could be moved.
        complete: bool,
    },
}
