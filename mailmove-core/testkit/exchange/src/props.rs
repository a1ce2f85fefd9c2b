//! Extended properties: their names, and where their values come from.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailmove_testkit::mailbox::{Flags, Message};
use serde_json::json;

use crate::dates;
use crate::mime::Mime;

/// The name of a property.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The number of the tag.
    Tag(u16),
    /// Property set (a GUID in lower case) and name.
    Name(String, String),
    /// Property set and number.
    Id(String, u32),
}

impl Key {
    fn to_text(&self) -> String {
        match self {
            Self::Tag(tag) => format!("T {tag:x}"),
            Self::Name(set, name) => format!("N {set} {name}"),
            Self::Id(set, id) => format!("I {set} {id:x}"),
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(' ')?;
        match kind {
            "T" => Some(Self::Tag(u16::from_str_radix(rest, 16).ok()?)),
            "N" => {
                let (set, name) = rest.split_once(' ')?;
                Some(Self::Name(set.to_owned(), name.to_owned()))
            }
            "I" => {
                let (set, id) = rest.split_once(' ')?;
                Some(Self::Id(set.to_owned(), u32::from_str_radix(id, 16).ok()?))
            }
            _ => None,
        }
    }
}

/// The set of names that users give.
pub const PUBLIC_STRINGS: &str = "00020329-0000-0000-c000-000000000046";
/// The set of what all kinds of items have.
pub const COMMON: &str = "00062008-0000-0000-c000-000000000046";

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Name of the type, such as `Integer`.
    pub kind: String,
    /// One, or for an array any number.
    pub values: Vec<String>,
}

impl Value {
    /// Of a type that holds one.
    pub fn one(kind: &str, value: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            values: vec![value.into()],
        }
    }

    /// The first value, empty without one.
    #[must_use]
    pub fn first(&self) -> &str {
        self.values.first().map_or("", String::as_str)
    }

    /// Whether each value is one of its type.
    #[must_use]
    pub fn fits(&self) -> bool {
        let single = self.kind.strip_suffix("Array").unwrap_or(&self.kind);
        self.values.iter().all(|value| match single {
            "Integer" => value.parse::<i32>().is_ok(),
            "Short" => value.parse::<i16>().is_ok(),
            "Long" => value.parse::<i64>().is_ok(),
            "Boolean" => matches!(value.as_str(), "true" | "false" | "1" | "0"),
            "SystemTime" => dates::parse(value).is_some(),
            "Binary" => STANDARD.decode(value).is_ok(),
            _ => true,
        })
    }
}

/// What is known of an item beyond its content, flags and date.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Props {
    /// `IPM.Note` if absent.
    pub class: Option<String>,
    /// `Low`, `Normal` or `High`; what the header says if absent.
    pub importance: Option<String>,
    /// `Normal` if absent.
    pub sensitivity: Option<String>,
    /// The follow-up is done.
    pub complete: bool,
    /// Of the follow-up, by name.
    pub flag_dates: Vec<(String, String)>,
    /// Belongs to the folder, and is no item that users see.
    pub associated: bool,
    /// All else.
    pub extended: BTreeMap<Key, Value>,
}

impl Props {
    /// Its class.
    #[must_use]
    pub fn class(&self) -> &str {
        self.class.as_deref().unwrap_or("IPM.Note")
    }

    /// As text, for streams and digests.
    #[must_use]
    pub fn to_text(&self) -> String {
        let extended: Vec<_> = self
            .extended
            .iter()
            .map(|(key, value)| json!([key.to_text(), value.kind, value.values]))
            .collect();
        let dates: Vec<_> = self.flag_dates.iter().map(|(n, d)| json!([n, d])).collect();
        json!({
            "class": self.class,
            "importance": self.importance,
            "sensitivity": self.sensitivity,
            "complete": self.complete,
            "associated": self.associated,
            "dates": dates,
            "extended": extended,
        })
        .to_string()
    }

