//! What a header says, however it is written.

use mail_parser::{Address, HeaderValue, Message, MessageParser};

use super::{Aspect, short_of};
use crate::{mime::Media, repair::fields};

/// Fields that are compared, in the order of [`Aspect::HEADER`].
const FIELDS: [&str; Aspect::HEADER.len()] = [
    "Message-ID",
    "Date",
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Subject",
    "In-Reply-To",
    "References",
];

/// What one field says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fact {
    /// `None`: nothing, or nothing that can be read.
    pub(super) digest: Option<u64>,
    /// Of its ASCII letters and digits alone.
    pub(super) letters: u64,
    /// Not written as RFC 5322 wants it, or there more than once: readers differ about what it says.
    pub(super) odd: bool,
    /// The first of several people whom it names.
    pub(super) first: Option<u64>,
}

pub(super) type Facts = [Fact; FIELDS.len()];

fn parse(header: &[u8]) -> Option<Message<'_>> {
    MessageParser::new().parse_headers(header)
}

/// What a message's header says.
pub(super) fn facts(header: &[u8]) -> Facts {
    let mut out = Facts::default();
    let Some(message) = parse(header) else {
        return out;
    };
    for (fact, name) in out.iter_mut().zip(FIELDS) {
        let mut raw = fields(header, name.as_bytes()).into_iter();
        let Some(text) = raw.next() else { continue };
        let text = String::from_utf8_lossy(&text);
        let value = message.header(name);
        let (said, well_formed) = match name {
            "Date" => date(value, &text),
            "Subject" => subject(value, &text),
            "Message-ID" | "In-Reply-To" | "References" => ids(&text),
            _ => addresses(value, &text),
        };
        fact.digest = said
            .as_deref()
            .filter(|said| !said.is_empty())
            .map(short_of);
        fact.letters = letters(said.as_deref().unwrap_or(&text));
        let people = value.and_then(HeaderValue::as_address);
        let several = people.filter(|people| people.iter().count() > 1);
        let first = several.and_then(|people| people.first()?.address());
        fact.first = first.map(|address| short_of(&address.trim().to_lowercase()));
        fact.odd = raw.next().is_some() || !well_formed || said.is_none();
    }
    out
}

fn letters(text: &str) -> u64 {
    let letters: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    short_of(&letters)
}

