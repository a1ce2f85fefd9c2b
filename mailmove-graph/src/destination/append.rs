//! Storing messages.
//!
//! Stored is what the server named an id for, all attachments of which it confirmed, and whose mark says so. Not
//! stored is what it refused, what never left, and what is not complete. Everything between is unknown.

use std::{collections::HashMap, sync::Arc};

use futures_util::{StreamExt as _, future::BoxFuture, stream};
use mailmove_core::{
    destination::{Batch, Fence, Outcome, Receipt},
    error::{Error, ErrorKind, Result, Scope},
    model::{Alteration, AlterationKind, FolderId, Form, MessageId, Slot, SystemFlag},
};
use serde_json::json;

use super::{
    Inner, attach, import, is_other_epoch,
    open::Left,
    prepare::{self, Ready},
    stale, update,
};
use crate::{
    error::{self, Doing},
    folders,
    generate::Out,
    http::Failed,
    items::{self, Meta},
    pool::{Answer, BATCH_BYTES, BATCH_ITEMS},
    wire::{Path, Request, property},
};

type Stored = (Slot, Outcome);

const CREATE: Doing = Doing::message("createMessage");
const COMPLETE: Doing = Doing::message("completeMessage");

/// Stores a batch, in as many requests as it takes.
pub(super) async fn run(inner: &Arc<Inner>, batch: Batch, out: &Out<Stored>) {
    let Batch {
        folder,
        mark,
        items,
        fence,
        ..
    } = batch;
    if is_other_epoch(&mark, &folder) {
        let all = (0..items.len()).map(|at| (Slot::new(at), Outcome::NotStored(stale())));
        return out.send_all(all).await;
    }
    let mailbox = match folders::open(&inner.pool).await {
        Ok(opened) => opened.mailbox,
        Err(error) => {
            let none = |at| (Slot::new(at), Outcome::NotStored(error::again(&error)));
            return out.send_all((0..items.len()).map(none)).await;
        }
    };
    let mut ready: Vec<(Slot, Ready)> = Vec::new();
    let mut exports = Vec::new();
    for (at, outgoing) in items.into_iter().enumerate() {
        let slot = Slot::new(at);
        if outgoing.form == Form::ExchangeStream {
            exports.push((slot, outgoing));
            continue;
        }
        match prepare::prepare(outgoing, &inner.writing, mailbox).await {
            Ok(one) => ready.push((slot, one)),
            Err(error) => out.send((slot, Outcome::NotStored(error))).await,
        }
    }
    let mut rest = ready.as_slice();
    let mut stopped: Option<Error> = None;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(fitting(rest));
        rest = later;
        let outcomes = match &stopped {
            Some(error) => {
                let all = now.iter();
                all.map(|(slot, _)| (*slot, error::outcome(error, false)))
                    .collect()
            }
            None => send(inner, &folder, now, &*fence).await,
        };
        // What stops the account stops what was not sent.
        stopped = stopped.or_else(|| outcomes.iter().find_map(|(_, outcome)| stops(outcome)));
        out.send_all(outcomes).await;
    }
    let outcomes = match &stopped {
        Some(error) => {
            let all = exports.iter();
            all.map(|(slot, _)| (*slot, error::outcome(error, false)))
                .collect()
        }
        None => import::run(inner, &folder, mailbox, &exports, &*fence).await,
    };
    out.send_all(outcomes).await;
}

/// How many of these fit into a request; at least one.
fn fitting(ready: &[(Slot, Ready)]) -> usize {
    let mut bytes = 0_u64;
    let fits = ready.iter().take_while(|(_, one)| {
        bytes = bytes.saturating_add(one.bytes as u64 + 2000);
        bytes <= BATCH_BYTES
    });
    fits.count().clamp(1, BATCH_ITEMS)
}

pub(super) fn stops(outcome: &Outcome) -> Option<Error> {
    match outcome {
        Outcome::NotStored(error) | Outcome::Unknown(error) if error.scope() >= Scope::Folder => {
            Some(error::again(error))
        }
        _ => None,
    }
}

