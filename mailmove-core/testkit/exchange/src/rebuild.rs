//! MIME as Exchange rebuilds it: nothing of the original's bytes is kept but what its properties hold.
//!
//! What gets lost was measured of gromox 3.10: tracing fields, signatures, fields of one's own, preamble
//! and epilogue, boundaries, encodings, the zone of the date, everything in a text after a NUL.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::addresses;
use crate::dates;
use crate::mime::{Attachment, Mime};
use crate::props::Known;

/// Messages within messages, beyond which they are kept as they are.
const MAX_DEPTH: usize = 5;

/// Each reading has boundaries of its own.
static READINGS: AtomicU64 = AtomicU64::new(1);

/// What a message is made anew of.
struct Sources<'a> {
    mime: &'a Mime,
    date: i64,
    importance: &'a str,
    original: &'a [u8],
}

/// The message made anew from its properties.
#[must_use]
pub fn rebuild(known: &Known<'_>) -> Vec<u8> {
    let sources = Sources {
        mime: known.mime,
        // Without a date that can be read, it is when the message came.
        date: known.sent().unwrap_or(known.message.date.unix),
        importance: known.importance(),
        original: &known.message.body,
    };
    sources.rebuild(0).into_bytes()
}

impl Sources<'_> {
    fn rebuild(&self, depth: usize) -> String {
        let reading = READINGS.fetch_add(1, Ordering::Relaxed);
        let attachments = self.mime.attachments();
        let mut out = header(self, !attachments.is_empty());
        let alternative = alternative(self.mime, reading);
        if attachments.is_empty() {
            return out + &alternative;
        }
        let boundary = format!("_=_mixed{reading:08x}_=_");
        out += &format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n");
        out += &format!("--{boundary}\r\n{alternative}\r\n");
        for attachment in &attachments {
            out += &format!("--{boundary}\r\n{}", attached(attachment, self.date, depth));
        }
        out + &format!("--{boundary}--\r\n")
    }
}

fn header(known: &Sources<'_>, attachments: bool) -> String {
    let mime = known.mime;
    let mut out = String::from("MIME-Version: 1.0\r\n");
    let mut field = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            out += &format!("{name}: {value}\r\n");
        }
    };
    field("Date", Some(dates::format_mail(known.date)));
    for (name, shown) in [
        ("from", "From"),
        ("sender", "Sender"),
        ("reply-to", "Reply-To"),
        ("to", "To"),
        ("cc", "Cc"),
        ("bcc", "Bcc"),
    ] {
        let people = mime.header(name).map(|list| addresses::parse(&list));
        let people = people.map(|people| {
            let each: Vec<_> = people.iter().map(addresses::Person::rebuilt).collect();
            each.join(",\r\n ")
        });
        field(shown, people);
    }
    let subject = clean(&mime.subject());
    let words = match subject.is_ascii() {
        true => subject.clone(),
        false => word(&subject),
    };
    field("Subject", Some(words.clone()));
    field("Thread-Topic", Some(words));
    field("Message-ID", mime.header("message-id").map(|id| clean(&id)));
    field(
        "In-Reply-To",
        mime.header("in-reply-to").map(|id| clean(&id)),
    );
    field("References", mime.header("references").map(|id| clean(&id)));
    let digest = blake3::hash(known.original);
    let index = digest.as_bytes().get(..22).unwrap_or_default();
    field("Thread-Index", Some(STANDARD.encode(index)));
    field("Importance", Some(known.importance.to_owned()));
    let has = if attachments { "yes" } else { "" };
    field("X-MS-Has-Attach", Some(has.to_owned()));
    field("X-Mailer", Some("mailmove test server".to_owned()));
    out
}

/// One line, without what cannot stand in a header.
fn clean(text: &str) -> String {
    // What was no UTF-8 is dropped.
    text.replace('\t', " ")
        .chars()
        .filter(|c| !c.is_control() && *c != '\u{FFFD}')
        .collect()
}

