//! Items as another Exchange exported them: stored as they are, with all of their properties.
//!
//! Imports go to an address of their own, which holds a token of its own. An export takes no mark along; it gets
//! one as soon as it is there.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use mailmove_core::{
    destination::{Batch, Fence, Outcome, Outgoing},
    edge::Secret,
    error::{Error, ErrorKind, Result, Scope},
    identity::HeaderDigest,
    model::{Content, FolderId, Form, ItemClass, MessageId, Slot},
};
use mailmove_exchange::{date::parse_date, stamp::Stamp};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{
    Inner, MESSAGE_MAX, append, batch, is_other_epoch, other::Place, prepare, stale, update,
};
use crate::{
    error::{self, Doing},
    folders,
    generate::Out,
    http::{Failed, Piece},
    wire::{Body, Path, Request, property},
};

const SESSION: Doing = Doing::account("createImportSession");
const IMPORT: Doing = Doing::message("importItem");
/// An address is not used in the last minute before its end.
const EARLY: Duration = Duration::from_secs(60);

/// Where imports go.
#[derive(Debug, Default)]
pub(super) struct Imports(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    session: Option<Session>,
    /// Whether there is such a thing for us, once that is known.
    offered: Option<bool>,
}

#[derive(Debug)]
struct Session {
    url: Secret,
    until: Duration,
}

/// Whether exports can be stored here: where they may not, messages go as fields.
///
/// # Errors
/// If the server does not answer.
pub(super) async fn is_offered(inner: &Inner) -> Result<bool> {
    if !inner.pool.access().config.exports() {
        return Ok(false);
    }
    let mut state = inner.imports.0.lock().await;
    if let Some(offered) = state.offered {
        return Ok(offered);
    }
    let offered = match session(inner, &mut state).await {
        Ok(_) => true,
        Err(error) if is_refusal(&error) => {
            tracing::info!(%error, "exports cannot be stored here");
            false
        }
        Err(error) => return Err(error),
    };
    state.offered = Some(offered);
    Ok(offered)
}

fn is_refusal(error: &Error) -> bool {
    let kinds = [
        ErrorKind::Denied,
        ErrorKind::NotFound,
        ErrorKind::Refused,
        ErrorKind::Unsupported,
    ];
    kinds.contains(&error.kind()) && !error.is_transient()
}

/// The address, a new one if need be.
async fn session(inner: &Inner, state: &mut State) -> Result<Secret> {
    let now = inner.pool.access().edges.clock.now();
    if let Some(session) = &state.session
        && now + EARLY < session.until
    {
        return Ok(session.url.clone());
    }
    let text = |json: &Value, name: &str| {
        let text = json.get(name).and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| error::unexpected("an import without an address"))
    };
    let mailbox = folders::exports(&inner.pool).await?;
    let path = Path::new().at("admin/exchange/mailboxes").id(&mailbox);
    let request = Request::post(path.at("createImportSession"), SESSION).of_service();
    let answer = inner.pool.call(&request).await?;
    let url = Secret::new(text(&answer.json, "importUrl")?);
    let until = text(&answer.json, "expirationDateTime")?;
    let until = parse_date(&until).and_then(|at| u64::try_from(at.seconds()).ok());
    state.session = Some(Session {
        url: url.clone(),
        until: until.map_or(now, Duration::from_secs),
    });
    Ok(url)
}

/// An item that is to be stored.
struct Given<'a> {
    slot: Slot,
    content: &'a Content,
}

/// What became of one.
type Made<'a> = (Given<'a>, Result<MessageId, Outcome>);

/// Stores exports, one after the other.
pub(super) async fn run(
    inner: &Inner,
    folder: &FolderId,
    mailbox: u64,
    items: &[(Slot, Outgoing)],
    fence: &dyn Fence,
) -> Vec<(Slot, Outcome)> {
    // What is no mail is not among a folder's messages: nobody would find it again, and it would be sent twice.
    let (mail, other): (Vec<_>, Vec<_>) = items
        .iter()
        .partition(|(_, outgoing)| outgoing.class == ItemClass::Mail);
    let refused = other
        .into_iter()
        .map(|(slot, outgoing)| (*slot, Outcome::NotStored(not_mail(outgoing, folder))));
    let refused: Vec<_> = refused.collect();
    let made = all(inner, folder, mail.into_iter(), fence).await;
    note(inner, &made, mailbox).await;
    let seen = append::seen(inner, &ids(&made)).await;
    outcomes(made, seen).chain(refused).collect()
}

