//! Fetching contents.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use mailmove_core::{
    error::{Error, ErrorKind, Result, Retry, Scope},
    identity::HeaderDigest,
    model::{Content, FolderId, Form, ItemClass, MessageId},
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
    folders,
    generate::Out,
    items::{self, Meta},
    mime::{self, Mime},
    pool::Pool,
    wire::Request,
};

/// How far into a message its header is looked for.
const HEADER_MOST: usize = 1 << 20;
/// Fetches contents, as many at once as the server allows.
pub(super) async fn run(
    inner: &Arc<Inner>,
    request: FetchRequest,
    out: &Out<(MessageId, Fetched)>,
) {
    let why = if !matches!(request.form, Form::Mime | Form::ExchangeStream) {
        let what = "items are fetched as MIME or exports";
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
    if request.form == Form::ExchangeStream {
        return exports::run(inner, request.ids, out).await;
    }
    let most = inner.pool.access().config.concurrency();
    let folder = Arc::new(request.folder);
    let fetches: Vec<_> = request
        .ids
        .into_iter()
        .map(|id| owned(Arc::clone(inner), Arc::clone(&folder), id))
        .collect();
    let mut fetched = stream::iter(fetches).buffer_unordered(most);
    while let Some(one) = fetched.next().await {
        out.send(one).await;
    }
}

async fn owned(inner: Arc<Inner>, folder: Arc<FolderId>, id: MessageId) -> (MessageId, Fetched) {
    let fetched = as_mail(&inner, &folder, &id).await;
    let fetched = fetched.unwrap_or_else(Fetched::Failed);
    (id, fetched)
}

async fn as_mail(inner: &Inner, folder: &FolderId, id: &MessageId) -> Result<Fetched> {
    // What could not be exported goes as MIME if it is mail, and only then.
    if inner.unexported.has(id) {
        match class(&inner.pool, folder, id).await? {
            Some(ItemClass::Mail) => {}
            Some(_) => return Err(exports::no_mail()),
            None => return Ok(Fetched::Vanished),
        }
    }
    match content(&inner.pool, id).await {
        Ok(content) => {
            inner.unexported.forget(id);
            Ok(Fetched::Content(content))
        }
        Err(error) if items::is_gone(&error) => match class(&inner.pool, folder, id).await? {
            Some(ItemClass::Mail) => Err(error),
            // It is no message, and is there all the same.
            Some(_) => Err(exports::no_mail()),
            None => Ok(Fetched::Vanished),
        },
        Err(error) => Err(error),
    }
}

/// What an item is, as the interface for exports says; `None` if it is gone, or there is no such interface.
async fn class(pool: &Pool, folder: &FolderId, id: &MessageId) -> Result<Option<ItemClass>> {
    let Some(mailbox) = folders::open(pool).await?.exports else {
        return Ok(None);
    };
    let path = folders::at(&mailbox, folder).at("items").id(id);
    let path = path.query("$select", "id,type");
    let request = Request::get(path, Doing::message("getMailboxItem")).of_service();
    match pool.call(&request).await {
        Ok(answer) => {
            let meta = Meta::of(answer.json)?;
            match meta.id == *id {
                true => Ok(Some(tree::item_class(&meta.class))),
                // It says nothing of whether this one is there.
                false => Err(items::other_item()),
            }
        }
        Err(error) if items::is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
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
    // The one in a million whose text looks like a boundary.
    let renames = renames && !first.collided;
    let first = match first.collided {
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
        && mime::size(pool, id)
            .await?
            .is_some_and(|size| again.size() >= size)
    {
        true => Ok(again),
        false => Err(truncated(again.size())),
    }
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
    let mut mime = Mime::open(pool, id).await?;
    let mut keep = Keep::new(&pool.access().edges.spool, renames);
    while let Some(bytes) = mime.piece().await? {
        keep.write(&bytes);
    }
    mime.end(pool, id).await?;
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
    let mut mime = Mime::open(pool, id).await?;
    let mut digest = Digest::new(pool.access().config.renames(), false);
    while let Some(bytes) = mime.piece().await? {
        digest.write(&bytes);
    }
    mime.end(pool, id).await?;
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