/// One line, its blanks single, without what cannot stand in a header.
fn line(text: &str) -> String {
    let clean = |c: &char| (!c.is_control() || c.is_whitespace()) && *c != '\u{fffd}';
    let text: String = text.chars().filter(clean).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn date(value: Option<&HeaderValue<'_>>, raw: &str) -> (Option<String>, bool) {
    let date = value
        .and_then(HeaderValue::as_datetime)
        .filter(|date| date.is_valid());
    (
        date.map(|date| date.to_timestamp().to_string()),
        is_date(raw),
    )
}

/// `[Tue, ]1 Jul 2003 10:52:37 +0200[ (CEST)]`
fn is_date(raw: &str) -> bool {
    let raw = raw.trim();
    let raw = raw.split_once(',').map_or(raw, |(_, rest)| rest);
    let words: Vec<&str> = raw.split_ascii_whitespace().collect();
    let [day, month, year, time, zone, rest @ ..] = words.as_slice() else {
        return false;
    };
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let zoned = zone
        .strip_prefix(['+', '-'])
        .is_some_and(|zone| zone.len() == 4 && digits(zone, 4));
    let comment = rest.first().is_none_or(|first| first.starts_with('('));
    let parts: Vec<&str> = time.split(':').collect();
    let clock = parts.len() == 3 && parts.iter().all(|part| part.len() == 2 && digits(part, 2));
    digits(day, 2)
        && month.len() == 3
        && year.len() == 4
        && digits(year, 4)
        && clock
        && zoned
        && comment
}

fn subject(value: Option<&HeaderValue<'_>>, raw: &str) -> (Option<String>, bool) {
    let said = value.and_then(HeaderValue::as_text).unwrap_or_default();
    let odd = !raw.is_ascii()
        || raw.chars().any(|c| c.is_control() && !c.is_whitespace())
        || said.contains("=?")
        || raw.to_ascii_lowercase().contains("=?utf-7")
        || said.contains('\u{fffd}');
    (Some(line(said)), !odd)
}

/// As they stand there: converters keep them.
fn ids(raw: &str) -> (Option<String>, bool) {
    let said = line(raw);
    let is_id = |word: &str| {
        let inner = word
            .strip_prefix('<')
            .and_then(|word| word.strip_suffix('>'));
        inner.is_some_and(|inner| !inner.is_empty() && !inner.contains(['<', '>']))
    };
    let well_formed = said.is_ascii() && said.split(' ').all(is_id);
    (Some(said), well_formed)
}

/// Addresses, in order; not the names before them, which converters make up.
fn addresses(value: Option<&HeaderValue<'_>>, raw: &str) -> (Option<String>, bool) {
    let mut said = Vec::new();
    let mut one = |address: Option<&str>| {
        let address = address.map(str::trim).filter(|address| !address.is_empty());
        said.extend(address.map(str::to_lowercase));
    };
    match value.and_then(HeaderValue::as_address) {
        Some(Address::List(list)) => list
            .iter()
            .for_each(|person| one(person.address.as_deref())),
        Some(Address::Group(groups)) => {
            let all = groups.iter().flat_map(|group| &group.addresses);
            all.for_each(|person| one(person.address.as_deref()));
        }
        None => {}
    }
    let mut quoted = false;
    let people = raw.split(|c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    (
        Some(said.join(" ")),
        raw.is_ascii() && people.into_iter().all(is_person),
    )
}

/// `local@domain`, `words <local@domain>` or `"any words" <local@domain>`.
fn is_person(text: &str) -> bool {
    let text = text.trim();
    let is_address = |text: &str| {
        let plain = |text: &str| {
            // RFC 2047 has no encoded words in addresses: some decode them all the same.
            !text.is_empty()
                && !text.contains("=?")
                && !text.contains(|c: char| " \t\"<>@,;:\\()[]".contains(c))
        };
        text.split_once('@')
            .is_some_and(|(local, domain)| plain(local) && plain(domain))
    };
    let Some((name, address)) = text
        .strip_suffix('>')
        .and_then(|text| text.rsplit_once('<'))
    else {
        return is_address(text);
    };
    let name = name.trim();
    let inner = name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'));
    let named = match inner {
        Some(inner) => !inner.contains(['"', '\\']),
        None => !name.contains(|c: char| "\"<>@,;:\\()[]".contains(c)),
    };
    named && is_address(address)
}

/// What an attachment's name says; `None` if it has none.
pub(super) fn name(media: &Media) -> Option<Fact> {
    let name = media.name.as_deref()?;
    let odd = !media.ascii || name.contains("=?") || name.contains('\u{fffd}');
    let name = line(name);
    Some(Fact {
        digest: (!name.is_empty()).then(|| short_of(&name)),
        letters: letters(&name),
        odd,
        first: None,
    })
}

/// How important a message is said to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Importance {
    pub(super) level: Level,
    /// Its fields disagree, or say what nobody knows.
    pub(super) odd: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Level {
    Low,
    /// Also that of what says nothing.
    #[default]
    Normal,
    High,
}

impl Importance {
    /// Programs write one of three fields, or several. The first that says something counts.
    pub(super) fn of(header: &[u8]) -> Self {
        let mut said = Vec::new();
        let mut odd = false;
        for name in ["Importance", "X-Priority", "X-MSMail-Priority"] {
            let all = fields(header, name.as_bytes());
            odd |= all.len() > 1;
            if let Some(text) = all.first() {
                let level = Level::read(String::from_utf8_lossy(text).trim());
                odd |= level.is_none();
                said.extend(level);
            }
        }
        let level = said.first().copied().unwrap_or_default();
        odd |= said.iter().any(|one| *one != level);
        Self { level, odd }
    }
}

impl Level {
    /// `high`, or `1 (Highest)` to `5 (Lowest)`.
    fn read(text: &str) -> Option<Self> {
        let digits = text.split(|c: char| !c.is_ascii_digit()).next();
        match digits.filter(|digits| !digits.is_empty()) {
            Some("1" | "2") => return Some(Self::High),
            Some("3") => return Some(Self::Normal),
            Some("4" | "5") => return Some(Self::Low),
            _ => {}
        }
        match text.to_ascii_lowercase().as_str() {
            "high" => Some(Self::High),
            "normal" | "medium" => Some(Self::Normal),
            "low" => Some(Self::Low),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(name: &str, value: &str) -> Fact {
        let header = format!("{name}: {value}\r\n\r\n");
        let at = FIELDS.iter().position(|field| *field == name).unwrap();
        facts(header.as_bytes())[at]
    }

    #[test]
    fn fields_are_read_and_not_how_they_are_written() {
        for (name, one, same, other) in [
            (
                "Date",
                "Tue, 1 Jul 2003 10:52:37 +0200",
                "1 Jul 2003 08:52:37 +0000",
                "1 Jul 2003 08:52:38 +0000",
            ),
            (
                "Subject",
                "=?utf-8?q?gr=C3=B6=C3=9Fe?=",
                "=?iso-8859-1?B?Z3L232U=?=",
                "gro",
            ),
            (
                "To",
                "\"A, B\" <a@x.org>,\r\n c@Y.org",
                "<a@x.org>, Chris <c@y.org>",
                "a@x.org",
            ),
            ("References", "<1@x>\r\n\t<2@x>", "<1@x> <2@x>", "<1@x>"),
        ] {
            let (one, same, other) = (fact(name, one), fact(name, same), fact(name, other));
            assert!(one.digest.is_some() && !one.odd, "{name}");
            assert_eq!(one.digest, same.digest, "{name}");
            assert_ne!(one.digest, other.digest, "{name}");
        }
    }

    #[test]
    fn how_important_it_is_is_read_from_any_of_three_fields() {
        for (header, level, odd) in [
            ("", Level::Normal, false),
            ("Importance: high\r\n", Level::High, false),
            ("importance:  LOW\r\nX-Priority: 5\r\n", Level::Low, false),
            ("X-Priority: 1 (Highest)\r\n", Level::High, false),
            (
                "X-Priority: 2\r\nX-MSMail-Priority: High\r\n",
                Level::High,
                false,
            ),
            ("X-MSMail-Priority: Low\r\n", Level::Low, false),
            (
                "X-Priority: 3\r\nX-MSMail-Priority: Normal\r\n",
                Level::Normal,
                false,
            ),
            ("X-Priority: 4 (Low)\r\n", Level::Low, false),
            ("Importance: medium\r\n", Level::Normal, false),
            (
                "Importance: normal\r\nX-Priority: 1\r\n",
                Level::Normal,
                true,
            ),
            ("Importance: urgent\r\nX-Priority: 1\r\n", Level::High, true),
            ("X-Priority: 10\r\n", Level::Normal, true),
            ("Importance: low\r\nImportance: low\r\n", Level::Low, true),
        ] {
            let found = Importance::of(header.as_bytes());
            assert_eq!((found.level, found.odd), (level, odd), "{header}");
        }
    }

    #[test]
    fn odd_fields_are_told() {
        for (name, value) in [
            ("Date", "yesterday"),
            ("Date", "Tue, 1 Jul 03 10:52 CEST"),
            ("Subject", "gr\u{f6}\u{df}e"),
            ("To", "undisclosed-recipients:;"),
            ("To", "nobody"),
            ("From", "a@x.org (a comment)"),
            ("From", "=?us-ascii?Q?a=40x.org?=@y.org"),
            ("Message-ID", "no-brackets@x"),
            ("Message-ID", "<>"),
        ] {
            assert!(fact(name, value).odd, "{name}: {value}");
        }
        let twice = facts(b"Subject: a\r\nSubject: b\r\n\r\n");
        assert!(twice[8].odd && !twice[0].odd && twice[0].digest.is_none());
    }

    #[test]
    fn parts_say_what_they_are() {
        let media = Media::of(
            b"Content-Type: Text/Plain; charset=\"UTF-8\"; name=\"a b.txt\"\r\n\
              Content-Transfer-Encoding: BASE64\r\nContent-Disposition: attachment\r\n\r\n",
            false,
        );
        assert_eq!(
            (media.kind.as_str(), media.charset.as_deref()),
            ("text/plain", Some("UTF-8"))
        );
        assert!(media.attachment && media.encoding == crate::mime::Encoding::Base64);
        assert_eq!(name(&media).unwrap().digest, Some(short_of("a b.txt")));
        assert_eq!(Media::of(b"\r\n", true).kind, "message/rfc822");
    }
}
