//! Extended properties by the ids that Graph gives them.

use mailmove_testkit_exchange::props::{Key, Value};
use serde_json::json;

use crate::reply::Failure;

fn guid(text: &str) -> Option<(String, &str)> {
    let (set, rest) = text.strip_prefix('{')?.split_once('}')?;
    let fits = set.len() == 36 && set.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    fits.then(|| (set.to_ascii_lowercase(), rest.trim_start()))
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The property and the type that an id names, such as `Integer 0x0E07` or `String {…} Name x`.
pub(crate) fn key(id: &str) -> Option<(Key, String)> {
    let (kind, rest) = id.trim().split_once(' ')?;
    let single = kind.strip_suffix("Array").unwrap_or(kind);
    let known = [
        "Integer",
        "Short",
        "Long",
        "Boolean",
        "String",
        "SystemTime",
        "Binary",
        "Double",
        "Float",
        "CLSID",
        "Currency",
    ];
    let kind = known.iter().find(|k| k.eq_ignore_ascii_case(single))?;
    let kind = match id.split(' ').next()?.ends_with("Array") {
        true => format!("{kind}Array"),
        false => (*kind).to_owned(),
    };
    let rest = rest.trim();
    if let Some((set, rest)) = guid(rest) {
        let (word, value) = rest.split_once(' ')?;
        let key = match word.to_ascii_lowercase().as_str() {
            "name" => Key::Name(set, value.trim().to_owned()),
            "id" => Key::Id(set, number(value.trim())?),
            _ => return None,
        };
        return Some((key, kind));
    }
    let tag = u16::try_from(number(rest)?).ok()?;
    Some((Key::Tag(tag), kind))
}

/// The id as Graph shows it: not as it was asked for.
pub(crate) fn id(key: &Key, kind: &str) -> String {
    match key {
        Key::Tag(tag) => format!("{kind} {tag:#x}"),
        Key::Name(set, name) => format!("{kind} {{{set}}} Name {name}"),
        Key::Id(set, id) => format!("{kind} {{{set}}} Id {id:#x}"),
    }
}

/// A property with its value, of `singleValueExtendedProperties` or `multiValueExtendedProperties`.
pub(crate) fn read(entry: &serde_json::Value) -> Result<(Key, Value), Failure> {
    let bad = |what: &str| {
        Failure::new(
            400,
            "ErrorInvalidExtendedProperty",
            format!("Extended property {what} is not understood."),
        )
    };
    let text = entry.get("id").and_then(serde_json::Value::as_str);
    let text = text.ok_or_else(|| bad("without id"))?;
    let (key, kind) = key(text).ok_or_else(|| bad(text))?;
    let values = match entry.get("value") {
        Some(serde_json::Value::String(one)) if !kind.ends_with("Array") => vec![one.clone()],
        Some(serde_json::Value::Array(many)) if kind.ends_with("Array") => {
            let texts = many.iter().map(|v| v.as_str().map(str::to_owned));
            let texts: Option<Vec<_>> = texts.collect();
            texts.ok_or_else(|| bad(text))?
        }
        _ => return Err(bad(text)),
    };
    let value = Value { kind, values };
    match value.fits() {
        true => Ok((key, value)),
        false => Err(Failure::new(
            400,
            "ErrorInvalidExtendedPropertyValue",
            "The value does not fit the property's type.",
        )),
    }
}

/// As it is shown.
pub(crate) fn show(key: &Key, value: &Value) -> serde_json::Value {
    match value.kind.ends_with("Array") {
        true => json!({"id": id(key, &value.kind), "value": value.values}),
        false => json!({"id": id(key, &value.kind), "value": value.first()}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_name_properties() {
        assert_eq!(
            key("Integer 0x0E07"),
            Some((Key::Tag(0x0E07), "Integer".to_owned()))
        );
        let (named, kind) =
            key("String {66F5A359-4659-4830-9070-00040EC6AC6E} Name Color").unwrap();
        assert_eq!(
            id(&named, &kind),
            "String {66f5a359-4659-4830-9070-00040ec6ac6e} Name Color"
        );
        assert_eq!(id(&Key::Tag(0x0E07), "Integer"), "Integer 0xe07");
        for bad in [
            "",
            "Integer",
            "Thing 0x1",
            "String {x} Name y",
            "Integer 0x12345",
        ] {
            assert_eq!(key(bad), None, "{bad}");
        }
    }
}
