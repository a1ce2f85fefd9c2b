//! Extended properties: their names, and where their values come from.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailmove_testkit::mailbox::{Flags, Message};

use crate::config::Config;
use crate::dates;
use crate::mime::Mime;
use crate::xml::{Element, el, text};

/// The name of a property.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    Tag(u16),
    /// Property set (a GUID in lower case) and name.
    Name(String, String),
    /// Property set and number.
    Id(String, u32),
}

pub(crate) const PUBLIC_STRINGS: &str = "00020329-0000-0000-c000-000000000046";
pub(crate) const COMMON: &str = "00062008-0000-0000-c000-000000000046";

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

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// Name of the type, such as `Integer`.
    pub(crate) kind: String,
    pub(crate) values: Vec<String>,
}

impl Value {
    fn one(kind: &str, value: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            values: vec![value.into()],
        }
    }

    pub(crate) fn first(&self) -> &str {
        self.values.first().map_or("", String::as_str)
    }
}

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
    let single = kind.strip_suffix("Array").unwrap_or(&kind);
    let fits = |value: &String| match single {
        "Integer" => value.parse::<i32>().is_ok(),
        "Short" => value.parse::<i16>().is_ok(),
        "Long" => value.parse::<i64>().is_ok(),
        "Boolean" => matches!(value.as_str(), "true" | "false" | "1" | "0"),
        "SystemTime" => dates::parse(value).is_some(),
        "Binary" => STANDARD.decode(value).is_ok(),
        _ => true,
    };
    match values.iter().all(fits) {
        true => Ok((key, Value { kind, values })),
        false => Err("ErrorInvalidExtendedPropertyValue"),
    }
}

/// What is known of an item beyond its content, flags and date.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Props {
    pub(crate) class: Option<String>,
    /// `Low` or `High`; `Normal` if absent.
    pub(crate) importance: Option<String>,
    pub(crate) sensitivity: Option<String>,
    /// The follow-up is done.
    pub(crate) complete: bool,
    pub(crate) flag_dates: Vec<(String, String)>,
    pub(crate) associated: bool,
    pub(crate) extended: BTreeMap<Key, Value>,
}

impl Props {
    pub(crate) fn class(&self) -> &str {
        self.class.as_deref().unwrap_or("IPM.Note")
    }

    /// As an element, for streams and digests.
    pub(crate) fn to_element(&self) -> Element {
        let mut root = el("props").attr("class", self.class());
        for (name, value) in [
            ("importance", &self.importance),
            ("sensitivity", &self.sensitivity),
        ] {
            if let Some(value) = value {
                root = root.attr(name, value.clone());
            }
        }
        if self.complete {
            root = root.attr("complete", "true");
        }
        if self.associated {
            root = root.attr("associated", "true");
        }
        for (name, value) in &self.flag_dates {
            root = root.with(text("date", value.clone()).attr("name", name.clone()));
        }
        root.with_all(
            self.extended
                .iter()
                .map(|(key, value)| property(uri_of(key, &value.kind), value)),
        )
    }

    pub(crate) fn from_element(root: &Element) -> Self {
        let owned = |name| root.get(name).map(str::to_owned);
        let mut props = Self {
            class: owned("class"),
            importance: owned("importance"),
            sensitivity: owned("sensitivity"),
            complete: root.get("complete").is_some(),
            associated: root.get("associated").is_some(),
            ..Self::default()
        };
        for child in &root.children {
            if let Some(name) = child.get("name") {
                props.flag_dates.push((name.to_owned(), child.text.clone()));
            } else if let Ok((key, value)) = value(child) {
                props.extended.insert(key, value);
            }
        }
        props
    }
}

fn uri_of(key: &Key, kind: &str) -> Element {
    let uri = el("t:ExtendedFieldURI");
    let uri = match key {
        Key::Tag(tag) => uri.attr("PropertyTag", format!("0x{tag:04x}")),
        Key::Name(set, name) => uri
            .attr("PropertySetId", set.clone())
            .attr("PropertyName", name.clone()),
        Key::Id(set, id) => uri
            .attr("PropertySetId", set.clone())
            .attr("PropertyId", id.to_string()),
    };
    uri.attr("PropertyType", kind)
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

/// The flags of the model that are no keyword of the user's.
pub(crate) const FORWARDED: &str = "$Forwarded";

/// What other programs call categories.
pub(crate) fn categories(flags: &Flags) -> Vec<String> {
    let category = |flag: &&str| !flag.starts_with('\\') && !flag.eq_ignore_ascii_case(FORWARDED);
    flags.iter().filter(category).map(str::to_owned).collect()
}

/// An item with all that is known of it.
pub(crate) struct Known<'a> {
    pub(crate) message: &'a Message,
    pub(crate) props: &'a Props,
    pub(crate) mime: &'a Mime,
    pub(crate) config: &'a Config,
}

