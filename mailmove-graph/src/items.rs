//! Messages of the server as what the engine knows: flags, dates, sizes.

use mailmove_core::{
    error::{Error, ErrorKind, Result, Scope},
    identity::HeaderDigest,
    model::{Alteration, AlterationKind, Flags, Keyword, MessageId, SystemFlag, Timestamp},
};
use mailmove_exchange::{
    date::parse_date,
    identity::{self, Facts},
    keywords::{self, FORWARDED},
    marks,
    stamp::Stamp,
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    error::{self, Doing},
    wire::{Path, Property, Request, property},
};

/// Members that [`Meta`] is made of.
pub(crate) const SELECT: &str = "id,isRead,isDraft,flag,categories,receivedDateTime";

/// The same of a message that is asked for by its id: where it lies and since when, too. Ids outlast moves.
pub(crate) const SELECT_ONE: &str =
    "id,isRead,isDraft,flag,categories,receivedDateTime,parentFolderId,createdDateTime";

/// Properties that it is made of beside; where items travel as exports also those that tell them apart.
pub(crate) fn expand(exports: bool) -> String {
    let stamp = property::stamp();
    let mut ids = vec![
        property::CLASS,
        property::SIZE,
        property::LAST_VERB,
        property::ICON,
        property::DELETED,
        &stamp,
    ];
    if exports {
        ids.extend([
            property::SENT,
            property::MESSAGE_ID,
            property::SUBJECT,
            property::START,
            property::END,
            property::GLOBAL_ID,
            property::FILE_UNDER,
        ]);
    }
    property::expand(&ids)
}

/// Members of an item of any class, as the interface for exports shows it.
pub(crate) const ITEM_SELECT: &str = "id,categories,type,size";

/// Properties that [`Meta`] is made of there.
pub(crate) fn item_expand() -> String {
    property::expand(&[
        property::MESSAGE_FLAGS,
        property::FLAG_STATUS,
        property::LAST_VERB,
        property::ICON,
        property::DELETED,
        property::DELIVERED,
        property::SENT,
        property::MESSAGE_ID,
        property::SUBJECT,
        property::START,
        property::END,
        property::GLOBAL_ID,
        property::FILE_UNDER,
    ])
}

/// Asks for an item of any class by its id, of that folder of the interface for exports.
pub(crate) fn get(folder: Path, id: &MessageId) -> Request {
    let path = folder.at("items").id(id);
    let path = path.query("$select", ITEM_SELECT);
    let path = path.query("$expand", &item_expand());
    Request::get(path, Doing::message("getMailboxItem")).of_service()
}

/// Members of [`SELECT`] that flags are made of.
const MAIL_FLAGS: [&str; 4] = ["isRead", "isDraft", "flag", "categories"];

const READ: i64 = 1;
const UNSENT: i64 = 8;

/// How the note at a message begins whose attachments have not all arrived.
const OPEN: &str = "open ";

/// What is noted at a message that is not complete: what it will be.
pub(crate) fn open_mark(stamp: &Stamp) -> String {
    format!("{OPEN}{}", stamp.write())
}

/// How the note at a message ends that was given as MIME: of that there are no losses of the way as fields.
const AS_MIME: &str = " mime";

/// What is noted at a message that was given as MIME.
pub(crate) fn mime_mark(stamp: &Stamp) -> String {
    format!("{}{AS_MIME}", stamp.write())
}

