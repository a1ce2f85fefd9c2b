//! What commands ask for: items of STATUS and FETCH, criteria of SEARCH, arguments of APPEND.

use super::args::{EncodeError, FieldName, FlagSet, Keyword};
use super::command::Builder;
use super::date::{InternalDate, SearchDate};
use super::uidset::UidSet;

/// An item that STATUS can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StatusItem {
    /// MESSAGES
    Messages,
    /// UIDNEXT
    UidNext,
    /// UIDVALIDITY
    UidValidity,
    /// UNSEEN
    Unseen,
    /// HIGHESTMODSEQ: needs CONDSTORE.
    HighestModSeq,
    /// SIZE: needs STATUS=SIZE.
    Size,
    /// APPENDLIMIT: needs APPENDLIMIT.
    AppendLimit,
    /// MAILBOXID: needs OBJECTID.
    MailboxId,
    /// DELETED: needs QUOTA=RES-MESSAGE or IMAP4rev2.
    Deleted,
}

impl StatusItem {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "MESSAGES",
            Self::UidNext => "UIDNEXT",
            Self::UidValidity => "UIDVALIDITY",
            Self::Unseen => "UNSEEN",
            Self::HighestModSeq => "HIGHESTMODSEQ",
            Self::Size => "SIZE",
            Self::AppendLimit => "APPENDLIMIT",
            Self::MailboxId => "MAILBOXID",
            Self::Deleted => "DELETED",
        }
    }
}

/// What LIST is to return besides names (RFC 5258, RFC 5819, RFC 6154).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ListReturn {
    /// SUBSCRIBED
    pub subscribed: bool,
    /// CHILDREN
    pub children: bool,
    /// SPECIAL-USE: only with that capability.
    pub special_use: bool,
    /// MYRIGHTS: only with LIST-MYRIGHTS.
    pub my_rights: bool,
    /// STATUS with these items: only with LIST-STATUS.
    pub status: Vec<StatusItem>,
}

/// How a mailbox is selected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SelectParams {
    /// Without parameters.
    #[default]
    Plain,
    /// CONDSTORE
    Condstore,
    /// QRESYNC: ask for all changes since then. Needs `ENABLE QRESYNC` before.
    Qresync {
        /// The UIDVALIDITY known.
        validity: u32,
        /// The HIGHESTMODSEQ known.
        modseq: u64,
        /// The UIDs known; all, if absent.
        known: Option<UidSet>,
    },
}

/// An item of FETCH. Those that would set `\Seen` don't exist.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchItem {
    /// UID
    Uid,
    /// FLAGS
    Flags,
    /// INTERNALDATE
    InternalDate,
    /// RFC822.SIZE
    Size,
    /// MODSEQ
    ModSeq,
    /// EMAILID
    EmailId,
    /// THREADID
    ThreadId,
    /// SAVEDATE
    SaveDate,
    /// X-GM-MSGID
    GmMsgId,
    /// X-GM-THRID
    GmThrId,
    /// X-GM-LABELS
    GmLabels,
    /// `BODY.PEEK[]`
    Body,
    /// `BODY.PEEK[]<start.len>`
    BodyPart {
        /// First octet.
        start: u64,
        /// Most octets.
        len: u64,
    },
    /// `BODY.PEEK[HEADER]`
    Header,
    /// `BODY.PEEK[HEADER.FIELDS (…)]`
    HeaderFields(Vec<FieldName>),
    /// `BINARY.PEEK[]`: needs BINARY.
    Binary,
}

/// Parameters of UID FETCH (RFC 7162).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FetchParams {
    /// CHANGEDSINCE this modification sequence.
    pub changed_since: Option<u64>,
    /// VANISHED as well: needs QRESYNC and CHANGEDSINCE, without which it is left out.
    pub vanished: bool,
}

impl FetchParams {
    /// CHANGEDSINCE, and VANISHED if wanted.
    #[must_use]
    pub const fn changed_since(modseq: u64, vanished: bool) -> Self {
        Self {
            changed_since: Some(modseq),
            vanished,
        }
    }
}

/// A criterion of SEARCH; several must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SearchKey {
    /// ALL
    All,
    /// UID: one of these.
    Uid(UidSet),
    /// SINCE: received on that day or later.
    Since(SearchDate),
    /// BEFORE: received before that day.
    Before(SearchDate),
    /// LARGER than so many octets.
    Larger(u32),
    /// SMALLER than so many octets.
    Smaller(u32),
    /// DELETED
    Deleted,
    /// UNDELETED
    Undeleted,
    /// KEYWORD
    Keyword(Keyword),
    /// HEADER: a field holds this text.
    Header(FieldName, Box<[u8]>),
    /// MODSEQ: that or later.
    ModSeq(u64),
    /// NOT
    Not(Box<Self>),
    /// OR
    Or(Box<Self>, Box<Self>),
}

/// What STORE does with the flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreMode {
    /// +FLAGS
    Add,
    /// -FLAGS
    Remove,
}

