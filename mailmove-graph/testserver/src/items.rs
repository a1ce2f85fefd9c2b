//! Operations on one item, and on the mailbox as such.

use std::sync::Arc;

use mailmove_testkit::mailbox::StoreError;
use mailmove_testkit_exchange::draft;
use mailmove_testkit_exchange::http::Response;
use mailmove_testkit_exchange::mime::Mime;
use mailmove_testkit_exchange::props::Known;
use mailmove_testkit_exchange::rebuild::rebuild;
use serde_json::{Value, json};

use crate::call::{Call, Item, listed};
use crate::render;
use crate::reply::{Answer, Failure, empty, respond};
use crate::server::Shared;

/// A GUID for a name.
fn guid(name: &str) -> String {
    let hex = blake3::hash(name.as_bytes()).to_hex();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    let (a, b, c) = (part(0, 8), part(8, 12), part(12, 16));
    format!("{a}-{b}-{c}-{}-{}", part(16, 20), part(20, 32))
}

/// The id of a user.
pub(crate) fn user_id(name: &str) -> String {
    guid(&format!("user {name}"))
}

/// The id that export and import know a mailbox by.
pub(crate) fn mailbox_id(shared: &Shared, user: &str) -> String {
    format!("MBX:{}@{}", guid(user), guid(&shared.config.tenant))
}

/// Whose mailbox such an id means.
pub(crate) fn user_of(shared: &Arc<Shared>, id: &str) -> Option<String> {
    let mut users = shared.config.users.keys();
    users.find(|user| mailbox_id(shared, user) == id).cloned()
}

pub(crate) fn user(call: &Call) -> Answer {
    let name = call.mailbox.account.user();
    let address = call.shared.config.users.get(name);
    let address = address.map_or(name, String::as_str);
    Ok(respond(
        200,
        &json!({
            "@odata.context": call.context("users/$entity"),
            "id": user_id(name),
            "displayName": name,
            "mail": address,
            "userPrincipalName": address,
        }),
    ))
}

pub(crate) fn exchange_settings(call: &Call) -> Answer {
    let user = call.mailbox.account.user();
    Ok(respond(
        200,
        &json!({
            "@odata.context": call.context("users('x')/settings/exchange/$entity"),
            "id": guid(&format!("settings {user}")),
            "primaryMailboxId": mailbox_id(&call.shared, user),
        }),
    ))
}

/// At most so many ids are translated at once.
const MOST_IDS: usize = 1000;

/// From one kind of ids to the other.
pub(crate) fn translate(call: &Call) -> Answer {
    let body = call.json()?;
    let member = |name: &str| {
        let capital =
            name.get(..1).unwrap_or_default().to_uppercase() + name.get(1..).unwrap_or("");
        body.get(name).or_else(|| body.get(capital)).cloned()
    };
    let ids = member("inputIds").and_then(|ids| ids.as_array().cloned());
    let ids = ids.ok_or_else(|| Failure::bad("The ids are missing."))?;
    let target = member("targetIdType").unwrap_or_default();
    let immutable = match target.as_str() {
        Some("restImmutableEntryId") => true,
        Some("restId") => false,
        _ => return Err(Failure::bad("This type of ids is not spoken here.")),
    };
    if ids.len() > MOST_IDS {
        return Err(Failure::new(
            400,
            "ErrorInvalidArgument",
            "At most 1000 ids are translated at once.",
        ));
    }
    let each = ids.iter().map(|id| {
        let found = call.item_by_id(id.as_str().unwrap_or_default());
        match found {
            Ok(item) => {
                let all = &call.shared.identities;
                let new = all.id(&item.mailbox, &item.folder, &item.message, immutable);
                json!({"sourceId": id, "targetId": new})
            }
            Err(failure) => json!({
                "sourceId": id,
                "errorDetails": {"code": failure.code, "message": failure.message},
            }),
        }
    });
    let context = call.context("Collection(microsoft.graph.convertIdResult)");
    listed(context, each.collect(), Vec::new())
}

