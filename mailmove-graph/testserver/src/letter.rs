//! A message as JSON has it, and as MIME.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use mailmove_testkit_exchange::addresses::{self, Person};
use mailmove_testkit_exchange::dates;
use mailmove_testkit_exchange::mime::{Attachment, Mime};
use mailmove_testkit_exchange::rebuild::{lines, word};

/// Boundaries differ from one message to the next.
static MADE: AtomicU64 = AtomicU64::new(1);

/// What a message is made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Letter {
    pub(crate) from: Vec<Person>,
    pub(crate) sender: Vec<Person>,
    pub(crate) reply_to: Vec<Person>,
    pub(crate) to: Vec<Person>,
    pub(crate) cc: Vec<Person>,
    pub(crate) bcc: Vec<Person>,
    pub(crate) subject: String,
    /// Seconds since 1970.
    pub(crate) date: Option<i64>,
    pub(crate) message_id: Option<String>,
    pub(crate) in_reply_to: Option<String>,
    pub(crate) references: Option<String>,
    /// Such as begin with `x-`.
    pub(crate) own: Vec<(String, String)>,
    pub(crate) html: bool,
    pub(crate) body: String,
    pub(crate) attachments: Vec<Attachment>,
}

impl Letter {
    /// What of a message can be shown.
    pub(crate) fn of(mime: &Mime) -> Self {
        let people = |name: &str| addresses::parse(&mime.header(name).unwrap_or_default());
        let html = mime.find_text("text/html");
        let body = html.or_else(|| mime.find_text("text/plain"));
        let own = mime.headers().iter();
        Self {
            from: people("from"),
            sender: people("sender"),
            reply_to: people("reply-to"),
            to: people("to"),
            cc: people("cc"),
            bcc: people("bcc"),
            subject: mime.subject(),
            date: mime.header("date").and_then(|d| dates::parse_mail(&d)),
            message_id: mime.header("message-id"),
            in_reply_to: mime.header("in-reply-to"),
            references: mime.header("references"),
            own: own.filter(|(n, _)| n.starts_with("x-")).cloned().collect(),
            html: html.is_some(),
            body: body.map(Mime::text).unwrap_or_default(),
            attachments: mime.attachments(),
        }
    }

    /// As MIME.
    pub(crate) fn mime(&self) -> Bytes {
        let mut out = Vec::from(self.header());
        let kind = if self.html { "html" } else { "plain" };
        let body = format!(
            "Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
            lines(self.body.as_bytes())
        );
        if self.attachments.is_empty() {
            out.extend(body.into_bytes());
            return out.into();
        }
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let boundary = format!("--=_graph_{number:016x}_=--");
        let open = format!("\r\n--{boundary}\r\n");
        out.extend(
            format!("Content-Type: multipart/mixed;\r\n boundary=\"{boundary}\"\r\n").into_bytes(),
        );
        out.extend(open.as_bytes());
        out.extend(body.trim_end().as_bytes());
        for attachment in &self.attachments {
            out.extend(open.as_bytes());
            out.extend(part(attachment));
        }
        out.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
        out.into()
    }

    fn header(&self) -> String {
        let mut out = String::from("MIME-Version: 1.0\r\n");
        let mut field = |name: &str, value: Option<String>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                out += &format!("{name}: {value}\r\n");
            }
        };
        field("Date", self.date.map(dates::format_mail));
        field("From", people(&self.from));
        field("Sender", people(&self.sender));
        field("Reply-To", people(&self.reply_to));
        field("To", people(&self.to));
        field("Cc", people(&self.cc));
        field("Bcc", people(&self.bcc));
        field("Subject", Some(text(&self.subject)));
        field("Message-ID", self.message_id.as_deref().map(line));
        field("In-Reply-To", self.in_reply_to.as_deref().map(line));
        field("References", self.references.as_deref().map(line));
        for (name, value) in &self.own {
            field(name, Some(text(value)));
        }
        out
    }
}

fn line(text: &str) -> String {
    let kept = text.chars().filter(|c| !c.is_control() || *c == '\t');
    kept.collect()
}

fn text(value: &str) -> String {
    let value = line(value);
    match value.is_ascii() {
        true => value,
        false => word(&value),
    }
}

fn people(list: &[Person]) -> Option<String> {
    let each: Vec<_> = list
        .iter()
        .map(|person| match person.name.is_empty() {
            true => format!("<{}>", line(&person.address)),
            false => {
                let shown = Person {
                    name: line(&person.name),
                    address: line(&person.address),
                };
                shown.rebuilt()
            }
        })
        .collect();
    (!each.is_empty()).then(|| each.join(",\r\n "))
}

fn part(attachment: &Attachment) -> Vec<u8> {
    let name = match attachment.name.is_ascii() {
        true => line(&attachment.name).replace(['"', '\\'], ""),
        false => word(&line(&attachment.name)).replace("\r\n ", " "),
    };
    // An inline text would be taken for the body.
    let text = attachment.kind.starts_with("text/");
    let disposition = match attachment.inline && !text {
        true => "inline",
        false => "attachment",
    };
    let mut head = format!("Content-Type: {}", line(&attachment.kind));
    if !name.is_empty() {
        head += &format!("; name=\"{name}\"");
    }
    if let Some(id) = &attachment.id {
        head += &format!("\r\nContent-ID: <{}>", line(id));
    }
    head += &format!("\r\nContent-Disposition: {disposition}");
    if !name.is_empty() {
        head += &format!("; filename=\"{name}\"");
    }
    if attachment.kind == "message/rfc822" {
        head += "\r\n\r\n";
        let mut out = head.into_bytes();
        out.extend(&attachment.content);
        return out;
    }
    head += "\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    head += lines(&attachment.content).trim_end();
    head.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_survives_its_mime() {
        let letter = Letter {
            from: vec![Person {
                name: "Jürgen \"J\" Müller".to_owned(),
                address: "j@example.com".to_owned(),
            }],
            subject: "grüße".to_owned(),
            body: "hallo\r\n".to_owned(),
            own: vec![("x-own".to_owned(), "a".to_owned())],
            attachments: vec![Attachment {
                name: "bild ä.png".to_owned(),
                kind: "image/png".to_owned(),
                id: Some("cid@x".to_owned()),
                inline: true,
                content: vec![0, 1, 2],
            }],
            ..Letter::default()
        };
        let again = Letter::of(&Mime::parse(&letter.mime()));
        assert_eq!(again.subject, letter.subject);
        assert_eq!(again.body, letter.body);
        assert_eq!(again.own, letter.own);
        assert_eq!(again.from[0].address, "j@example.com");
        let attachment = &again.attachments[0];
        assert_eq!(attachment.name, "bild ä.png");
        assert_eq!(attachment.content, [0, 1, 2]);
        assert_eq!(attachment.id.as_deref(), Some("cid@x"));
        assert!(attachment.inline);
    }
}
