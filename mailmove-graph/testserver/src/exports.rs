//! Items of all classes as streams: what the import and export interface shows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailmove_testkit::mailbox::{FolderInfo, StoreError};
use mailmove_testkit_exchange::draft::put;
use mailmove_testkit_exchange::ids::{self, Place};
use mailmove_testkit_exchange::mime::Mime;
use mailmove_testkit_exchange::props::{Known, categories};
use mailmove_testkit_exchange::streams::{TRUNCATED, decode, encode};
use serde_json::{Map, Value, json};

use crate::call::{Call, Item, listed};
use crate::faults::Action;
use crate::identity::made;
use crate::list::next_link;
use crate::render::{self, Chosen};
use crate::reply::{Answer, Failure, empty, respond};
use crate::sessions::Purpose;

/// More are not exported at once.
const MOST: usize = 20;

fn is_below(folder: &FolderInfo, path: &[String]) -> bool {
    folder.path.len() == path.len() + 1 && folder.path.starts_with(path)
}

fn show_folder(call: &Call, folder: &FolderInfo) -> Result<Value, Failure> {
    show_folder_among(call, folder, &call.mailbox.account.folders())
}

/// A folder as this interface shows it, where all that there are are known.
pub(crate) fn show_folder_among(
    call: &Call,
    folder: &FolderInfo,
    all: &[FolderInfo],
) -> Result<Value, Failure> {
    let account = &call.mailbox.account;
    let above = folder.path.split_last().map_or(&[][..], |(_, above)| above);
    let parent = match above {
        [] => Place::Top,
        above => account
            .folder(above)
            .map_or(Place::Top, |f| Place::Folder(f.id)),
    };
    Ok(json!({
        "id": call.folder_id(Place::Folder(folder.id)),
        "displayName": call.mailbox.display_name(folder),
        "parentFolderId": call.folder_id(parent),
        "childFolderCount": all.iter().filter(|f| is_below(f, &folder.path)).count(),
        "totalItemCount": account.status(folder.id)?.messages,
        "type": call.mailbox.class(folder.id),
        "wellKnownName": well_known(call, folder),
    }))
}

/// What a folder is called in all languages, if Exchange made it.
fn well_known(call: &Call, folder: &FolderInfo) -> Option<&'static str> {
    let uses = [
        ("\\Sent", "sentitems"),
        ("\\Drafts", "drafts"),
        ("\\Trash", "deleteditems"),
        ("\\Junk", "junkemail"),
        ("\\Archive", "archive"),
    ];
    let of_use =
        |(attribute, _): &&(&str, &str)| folder.special_use.iter().any(|have| have == attribute);
    let is_inbox = folder.path.len() == 1
        && folder
            .path
            .iter()
            .all(|name| name.eq_ignore_ascii_case("INBOX"));
    let by_use = uses.iter().find(of_use).map(|(_, name)| *name);
    is_inbox.then_some("inbox").or(by_use).or_else(|| {
        let extra = call.mailbox.extra();
        extra.folders.get(&folder.id)?.role
    })
}

pub(crate) fn folders(call: &Call) -> Answer {
    let path = match &call.route.folder {
        Some(folder) => match call.place(folder)? {
            Place::Folder(id) => call.mailbox.account.folder_by_id(id)?.path,
            _ => Vec::new(),
        },
        None => Vec::new(),
    };
    // Hidden ones, too.
    let mut all = call.mailbox.account.folders();
    all.retain(|folder| is_below(folder, &path));
    let skip = call.query.number("$skip")?.unwrap_or(0);
    let mut values = Vec::new();
    for folder in all.iter().skip(skip).take(call.page(10)?) {
        values.push(show_folder(call, folder)?);
    }
    let next = skip + values.len();
    let more = (next < all.len()).then(|| ("@odata.nextLink", next_link(call, next).into()));
    let context = call.context("admin/exchange/mailboxes('x')/folders");
    listed(context, values, more.into_iter().collect())
}