pub(crate) fn get(call: &Call) -> Answer {
    let item = call.item()?;
    let chosen = render::Chosen::of(&call.query)?;
    let mut body = render::message(call, &item, &chosen)?;
    let context = call.context("users('x')/messages/$entity");
    if let Some(body) = body.as_object_mut() {
        body.insert("@odata.context".to_owned(), context.into());
    }
    Ok(respond(200, &body))
}

fn is_smime(mime: &Mime, class: &str) -> bool {
    let kind = mime.kind();
    class.to_ascii_uppercase().starts_with("IPM.NOTE.SMIME")
        || matches!(
            kind.as_str(),
            "multipart/signed" | "application/pkcs7-mime" | "application/x-pkcs7-mime"
        )
}

pub(crate) fn mime(call: &Call) -> Answer {
    let item = call.item()?;
    let props = item.mailbox.extra().props(item.folder.id, &item.message);
    let mime = Mime::parse(&item.message.body);
    if call.shared.config.smime_fails && is_smime(&mime, props.class()) {
        return Err(Failure::new(
            500,
            "ErrorMimeContentConversionFailed",
            "The MIME content conversion failed.",
        ));
    }
    let mut bytes = match call.shared.config.rebuilds_mime {
        true => rebuild(&Known {
            message: &item.message,
            props: &props,
            mime: &mime,
            fraction_digits: 0,
        }),
        false => item.message.body.to_vec(),
    };
    if call.truncates() {
        bytes.truncate(bytes.len() / 2);
    }
    call.shared.counting.lock().bodies_fetched += 1;
    Ok(Response::new(200, bytes).header("Content-Type", "text/plain"))
}

/// The answer about an item that was made, moved or copied.
pub(crate) fn made(call: &Call, item: &Item, status: u16) -> Answer {
    let mut body = render::message(call, item, &render::Chosen::default())?;
    if let Some(body) = body.as_object_mut() {
        let context = call.context("users('x')/messages/$entity");
        body.insert("@odata.context".to_owned(), context.into());
    }
    Ok(respond(status, &body))
}

pub(crate) fn carry(call: &Call, moves: bool) -> Answer {
    let item = call.item()?;
    let body = call.json()?;
    let to = destination(&body)
        .ok_or_else(|| Failure::new(400, "ErrorInvalidRequest", "The destination is missing."))?;
    let to = call.folder_by_id(to)?;
    let new = carry_to(call, &item, &to, moves)?;
    call.shared.counting.lock().created += u64::from(!moves);
    made(call, &new, 201)
}

/// Parameters of actions are written in either case.
pub(crate) fn destination(body: &Value) -> Option<&str> {
    let id = body
        .get("destinationId")
        .or_else(|| body.get("DestinationId"));
    id?.as_str()
}

fn carry_to(
    call: &Call,
    item: &Item,
    to: &mailmove_testkit::mailbox::FolderInfo,
    moves: bool,
) -> Result<Item, Failure> {
    let from = (&item.mailbox, item.folder.id, &item.message);
    let new = draft::carry(from, (&item.mailbox, to), moves).map_err(|error| match error {
        // It went away meanwhile.
        StoreError::NoSuchFolder => Failure::missing(),
        error => error.into(),
    })?;
    if moves {
        let (old, new) = ((&item.folder, &item.message), (to, &new));
        call.shared.identities.moved(&item.mailbox, old, new);
    }
    Ok(Item {
        mailbox: item.mailbox.clone(),
        folder: item.mailbox.account.folder_by_id(to.id)?,
        message: new,
    })
}

/// Deletes an item: to the deleted ones, unless it lies there or is to go for good.
pub(crate) fn delete(call: &Call, purges: bool) -> Answer {
    let item = call.item()?;
    if item.folder.read_only {
        return Err(StoreError::ReadOnly.into());
    }
    let trash = item.mailbox.distinguished("deleteditems");
    match trash.filter(|trash| !purges && *trash != item.folder.id) {
        Some(trash) => {
            let trash = item.mailbox.account.folder_by_id(trash)?;
            carry_to(call, &item, &trash, true)?;
        }
        None => {
            let uid = item.message.uid;
            item.mailbox.account.remove(item.folder.id, &[uid])?;
        }
    }
    Ok(empty(204))
}
