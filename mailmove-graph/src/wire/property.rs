//! Extended properties: what Exchange keeps and Graph has no name for.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A property with one value, by an id such as `Integer 0x0E07`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Property {
    pub(crate) id: String,
    pub(crate) value: String,
}

impl Property {
    #[cfg(test)]
    pub(crate) fn new(id: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            value: value.into(),
        }
    }

    /// The value of that id among these. Servers write the digits of a tag in either case, and leave zeroes
    /// before them out.
    pub(crate) fn find<'a>(all: &'a [Self], id: &str) -> Option<&'a str> {
        let wanted = normal(id);
        let found = all.iter().find(|property| normal(&property.id) == wanted);
        found.map(|property| property.value.as_str())
    }

    /// The same as a number.
    pub(crate) fn number(all: &[Self], id: &str) -> Option<i64> {
        Self::find(all, id)?.trim().parse().ok()
    }
}

/// Reads properties. One without a value is as good as none, and must not spoil the page that it is on.
///
/// # Errors
/// If it is no JSON.
pub(crate) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Property>, D::Error> {
    let all = Option::<Vec<Value>>::deserialize(from)?;
    let read = |entry: &Value| {
        let value = match entry.get("value")? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let id = entry.get("id")?.as_str()?.to_owned();
        Some(Property { id, value })
    };
    Ok(all.iter().flatten().filter_map(read).collect())
}

fn normal(id: &str) -> String {
    let mut words = id.split_whitespace();
    let kind = words.next().unwrap_or_default().to_ascii_lowercase();
    let rest: Vec<String> = words.map(str::to_ascii_lowercase).collect();
    match rest.as_slice() {
        [tag] => {
            let digits = tag.strip_prefix("0x").unwrap_or(tag);
            format!("{kind} {}", digits.trim_start_matches('0'))
        }
        words => format!("{kind} {}", words.join(" ")),
    }
}

/// `PR_MESSAGE_FLAGS`: read, draft.
pub(crate) const MESSAGE_FLAGS: &str = "Integer 0x0E07";
/// `PR_LAST_VERB_EXECUTED`: replied, forwarded.
pub(crate) const LAST_VERB: &str = "Integer 0x1081";
/// `PR_ICON_INDEX`: the same for people.
pub(crate) const ICON: &str = "Integer 0x1080";
/// `PR_MESSAGE_CLASS`.
pub(crate) const CLASS: &str = "String 0x001A";
/// `PR_MESSAGE_SIZE`: of Exchange's own form.
pub(crate) const SIZE: &str = "Integer 0x0E08";
/// `PR_TRANSPORT_MESSAGE_HEADERS`: the header as it came.
pub(crate) const HEADER: &str = "String 0x007D";
/// `PR_MESSAGE_DELIVERY_TIME`.
pub(crate) const DELIVERED: &str = "SystemTime 0x0E06";
/// `PR_CLIENT_SUBMIT_TIME`: when it was sent, by which Sent Items are sorted.
pub(crate) const SENT: &str = "SystemTime 0x0039";
/// `PR_INTERNET_MESSAGE_ID`.
pub(crate) const MESSAGE_ID: &str = "String 0x1035";
/// `PR_SUBJECT`.
pub(crate) const SUBJECT: &str = "String 0x0037";
/// `PR_START_DATE`.
pub(crate) const START: &str = "SystemTime 0x0060";
/// `PR_END_DATE`.
pub(crate) const END: &str = "SystemTime 0x0061";
/// `PidLidGlobalObjectId`: which meeting it is.
pub(crate) const GLOBAL_ID: &str = "Binary {6ED8DA90-450B-101B-98DA-00AA003F1305} Id 0x3";
/// `PidLidFileUnder`: how a contact is sorted.
pub(crate) const FILE_UNDER: &str = "String {00062004-0000-0000-C000-000000000046} Id 0x8005";
/// `PR_IN_REPLY_TO_ID`.
pub(crate) const IN_REPLY_TO: &str = "String 0x1042";
/// `PR_INTERNET_REFERENCES`.
pub(crate) const REFERENCES: &str = "String 0x1039";
/// `PidLidImapDeleted`.
pub(crate) const DELETED: &str = "Integer {00062008-0000-0000-C000-000000000046} Id 0x8570";
/// `PR_MESSAGE_SIZE_EXTENDED` of a folder.
pub(crate) const FOLDER_SIZE: &str = "Long 0x0E08";
/// `PR_CONTAINER_CLASS`: what a folder is made for.
pub(crate) const CONTAINER_CLASS: &str = "String 0x3613";
/// `PR_LOCAL_COMMIT_TIME_MAX`: when something in a folder was made or changed last.
pub(crate) const LAST_COMMIT: &str = "SystemTime 0x670A";
/// `PR_DELETED_COUNT_TOTAL`: how many items ever left a folder.
pub(crate) const DELETED_COUNT: &str = "Integer 0x670B";

/// `PR_FLAG_STATUS`: flagged.
pub(crate) const FLAG_STATUS: &str = "Integer 0x1090";

/// The id of the property in which we note what a message was made from.
pub(crate) fn stamp() -> String {
    use mailmove_exchange::stamp::{NAME, SET};
    format!("String {{{SET}}} Name {NAME}")
}

/// `$expand` of these properties.
pub(crate) fn expand(ids: &[&str]) -> String {
    let any: Vec<String> = ids.iter().map(|id| format!("id eq '{id}'")).collect();
    format!(
        "singleValueExtendedProperties($filter={})",
        any.join(" or ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_compared_as_exchange_does() {
        let all = [
            Property::new("Integer 0xe07", "9"),
            Property::new(stamp().to_uppercase(), "x"),
        ];
        assert_eq!(Property::number(&all, MESSAGE_FLAGS), Some(9));
        assert_eq!(Property::find(&all, &stamp()), Some("x"));
        assert_eq!(Property::find(&all, CLASS), None);
        assert_eq!(
            expand(&[CLASS, LAST_VERB]),
            "singleValueExtendedProperties($filter=id eq 'String 0x001A' or id eq 'Integer 0x1081')"
        );
    }
}