/// Stores exports in a folder that holds no mail, of whatever class. Nothing can be noted at them there.
pub(super) async fn into(inner: &Inner, place: &Place, batch: Batch, out: &Out<(Slot, Outcome)>) {
    let folder = &batch.folder;
    if is_other_epoch(&batch.mark, folder) {
        let stale = |at| (Slot::new(at), Outcome::NotStored(stale()));
        return out.send_all((0..batch.items.len()).map(stale)).await;
    }
    let items = batch.items.into_iter().enumerate();
    let items = items.map(|(at, outgoing)| (Slot::new(at), outgoing));
    let (exports, other): (Vec<_>, Vec<_>) =
        items.partition(|(_, outgoing)| outgoing.form == Form::ExchangeStream);
    for (slot, _) in other {
        out.send((slot, Outcome::NotStored(not_export(folder))))
            .await;
    }
    let made = all(inner, folder, exports.iter(), &*batch.fence).await;
    let seen = place.seen(inner, &ids(&made)).await;
    out.send_all(outcomes(made, seen)).await;
}

/// Stores these, one after the other. What stops the account or the folder stops those that follow.
async fn all<'a>(
    inner: &Inner,
    folder: &FolderId,
    items: impl Iterator<Item = &'a (Slot, Outgoing)>,
    fence: &dyn Fence,
) -> Vec<Made<'a>> {
    let mut out: Vec<Made<'_>> = Vec::new();
    let mut stopped: Option<Error> = None;
    for (slot, outgoing) in items {
        let content = &outgoing.content;
        let stored = match &stopped {
            Some(error) => Err(error::outcome(error, false)),
            None => store(inner, folder, content, fence).await,
        };
        if let Err(outcome) = &stored {
            stopped = stopped.or_else(|| batch::stops(outcome));
        }
        let slot = *slot;
        out.push((Given { slot, content }, stored));
    }
    lasting(inner, &mut out).await;
    out
}

