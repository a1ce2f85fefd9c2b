//! Items of the server as what the engine knows: flags, dates, sizes.

use mailmove_core::{
    error::{Error, ErrorKind, Result, Scope},
    identity::HeaderDigest,
    model::{
        Alteration, AlterationKind, Flags, ItemClass, Keyword, MessageId, SystemFlag, Timestamp,
    },
};

use mailmove_exchange::{
    date::parse_date,
    identity::{self, Facts},
    keywords::{self, FORWARDED},
    marks,
    stamp::Stamp,
    tree,
};

use crate::{
    error::{self, Doing},
    wire::{Element, Field, Property, SoapError},
};

const READ: i64 = 1;
const UNSENT: i64 = 8;

/// What is known of an item.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub(crate) id: MessageId,
    pub(crate) class: ItemClass,
    pub(crate) size: Option<u64>,
    pub(crate) received: Option<Timestamp>,
    pub(crate) flags: Flags,
    pub(crate) notes: Vec<Alteration>,
    pub(crate) stamp: Option<Stamp>,
    /// What tells it apart, if that was asked for.
    pub(crate) identity: Option<HeaderDigest>,
}

/// The id of an item.
pub(crate) fn id(item: &Element) -> Option<MessageId> {
    item.child("ItemId")?.attribute("Id").map(MessageId::new)
}

impl Meta {
    /// Reads an item; `None` if it has no id.
    pub(crate) fn of(item: &Element) -> Option<Self> {
        let mut notes = Vec::new();
        let flags = flags(item, &mut notes);
        Some(Self {
            id: id(item)?,
            class: tree::item_class(item.text_of("ItemClass").unwrap_or_default()),
            size: item.text_of("Size").and_then(|size| size.parse().ok()),
            received: item.text_of("DateTimeReceived").and_then(parse_date),
            flags,
            notes,
            stamp: Property::Stamp.of(item).and_then(Stamp::read),
            identity: identity(item),
        })
    }
}

/// What tells it apart, of properties that an export keeps.
fn identity(item: &Element) -> Option<HeaderDigest> {
    identity::digest(Facts {
        message_id: Property::MessageId.of(item),
        subject: Property::Subject.of(item),
        global_id: Property::GlobalId.of(item),
        file_under: Property::FileUnder.of(item),
        sent: Property::Sent.of(item),
        received: item.text_of("DateTimeReceived"),
        start: Property::Start.of(item),
        end: Property::End.of(item),
        class: item.text_of("ItemClass"),
    })
}

fn flags(item: &Element, notes: &mut Vec<Alteration>) -> Flags {
    let mut flags = Flags::new();
    let mut set = |flag, on: bool| {
        if on {
            flags.insert(flag);
        }
    };
    let said = |name: &str| item.text_of(name).map(|text| text == "true" || text == "1");
    let bits = Property::MessageFlags.number(item);
    let bit = |bit| bits.map(|bits| bits & bit != 0);
    set(
        SystemFlag::Seen,
        bit(READ).or(said("IsRead")).unwrap_or(false),
    );
    set(
        SystemFlag::Draft,
        bit(UNSENT).or(said("IsDraft")).unwrap_or(false),
    );
    let status = item
        .at(&["Flag", "FlagStatus"])
        .map(|status| status.text.trim() == "Flagged");
    let flagged = Property::FlagStatus.number(item) == Some(2);
    set(SystemFlag::Flagged, status.unwrap_or(flagged));
    // Verb and icon are set by mail programs one by one: both may say something.
    let (verb, icon) = (Property::LastVerb.number(item), Property::Icon.number(item));
    let (answered, forwarded) = marks::read(verb, icon);
    set(SystemFlag::Answered, answered);
    let deleted = Property::Deleted
        .number(item)
        .is_some_and(|value| value != 0);
    set(SystemFlag::Deleted, deleted);
    if forwarded && let Ok(keyword) = Keyword::new(FORWARDED) {
        flags.insert_keyword(keyword);
    }
    let categories = item.child("Categories");
    for category in categories.iter().flat_map(|list| list.all("String")) {
        match keywords::keyword(&category.text) {
            Some(keyword) => flags.insert_keyword(keyword),
            None => {
                let detail = error::printable(&category.text);
                notes.push(Alteration::new(AlterationKind::FlagDropped, detail));
            }
        }
    }
    flags
}

/// Fields that say these flags, for an item that is made.
pub(crate) fn new_fields(flags: &Flags) -> Vec<Field> {
    let bits = i64::from(flags.contains(SystemFlag::Seen)) * READ
        + i64::from(flags.contains(SystemFlag::Draft)) * UNSENT;
    let mut fields = vec![
        Field::Extended(Property::MessageFlags, bits.to_string()),
        Field::IsRead(flags.contains(SystemFlag::Seen)),
    ];
    fields.extend(changed_fields(&Flags::new(), flags));
    fields.retain({
        // Given already.
        let mut seen = 0;
        move |field| {
            seen += usize::from(matches!(field, Field::IsRead(_)));
            !matches!(field, Field::IsRead(_)) || seen == 1
        }
    });
    fields
}

