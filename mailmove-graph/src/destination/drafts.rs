//! Drafts that go as MIME: whole, with all of their parts, signatures too.
//!
//! Graph makes a draft for ever of what it gets as MIME, received now, and nothing can be noted at it before it is
//! there. That is why only drafts go so, and why each is made in a folder of our own ([`aside`]), gets its mark, date
//! and flags there, is read back, and is moved to its folder last. Until it is moved it is not stored, whatever was
//! answered or not. Only the answer to the move leaves open whether it is: then it is either in its folder, where its
//! mark tells what it is, or still where it was made, and whoever sends it again goes on with it.
//!
//! What does not go so is made of fields, as all other mail: what is too large, and what the server refuses.

use std::{sync::Arc, time::Duration};

use mailmove_core::{
    destination::{Fence, Outcome, Outgoing, Receipt},
    edge::Clock,
    error::{Error, ErrorKind, Result, Retry, Scope},
    model::{Content, Flags, FolderId, Form, MessageId, SystemFlag, Timestamp},
};
use mailmove_exchange::stamp::Stamp;
use serde_json::json;

use super::{
    Drafts, Inner, Writing, append,
    aside::{self, FRESH, Visit, age},
    attach, prepare, update,
};
use crate::{
    draft::Beside,
    error::{self, Doing},
    folders,
    http::Failed,
    items::{self, Meta},
    pool::Answer,
    wire::{Path, Request},
};

/// Largest message that is sent as MIME. From some 2,240 kB on the server answers that all went well, and makes nothing.
const MIME_MAX: u64 = 2_200_000;

const CREATE: Doing = Doing::message("createDraft");
const NOTE: Doing = Doing::message("noteDraft");
const MOVE: Doing = Doing::message("moveDraft");

/// Whether a message goes as MIME.
pub(super) fn is_one(outgoing: &Outgoing, writing: &Writing) -> bool {
    writing.drafts == Drafts::AsMime
        && outgoing.form == Form::Mime
        && outgoing.flags.contains(SystemFlag::Draft)
}

/// A draft that does not go on.
enum End {
    Outcome(Outcome),
    /// It has to be made of fields.
    Unfit(Error),
}

impl End {
    fn not_stored(error: Error) -> Self {
        Self::Outcome(Outcome::NotStored(error))
    }
}

/// What a draft is made with.
struct Work<'a> {
    inner: &'a Inner,
    /// Where it belongs.
    folder: &'a FolderId,
    /// Where it is made.
    aside: &'a FolderId,
    fence: &'a dyn Fence,
}

/// What is to be stored.
struct Given<'a> {
    content: &'a Content,
    flags: &'a Flags,
    received: Option<Timestamp>,
    stamp: Stamp,
}

/// A draft that was made.
struct There {
    id: MessageId,
    /// Its flags as the server told them.
    flags: Flags,
}

/// Drafts of a batch, one after the other: there are few.
pub(super) struct Turn<'a> {
    inner: &'a Inner,
    folder: &'a FolderId,
    mailbox: u64,
    fence: &'a dyn Fence,
    /// Where they are made, once one is; `None` in it if there is no such place.
    visit: Option<Option<Visit<'a>>>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        inner: &'a Inner,
        folder: &'a FolderId,
        mailbox: u64,
        fence: &'a dyn Fence,
    ) -> Self {
        Self {
            inner,
            folder,
            mailbox,
            fence,
            visit: None,
        }
    }

    /// Stores one.
    ///
    /// # Errors
    /// If it has to be made of fields: why.
    pub(super) async fn store(&mut self, outgoing: &Outgoing) -> Result<Outcome, Error> {
        if self.visit.is_none() {
            match aside::enter(self.inner, self.fence).await {
                Ok(visit) => self.visit = Some(visit),
                Err(error) => return Ok(Outcome::NotStored(error)),
            }
        }
        let Some(visit) = self.visit.iter().flatten().next() else {
            return Err(no_place());
        };
        let work = Work {
            inner: self.inner,
            folder: self.folder,
            aside: &visit.folder,
            fence: self.fence,
        };
        match store(&work, outgoing, self.mailbox).await {
            End::Outcome(outcome) => Ok(outcome),
            End::Unfit(why) => Err(why),
        }
    }

    /// No more of them come.
    pub(super) async fn end(self) {
        let Self {
            inner,
            fence,
            visit,
            ..
        } = self;
        match visit {
            Some(visit) => {
                drop(visit);
                aside::tidy(inner, fence).await;
            }
            None if inner.writing.drafts == Drafts::AsMime => aside::look(inner, fence).await,
            None => {}
        }
    }
}

async fn store(work: &Work<'_>, outgoing: &Outgoing, mailbox: u64) -> End {
    let content = &outgoing.content;
    if content.size() > MIME_MAX {
        return End::Unfit(prepare::too_large(content.size(), MIME_MAX));
    }
    let stamp = match prepare::stamp(content, mailbox).await {
        Ok(stamp) => stamp,
        Err(error) => return End::not_stored(error),
    };
    let given = Given {
        content,
        flags: &outgoing.flags,
        received: outgoing.received,
        stamp,
    };
    match one(work, &given).await {
        Ok(receipt) => End::Outcome(Outcome::Stored(receipt)),
        Err(end) => end,
    }
}

