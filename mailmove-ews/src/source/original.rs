//! The header as it came.

use mailmove_exchange::original;

use crate::wire::{Element, Property};

/// The header as it came, of an item that has one.
pub(super) fn of(item: &Element) -> Option<&str> {
    let is_draft = Property::MessageFlags
        .number(item)
        .is_some_and(|bits| bits & 8 != 0);
    Property::Headers
        .of(item)
        .filter(|text| original::is_usable(text, is_draft))
}
