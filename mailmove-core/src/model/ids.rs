//! Identifiers. Text inside, opaque outside: only the adapter that made one reads it.

use std::fmt;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(CompactString);

        impl $name {
            /// Wraps the adapter's own text.
            #[must_use]
            pub fn new(text: impl AsRef<str>) -> Self {
                Self(CompactString::new(text))
            }

            /// Wraps what `text` formats to, without a heap allocation up to 24 bytes.
            #[must_use]
            pub fn format(text: fmt::Arguments<'_>) -> Self {
                let mut out = CompactString::default();
                // Writing into a string cannot fail.
                let _ = fmt::Write::write_fmt(&mut out, text);
                Self(out)
            }

            /// The adapter's own text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.0.as_str())
            }
        }
    };
}

id_type! {
    /// Addresses a folder in the adapter's own way (IMAP: the mailbox name as sent on the wire).
    /// It may name another folder after a rename: see [`Folder::identity`](super::Folder::identity).
    FolderId
}
id_type! {
    /// Names a message within its folder for good: while a message with this id exists, it is the
    /// same message. On IMAP it holds UIDVALIDITY and UID.
    MessageId
}
id_type! {
    /// Names a content for good: messages of a mailbox with equal ids have equal bytes and were
    /// received at the same time, whatever folder shows them. Opaque, and of this mailbox alone.
    ContentId
}
id_type! {
    /// Where a listing may continue. Opaque, versioned by the adapter.
    Cursor
}
id_type! {
    /// Equal tokens of a folder mean that nothing changed in it. Opaque.
    Token
}
id_type! {
    /// Names a job: the same source mailbox to the same destination mailbox.
    JobId
}

/// Position of an item within the request that carried it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u32);

impl Slot {
    /// The slot of the item at `index`.
    #[must_use]
    pub fn new(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Index into the request.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A lower bound for what a folder takes in from now on: whatever is stored later is found by
/// enumerating from the mark. IMAP: UIDVALIDITY and UIDNEXT; elsewhere a sync state or delta token.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Mark {
    /// Ids of different epochs have nothing to do with each other (UIDVALIDITY); empty if the
    /// system has no such thing.
    pub epoch: CompactText,
    /// Where ids are counted (UIDNEXT), the next one.
    pub next: Option<u64>,
    /// Where ids are not counted, the adapter's own bound.
    pub token: Option<CompactText>,
}

impl Mark {
    /// A mark of a system that counts its ids upwards within an epoch.
    #[must_use]
    pub fn counted(epoch: impl AsRef<str>, next: u64) -> Self {
        Self {
            epoch: CompactText::new(epoch),
            next: Some(next),
            token: None,
        }
    }

    /// A mark that only the adapter understands.
    #[must_use]
    pub fn opaque(epoch: impl AsRef<str>, token: impl AsRef<str>) -> Self {
        Self {
            epoch: CompactText::new(epoch),
            next: None,
            token: Some(CompactText::new(token)),
        }
    }
}

id_type! {
    /// Short opaque text inside other types.
    CompactText
}
