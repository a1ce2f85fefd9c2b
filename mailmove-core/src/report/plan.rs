//! What a pass would do.

use std::fmt;

use serde::Serialize;

use crate::model::{FolderPath, Quota};

/// What a pass would do.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// The source mailbox.
    pub source: String,
    /// The destination mailbox.
    pub destination: String,
    /// Each folder of the source once.
    pub folders: Vec<PlannedFolder>,
    /// How much the destination may hold, as far as it says.
    pub quota: Quota,
    /// What would go wrong, as far as can be seen before.
    pub warnings: Vec<Warning>,
}

/// What would go wrong if the plan were carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "warning", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Warning {
    /// More bytes are to be copied than the destination has room for. Messages that turn out to be
    /// there already need none.
    #[non_exhaustive]
    NoRoom {
        /// Bytes to be copied, as far as the source tells sizes.
        needed: u64,
        /// Bytes that the destination still takes.
        free: u64,
    },
    /// More messages are to be copied than the destination may hold.
    #[non_exhaustive]
    TooManyMessages {
        /// Messages to be copied.
        needed: u64,
        /// Messages that the destination still takes.
        free: u64,
    },
    /// Messages are larger than the destination takes: they would fail. No byte of them would be sent.
    #[non_exhaustive]
    TooLarge {
        /// So many, by the sizes that the source tells.
        messages: u64,
        /// The largest that the destination takes, in bytes.
        limit: u64,
    },
    /// The user may not read a folder of the source.
    #[non_exhaustive]
    Unreadable {
        /// Where it is at the source.
        folder: FolderPath,
    },
    /// The user may not put messages into a folder of the destination.
    #[non_exhaustive]
    ReadOnly {
        /// Where it is at the destination.
        folder: FolderPath,
    },
    /// The user may not make a folder of the destination that does not exist yet.
    #[non_exhaustive]
    CannotCreate {
        /// Where it would be at the destination.
        folder: FolderPath,
    },
}

impl Warning {
    /// A stable code, as errors have.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoRoom { .. } => "plan/no-room",
            Self::TooManyMessages { .. } => "plan/too-many-messages",
            Self::TooLarge { .. } => "plan/too-large",
            Self::Unreadable { .. } => "plan/unreadable",
            Self::ReadOnly { .. } => "plan/read-only",
            Self::CannotCreate { .. } => "plan/cannot-create",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom { needed, free } => write!(
                f,
                "the destination has room for {free} bytes, and {needed} are to be copied"
            ),
            Self::TooManyMessages { needed, free } => write!(
                f,
                "the destination takes {free} more messages, and {needed} are to be copied"
            ),
            Self::TooLarge { messages, limit } => write!(
                f,
                "{messages} messages are larger than the {limit} bytes that the destination takes: raise its \
                 limit, or save them by hand"
            ),
            Self::Unreadable { folder } => {
                write!(f, "the source's folder {folder} may not be read")
            }
            Self::ReadOnly { folder } => write!(
                f,
                "nothing may be put into the destination's folder {folder}"
            ),
            Self::CannotCreate { folder } => {
                write!(f, "the destination's folder {folder} may not be created")
            }
        }
    }
}

/// What would become of a folder.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PlannedFolder {
    /// Where it is at the source.
    pub source: FolderPath,
    /// Where its messages would go.
    pub destination: Option<FolderPath>,
    /// The rule that leaves the folder out, if one does.
    pub excluded: Option<String>,
    /// Why its name would change, if it would.
    pub renamed: Option<String>,
    /// The destination folder does not exist yet.
    pub create: bool,
    /// Messages in it, as the server counts.
    pub found: Option<u64>,
    /// Bytes in it, if the server says.
    pub bytes: Option<u64>,
    /// Messages that the ledger knows as done.
    pub done: u64,
    /// Messages that the filter would leave out.
    pub filtered: u64,
    /// Messages that are larger than the destination takes. Not looked for in folders that are smaller than
    /// that as a whole.
    pub too_large: u64,
    /// Messages to be looked at: copied, or found to be at the destination already.
    pub to_do: u64,
    /// Bytes of these, if the server says: their share of the folder where some are done already.
    pub to_do_bytes: Option<u64>,
}
