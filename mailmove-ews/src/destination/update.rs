//! Changing what is there.

use std::collections::HashMap;

use mailmove_core::{
    destination::{FlagChange, Outcome, Receipt},
    error::{Error, ErrorKind, Scope},
    model::{FolderId, MessageId},
};

use super::Inner;
use crate::{
    error::{self, Doing},
    generate::Out,
    items::{self, Meta},
    pool::NoContents,
    source,
    wire::{self, Change, Element, Request, SoapError},
};

type Changes = Out<(MessageId, Outcome)>;

/// Items in one request.
const AT_ONCE: usize = 100;

fn gone() -> Outcome {
    let error = Error::new(ErrorKind::NotFound, "the item does not exist");
    Outcome::NotStored(error.with_code("ews/no-item").with_scope(Scope::Message))
}

fn unreadable() -> Outcome {
    let error = Error::new(
        ErrorKind::Refused,
        "the server fails at this item each time",
    );
    Outcome::NotStored(error.with_code("ews/unreadable").with_scope(Scope::Message))
}

/// What a refusal of one change proves. A change that is repeated does no harm, so that nothing needs to
/// be left open but what may have happened to the item's place.
fn refused(doing: Doing, said: &SoapError) -> Outcome {
    let error = error::refused(doing, said);
    match error.kind() {
        ErrorKind::NotFound => gone(),
        ErrorKind::Timeout | ErrorKind::Unavailable => Outcome::Unknown(error),
        _ => Outcome::NotStored(error),
    }
}

/// Sends a request about these items. The outcome of what was not done, by its place.
async fn send(inner: &Inner, request: &Request, count: usize) -> Vec<Result<Element, Outcome>> {
    match inner.pool.send(request, || NoContents, None).await {
        Ok(answer) => judge(request.operation, answer.messages, count),
        Err(failed) => {
            let error = inner.pool.blame(failed.error).await;
            let outcome = |_| Err(error::outcome(&error, failed.perhaps_executed));
            (0..count).map(outcome).collect()
        }
    }
}

/// What an answer says of each of so many items.
fn judge(
    operation: &'static str,
    messages: Vec<Element>,
    count: usize,
) -> Vec<Result<Element, Outcome>> {
    let doing = Doing::message(operation);
    let mut messages = messages.into_iter();
    (0..count)
        .map(|_| {
            let message = messages.next();
            let message = message.ok_or_else(|| Outcome::Unknown(error::missing()))?;
            match SoapError::of(&message) {
                Some(said) => Err(refused(doing, &said)),
                None => Ok(message),
            }
        })
        .collect()
}

/// Sets and clears flags: looks, changes what differs, and looks again.
pub(super) async fn set_flags(inner: &Inner, changes: Vec<FlagChange>, out: &Changes) {
    for changes in changes.chunks(AT_ONCE) {
        out.send_all(set_some(inner, changes).await).await;
    }
}

async fn metas(inner: &Inner, ids: &[MessageId]) -> Result<HashMap<MessageId, Meta>, Error> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let found = source::metas(&inner.pool, ids).await?;
    Ok(found
        .into_iter()
        .map(|meta| (meta.id.clone(), meta))
        .collect())
}

/// What has to be set, by item.
fn differing(
    changes: &[FlagChange],
    before: &HashMap<MessageId, Meta>,
) -> Vec<(MessageId, Vec<wire::Field>)> {
    let fields = changes.iter().filter_map(|change| {
        let has = &before.get(&change.id)?.flags;
        let wanted = has.difference(&change.remove).union(&change.add);
        let fields = items::changed_fields(has, &wanted);
        (!fields.is_empty()).then(|| (change.id.clone(), fields))
    });
    fields.collect()
}

