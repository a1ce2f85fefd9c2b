//! Extended properties as the schema names them.

use crate::xml::{Element, el, text};

pub(crate) use mailmove_testkit_exchange::props::{
    COMMON, FORWARDED, Key, Known, PUBLIC_STRINGS, Props, Value, categories,
};

/// Property sets that have a name in the schema.
const SETS: [(&str, &str); 9] = [
    ("PublicStrings", PUBLIC_STRINGS),
    ("Common", COMMON),
    ("InternetHeaders", "00020386-0000-0000-c000-000000000046"),
    ("Appointment", "00062002-0000-0000-c000-000000000046"),
    ("Task", "00062003-0000-0000-c000-000000000046"),
    ("Address", "00062004-0000-0000-c000-000000000046"),
    ("Meeting", "6ed8da90-450b-101b-98da-00aa003f1305"),
    ("CalendarAssistant", "11000e07-b51b-40d6-af21-caa85edab1d0"),
    ("UnifiedMessaging", "4442858e-a9e3-4e80-b900-317a210cc15b"),
];

/// Name and type that an `ExtendedFieldURI` names; `None` if it breaks a rule.
pub(crate) fn key(uri: &Element) -> Option<(Key, String)> {
    let kind = uri.get("PropertyType")?.to_owned();
    let set = match (
        uri.get("DistinguishedPropertySetId"),
        uri.get("PropertySetId"),
    ) {
        (Some(name), None) => Some(SETS.iter().find(|(n, _)| *n == name)?.1.to_owned()),
        (None, Some(guid)) => Some(guid.to_ascii_lowercase()),
        (None, None) => None,
        (Some(_), Some(_)) => return None,
    };
    let tag = uri.get("PropertyTag");
    let name = uri.get("PropertyName");
    let id = uri.get("PropertyId");
    let key = match (set, tag, name, id) {
        (None, Some(tag), None, None) => Key::Tag(number(tag)?),
        (Some(set), None, Some(name), None) => Key::Name(set, name.to_owned()),
        (Some(set), None, None, Some(id)) => Key::Id(set, id.parse().ok()?),
        _ => return None,
    };
    Some((key, kind))
}

fn number(tag: &str) -> Option<u16> {
    match tag.strip_prefix("0x").or_else(|| tag.strip_prefix("0X")) {
        Some(hex) => u16::from_str_radix(hex, 16).ok(),
        None => tag.parse().ok(),
    }
}

/// The value in an `ExtendedProperty`; `Err` names what is wrong with it.
pub(crate) fn value(property: &Element) -> Result<(Key, Value), &'static str> {
    let uri = property
        .child("t:ExtendedFieldURI")
        .ok_or("ErrorInvalidExtendedProperty")?;
    let (key, kind) = key(uri).ok_or("ErrorInvalidExtendedProperty")?;
    let many = kind.ends_with("Array");
    let values: Vec<String> = match property.child("t:Values") {
        Some(list) if many => list.children.iter().map(|v| v.text.clone()).collect(),
        None if !many => vec![
            property
                .child_text("t:Value")
                .ok_or("ErrorInvalidExtendedPropertyValue")?
                .to_owned(),
        ],
        _ => return Err("ErrorInvalidExtendedPropertyValue"),
    };
    let value = Value { kind, values };
    match value.fits() {
        true => Ok((key, value)),
        false => Err("ErrorInvalidExtendedPropertyValue"),
    }
}

/// As an `ExtendedProperty`, with the name as it was asked for.
pub(crate) fn property(uri: Element, value: &Value) -> Element {
    let property = el("t:ExtendedProperty").with(uri);
    match value.kind.ends_with("Array") {
        false => property.with(text("t:Value", value.first())),
        true => property
            .with(el("t:Values").with_all(value.values.iter().map(|v| text("t:Value", v.clone())))),
    }
}
