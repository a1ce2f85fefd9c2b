//! Where ledgers are kept.

mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use memory::{MemoryStore, When};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;

use crate::{
    checkpoint::FolderNo,
    error::{Error, ErrorKind},
    model::MessageId,
};

/// Rows in one page of a scan.
const PAGE: usize = 1000;

/// A second claim on a destination message.
fn conflict(folder: FolderNo, id: &MessageId, target: &MessageId, holder: String) -> Error {
    Error::new(
        ErrorKind::Conflict,
        "a destination message is claimed by another source message already",
    )
    .with_code("store/claimed")
    .with_context("message", format!("{id} of folder {}", folder.0))
    .with_context("destination message", target.to_string())
    .with_context("claimed by", holder)
}

/// Another ledger of the job is open.
fn locked(place: String, holder: Option<String>) -> Error {
    let error = Error::new(ErrorKind::Locked, "another process works on this migration")
        .with_code("store/locked")
        .with_remedy(
            "Wait until the other run has ended, or stop it. The lock goes away with the process \
             that holds it; the file itself may stay.",
        )
        .with_context("lock", place);
    match holder {
        Some(holder) => error.with_context("process", holder),
        None => error,
    }
}
