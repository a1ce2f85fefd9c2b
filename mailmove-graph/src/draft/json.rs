//! A draft as JSON.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailmove_core::model::{Flags, SystemFlag, Timestamp};
use mailmove_exchange::{date::format_date, header::Importance, marks};
use serde_json::{Map, Value, json};

use super::{Attachment, Draft, Person};
use crate::wire::property;

/// Bytes of a message within that may become one: a request has 4 MB, and Base64 takes a third more.
pub const EMBEDDED_MAX: u64 = 2 << 20;
/// Messages within each other that become messages.
const DEEPEST: usize = 4;

/// What is said of a message beside what it holds.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Beside {
    /// Its flags.
    pub flags: Flags,
    /// When it was received.
    pub received: Option<Timestamp>,
    /// What is noted at it, in a property of our own.
    pub mark: Option<String>,
}

impl Beside {
    /// Of a message with these flags, received then.
    #[must_use]
    pub fn new(flags: Flags, received: Option<Timestamp>) -> Self {
        Self {
            flags,
            received,
            mark: None,
        }
    }

    /// Notes something at it.
    #[must_use]
    pub fn with_mark(mut self, mark: String) -> Self {
        self.mark = Some(mark);
        self
    }

    /// All of this as members of a message that has these flags by now.
    pub(crate) fn json(&self, has: &Flags) -> Map<String, Value> {
        let mut out = flags(has, &self.flags);
        // Unread unless it says otherwise.
        let seen = self.flags.contains(SystemFlag::Seen);
        out.insert("isRead".to_owned(), json!(seen));
        let mut properties = match out.remove(PROPERTIES) {
            Some(Value::Array(all)) => all,
            _ => Vec::new(),
        };
        if let Some(at) = self.received {
            properties.push(with(property::DELIVERED, format_date(at)));
        }
        if let Some(mark) = &self.mark {
            properties.push(with(&property::stamp(), mark.clone()));
        }
        out.insert(PROPERTIES.to_owned(), Value::Array(properties));
        out
    }
}

fn with(id: &str, value: impl Into<String>) -> Value {
    json!({ "id": id, "value": value.into() })
}

/// What flags become, where they are `to` and were `from`. Whether it is a draft can't be changed.
pub(crate) fn flags(from: &Flags, to: &Flags) -> Map<String, Value> {
    let mut out = Map::new();
    let changed = |flag| from.contains(flag) != to.contains(flag);
    if changed(SystemFlag::Seen) {
        out.insert("isRead".to_owned(), json!(to.contains(SystemFlag::Seen)));
    }
    if changed(SystemFlag::Flagged) {
        let status = match to.contains(SystemFlag::Flagged) {
            true => "flagged",
            false => "notFlagged",
        };
        out.insert("flag".to_owned(), json!({ "flagStatus": status }));
    }
    let (had, has) = (marks::categories(from), marks::categories(to));
    if had != has {
        out.insert("categories".to_owned(), json!(has));
    }
    let mut properties = Vec::new();
    let (answered, forwarded) = (to.contains(SystemFlag::Answered), marks::is_forwarded(to));
    if changed(SystemFlag::Answered) || marks::is_forwarded(from) != forwarded {
        let (verb, icon) = marks::write(answered, forwarded);
        properties.push(with(property::LAST_VERB, verb.to_string()));
        properties.push(with(property::ICON, icon.to_string()));
    }
    if changed(SystemFlag::Deleted) {
        let on = i64::from(to.contains(SystemFlag::Deleted));
        properties.push(with(property::DELETED, on.to_string()));
    }
    if !properties.is_empty() {
        out.insert(PROPERTIES.to_owned(), Value::Array(properties));
    }
    out
}

/// The member that properties are in.
pub(crate) const PROPERTIES: &str = "singleValueExtendedProperties";

fn person(person: &Person) -> Value {
    let name = person.name.as_deref().unwrap_or(&person.address);
    json!({ "emailAddress": { "name": name, "address": person.address } })
}

fn people(all: &[Person]) -> Value {
    all.iter().map(person).collect()
}

impl Draft {
    /// The message to be created; its attachments follow.
    #[must_use]
    pub fn json(&self, beside: &Beside) -> Map<String, Value> {
        let draft = beside.flags.contains(SystemFlag::Draft);
        let mut out = self.message(draft);
        for (name, value) in beside.json(&Flags::new()) {
            match (out.get_mut(&name), value) {
                (Some(Value::Array(all)), Value::Array(mut more)) => all.append(&mut more),
                (_, value) => drop(out.insert(name, value)),
            }
        }
        out
    }

