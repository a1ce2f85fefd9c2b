//! What a refused APPEND was refused for.

use mailmove_core::{
    error::{Error, ErrorKind},
    model::Keyword,
};

use super::prepare::Ready;
use crate::wire::{Code, Status, StatusKind};

/// The keywords that a message was refused for before its body was sent; none if it was for
/// something else. After BAD that is sure only where no other body was sent unasked.
pub(super) fn offence(message: &Ready, status: &Status, at_once: bool) -> Vec<Keyword> {
    let about_flags = match status.kind {
        StatusKind::No => {
            names_flags(status) || matches!(status.code, Some(Code::Cannot | Code::Limit))
        }
        StatusKind::Bad => !at_once,
        _ => false,
    };
    if about_flags {
        message.suspects()
    } else {
        Vec::new()
    }
}

/// The same for a message that was refused after its body was sent (Cyrus counts keywords then). NO
/// is sure not to have stored it, so it may be sent again.
pub(super) fn late(message: &Ready, status: &Status) -> Vec<Keyword> {
    if status.kind == StatusKind::No && names_flags(status) {
        message.suspects()
    } else {
        Vec::new()
    }
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
