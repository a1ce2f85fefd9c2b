//! Storing messages that are made of fields.
//!
//! Stored is what the server named an id for, all attachments of which it confirmed, and whose mark says so. Not
//! stored is what it refused, what never left, and what is not complete. Everything between is unknown.

use std::collections::HashMap;

use futures_util::{StreamExt as _, future::BoxFuture, stream};
use mailmove_core::{
    destination::{Fence, Outcome, Receipt},
    error::{Error, ErrorKind, Result, Retry, Scope},
    model::{Alteration, AlterationKind, Flags, FolderId, MessageId, Slot, SystemFlag, Timestamp},
};
use serde_json::json;

use super::{
    Inner, SETTLE, attach,
    open::{Left, Maker},
    prepare::Ready,
    sweep::{self, Removal},
    update,
};
use crate::{
    error::{self, Doing},
    folders,
    http::Failed,
    items::{self, Meta},
    pool::{Answer, is_stopped},
    wire::{Path, Request, property},
};

type Stored = (Slot, Outcome);

const CREATE: Doing = Doing::message("createMessage");
const COMPLETE: Doing = Doing::message("completeMessage");

/// What became of a message so far.
enum Made {
    /// It is there, with so many attachments.
    Id(MessageId, usize),
    /// That is all that there is to say.
    Ended(Outcome),
}

/// What a batch's messages are made with.
struct Work<'a> {
    inner: &'a Inner,
    folder: &'a FolderId,
    fence: &'a dyn Fence,
    maker: &'a Maker<'a>,
}

/// Stores messages of one request, with what follows it.
pub(super) async fn send(
    inner: &Inner,
    folder: &FolderId,
    ready: &[(Slot, Ready)],
    fence: &dyn Fence,
) -> Vec<Stored> {
    let open = ready.iter().filter(|(_, one)| !one.attachments.is_empty());
    let contents = open.map(|(_, one)| one.stamp.content);
    let clock = inner.clock();
    let maker = inner.incomplete.make(folder, contents, move || clock.now());
    let work = Work {
        inner,
        folder,
        fence,
        maker: &maker,
    };
    let made = make(&work, ready).await;
    // Boxed: the compiler can't see that what borrows so much may go to another thread.
    let fills: Vec<BoxFuture<'_, Made>> = ready
        .iter()
        .zip(made)
        .map(|((_, one), made)| -> BoxFuture<'_, Made> {
            match made {
                Made::Id(id, done) => Box::pin(fill(&work, one, id, done)),
                ended => Box::pin(std::future::ready(ended)),
            }
        })
        .collect();
    let at_once = inner.pool.concurrency().max(1);
    let filled: Vec<Made> = stream::iter(fills).buffered(at_once).collect().await;
    let done = complete(&work, ready, filled).await;
    let outcomes = confirm(&work, ready, done).await;
    maker.over();
    outcomes
}

/// Makes the messages, without their attachments.
async fn make(work: &Work<'_>, ready: &[(Slot, Ready)]) -> Vec<Made> {
    let mut out: Vec<Option<Made>> = Vec::with_capacity(ready.len());
    for (_, one) in ready {
        out.push(resume(work, one).await);
    }
    // One that is refused ends a batch: those behind it, which were not tried, go in another one.
    loop {
        let wanted: Vec<usize> = (0..ready.len())
            .filter(|at| matches!(out.get(*at), Some(None)))
            .collect();
        if wanted.is_empty() {
            break;
        }
        let answers = create(work, ready, &wanted).await;
        let cause = answers.iter().find_map(|answer| answer.as_ref().err());
        let cause = cause.map(|failed| error::again(&failed.error));
        for (tried, (at, answer)) in wanted.into_iter().zip(answers).enumerate() {
            let made = match (&answer, &cause) {
                (Err(failed), Some(cause)) if tried > 0 && is_stopped(failed) => {
                    match is_about_one(cause) {
                        true => continue,
                        false => Made::Ended(Outcome::NotStored(error::again(cause))),
                    }
                }
                _ => created(work.folder, answer),
            };
            if let (Some((_, one)), Some(place)) = (ready.get(at), out.get_mut(at)) {
                note(work, one, &made);
                *place = Some(made);
            }
        }
    }
    let missing = || Made::Ended(Outcome::Unknown(error::missing()));
    out.into_iter()
        .map(|made| made.unwrap_or_else(missing))
        .collect()
}