/// What became of a message so far.
enum Made {
    /// It is there, with so many attachments.
    Id(MessageId, usize),
    /// That is all that there is to say.
    Ended(Outcome),
}

async fn send(
    inner: &Inner,
    folder: &FolderId,
    ready: &[(Slot, Ready)],
    fence: &dyn Fence,
) -> Vec<Stored> {
    let made = make(inner, folder, ready, fence).await;
    // Boxed: the compiler can't see that what borrows so much may go to another thread.
    let fills: Vec<BoxFuture<'_, Made>> = ready
        .iter()
        .zip(made)
        .map(|((_, one), made)| -> BoxFuture<'_, Made> {
            match made {
                Made::Id(id, done) => Box::pin(fill(inner, folder, one, id, done, fence)),
                ended => Box::pin(std::future::ready(ended)),
            }
        })
        .collect();
    let at_once = inner.pool.concurrency().max(1);
    let filled: Vec<Made> = stream::iter(fills).buffered(at_once).collect().await;
    let done = complete(inner, folder, ready, filled, fence).await;
    confirm(inner, folder, ready, done).await
}

/// Makes the messages, without their attachments.
async fn make(
    inner: &Inner,
    folder: &FolderId,
    ready: &[(Slot, Ready)],
    fence: &dyn Fence,
) -> Vec<Made> {
    let mut out: Vec<Option<Made>> = Vec::with_capacity(ready.len());
    for (_, one) in ready {
        out.push(resume(inner, folder, one, fence).await);
    }
    // One that is refused ends a batch: those behind it, which were not tried, go in another one.
    loop {
        let wanted: Vec<usize> = (0..ready.len())
            .filter(|at| matches!(out.get(*at), Some(None)))
            .collect();
        if wanted.is_empty() {
            break;
        }
        let answers = create(inner, folder, ready, &wanted, fence).await;
        let cause = answers.iter().find_map(|answer| answer.as_ref().err());
        let cause = cause.map(|failed| error::again(&failed.error));
        for (tried, (at, answer)) in wanted.into_iter().zip(answers).enumerate() {
            let made = match (&answer, &cause) {
                (Err(failed), Some(cause)) if tried > 0 && was_not_tried(failed) => {
                    match is_about_one(cause) {
                        true => continue,
                        false => Made::Ended(Outcome::NotStored(error::again(cause))),
                    }
                }
                _ => created(folder, answer),
            };
            if let Made::Id(id, _) = &made {
                inner.incomplete.begin(id);
            }
            if let Some(place) = out.get_mut(at) {
                *place = Some(made);
            }
        }
    }
    let missing = || Made::Ended(Outcome::Unknown(error::missing()));
    out.into_iter()
        .map(|made| made.unwrap_or_else(missing))
        .collect()
}

/// Makes these, in their order.
async fn create(
    inner: &Inner,
    folder: &FolderId,
    ready: &[(Slot, Ready)],
    wanted: &[usize],
    fence: &dyn Fence,
) -> Vec<Result<Answer, Failed>> {
    let place = Path::new().at("mailFolders").id(folder.as_str());
    let place = place.at("messages");
    let requests: Vec<Request> = wanted
        .iter()
        .filter_map(|at| ready.get(*at))
        .map(|(_, one)| Request::post(place.clone(), CREATE).json(&one.json))
        .collect();
    match requests.as_slice() {
        [one] => vec![inner.pool.send(one, Some(fence)).await],
        all => inner.pool.in_order(all, Some(fence)).await,
    }
}

/// One before it in its batch failed.
fn was_not_tried(failed: &Failed) -> bool {
    failed.error.code() == "graph/batch-stopped" && !failed.perhaps_executed
}

