//! Fetching contents.

use std::sync::atomic::Ordering;

use futures_util::{StreamExt as _, stream};
use mailmove_core::{
    error::{Error, ErrorKind, Result, Retry, Scope},
    identity::HeaderDigest,
    model::{Content, Form, ItemClass, MessageId},
    source::{FetchRequest, Fetched},
};
use mailmove_exchange::{
    original as header,
    sink::{Contents as _, Digest, Digested, Keep, Kept},
    tree,
};

use super::{Inner, exports, original};
use crate::{
    error::{self, Doing},
    generate::Out,
    items::{self, Meta},
    pool::Pool,
    wire::{self, Element, Shape},
};

/// Bytes of contents that are asked for at once, by the sizes that were listed.
const BATCH_BYTES: u64 = 8 << 20;
/// Requests for contents that one reader has under way.
const AT_ONCE: usize = 2;

/// Fetches contents in batches, two at a time.
pub(super) async fn run(inner: &Inner, request: FetchRequest, out: &Out<(MessageId, Fetched)>) {
    if !matches!(request.form, Form::Mime | Form::ExchangeStream) {
        for id in request.ids {
            let what = "items are fetched as MIME or exports";
            let error = Error::new(ErrorKind::Unsupported, what).with_scope(Scope::Message);
            out.send((id, Fetched::Failed(error))).await;
        }
        return;
    }
    if request.identity != request.folder.as_str() {
        for id in request.ids {
            let error = Error::new(ErrorKind::Stale, "it is another folder by now");
            out.send((id, Fetched::Failed(error.with_code("ews/other-folder"))))
                .await;
        }
        return;
    }
    let batches = batches(inner, request.ids);
    let fetches: Vec<_> = batches
        .into_iter()
        .map(|batch| owned(inner, batch, request.form))
        .collect();
    let mut fetched = stream::iter(fetches).buffer_unordered(AT_ONCE);
    while let Some(batch) = fetched.next().await {
        out.send_all(batch).await;
    }
}

/// Cuts a request by number and bytes.
pub(super) fn batches(inner: &Inner, ids: Vec<MessageId>) -> Vec<Vec<MessageId>> {
    let most = inner.batch.load(Ordering::Relaxed).max(1);
    inner.sizes.batches(ids, most, BATCH_BYTES)
}

pub(super) fn texts(ids: &[MessageId]) -> Vec<&str> {
    ids.iter().map(MessageId::as_str).collect()
}

const GET: Doing = Doing::message("GetItem");

async fn owned(inner: &Inner, ids: Vec<MessageId>, form: Form) -> Vec<(MessageId, Fetched)> {
    match form {
        Form::ExchangeStream => exports::streams(inner, &ids).await,
        _ => contents(inner, &ids).await,
    }
}

/// One request for contents. Each id comes back once.
pub(super) async fn contents(inner: &Inner, ids: &[MessageId]) -> Vec<(MessageId, Fetched)> {
    let mut out = contents_by(inner, ids, inner.pool.access().config.renames()).await;
    // The one in a million whose text looks like a boundary.
    for (id, fetched) in &mut out {
        if matches!(fetched, Fetched::Failed(error) if error.code() == COLLIDED) {
            let again = contents_by(inner, std::slice::from_ref(id), false).await;
            if let Some((_, again)) = again.into_iter().next() {
                *fetched = again;
            }
        }
    }
    out
}

/// Code of a content whose boundaries cannot be renamed. Nobody sees it.
const COLLIDED: &str = "ews/boundaries";

async fn contents_by(inner: &Inner, ids: &[MessageId], renames: bool) -> Vec<(MessageId, Fetched)> {
    let spool = &inner.pool.access().edges.spool;
    let request = wire::get_items(&texts(ids), Shape::Mime);
    let answer = inner
        .pool
        .send(&request, || Keep::new(spool, renames), None)
        .await;
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(failed) => {
            let error = inner.pool.blame(failed.error).await;
            heed(inner, ids.len(), &error);
            if error::is_halved(&error, ids.len()) {
                let (one, other) = ids.split_at(ids.len() / 2);
                let mut out = Box::pin(contents_by(inner, one, renames)).await;
                out.extend(Box::pin(contents_by(inner, other, renames)).await);
                return out;
            }
            let failed = |id: &MessageId| (id.clone(), Fetched::Failed(error::again(&error)));
            return ids.iter().map(failed).collect();
        }
    };
    let messages = std::mem::take(&mut answer.messages);
    let mut out = Vec::with_capacity(ids.len());
    for (at, id) in ids.iter().enumerate() {
        let found = messages.get(at).ok_or_else(error::missing);
        let found = found.and_then(|message| content(message, id, |element| answer.take(element)));
        let found = match found {
            Ok((content, original)) => header::restore(content, original, spool).await,
            Err(error) => Err(error),
        };
        let fetched = match found {
            Ok(content) => Fetched::Content(content),
            Err(error) if error.code() == "ews/no-item" => Fetched::Vanished,
            Err(error) => {
                heed(inner, ids.len(), &error);
                Fetched::Failed(error)
            }
        };
        out.push((id.clone(), fetched));
    }
    out
}

/// A server that takes too long for so many is asked for half of them next time.
pub(super) fn heed(inner: &Inner, asked: usize, error: &Error) {
    if error.kind() == ErrorKind::Timeout && asked > 1 {
        inner.batch.fetch_min((asked / 2).max(1), Ordering::Relaxed);
    }
}

