//! Storing messages.
//!
//! Stored is what the server named an id for, not stored is what it refused or what never left, and
//! everything between is unknown.

use std::{collections::HashMap, sync::Arc};

use mailmove_core::{
    destination::{Batch, Outcome, Receipt},
    error::{Error, ErrorKind},
    model::{Alteration, AlterationKind, Content, FolderId, MessageId, Slot},
};

use super::{
    Inner, is_other_epoch,
    prepare::{self, Ready},
    stale,
};
use crate::{
    error::{self, Doing},
    folders,
    generate::Out,
    items::{self, Meta},
    pool::NoContents,
    source,
    wire::{self, NewItem, SoapError},
};

type Stored = (Slot, Outcome);

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
    let access = inner.pool.access();
    let (most, spool) = (access.config.max_message(), &access.edges.spool);
    let mailbox = match folders::open(&inner.pool).await {
        Ok(opened) => opened.mailbox,
        Err(error) => {
            let none = |at| (Slot::new(at), Outcome::NotStored(error::again(&error)));
            return out.send_all((0..items.len()).map(none)).await;
        }
    };
    let mut ready: Vec<(Slot, Ready)> = Vec::new();
    for (at, outgoing) in items.into_iter().enumerate() {
        let slot = Slot::new(at);
        match prepare::prepare(outgoing, most, spool, mailbox).await {
            Ok(one) => ready.push((slot, one)),
            Err(error) => out.send((slot, Outcome::NotStored(error))).await,
        }
    }
    let mut rest = ready.as_slice();
    let mut stopped: Option<Error> = None;
    while !rest.is_empty() {
        let fits = inner.request_max().min(most);
        let (now, later) = rest.split_at(fitting(rest, fits));
        let outcomes = match &stopped {
            Some(error) => all(now, |_| error::outcome(error, false)),
            None => send(inner, &folder, now, &*fence).await,
        };
        if now.len() > 1 && outcomes.iter().all(is_too_large) {
            // None of them is, perhaps: something on the way takes less at once.
            inner.note_refused(bytes(now));
            continue;
        }
        rest = later;
        // What stops the account stops what was not sent.
        stopped = stopped.or_else(|| outcomes.iter().find_map(|(_, outcome)| stops(outcome)));
        out.send_all(outcomes).await;
    }
}

/// The request as a whole was too large, and nothing of it was done.
fn is_too_large((_, outcome): &Stored) -> bool {
    matches!(outcome, Outcome::NotStored(error) if error.code() == "ews/request-too-large")
}

/// Bytes that a message takes in a request; its properties have two kilobytes or so.
fn bytes_of(one: &Ready) -> u64 {
    one.item.content.size().saturating_add(4096)
}

fn bytes(ready: &[(Slot, Ready)]) -> u64 {
    ready.iter().map(|(_, one)| bytes_of(one)).sum()
}

/// How many of these fit into a request; at least one, and all in the same form.
fn fitting(ready: &[(Slot, Ready)], most: u64) -> usize {
    let mut bytes = 0_u64;
    let exports = ready.first().is_some_and(|(_, one)| one.stamp.is_some());
    let fits = ready.iter().take_while(|(_, one)| {
        if one.stamp.is_some() != exports {
            return false;
        }
        bytes = bytes.saturating_add(bytes_of(one));
        bytes <= most
    });
    fits.count().clamp(1, super::BATCH_ITEMS)
}

fn all(ready: &[(Slot, Ready)], outcome: impl Fn(&Ready) -> Outcome) -> Vec<Stored> {
    ready
        .iter()
        .map(|(slot, one)| (*slot, outcome(one)))
        .collect()
}

fn stops(outcome: &Outcome) -> Option<Error> {
    match outcome {
        Outcome::NotStored(error) | Outcome::Unknown(error)
            if error.scope() >= mailmove_core::Scope::Folder =>
        {
            Some(error::again(error))
        }
        _ => None,
    }
}

const CREATE: Doing = Doing::message("CreateItem");
const UPLOAD: Doing = Doing::message("UploadItems");

