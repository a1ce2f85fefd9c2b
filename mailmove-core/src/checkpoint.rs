//! Where a migration keeps what it must not forget.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    destination::Existing,
    error::Result,
    identity::HeaderDigest,
    model::{ContentId, Cursor, Flags, FolderId, FolderPath, JobId, Mark, MessageId, Role, Token},
    source::BoxStream,
};

mod item;
mod scan;

pub use item::{ItemRow, Original};
pub use scan::{Count, Scan};

/// Keeps ledgers. Embedded: [`SqliteStore`](crate::store::SqliteStore); for tests
/// [`MemoryStore`](crate::store::MemoryStore).
#[async_trait]
pub trait CheckpointStore: Debug + Send + Sync + 'static {
    /// Opens the ledger of a job, made empty if there is none, and locks it for this process until
    /// the ledger is dropped.
    ///
    /// # Errors
    /// [`Locked`](crate::error::ErrorKind::Locked) if another process has it,
    /// [`Store`](crate::error::ErrorKind::Store) if it cannot be read, or was written by a newer
    /// version.
    async fn open(&self, job: &JobId) -> Result<Arc<dyn Ledger>>;
}

/// The ledger of one job. No call loads a whole job: what may be long comes as a stream of pages.
///
/// # Contract
///
/// - [`commit`](Ledger::commit) is atomic and durable: after `Ok`, neither `kill -9` nor (for
///   stores that say so) a power loss takes any of it away; after `Err`, none of it is there.
///   Commits may be grouped, and one that fails does not disturb the others; they take effect in
///   the order they were called (first polled).
/// - The records of a commit take effect in their order. What a record refers to by number
///   (folder, target) is recorded before it or in the same commit.
/// - Reads see every commit that was answered.
/// - **One claim per destination message**: an [`ItemRow`] whose [`target`](ItemRow::target) another
///   row has at that point makes the commit fail with
///   [`Conflict`](crate::error::ErrorKind::Conflict), scope
///   [`Message`](crate::error::Scope::Message), with both messages in its context. A row may keep or
///   change its own claim; a claim that is given up is free at once, but the destination message is
///   not unclaimed again unless it is recorded so.
/// - Counts and sizes above 2⁶³−1 are kept as that number: no mailbox has them, but a server may
///   say so.
/// - The job stays locked until the ledger *and the streams it gave out* are dropped.
#[async_trait]
pub trait Ledger: Debug + Send + Sync + 'static {
    /// Records all of it, or nothing. Not cancel safe in the sense that a dropped call may still
    /// take effect.
    ///
    /// # Errors
    /// `Conflict` for a second claim, `Store` if it could not be written.
    async fn commit(&self, records: Vec<Record>) -> Result<()>;

    /// The value under a key.
    ///
    /// # Errors
    /// If the store cannot be read; so for all reads below.
    async fn meta(&self, key: &str) -> Result<Option<String>>;

    /// All source folders, by number.
    async fn folders(&self) -> Result<Vec<FolderRow>>;

    /// All destination folders, by number.
    async fn targets(&self) -> Result<Vec<TargetRow>>;

    /// All open intents, lowest number first.
    async fn intents(&self) -> Result<Vec<Intent>>;

    /// The rows of these messages of a source folder, in the order asked, with their row numbers.
    async fn items(&self, folder: FolderNo, ids: Vec<MessageId>) -> Result<Vec<Option<Stored>>>;

    /// Rows in the order they were first recorded, in pages of at most a few thousand. What is
    /// committed while the scan runs may or may not be seen.
    fn scan(&self, scan: Scan) -> BoxStream<Result<Vec<Stored>>>;

    /// The rows that show each of these contents, gone ones included, in the order they were first
    /// recorded; the contents in the order asked.
    async fn sharing(&self, contents: Vec<ContentId>) -> Result<Vec<Vec<Stored>>>;

    /// Who claims these destination messages, in the order asked.
    async fn claims(
        &self,
        target: TargetNo,
        ids: Vec<MessageId>,
    ) -> Result<Vec<Option<(FolderNo, MessageId)>>>;

    /// Unclaimed destination messages with that header digest and, if given, exactly that size, in
    /// the order they were recorded. Ask with a size where there is one: all messages without any
    /// of the digest's fields have the same digest.
    async fn candidates(
        &self,
        target: TargetNo,
        header: HeaderDigest,
        size: Option<u64>,
    ) -> Result<Vec<Existing>>;

    /// Rows of a source folder counted by state, pass and whether gone, sorted by these.
    async fn counts(&self, folder: FolderNo) -> Result<Vec<Count>>;
}

