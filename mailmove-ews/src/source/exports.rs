//! Items as Exchange exports them.

use mailmove_core::{
    edge::Spool,
    error::{Error, ErrorKind, Result, Retry, Scope},
    model::{Content, Form, MessageId},
    source::Fetched,
};
use mailmove_exchange::{
    export,
    sink::{Keep, Kept},
};

use super::{
    Inner,
    fetch::{broken, heed, texts},
};
use crate::{
    error::{self, Doing},
    items,
    wire::{self, Element, SoapError},
};

const EXPORT: Doing = Doing::message("ExportItems");

/// One request for exports. Each id comes back once.
pub(super) async fn streams(inner: &Inner, ids: &[MessageId]) -> Vec<(MessageId, Fetched)> {
    let spool: &Spool = &inner.pool.access().edges.spool;
    let request = wire::export_items(&texts(ids));
    let answer = inner
        .pool
        .send(&request, || Keep::new(spool, false), None)
        .await;
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(failed) => {
            let error = inner.pool.blame(failed.error).await;
            heed(inner, ids.len(), &error);
            if error::is_halved(&error, ids.len()) {
                let (one, other) = ids.split_at(ids.len() / 2);
                let mut out = Box::pin(streams(inner, one)).await;
                out.extend(Box::pin(streams(inner, other)).await);
                return out;
            }
            let failed = |id: &MessageId| (id.clone(), Fetched::Failed(not_exported(&error)));
            return ids.iter().map(failed).collect();
        }
    };
    let messages = std::mem::take(&mut answer.messages);
    let mut out = Vec::with_capacity(ids.len());
    for (at, id) in ids.iter().enumerate() {
        let found = messages.get(at).ok_or_else(error::missing);
        let found = found.and_then(|message| kept(message, id, |element| answer.take(element)));
        let found = match found {
            Ok(kept) => whole(kept).await,
            Err(error) => Err(error),
        };
        let fetched = match found {
            Ok(content) => Fetched::Content(content.with_form(Form::ExchangeStream)),
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

/// A server that knows no such operation says so to the whole request: it costs each item its export, and
/// no more than that.
fn not_exported(error: &Error) -> Error {
    let lasting = !error.is_transient()
        && matches!(
            error.kind(),
            ErrorKind::Unsupported | ErrorKind::Protocol | ErrorKind::Refused | ErrorKind::NotFound
        );
    let again = error::again(error);
    match lasting {
        true => again.with_code("ews/no-export").with_scope(Scope::Message),
        false => again,
    }
}

fn kept(
    message: &Element,
    id: &MessageId,
    take: impl FnOnce(&Element) -> Option<Kept>,
) -> Result<Kept> {
    if let Some(refused) = SoapError::of(message) {
        return Err(error::refused(EXPORT, &refused));
    }
    if items::id(message).as_ref() != Some(id) {
        return Err(items::other_item());
    }
    let data = message.child("Data").ok_or_else(error::missing)?;
    take(data).ok_or_else(error::missing)
}

/// The content, if the server finished it.
async fn whole(kept: Kept) -> Result<Content> {
    if !kept.whole {
        return Err(broken());
    }
    let content = kept.content?;
    if export::is_truncated(&content).await? {
        let what = "the server did not finish the export";
        return Err(Error::new(ErrorKind::Unavailable, what)
            .with_code("ews/truncated")
            .with_scope(Scope::Message)
            .with_retry(Retry::Backoff));
    }
    match content.size() {
        0 => Err(
            Error::new(ErrorKind::Protocol, "an export without anything in it")
                .with_code("ews/no-export")
                .with_scope(Scope::Message),
        ),
        _ => Ok(content),
    }
}
