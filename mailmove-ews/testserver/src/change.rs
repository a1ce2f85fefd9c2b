//! UpdateItem, MoveItem, CopyItem, DeleteItem.

use mailmove_testkit::mailbox::StoreError;
use mailmove_testkit_exchange::draft::{self, Draft, change};

use crate::create::read;
use crate::folders::only_target;
use crate::ids;
use crate::operations::{Item, Target, batch, respond};
use crate::props::{self, FORWARDED, Key};
use crate::soap::{Call, Failure, Fault};
use crate::xml::{Element, el, text};

pub(crate) fn update(call: &Call) -> Result<Element, Fault> {
    let resolution = call.operation.get("ConflictResolution");
    let overwrites = resolution == Some("AlwaysOverwrite");
    let changes = call.operation.child("m:ItemChanges");
    let changes = changes.iter().flat_map(|c| &c.children);
    let answers = batch(call, changes, |change| {
        let id = change.child("t:ItemId");
        let id = id.ok_or_else(|| Failure::new("ErrorInvalidChangeKey"))?;
        let item = call.item(id)?;
        let key = ids::change_key(&item.message);
        if !overwrites && id.get("ChangeKey").is_some_and(|have| have != key) {
            return Err(Failure::new("ErrorIrresolvableConflict"));
        }
        let updates = change.child("t:Updates");
        for update in updates.iter().flat_map(|u| &u.children) {
            apply(&item, update)?;
        }
        let now = call.item(id)?;
        Ok(vec![
            el("m:Items").with(el("t:Message").with(now.id())),
            el("m:ConflictResults").with(text("t:Count", "0")),
        ])
    });
    Ok(respond(call, answers, Some("m:Items")))
}

fn apply(item: &Item, update: &Element) -> Result<(), Failure> {
    let path = update.children.first();
    let path = path.ok_or_else(|| Failure::new("ErrorUpdatePropertyMismatch"))?;
    let mut draft = Draft {
        props: item.mailbox.extra().props(item.folder.id, &item.message),
        ..Draft::default()
    };
    match update.local() {
        "SetItemField" => {
            let value = update.children.get(1);
            read(
                &mut draft,
                value.ok_or_else(|| Failure::new("ErrorUpdatePropertyMismatch"))?,
            )?;
        }
        "DeleteItemField" => clear(&mut draft, path),
        _ => return Err(Failure::new("ErrorAppendPropertyNotSupported")),
    }
    change(&item.mailbox, item.folder.id, &item.message, draft)?;
    Ok(())
}

fn clear(draft: &mut Draft, path: &Element) {
    let off = |draft: &mut Draft, name: &str| draft.flags.push((name.to_owned(), false));
    match path.get("FieldURI") {
        Some("item:Categories") => draft.categories = Some(Vec::new()),
        Some("item:Flag") => {
            off(draft, "\\Flagged");
            draft.props.complete = false;
            draft.props.flag_dates.clear();
        }
        Some("item:Importance") => draft.props.importance = None,
        Some(_) => {}
        None => match props::key(path) {
            Some((Key::Tag(0x1090), _)) => {
                off(draft, "\\Flagged");
                draft.props.complete = false;
            }
            Some((Key::Tag(0x1081), _)) => {
                off(draft, "\\Answered");
                off(draft, FORWARDED);
                draft.props.extended.remove(&Key::Tag(0x1081));
            }
            Some((Key::Id(set, 0x8570), _)) if set == props::COMMON => off(draft, "\\Deleted"),
            Some((Key::Name(set, name), _))
                if set == props::PUBLIC_STRINGS && name.eq_ignore_ascii_case("Keywords") =>
            {
                draft.categories = Some(Vec::new());
            }
            Some((key, _)) => {
                draft.props.extended.remove(&key);
            }
            None => {}
        },
    }
}

pub(crate) fn transfer(call: &Call, moves: bool) -> Result<Element, Fault> {
    let target = only_target(call, "m:ToFolderId");
    let tells = call.operation.child_text("m:ReturnNewItemIds") != Some("false");
    let list = call.operation.child("m:ItemIds");
    let answers = batch(call, list.iter().flat_map(|ids| &ids.children), |id| {
        let target = target.clone()?;
        let new = carry(&call.item(id)?, &target, moves)?;
        let item = tells.then(|| el("t:Message").with(new.id()));
        Ok(vec![el("m:Items").with_all(item)])
    });
    Ok(respond(call, answers, Some("m:Items")))
}

fn carry(item: &Item, target: &Target, moves: bool) -> Result<Item, Failure> {
    let to = target.folder()?;
    let from = (&item.mailbox, item.folder.id, &item.message);
    let new = draft::carry(from, (&target.mailbox, &to), moves);
    let new = new.map_err(|error| match error {
        // It went away meanwhile.
        StoreError::NoSuchFolder => Failure::new("ErrorItemNotFound"),
        error => error.into(),
    })?;
    Item::of(&target.mailbox, to.id, new)
}

pub(crate) fn delete(call: &Call) -> Result<Element, Fault> {
    let to_trash = call.operation.get("DeleteType") == Some("MoveToDeletedItems");
    let list = call.operation.child("m:ItemIds");
    let answers = batch(call, list.iter().flat_map(|ids| &ids.children), |id| {
        let item = call.item(id)?;
        let account = &item.mailbox.account;
        let trash = item.mailbox.distinguished("deleteditems");
        if let Some(trash) = trash.filter(|trash| to_trash && *trash != item.folder.id) {
            let target = Target {
                mailbox: item.mailbox.clone(),
                place: ids::Place::Folder(trash),
            };
            carry(&item, &target, true)?;
        } else if item.folder.read_only {
            return Err(Failure::new("ErrorAccessDenied"));
        } else {
            account.remove(item.folder.id, &[item.message.uid])?;
        }
        Ok(Vec::new())
    });
    Ok(respond(call, answers, None))
}