/// Remembers what was made, or may have been.
fn note(work: &Work<'_>, one: &Ready, made: &Made) {
    let content = one.stamp.content;
    match made {
        _ if one.attachments.is_empty() => {}
        Made::Id(id, _) => work.maker.begin(content, id),
        Made::Ended(Outcome::Unknown(_)) => work.maker.doubt(content),
        Made::Ended(_) => {}
    }
}

/// Makes these, in their order.
async fn create(
    work: &Work<'_>,
    ready: &[(Slot, Ready)],
    wanted: &[usize],
) -> Vec<Result<Answer, Failed>> {
    let place = Path::new().at("mailFolders").id(work.folder.as_str());
    let place = place.at("messages");
    let requests: Vec<Request> = wanted
        .iter()
        .filter_map(|at| ready.get(*at))
        .map(|(_, one)| Request::post(place.clone(), CREATE).json(&one.json))
        .collect();
    match requests.as_slice() {
        [one] => vec![work.inner.pool.send(one, Some(work.fence)).await],
        all => work.inner.pool.in_order(all, Some(work.fence)).await,
    }
}

/// A refusal that has nothing to say about other messages.
fn is_about_one(error: &Error) -> bool {
    let kinds = [ErrorKind::Refused, ErrorKind::TooLarge];
    error.scope() <= Scope::Message && kinds.contains(&error.kind())
}

/// Goes on with what an append that was cut off has left behind, or removes it.
async fn resume(work: &Work<'_>, one: &Ready) -> Option<Made> {
    let mut out = None;
    for left in work.maker.take(one.stamp.content) {
        if let (Some(done), None) = (left.done, &out) {
            match sweep::is_there(work.inner, work.folder, &left).await {
                Ok(true) => out = Some(Made::Id(left.id, done)),
                // Somebody put it elsewhere, or removed it.
                Ok(false) => work.inner.incomplete.end(&left.id),
                Err(error) => {
                    work.maker.put_back(one.stamp.content, left);
                    out = Some(Made::Ended(Outcome::NotStored(error)));
                }
            }
            continue;
        }
        match remove_left(work, &left).await {
            Ok(()) => work.inner.incomplete.end(&left.id),
            Err(error) => {
                work.maker.put_back(one.stamp.content, left);
                out = out.or(Some(Made::Ended(Outcome::NotStored(error))));
            }
        }
    }
    out
}

