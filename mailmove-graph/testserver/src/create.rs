//! Messages made and changed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mailmove_testkit::mailbox::{FolderInfo, InternalDate, NewMessage};
use mailmove_testkit_exchange::addresses::Person;
use mailmove_testkit_exchange::dates;
use mailmove_testkit_exchange::draft::{self, Draft};
use mailmove_testkit_exchange::http::Response;
use mailmove_testkit_exchange::ids;
use mailmove_testkit_exchange::mime::Mime;
use mailmove_testkit_exchange::props::{Key, Value as PropertyValue};
use serde_json::Value;

use crate::attachments;
use crate::call::{Call, Item};
use crate::faults::Action;
use crate::items::made;
use crate::letter::Letter;
use crate::props;
use crate::render::{inference, remember};
use crate::reply::{Answer, Failure};

/// A message as a request describes it.
#[derive(Debug, Default)]
struct Described {
    draft: Draft,
    letter: Letter,
    /// Something of the letter was named.
    writes: bool,
}

fn mistyped(name: &str) -> Failure {
    Failure::bad(format!(
        "The value of the property '{name}' does not fit its type."
    ))
}

fn text(name: &str, value: &Value) -> Result<String, Failure> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        _ => Err(mistyped(name)),
    }
}

fn flag(name: &str, value: &Value) -> Result<bool, Failure> {
    value.as_bool().ok_or_else(|| mistyped(name))
}

fn list<'a>(name: &str, value: &'a Value) -> Result<&'a [Value], Failure> {
    value
        .as_array()
        .map(Vec::as_slice)
        .ok_or_else(|| mistyped(name))
}

fn person(name: &str, value: &Value) -> Result<Option<Person>, Failure> {
    if value.is_null() {
        return Ok(None);
    }
    let object = value.get("emailAddress").and_then(Value::as_object);
    let object = object.ok_or_else(|| mistyped(name))?;
    if let Some(other) = object
        .keys()
        .find(|key| !matches!(key.as_str(), "name" | "address"))
    {
        return Err(unknown(other, "microsoft.graph.emailAddress"));
    }
    let part = |part: &str| {
        object
            .get(part)
            .map_or(Ok(String::new()), |v| text(name, v))
    };
    let found = Person {
        name: part("name")?,
        address: part("address")?,
    };
    Ok(Some(found))
}

fn people(name: &str, value: &Value) -> Result<Vec<Person>, Failure> {
    let mut found = Vec::new();
    for entry in list(name, value)? {
        found.extend(person(name, entry)?);
    }
    // Addresses that none could answer are refused where an answer goes.
    if name == "replyTo" && found.iter().any(|p| !p.address.contains('@')) {
        return Err(Failure::new(
            400,
            "ErrorInvalidRecipients",
            "At least one recipient is not valid.",
        ));
    }
    Ok(found)
}

fn unknown(name: &str, kind: &str) -> Failure {
    Failure::bad(format!(
        "The property '{name}' does not exist on type '{kind}'. Make sure to only use property names \
         that are defined by the type."
    ))
}

impl Described {
    /// Takes over all members.
    fn read(&mut self, call: &Call, body: &Value) -> Result<(), Failure> {
        let members = body.as_object().ok_or_else(|| Failure::bad("No object."))?;
        for (name, value) in members {
            self.member(call, name, value)?;
        }
        Ok(())
    }

    fn member(&mut self, call: &Call, name: &str, value: &Value) -> Result<(), Failure> {
        if self.mail(name, value)? {
            self.writes = true;
            return Ok(());
        }
        let draft = &mut self.draft;
        match name {
            "isRead" => draft.read = Some(flag(name, value)?),
            "importance" => {
                draft.props.importance = match value.as_str() {
                    Some("low") => Some("Low".to_owned()),
                    Some("high") => Some("High".to_owned()),
                    Some("normal") => None,
                    _ => return Err(mistyped(name)),
                };
            }
            "inferenceClassification" => match value.as_str() {
                Some(class @ ("focused" | "other")) => {
                    remember(&mut draft.props, inference(), class);
                }
                _ => return Err(mistyped(name)),
            },
            "categories" => {
                let names = list(name, value)?.iter().map(|v| text(name, v));
                draft.categories = Some(names.collect::<Result<_, _>>()?);
            }
            "flag" => follow_up(draft, value)?,
            "singleValueExtendedProperties" | "multiValueExtendedProperties" => {
                for entry in list(name, value)? {
                    self.extended(entry)?;
                }
            }
            "attachments" => {
                for entry in list(name, value)? {
                    let read = attachments::read(call, entry)?;
                    self.letter.attachments.push(read);
                }
                self.writes = true;
            }
            // Not for clients to say; what they say is not even refused.
            "receivedDateTime"
            | "sentDateTime"
            | "createdDateTime"
            | "lastModifiedDateTime"
            | "isDraft"
            | "id"
            | "changeKey"
            | "parentFolderId"
            | "hasAttachments"
            | "bodyPreview"
            | "conversationId"
            | "conversationIndex"
            | "webLink"
            | "uniqueBody"
            | "isDeliveryReceiptRequested"
            | "isReadReceiptRequested" => {}
            name if name.starts_with('@') || name.contains("@odata.") => {}
            _ => return Err(unknown(name, "microsoft.graph.message")),
        }
        Ok(())
    }

