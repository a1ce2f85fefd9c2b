//! Items as JSON.

use std::cell::LazyCell;

use mailmove_testkit_exchange::addresses::{self, Person};
use mailmove_testkit_exchange::dates;
use mailmove_testkit_exchange::ids;
use mailmove_testkit_exchange::mime::Mime;
use mailmove_testkit_exchange::props::{Key, Known, Props, Value as Property, categories};
use serde_json::{Map, Value, json};

use crate::attachments;
use crate::call::{Call, Item};
use crate::letter::Letter;
use crate::odata::{self, Expand, Query};
use crate::props;
use crate::reply::Failure;

/// Where Exchange keeps whether a message is focused.
pub(crate) fn inference() -> Key {
    Key::Name(
        "23239608-685d-4732-9c55-4c95cb4e8e33".to_owned(),
        "InferenceClassificationResult".to_owned(),
    )
}

/// What of an item is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chosen {
    select: Option<Vec<String>>,
    expand: Expand,
}

impl Chosen {
    pub(crate) fn of(query: &Query) -> Result<Self, Failure> {
        Ok(Self {
            select: query.select(),
            expand: odata::expand(query.get("$expand"))?,
        })
    }

    pub(crate) fn only_ids(&self) -> bool {
        let only = |names: &Vec<String>| names.iter().all(|n| n.eq_ignore_ascii_case("id"));
        self.select.as_ref().is_some_and(only) && self.expand == Expand::default()
    }

    /// What is expanded.
    pub(crate) fn expand(&self) -> &Expand {
        &self.expand
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        match &self.select {
            Some(names) => names.iter().any(|n| n.eq_ignore_ascii_case(name)),
            None => !matches!(name, "internetMessageHeaders" | "uniqueBody"),
        }
    }
}

const FIELDS: [&str; 31] = [
    "id",
    "createdDateTime",
    "lastModifiedDateTime",
    "changeKey",
    "categories",
    "receivedDateTime",
    "sentDateTime",
    "hasAttachments",
    "internetMessageId",
    "internetMessageHeaders",
    "subject",
    "bodyPreview",
    "importance",
    "parentFolderId",
    "conversationId",
    "conversationIndex",
    "isDeliveryReceiptRequested",
    "isReadReceiptRequested",
    "isRead",
    "isDraft",
    "webLink",
    "inferenceClassification",
    "body",
    "uniqueBody",
    "sender",
    "from",
    "toRecipients",
    "ccRecipients",
    "bccRecipients",
    "replyTo",
    "flag",
];

/// Whether an item of this class is among messages: what has a list of its own is not.
pub(crate) fn is_message(class: &str) -> bool {
    let class = class.to_ascii_uppercase();
    let others = [
        "IPM.APPOINTMENT",
        "IPM.CONTACT",
        "IPM.DISTLIST",
        "IPM.TASK",
        "IPM.STICKYNOTE",
        "IPM.ACTIVITY",
    ];
    !others.iter().any(|other| class.starts_with(other))
}

/// A message with what was chosen.
pub(crate) fn message(call: &Call, item: &Item, chosen: &Chosen) -> Result<Value, Failure> {
    // Ids alone need nothing to be converted.
    if !chosen.only_ids() {
        call.readable(&item.mailbox, &item.message)?;
    }
    for name in chosen.select.iter().flatten() {
        if !FIELDS.iter().any(|field| field.eq_ignore_ascii_case(name)) {
            return Err(Failure::new(
                400,
                "RequestBroker--ParseUri",
                format!(
                    "Could not find a property named '{name}' on type 'Microsoft.OutlookServices.Message'."
                ),
            ));
        }
    }
    let props = item.mailbox.extra().props(item.folder.id, &item.message);
    let mime = Mime::parse(&item.message.body);
    let known = Known {
        message: &item.message,
        props: &props,
        mime: &mime,
        fraction_digits: 0,
    };
    // Decodes everything, which most requests don't ask for.
    let letter = LazyCell::new(|| Letter::of(&mime));
    let mut out = Map::new();
    let etag = format!("W/\"{}\"", ids::change_key(&item.message));
    out.insert("@odata.etag".to_owned(), etag.into());
    if props
        .class()
        .to_ascii_uppercase()
        .starts_with("IPM.SCHEDULE.MEETING")
    {
        let kind = "#microsoft.graph.eventMessage";
        out.insert("@odata.type".to_owned(), kind.into());
    }
    // The id comes whether it was chosen or not.
    out.insert("id".to_owned(), call.id(&item.folder, &item.message).into());
    for name in FIELDS {
        if name != "id"
            && chosen.has(name)
            && let Some(value) = field(call, item, &known, &letter, name)
        {
            out.insert(name.to_owned(), value);
        }
    }
    extended(&known, &chosen.expand, &mut out)?;
    if chosen.expand.attachments {
        let all = attachments::all(call, item, &mime);
        out.insert("attachments".to_owned(), all.into());
    }
    Ok(out.into())
}

/// Extended properties that were asked for and are there.
pub(crate) fn extended(
    known: &Known<'_>,
    expand: &Expand,
    out: &mut Map<String, Value>,
) -> Result<(), Failure> {
    for (name, ids) in [
        ("singleValueExtendedProperties", &expand.single),
        ("multiValueExtendedProperties", &expand.multi),
    ] {
        let mut found = Vec::new();
        for id in ids {
            let (key, kind) = props::key(id).ok_or_else(|| {
                Failure::new(
                    400,
                    "ErrorInvalidProperty",
                    format!("The id '{id}' of an extended property is not understood."),
                )
            })?;
            let value = known.extended(&key, &kind);
            found.extend(value.map(|value| props::show(&key, &value)));
        }
        // Where none is there, the list is missing.
        if !found.is_empty() {
            out.insert(name.to_owned(), found.into());
        }
    }
    Ok(())
}

