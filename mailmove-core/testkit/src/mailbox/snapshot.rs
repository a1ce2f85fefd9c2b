//! What a test compares: an account's content without UIDs or order.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Flags, InternalDate};

/// The content of an account. Two are equal if the same folders hold the same messages equally
/// often, whatever their UIDs and order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Folders by path.
    pub folders: BTreeMap<Vec<String>, FolderSnapshot>,
}

/// The content of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FolderSnapshot {
    /// Special-use attributes, sorted.
    pub special_use: Vec<String>,
    /// Whether it is subscribed.
    pub subscribed: bool,
    /// Messages, sorted: a multiset.
    pub messages: Vec<MessageSnapshot>,
}

/// A message as a test compares it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct MessageSnapshot {
    /// When it was received.
    pub date: InternalDate,
    /// System flags and keywords.
    pub flags: Flags,
    /// The message, byte for byte.
    pub body: Bytes,
}

impl MessageSnapshot {
    /// A message with these properties.
    pub fn new(body: impl Into<Bytes>, flags: Flags, date: InternalDate) -> Self {
        Self {
            date,
            flags,
            body: body.into(),
        }
    }
}

impl std::fmt::Debug for MessageSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = self.body.get(..self.body.len().min(60)).unwrap_or_default();
        write!(
            f,
            "{} bytes, {:?}, {:?}: {}",
            self.body.len(),
            self.flags,
            self.date,
            start.escape_ascii()
        )
    }
}

impl Snapshot {
    /// Number of messages in all folders.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.folders.values().map(|f| f.messages.len()).sum()
    }

    /// What `other` has less (`-`) or more (`+`) than this one, one line each; empty if equal.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        let empty = FolderSnapshot::default();
        for (path, mine) in &self.folders {
            let name = path.join("/");
            let theirs = match other.folders.get(path) {
                Some(theirs) => {
                    if mine.special_use != theirs.special_use {
                        lines.push(format!(
                            "{name}: special use {:?}, not {:?}",
                            theirs.special_use, mine.special_use
                        ));
                    }
                    if mine.subscribed != theirs.subscribed {
                        lines.push(format!("{name}: subscribed {}", theirs.subscribed));
                    }
                    theirs
                }
                None => {
                    lines.push(format!("- folder {name}"));
                    &empty
                }
            };
            compare_messages(&name, &mine.messages, &theirs.messages, &mut lines);
        }
        for (path, theirs) in &other.folders {
            if !self.folders.contains_key(path) {
                let name = path.join("/");
                lines.push(format!("+ folder {name}"));
                compare_messages(&name, &[], &theirs.messages, &mut lines);
            }
        }
        lines
    }
}

fn compare_messages(
    name: &str,
    mine: &[MessageSnapshot],
    theirs: &[MessageSnapshot],
    lines: &mut Vec<String>,
) {
    let (mut left, mut right) = (mine.iter().peekable(), theirs.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(l), Some(r)) => l.cmp(r),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => break,
        };
        if order.is_le()
            && let Some(message) = left.next()
            && order.is_lt()
        {
            lines.push(format!("- {name}: {message:?}"));
        }
        if order.is_ge()
            && let Some(message) = right.next()
            && order.is_gt()
        {
            lines.push(format!("+ {name}: {message:?}"));
        }
    }
}