/// Number of a source folder within its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
#[allow(clippy::exhaustive_structs, reason = "a number by another name")]
pub struct FolderNo(pub u32);

/// Number of a destination folder within its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
#[allow(clippy::exhaustive_structs, reason = "a number by another name")]
pub struct TargetNo(pub u32);

/// Something to be recorded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Record {
    /// Sets a value.
    Meta(String, String),
    /// Adds or replaces a source folder.
    Folder(Box<FolderRow>),
    /// Adds or replaces a destination folder.
    Target(Box<TargetRow>),
    /// Adds or replaces a message; its row number stays. If it has a target, that message is no
    /// longer unclaimed.
    Item(Box<ItemRow>),
    /// Says that a message no longer exists at the source, or exists again. Ignored if it has no
    /// row.
    Gone(FolderNo, MessageId, bool),
    /// Adds an intent, or replaces that of the same number.
    Intent(Box<Intent>),
    /// Removes an intent: each of its items has a row by now, or will be looked at again.
    Close(u64),
    /// Adds an unclaimed destination message, unless it is claimed or known already.
    Unclaimed(TargetNo, Box<Existing>),
}

/// A source folder in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FolderRow {
    /// Its number.
    pub no: FolderNo,
    /// How the source addresses it.
    pub id: FolderId,
    /// Where it is.
    pub path: FolderPath,
    /// What it is for.
    pub role: Option<Role>,
    /// [`Folder::identity`](crate::model::Folder::identity) when last listed.
    pub identity: String,
    /// What is done with it.
    pub state: FolderState,
    /// The destination folder, if mapped.
    pub target: Option<TargetNo>,
    /// Where the listing continues.
    pub cursor: Option<Cursor>,
    /// Digest of filters, map, limits and repair policy under which the cursor holds.
    pub rules: String,
    /// A listing was completed once.
    pub listed: bool,
    /// The source's token when the last pass completed with no row open.
    pub token: Option<Token>,
    /// Messages the server counted at the last complete listing.
    pub exists: Option<u64>,
}

impl FolderRow {
    /// A folder that was never listed.
    #[must_use]
    pub fn new(no: FolderNo, id: FolderId, path: FolderPath, identity: impl Into<String>) -> Self {
        Self {
            no,
            id,
            path,
            role: None,
            identity: identity.into(),
            state: FolderState::Mapped,
            target: None,
            cursor: None,
            rules: String::new(),
            listed: false,
            token: None,
            exists: None,
        }
    }
}

/// What is done with a source folder. Each listed folder has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FolderState {
    /// Its messages go to a destination folder.
    Mapped,
    /// A rule leaves it out; the rule in words.
    Excluded(String),
    /// It could not be handled; the error's code.
    Failed(String),
    /// It does not exist any more.
    Gone,
}

/// A destination folder in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TargetRow {
    /// Its number.
    pub no: TargetNo,
    /// How the destination addresses it.
    pub id: FolderId,
    /// Where it is.
    pub path: FolderPath,
    /// Its identity when last seen: another one means that all claims are void.
    pub identity: String,
    /// Messages from here on were not looked at yet when searching for unclaimed ones.
    pub examined: Option<Mark>,
    /// Messages in it when the last pass ended.
    pub messages: Option<u64>,
    /// Its mark when the last pass ended.
    pub mark: Option<Mark>,
}

impl TargetRow {
    /// A folder of which nothing was examined.
    #[must_use]
    pub fn new(no: TargetNo, id: FolderId, path: FolderPath, identity: impl Into<String>) -> Self {
        Self {
            no,
            id,
            path,
            identity: identity.into(),
            examined: None,
            messages: None,
            mark: None,
        }
    }
}

/// A row with its number: rows are numbered from 0 up in the order they were first recorded, over
/// all folders of the job, so that a set of rows is a bitmap.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// The row's number.
    pub number: u64,
    /// The row.
    pub row: ItemRow,
}