/// Makes a folder of the class that is asked for.
pub(crate) fn create_folder(call: &Call) -> Answer {
    let mut path = match &call.route.folder {
        Some(folder) => match call.place(folder)? {
            Place::Folder(id) => call.mailbox.account.folder_by_id(id)?.path,
            _ => Vec::new(),
        },
        None => Vec::new(),
    };
    let body = call.json()?;
    for (member, _) in body.as_object().into_iter().flatten() {
        if !matches!(member.as_str(), "displayName" | "type") && !member.contains('@') {
            return Err(Failure::bad(format!(
                "The property '{member}' does not exist on type 'microsoft.graph.mailboxFolder'."
            )));
        }
    }
    let text = |name: &str| {
        let text = body.get(name).and_then(Value::as_str).unwrap_or_default();
        let missing = || Failure::new(400, "ErrorInvalidArgument", "Name or type is missing.");
        (!text.trim().is_empty())
            .then(|| text.to_owned())
            .ok_or_else(missing)
    };
    let (name, class) = (text("displayName")?, text("type")?);
    if !class.starts_with("IPF.") {
        return Err(Failure::new(
            400,
            "ErrorInvalidArgument",
            "There is no such type.",
        ));
    }
    path.push(call.mailbox.component(&path, &name));
    let id = crate::folders::create_at(call, &path)?;
    call.mailbox.extra().folders.entry(id).or_default().class = Some(class);
    let folder = call.mailbox.account.folder_by_id(id)?;
    let mut shown = show_folder(call, &folder)?;
    if let Some(object) = shown.as_object_mut() {
        let context = call.context("admin/exchange/mailboxes('x')/folders/$entity");
        object.insert("@odata.context".to_owned(), context.into());
    }
    Ok(respond(201, &shown))
}

/// Deletes an item, in the way that has to be said.
pub(crate) fn delete(call: &Call) -> Answer {
    let item = call.item()?;
    let how = call.query.get("disposalType").unwrap_or_default();
    if !matches!(how, "softDelete" | "hardDelete") {
        return Err(Failure::new(
            400,
            "ErrorInvalidArgument",
            "The disposal type is missing.",
        ));
    }
    if item.folder.read_only {
        return Err(StoreError::ReadOnly.into());
    }
    // Where users see it, it is gone either way.
    let uid = item.message.uid;
    item.mailbox.account.remove(item.folder.id, &[uid])?;
    Ok(empty(204))
}

fn target(call: &Call) -> Result<FolderInfo, Failure> {
    call.folder_by_id(call.route.folder.as_deref().unwrap_or_default())
}

pub(crate) fn folder(call: &Call) -> Answer {
    let mut shown = show_folder(call, &target(call)?)?;
    if let Some(object) = shown.as_object_mut() {
        let context = call.context("admin/exchange/mailboxes('x')/folders/$entity");
        object.insert("@odata.context".to_owned(), context.into());
    }
    Ok(respond(200, &shown))
}

/// An item as this interface shows it.
pub(crate) fn show(call: &Call, item: &Item, chosen: &Chosen) -> Result<Value, Failure> {
    // Ids alone need nothing to be converted.
    if !chosen.only_ids() {
        call.readable(&item.mailbox, &item.message)?;
    }
    let props = item.mailbox.extra().props(item.folder.id, &item.message);
    let mime = Mime::parse(&item.message.body);
    let known = Known {
        message: &item.message,
        props: &props,
        mime: &mime,
        fraction_digits: 0,
    };
    let time = |tag: u16| known.by_tag(tag).map(|value| value.first().to_owned());
    let mut out = Map::new();
    for (name, value) in [
        (
            "@odata.etag",
            format!("W/\"{}\"", ids::change_key(&item.message)).into(),
        ),
        ("id", call.id(&item.folder, &item.message).into()),
        ("createdDateTime", time(0x3007).into()),
        ("lastModifiedDateTime", time(0x3008).into()),
        ("changeKey", ids::change_key(&item.message).into()),
        ("categories", Value::from(categories(&item.message.flags))),
        ("type", props.class().into()),
        ("size", item.message.body.len().into()),
    ] {
        if matches!(name, "@odata.etag" | "id") || chosen.has(name) {
            out.insert(name.to_owned(), value);
        }
    }
    render::extended(&known, chosen.expand(), &mut out)?;
    Ok(out.into())
}

pub(crate) fn items(call: &Call) -> Answer {
    let folder = target(call)?;
    let chosen = Chosen::of(&call.query)?;
    let mut messages = call.mailbox.account.messages(folder.id)?;
    messages.retain(|m| !call.mailbox.extra().props(folder.id, m).associated);
    let skip = call.query.number("$skip")?.unwrap_or(0);
    let most = call.page(10)?;
    let total = messages.len();
    let mut values = Vec::new();
    for message in messages.into_iter().skip(skip).take(most) {
        let item = Item {
            mailbox: call.mailbox.clone(),
            folder: folder.clone(),
            message,
        };
        values.push(show(call, &item, &chosen)?);
    }
    let next = skip + values.len();
    let more = (next < total).then(|| ("@odata.nextLink", next_link(call, next).into()));
    let context = call.context("admin/exchange/mailboxes('x')/folders('x')/items");
    listed(context, values, more.into_iter().collect())
}

pub(crate) fn item(call: &Call) -> Answer {
    let item = call.item()?;
    let mut shown = show(call, &item, &Chosen::of(&call.query)?)?;
    if let Some(object) = shown.as_object_mut() {
        let context = call.context("admin/exchange/mailboxes('x')/folders('x')/items/$entity");
        object.insert("@odata.context".to_owned(), context.into());
    }
    Ok(respond(200, &shown))
}