/// Arguments of one message in APPEND.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppendMessage {
    /// Exact length in octets.
    pub len: u64,
    /// Flags.
    pub flags: FlagSet,
    /// INTERNALDATE.
    pub date: Option<InternalDate>,
    /// Send as `~{n}`, the only way for NUL: needs BINARY.
    pub binary: bool,
    /// Send as `UTF8 (~{n})`: its header is in UTF-8, and UTF8=ACCEPT is enabled (RFC 6855).
    pub utf8: bool,
    /// Wait for the server's `+` even where literals may go at once: for arguments that it might refuse.
    pub synchronizing: bool,
}

impl AppendMessage {
    /// A message of so many octets, without flags and date.
    #[must_use]
    pub const fn new(len: u64) -> Self {
        Self {
            len,
            flags: FlagSet::new(),
            date: None,
            binary: false,
            utf8: false,
            synchronizing: false,
        }
    }

    /// With flags.
    #[must_use]
    pub fn with_flags(mut self, flags: FlagSet) -> Self {
        self.flags = flags;
        self
    }

    /// With a date.
    #[must_use]
    pub fn with_date(mut self, date: InternalDate) -> Self {
        self.date = Some(date);
        self
    }

    /// As a binary literal.
    #[must_use]
    pub fn with_binary(mut self, binary: bool) -> Self {
        self.binary = binary;
        self
    }

    /// With a header in UTF-8.
    #[must_use]
    pub fn with_utf8(mut self, utf8: bool) -> Self {
        self.utf8 = utf8;
        self
    }

    /// By a synchronising literal.
    #[must_use]
    pub fn with_synchronizing(mut self, synchronizing: bool) -> Self {
        self.synchronizing = synchronizing;
        self
    }
}

pub(super) fn status_items(b: &mut Builder, items: &[StatusItem]) {
    for (index, item) in items.iter().enumerate() {
        b.word(if index == 0 { "(" } else { " " })
            .word(item.as_str());
    }
    b.word(")");
}

pub(super) fn fetch_item(b: &mut Builder, item: &FetchItem) -> Result<(), EncodeError> {
    let word = match item {
        FetchItem::Uid => "UID",
        FetchItem::Flags => "FLAGS",
        FetchItem::InternalDate => "INTERNALDATE",
        FetchItem::Size => "RFC822.SIZE",
        FetchItem::ModSeq => "MODSEQ",
        FetchItem::EmailId => "EMAILID",
        FetchItem::ThreadId => "THREADID",
        FetchItem::SaveDate => "SAVEDATE",
        FetchItem::GmMsgId => "X-GM-MSGID",
        FetchItem::GmThrId => "X-GM-THRID",
        FetchItem::GmLabels => "X-GM-LABELS",
        FetchItem::Body => "BODY.PEEK[]",
        FetchItem::Header => "BODY.PEEK[HEADER]",
        FetchItem::Binary => "BINARY.PEEK[]",
        FetchItem::BodyPart { start, len } => {
            b.show(format_args!("BODY.PEEK[]<{start}.{len}>"));
            ""
        }
        FetchItem::HeaderFields(fields) => {
            if fields.is_empty() {
                return Err(EncodeError::Empty);
            }
            for (index, field) in fields.iter().enumerate() {
                b.word(if index == 0 {
                    "BODY.PEEK[HEADER.FIELDS ("
                } else {
                    " "
                });
                b.show(field.as_str());
            }
            ")]"
        }
    };
    b.word(word);
    Ok(())
}

pub(super) fn is_eight_bit(key: &SearchKey) -> bool {
    match key {
        SearchKey::Header(_, text) => !text.is_ascii(),
        SearchKey::Not(key) => is_eight_bit(key),
        SearchKey::Or(one, other) => is_eight_bit(one) || is_eight_bit(other),
        _ => false,
    }
}

pub(super) fn search_key(b: &mut Builder, key: &SearchKey) -> Result<(), EncodeError> {
    match key {
        SearchKey::All => b.word(" ALL"),
        SearchKey::Uid(set) => b.word(" UID").set(set)?,
        SearchKey::Since(day) => b.show(format_args!(" SINCE {day}")),
        SearchKey::Before(day) => b.show(format_args!(" BEFORE {day}")),
        SearchKey::Larger(octets) => b.show(format_args!(" LARGER {octets}")),
        SearchKey::Smaller(octets) => b.show(format_args!(" SMALLER {octets}")),
        SearchKey::Deleted => b.word(" DELETED"),
        SearchKey::Undeleted => b.word(" UNDELETED"),
        SearchKey::Keyword(keyword) => b.word(" KEYWORD ").show(keyword.as_str()),
        SearchKey::Header(field, text) => b
            .show(format_args!(" HEADER {} ", field.as_str()))
            .string(text, false)?,
        SearchKey::ModSeq(modseq) => b.show(format_args!(" MODSEQ {modseq}")),
        SearchKey::Not(key) => {
            b.word(" NOT");
            return search_key(b, key);
        }
        SearchKey::Or(one, other) => {
            b.word(" OR");
            search_key(b, one)?;
            return search_key(b, other);
        }
    };
    Ok(())
}