/// A refusal that has nothing to say about other messages.
fn is_about_one(error: &Error) -> bool {
    let kinds = [ErrorKind::Refused, ErrorKind::TooLarge];
    error.scope() <= Scope::Message && kinds.contains(&error.kind())
}

/// Goes on with what an append that was cut off has left behind, or removes it.
async fn resume(inner: &Inner, folder: &FolderId, one: &Ready, fence: &dyn Fence) -> Option<Made> {
    let mut out = None;
    for left in inner.incomplete.take(folder, one.stamp.content) {
        if let (Some(done), None) = (left.done, &out) {
            out = Some(Made::Id(left.id, done));
            continue;
        }
        let removed = match fence.check() {
            Ok(()) => update::remove_one(inner, &left.id).await,
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => inner.incomplete.end(&left.id),
            Err(error) => {
                inner.incomplete.leave(folder, one.stamp.content, left);
                out = Some(Made::Ended(Outcome::NotStored(error)));
            }
        }
    }
    out
}

/// 201 and an id, or it is not known that it happened.
fn created(folder: &FolderId, answer: Result<Answer, Failed>) -> Made {
    let outcome = match answer {
        Ok(answer) => match items::id(&answer.json) {
            Some(id) if answer.status == 201 => return Made::Id(id, 0),
            _ => Outcome::Unknown(error::unexpected(
                "the server does not confirm that it made a message",
            )),
        },
        // What is not there is the folder.
        Err(failed) if items::is_gone(&failed.error) => {
            let error = folders::no_folder().with_context("folder", folder.as_str());
            Outcome::NotStored(error)
        }
        Err(failed) => {
            let error = failed.error.with_context("folder", folder.as_str());
            error::outcome(&error, failed.perhaps_executed)
        }
    };
    Made::Ended(outcome)
}

/// Adds the attachments.
async fn fill(
    inner: &Inner,
    folder: &FolderId,
    one: &Ready,
    id: MessageId,
    done: usize,
    fence: &dyn Fence,
) -> Made {
    for (at, attachment) in one.attachments.iter().enumerate().skip(done) {
        let added = attach::add(inner, &id, &one.content, attachment, fence).await;
        if let Err(failed) = added {
            let failed = Failed {
                error: failed
                    .error
                    .with_context("attachment", (at + 1).to_string()),
                ..failed
            };
            return Made::Ended(cut_off(inner, folder, one, id, at, failed).await);
        }
    }
    Made::Id(id, one.attachments.len())
}

/// Not all attachments are there: it is not stored. What is refused for good goes at once; what may go on later is
/// gone on with, if it is sure what is there.
async fn cut_off(
    inner: &Inner,
    folder: &FolderId,
    one: &Ready,
    id: MessageId,
    done: usize,
    failed: Failed,
) -> Outcome {
    let for_good = failed.error.scope() <= Scope::Message
        && !matches!(
            failed.error.kind(),
            ErrorKind::Throttled | ErrorKind::Unavailable
        );
    if for_good && update::remove_one(inner, &id).await.is_ok() {
        inner.incomplete.end(&id);
        return Outcome::NotStored(failed.error);
    }
    let done = (!failed.perhaps_executed).then_some(done);
    let left = Left { id, done };
    inner.incomplete.leave(folder, one.stamp.content, left);
    Outcome::NotStored(failed.error)
}

