//! The header as it came.

use mailmove_core::{error::Result, model::MessageId};
use mailmove_exchange::original;
use serde::Deserialize;

use crate::{
    error::Doing,
    items,
    pool::Pool,
    wire::{self, Path, Property, Request, property},
};

/// Whether a made header lacks what a message has that was ever sent through somebody: then more may be
/// missing. Exchange itself keeps these fields, other servers of its kind do not.
pub(super) fn is_wanted(made: &[u8]) -> bool {
    let mut lines = made.split(|byte| *byte == b'\n');
    !lines.any(|line| {
        line.get(..9)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"received:"))
    })
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Found {
    is_draft: Option<bool>,
    #[serde(deserialize_with = "property::list")]
    single_value_extended_properties: Vec<Property>,
}

/// The header as it came, of a message that has one.
pub(super) async fn of(pool: &Pool, id: &MessageId) -> Result<Option<String>> {
    let path = Path::new()
        .at("messages")
        .id(id)
        .query("$select", "id,isDraft")
        .query("$expand", &property::expand(&[property::HEADER]));
    let request = Request::get(path, Doing::message("getHeader"));
    let answer = pool.call(&request).await?;
    if items::id(&answer.json).as_ref() != Some(id) {
        return Err(items::other_item());
    }
    let found: Found = wire::read(answer.json)?;
    let all = &found.single_value_extended_properties;
    let header = Property::find(all, property::HEADER);
    let is_draft = found.is_draft == Some(true);
    let header = header.filter(|text| original::is_usable(text, is_draft));
    Ok(header.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_received_has_its_header() {
        assert!(!is_wanted(b"Subject: x\r\nReceived: from a\r\n"));
        assert!(is_wanted(b"Subject: x\r\nX-Received: from a\r\n"));
        assert!(is_wanted(b""));
    }
}
