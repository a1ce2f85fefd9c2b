//! FindItem.

use mailmove_testkit::mailbox::{FolderInfo, Message};

use crate::items::{self, Shape};
use crate::mailbox::Mailbox;
use crate::mime::Mime;
use crate::operations::{Item, batch, respond};
use crate::props::{self, Known};
use crate::restrict;
use crate::soap::{Answer, Call, Failure, Fault};
use crate::xml::{Element, el};

pub(crate) fn items(call: &Call) -> Result<Element, Fault> {
    let parents = call.operation.child("m:ParentFolderIds");
    let answers = batch(call, parents.iter().flat_map(|p| &p.children), |id| {
        let target = call.target(id)?;
        let Ok(folder) = target.folder() else {
            // The roots hold folders alone.
            return page(call, Vec::new());
        };
        let mut found = Vec::new();
        let mut messages = target.mailbox.account.messages(folder.id)?;
        if call.operation.child("m:Restriction").is_some() {
            let known = messages.len().saturating_sub(call.shared.config.search_lag);
            messages.truncate(known);
        }
        for message in messages {
            if admits(call, &target.mailbox, &folder, &message)? {
                found.push(Item {
                    mailbox: target.mailbox.clone(),
                    folder: folder.clone(),
                    message,
                });
            }
        }
        sort(call, &mut found);
        page(call, found)
    });
    Ok(respond(call, answers, None))
}

fn admits(
    call: &Call,
    mailbox: &Mailbox,
    folder: &FolderInfo,
    message: &Message,
) -> Result<bool, Failure> {
    let props = mailbox.extra().props(folder.id, message);
    let associated = call.operation.get("Traversal") == Some("Associated");
    if props.associated != associated {
        return Ok(false);
    }
    let Some(restriction) = call.operation.child("m:Restriction") else {
        return Ok(true);
    };
    let mime = Mime::parse(&message.body);
    let known = Known {
        message,
        props: &props,
        mime: &mime,
        fraction_digits: call.shared.config.fraction_digits,
    };
    restrict::holds(restriction, &|path| lookup(&known, path))
}

fn lookup(known: &Known<'_>, path: &Element) -> Option<Vec<String>> {
    let Some(field) = path.get("FieldURI") else {
        let (key, kind) = props::key(path)?;
        return known.extended(&key, &kind).map(|value| value.values);
    };
    let one = |value: String| Some(vec![value]);
    match field {
        "item:Subject" => one(known.mime.subject()),
        "item:ItemClass" => one(known.props.class().to_owned()),
        "item:DateTimeReceived" | "item:DateTimeCreated" | "item:LastModifiedTime" => {
            one(known.date(known.message.date.unix))
        }
        "item:DateTimeSent" => one(known.date(known.sent()?)),
        "item:Size" => one(known.message.body.len().to_string()),
        "item:Categories" => Some(props::categories(&known.message.flags)),
        "message:InternetMessageId" => one(known.mime.header("message-id")?),
        "message:IsRead" => one(known.flag("\\Seen").to_string()),
        "item:IsDraft" => one(known.flag("\\Draft").to_string()),
        _ => None,
    }
}

/// By the first order that is asked for; newest first if none is.
fn sort(call: &Call, found: &mut [Item]) {
    let order = call.operation.child("m:SortOrder");
    let order = order.and_then(|order| order.children.first());
    let ascending = order.is_some_and(|order| order.get("Order") == Some("Ascending"));
    let path = order.and_then(|order| order.children.first());
    let key = |item: &Item| {
        let props = item.mailbox.extra().props(item.folder.id, &item.message);
        let mime = Mime::parse(&item.message.body);
        let known = Known {
            message: &item.message,
            props: &props,
            mime: &mime,
            fraction_digits: call.shared.config.fraction_digits,
        };
        let value = path.and_then(|path| lookup(&known, path));
        let value = value.and_then(|all| all.into_iter().next());
        let number = value.as_ref().and_then(|value| value.parse::<i64>().ok());
        (number, value)
    };
    if path.is_some() {
        found.sort_by_cached_key(|item| (key(item), item.message.uid));
    }
    if !ascending {
        found.reverse();
    }
}

fn page(call: &Call, found: Vec<Item>) -> Answer {
    let config = &call.shared.config;
    let shape = Shape::of(&call.operation, true);
    let view = call.operation.child("m:IndexedPageItemView");
    let number = |name| {
        view.and_then(|v| v.get(name))
            .and_then(|n| n.parse::<usize>().ok())
    };
    let limit = match call.operation.child("m:Restriction") {
        Some(_) => config.max_find_restricted,
        None => config.max_find,
    };
    let limit = limit.min(config.partial_pages.unwrap_or(usize::MAX));
    let offset = number("Offset").unwrap_or(0);
    let most = number("MaxEntriesReturned")
        .unwrap_or(usize::MAX)
        .min(limit);
    let offset = match view.and_then(|v| v.get("BasePoint")) {
        Some("End") => found.len().saturating_sub(offset + most),
        _ => offset,
    };
    let shown: Vec<_> = found
        .iter()
        .skip(offset)
        .take(most)
        .map(|item| items::render(call, item, &shape))
        .collect();
    let end = offset + shown.len();
    Ok(vec![
        el("m:RootFolder")
            .attr("IndexedPagingOffset", end.to_string())
            .attr("TotalItemsInView", found.len().to_string())
            .attr("IncludesLastItemInRange", (end >= found.len()).to_string())
            .with(el("t:Items").with_all(shown)),
    ])
}
