//! What a test can let go wrong, each thing at a place that it names.

use std::{fmt, sync::Arc, time::Duration};

use mailmove_core::{ErrorKind, destination::Outgoing, model::FolderPath};

/// Something that goes wrong. Armed by [`MemoryMailbox::arm`](super::MemoryMailbox::arm); what
/// counts, counts from then on, and 0 is the next one. One that has gone off is disarmed, unless it
/// says that it stays.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The n-th message appended (an atomic batch that holds it shares its fate).
    Append(u64, AppendFault),
    /// The n-th message copied from folder to folder. Refused or unknown: what the request had left
    /// was not sent.
    Copy(u64, AppendFault),
    /// The n-th message whose flags are to be changed, that is to be moved or removed.
    Update(u64, UpdateFault),
    /// Messages of which the predicate holds are refused with this kind of error. Stays.
    Refuse(Predicate, ErrorKind),
    /// The next listing ends with this error after so many pages.
    ListFails(u64, ErrorKind),
    /// The next listing just ends after so many pages, without its last one. Breaks the contract
    /// of [`Source`](mailmove_core::Source): a caller must not take that for a whole listing.
    ListEnds(u64),
    /// The next enumeration of what exists ends with this error after so many pages.
    ExistingFails(u64, ErrorKind),
    /// Each enumeration of contents breaks off after so many pages. Stays.
    ReadingBreaks(u64),
    /// The n-th message fetched fails, and with it all that the request had left.
    FetchFails(u64, ErrorKind),
    /// The n-th message fetched fails alone.
    FetchRefused(u64, ErrorKind),
    /// The stream ends before the n-th message fetched. Breaks the contract.
    FetchEnds(u64),
    /// The n-th message asked for is expunged right before it is fetched.
    Vanish(u64),
    /// The n-th operation of any kind fails before it does anything.
    Operation(u64, ErrorKind),
    /// Before the n-th operation, this folder gets a new UIDVALIDITY.
    Renumber(u64, FolderPath),
    /// Making this folder fails. Stays.
    EnsureFails(FolderPath, ErrorKind),
    /// The next listing with a cursor finds it expired: `Stale`.
    CursorExpires,
    /// Moves copy, and cannot remove the message from its old place. Stays.
    MovesCopy,
    /// Sizes are off by so many bytes, in listings and of what exists. Stays.
    SizeHints(i64),
    /// The source counts so many messages more in each folder than it lists. Stays.
    Miscounts(i64),
    /// The server loses keywords without a word. Stays.
    DropsKeywords,
    /// The server shifts received dates by so many seconds, without a word. Stays.
    ShiftsDates(i64),
}

/// What goes wrong with an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendFault {
    /// The server refuses it with this kind of error.
    Refuse(ErrorKind),
    /// The connection breaks after it was sent: its outcome is unknown. What the batch had left
    /// was not sent.
    Unknown(Landing),
    /// The stream ends without a word on it and on what the batch had left. Breaks the contract; a
    /// caller must take missing slots for unknown ones.
    Ends(Landing),
    /// No answer ever comes; the stream has to be dropped.
    Hangs(Landing),
    /// Stored and confirmed, but the receipts of this request name no ids: the server's answer was
    /// lost or made no sense.
    NoIds,
    /// Stored and confirmed, but all receipts of this request name the same id. Breaks the contract
    /// of [`Destination`](mailmove_core::Destination).
    SameIds,
}

/// What goes wrong with a change to a message that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateFault {
    /// The server refuses it with this kind of error.
    Refuse(ErrorKind),
    /// The connection breaks after it was asked for: its outcome is unknown. What the request had
    /// left was not asked for.
    Unknown {
        /// The server did it all the same.
        done: bool,
    },
    /// The stream ends without a word on it and on what the request had left. Breaks the contract.
    Ends {
        /// The server did it all the same.
        done: bool,
    },
}

/// What becomes of a message whose append was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Landing {
    /// It is stored at once.
    Stored,
    /// It is never stored.
    Lost,
    /// It is stored after so many further operations.
    AfterOperations(u64),
    /// It is stored when the clock shows this time since 1970, as seen by the next operation.
    At(Duration),
}

/// Picks messages.
#[derive(Clone)]
pub struct Predicate(Arc<dyn Fn(&Outgoing) -> bool + Send + Sync>);

impl Predicate {
    /// Those of which `test` holds.
    pub fn new(test: impl Fn(&Outgoing) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(test))
    }

    /// Those with more bytes than that.
    #[must_use]
    pub fn larger_than(bytes: u64) -> Self {
        Self::new(move |message| message.content.size() > bytes)
    }

    /// Those whose bytes hold this text. Sees only contents that are in memory.
    #[must_use]
    pub fn holding(text: impl Into<Vec<u8>>) -> Self {
        let text: Vec<u8> = text.into();
        Self::new(move |message| {
            let bytes = message.content.as_bytes();
            bytes.is_some_and(|b| !text.is_empty() && b.windows(text.len()).any(|w| w == text))
        })
    }

    pub(super) fn holds(&self, message: &Outgoing) -> bool {
        (self.0)(message)
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Predicate(..)")
    }
}

/// How often an adapter was asked, and for how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Looks at what is noted about folders.
    pub noted: u64,
    /// Requests to note something about a folder.
    pub noting: u64,
    /// Calls of any kind, a stream counted when first polled.
    pub operations: u64,
    /// Calls of `folders`, on both sides.
    pub folders: u64,
    /// Listings.
    pub lists: u64,
    /// Pages of listings.
    pub pages: u64,
    /// Fetch requests.
    pub fetches: u64,
    /// Messages fetched, found or not.
    pub fetched: u64,
    /// Calls of `ensure_folders`.
    pub ensures: u64,
    /// Calls of `mark`.
    pub marks: u64,
    /// Enumerations of what exists.
    pub existing: u64,
    /// Those of them that read contents.
    pub existing_contents: u64,
    /// Append batches.
    pub batches: u64,
    /// Messages in them that left for the server, whatever became of them.
    pub appended: u64,
    /// Messages that were to be copied from folder to folder.
    pub copied: u64,
    /// Messages whose flags were to be changed, that were to be moved or removed.
    pub updates: u64,
    /// Most appends that ran at once.
    pub most_appends: u64,
}