/// Removes what was left behind. Where it may be another process's, that has its time to complete it.
async fn remove_left(work: &Work<'_>, left: &Left) -> Result<()> {
    let mut left = left.clone();
    while let Removal::Early(wait) =
        sweep::remove(work.inner, work.folder, &left, SETTLE, work.fence).await?
    {
        let clock = work.inner.clock();
        clock.sleep(wait).await;
        left.since = Some(clock.now());
    }
    Ok(())
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
        // What is not there, or not understood, is the folder.
        Err(failed) if items::is_gone(&failed.error) || failed.error.code() == "graph/bad-id" => {
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
async fn fill(work: &Work<'_>, one: &Ready, id: MessageId, done: usize) -> Made {
    for (at, attachment) in one.attachments.iter().enumerate().skip(done) {
        let added = attach::add(work.inner, &id, &one.content, attachment, work.fence).await;
        if let Err(failed) = added {
            let failed = Failed {
                error: failed
                    .error
                    .with_context("attachment", (at + 1).to_string()),
                ..failed
            };
            return Made::Ended(cut_off(work, one, id, at, failed).await);
        }
    }
    Made::Id(id, one.attachments.len())
}

/// Not all attachments are there: it is not stored. What is refused for good goes at once; what may go on later is
/// gone on with, if it is sure what is there.
async fn cut_off(
    work: &Work<'_>,
    one: &Ready,
    id: MessageId,
    done: usize,
    failed: Failed,
) -> Outcome {
    if items::is_gone(&failed.error) {
        work.inner.incomplete.end(&id);
        return Outcome::NotStored(removed_meanwhile());
    }
    let for_good = failed.error.scope() <= Scope::Message
        && !matches!(
            failed.error.kind(),
            ErrorKind::Throttled | ErrorKind::Unavailable
        );
    if for_good {
        let removed = update::remove_one(work.inner, &id, Some(work.fence)).await;
        if removed.is_ok() {
            work.inner.incomplete.end(&id);
            return Outcome::NotStored(failed.error);
        }
    }
    let done = (!failed.perhaps_executed && !for_good).then_some(done);
    work.maker.leave(one.stamp.content, id, done);
    Outcome::NotStored(failed.error)
}

/// Somebody took away what was not complete: it is to be made anew.
fn removed_meanwhile() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the message was removed before it was complete",
    )
    .with_code("graph/conflict")
    .with_scope(Scope::Message)
    .with_retry(Retry::Backoff)
}

/// Says at messages with attachments that they are complete.
async fn complete(work: &Work<'_>, ready: &[(Slot, Ready)], mut made: Vec<Made>) -> Vec<Made> {
    let (inner, fence) = (work.inner, Some(work.fence));
    let mut requests = Vec::new();
    let mut places = Vec::new();
    for (at, ((_, one), made)) in ready.iter().zip(&made).enumerate() {
        if let Made::Id(id, _) = made
            && !one.attachments.is_empty()
        {
            let mark = json!([{ "id": property::stamp(), "value": one.stamp.write() }]);
            let body = json!({ "singleValueExtendedProperties": mark });
            let path = Path::new().at("messages").id(id.as_str());
            requests.push(Request::patch(path, COMPLETE).json(&body));
            places.push(at);
        }
    }
    let answers = match requests.as_slice() {
        [] => return made,
        [one] => vec![inner.pool.send(one, fence).await],
        all => inner.pool.batch(all, fence).await,
    };
    for (at, answer) in places.into_iter().zip(answers) {
        let (Some(place), Some((_, one))) = (made.get_mut(at), ready.get(at)) else {
            continue;
        };
        let Made::Id(id, _) = &*place else { continue };
        match answer {
            Ok(_) => inner.incomplete.end(id),
            Err(failed) if items::is_gone(&failed.error) => {
                inner.incomplete.end(id);
                *place = Made::Ended(Outcome::NotStored(removed_meanwhile()));
            }
            Err(failed) => {
                let done = (!failed.perhaps_executed).then_some(one.attachments.len());
                work.maker.leave(one.stamp.content, id.clone(), done);
                *place = Made::Ended(error::outcome(&failed.error, failed.perhaps_executed));
            }
        }
    }
    made
}

/// Reads back what was stored.
async fn confirm(work: &Work<'_>, ready: &[(Slot, Ready)], made: Vec<Made>) -> Vec<Stored> {
    let ids = made.iter().filter_map(|made| match made {
        Made::Id(id, _) => Some(id.clone()),
        Made::Ended(_) => None,
    });
    let seen = read_back(work.inner, &ids.collect::<Vec<_>>()).await;
    let mut out = Vec::with_capacity(ready.len());
    for ((slot, one), made) in ready.iter().zip(made) {
        let outcome = match made {
            Made::Ended(outcome) => outcome,
            Made::Id(id, _) => match seen.get(&id) {
                Some(Some(meta)) if meta.open.is_none() => judge(work, one, meta, id).await,
                Some(_) => Outcome::Unknown(not_there()),
                // What was stored is stored, whether it can be read back or not.
                None => {
                    let receipt = Receipt::new(Some(id));
                    Outcome::Stored(receipt.with_altered(one.altered.clone()))
                }
            },
        };
        if matches!(outcome, Outcome::Stored(_)) {
            work.maker.stored(one.stamp.content);
        }
        out.push((*slot, outcome));
    }
    out
}