    /// What the letter is made of; whether it is such a member.
    fn mail(&mut self, name: &str, value: &Value) -> Result<bool, Failure> {
        let letter = &mut self.letter;
        match name {
            "subject" => letter.subject = text(name, value)?,
            "body" => {
                let kind = value.get("contentType").and_then(Value::as_str);
                letter.html = match kind.unwrap_or("text").to_ascii_lowercase().as_str() {
                    "html" => true,
                    "text" => false,
                    _ => return Err(mistyped(name)),
                };
                letter.body = text(name, value.get("content").unwrap_or(&Value::Null))?;
            }
            "from" => letter.from = person(name, value)?.into_iter().collect(),
            "sender" => letter.sender = person(name, value)?.into_iter().collect(),
            "toRecipients" => letter.to = people(name, value)?,
            "ccRecipients" => letter.cc = people(name, value)?,
            "bccRecipients" => letter.bcc = people(name, value)?,
            "replyTo" => letter.reply_to = people(name, value)?,
            "internetMessageId" => {
                letter.message_id = Some(text(name, value)?).filter(|id| !id.is_empty());
            }
            "internetMessageHeaders" => {
                for entry in list(name, value)? {
                    let part = |part| text(name, entry.get(part).unwrap_or(&Value::Null));
                    let (header, value) = (part("name")?, part("value")?);
                    if !header.to_ascii_lowercase().starts_with("x-") {
                        return Err(Failure::new(
                            400,
                            "InvalidInternetMessageHeader",
                            format!(
                                "The internet message header name '{header}' should start with 'x-' or 'X-'."
                            ),
                        ));
                    }
                    letter.own.push((header, value));
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn extended(&mut self, entry: &Value) -> Result<(), Failure> {
        let (key, value) = props::read(entry)?;
        let first = value.first().to_owned();
        match key {
            Key::Tag(0x0039) => self.letter.date = dates::parse(&first),
            Key::Tag(0x1042) => self.letter.in_reply_to = Some(first),
            Key::Tag(0x1039) => self.letter.references = Some(first),
            Key::Tag(0x1035) => self.letter.message_id = Some(first),
            _ => {
                self.draft.extended(key, value);
                return Ok(());
            }
        }
        self.writes = true;
        self.draft.extended(key, value);
        Ok(())
    }
}

fn follow_up(draft: &mut Draft, value: &Value) -> Result<(), Failure> {
    let status = value.get("flagStatus").and_then(Value::as_str);
    let dates = ["startDateTime", "dueDateTime", "completedDateTime"];
    let mut found = Vec::new();
    for name in dates {
        let date = value.get(name).and_then(|date| date.get("dateTime"));
        if let Some(date) = date {
            found.push((name.to_owned(), text(name, date)?));
        }
    }
    let (flagged, complete) = match status {
        Some("flagged") => (true, false),
        Some("complete") => (false, true),
        Some("notFlagged") | None => (false, false),
        Some(_) => return Err(mistyped("flag")),
    };
    draft.flags.push(("\\Flagged".to_owned(), flagged));
    draft.props.complete = complete;
    draft.props.flag_dates = found;
    Ok(())
}

/// A message id that nobody gave.
fn invented(call: &Call, folder: &FolderInfo) -> String {
    let text = format!(
        "{} {} {}",
        call.mailbox.account.user(),
        folder.id,
        folder.uid_next
    );
    let hex = blake3::hash(text.as_bytes()).to_hex();
    format!(
        "<{}@example.com>",
        hex.get(..24).unwrap_or_default().to_uppercase()
    )
}

pub(crate) fn message(call: &Call) -> Answer {
    let folder = match &call.route.folder {
        Some(folder) => call.folder_by_id(folder)?,
        None => call.folder_by_id("drafts")?,
    };
    let kind = call.request.header("content-type").unwrap_or_default();
    if kind.to_ascii_lowercase().starts_with("text/plain") {
        return match call.shared.config.mime_goes_to_drafts {
            true => from_mime(call, &call.folder_by_id("drafts")?),
            false => from_mime(call, &folder),
        };
    }
    let mut described = Described::default();
    described.read(call, &call.json()?)?;
    let Described {
        mut draft,
        mut letter,
        ..
    } = described;
    if call.fault == Some(Action::StaysDraft) {
        draft.message_flags = None;
    }
    let flags = draft.new_flags(true);
    if letter.message_id.is_none() {
        letter.message_id = Some(invented(call, &folder));
    }
    letter.date = letter.date.or(Some(now(call)));
    draft.extended(Key::Tag(0x3007), created(call));
    land(call, &folder, letter.mime(), flags, draft)
}

fn now(call: &Call) -> i64 {
    i64::try_from(call.shared.config.clock.now().as_secs()).unwrap_or(0)
}

/// When something is made is of the server's clock, whatever was received when.
fn created(call: &Call) -> PropertyValue {
    PropertyValue::one("SystemTime", dates::format(now(call), 0))
}

/// A message out of MIME is a draft for ever, and came now.
fn from_mime(call: &Call, folder: &FolderInfo) -> Answer {
    let text: Vec<u8> = call.request.body.clone();
    let text: Vec<u8> = text
        .into_iter()
        .filter(|b| !b.is_ascii_whitespace())
        .collect();
    let bytes = STANDARD.decode(text).map_err(|_| {
        Failure::new(
            400,
            "ErrorMimeContentInvalidBase64String",
            "Invalid base64 string for MIME content.",
        )
    })?;
    if bytes.is_empty() {
        return Err(Failure::new(
            400,
            "ErrorMimeContentInvalid",
            "The MIME content is invalid.",
        ));
    }
    if bytes.len() > call.shared.config.max_mime {
        return Ok(Response::new(200, ""));
    }
    let mut draft = Draft {
        read: Some(true),
        received: Some(now(call)),
        ..Draft::default()
    };
    draft.extended(Key::Tag(0x3007), created(call));
    let flags = draft.new_flags(true);
    land(call, folder, bytes.into(), flags, draft)
}

fn land(call: &Call, folder: &FolderInfo, body: Bytes, flags: Vec<String>, draft: Draft) -> Answer {
    let mut message = NewMessage::new(body).with_flags(flags);
    message.date = draft.received.map(InternalDate::utc);
    let message = draft::put(&call.mailbox, folder, message, draft.props)?;
    call.shared.counting.lock().created += 1;
    let item = Item {
        mailbox: call.mailbox.clone(),
        folder: call.mailbox.account.folder_by_id(folder.id)?,
        message,
    };
    made(call, &item, 201)
}

pub(crate) fn update(call: &Call) -> Answer {
    let item = call.item()?;
    let body = call.json()?;
    let state = format!("W/\"{}\"", ids::change_key(&item.message));
    if call
        .request
        .header("if-match")
        .is_some_and(|have| have != state && have != "*")
    {
        return Err(Failure::new(
            412,
            "ErrorIrresolvableConflict",
            "The send or update operation could not be performed because the change key passed in the \
             request does not match the current change key for the item.",
        ));
    }
    let mime = Mime::parse(&item.message.body);
    let mut described = Described {
        draft: Draft {
            props: item.mailbox.extra().props(item.folder.id, &item.message),
            ..Draft::default()
        },
        letter: Letter::of(&mime),
        writes: false,
    };
    described.letter.own.clear();
    described.read(call, &body)?;
    let Described {
        mut draft,
        mut letter,
        writes,
    } = described;
    if writes && !item.message.flags.contains("\\Draft") {
        let only_properties = body
            .as_object()
            .is_some_and(|members| members.keys().all(|name| !is_of_drafts(name)));
        if !only_properties {
            return Err(Failure::new(
                400,
                "ErrorInvalidPropertySet",
                "The property can be set while the message is a draft only.",
            ));
        }
    } else if writes {
        if letter.own.is_empty() {
            letter.own = Letter::of(&mime).own;
        }
        draft.body = Some(letter.mime());
    }
    if call.shared.config.drafts_keep_dates && item.message.flags.contains("\\Draft") {
        draft.received = None;
    }
    draft::change(&item.mailbox, item.folder.id, &item.message, draft)?;
    let now = item
        .mailbox
        .account
        .fetch(item.folder.id, &[item.message.uid])?;
    let message = now.into_iter().next().ok_or_else(Failure::missing)?;
    made(call, &Item { message, ..item }, 200)
}

/// What can be changed while a message is a draft only.
fn is_of_drafts(name: &str) -> bool {
    matches!(
        name,
        "subject"
            | "body"
            | "from"
            | "sender"
            | "toRecipients"
            | "ccRecipients"
            | "bccRecipients"
            | "replyTo"
            | "internetMessageId"
            | "internetMessageHeaders"
            | "attachments"
    )
}

/// An item within an attachment, as MIME.
pub(crate) fn embedded(call: &Call, item: &Value) -> Result<Bytes, Failure> {
    let mut described = Described::default();
    described.read(call, item)?;
    Ok(described.letter.mime())
}