/// Elements of items that have no MIME of their own; others, such as notes, are told by their class alone.
const NO_MAIL: [&str; 4] = ["CalendarItem", "Contact", "DistributionList", "Task"];

/// A content, and its header as it came.
fn content<'a>(
    message: &'a Element,
    id: &MessageId,
    take: impl FnOnce(&Element) -> Option<Kept>,
) -> Result<(Content, Option<&'a str>)> {
    let item = items::this_item(GET, message, id)?;
    let class = tree::item_class(item.text_of("ItemClass").unwrap_or_default());
    if class != ItemClass::Mail || NO_MAIL.contains(&&*item.name) {
        // What Exchange makes of it would arrive as a mail with an attachment.
        return Err(Error::new(
            ErrorKind::Refused,
            "it is no mail, and goes as an export or not at all",
        )
        .with_code("ews/no-mail")
        .with_scope(Scope::Message)
        .with_remedy("Save it by hand, or move it between two Exchange servers."));
    }
    let element = item.child("MimeContent").ok_or_else(|| {
        Error::new(ErrorKind::Refused, "the server makes no MIME of this item")
            .with_code("ews/no-mime")
    })?;
    if element.text.is_empty() {
        // Written as an empty tag, it has no bytes.
        return Ok((Content::from_bytes(""), None));
    }
    let kept = take(element).ok_or_else(error::missing)?;
    if !kept.whole {
        return Err(broken());
    }
    if kept.collided {
        let error = Error::new(ErrorKind::Protocol, "its text looks like a boundary");
        return Err(error.with_code(COLLIDED).with_scope(Scope::Message));
    }
    Ok((kept.content?, original::of(item)))
}

/// The Base64 is damaged.
pub(crate) fn broken() -> Error {
    Error::new(ErrorKind::Protocol, "the content came damaged")
        .with_code("ews/broken-base64")
        .with_scope(Scope::Message)
        .with_retry(Retry::Backoff)
}

/// What is known of these messages; those that are gone are left out, and those that can't be read each time.
pub(crate) async fn metas(pool: &Pool, ids: &[MessageId]) -> Result<Vec<Meta>> {
    metas_as(pool, ids, Shape::Meta).await
}

/// The same, in that shape.
pub(crate) async fn metas_as(pool: &Pool, ids: &[MessageId], shape: Shape) -> Result<Vec<Meta>> {
    let request = wire::get_items(&texts(ids), shape);
    let answer = match pool.call(&request).await {
        Ok(answer) => answer,
        Err(error) => {
            let error = pool.blame(error).await;
            if let [id] = ids {
                return pool.unread(id, error).map(|()| Vec::new());
            }
            if !error::is_halved(&error, ids.len()) {
                return Err(error);
            }
            let (one, other) = ids.split_at(ids.len() / 2);
            let mut out = Box::pin(metas_as(pool, one, shape)).await?;
            out.extend(Box::pin(metas_as(pool, other, shape)).await?);
            return Ok(out);
        }
    };
    let mut out = Vec::with_capacity(ids.len());
    for (at, id) in ids.iter().enumerate() {
        let message = answer.messages.get(at).ok_or_else(error::missing)?;
        match items::this_item(GET, message, id) {
            Ok(item) => out.extend(Meta::of(item)),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(out)
}

/// The message is not there, or was never one.
pub(crate) fn is_gone(error: &Error) -> bool {
    matches!(error.code(), "ews/no-item" | "ews/bad-id")
}

/// Digests of these messages; those that are gone or cannot be had are left out.
pub(super) async fn digests(pool: &Pool, ids: &[MessageId]) -> Result<Vec<(MessageId, Digested)>> {
    let request = wire::get_items(&texts(ids), Shape::Mime);
    let digest = || Digest::new(pool.access().config.renames(), false);
    let mut answer = match pool.send(&request, digest, None).await {
        Ok(answer) => answer,
        Err(failed) => {
            let error = pool.blame(failed.error).await;
            if error::is_halved(&error, ids.len()) {
                let (one, other) = ids.split_at(ids.len() / 2);
                let mut out = Box::pin(digests(pool, one)).await?;
                out.extend(Box::pin(digests(pool, other)).await?);
                return Ok(out);
            }
            return match ids {
                [id] => pool.unread(id, error).map(|()| Vec::new()),
                _ => Err(error),
            };
        }
    };
    let messages = std::mem::take(&mut answer.messages);
    let mut out = Vec::with_capacity(ids.len());
    for (id, message) in ids.iter().zip(&messages) {
        let item = match items::this_item(GET, message, id) {
            Ok(item) => item,
            Err(error) if error.scope() == Scope::Message => continue,
            Err(error) => return Err(error),
        };
        let digested = digested(item, |element| answer.take(element));
        let Some(mut digested) = digested.filter(|digested| digested.whole) else {
            continue;
        };
        // What is fetched has it too.
        let header = original::of(item).and_then(|text| header::header(&digested.start, text));
        if let Some((header, _)) = header {
            digested.header = HeaderDigest::of(&header);
        }
        out.push((id.clone(), digested));
    }
    Ok(out)
}

/// What was digested of an item's content.
pub(crate) fn digested(
    item: &Element,
    take: impl FnOnce(&Element) -> Option<Digested>,
) -> Option<Digested> {
    let element = item.child("MimeContent")?;
    match element.text.is_empty() {
        true => Some(Digest::new(false, true).end(true)),
        false => take(element),
    }
}
