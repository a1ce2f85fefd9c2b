//! What a mailbox holds, and how two of them differ.
//!
//! Read through a server's back door, a snapshot says what really is there. Two are compared as
//! multisets: messages by digest, flags and received date, each as often as it is there, whatever
//! their ids and order.
//!
//! ```
//! use mailmove_testkit::{corpus::CorpusMessage, snapshot::Snapshot};
//!
//! let mail = CorpusMessage::new("Subject: hi\r\n\r\nhi\r\n");
//! let mut expected = Snapshot::new();
//! expected.add(&mail.clone().with_flags(["\\Seen"]));
//! let mut found = Snapshot::new();
//! found.add(&mail);
//! let difference = expected.diff(&found);
//! assert!(difference.to_string().contains("flags: \\Seen became (none)"));
//! ```

mod diff;

use std::collections::BTreeMap;

use bytes::Bytes;
use mailmove_core::model::{ContentDigest, Flags, FolderPath, Role, Timestamp};

use crate::{
    corpus::CorpusMessage,
    mailbox::{Account, InternalDate, Message},
};
pub use diff::{Compare, Difference};

/// What a mailbox holds.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its folders, also empty ones.
    pub folders: BTreeMap<FolderPath, FolderContents>,
}

/// What a folder holds.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct FolderContents {
    /// What it is for, if the server says.
    pub role: Option<Role>,
    /// Whether the user is subscribed to it.
    pub subscribed: bool,
    /// How many messages are `\Recent`, if that can be told without changing it.
    pub recent: Option<u64>,
    /// Its messages in the server's order.
    pub messages: Vec<MessageState>,
}

/// One message of a snapshot.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MessageState {
    /// Digest of its bytes.
    pub digest: ContentDigest,
    /// How many bytes.
    pub size: u64,
    /// Its flags without `\Recent`; names that no [`Flags`] can hold are left out.
    pub flags: Flags,
    /// When it was received.
    pub received: Timestamp,
    /// How the server names it (IMAP: its UID), if the back door says.
    pub id: Option<String>,
    /// What a person would call it: the kind of a corpus message, else the first bytes.
    pub label: String,
}

impl MessageState {
    /// A message with these properties, called by its first bytes.
    #[must_use]
    pub fn new(body: &[u8], flags: Flags, received: Timestamp) -> Self {
        let start = body.get(..body.len().min(40)).unwrap_or_default();
        Self {
            digest: ContentDigest::of(body),
            size: body.len() as u64,
            flags,
            received,
            id: None,
            label: format!("\"{}…\"", start.escape_ascii()),
        }
    }

    /// Sets how the server names it.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets what a person would call it.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }
}

impl From<&CorpusMessage> for MessageState {
    fn from(message: &CorpusMessage) -> Self {
        Self::new(&message.body, message.core_flags(), message.received)
            .with_label(message.kind.name())
    }
}

impl From<&Message> for MessageState {
    fn from(message: &Message) -> Self {
        let names: Vec<&str> = message.flags.iter().collect();
        let InternalDate {
            unix,
            offset_minutes,
            ..
        } = message.date;
        Self::new(
            &message.body,
            Flags::parse(&names.join(" ")),
            Timestamp::new(unix, offset_minutes),
        )
        .with_id(message.uid.to_string())
    }
}

impl Snapshot {
    /// Nothing, not even an inbox.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What an account of the mailbox model holds.
    #[must_use]
    pub fn of(account: &Account) -> Self {
        let mut snapshot = Self::new();
        for info in account.folders() {
            let path = FolderPath::new(info.path.iter().map(String::as_str));
            let role = if path.is_inbox() {
                Some(Role::Inbox)
            } else {
                let mut uses = info.special_use.iter();
                uses.find_map(|name| Role::from_special_use(name))
            };
            // A folder deleted in between has nothing left to show.
            let messages = account.messages(info.id).unwrap_or_default();
            let recent = account.status(info.id).map(|s| u64::from(s.recent)).ok();
            let contents = FolderContents {
                role,
                subscribed: info.subscribed,
                recent,
                messages: messages.iter().map(MessageState::from).collect(),
            };
            snapshot.folders.insert(path, contents);
        }
        snapshot
    }

    /// The folder with that path, made empty if there is none.
    pub fn folder_mut(&mut self, path: &FolderPath) -> &mut FolderContents {
        self.folders.entry(path.clone()).or_default()
    }

    /// The messages of a folder; none if there is no such folder.
    #[must_use]
    pub fn messages(&self, path: &FolderPath) -> &[MessageState] {
        self.folders
            .get(path)
            .map_or(&[], |folder| folder.messages.as_slice())
    }

    /// Adds a message to the folder it belongs in.
    pub fn add(&mut self, message: &CorpusMessage) {
        let path = FolderPath::new(message.folder.iter().map(String::as_str));
        self.folder_mut(&path).messages.push(message.into());
    }

    /// Adds a message to a folder.
    pub fn add_to(&mut self, path: &FolderPath, body: &Bytes, flags: Flags, received: Timestamp) {
        let message = MessageState::new(body, flags, received);
        self.folder_mut(path).messages.push(message);
    }

    /// Messages in all folders.
    #[must_use]
    pub fn len(&self) -> usize {
        self.folders.values().map(|f| f.messages.len()).sum()
    }

    /// True if there is no message in any folder.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How `found` differs from what is expected, in everything but ids, order and `\Recent`.
    #[must_use]
    pub fn diff(&self, found: &Self) -> Difference {
        Compare::all().diff(self, found)
    }
}