    /// What such a text says.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let all: serde_json::Value = serde_json::from_str(text).ok()?;
        let owned = |name: &str| all.get(name)?.as_str().map(str::to_owned);
        let list = |name: &str| all.get(name)?.as_array().cloned();
        let text =
            |value: &serde_json::Value, at: usize| value.get(at)?.as_str().map(str::to_owned);
        let mut props = Self {
            class: owned("class"),
            importance: owned("importance"),
            sensitivity: owned("sensitivity"),
            complete: all.get("complete")?.as_bool()?,
            associated: all.get("associated")?.as_bool()?,
            ..Self::default()
        };
        for date in list("dates")? {
            props.flag_dates.push((text(&date, 0)?, text(&date, 1)?));
        }
        for property in list("extended")? {
            let values = property.get(2)?.as_array()?.iter();
            let value = Value {
                kind: text(&property, 1)?,
                values: values
                    .map(|v| v.as_str().map(str::to_owned))
                    .collect::<Option<_>>()?,
            };
            props
                .extended
                .insert(Key::from_text(&text(&property, 0)?)?, value);
        }
        Some(props)
    }
}

/// The flags of the model that are no keyword of the user's.
pub const FORWARDED: &str = "$Forwarded";

/// What other programs call categories.
#[must_use]
pub fn categories(flags: &Flags) -> Vec<String> {
    let category = |flag: &&str| !flag.starts_with('\\') && !flag.eq_ignore_ascii_case(FORWARDED);
    flags.iter().filter(category).map(str::to_owned).collect()
}

/// An item with all that is known of it.
#[derive(Debug)]
pub struct Known<'a> {
    /// As the model has it.
    pub message: &'a Message,
    /// What Exchange keeps beside it.
    pub props: &'a Props,
    /// The message, taken apart.
    pub mime: &'a Mime,
    /// Digits of dates after the second.
    pub fraction_digits: usize,
}

impl Known<'_> {
    /// Whether the model's message has this flag.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.message.flags.contains(name)
    }

    /// As text, with so many digits.
    #[must_use]
    pub fn date(&self, unix: i64) -> String {
        dates::format(unix, self.fraction_digits)
    }

    /// When it was sent.
    #[must_use]
    pub fn sent(&self) -> Option<i64> {
        let own = self.props.extended.get(&Key::Tag(0x0039));
        own.and_then(|value| dates::parse(value.first()))
            .or_else(|| dates::parse_mail(&self.mime.header("date")?))
    }

    /// How important it is: as was set, else as its header says.
    #[must_use]
    pub fn importance(&self) -> &str {
        if let Some(set) = self.props.importance.as_deref() {
            return set;
        }
        let header = |name: &str| {
            self.mime
                .header(name)
                .map(|text| text.trim().to_lowercase())
        };
        let priority = header("x-priority").unwrap_or_default();
        match (header("importance").as_deref(), priority.chars().next()) {
            (Some("high"), _) | (None, Some('1' | '2')) => "High",
            (Some("low"), _) | (None, Some('4' | '5')) => "Low",
            _ => "Normal",
        }
    }

    /// PidTagMessageFlags: read, unsent, with attachments, and once read.
    fn message_flags(&self) -> i32 {
        let bit = |on: bool, bit: i32| if on { bit } else { 0 };
        let seen = self.flag("\\Seen");
        bit(seen, 1 | 0x400) | bit(self.flag("\\Draft"), 8) | bit(self.mime.has_attachments(), 0x10)
    }

    /// The value of an extended property, if the item has one of this type.
    #[must_use]
    pub fn extended(&self, key: &Key, kind: &str) -> Option<Value> {
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
    #[must_use]
    pub fn by_tag(&self, tag: u16) -> Option<Value> {
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
            0x0017 => integer(match self.importance() {
                "Low" => 0,
                "High" => 2,
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
