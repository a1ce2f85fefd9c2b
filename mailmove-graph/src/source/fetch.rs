//! Fetching contents.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use mailmove_core::{
    error::{Error, ErrorKind, Result, Retry, Scope},
    identity::HeaderDigest,
    model::{Content, Form, MessageId},
    source::{FetchRequest, Fetched},
};
use mailmove_exchange::{
    original as header,
    sink::{Contents as _, Digest, Digested, Keep, Kept},
};

use super::{Inner, original};
use crate::{
    error::{self, Doing},
    generate::Out,
    items::{self, Meta},
    pool::Pool,
    wire::{Path, Request, property},
};

/// How far into a message its header is looked for.
const HEADER_MOST: usize = 1 << 20;
/// Fetches contents, as many at once as the server allows.
pub(super) async fn run(
    inner: &Arc<Inner>,
    request: FetchRequest,
    out: &Out<(MessageId, Fetched)>,
) {
    let why = if request.form != Form::Mime {
        let what = "messages are fetched as MIME";
        Some(Error::new(ErrorKind::Unsupported, what).with_scope(Scope::Message))
    } else if request.identity != request.folder.as_str() {
        Some(super::list::other_folder())
    } else {
        None
    };
    if let Some(error) = why {
        for id in request.ids {
            out.send((id, Fetched::Failed(error::again(&error)))).await;
        }
        return;
    }
    let most = inner.pool.access().config.concurrency();
    let fetches: Vec<_> = request
        .ids
        .into_iter()
        .map(|id| owned(Arc::clone(inner), id))
        .collect();
    let mut fetched = stream::iter(fetches).buffer_unordered(most);
    while let Some(one) = fetched.next().await {
        out.send(one).await;
    }
}

async fn owned(inner: Arc<Inner>, id: MessageId) -> (MessageId, Fetched) {
    let fetched = match content(&inner.pool, &id).await {
        Ok(content) => Fetched::Content(content),
        Err(error) if items::is_gone(&error) => Fetched::Vanished,
        Err(error) => Fetched::Failed(error),
    };
    (id, fetched)
}

fn request(id: &MessageId) -> Request {
    let path = Path::new().at("messages").id(id).at("$value");
    Request::get(path, Doing::message("getMime"))
}

/// A content as it is handed on.
pub(super) async fn content(pool: &Pool, id: &MessageId) -> Result<Content> {
    let spool = &pool.access().edges.spool;
    let content = whole(pool, id).await?;
    let start = content.prefix(HEADER_MOST).await?;
    let len = header_len(&start);
    let lost = original::is_wanted(start.get(..len).unwrap_or_default());
    let original = match lost {
        true => original::of(pool, id).await?,
        false => None,
    };
    header::restore(content, original.as_deref(), spool).await
}

/// Where the header ends.
fn header_len(start: &[u8]) -> usize {
    let mut at = 0;
    for line in start.split_inclusive(|byte| *byte == b'\n') {
        if line.trim_ascii_end().is_empty() {
            break;
        }
        at += line.len();
    }
    at
}

/// The MIME that the server makes, read to its end: it is known to leave the end out now and then.
async fn whole(pool: &Pool, id: &MessageId) -> Result<Content> {
    let renames = pool.access().config.renames();
    let first = read(pool, id, renames).await?;
    let first = match first.collided {
        // The one in a million whose text looks like a boundary.
        true => read(pool, id, false).await?,
        false => first,
    };
    if !first.cut {
        return first.content;
    }
    let first = first.content?;
    let again = read(pool, id, renames).await?;
    let is_cut = again.cut;
    let again = again.content?;
    if !is_cut {
        return Ok(again);
    }
    // It may never have had an end. Then it is as long as the server says: MIME has more bytes than what is in it.
    let same = again.digest() == first.digest();
    match same
        && size(pool, id)
            .await?
            .is_some_and(|size| again.size() >= size)
    {
        true => Ok(again),
        false => Err(truncated(again.size())),
    }
}

/// How many bytes a message has on the server.
async fn size(pool: &Pool, id: &MessageId) -> Result<Option<u64>> {
    let path = Path::new().at("messages").id(id).query("$select", "id");
    let path = path.query("$expand", &property::expand(&[property::SIZE]));
    let request = Request::get(path, Doing::message("getSize"));
    let meta = Meta::of(pool.call(&request).await?.json)?;
    Ok(meta.size)
}

fn truncated(size: u64) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the server does not hand out all of this message",
    )
    .with_code("graph/truncated")
    .with_scope(Scope::Message)
    .with_retry(Retry::Backoff)
    .with_context("size", size.to_string())
}

async fn read(pool: &Pool, id: &MessageId, renames: bool) -> Result<Kept> {
    let mut open = pool.open(&request(id)).await?;
    let mut keep = Keep::new(&pool.access().edges.spool, renames);
    while let Some(bytes) = open.piece().await? {
        keep.write(&bytes);
    }
    Ok(keep.end(true))
}

/// What is digested of a message as it would be handed on; `None` if it is gone or can't be had.
pub(super) async fn digest(pool: &Pool, id: &MessageId) -> Result<Option<Digested>> {
    match digested(pool, id).await {
        Ok(digested) => Ok(Some(digested)),
        Err(error) if error.scope() == Scope::Message => Ok(None),
        Err(error) => Err(error),
    }
}

async fn digested(pool: &Pool, id: &MessageId) -> Result<Digested> {
    let mut open = pool.open(&request(id)).await?;
    let mut digest = Digest::new(pool.access().config.renames(), false);
    while let Some(bytes) = open.piece().await? {
        digest.write(&bytes);
    }
    drop(open);
    let mut digested = digest.end(true);
    let len = header_len(&digested.start);
    if original::is_wanted(digested.start.get(..len).unwrap_or_default()) {
        let original = original::of(pool, id).await?;
        let restored = original.and_then(|text| header::header(&digested.start, &text));
        // What is fetched has it too.
        if let Some((header, _)) = restored {
            digested.header = HeaderDigest::of(&header);
        }
    }
    Ok(digested)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_ends_before_the_empty_line() {
        for (text, len) in [
            ("A: b\r\n\r\nbody", 6),
            ("A: b\n\nbody", 5),
            ("\r\nbody", 0),
            ("A: b", 4),
            ("", 0),
        ] {
            assert_eq!(header_len(text.as_bytes()), len, "{text:?}");
        }
    }
}
