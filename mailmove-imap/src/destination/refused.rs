//! What a refused APPEND was refused for.

use mailmove_core::{
    error::{Error, ErrorKind},
    model::{FolderId, Keyword},
};

use super::{
    known::{Known, Utf8},
    prepare::Ready,
};
use crate::wire::{Code, Status, StatusKind};

/// What a server took offence at; it can be done without.
#[derive(Debug, Default)]
pub(super) struct Offence {
    keywords: Vec<Keyword>,
    /// The item UTF8.
    utf8: bool,
}

impl Offence {
    pub(super) fn is_empty(&self) -> bool {
        self.keywords.is_empty() && !self.utf8
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.keywords.extend(other.keywords);
        self.utf8 |= other.utf8;
    }

    /// Does without it from now on.
    pub(super) fn note(&self, known: &Known, folder: &FolderId) {
        known.refuse(folder, self.keywords.iter().cloned());
        if self.utf8 {
            known.set_utf8(Utf8::Refused);
        }
    }

    /// Does without it in this message.
    pub(super) fn leave_out(&self, message: &mut Ready) {
        message.leave_out(&self.keywords);
        message.message.utf8 &= !self.utf8;
    }
}

impl FromIterator<Self> for Offence {
    fn from_iter<I: IntoIterator<Item = Self>>(all: I) -> Self {
        let mut sum = Self::default();
        all.into_iter().for_each(|one| sum.extend(one));
        sum
    }
}

/// What a message was refused for before its body was sent; nothing if it was for something else.
/// After BAD that is sure only where no other body was sent unasked.
pub(super) fn offence(message: &Ready, status: &Status, at_once: bool) -> Offence {
    let unclear = status.kind == StatusKind::Bad && !at_once;
    if message.message.utf8 && (unclear || names_utf8(status)) {
        return utf8();
    }
    let about_flags = match status.kind {
        StatusKind::No => {
            names_flags(status) || matches!(status.code, Some(Code::Cannot | Code::Limit))
        }
        _ => unclear,
    };
    keywords(message, about_flags)
}

/// The same for a message that was refused after its body was sent (Cyrus counts keywords then). NO
/// is sure not to have stored it, so it may be sent again.
pub(super) fn late(message: &Ready, status: &Status) -> Offence {
    if status.kind != StatusKind::No {
        return Offence::default();
    }
    if message.message.utf8 && names_utf8(status) {
        return utf8();
    }
    keywords(message, names_flags(status))
}

fn utf8() -> Offence {
    Offence {
        keywords: Vec::new(),
        utf8: true,
    }
}

fn keywords(message: &Ready, about_flags: bool) -> Offence {
    Offence {
        keywords: match about_flags {
            true => message.suspects(),
            false => Vec::new(),
        },
        utf8: false,
    }
}

fn names_utf8(status: &Status) -> bool {
    let text = status.text.to_ascii_lowercase();
    // The last one is how Courier says BAD.
    let words = ["utf8", "error in imap command"];
    status.kind == StatusKind::No && words.iter().any(|word| text.contains(word))
}

fn names_flags(status: &Status) -> bool {
    let text = status.text.to_ascii_lowercase();
    // The last one is how Courier says BAD.
    let words = ["keyword", "flag", "error in imap command"];
    words.iter().any(|word| text.contains(word))
}

/// A refusal that says nothing sure: the server may have stored the message and failed afterwards.
pub(super) fn is_doubtful(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable
}
