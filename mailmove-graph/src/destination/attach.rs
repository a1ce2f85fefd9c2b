//! Attachments, one after the other.

use bytes::Bytes;
use mailmove_core::{
    destination::Fence,
    edge::Secret,
    error::Result,
    model::{Content, MessageId},
};
use reqwest::Method;
use serde_json::Value;

use super::{Inner, prepare::JSON_MAX};
use crate::{
    draft::{Attachment, Pieces},
    error::{self, Doing},
    http::Failed,
    wire::{Body, Path, Request},
};

/// Bytes from which on an attachment goes by an upload session: Graph refuses sessions for less, and
/// single requests for more.
const SESSION_FROM: u64 = 3 << 20;
/// Bytes that are uploaded in one request: a multiple of 320 KiB, and no more than 4 MB.
const RANGE: usize = 12 * 320 * 1024;

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
    if attachment.size < SESSION_FROM {
        let bytes = all(attachment.reader(content)).await;
        let bytes = bytes.map_err(Failed::before)?;
        let mut json = attachment.json(&bytes);
        if attachment.message && size(&json) > JSON_MAX {
            json = attachment.json_as_file(&bytes);
        }
        if size(&json) <= JSON_MAX {
            let request = Request::post(attachments(message), ATTACH).json(&json);
            let answer = inner.pool.send(&request, Some(fence)).await?;
            return confirmed(answer.status, &answer.json);
        }
    }
    upload(inner, message, content, attachment, fence).await
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
    match status == 201 && crate::items::id(json).is_some() {
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
        return Err(Failed::after(error));
    };
    let (mut pieces, mut held, mut at) = (attachment.reader(content), Vec::new(), 0_u64);
    loop {
        let piece = pieces.next().await.map_err(Failed::after)?;
        let ended = piece.is_none();
        held.extend(piece.into_iter().flatten());
        while held.len() >= RANGE || ended && !held.is_empty() {
            let rest = held.split_off(held.len().min(RANGE));
            let range = std::mem::replace(&mut held, rest);
            let len = range.len() as u64;
            let is_last = at + len >= attachment.size;
            put(inner, &url, range, (at, attachment.size), is_last, fence).await?;
            at += len;
        }
        if ended {
            break;
        }
    }
    match at == attachment.size {
        true => Ok(()),
        false => Err(Failed::after(error::unexpected(
            "an attachment has another size than was seen before",
        ))),
    }
}

async fn put(
    inner: &Inner,
    url: &Secret,
    range: Vec<u8>,
    (at, size): (u64, u64),
    is_last: bool,
    fence: &dyn Fence,
) -> Result<(), Failed> {
    let end = at + range.len() as u64 - 1;
    let fields = [("content-range", format!("bytes {at}-{end}/{size}"))];
    let body = Body::Raw("application/octet-stream", Bytes::from(range));
    let put = inner
        .pool
        .send_to(url, Method::PUT, &fields, body, UPLOAD, Some(fence));
    let answer = put.await.map_err(|failed| Failed {
        // Earlier parts are there: what comes of a session that ends here is the server's to know.
        perhaps_executed: true,
        ..failed
    })?;
    // 201 says that it was the last part.
    match (answer.status == 201) == is_last {
        true => Ok(()),
        false => Err(Failed::after(error::unexpected(
            "the server counts the bytes of an upload in another way",
        ))),
    }
}