/// What is known of a message.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub(crate) id: MessageId,
    /// `PR_MESSAGE_CLASS`; empty if it was not told.
    pub(crate) class: String,
    pub(crate) size: Option<u64>,
    pub(crate) received: Option<Timestamp>,
    pub(crate) flags: Flags,
    /// All that flags are made of was told. Else they are not what the message has.
    pub(crate) flagged: bool,
    pub(crate) notes: Vec<Alteration>,
    pub(crate) stamp: Option<Stamp>,
    /// It was given as MIME, says its mark.
    pub(crate) as_mime: bool,
    /// What it will be once all its attachments are there: an append was cut off.
    pub(crate) open: Option<Stamp>,
    /// What tells it apart as an export, if that was asked for.
    pub(crate) identity: Option<HeaderDigest>,
    /// The folder it lies in, if that was asked for.
    pub(crate) parent: Option<String>,
    /// When it was made, by the server's clock, if that was asked for.
    pub(crate) created: Option<Timestamp>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Message {
    id: String,
    is_read: Option<bool>,
    is_draft: Option<bool>,
    flag: Option<FollowUp>,
    categories: Option<Vec<Option<String>>>,
    received_date_time: Option<String>,
    parent_folder_id: Option<String>,
    created_date_time: Option<String>,
    #[serde(rename = "type")]
    class: Option<String>,
    /// Some servers tell negative ones.
    size: Option<Value>,
    #[serde(deserialize_with = "property::list")]
    single_value_extended_properties: Vec<Property>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FollowUp {
    flag_status: Option<String>,
}

/// The id of a message.
pub(crate) fn id(message: &Value) -> Option<MessageId> {
    let id = message.get("id").and_then(Value::as_str)?;
    (!id.is_empty()).then(|| MessageId::new(id))
}

impl Meta {
    /// Reads a message.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn of(message: Value) -> Result<Self> {
        let has = |name: &str| message.get(name).is_some();
        let (of_mail, of_item) = (MAIL_FLAGS.into_iter().all(has), has("categories"));
        let message: Message = crate::wire::read(message)?;
        if message.id.is_empty() {
            return Err(error::unexpected("a message without id"));
        }
        let all = &message.single_value_extended_properties;
        let mark = Property::find(all, &property::stamp());
        let received = message.received_date_time.as_deref();
        let received = received.or(Property::find(all, property::DELIVERED));
        let mut notes = Vec::new();
        Ok(Self {
            flags: flags(&message, &mut notes),
            flagged: of_mail || of_item && Property::number(all, property::MESSAGE_FLAGS).is_some(),
            identity: identity(&message, received),
            class: Property::find(all, property::CLASS)
                .or(message.class.as_deref())
                .unwrap_or_default()
                .to_owned(),
            size: Property::number(all, property::SIZE)
                .and_then(|size| size.try_into().ok())
                .or_else(|| message.size.as_ref()?.as_u64()),
            received: received.and_then(parse_date),
            notes,
            stamp: mark.and_then(Stamp::read),
            as_mime: mark.is_some_and(|mark| mark.ends_with(AS_MIME)),
            open: mark
                .and_then(|mark| mark.strip_prefix(OPEN))
                .and_then(Stamp::read),
            id: MessageId::new(&message.id),
            created: message.created_date_time.as_deref().and_then(parse_date),
            parent: message.parent_folder_id,
        })
    }
}

/// What tells it apart, of properties that an export keeps, if these were asked for.
fn identity(message: &Message, received: Option<&str>) -> Option<HeaderDigest> {
    let all = &message.single_value_extended_properties;
    let found = |id| Property::find(all, id);
    identity::digest(Facts {
        message_id: found(property::MESSAGE_ID),
        subject: found(property::SUBJECT),
        global_id: found(property::GLOBAL_ID),
        file_under: found(property::FILE_UNDER),
        sent: found(property::SENT),
        received,
        start: found(property::START),
        end: found(property::END),
        class: message.class.as_deref().or(found(property::CLASS)),
    })
}

fn flags(message: &Message, notes: &mut Vec<Alteration>) -> Flags {
    let all = &message.single_value_extended_properties;
    let (verb, icon) = (
        Property::number(all, property::LAST_VERB),
        Property::number(all, property::ICON),
    );
    let (answered, forwarded) = marks::read(verb, icon);
    let status = message.flag.as_ref();
    let status = status.and_then(|flag| flag.flag_status.as_deref());
    let bits = Property::number(all, property::MESSAGE_FLAGS).unwrap_or_default();
    let is_flagged = Property::number(all, property::FLAG_STATUS) == Some(2);
    let mut flags = Flags::new();
    for (flag, on) in [
        (
            SystemFlag::Seen,
            message.is_read.unwrap_or(bits & READ != 0),
        ),
        (
            SystemFlag::Draft,
            message.is_draft.unwrap_or(bits & UNSENT != 0),
        ),
        (
            SystemFlag::Flagged,
            status.map_or(is_flagged, |status| status == "flagged"),
        ),
        (SystemFlag::Answered, answered),
        (
            SystemFlag::Deleted,
            Property::number(all, property::DELETED).is_some_and(|value| value != 0),
        ),
    ] {
        if on {
            flags.insert(flag);
        }
    }
    if forwarded && let Ok(keyword) = Keyword::new(FORWARDED) {
        flags.insert_keyword(keyword);
    }
    for category in message.categories.iter().flatten().flatten() {
        match keywords::keyword(category) {
            Some(keyword) => flags.insert_keyword(keyword),
            None => {
                let detail = error::printable(category);
                notes.push(Alteration::new(AlterationKind::FlagDropped, detail));
            }
        }
    }
    flags
}

