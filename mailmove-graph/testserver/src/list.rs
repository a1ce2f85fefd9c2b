//! Lists of messages.

use mailmove_testkit::mailbox::{FolderInfo, Message};
use mailmove_testkit_exchange::dates;
use mailmove_testkit_exchange::mime::Mime;
use mailmove_testkit_exchange::props::{Key, Known};

use crate::call::{Call, Item, listed};
use crate::odata::{Property, Test, encode, filter};
use crate::props;
use crate::render::{self, Chosen};
use crate::reply::{Answer, Failure};

/// The folders that a list is about: one, or all.
fn folders(call: &Call) -> Result<Vec<FolderInfo>, Failure> {
    match &call.route.folder {
        Some(folder) => Ok(vec![call.folder_by_id(folder)?]),
        None => Ok(call.mailbox.account.folders()),
    }
}

pub(crate) fn messages(call: &Call) -> Answer {
    let chosen = Chosen::of(&call.query)?;
    let tests = filter(call.query.get("$filter").unwrap_or_default())?;
    let mut found: Vec<(FolderInfo, Message)> = Vec::new();
    for folder in folders(call)? {
        let mut messages = call.mailbox.account.messages(folder.id)?;
        if !tests.is_empty() {
            // The index knows of the newest ones later.
            let known = messages.len().saturating_sub(call.shared.config.search_lag);
            messages.truncate(known);
        }
        for message in messages {
            let props = call.mailbox.extra().props(folder.id, &message);
            if props.associated || !render::is_message(props.class()) {
                continue;
            }
            if holds(call, &folder, &message, &tests)? {
                found.push((folder.clone(), message));
            }
        }
    }
    order(call.query.get("$orderby"), &mut found)?;
    let total = found.len();
    let skip = call.query.number("$skip")?.unwrap_or(0);
    let most = call.page(10)?;
    let mut values = Vec::new();
    for (folder, message) in found.into_iter().skip(skip).take(most) {
        let item = Item {
            mailbox: call.mailbox.clone(),
            folder,
            message,
        };
        values.push(render::message(call, &item, &chosen)?);
    }
    let mut more = Vec::new();
    if call
        .query
        .get("$count")
        .is_some_and(|v| v.eq_ignore_ascii_case("true"))
    {
        more.push(("@odata.count", total.into()));
    }
    let next = skip + values.len();
    if next < total {
        more.push(("@odata.nextLink", next_link(call, next).into()));
    }
    listed(call.context("users('x')/messages"), values, more)
}

/// The same request, further on.
pub(crate) fn next_link(call: &Call, skip: usize) -> String {
    let mut pairs = Vec::new();
    for name in call.query.names() {
        if name.trim_start_matches('$').eq_ignore_ascii_case("skip") {
            continue;
        }
        let value = call.query.get(name).unwrap_or_default();
        pairs.push(format!(
            "{}={}",
            encode(name).replace("%24", "$"),
            encode(value)
        ));
    }
    pairs.push(format!("$skip={skip}"));
    format!("{}?{}", call.url(), pairs.join("&"))
}

fn order(by: Option<&str>, found: &mut [(FolderInfo, Message)]) -> Result<(), Failure> {
    let by = by.unwrap_or("receivedDateTime desc");
    let mut words = by.split_whitespace();
    let (name, direction) = (words.next(), words.next());
    if !name.is_some_and(|n| n.eq_ignore_ascii_case("receivedDateTime")) || by.contains(',') {
        return Err(Failure::new(
            400,
            "ErrorInvalidUrlQuery",
            format!("The order '{by}' is not supported."),
        ));
    }
    found.sort_by_key(|(folder, m)| (m.date.unix, folder.id, m.uid));
    if direction.is_some_and(|d| d.eq_ignore_ascii_case("desc")) {
        found.reverse();
    }
    Ok(())
}

/// Whether all tests hold.
pub(crate) fn holds(
    call: &Call,
    folder: &FolderInfo,
    message: &Message,
    tests: &[Test],
) -> Result<bool, Failure> {
    if tests.is_empty() {
        return Ok(true);
    }
    let props = call.mailbox.extra().props(folder.id, message);
    // Marks are looked for often, and are not made of the message.
    for test in tests.iter().filter(|test| test.operator == "eq") {
        if let Property::Extended(id) = &test.property
            && let Some((key @ Key::Name(..), _)) = props::key(id)
            && props
                .extended
                .get(&key)
                .is_none_or(|v| v.first() != test.value)
        {
            return Ok(false);
        }
    }
    let known = Known {
        message,
        props: &props,
        mime: &Mime::parse(&message.body),
        fraction_digits: 0,
    };
    for test in tests {
        if !holds_one(&known, test)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn holds_one(known: &Known<'_>, test: &Test) -> Result<bool, Failure> {
    let unsupported = || {
        Failure::new(
            400,
            "ErrorInvalidUrlQueryFilter",
            "The query filter contains one or more invalid nodes.",
        )
    };
    let have = match &test.property {
        Property::Extended(id) => {
            let (key, kind) = props::key(id).ok_or_else(unsupported)?;
            let value = known.extended(&key, &kind);
            value.map(|value| value.first().to_owned())
        }
        Property::Named(name) => match name.as_str() {
            "internetMessageId" => known.mime.header("message-id"),
            "subject" => Some(known.mime.subject()),
            "isRead" => Some(known.flag("\\Seen").to_string()),
            "isDraft" => Some(known.flag("\\Draft").to_string()),
            "hasAttachments" => Some(known.mime.has_attachments().to_string()),
            "receivedDateTime" => {
                let want = dates::parse(&test.value).ok_or_else(unsupported)?;
                return compare(&test.operator, known.message.date.unix, want)
                    .ok_or_else(unsupported);
            }
            _ => return Err(unsupported()),
        },
    };
    match test.operator.as_str() {
        "eq" => Ok(have.as_deref() == Some(test.value.as_str())),
        "ne" => Ok(have.as_deref() != Some(test.value.as_str())),
        _ => Err(unsupported()),
    }
}

fn compare(operator: &str, have: i64, want: i64) -> Option<bool> {
    Some(match operator {
        "eq" => have == want,
        "ne" => have != want,
        "ge" => have >= want,
        "gt" => have > want,
        "le" => have <= want,
        "lt" => have < want,
        _ => return None,
    })
}
