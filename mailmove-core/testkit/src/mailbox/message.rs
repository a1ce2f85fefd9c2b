//! Messages and what is asked about them.

use bytes::Bytes;

use super::Flags;

/// Stable name of a folder (RFC 8474 MAILBOXID): survives a rename, is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FolderId(pub(super) u64);

impl std::fmt::Display for FolderId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "F{:08x}", self.0)
    }
}

/// Stable name of a message's content (RFC 8474 EMAILID): kept by COPY and MOVE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailId(pub(super) u64);

impl std::fmt::Display for EmailId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "M{:08x}", self.0)
    }
}

/// When a message was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct InternalDate {
    /// Seconds since 1970-01-01 00:00 UTC.
    pub unix: i64,
    /// Offset of the zone it is shown in, minutes east of UTC.
    pub offset_minutes: i16,
}

impl InternalDate {
    /// A date shown in a zone `offset_minutes` east of UTC.
    #[must_use]
    pub fn new(unix: i64, offset_minutes: i16) -> Self {
        Self {
            unix,
            offset_minutes,
        }
    }

    /// A date shown in UTC.
    #[must_use]
    pub fn utc(unix: i64) -> Self {
        Self::new(unix, 0)
    }
}

/// A message as a folder keeps it. Cloning shares the body.
#[derive(Clone)]
#[non_exhaustive]
pub struct Message {
    /// Unique in the folder under its UIDVALIDITY; only ever grows.
    pub uid: u32,
    /// Modification sequence of the last change (RFC 7162).
    pub modseq: u64,
    /// System flags and keywords.
    pub flags: Flags,
    /// When it was received.
    pub date: InternalDate,
    /// The message as it was appended, byte for byte.
    pub body: Bytes,
    /// Identity of the content.
    pub email_id: EmailId,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("uid", &self.uid)
            .field("modseq", &self.modseq)
            .field("flags", &self.flags)
            .field("date", &self.date)
            .field("bytes", &self.body.len())
            .field("email_id", &self.email_id)
            .finish()
    }
}

/// A message to append.
#[derive(Clone)]
#[non_exhaustive]
pub struct NewMessage {
    /// The message, byte for byte.
    pub body: Bytes,
    /// Flags as a client names them; the store's rules decide what is kept.
    pub flags: Vec<String>,
    /// When it was received; the store's clock decides if absent.
    pub date: Option<InternalDate>,
}

impl NewMessage {
    /// A message without flags, received now.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            flags: Vec::new(),
            date: None,
        }
    }

    /// Sets the flags.
    #[must_use]
    pub fn with_flags<I>(mut self, flags: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.flags = flags.into_iter().map(Into::into).collect();
        self
    }

    /// Sets when it was received.
    #[must_use]
    pub fn with_date(mut self, date: InternalDate) -> Self {
        self.date = Some(date);
        self
    }
}

impl std::fmt::Debug for NewMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewMessage")
            .field("bytes", &self.body.len())
            .field("flags", &self.flags)
            .field("date", &self.date)
            .finish()
    }
}

/// Where appended messages landed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// UIDVALIDITY of the folder at that moment.
    pub uid_validity: u32,
    /// One UID per message, in their order.
    pub uids: Vec<u32>,
}

/// Where copied or moved messages landed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// UIDVALIDITY of the target folder.
    pub uid_validity: u32,
    /// (UID in the source, UID in the target); UIDs that didn't exist are missing.
    pub uids: Vec<(u32, u32)>,
}

/// How flags are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlagOp {
    /// Adds to those set.
    Add,
    /// Removes from those set.
    Remove,
    /// Replaces those set.
    Set,
}

/// What a store operation on flags did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// Messages whose flags are now as asked (changed or not), by UID.
    pub done: Vec<u32>,
    /// Messages left alone because they changed after `unchanged_since` (RFC 7162 MODIFIED).
    pub modified: Vec<u32>,
}

/// A folder without its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FolderInfo {
    /// Stable name.
    pub id: FolderId,
    /// Components of its path.
    pub path: Vec<String>,
    /// Special-use attributes with their backslash (RFC 6154).
    pub special_use: Vec<String>,
    /// Whether its path is subscribed.
    pub subscribed: bool,
    /// Whether it refuses every change.
    pub read_only: bool,
    /// Other keywords than system flags that were ever set in it.
    pub keywords: Vec<String>,
    /// UIDVALIDITY.
    pub uid_validity: u32,
    /// UID the next message gets.
    pub uid_next: u32,
    /// Highest modification sequence of any change.
    pub highest_modseq: u64,
}

/// Counts of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FolderStatus {
    /// Messages in it.
    pub messages: u32,
    /// Messages without `\Seen`.
    pub unseen: u32,
    /// Messages with `\Deleted`.
    pub deleted: u32,
    /// Messages no session has been told of as recent.
    pub recent: u32,
    /// Sum of the messages' sizes in bytes (RFC 8438).
    pub size: u64,
    /// UIDVALIDITY.
    pub uid_validity: u32,
    /// UID the next message gets.
    pub uid_next: u32,
    /// Highest modification sequence of any change.
    pub highest_modseq: u64,
}

/// What happened in a folder after a modification sequence.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Changes {
    /// UIDVALIDITY now.
    pub uid_validity: u32,
    /// Highest modification sequence now.
    pub highest_modseq: u64,
    /// New or changed messages, by UID.
    pub changed: Vec<Message>,
    /// Messages removed since, by UID.
    pub vanished: Vec<u32>,
}
