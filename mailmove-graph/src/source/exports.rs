//! Items as Exchange exports them.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{StreamExt as _, stream};
use mailmove_core::{
    error::{Error, ErrorKind, Result, Retry, Scope},
    model::{Content, Form, MessageId},
    source::Fetched,
};
use mailmove_exchange::{
    export,
    sink::{Keep, Kept},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Inner;
use crate::{
    error::{self, Doing, Said},
    folders,
    generate::Out,
    items,
    pool::Pool,
    wire::{self, Path, Request, Splitter},
};

const EXPORT: Doing = Doing::message("exportItems");
/// Most items in a request.
const ITEMS: usize = 20;
/// Bytes of exports that are asked for at once, by the sizes that were listed.
const BYTES: u64 = 8 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exported {
    item_id: String,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    error: Option<Value>,
}

/// Most items that are remembered.
const UNEXPORTED_MAX: usize = 50_000;

/// Items that could not be exported: they are looked at before they go in another form.
#[derive(Debug, Default)]
pub(super) struct Unexported(Mutex<HashSet<MessageId>>);

impl Unexported {
    /// Notes one that may go in another form next. What befell all of them says nothing of it: it is exported later.
    fn note(&self, id: &MessageId, error: &Error) {
        if error.is_transient() && error.scope() != Scope::Message {
            return;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < UNEXPORTED_MAX {
            all.insert(id.clone());
        }
    }

    /// Whether it has to be looked at. If there was no room to note all of them each has to.
    pub(super) fn has(&self, id: &MessageId) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.contains(id) || all.len() >= UNEXPORTED_MAX
    }

    /// It went as mail.
    pub(super) fn forget(&self, id: &MessageId) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that there was no room for are known by that alone.
        if all.len() < UNEXPORTED_MAX {
            all.remove(id);
        }
    }
}

/// Fetches exports, some requests at a time.
pub(super) async fn run(inner: &Arc<Inner>, ids: Vec<MessageId>, out: &Out<(MessageId, Fetched)>) {
    let most = inner.pool.access().config.concurrency();
    let batches = inner.sizes.batches(ids, ITEMS, BYTES);
    let fetches: Vec<_> = batches
        .into_iter()
        .map(|ids| streams(Arc::clone(inner), ids))
        .collect();
    let mut fetched = stream::iter(fetches).buffer_unordered(most);
    while let Some(batch) = fetched.next().await {
        out.send_all(batch).await;
    }
}

/// One request. Each id comes back once.
async fn streams(inner: Arc<Inner>, ids: Vec<MessageId>) -> Vec<(MessageId, Fetched)> {
    let mut found = match exported(&inner.pool, &ids).await {
        Ok(found) => found,
        Err(error) => {
            let error = not_exported(&error);
            let failed = |id| {
                inner.unexported.note(&id, &error);
                (id, Fetched::Failed(error::again(&error)))
            };
            return ids.into_iter().map(failed).collect();
        }
    };
    let mut out = Vec::with_capacity(ids.len());
    for id in ids {
        let content = match found.remove(id.as_str()) {
            Some(Ok(kept)) => whole(kept).await,
            Some(Err(error)) => Err(error),
            None => Err(error::missing()),
        };
        let fetched = match content {
            Ok(content) => Fetched::Content(content.with_form(Form::ExchangeStream)),
            Err(error) if items::is_gone(&error) => Fetched::Vanished,
            Err(error) => {
                inner.unexported.note(&id, &error);
                Fetched::Failed(error)
            }
        };
        out.push((id, fetched));
    }
    out
}