async fn one(work: &Work<'_>, given: &Given<'_>) -> Result<Receipt, End> {
    let there = match resume(work, given).await? {
        Some(there) => there,
        None => create(work, given).await?,
    };
    note(work, given, &there).await?;
    let (meta, in_time) = read_back(work, given, &there.id).await?;
    let is_moved = update::is_in(work.inner, work.folder, &meta).await;
    let id = match is_moved {
        // By what was sent before, and was not answered.
        Ok(true) if meta.parent.is_some() => there.id,
        Ok(_) => carry(work, given, there.id, &in_time).await?,
        Err(error) => return Err(left(work, given, there.id, error)),
    };
    let altered = append::differences(given.flags, given.received, &meta);
    let receipt = Receipt::new(Some(id)).with_flags(meta.flags);
    Ok(receipt.with_altered(altered))
}

/// It stays where it was made: nothing of it is stored.
fn left(work: &Work<'_>, given: &Given<'_>, id: MessageId, error: Error) -> End {
    let aside = &work.inner.aside;
    aside.leave(work.folder, given.stamp.content, id);
    End::not_stored(error)
}

/// Goes on with what this process left when it was to store the same.
async fn resume(work: &Work<'_>, given: &Given<'_>) -> Result<Option<There>, End> {
    let (inner, content) = (work.inner, given.stamp.content);
    while let Some(id) = inner.aside.take(work.folder, content) {
        let seen = match update::look_at(inner, &id).await {
            Ok(seen) => seen,
            Err(error) => return Err(left(work, given, id, error)),
        };
        // Where it was removed, moved or got old meanwhile, another one is made.
        let Some((meta, now)) = seen else { continue };
        match update::is_in(inner, work.aside, &meta).await {
            Ok(true) if meta.parent.is_some() && !time_left(inner, &meta, now).is_zero() => {
                let flags = meta.flags;
                return Ok(Some(There { id, flags }));
            }
            Ok(_) => {}
            Err(error) => return Err(left(work, given, id, error)),
        }
    }
    Ok(None)
}

/// How long it may still be moved: others may remove it some time after.
fn time_left(inner: &Inner, meta: &Meta, now: Option<Timestamp>) -> Duration {
    FRESH.saturating_sub(age(inner, meta, now).unwrap_or_default())
}

/// Asked last before a draft is moved: a request may have to wait for its turn.
#[derive(Debug)]
struct InTime<'a> {
    fence: &'a dyn Fence,
    clock: Arc<dyn Clock>,
    until: Duration,
}

impl Fence for InTime<'_> {
    fn check(&self) -> Result<()> {
        match self.clock.now() < self.until {
            true => self.fence.check(),
            false => Err(removed_meanwhile()),
        }
    }
}

/// Makes it. One that was made without an answer has no mark, and never gets one.
async fn create(work: &Work<'_>, given: &Given<'_>) -> Result<There, End> {
    let path = Path::new().at("mailFolders").id(work.aside.as_str());
    let request = Request::post(path.at("messages"), CREATE).mime(given.content.clone());
    // Whoever gets nothing twice does not get more the third time.
    for _ in 0..2 {
        let answer = match work.inner.pool.send(&request, Some(work.fence)).await {
            Ok(answer) => answer,
            Err(failed) => return Err(not_made(work, failed).await),
        };
        match (answer.status, items::id(&answer.json)) {
            (201, Some(id)) => return Ok(made(work, id, answer).await),
            // That is what it says where it makes nothing.
            (200, None) => {}
            _ => return Err(End::not_stored(unconfirmed())),
        }
    }
    Err(End::Unfit(nothing()))
}

async fn made(work: &Work<'_>, id: MessageId, answer: Answer) -> There {
    let Ok(meta) = Meta::of(answer.json) else {
        let flags = Flags::new();
        return There { id, flags };
    };
    // Some say that servers put MIME among the drafts, whatever folder was named. This one is known by its id; others
    // might not be.
    if let Ok(false) = update::is_in(work.inner, work.aside, &meta).await {
        tracing::warn!("the server makes drafts elsewhere; further ones are made of fields");
        work.inner.aside.close().await;
    }
    let flags = meta.flags;
    There { id, flags }
}

async fn not_made(work: &Work<'_>, failed: Failed) -> End {
    if items::is_gone(&failed.error) || failed.error.code() == "graph/bad-id" {
        work.inner.aside.forget(work.aside).await;
        return End::not_stored(removed_meanwhile());
    }
    match is_refused(&failed) {
        true => End::Unfit(failed.error),
        false => End::not_stored(attach::of_message(failed).error),
    }
}

/// A refusal that is about this message, made in this way.
fn is_refused(failed: &Failed) -> bool {
    let kinds = [
        ErrorKind::Refused,
        ErrorKind::TooLarge,
        ErrorKind::Unsupported,
    ];
    !failed.perhaps_executed
        && failed.error.scope() <= Scope::Message
        && kinds.contains(&failed.error.kind())
}