/// What these messages are by now; `None` if they are not there. Those that could not be asked for, alone either, are
/// left out.
async fn read_back(inner: &Inner, ids: &[MessageId]) -> HashMap<MessageId, Option<Meta>> {
    let mut out = HashMap::with_capacity(ids.len());
    match update::metas(inner, ids).await {
        Ok(mut found) => out.extend(ids.iter().map(|id| (id.clone(), found.remove(id)))),
        // Whatever is wrong with one of them says nothing of the others.
        Err(_) => {
            for id in ids {
                if let Ok(found) = update::look_at(inner, id).await {
                    out.insert(id.clone(), found.map(|(meta, _)| meta));
                }
            }
        }
    }
    out
}

/// The server said that it was stored, and shows nothing of the kind.
pub(super) fn not_there() -> Error {
    error::unexpected("a message that was stored is not there")
        .with_scope(Scope::Message)
        .with_retry(Retry::Backoff)
}

/// What became of exports that were stored: they have all in them that they had.
pub(super) async fn seen(inner: &Inner, ids: &[MessageId]) -> HashMap<MessageId, Outcome> {
    let seen = read_back(inner, ids).await;
    let outcome = |id: &MessageId| {
        let receipt = Receipt::new(Some(id.clone()));
        match seen.get(id) {
            Some(Some(meta)) => Outcome::Stored(receipt.with_flags(meta.flags.clone())),
            Some(None) => Outcome::Unknown(not_there()),
            None => Outcome::Stored(receipt),
        }
    };
    ids.iter().map(|id| (id.clone(), outcome(id))).collect()
}

/// What was stored beside what was given.
async fn judge(work: &Work<'_>, given: &Ready, found: &Meta, id: MessageId) -> Outcome {
    let mut altered = given.altered.clone();
    let receipt = Receipt::new(Some(id.clone()));
    if found.flags.contains(SystemFlag::Draft) && !given.is_draft() {
        // It would be a draft for ever, and so would be all others.
        let removed = update::remove_one(work.inner, &id, Some(work.fence)).await;
        let error = || became_draft().with_context("folder", work.folder.as_str());
        match removed {
            Ok(()) => return Outcome::NotStored(error()),
            // It may be gone, and may be there.
            Err(failed) if failed.perhaps_executed => return Outcome::Unknown(error()),
            Err(_) => {}
        }
        let note = "made-a-draft: the server made a draft of it, which could not be removed";
        altered.push(Alteration::new(AlterationKind::ContentRewritten, note));
    }
    altered.extend(differences(&given.flags, given.received, found));
    let receipt = receipt.with_flags(found.flags.clone());
    Outcome::Stored(receipt.with_altered(altered))
}

/// What the server did not keep of what was said beside a message.
pub(super) fn differences(
    flags: &Flags,
    received: Option<Timestamp>,
    found: &Meta,
) -> Vec<Alteration> {
    let mut out = Vec::new();
    let lost = flags.difference(&found.flags);
    if !lost.is_empty() {
        out.push(Alteration::new(
            AlterationKind::FlagDropped,
            lost.to_string(),
        ));
    }
    if let (Some(sent), Some(kept)) = (received, found.received)
        && sent.seconds() != kept.seconds()
    {
        let detail = format!("{sent} became {kept}");
        out.push(Alteration::new(AlterationKind::DateReplaced, detail));
    }
    out
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