/// Text up to a NUL; what is no UTF-8 becomes a question mark.
fn cut(text: &str) -> String {
    let text = text.split('\0').next().unwrap_or_default();
    text.replace('\u{FFFD}', "?")
}

/// Both forms of the text, of which one may be made up.
fn alternative(mime: &Mime, reading: u64) -> String {
    let plain = mime.find_text("text/plain").map(|part| cut(&part.text()));
    let html = mime.find_text("text/html").map(|part| cut(&part.text()));
    let (plain, html) = match (plain, html) {
        (Some(plain), Some(html)) => (plain, html),
        (Some(plain), None) => {
            let html = as_html(&plain);
            (plain, html)
        }
        (None, Some(html)) => (as_text(&html), html),
        (None, None) => (String::new(), as_html("")),
    };
    let boundary = format!("_=_alternative{reading:08x}_=_");
    let part = |kind: &str, text: &str| {
        format!(
            "--{boundary}\r\nContent-Type: text/{kind}; charset=\"utf-8\"\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{}",
            lines(text.as_bytes())
        )
    };
    format!(
        "Content-Type: multipart/alternative; boundary=\"{boundary}\"\r\n\r\n{}{}--{boundary}--\r\n",
        part("plain", &plain),
        part("html", &html)
    )
}

fn as_html(plain: &str) -> String {
    let text = plain
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace("\r\n", "\n")
        .replace('\n', "<br>\r\n");
    format!("<html><body>\r\n{text}</body></html>\r\n")
}

/// The text of a page, without what is in tags.
#[must_use]
pub fn as_text(html: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out
}

fn attached(attachment: &Attachment, date: i64, depth: usize) -> String {
    if attachment.kind == "message/rfc822" && depth < MAX_DEPTH {
        let original = Bytes::from(attachment.content.clone());
        let mime = Mime::parse(&original);
        let own = mime.header("date").and_then(|d| dates::parse_mail(&d));
        let sources = Sources {
            mime: &mime,
            date: own.unwrap_or(date),
            importance: "Normal",
            original: &original,
        };
        return format!(
            "Content-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n{}",
            sources.rebuild(depth + 1)
        );
    }
    let name = match attachment.name.is_ascii() {
        true => clean(&attachment.name).replace('"', ""),
        false => word(&attachment.name).replace("\r\n", ""),
    };
    let disposition = if attachment.inline {
        "inline"
    } else {
        "attachment"
    };
    let created = dates::format_mail(date);
    let id = match &attachment.id {
        Some(id) => format!("Content-ID: <{}>\r\n", clean(id)),
        None => String::new(),
    };
    format!(
        "Content-Type: {}; name=\"{name}\"\r\n{id}Content-Disposition: {disposition}; filename=\"{name}\";\r\n \
         creation-date=\"{created}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
        attachment.kind,
        lines(&attachment.content)
    )
}

/// Base64 in lines.
#[must_use]
pub fn lines(bytes: &[u8]) -> String {
    // At once, since the encoder is fast and this is not.
    let text = STANDARD.encode(bytes);
    let mut out = String::with_capacity(text.len() / 76 * 78 + 80);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(76).unwrap_or((rest, ""));
        out += line;
        out += "\r\n";
        rest = after;
    }
    out
}

/// A text as RFC 2047 words.
#[must_use]
pub fn word(text: &str) -> String {
    let mut words = Vec::new();
    let mut chunk = String::new();
    for c in text.chars() {
        if chunk.len() + c.len_utf8() > 45 {
            words.push(std::mem::take(&mut chunk));
        }
        chunk.push(c);
    }
    words.push(chunk);
    let words: Vec<_> = words
        .iter()
        .map(|chunk| format!("=?utf-8?B?{}?=", STANDARD.encode(chunk)))
        .collect();
    words.join("\r\n ")
}