/// The message is not there any more.
pub(crate) fn is_gone(error: &Error) -> bool {
    error.code() == "graph/no-item"
}

/// An answer that is about another item than was asked for.
pub(crate) fn other_item() -> Error {
    Error::new(
        ErrorKind::Interrupted,
        "the server answered for another item",
    )
    .with_code("graph/other-item")
    .with_scope(Scope::Message)
}

#[cfg(test)]
mod tests {
    use mailmove_core::{identity::HeaderDigest, model::ContentDigest};
    use serde_json::json;

    use super::*;

    #[test]
    fn flags_are_read_from_what_graph_has_for_them() {
        for (members, flags) in [
            (json!({"isRead": true, "isDraft": false}), "\\Seen"),
            (json!({"isDraft": true}), "\\Draft"),
            (json!({"flag": {"flagStatus": "flagged"}}), "\\Flagged"),
            (json!({"flag": {"flagStatus": "complete"}}), ""),
            (
                json!({"categories": ["Red Category", "Work"]}),
                "Red&ACA-Category Work",
            ),
            (
                json!({"singleValueExtendedProperties": [
                    {"id": "Integer 0x1081", "value": "102"}, {"id": "Integer 0x1080", "value": "262"}
                ]}),
                "\\Answered $Forwarded",
            ),
            (
                json!({"singleValueExtendedProperties": [
                    {"id": "Integer {00062008-0000-0000-c000-000000000046} Id 0x8570", "value": "1"}
                ]}),
                "\\Deleted",
            ),
        ] {
            let mut message = members.clone();
            message["id"] = json!("A/b=");
            let meta = Meta::of(message).unwrap();
            assert_eq!(meta.flags, Flags::parse(flags), "{members}");
            assert_eq!(meta.id.as_str(), "A/b=");
        }
        assert!(Meta::of(json!({"isRead": true})).is_err());
        assert!(Meta::of(json!([1])).is_err());
    }

    #[test]
    fn flags_that_were_not_told_are_not_none() {
        let flags = json!([{"id": property::MESSAGE_FLAGS, "value": "1"}]);
        for (message, flagged) in [
            (json!({"id": "1"}), false),
            (json!({"id": "1", "isRead": true}), false),
            (
                json!({"id": "1", "isRead": true, "isDraft": false, "categories": []}),
                false,
            ),
            (
                json!({"id": "1", "isRead": true, "isDraft": false, "flag": null, "categories": []}),
                true,
            ),
            (
                json!({"id": "1", "categories": [], "type": "IPM.Note"}),
                false,
            ),
            (
                json!({"id": "1", "categories": [], "singleValueExtendedProperties": flags}),
                true,
            ),
        ] {
            assert_eq!(
                Meta::of(message.clone()).unwrap().flagged,
                flagged,
                "{message}"
            );
        }
    }

    #[test]
    fn what_is_odd_about_one_message_spoils_no_page() {
        let meta = Meta::of(json!({
            "id": "1", "size": -4, "categories": [null, "Red"], "flag": null,
            "singleValueExtendedProperties": [
                {"id": property::CLASS, "value": null}, null, {"id": property::SIZE, "value": 7}
            ]
        }));
        let meta = meta.unwrap();
        assert_eq!((meta.size, meta.class.as_str()), (Some(7), ""));
        assert_eq!(meta.flags, Flags::parse("Red"));
        let none = json!({"id": "1", "size": -4, "singleValueExtendedProperties": null});
        assert_eq!(Meta::of(none).unwrap().size, None);
    }

    #[test]
    fn a_mark_says_whether_a_message_is_complete() {
        let stamp = Stamp {
            content: ContentDigest::of(b"x"),
            header: HeaderDigest::of(b"Subject: x\r\n"),
            mailbox: 7,
        };
        let meta = |mark: String| {
            let property = json!([{"id": property::stamp(), "value": mark}]);
            Meta::of(json!({"id": "1", "singleValueExtendedProperties": property})).unwrap()
        };
        let (whole, open) = (meta(stamp.write()), meta(open_mark(&stamp)));
        assert_eq!((whole.stamp, whole.open), (Some(stamp), None));
        assert_eq!((open.stamp, open.open), (None, Some(stamp)));
        let mime = meta(mime_mark(&stamp));
        assert_eq!((mime.stamp, mime.open), (Some(stamp), None));
        assert!(mime.as_mime && !whole.as_mime && !open.as_mime);
    }
}