/// What came for each id.
async fn exported(pool: &Pool, ids: &[MessageId]) -> Result<HashMap<String, Result<Kept>>> {
    let mailbox = folders::exports(pool).await?;
    let path = Path::new().at("admin/exchange/mailboxes").id(mailbox);
    let all: Vec<&str> = ids.iter().map(MessageId::as_str).collect();
    let request = Request::post(path.at("exportItems"), EXPORT).of_service();
    let mut open = pool.open(&request.json(&json!({ "itemIds": all }))).await?;
    let spool = &pool.access().edges.spool;
    let mut splitter = Splitter::new(Keep::new(spool, false));
    while let Some(bytes) = open.piece().await? {
        // The rest is not read, and the connection closed.
        if !splitter.push(&bytes) {
            return Err(error::too_long());
        }
    }
    drop(open);
    let (skeleton, contents) = splitter.finish().ok_or_else(error::too_long)?;
    let mut contents: Vec<Option<Kept>> = contents.into_iter().map(Some).collect();
    let page = serde_json::from_slice(&skeleton).map_err(error::malformed)?;
    let page: wire::Page<Exported> = wire::read(page)?;
    let mut out = HashMap::new();
    for item in page.value {
        let number = item.data.as_deref().and_then(|data| data.strip_prefix('#'));
        let number = number.and_then(|number| number.parse::<usize>().ok());
        let kept = number.and_then(|number| contents.get_mut(number)?.take());
        let found = match (kept, item.error) {
            (_, Some(error)) if !error.is_null() => {
                Err(error::refused(EXPORT, &Said::within(&error)).error)
            }
            (Some(kept), _) => Ok(kept),
            (None, _) => Err(error::missing()),
        };
        out.insert(item.item_id, found);
    }
    Ok(out)
}

/// A server that exports nothing says so to the whole request: it costs each item its export, and no more
/// than that.
fn not_exported(error: &Error) -> Error {
    let lasting = !error.is_transient()
        && matches!(
            error.kind(),
            ErrorKind::Unsupported
                | ErrorKind::Protocol
                | ErrorKind::Refused
                | ErrorKind::NotFound
                | ErrorKind::Denied
        );
    let again = error::again(error);
    match lasting {
        true => again
            .with_code("graph/no-export")
            .with_scope(Scope::Message),
        false => again,
    }
}

/// The content, if the server finished it.
async fn whole(kept: Kept) -> Result<Content> {
    if !kept.whole {
        return Err(Error::new(ErrorKind::Protocol, "the export came damaged")
            .with_code("graph/broken-base64")
            .with_scope(Scope::Message)
            .with_retry(Retry::Backoff));
    }
    let content = kept.content?;
    if export::is_truncated(&content).await? {
        let what = "the server did not finish the export";
        return Err(Error::new(ErrorKind::Unavailable, what)
            .with_code("graph/truncated")
            .with_scope(Scope::Message)
            .with_retry(Retry::Backoff));
    }
    match content.size() {
        0 => Err(
            Error::new(ErrorKind::Protocol, "an export without anything in it")
                .with_code("graph/no-export")
                .with_scope(Scope::Message),
        ),
        _ => Ok(content),
    }
}

/// It is no message: what would be made of it would arrive as a mail with an attachment.
pub(super) fn no_mail() -> Error {
    Error::new(
        ErrorKind::Refused,
        "it is no mail, and goes as an export or not at all",
    )
    .with_code("graph/no-mail")
    .with_scope(Scope::Message)
    .with_remedy("Save it by hand, or move it between two Exchange servers.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_exported_is_looked_at_until_it_went_as_mail() {
        let error = |kind, scope, retry| Error::new(kind, "x").with_scope(scope).with_retry(retry);
        let lasting = error(ErrorKind::Refused, Scope::Message, Retry::Never);
        let all = Unexported::default();
        let id = |number: usize| MessageId::new(number.to_string());
        all.note(&id(1), &lasting);
        assert!(all.has(&id(1)) && all.has(&id(1)) && !all.has(&id(2)));
        all.forget(&id(1));
        assert!(!all.has(&id(1)));
        // One whose own failure passes may go as MIME in the end, what a busy server refuses will not.
        all.note(
            &id(2),
            &error(ErrorKind::Unavailable, Scope::Message, Retry::Backoff),
        );
        all.note(
            &id(3),
            &error(ErrorKind::Throttled, Scope::Account, Retry::Backoff),
        );
        assert!(all.has(&id(2)) && !all.has(&id(3)));
        for number in 0..UNEXPORTED_MAX {
            all.note(&id(number), &lasting);
        }
        let late = id(UNEXPORTED_MAX + 1);
        all.note(&late, &lasting);
        all.forget(&id(1));
        assert!(all.has(&late));
    }
}