async fn send(
    inner: &Inner,
    folder: &FolderId,
    ready: &[(Slot, Ready)],
    fence: &dyn mailmove_core::destination::Fence,
) -> Vec<Stored> {
    let exports = ready.first().is_some_and(|(_, one)| one.stamp.is_some());
    let request = if exports {
        let streams: Vec<Content> = ready
            .iter()
            .map(|(_, one)| one.item.content.clone())
            .collect();
        wire::upload_items(folder.as_str(), &streams)
    } else {
        let items: Vec<NewItem> = ready.iter().map(|(_, one)| one.item.clone()).collect();
        wire::create_items(folder.as_str(), &items)
    };
    let answer = inner.pool.send(&request, || NoContents, Some(fence)).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(failed) => {
            let located = failed.error.with_context("folder", folder.as_str());
            return all(ready, |_| error::outcome(&located, failed.perhaps_executed));
        }
    };
    let stored: Vec<Result<MessageId, Outcome>> = (0..ready.len())
        .map(|at| match answer.messages.get(at) {
            None => Err(Outcome::Unknown(error::missing())),
            Some(message) if exports => match SoapError::of(message) {
                Some(said) => Err(refused(error::refused(UPLOAD, &said))),
                None => items::id(message).ok_or(Outcome::Stored(Receipt::new(None))),
            },
            Some(message) => match items::item_in(CREATE, message) {
                // Confirmed, but without an id: the engine looks it up.
                Ok(item) => items::id(item).ok_or(Outcome::Stored(Receipt::new(None))),
                Err(error) => Err(refused(error)),
            },
        })
        .collect();
    let ids: Vec<MessageId> = stored
        .iter()
        .filter_map(|one| one.as_ref().ok())
        .cloned()
        .collect();
    if exports {
        note(inner, ready, &stored).await;
    }
    // What was stored is stored, whether it can be read back or not.
    let found = match ids.is_empty() {
        true => Vec::new(),
        false => source::metas(&inner.pool, &ids).await.unwrap_or_default(),
    };
    let found: HashMap<MessageId, Meta> = found
        .into_iter()
        .map(|meta| (meta.id.clone(), meta))
        .collect();
    let outcomes = ready.iter().zip(stored).map(|((slot, one), stored)| {
        let outcome = match stored {
            Ok(id) => Outcome::Stored(receipt(one, found.get(&id), id)),
            Err(outcome) => outcome,
        };
        (*slot, outcome)
    });
    outcomes.collect()
}

/// Notes at exports that were taken what they are. Where that fails, only what came in since tells them
/// apart from others, if it ever comes to that.
async fn note(inner: &Inner, ready: &[(Slot, Ready)], stored: &[Result<MessageId, Outcome>]) {
    let stamps = ready.iter().zip(stored).filter_map(|((_, one), stored)| {
        let id = stored.as_ref().ok()?;
        Some((id.as_str(), one.stamp.clone()?))
    });
    let stamps: Vec<(&str, String)> = stamps.collect();
    if stamps.is_empty() {
        return;
    }
    let request = wire::stamp_items(&stamps, inner.pool.version());
    if let Err(failed) = inner.pool.send(&request, || NoContents, None).await {
        tracing::debug!(error = %failed.error, "exports could not be marked");
    }
}

/// What a refusal of one message proves.
fn refused(error: Error) -> Outcome {
    let open = match error.kind() {
        // The server gave up in the middle of it.
        ErrorKind::Timeout | ErrorKind::Protocol => true,
        ErrorKind::Unavailable => error.code() != "ews/batch-stopped",
        _ => false,
    };
    match open {
        true => Outcome::Unknown(error),
        false => Outcome::NotStored(error),
    }
}

/// What was stored beside what was given.
fn receipt(given: &Ready, found: Option<&Meta>, id: MessageId) -> Receipt {
    let mut altered = given.altered.clone();
    let receipt = Receipt::new(Some(id));
    let Some(found) = found else {
        return receipt.with_altered(altered);
    };
    let lost = given.flags.difference(&found.flags);
    if !lost.is_empty() {
        altered.push(Alteration::new(
            AlterationKind::FlagDropped,
            lost.to_string(),
        ));
    }
    if let (Some(sent), Some(kept)) = (given.item.received, found.received)
        && sent.seconds() != kept.seconds()
    {
        let detail = format!("{sent} became {kept}");
        altered.push(Alteration::new(AlterationKind::DateReplaced, detail));
    }
    receipt
        .with_flags(found.flags.clone())
        .with_altered(altered)
}
