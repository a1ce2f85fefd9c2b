//! Attachments of a message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mailmove_testkit::mailbox::StoreError;
use mailmove_testkit_exchange::dates;
use mailmove_testkit_exchange::draft::{self, Draft};
use mailmove_testkit_exchange::http::Response;
use mailmove_testkit_exchange::ids;
use mailmove_testkit_exchange::mime::{Attachment, Mime};
use serde_json::{Map, Value, json};

use crate::call::{Call, Item, listed};
use crate::create::embedded;
use crate::identity::made;
use crate::letter::Letter;
use crate::odata;
use crate::render;
use crate::reply::{Answer, Failure, empty, respond};

/// The id of the attachment with this place among those of its message.
pub(crate) fn id(call: &Call, item: &Item, at: usize) -> String {
    let text = format!(
        "A\n{}\n{}\n{at}\n",
        item.mailbox.account.user(),
        item.message.email_id
    );
    call.shared.identities.shown(ids::opaque(&text))
}

/// All of them as JSON.
pub(crate) fn all(call: &Call, item: &Item, mime: &Mime) -> Vec<Value> {
    let all = mime.attachments();
    let each = all.iter().enumerate();
    each.map(|(at, attachment)| show(call, item, at, attachment, false))
        .collect()
}

fn is_item(attachment: &Attachment) -> bool {
    attachment.kind == "message/rfc822"
}

fn show(call: &Call, item: &Item, at: usize, attachment: &Attachment, with_item: bool) -> Value {
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    let kind = match is_item(attachment) {
        true => "#microsoft.graph.itemAttachment",
        false => "#microsoft.graph.fileAttachment",
    };
    put("@odata.type", kind.into());
    put("@odata.mediaContentType", attachment.kind.clone().into());
    put("id", id(call, item, at).into());
    put(
        "lastModifiedDateTime",
        dates::format(item.message.date.unix, 0).into(),
    );
    put("isInline", attachment.inline.into());
    put("size", attachment.content.len().into());
    if is_item(attachment) {
        let inner = Mime::parse(&Bytes::from(attachment.content.clone()));
        let subject = inner.subject();
        put(
            "name",
            if attachment.name.is_empty() {
                subject
            } else {
                attachment.name.clone()
            }
            .into(),
        );
        put("contentType", Value::Null);
        if with_item {
            put("item", inner_item(&inner));
        }
    } else {
        put("name", attachment.name.clone().into());
        put("contentType", attachment.kind.clone().into());
        put("contentId", attachment.id.clone().into());
        put("contentLocation", Value::Null);
        put("contentBytes", STANDARD.encode(&attachment.content).into());
    }
    out.into()
}

/// A message within an attachment, which has no id.
fn inner_item(inner: &Mime) -> Value {
    let letter = Letter::of(inner);
    let people = |list: &[mailmove_testkit_exchange::addresses::Person]| {
        let each = list.iter().map(|p| render::person(Some(p)));
        Value::from(each.collect::<Vec<_>>())
    };
    let kind = if letter.html { "html" } else { "text" };
    let sent = letter.date.map(|date| dates::format(date, 0));
    json!({
        "@odata.type": "#microsoft.graph.message",
        "id": "",
        "subject": letter.subject,
        "internetMessageId": letter.message_id,
        "sentDateTime": sent,
        "receivedDateTime": sent,
        "body": {"contentType": kind, "content": letter.body},
        "from": render::person(letter.from.first()),
        "toRecipients": people(&letter.to),
        "ccRecipients": people(&letter.cc),
        "bccRecipients": people(&letter.bcc),
        "replyTo": people(&letter.reply_to),
        "hasAttachments": !letter.attachments.is_empty(),
        "isDraft": false,
        "isRead": true,
    })
}

/// Keeps what was chosen.
fn choose(call: &Call, mut shown: Value) -> Value {
    if let (Some(names), Some(object)) = (call.query.select(), shown.as_object_mut()) {
        // `contentId` is not of the type that all attachments have; it is chosen by a longer name.
        object.retain(|name, _| {
            name.starts_with('@')
                || name == "id"
                || names.iter().any(|n| n.rsplit('/').next() == Some(name))
        });
    }
    shown
}

pub(crate) fn list(call: &Call) -> Answer {
    let item = call.item()?;
    let mime = Mime::parse(&item.message.body);
    let with_item = odata::expand(call.query.get("$expand"))?.item;
    let found = mime.attachments();
    if with_item && found.iter().filter(|a| is_item(a)).count() > 5 {
        return Err(Failure::new(
            500,
            "ErrorInternalServerError",
            "The attachments could not be expanded.",
        ));
    }
    let each = found.iter().enumerate();
    let values = each
        .map(|(at, a)| choose(call, show(call, &item, at, a, with_item)))
        .collect();
    let context = call.context("users('x')/messages('x')/attachments");
    listed(context, values, Vec::new())
}

/// The attachment that the path names, and its place.
fn target(call: &Call, item: &Item) -> Result<(usize, Attachment), Failure> {
    let want = call.route.attachment.as_deref().unwrap_or_default();
    let mime = Mime::parse(&item.message.body);
    let mut all = mime.attachments().into_iter().enumerate();
    let found = all.find(|(at, _)| id(call, item, *at) == want);
    found.ok_or_else(|| match ids::unopaque(&made(want)) {
        Some(_) => Failure::missing(),
        None => Failure::malformed(),
    })
}