fn field(
    call: &Call,
    item: &Item,
    known: &Known<'_>,
    letter: &LazyCell<Letter, impl FnOnce() -> Letter>,
    name: &str,
) -> Option<Value> {
    let message = &item.message;
    let time = |tag: u16| {
        let value = known.by_tag(tag);
        value.map_or(Value::Null, |v| v.first().to_owned().into())
    };
    Some(match name {
        "createdDateTime" => time(0x3007),
        "lastModifiedDateTime" => time(0x3008),
        "changeKey" => ids::change_key(message).into(),
        "categories" => categories(&message.flags).into(),
        "receivedDateTime" => dates::format(message.date.unix, 0).into(),
        "sentDateTime" => {
            let sent = known.sent().unwrap_or(message.date.unix);
            dates::format(sent, 0).into()
        }
        "hasAttachments" => known.mime.attachments().iter().any(|a| !a.inline).into(),
        "internetMessageId" => known.mime.header("message-id").into(),
        "internetMessageHeaders" => headers(call, item, known)?,
        "subject" => known.mime.subject().into(),
        "bodyPreview" => preview(letter).into(),
        "importance" => match known.props.importance.as_deref() {
            Some("Low") => "low",
            Some("High") => "high",
            _ => "normal",
        }
        .into(),
        "parentFolderId" => {
            let place = ids::Place::Folder(item.folder.id);
            call.folder_id(place).into()
        }
        "conversationId" => ids::opaque(&format!("C\n{}\n", topic(&known.mime.subject()))).into(),
        "conversationIndex" => {
            let digest = blake3::hash(topic(&known.mime.subject()).as_bytes());
            mime_base64(digest.as_bytes().get(..22).unwrap_or_default()).into()
        }
        "isDeliveryReceiptRequested" | "isReadReceiptRequested" => false.into(),
        "isRead" => known.flag("\\Seen").into(),
        "isDraft" => known.flag("\\Draft").into(),
        "webLink" => "https://outlook.example/owa/".into(),
        "inferenceClassification" => match known.props.extended.get(&inference()) {
            Some(value) if value.first() == "other" => "other",
            _ => "focused",
        }
        .into(),
        "body" | "uniqueBody" => body(call, letter),
        "sender" => one_of(known, ["sender", "from"]),
        "from" => one_of(known, ["from", "sender"]),
        "toRecipients" => people(known, "to"),
        "ccRecipients" => people(known, "cc"),
        "bccRecipients" => people(known, "bcc"),
        "replyTo" => people(known, "reply-to"),
        "flag" => flag(known),
        _ => return None,
    })
}

fn mime_base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn topic(subject: &str) -> &str {
    let mut rest = subject.trim();
    while let Some((prefix, after)) = rest.split_once(':') {
        if prefix.len() > 3 || !prefix.chars().all(char::is_alphabetic) {
            break;
        }
        rest = after.trim();
    }
    rest
}

fn preview(letter: &Letter) -> String {
    let text = match letter.html {
        true => mailmove_testkit_exchange::rebuild::as_text(&letter.body),
        false => letter.body.clone(),
    };
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").chars().take(255).collect()
}

fn body(call: &Call, letter: &Letter) -> Value {
    if letter.html && call.prefer.text {
        let text = mailmove_testkit_exchange::rebuild::as_text(&letter.body);
        return json!({"contentType": "text", "content": text});
    }
    let kind = if letter.html { "html" } else { "text" };
    json!({"contentType": kind, "content": letter.body})
}

/// Of what was received alone: neither drafts nor sent items have any.
fn headers(call: &Call, item: &Item, known: &Known<'_>) -> Option<Value> {
    let sent = call.mailbox.distinguished("sentitems");
    if known.flag("\\Draft") || sent == Some(item.folder.id) {
        return None;
    }
    let block = known.by_tag(0x007D)?.first().replace('\n', "\r\n") + "\r\n\r\n";
    let mime = Mime::parse(&block.into());
    let each = mime.headers().iter();
    let each = each.map(|(name, value)| json!({"name": name, "value": value}));
    Some(each.collect::<Vec<_>>().into())
}

pub(crate) fn person(person: Option<&Person>) -> Value {
    let Some(person) = person else {
        return Value::Null;
    };
    let name = match person.name.is_empty() {
        true => &person.address,
        false => &person.name,
    };
    json!({"emailAddress": {"name": name, "address": person.address}})
}

fn listed(known: &Known<'_>, header: &str) -> Vec<Person> {
    addresses::parse(&known.mime.header(header).unwrap_or_default())
}

fn one_of(known: &Known<'_>, headers: [&str; 2]) -> Value {
    let mut all = headers.iter().flat_map(|header| listed(known, header));
    person(all.next().as_ref())
}

fn people(known: &Known<'_>, header: &str) -> Value {
    let list = listed(known, header);
    let each = list.iter().map(|p| person(Some(p)));
    each.collect::<Vec<_>>().into()
}

fn flag(known: &Known<'_>) -> Value {
    let status = if known.flag("\\Flagged") {
        "flagged"
    } else if known.props.complete {
        "complete"
    } else {
        "notFlagged"
    };
    let mut out = Map::new();
    out.insert("flagStatus".to_owned(), status.into());
    for (name, date) in &known.props.flag_dates {
        let date = json!({"dateTime": date, "timeZone": "UTC"});
        out.insert(name.clone(), date);
    }
    out.into()
}

/// What a draft becomes beyond the model.
pub(crate) fn remember(props: &mut Props, key: Key, value: &str) {
    props.extended.insert(key, Property::one("String", value));
}