    /// What all messages have, within others too.
    fn message(&self, draft: bool) -> Map<String, Value> {
        let fields = &self.fields;
        let mut out = Map::new();
        let mut put = |name: &str, value| drop(out.insert(name.to_owned(), value));
        let kind = if self.body.html { "html" } else { "text" };
        put("subject", json!(fields.subject.as_deref().unwrap_or("")));
        put(
            "body",
            json!({ "contentType": kind, "content": self.body.text }),
        );
        // Without a sender the mailbox's owner would become it.
        let sender = fields.sender.as_ref().or(fields.from.as_ref());
        for (name, one) in [("from", fields.from.as_ref()), ("sender", sender)] {
            if let Some(one) = one {
                put(name, person(one));
            }
        }
        for (name, all) in [
            ("replyTo", &fields.reply_to),
            ("toRecipients", &fields.to),
            ("ccRecipients", &fields.cc),
            ("bccRecipients", &fields.bcc),
        ] {
            if !all.is_empty() {
                put(name, people(all));
            }
        }
        if let Some(id) = &fields.message_id {
            put("internetMessageId", json!(id));
        }
        match fields.said.importance {
            Some(Importance::High) => put("importance", json!("high")),
            Some(Importance::Low) => put("importance", json!("low")),
            _ => {}
        }
        put(PROPERTIES, Value::Array(self.properties(draft)));
        out
    }

    fn properties(&self, draft: bool) -> Vec<Value> {
        let fields = &self.fields;
        let mut out = Vec::new();
        if !draft {
            out.push(with(property::MESSAGE_FLAGS, "4"));
        }
        // Of drafts, too: it is where Date comes from.
        if let Some(at) = fields.said.sent {
            out.push(with(property::SENT, format_date(at)));
        }
        let header = Some(&fields.header).filter(|header| header.contains(':'));
        for (name, text) in [
            (property::HEADER, header),
            (property::IN_REPLY_TO, fields.in_reply_to.as_ref()),
            (property::REFERENCES, fields.references.as_ref()),
        ] {
            out.extend(text.map(|text| with(name, text.clone())));
        }
        out
    }
}

impl Attachment {
    /// As it is created in one request, with these bytes of it.
    #[must_use]
    pub fn json(&self, bytes: &[u8]) -> Map<String, Value> {
        self.at(bytes, 1)
    }

    /// The same as a file, though it is a message.
    #[must_use]
    pub fn json_as_file(&self, bytes: &[u8]) -> Map<String, Value> {
        self.at(bytes, DEEPEST + 1)
    }

    /// What an upload session is told of it.
    #[must_use]
    pub fn session(&self) -> Value {
        let mut item = json!({
            "attachmentType": "file",
            "name": self.file_name(),
            "size": self.size,
            "contentType": self.content_type(),
            "isInline": self.inline,
        });
        if let (Some(id), Some(item)) = (&self.id, item.as_object_mut()) {
            item.insert("contentId".to_owned(), json!(id));
        }
        json!({ "AttachmentItem": item })
    }

    /// Whether it can become a message, and need not be a file.
    #[must_use]
    pub fn is_message(&self) -> bool {
        self.message && self.size <= EMBEDDED_MAX
    }

    /// A file that is a message says so by its name.
    fn file_name(&self) -> String {
        match self.message && !self.name.to_ascii_lowercase().ends_with(".eml") {
            true => format!("{}.eml", self.name),
            false => self.name.clone(),
        }
    }

    fn content_type(&self) -> &str {
        // A file of such a type could be sent with no encoding that MIME allows there.
        match self.message || self.kind.starts_with("multipart/") || self.kind == "message/rfc822" {
            true => "application/octet-stream",
            false => &self.kind,
        }
    }

    fn at(&self, bytes: &[u8], depth: usize) -> Map<String, Value> {
        let mut out = Map::new();
        let mut put = |name: &str, value| drop(out.insert(name.to_owned(), value));
        put("isInline", json!(self.inline));
        if self.is_message()
            && depth <= DEEPEST
            && let Some(item) = within(bytes, depth)
        {
            put("name", json!(self.name));
            put("@odata.type", json!("#microsoft.graph.itemAttachment"));
            put("item", Value::Object(item));
            return out;
        }
        put("@odata.type", json!("#microsoft.graph.fileAttachment"));
        put("name", json!(self.file_name()));
        put("contentType", json!(self.content_type()));
        if let Some(id) = &self.id {
            put("contentId", json!(id));
        }
        put("contentBytes", json!(STANDARD.encode(bytes)));
        out
    }
}

/// A message within another, with all that is within it; `None` if that is more than can be told.
fn within(message: &[u8], depth: usize) -> Option<Map<String, Value>> {
    let draft = Draft::of(message);
    if draft.too_many {
        return None;
    }
    let mut out = draft.message(false);
    out.insert("@odata.type".to_owned(), json!("#microsoft.graph.message"));
    let attachments: Vec<Value> = draft
        .attachments
        .iter()
        .map(|attachment| {
            let bytes = attachment.bytes_in(message);
            Value::Object(attachment.at(&bytes, depth + 1))
        })
        .collect();
    if !attachments.is_empty() {
        out.insert("attachments".to_owned(), Value::Array(attachments));
    }
    Some(out)
}