/// Notes at it what it is, when it was received, and its flags.
async fn note(work: &Work<'_>, given: &Given<'_>, there: &There) -> Result<(), End> {
    let id = &there.id;
    // Whether the date of a draft can be set, nobody says: what else there is must not be lost for it.
    for received in [given.received, None] {
        let mark = items::mime_mark(&given.stamp);
        let beside = Beside::new(given.flags.clone(), received).with_mark(mark);
        let path = Path::new().at("messages").id(id.as_str());
        let request = Request::patch(path, NOTE).json(&beside.json(&there.flags));
        let answer = work.inner.pool.send(&request, Some(work.fence)).await;
        let Err(failed) = answer else { return Ok(()) };
        match is_refused(&failed) {
            true if received.is_some() => {}
            true => return Err(unfit(work, id, failed.error).await),
            false if items::is_gone(&failed.error) => {
                return Err(End::not_stored(removed_meanwhile()));
            }
            false => {
                let error = attach::of_message(failed).error;
                return Err(left(work, given, id.clone(), error));
            }
        }
    }
    Err(End::not_stored(unconfirmed()))
}

/// It is made of fields; what was made of it here goes, now or when somebody looks at the folder.
async fn unfit(work: &Work<'_>, id: &MessageId, error: Error) -> End {
    remove(work, id).await;
    End::Unfit(error)
}

async fn remove(work: &Work<'_>, id: &MessageId) {
    if let Err(failed) = update::remove_one(work.inner, id, Some(work.fence)).await {
        tracing::debug!(error = %failed.error, "a draft could not be removed");
    }
}

/// What it is by now: without its mark nobody would know it where it is moved.
async fn read_back<'a>(
    work: &Work<'a>,
    given: &Given<'_>,
    id: &MessageId,
) -> Result<(Meta, InTime<'a>), End> {
    let clock = work.inner.clock();
    let asked = clock.now();
    let (meta, now) = match update::look_at(work.inner, id).await {
        Ok(Some(seen)) => seen,
        Ok(None) => return Err(End::not_stored(removed_meanwhile())),
        Err(error) => return Err(left(work, given, id.clone(), error)),
    };
    if meta.stamp != Some(given.stamp) {
        return Err(unfit(work, id, unmarked()).await);
    }
    let until = asked.saturating_add(time_left(work.inner, &meta, now));
    let fence = work.fence;
    Ok((
        meta,
        InTime {
            fence,
            clock,
            until,
        },
    ))
}

/// Moves it to where it belongs; its id there.
async fn carry(
    work: &Work<'_>,
    given: &Given<'_>,
    id: MessageId,
    in_time: &InTime<'_>,
) -> Result<MessageId, End> {
    let path = Path::new().at("messages").id(id.as_str()).at("move");
    let body = json!({ "destinationId": work.folder.as_str() });
    let request = Request::post(path, MOVE).json(&body);
    let failed = match work.inner.pool.send(&request, Some(in_time)).await {
        Ok(answer) => match items::id(&answer.json) {
            Some(new) => return Ok(new),
            None => Failed::after(unconfirmed()),
        },
        Err(failed) => failed,
    };
    let failed = attach::of_message(failed);
    if failed.perhaps_executed {
        let aside = &work.inner.aside;
        aside.leave(work.folder, given.stamp.content, id);
        return Err(End::Outcome(Outcome::Unknown(failed.error)));
    }
    if items::is_gone(&failed.error) || failed.error.code() == "graph/bad-id" {
        return Err(no_folder(work, given, id).await);
    }
    match is_refused(&failed) {
        true => Err(unfit(work, &id, failed.error).await),
        false => Err(left(work, given, id, failed.error)),
    }
}

/// The message is not there, or its folder is not.
async fn no_folder(work: &Work<'_>, given: &Given<'_>, id: MessageId) -> End {
    match update::look_at(work.inner, &id).await {
        Ok(None) => End::not_stored(removed_meanwhile()),
        Ok(Some(_)) => {
            remove(work, &id).await;
            let error = folders::no_folder().with_context("folder", work.folder.as_str());
            End::not_stored(error)
        }
        Err(error) => left(work, given, id, error),
    }
}

/// It is to be made anew.
fn removed_meanwhile() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the draft was removed, or got old, before it was moved to its folder",
    )
    .with_code("graph/conflict")
    .with_scope(Scope::Message)
    .with_retry(Retry::Backoff)
}

fn unconfirmed() -> Error {
    error::unexpected("the server does not confirm what it made")
        .with_scope(Scope::Message)
        .with_retry(Retry::Backoff)
}

fn nothing() -> Error {
    Error::new(
        ErrorKind::TooLarge,
        "the server makes nothing of this message as MIME",
    )
    .with_code("graph/too-large")
    .with_scope(Scope::Message)
}

fn unmarked() -> Error {
    error::unexpected("the server does not keep what is noted at a draft")
        .with_scope(Scope::Message)
}

fn no_place() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "there is no place for drafts as MIME in this mailbox",
    )
    .with_code("graph/no-mime")
    .with_scope(Scope::Message)
}
