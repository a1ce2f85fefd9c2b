//! Items: what a listing says of a message (later also events, contacts, tasks).

use serde::{Deserialize, Serialize};

use super::{Content, ContentId, Flags, FolderId, MessageId, Timestamp};
use crate::identity::HeaderDigest;

/// What an item is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ItemClass {
    /// A mail message.
    #[default]
    Mail,
    /// A calendar event.
    Event,
    /// A contact.
    Contact,
    /// A task.
    Task,
    /// A note.
    Note,
    /// A journal entry.
    Journal,
}

impl ItemClass {
    /// Several of them, for people.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Event => "events",
            Self::Contact => "contacts",
            Self::Task => "tasks",
            Self::Note => "notes",
            Self::Journal => "journal entries",
        }
    }
}

/// In which form an item's content travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Form {
    /// RFC 5322 and MIME.
    #[default]
    Mime,
    /// Exchange's own export stream.
    ExchangeStream,
    /// iCalendar, RFC 5545.
    ICalendar,
    /// vCard, RFC 6350.
    VCard,
}

/// What a listing says of one item.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listed {
    /// Its name in the folder.
    pub id: MessageId,
    /// Other folders of the source that show the same message (Gmail labels).
    pub also_in: Vec<FolderId>,
    /// Its content's name, if the source has such: the engine fetches a content once, and lets the
    /// destination copy it into the other folders.
    pub content_id: Option<ContentId>,
    /// What it is.
    pub class: ItemClass,
    /// Its flags; what cannot be a flag elsewhere is left out and noted in `notes`.
    pub flags: Flags,
    /// That is all that it has. Else nobody could tell: a known one keeps those that were told before.
    pub flags_told: bool,
    /// When the source received it.
    pub received: Option<Timestamp>,
    /// Bytes, as the server says. A hint: servers are known to be wrong.
    pub size: Option<u64>,
    /// Digest of its header, if the listing was asked for it.
    pub header: Option<HeaderDigest>,
    /// Its content, if the listing brought it along.
    pub content: Option<Content>,
    /// What of the item could not be represented.
    pub notes: Vec<Alteration>,
}

impl Listed {
    /// An item of which only the name is known.
    #[must_use]
    pub fn new(id: MessageId) -> Self {
        Self {
            id,
            also_in: Vec::new(),
            content_id: None,
            class: ItemClass::Mail,
            flags: Flags::new(),
            flags_told: true,
            received: None,
            size: None,
            header: None,
            content: None,
            notes: Vec::new(),
        }
    }
}

/// Something that does not arrive as it left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Alteration {
    /// What changed.
    pub kind: AlterationKind,
    /// In words: the flag's name, the old and new date.
    pub detail: String,
}

impl Alteration {
    /// A change of that kind.
    #[must_use]
    pub fn new(kind: AlterationKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
        }
    }
}

/// Kinds of [`Alteration`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AlterationKind {
    /// The destination does not keep a flag or keyword.
    FlagDropped,
    /// The received date is missing or impossible, and was replaced.
    DateReplaced,
    /// The content was repaired so that the destination takes it.
    ContentRepaired,
    /// The destination keeps other bytes than it was given.
    ContentRewritten,
    /// The server merged it with an identical message.
    MergedByServer,
    /// It went in another form than the one that keeps all of it: as MIME, for example, since the server
    /// could not export it, or the other one did not take its export.
    Converted,
    /// The message was moved at the source, but stayed in its old place at the destination too.
    OldPlaceKept,
}
