//! Changing what is there.

use std::collections::HashMap;

use mailmove_core::{
    destination::{Fence, FlagChange, Outcome, Receipt},
    error::{Error, ErrorKind, Result, Scope},
    model::{FolderId, MessageId, Timestamp},
};
use serde_json::json;

use super::{
    Inner,
    other::{self, Change},
};
use crate::{
    draft,
    error::{self, Doing},
    folders,
    generate::Out,
    http::Failed,
    items::{self, Meta},
    pool::Answer,
    wire::{Path, Request},
};

/// Metadata by id.
pub(super) type Metas = HashMap<MessageId, Meta>;
pub(super) type Changes = Out<(MessageId, Outcome)>;

/// Messages in one request.
const AT_ONCE: usize = 20;

fn message(id: &MessageId) -> Path {
    Path::new().at("messages").id(id.as_str())
}

pub(super) fn gone() -> Outcome {
    let error = Error::new(ErrorKind::NotFound, "the message does not exist");
    Outcome::NotStored(error.with_code("graph/no-item").with_scope(Scope::Message))
}

/// What a refusal of one change proves.
fn refused(failed: &Failed) -> Outcome {
    match items::is_gone(&failed.error) {
        true => gone(),
        false => error::outcome(&failed.error, failed.perhaps_executed),
    }
}

pub(super) async fn send(inner: &Inner, requests: &[Request]) -> Vec<Result<Answer, Failed>> {
    match requests {
        [one] => vec![inner.pool.send(one, None).await],
        all => inner.pool.batch(all, None).await,
    }
}

/// What is known of these messages; those that are not in the folder (any more) are left out. Ids outlast moves: what
/// people put elsewhere is theirs.
///
/// # Errors
/// If that could not be asked.
pub(super) async fn metas_in(inner: &Inner, folder: &FolderId, ids: &[MessageId]) -> Result<Metas> {
    let mut out = Metas::new();
    for (id, meta) in metas(inner, ids).await? {
        if is_in(inner, folder, &meta).await? {
            out.insert(id, meta);
        }
    }
    Ok(out)
}

/// Whether a message lies in a folder. Nobody promises that a message names its folder as the list of folders does: of
/// another name it is asked what folder that is, once.
///
/// # Errors
/// If that could not be asked.
pub(super) async fn is_in(inner: &Inner, folder: &FolderId, meta: &Meta) -> Result<bool> {
    let Some(parent) = meta.parent.as_deref().filter(|it| *it != folder.as_str()) else {
        return Ok(true);
    };
    if let Some(known) = inner.parents().get(parent) {
        return Ok(known == folder);
    }
    let found = match folders::get(&inner.pool, parent).await {
        Ok(found) => FolderId::new(&found.id),
        // It was removed since.
        Err(error) if error.code() == folders::no_folder().code() => return Ok(false),
        Err(error) => return Err(error),
    };
    let is_same = found == *folder;
    inner.parents().insert(parent.to_owned(), found);
    Ok(is_same)
}

/// What is known of these messages, wherever they are; those that are gone are left out.
///
/// # Errors
/// If that could not be asked.
pub(super) async fn metas(inner: &Inner, ids: &[MessageId]) -> Result<Metas> {
    let mut out = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(AT_ONCE) {
        let requests: Vec<Request> = ids.iter().map(|id| get(inner, id)).collect();
        let answers = match requests.as_slice() {
            [one] => vec![inner.pool.send(one, None).await],
            all => inner.pool.as_it_fits(all).await,
        };
        for (id, answer) in ids.iter().zip(answers) {
            match answer {
                Ok(answer) => {
                    out.insert(id.clone(), meta_of(id, answer)?);
                }
                Err(failed) if items::is_gone(&failed.error) => {}
                Err(failed) => return Err(failed.error),
            }
        }
    }
    Ok(out)
}