fn ids(made: &[Made<'_>]) -> Vec<MessageId> {
    let ids = made.iter().filter_map(|(_, made)| made.as_ref().ok());
    ids.cloned().collect()
}

fn outcomes(
    made: Vec<Made<'_>>,
    mut seen: HashMap<MessageId, Outcome>,
) -> impl Iterator<Item = (Slot, Outcome)> {
    let missing = || Outcome::Unknown(error::missing());
    made.into_iter().map(move |(given, made)| {
        let outcome = match made {
            Ok(id) => seen.remove(&id).unwrap_or_else(missing),
            Err(outcome) => outcome,
        };
        (given.slot, outcome)
    })
}

/// Among events a message of fields would be a thing that nobody finds again.
fn not_export(folder: &FolderId) -> Error {
    let what = "in a folder that is made for other things mail can be stored as an export alone";
    Error::new(ErrorKind::Unsupported, what)
        .with_code("graph/not-export")
        .with_scope(Scope::Message)
        .with_context("folder", folder.as_str())
        .with_remedy("Move it into a folder for mail at the source, and run again.")
}

fn not_mail(outgoing: &Outgoing, folder: &FolderId) -> Error {
    let what = format!(
        "{} in a folder of mail cannot be stored by Graph",
        outgoing.class.plural()
    );
    Error::new(ErrorKind::Unsupported, what)
        .with_code("graph/not-mail")
        .with_scope(Scope::Message)
        .with_context("folder", folder.as_str())
        .with_remedy("Move it into a folder of its own kind at the source, or copy it by hand.")
}

/// What stands in a mark in place of a header's digest: items are told apart by their properties.
pub(super) fn no_header() -> HeaderDigest {
    HeaderDigest::of(b"")
}

async fn store(
    inner: &Inner,
    folder: &FolderId,
    content: &Content,
    fence: &dyn Fence,
) -> Result<MessageId, Outcome> {
    if content.size() > MESSAGE_MAX {
        let error = prepare::too_large(content.size(), MESSAGE_MAX);
        return Err(Outcome::NotStored(error));
    }
    let mut renewed = false;
    loop {
        let url = {
            let mut state = inner.imports.0.lock().await;
            session(inner, &mut state).await
        };
        let url = url.map_err(Outcome::NotStored)?;
        match import(inner, &url, folder, content, fence).await {
            Ok(id) => return Ok(id),
            // An address whose time is over; nothing was done.
            Err(failed) if is_over(&failed) && !renewed => {
                inner.imports.0.lock().await.session = None;
                renewed = true;
            }
            Err(failed) => {
                let error = failed.error.with_context("folder", folder.as_str());
                return Err(error::outcome(&error, failed.perhaps_executed));
            }
        }
    }
}

fn is_over(failed: &Failed) -> bool {
    let kinds = [ErrorKind::Auth, ErrorKind::Denied, ErrorKind::NotFound];
    !failed.perhaps_executed && kinds.contains(&failed.error.kind())
}

async fn import(
    inner: &Inner,
    url: &Secret,
    folder: &FolderId,
    content: &Content,
    fence: &dyn Fence,
) -> Result<MessageId, Failed> {
    let folder = Value::from(folder.as_str());
    let before = format!("{{\"FolderId\":{folder},\"Mode\":\"create\",\"Data\":\"");
    let body = Body::Pieces(vec![
        Piece::Bytes(Bytes::from(before)),
        Piece::Base64(content.clone()),
        Piece::Bytes(Bytes::from_static(b"\"}")),
    ]);
    let answer = inner
        .pool
        .send_to(url, Method::POST, &[], body, IMPORT, Some(fence))
        .await?;
    let id = answer.json.get("itemId").and_then(Value::as_str);
    let id = id.filter(|id| !id.is_empty()).map(MessageId::new);
    id.ok_or_else(|| {
        Failed::after(error::unexpected(
            "the server does not confirm that it stored an item",
        ))
    })
}

/// Asks for the ids that last, in place of those of an import. Without one it is stored all the same, and has to be
/// looked up.
async fn lasting(inner: &Inner, made: &mut [Made<'_>]) {
    let ids: Vec<&str> = made
        .iter()
        .filter_map(|(_, made)| made.as_ref().ok().map(MessageId::as_str))
        .collect();
    if ids.is_empty() {
        return;
    }
    let body = json!({
        "inputIds": ids,
        "sourceIdType": "restId",
        "targetIdType": "restImmutableEntryId",
    });
    let doing = Doing::message("translateExchangeIds");
    let request = Request::post(Path::new().at("translateExchangeIds"), doing).json(&body);
    let told = inner.pool.call(&request).await.map(|answer| answer.json);
    let told = told.unwrap_or_default();
    let pairs = told.get("value").and_then(Value::as_array);
    for (_, made) in made {
        let Ok(id) = &*made else { continue };
        let is = |pair: &&Value| pair.get("sourceId").and_then(Value::as_str) == Some(id.as_str());
        let new = pairs.into_iter().flatten().find(is);
        let new = new.and_then(|pair| pair.get("targetId")?.as_str());
        *made = match new.filter(|new| !new.is_empty()) {
            Some(new) => Ok(MessageId::new(new)),
            None => Err(Outcome::Stored(mailmove_core::destination::Receipt::new(
                None,
            ))),
        };
    }
}

/// Notes at what was taken what it is. Where that fails, only what came in since tells them apart from others,
/// if it ever comes to that.
async fn note(inner: &Inner, made: &[Made<'_>], mailbox: u64) {
    let requests: Vec<Request> = made
        .iter()
        .filter_map(|(given, made)| {
            let id = made.as_ref().ok()?;
            let stamp = Stamp {
                content: given.content.digest(),
                header: no_header(),
                mailbox,
            };
            let mark = json!([{ "id": property::stamp(), "value": stamp.write() }]);
            let body = json!({ "singleValueExtendedProperties": mark });
            let path = Path::new().at("messages").id(id.as_str());
            Some(Request::patch(path, Doing::message("markMessage")).json(&body))
        })
        .collect();
    for answer in update::send(inner, &requests).await {
        if let Err(failed) = answer {
            tracing::debug!(error = %failed.error, "an import could not be marked");
        }
    }
}