impl Known<'_> {
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.message.flags.contains(name)
    }

    pub(crate) fn date(&self, unix: i64) -> String {
        dates::format(unix, self.config.fraction_digits)
    }

    pub(crate) fn sent(&self) -> Option<i64> {
        let own = self.props.extended.get(&Key::Tag(0x0039));
        own.and_then(|value| dates::parse(value.first()))
            .or_else(|| dates::parse_mail(&self.mime.header("date")?))
    }

    /// PidTagMessageFlags: read, unsent, with attachments, and once read.
    fn message_flags(&self) -> i32 {
        let bit = |on: bool, bit: i32| if on { bit } else { 0 };
        let seen = self.flag("\\Seen");
        bit(seen, 1 | 0x400) | bit(self.flag("\\Draft"), 8) | bit(self.mime.has_attachments(), 0x10)
    }

    /// The value of an extended property, if the item has one of this type.
    pub(crate) fn extended(&self, key: &Key, kind: &str) -> Option<Value> {
        let value = match key {
            Key::Tag(tag) => self.tag(*tag),
            Key::Name(set, name)
                if set == PUBLIC_STRINGS && name.eq_ignore_ascii_case("Keywords") =>
            {
                let values = categories(&self.message.flags);
                (!values.is_empty()).then(|| Value {
                    kind: "StringArray".to_owned(),
                    values,
                })
            }
            Key::Id(set, 0x8570) if set == COMMON => {
                self.flag("\\Deleted").then(|| Value::one("Integer", "1"))
            }
            _ => None,
        };
        let stored = || self.props.extended.get(key).cloned();
        value.or_else(stored).filter(|value| value.kind == kind)
    }

    /// The value of a tagged property, whatever its type.
    pub(crate) fn by_tag(&self, tag: u16) -> Option<Value> {
        let stored = || self.props.extended.get(&Key::Tag(tag)).cloned();
        self.tag(tag).or_else(stored)
    }

    fn tag(&self, tag: u16) -> Option<Value> {
        let integer = |n: i32| Some(Value::one("Integer", n.to_string()));
        let time = |unix: i64| Some(Value::one("SystemTime", self.date(unix)));
        let stored = || self.props.extended.get(&Key::Tag(tag)).cloned();
        match tag {
            0x0E07 => integer(self.message_flags()),
            0x0E06 => time(self.message.date.unix),
            0x0039 => self.sent().and_then(time),
            0x1090 if self.flag("\\Flagged") => integer(2),
            0x1090 if self.props.complete => integer(1),
            0x1090 => None,
            0x1081 => self.verb().and_then(integer),
            0x1080 => self.icon().and_then(integer),
            0x001A => Some(Value::one("String", self.props.class())),
            0x0017 => integer(match self.props.importance.as_deref() {
                Some("Low") => 0,
                Some("High") => 2,
                _ => 1,
            }),
            0x0E08 => integer(i32::try_from(self.message.body.len()).unwrap_or(i32::MAX)),
            // IMAP gateways number by it; it never changes and grows within a folder.
            0x0E23 => integer(i32::try_from(self.message.uid).unwrap_or(i32::MAX)),
            0x0FF9 | 0x300B => {
                let content = self.message.email_id.to_string();
                Some(Value::one("Binary", STANDARD.encode(content)))
            }
            0x3007 | 0x3008 => stored().or_else(|| time(self.message.date.unix)),
            0x0037 => Some(Value::one("String", self.mime.subject())),
            0x1035 => Some(Value::one("String", self.mime.header("message-id")?)),
            0x1042 => Some(Value::one("String", self.mime.header("in-reply-to")?)),
            0x1039 => Some(Value::one("String", self.mime.header("references")?)),
            0x007D => stored().or_else(|| Some(Value::one("String", self.mime.header_block()))),
            _ => None,
        }
    }

    /// PidTagIconIndex: what was set, unless the model's flags have changed since.
    fn icon(&self) -> Option<i32> {
        let stored = self.props.extended.get(&Key::Tag(0x1080));
        let stored = stored.and_then(|v| v.first().parse::<i32>().ok());
        match stored {
            Some(261) => self.flag("\\Answered").then_some(261),
            Some(262) => self.flag(FORWARDED).then_some(262),
            Some(other) => Some(other),
            None => self.verb().map(|verb| if verb == 104 { 262 } else { 261 }),
        }
    }

    /// PidTagLastVerbExecuted. Only one fits; answered comes before forwarded.
    fn verb(&self) -> Option<i32> {
        let stored = self.props.extended.get(&Key::Tag(0x1081));
        let stored = stored.and_then(|v| v.first().parse::<i32>().ok());
        let (answered, forwarded) = (self.flag("\\Answered"), self.flag(FORWARDED));
        match stored {
            Some(verb @ (102 | 103)) if answered => Some(verb),
            Some(104) if forwarded => Some(104),
            Some(verb) if !(102..=104).contains(&verb) => Some(verb),
            _ if answered => Some(102),
            _ if forwarded => Some(104),
            _ => None,
        }
    }
}