fn get(inner: &Inner, id: &MessageId) -> Request {
    let path = message(id).query("$select", items::SELECT_ONE);
    let expand = items::expand(inner.pool.access().config.exports());
    Request::get(path.query("$expand", &expand), Doing::message("getMessage"))
}

pub(super) fn meta_of(id: &MessageId, answer: Answer) -> Result<Meta> {
    let meta = Meta::of(answer.json)?;
    match meta.id == *id {
        true => Ok(meta),
        false => Err(items::other_item()),
    }
}

/// What is known of one message, and when that was by the server's clock; `None` if it is gone.
///
/// # Errors
/// If that could not be asked.
pub(super) async fn look_at(
    inner: &Inner,
    id: &MessageId,
) -> Result<Option<(Meta, Option<Timestamp>)>> {
    match inner.pool.call(&get(inner, id)).await {
        Ok(answer) => {
            let date = answer.date;
            Ok(Some((meta_of(id, answer)?, date)))
        }
        Err(error) if items::is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Changes what is in a folder.
pub(super) async fn run(inner: &Inner, folder: &FolderId, change: Change, out: &Changes) {
    match other::change(inner, folder, change, out).await {
        None => {}
        Some(Change::Flags(changes)) => set_flags(inner, folder, changes, out).await,
        Some(Change::Carry(ids, to, how)) => transfer(inner, folder, ids, how, &to, out).await,
        Some(Change::Remove(ids)) => remove(inner, folder, ids, out).await,
    }
}

/// Sets and clears flags: looks, changes what differs, and looks again.
async fn set_flags(inner: &Inner, folder: &FolderId, changes: Vec<FlagChange>, out: &Changes) {
    for changes in changes.chunks(AT_ONCE) {
        out.send_all(set_some(inner, folder, changes).await).await;
    }
}

async fn set_some(
    inner: &Inner,
    folder: &FolderId,
    changes: &[FlagChange],
) -> Vec<(MessageId, Outcome)> {
    const PATCH: Doing = Doing::message("updateMessage");
    let ids: Vec<MessageId> = changes.iter().map(|change| change.id.clone()).collect();
    let before = match metas_in(inner, folder, &ids).await {
        Ok(before) => before,
        Err(error) => {
            let failed = ids.into_iter();
            return failed
                .map(|id| (id, error::outcome(&error, false)))
                .collect();
        }
    };
    let mut sent = Vec::new();
    let mut requests = Vec::new();
    for change in changes {
        let Some(meta) = before.get(&change.id) else {
            continue;
        };
        let wanted = meta.flags.difference(&change.remove).union(&change.add);
        let members = draft::flags(&meta.flags, &wanted);
        if !members.is_empty() {
            requests.push(Request::patch(message(&change.id), PATCH).json(&members));
            sent.push(change.id.clone());
        }
    }
    let mut failed: HashMap<MessageId, Outcome> = HashMap::new();
    if !requests.is_empty() {
        for (id, answer) in sent.iter().zip(send(inner, &requests).await) {
            if let Err(why) = answer {
                failed.insert(id.clone(), refused(&why));
            }
        }
    }
    let changed: Vec<MessageId> = sent
        .into_iter()
        .filter(|id| !failed.contains_key(id))
        .collect();
    let after = match changed.is_empty() {
        true => Ok(HashMap::new()),
        false => metas(inner, &changed).await,
    };
    let stored = |id: &MessageId, meta: &Meta| {
        Outcome::Stored(Receipt::new(Some(id.clone())).with_flags(meta.flags.clone()))
    };
    let outcome = |id: &MessageId| match (before.get(id), &after) {
        (None, _) => gone(),
        (Some(meta), _) if !changed.contains(id) => stored(id, meta),
        (_, Err(error)) => error::outcome(error, true),
        (_, Ok(after)) => after.get(id).map_or_else(gone, |meta| stored(id, meta)),
    };
    ids.into_iter()
        .map(|id| {
            let outcome = failed.remove(&id).unwrap_or_else(|| outcome(&id));
            (id, outcome)
        })
        .collect()
}

/// Moves or copies messages that are in a folder; the server has to name the id in the new place.
async fn transfer(
    inner: &Inner,
    from: &FolderId,
    ids: Vec<MessageId>,
    how: &'static str,
    to: &FolderId,
    out: &Changes,
) {
    let doing = Doing::message(how);
    let body = json!({ "destinationId": to.as_str() });
    let request = |id: &MessageId| Request::post(message(id).at(how), doing).json(&body);
    let judge = |_: &MessageId, answer: Answer| match items::id(&answer.json) {
        Some(new) => Outcome::Stored(Receipt::new(Some(new))),
        None => Outcome::Unknown(error::unexpected("the server named no new id")),
    };
    each_in(inner, from, ids, request, judge, out).await;
}

/// Does something to messages, as far as they are in a folder.
async fn each_in(
    inner: &Inner,
    folder: &FolderId,
    ids: Vec<MessageId>,
    request: impl Fn(&MessageId) -> Request,
    judge: impl Fn(&MessageId, Answer) -> Outcome,
    out: &Changes,
) {
    for ids in ids.chunks(AT_ONCE) {
        let mut there = Vec::with_capacity(ids.len());
        for (id, found) in found_in(inner, folder, ids).await {
            match found {
                Ok(true) => there.push(id),
                Ok(false) => out.send((id, gone())).await,
                Err(error) => out.send((id, error::outcome(&error, false))).await,
            }
        }
        let requests: Vec<Request> = there.iter().map(&request).collect();
        if requests.is_empty() {
            continue;
        }
        for (id, answer) in there.into_iter().zip(send(inner, &requests).await) {
            let outcome = match answer {
                Ok(answer) => judge(&id, answer),
                Err(failed) => refused(&failed),
            };
            out.send((id, outcome)).await;
        }
    }
}

/// Which messages are in a folder. What is wrong with one of them says nothing of the others: they are asked for alone
/// then.
async fn found_in(
    inner: &Inner,
    folder: &FolderId,
    ids: &[MessageId],
) -> Vec<(MessageId, Result<bool>)> {
    let all = ids.iter();
    match metas_in(inner, folder, ids).await {
        Ok(there) => {
            return all
                .map(|id| (id.clone(), Ok(there.contains_key(id))))
                .collect();
        }
        Err(error) if error.scope() > Scope::Message => {
            return all
                .map(|id| (id.clone(), Err(error::again(&error))))
                .collect();
        }
        Err(_) => {}
    }
    let mut out = Vec::with_capacity(ids.len());
    for id in ids {
        let found = metas_in(inner, folder, std::slice::from_ref(id)).await;
        out.push((id.clone(), found.map(|there| there.contains_key(id))));
    }
    out
}

fn removal(id: &MessageId) -> Request {
    // Not DELETE, which puts it into the folder for deleted items.
    Request::post(
        message(id).at("permanentDelete"),
        Doing::message("permanentDelete"),
    )
}

/// Removes messages for good, as far as they are in a folder.
async fn remove(inner: &Inner, folder: &FolderId, ids: Vec<MessageId>, out: &Changes) {
    let stored = |id: &MessageId, _| Outcome::Stored(Receipt::new(Some(id.clone())));
    each_in(inner, folder, ids, removal, stored, out).await;
}

/// Removes one that was made by us and is not complete, or not what it should be.
///
/// # Errors
/// If it may still be there; or may not, if that was perhaps executed.
pub(super) async fn remove_one(
    inner: &Inner,
    id: &MessageId,
    fence: Option<&dyn Fence>,
) -> Result<(), Failed> {
    match inner.pool.send(&removal(id), fence).await {
        Err(failed) if !items::is_gone(&failed.error) => Err(failed),
        _ => Ok(()),
    }
}