/// Changes items. That may be done twice: where a request fails for one of them, it is done by halves.
async fn change(inner: &Inner, list: &[Change<'_>]) -> Vec<Result<Element, Outcome>> {
    let request = wire::update_items(list, inner.pool.version());
    match inner.pool.send(&request, || NoContents, None).await {
        Ok(answer) => judge(request.operation, answer.messages, list.len()),
        Err(failed) => {
            let error = inner.pool.blame(failed.error).await;
            if error::is_halved(&error, list.len()) {
                let (one, other) = list.split_at(list.len() / 2);
                let mut out = Box::pin(change(inner, one)).await;
                out.extend(Box::pin(change(inner, other)).await);
                return out;
            }
            let outcome = |_| Err(error::outcome(&error, failed.perhaps_executed));
            (0..list.len()).map(outcome).collect()
        }
    }
}

async fn set_some(inner: &Inner, changes: &[FlagChange]) -> Vec<(MessageId, Outcome)> {
    let ids: Vec<MessageId> = changes.iter().map(|change| change.id.clone()).collect();
    let before = match metas(inner, &ids).await {
        Ok(before) => before,
        Err(error) => {
            let failed = ids
                .into_iter()
                .map(|id| (id, error::outcome(&error, false)));
            return failed.collect();
        }
    };
    let sent = differing(changes, &before);
    let mut failed: HashMap<MessageId, Outcome> = HashMap::new();
    if !sent.is_empty() {
        let list: Vec<Change<'_>> = sent
            .iter()
            .map(|(id, set)| Change {
                id: id.as_str(),
                set: set.clone(),
            })
            .collect();
        let outcomes = change(inner, &list).await;
        for ((id, _), outcome) in sent.iter().zip(outcomes) {
            if let Err(outcome) = outcome {
                failed.insert(id.clone(), outcome);
            }
        }
    }
    let changed: Vec<MessageId> = sent
        .iter()
        .map(|(id, _)| id.clone())
        .filter(|id| !failed.contains_key(id))
        .collect();
    let after = metas(inner, &changed).await;
    let outcome = |id: &MessageId| -> Outcome {
        let Some(meta) = before.get(id) else {
            return match inner.pool.is_unread(id) {
                true => unreadable(),
                false => gone(),
            };
        };
        if !changed.contains(id) {
            return Outcome::Stored(Receipt::new(Some(id.clone())).with_flags(meta.flags.clone()));
        }
        match &after {
            Err(error) => error::outcome(error, true),
            Ok(after) => after.get(id).map_or_else(gone, |meta| {
                Outcome::Stored(Receipt::new(Some(id.clone())).with_flags(meta.flags.clone()))
            }),
        }
    };
    ids.into_iter()
        .map(|id| {
            let outcome = failed.remove(&id).unwrap_or_else(|| outcome(&id));
            (id, outcome)
        })
        .collect()
}

/// Moves items; each gets a new id, which the server has to name.
pub(super) async fn relocate(inner: &Inner, ids: Vec<MessageId>, to: &FolderId, out: &Changes) {
    transfer(inner, ids, to, wire::move_items, out).await;
}

/// Copies items.
pub(super) async fn duplicate(inner: &Inner, ids: Vec<MessageId>, to: &FolderId, out: &Changes) {
    transfer(inner, ids, to, wire::copy_items, out).await;
}

async fn transfer(
    inner: &Inner,
    ids: Vec<MessageId>,
    to: &FolderId,
    request: fn(&[&str], &str) -> Request,
    out: &Changes,
) {
    for ids in ids.chunks(AT_ONCE) {
        let texts: Vec<&str> = ids.iter().map(MessageId::as_str).collect();
        let request = request(&texts, to.as_str());
        let done = send(inner, &request, ids.len()).await;
        for (id, done) in ids.iter().zip(done) {
            let outcome = match done {
                Ok(message) => {
                    let item = items::item_in(Doing::message(request.operation), &message).ok();
                    match item.and_then(items::id) {
                        Some(new) => Outcome::Stored(Receipt::new(Some(new))),
                        None => Outcome::Unknown(error::unexpected("the server named no new id")),
                    }
                }
                Err(outcome) => outcome,
            };
            out.send((id.clone(), outcome)).await;
        }
    }
}

/// Removes items for good.
pub(super) async fn remove(inner: &Inner, ids: Vec<MessageId>, out: &Changes) {
    for ids in ids.chunks(AT_ONCE) {
        let texts: Vec<&str> = ids.iter().map(MessageId::as_str).collect();
        let request = wire::delete_items(&texts, inner.pool.version());
        let done = send(inner, &request, ids.len()).await;
        for (id, done) in ids.iter().zip(done) {
            let outcome = match done {
                Ok(_) => Outcome::Stored(Receipt::new(Some(id.clone()))),
                Err(outcome) => outcome,
            };
            out.send((id.clone(), outcome)).await;
        }
    }
}