pub(crate) fn export(call: &Call) -> Answer {
    let body = call.json()?;
    let list = body.get("itemIds").or_else(|| body.get("ItemIds"));
    let list = list.and_then(Value::as_array);
    let list = list.ok_or_else(|| Failure::bad("The ids are missing."))?;
    if list.len() > MOST {
        return Err(Failure::new(
            400,
            "ErrorInvalidArgument",
            "At most 20 items are exported at once.",
        ));
    }
    let mut values = Vec::new();
    for (index, id) in list.iter().enumerate() {
        let id = id.as_str().unwrap_or_default();
        values.push(match stream(call, index, id) {
            Ok((key, data)) => json!({"itemId": id, "changeKey": key, "data": data}),
            Err(failure) => json!({
                "itemId": id,
                "error": {"code": failure.code, "message": failure.message},
            }),
        });
    }
    let context = call.context("Collection(microsoft.graph.exportItemResponse)");
    listed(context, values, Vec::new())
}

/// The change key and the stream of one item.
fn stream(call: &Call, index: usize, id: &str) -> Result<(String, String), Failure> {
    if let Some(Action::ErrorAt(at, code)) = &call.fault
        && *at == index
    {
        return Err(Failure::new(
            400,
            code.clone(),
            "The item could not be exported.",
        ));
    }
    let item = call.item_by_id(id)?;
    call.readable(&item.mailbox, &item.message)?;
    let props = item.mailbox.extra().props(item.folder.id, &item.message);
    let mut stream = encode(&item.message, &props);
    if call.truncates() {
        stream.truncate(stream.len() / 2);
        stream.extend_from_slice(TRUNCATED);
    }
    call.shared.counting.lock().exported += 1;
    Ok((ids::change_key(&item.message), STANDARD.encode(stream)))
}

pub(crate) fn session(call: &Call) -> Answer {
    let (url, until) = call.shared.sessions.open(call, Purpose::Import);
    Ok(respond(
        200,
        &json!({
            "@odata.context": call.context("microsoft.graph.mailboxItemImportSession"),
            "importUrl": url,
            "expirationDateTime": until,
        }),
    ))
}

pub(crate) fn import(call: &Call) -> Answer {
    let id = call.route.message.as_deref().unwrap_or_default();
    let fits = matches!(
        call.shared
            .sessions
            .lock()
            .get(id)
            .map(|open| open.purpose.clone()),
        Some(Purpose::Import)
    );
    if !fits {
        return Err(Failure::missing());
    }
    let body = call.json()?;
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let refuse = |code: &'static str, why: &'static str| Failure::new(400, code, why);
    let folder = text("FolderId").ok_or_else(|| refuse("ErrorInvalidArgument", "No FolderId."))?;
    let folder = match ids::parse(&made(folder)) {
        Some(_) => call.folder_by_id(folder)?,
        None => return Err(Failure::malformed()),
    };
    let corrupt = || refuse("ErrorCorruptData", "The data is corrupt.");
    let data = STANDARD.decode(text("Data").unwrap_or_default());
    let decoded = decode(&data.map_err(|_| corrupt())?).ok_or_else(corrupt)?;
    let named = (text("ItemId"), text("ChangeKey"));
    let old = match (text("Mode"), named) {
        (Some("create"), (None, None)) => None,
        (Some("create"), _) => {
            return Err(refuse(
                "ErrorInvalidArgument",
                "What is created has no id yet.",
            ));
        }
        (Some("update"), (Some(id), Some(key))) => {
            let old = call.item_by_id(id)?;
            if ids::change_key(&old.message) != key || old.folder.id != folder.id {
                return Err(refuse("ErrorIrresolvableConflict", "The item has changed."));
            }
            Some(old)
        }
        _ => {
            return Err(refuse(
                "ErrorInvalidArgument",
                "The mode is not understood.",
            ));
        }
    };
    let message = put(&call.mailbox, &folder, decoded.message, decoded.props)?;
    if let Some(old) = old {
        let uid = old.message.uid;
        let (before, after) = ((&old.folder, &old.message), (&folder, &message));
        call.shared.identities.moved(&call.mailbox, before, after);
        call.mailbox.account.remove(old.folder.id, &[uid])?;
    }
    call.shared.counting.lock().created += 1;
    let folder = call.mailbox.account.folder_by_id(folder.id)?;
    let context = call.base.replace("/v1.0", "/api/gv1.0");
    Ok(respond(
        200,
        &json!({
            "@odata.context": format!("{context}/$metadata#microsoft.graph.importMailboxItemResponse"),
            "itemId": call.id(&folder, &message),
            "changeKey": ids::change_key(&message),
        }),
    ))
}
