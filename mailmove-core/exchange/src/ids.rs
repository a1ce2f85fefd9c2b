//! What stands inside the ids that the rest of the program treats as opaque: the server's own, which are
//! case-sensitive and change when an item is moved.

use mailmove_core::model::MessageId;

/// For people: the end of the id, which differs where the beginning is the mailbox's.
#[must_use]
pub fn describe(id: &MessageId) -> String {
    let text = id.as_str();
    let at = text.char_indices().rev().nth(15).map_or(0, |(at, _)| at);
    format!("item …{}", text.get(at..).unwrap_or(text))
}