/// Says at messages with attachments that they are complete.
async fn complete(
    inner: &Inner,
    folder: &FolderId,
    ready: &[(Slot, Ready)],
    mut made: Vec<Made>,
    fence: &dyn Fence,
) -> Vec<Made> {
    let mut requests = Vec::new();
    let mut places = Vec::new();
    for (at, ((_, one), made)) in ready.iter().zip(&made).enumerate() {
        match made {
            Made::Id(id, _) if one.attachments.is_empty() => inner.incomplete.end(id),
            Made::Id(id, _) => {
                let mark = json!([{ "id": property::stamp(), "value": one.stamp.write() }]);
                let body = json!({ "singleValueExtendedProperties": mark });
                let path = Path::new().at("messages").id(id.as_str());
                requests.push(Request::patch(path, COMPLETE).json(&body));
                places.push(at);
            }
            Made::Ended(_) => {}
        }
    }
    let answers = match requests.as_slice() {
        [] => return made,
        [one] => vec![inner.pool.send(one, Some(fence)).await],
        all => inner.pool.batch(all, Some(fence)).await,
    };
    for (at, answer) in places.into_iter().zip(answers) {
        let (Some(place), Some((_, one))) = (made.get_mut(at), ready.get(at)) else {
            continue;
        };
        let Made::Id(id, _) = &*place else { continue };
        match answer {
            Ok(_) => inner.incomplete.end(id),
            Err(failed) => {
                let done = (!failed.perhaps_executed).then_some(one.attachments.len());
                let id = id.clone();
                let left = Left { id, done };
                inner.incomplete.leave(folder, one.stamp.content, left);
                *place = Made::Ended(error::outcome(&failed.error, failed.perhaps_executed));
            }
        }
    }
    made
}

/// Reads back what was stored.
async fn confirm(
    inner: &Inner,
    folder: &FolderId,
    ready: &[(Slot, Ready)],
    made: Vec<Made>,
) -> Vec<Stored> {
    let ids = made.iter().filter_map(|made| match made {
        Made::Id(id, _) => Some(id.clone()),
        Made::Ended(_) => None,
    });
    let ids: Vec<MessageId> = ids.collect();
    // What was stored is stored, whether it can be read back or not.
    let found = update::metas(inner, &ids).await.unwrap_or_default();
    let mut out = Vec::with_capacity(ready.len());
    for ((slot, one), made) in ready.iter().zip(made) {
        let outcome = match made {
            Made::Ended(outcome) => outcome,
            Made::Id(id, _) => judge(inner, folder, one, found.get(&id), id).await,
        };
        out.push((*slot, outcome));
    }
    out
}

/// An export that was stored has all in it that it had.
pub(super) fn stored(id: &MessageId, found: Option<&Meta>) -> Outcome {
    let receipt = Receipt::new(Some(id.clone()));
    Outcome::Stored(match found {
        Some(found) => receipt.with_flags(found.flags.clone()),
        None => receipt,
    })
}

/// What was stored beside what was given.
async fn judge(
    inner: &Inner,
    folder: &FolderId,
    given: &Ready,
    found: Option<&Meta>,
    id: MessageId,
) -> Outcome {
    let mut altered = given.altered.clone();
    let receipt = Receipt::new(Some(id.clone()));
    let Some(found) = found else {
        return Outcome::Stored(receipt.with_altered(altered));
    };
    if found.flags.contains(SystemFlag::Draft) && !given.is_draft() {
        // It would be a draft for ever, and so would be all others.
        if update::remove_one(inner, &id).await.is_ok() {
            return Outcome::NotStored(became_draft().with_context("folder", folder.as_str()));
        }
    }
    let lost = given.flags.difference(&found.flags);
    if !lost.is_empty() {
        altered.push(Alteration::new(
            AlterationKind::FlagDropped,
            lost.to_string(),
        ));
    }
    if let (Some(sent), Some(kept)) = (given.received, found.received)
        && sent.seconds() != kept.seconds()
    {
        let detail = format!("{sent} became {kept}");
        altered.push(Alteration::new(AlterationKind::DateReplaced, detail));
    }
    let receipt = receipt.with_flags(found.flags.clone());
    Outcome::Stored(receipt.with_altered(altered))
}

fn became_draft() -> Error {
    Error::new(
        ErrorKind::Refused,
        "the server makes a draft of every message",
    )
    .with_code("graph/made-a-draft")
    .with_scope(Scope::Account)
    .with_remedy("Nothing was stored. Move this mailbox by IMAP, and tell us of it.")
}

/// Metadata by id.
pub(super) type Metas = HashMap<MessageId, Meta>;