/// Fields to be set so that an item with these flags gets those. Whether it is a draft can't be changed.
pub(crate) fn changed_fields(from: &Flags, to: &Flags) -> Vec<Field> {
    let mut fields = Vec::new();
    let changed = |flag| from.contains(flag) != to.contains(flag);
    if changed(SystemFlag::Seen) {
        fields.push(Field::IsRead(to.contains(SystemFlag::Seen)));
    }
    let number = |property, value: i64| Field::Extended(property, value.to_string());
    if changed(SystemFlag::Flagged) {
        let on = to.contains(SystemFlag::Flagged);
        fields.push(number(Property::FlagStatus, if on { 2 } else { 0 }));
        fields.push(number(Property::TodoFlags, i64::from(on)));
    }
    let (answered, forwarded) = (to.contains(SystemFlag::Answered), marks::is_forwarded(to));
    if changed(SystemFlag::Answered) || marks::is_forwarded(from) != forwarded {
        let (verb, icon) = marks::write(answered, forwarded);
        fields.push(number(Property::LastVerb, verb));
        fields.push(number(Property::Icon, icon));
    }
    if changed(SystemFlag::Deleted) {
        let on = to.contains(SystemFlag::Deleted);
        fields.push(number(Property::Deleted, i64::from(on)));
    }
    let (had, has) = (marks::categories(from), marks::categories(to));
    if had != has {
        fields.push(Field::Categories(has));
    }
    fields
}

/// The item that a response message holds.
///
/// # Errors
/// If the message says that there is none.
pub(crate) fn item_in(doing: Doing, message: &Element) -> Result<&Element> {
    if let Some(refused) = SoapError::of(message) {
        return Err(error::refused(doing, &refused));
    }
    let items = message.child("Items");
    items
        .and_then(|items| items.children.first())
        .ok_or_else(error::missing)
}

/// The item of that id in a response message: what answers for another is no answer.
pub(crate) fn this_item<'a>(
    doing: Doing,
    message: &'a Element,
    id: &MessageId,
) -> Result<&'a Element> {
    let item = item_in(doing, message)?;
    match self::id(item) {
        Some(found) if found == *id => Ok(item),
        _ => Err(other_item()),
    }
}

pub(crate) fn other_item() -> Error {
    Error::new(
        ErrorKind::Interrupted,
        "the server answered for another item",
    )
    .with_code("ews/other-item")
    .with_scope(Scope::Message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::parse;

    fn meta(inner: &str) -> Meta {
        let xml = format!("<t:Message><t:ItemId Id='AAA='/>{inner}</t:Message>");
        Meta::of(&parse(xml.as_bytes()).unwrap()).unwrap()
    }

    fn property(tag: &str, value: i64) -> String {
        format!(
            "<t:ExtendedProperty><t:ExtendedFieldURI PropertyTag='{tag}' PropertyType='Integer'/>\
            <t:Value>{value}</t:Value></t:ExtendedProperty>"
        )
    }

    #[test]
    fn flags_are_read_from_what_exchange_has_for_them() {
        for (inner, flags) in [
            (property("0x0E07", 1025), "\\Seen"),
            (property("0xe07", 8), "\\Draft"),
            (
                format!("{}<IsRead>true</IsRead>", property("0x0E07", 0)),
                "",
            ),
            (
                "<IsRead>true</IsRead><IsDraft>false</IsDraft>".to_owned(),
                "\\Seen",
            ),
            (property("0x1090", 2), "\\Flagged"),
            (
                "<Flag><FlagStatus>Complete</FlagStatus></Flag>".to_owned(),
                "",
            ),
            (property("0x1081", 103), "\\Answered"),
            (property("0x1081", 104), "$Forwarded"),
            (
                property("0x1081", 102) + &property("0x1080", 262),
                "\\Answered $Forwarded",
            ),
            (
                "<Categories><String>Red Category</String></Categories>".to_owned(),
                "Red&ACA-Category",
            ),
        ] {
            assert_eq!(meta(&inner).flags, Flags::parse(flags), "{inner}");
        }
    }

    #[test]
    fn only_what_differs_is_set() {
        let fields = changed_fields(
            &Flags::parse("\\Seen Work"),
            &Flags::parse("\\Flagged \\Draft Work"),
        );
        let number = |property, value: &str| Field::Extended(property, value.to_owned());
        let expected = [
            Field::IsRead(false),
            number(Property::FlagStatus, "2"),
            number(Property::TodoFlags, "1"),
        ];
        assert_eq!(fields, expected);
        let new = new_fields(&Flags::parse("\\Seen \\Draft Work $Forwarded"));
        assert_eq!(new[0], number(Property::MessageFlags, "9"));
        assert_eq!(
            new.iter()
                .filter(|field| matches!(field, Field::IsRead(true)))
                .count(),
            1
        );
        assert!(new.contains(&Field::Categories(vec!["Work".to_owned()])));
    }
}