pub(crate) fn get(call: &Call) -> Answer {
    let item = call.item()?;
    let with_item = odata::expand(call.query.get("$expand"))?.item;
    let (at, attachment) = target(call, &item)?;
    let mut shown = choose(call, show(call, &item, at, &attachment, with_item));
    if let Some(object) = shown.as_object_mut() {
        let context = call.context("users('x')/messages('x')/attachments/$entity");
        object.insert("@odata.context".to_owned(), context.into());
    }
    Ok(respond(200, &shown))
}

pub(crate) fn content(call: &Call) -> Answer {
    let item = call.item()?;
    let (_, mut attachment) = target(call, &item)?;
    if call.truncates() {
        let half = attachment.content.len() / 2;
        attachment.content.truncate(half);
    }
    let kind = match is_item(&attachment) {
        true => "text/plain".to_owned(),
        false => attachment.kind,
    };
    Ok(Response::new(200, attachment.content).header("Content-Type", kind))
}

/// An attachment as a request describes it.
pub(crate) fn read(call: &Call, entry: &Value) -> Result<Attachment, Failure> {
    let owned = |name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
    let kind = owned("@odata.type").unwrap_or_default();
    let inline = entry
        .get("isInline")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    match kind.as_str() {
        "#microsoft.graph.fileAttachment" => {
            let bytes = owned("contentBytes").unwrap_or_default();
            let content = STANDARD.decode(bytes).map_err(|_| {
                Failure::bad(
                    "Cannot convert the literal of 'contentBytes' to the type 'Edm.Binary'.",
                )
            })?;
            let name = owned("name").ok_or_else(|| {
                Failure::new(400, "ErrorInvalidArgument", "The attachment has no name.")
            })?;
            let kind = owned("contentType").filter(|kind| kind.contains('/'));
            Ok(Attachment {
                name,
                kind: kind
                    .unwrap_or_else(|| "application/octet-stream".to_owned())
                    .to_ascii_lowercase(),
                id: owned("contentId").filter(|id| !id.is_empty()),
                inline,
                content,
            })
        }
        "#microsoft.graph.itemAttachment" => {
            let item = entry.get("item").ok_or_else(|| {
                Failure::new(400, "ErrorInvalidArgument", "The attachment has no item.")
            })?;
            Ok(Attachment {
                name: owned("name").unwrap_or_default(),
                kind: "message/rfc822".to_owned(),
                id: None,
                inline,
                content: embedded(call, item)?.to_vec(),
            })
        }
        _ => Err(Failure::bad(
            "The type of the attachment is missing, or not understood.",
        )),
    }
}

/// Puts an attachment at the end of those of an item; its id.
pub(crate) fn append(
    call: &Call,
    item: &Item,
    attachment: Attachment,
) -> Result<(Item, usize), Failure> {
    let mut letter = Letter::of(&Mime::parse(&item.message.body));
    letter.attachments.push(attachment);
    let item = rewrite(call, item, &letter)?;
    Ok((item, letter.attachments.len() - 1))
}

/// Replaces what an item is made of.
fn rewrite(call: &Call, item: &Item, letter: &Letter) -> Result<Item, Failure> {
    let account = &call.mailbox.account;
    let body = letter.mime();
    let limits = account.limits();
    let more = body.len().saturating_sub(item.message.body.len()) as u64;
    if let Some(most) = limits
        .max_message_size
        .filter(|most| body.len() as u64 > *most)
    {
        return Err(StoreError::TooBig(most).into());
    }
    let full = |quota| account.used_bytes() + more > quota;
    if limits.quota_bytes.is_some_and(full) {
        return Err(StoreError::OverQuota.into());
    }
    let draft = Draft {
        body: Some(body),
        props: item.mailbox.extra().props(item.folder.id, &item.message),
        ..Draft::default()
    };
    draft::change(&item.mailbox, item.folder.id, &item.message, draft)?;
    let now = account.fetch(item.folder.id, &[item.message.uid])?;
    let message = now.into_iter().next().ok_or_else(Failure::missing)?;
    Ok(Item {
        message,
        ..item.clone()
    })
}

pub(crate) fn add(call: &Call) -> Answer {
    let item = call.item()?;
    let attachment = read(call, &call.json()?)?;
    if attachment.content.len() >= call.shared.config.attachment_limit {
        return Err(Failure::new(
            413,
            "ErrorAttachmentSizeLimitExceeded",
            "The attachment is too large to be added at once.",
        ));
    }
    let (item, at) = append(call, &item, attachment)?;
    let all = Mime::parse(&item.message.body).attachments();
    let attachment = all.get(at).ok_or_else(Failure::missing)?;
    let mut shown = show(call, &item, at, attachment, false);
    if let Some(object) = shown.as_object_mut() {
        let context = call.context("users('x')/messages('x')/attachments/$entity");
        object.insert("@odata.context".to_owned(), context.into());
    }
    Ok(respond(201, &shown))
}

pub(crate) fn delete(call: &Call) -> Answer {
    let item = call.item()?;
    let (at, _) = target(call, &item)?;
    let mut letter = Letter::of(&Mime::parse(&item.message.body));
    letter.attachments.remove(at);
    rewrite(call, &item, &letter)?;
    Ok(empty(204))
}