impl Stored {
    /// A row with its number.
    #[must_use]
    pub fn new(number: u64, row: ItemRow) -> Self {
        Self { number, row }
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ItemState {
    /// Known, nothing done yet.
    Pending,
    /// Stored, and confirmed by the destination.
    Copied,
    /// An equal message was there already and is claimed by this one.
    AlreadyThere,
    /// Left out by a rule.
    Excluded,
    /// Gone from the source before it could be fetched.
    Vanished,
    /// Could not be moved; see the code.
    Failed,
    /// Confirmed by the server without an id; to be looked up before the folder closes.
    Unnamed,
    /// Was copied, and then removed at the destination by somebody: never sent again.
    RemovedThere,
}

impl ItemState {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Copied,
        Self::AlreadyThere,
        Self::Excluded,
        Self::Vanished,
        Self::Failed,
        Self::Unnamed,
        Self::RemovedThere,
    ];

    /// True if no later pass has to look at it again.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Failed | Self::Unnamed)
    }

    /// A stable name, as stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Copied => "copied",
            Self::AlreadyThere => "already-there",
            Self::Excluded => "excluded",
            Self::Vanished => "vanished",
            Self::Failed => "failed",
            Self::Unnamed => "unnamed",
            Self::RemovedThere => "removed-there",
        }
    }

    /// Reads a stored name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Durable before anything is sent: what may appear at the destination from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Intent {
    /// Its number, rising within the job.
    pub batch: u64,
    /// The destination folder.
    pub target: TargetNo,
    /// Lower bound of what the append may have stored.
    pub mark: Mark,
    /// Time (since 1970) until which absence proves nothing, in milliseconds.
    pub settled_at: u64,
    /// For a move at the destination: the folder the messages come from. Their ids there are in
    /// `items[..].target`. If it is the destination folder itself, nothing moves, but flags change:
    /// from `items[..].accepted` to `items[..].flags`, as the source has them.
    pub moved_from: Option<TargetNo>,
    /// They are copied at the destination from messages there, not sent. Kept until their flags
    /// are those of `items`, too.
    pub copied: bool,
    /// The messages, as rows with digest, size, flags and date.
    pub items: Vec<ItemRow>,
}

impl Intent {
    /// An intent to append these messages.
    #[must_use]
    pub fn new(batch: u64, target: TargetNo, mark: Mark, items: Vec<ItemRow>) -> Self {
        Self {
            batch,
            target,
            mark,
            settled_at: 0,
            moved_from: None,
            copied: false,
            items,
        }
    }

    /// An intent to follow the source's flags, of messages as the ledger has them.
    #[must_use]
    pub fn of_flags(
        batch: u64,
        target: TargetNo,
        changes: impl IntoIterator<Item = (ItemRow, Flags)>,
    ) -> Self {
        let items = changes.into_iter().map(|(row, now)| ItemRow {
            accepted: Some(row.flags.clone()),
            flags: now,
            ..row
        });
        let mut intent = Self::new(batch, target, Mark::counted("", 0), items.collect());
        intent.moved_from = Some(target);
        intent
    }

    /// True for one [of flags](Self::of_flags).
    #[must_use]
    pub fn changes_flags(&self) -> bool {
        self.moved_from == Some(self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_intents_of_their_own() {
        let mut row = ItemRow::new(FolderNo(0), MessageId::new("1"));
        row.flags = Flags::parse("\\Seen");
        let now = Flags::parse("\\Flagged");
        let intent = Intent::of_flags(1, TargetNo(2), [(row.clone(), now.clone())]);
        assert!(intent.changes_flags());
        let item = &intent.items[0];
        assert_eq!(
            (&item.accepted, &item.flags),
            (&Some(row.flags.clone()), &now)
        );
        let mut intent = Intent::new(1, TargetNo(2), Mark::counted("", 0), vec![row]);
        assert!(!intent.changes_flags());
        intent.moved_from = Some(TargetNo(1));
        assert!(!intent.changes_flags());
    }

    #[test]
    fn states_are_final_or_looked_at_again() {
        let open = [ItemState::Pending, ItemState::Failed, ItemState::Unnamed];
        for state in ItemState::ALL {
            assert_eq!(state.is_final(), !open.contains(&state), "{state:?}");
            assert_eq!(ItemState::parse(state.as_str()), Some(state));
        }
        assert_eq!(ItemState::parse("lost"), None);
    }
}
