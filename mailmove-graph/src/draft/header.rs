//! What a header says, as Graph wants it said.

use std::collections::BTreeSet;

use mail_parser::{Address, HeaderValue, Message, MessageParser};
use mailmove_exchange::header::Said;

use super::{Fields, Loss, Person};

/// Bytes of the header that are kept as they came: Exchange takes no longer ones in from outside.
const KEPT: usize = 256 << 10;
/// Characters of one field: Exchange's own limit for a text in a row of a table, and far beyond any subject.
const LONGEST: usize = 32_000;

/// Reads a header.
pub(super) fn fields(header: &[u8], losses: &mut BTreeSet<Loss>) -> Fields {
    let mut out = Fields {
        header: kept(header),
        said: Said::read(header),
        ..Fields::default()
    };
    let Some(message) = MessageParser::new().parse_headers(header) else {
        return out;
    };
    out.subject = text(&message, "Subject");
    let mut people = |name| people(&message, name, losses);
    let from = people("From");
    out.sender = people("Sender").into_iter().next();
    out.reply_to = people("Reply-To");
    out.to = people("To");
    out.cc = people("Cc");
    out.bcc = people("Bcc");
    if from.len() > 1 {
        losses.insert(Loss::Authors);
    }
    out.from = from.into_iter().next();
    out.message_id = raw(&message, "Message-ID", header).filter(|id| is_id(id));
    out.in_reply_to = raw(&message, "In-Reply-To", header);
    out.references = raw(&message, "References", header);
    out
}

/// The header as it came, without what no text may have.
fn kept(header: &[u8]) -> String {
    let mut end = header.len().min(KEPT);
    if end < header.len() {
        // Whole lines.
        let cut = header.get(..end).unwrap_or_default();
        end = memchr::memrchr(b'\n', cut).map_or(0, |at| at + 1);
    }
    let text = String::from_utf8_lossy(header.get(..end).unwrap_or_default());
    text.replace('\0', "")
}

fn is_id(text: &str) -> bool {
    let inner = text
        .strip_prefix('<')
        .and_then(|text| text.strip_suffix('>'));
    inner.is_some_and(|inner| !inner.is_empty() && !inner.contains(['<', '>', ' ']))
        && text.is_ascii()
        && text.len() <= 900
}

/// One line, its blanks single, without what can't stand there.
fn line(text: &str) -> Option<String> {
    let clean = |c: &char| !c.is_control() || c.is_whitespace();
    let text: String = text.chars().filter(clean).take(LONGEST).collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

/// A field that is a text.
fn text(message: &Message<'_>, name: &str) -> Option<String> {
    let value = message.header(name)?;
    line(value.as_text()?)
}

/// A field as it stands there, unfolded.
fn raw(message: &Message<'_>, name: &str, header: &[u8]) -> Option<String> {
    let headers = message.headers();
    let found = headers
        .iter()
        .find(|field| field.name.as_str().eq_ignore_ascii_case(name))?;
    let start = usize::try_from(found.offset_start).ok()?;
    let end = usize::try_from(found.offset_end).ok()?;
    line(&String::from_utf8_lossy(header.get(start..end)?))
}

fn people(message: &Message<'_>, name: &str, losses: &mut BTreeSet<Loss>) -> Vec<Person> {
    let mut out: Vec<Person> = Vec::new();
    let mut one = |name: Option<&str>, address: Option<&str>| {
        let name = name.and_then(line);
        match address.map(str::trim).filter(|address| is_address(address)) {
            Some(address) => out.push(Person {
                name,
                address: address.to_owned(),
            }),
            None if name.is_some() || address.is_some_and(|text| !text.trim().is_empty()) => {
                losses.insert(Loss::OddAddress);
            }
            None => {}
        }
    };
    match message.header(name).and_then(HeaderValue::as_address) {
        Some(Address::List(list)) => list
            .iter()
            .for_each(|person| one(person.name.as_deref(), person.address.as_deref())),
        Some(Address::Group(groups)) => {
            let all = groups.iter().flat_map(|group| &group.addresses);
            all.for_each(|person| one(person.name.as_deref(), person.address.as_deref()));
        }
        None => {}
    }
    out
}

/// What Exchange takes for an address: it refuses a whole message for one that is none.
fn is_address(text: &str) -> bool {
    let plain = |text: &str| {
        let odd = |c: char| c.is_control() || " \t\"<>@,;:\\()[]".contains(c);
        !text.is_empty() && !text.contains(odd)
    };
    text.len() <= 320
        && text
            .rsplit_once('@')
            .is_some_and(|(local, domain)| plain(local) && plain(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> (Fields, Vec<Loss>) {
        let mut losses = BTreeSet::new();
        let fields = fields(header.as_bytes(), &mut losses);
        (fields, losses.into_iter().collect())
    }

    fn names(people: &[Person]) -> Vec<String> {
        let text = |person: &Person| match &person.name {
            Some(name) => format!("{name} {}", person.address),
            None => person.address.clone(),
        };
        people.iter().map(text).collect()
    }

    #[test]
    fn fields_are_decoded_and_the_header_is_kept() {
        let header = "Message-ID: <1@x.org>\r\nFrom: =?utf-8?q?Gr=C3=BCn?= <a@x.org>\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n\tb\r\n\
            To: friends: b@x.org, \"C, D\" <c@x.org>;, e@x.org\r\nReferences: <0@x>\r\n <9@x>\r\nReply-To: r@x.org\r\n\
            Bcc: s@x.org\r\nImportance: high\r\nDate: Tue, 1 Jul 2003 10:52:37 +0200\r\n\r\n";
        let (fields, losses) = read(header);
        assert_eq!(fields.header, header);
        assert_eq!(fields.subject.as_deref(), Some("grüße b"));
        assert_eq!(names(&fields.to), ["b@x.org", "C, D c@x.org", "e@x.org"]);
        assert_eq!(names(fields.from.as_slice()), ["Grün a@x.org"]);
        assert_eq!(names(&fields.reply_to), ["r@x.org"]);
        assert_eq!(names(&fields.bcc), ["s@x.org"]);
        assert_eq!(fields.references.as_deref(), Some("<0@x> <9@x>"));
        assert_eq!(fields.message_id.as_deref(), Some("<1@x.org>"));
        assert!(fields.said.sent.is_some() && fields.said.importance.is_some());
        assert!(losses.is_empty());
    }

    #[test]
    fn what_exchange_would_refuse_is_left_out_and_told() {
        let (fields, losses) = read(
            "From: a@x.org, b@x.org\nTo: undisclosed-recipients:;\nReply-To: Nobody <not an address>\nMessage-ID: <a b>\n\n",
        );
        assert!(fields.to.is_empty() && fields.reply_to.is_empty());
        assert_eq!(fields.message_id, None);
        assert_eq!(losses, [Loss::OddAddress, Loss::Authors]);
        let long = format!("Subject: {}\nX: y\n\n", "x".repeat(KEPT));
        assert_eq!(read(&long).0.header, "");
    }
}
