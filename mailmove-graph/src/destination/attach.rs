//! Attachments, one after the other.

use std::time::Duration;

use bytes::Bytes;
use mailmove_core::{
    destination::Fence,
    edge::Secret,
    error::{Error, ErrorKind, Result, Retry, Scope},
    model::{Content, MessageId},
};
use reqwest::Method;
use serde_json::Value;

use super::{Inner, LATE, prepare::JSON_MAX};
use crate::{
    draft::{Attachment, Pieces},
    error::{self, Doing},
    http::Failed,
    items,
    pool::Answer,
    wire::{Body, Path, Request},
};

/// Bytes from which on an attachment goes by an upload session: Graph refuses sessions for less, and
/// single requests for more.
const SESSION_FROM: u64 = 3 << 20;
/// The same if megabytes are counted by tens.
const NEAR_SESSIONS: u64 = 2_900_000;
/// Bytes that are uploaded in one request: a multiple of 320 KiB, and no more than 4 MB.
const RANGE: usize = 12 * 320 * 1024;
/// How long an upload waits in all where the server asks to slow down: its address is not good for much longer.
const PATIENCE: Duration = LATE;
/// How long if the server does not say.
const PAUSE: Duration = Duration::from_secs(5);

const ATTACH: Doing = Doing::message("createAttachment");
const UPLOAD: Doing = Doing::message("uploadAttachment");

fn attachments(message: &MessageId) -> Path {
    Path::new()
        .at("messages")
        .id(message.as_str())
        .at("attachments")
}

/// Adds an attachment to a message.
///
/// # Errors
/// If it is not there, or not known to be.
pub(super) async fn add(
    inner: &Inner,
    message: &MessageId,
    content: &Content,
    attachment: &Attachment,
    fence: &dyn Fence,
) -> Result<(), Failed> {
    let added = match attachment.size < SESSION_FROM {
        true => whole(inner, message, content, attachment, fence).await,
        false => upload(inner, message, content, attachment, fence).await,
    };
    let added = match added {
        // Where exactly the limit is, nobody says: what is too large for the one may do for the other.
        Err(failed) if is_near(attachment) && is_too_large(&failed) => {
            let uploaded = upload(inner, message, content, attachment, fence).await;
            uploaded.map_err(|other| match items::is_gone(&other.error) {
                true => other,
                false if other.error.kind() == ErrorKind::Refused => failed,
                false => other,
            })
        }
        added => added,
    };
    added.map_err(of_message)
}

fn is_near(attachment: &Attachment) -> bool {
    (NEAR_SESSIONS..SESSION_FROM).contains(&attachment.size)
}

fn is_too_large(failed: &Failed) -> bool {
    failed.error.kind() == ErrorKind::TooLarge && !failed.perhaps_executed
}

/// What cannot be read in the answer to one attachment, or one message, says nothing of other messages.
pub(super) fn of_message(failed: Failed) -> Failed {
    let codes = [
        "graph/malformed",
        "graph/unexpected",
        "graph/too-large-answer",
    ];
    match codes.contains(&failed.error.code()) {
        true => Failed {
            error: failed.error.with_scope(Scope::Message),
            ..failed
        },
        false => failed,
    }
}

/// In one request, however long that becomes: for what is this small there is no other way.
async fn whole(
    inner: &Inner,
    message: &MessageId,
    content: &Content,
    attachment: &Attachment,
    fence: &dyn Fence,
) -> Result<(), Failed> {
    let bytes = all(attachment.reader(content)).await;
    let bytes = bytes.map_err(Failed::before)?;
    let mut json = attachment.json(&bytes);
    if attachment.message && size(&json) > JSON_MAX {
        json = attachment.json_as_file(&bytes);
    }
    let request = Request::post(attachments(message), ATTACH).json(&json);
    let answer = inner.pool.send(&request, Some(fence)).await?;
    confirmed(answer.status, &answer.json)
}

fn size(json: &serde_json::Map<String, Value>) -> usize {
    serde_json::to_vec(json).map_or(usize::MAX, |text| text.len())
}

async fn all(mut pieces: Pieces) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    while let Some(piece) = pieces.next().await? {
        out.extend_from_slice(&piece);
    }
    Ok(out)
}

/// 201 and an id, or it did not happen.
fn confirmed(status: u16, json: &Value) -> Result<(), Failed> {
    match status == 201 && items::id(json).is_some() {
        true => Ok(()),
        false => Err(Failed::after(error::unexpected(
            "the server does not confirm that it made an attachment",
        ))),
    }
}

async fn upload(
    inner: &Inner,
    message: &MessageId,
    content: &Content,
    attachment: &Attachment,
    fence: &dyn Fence,
) -> Result<(), Failed> {
    let path = attachments(message).at("createUploadSession");
    let request = Request::post(path, UPLOAD).json(&attachment.session());
    let answer = inner.pool.send(&request, Some(fence)).await?;
    let url = answer.json.get("uploadUrl").and_then(Value::as_str);
    let Some(url) = url.map(Secret::new) else {
        let error = error::unexpected("an upload without an address");
        return Err(Failed::before(error));
    };
    let mut session = Session {
        inner,
        url,
        size: attachment.size,
        at: 0,
        patience: PATIENCE,
        fence,
    };
    let (mut pieces, mut held) = (attachment.reader(content), Vec::new());
    loop {
        let piece = pieces.next().await.map_err(Failed::before)?;
        let ended = piece.is_none();
        held.extend(piece.into_iter().flatten());
        while held.len() >= RANGE || ended && !held.is_empty() {
            let rest = held.split_off(held.len().min(RANGE));
            let range = std::mem::replace(&mut held, rest);
            session.put(Bytes::from(range)).await?;
        }
        if ended {
            break;
        }
    }
    match session.at == attachment.size {
        true => Ok(()),
        false => Err(Failed::before(error::unexpected(
            "an attachment has another size than was seen before",
        ))),
    }
}

/// An upload, range by range. The attachment is there with the last one, and not before.
struct Session<'a> {
    inner: &'a Inner,
    url: Secret,
    size: u64,
    at: u64,
    /// How much longer it waits where it is asked to slow down.
    patience: Duration,
    fence: &'a dyn Fence,
}

impl Session<'_> {
    /// Uploads what comes next. The server may take a part of it.
    async fn put(&mut self, mut range: Bytes) -> Result<(), Failed> {
        while !range.is_empty() {
            let end = self.at + range.len() as u64;
            let is_last = end >= self.size;
            let answer = match self.send(range.clone()).await {
                Ok(answer) => answer,
                Err(failed) => {
                    self.wait(failed, is_last).await?;
                    continue;
                }
            };
            let next = match (answer.status, expected(&answer.json)) {
                // The attachment is made.
                (201, _) => Some(end).filter(|_| is_last),
                (_, Some(next)) => Some(next).filter(|next| *next < self.size),
                (_, None) => Some(end).filter(|_| !is_last),
            };
            let taken = next.and_then(|next| next.checked_sub(self.at));
            let taken = taken.and_then(|taken| usize::try_from(taken).ok());
            let taken = taken.filter(|taken| (1..=range.len()).contains(taken));
            let taken = taken.ok_or_else(|| miscounted(is_last))?;
            range = range.slice(taken..);
            self.at += taken as u64;
        }
        Ok(())
    }

    async fn send(&self, range: Bytes) -> Result<Answer, Failed> {
        let (at, size) = (self.at, self.size);
        let end = at + range.len() as u64 - 1;
        let fields = [("content-range", format!("bytes {at}-{end}/{size}"))];
        let body = Body::Raw("application/octet-stream", range);
        let (pool, fence) = (&self.inner.pool, Some(self.fence));
        pool.send_to(&self.url, Method::PUT, &fields, body, UPLOAD, fence)
            .await
    }

    /// Waits where the server asks to slow down: the session stays, and what it has. Anything else ends it.
    async fn wait(&mut self, failed: Failed, is_last: bool) -> Result<(), Failed> {
        let wait = match failed.error.retry() {
            // Never none at all: patience has to end.
            Retry::After(wait) => wait.max(Duration::from_secs(1)),
            _ => PAUSE,
        };
        let is_busy = failed.error.kind() == ErrorKind::Throttled && !failed.perhaps_executed;
        match self.patience.checked_sub(wait).filter(|_| is_busy) {
            Some(rest) => {
                self.patience = rest;
                self.inner.clock().sleep(wait).await;
                Ok(())
            }
            None => Err(Failed {
                perhaps_executed: failed.perhaps_executed && is_last,
                error: of_session(failed.error),
            }),
        }
    }
}

/// It is the session that is not there, and not the message.
fn of_session(error: Error) -> Error {
    match items::is_gone(&error) {
        true => Error::new(ErrorKind::Interrupted, "the upload ended before its time")
            .with_code("graph/upload-ended")
            .with_scope(Scope::Message)
            .with_retry(Retry::Backoff),
        false => error,
    }
}

/// Where the server wants to go on, such as `4096-` or `4096-8191`.
fn expected(json: &Value) -> Option<u64> {
    let first = json.get("nextExpectedRanges")?.get(0)?.as_str()?;
    first.split('-').next()?.trim().parse().ok()
}

fn miscounted(is_last: bool) -> Failed {
    Failed {
        error: error::unexpected("the server counts the bytes of an upload in another way"),
        perhaps_executed: is_last,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn where_to_go_on_is_read_however_it_is_written() {
        for (ranges, next) in [
            (json!(["4096-"]), Some(4096)),
            (json!(["4096-8191", "9000-"]), Some(4096)),
            (json!(["4096"]), Some(4096)),
            (json!([]), None),
            (json!(["x"]), None),
            (json!("4096"), None),
        ] {
            assert_eq!(expected(&json!({ "nextExpectedRanges": ranges })), next);
        }
        assert_eq!(expected(&Value::Null), None);
    }
}
