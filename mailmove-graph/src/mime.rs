//! A message's MIME as it arrives. A proxy, or a server that is out of order, may send something else: that is never
//! taken for a message.

use bytes::Bytes;
use mailmove_core::{
    error::{Error, ErrorKind, Result, Retry, Scope},
    model::MessageId,
};

use crate::{
    error::Doing,
    items::{self, Meta},
    pool::{Open, Pool},
    wire::{Path, Request, property},
};

/// How far the name of the first field is looked for.
const NAME_MAX: usize = 1000;

/// A message that is being read.
pub(crate) struct Mime {
    open: Open,
    start: Vec<u8>,
    begins: Option<bool>,
    len: u64,
}

impl Mime {
    pub(crate) async fn open(pool: &Pool, id: &MessageId) -> Result<Self> {
        let path = Path::new().at("messages").id(id).at("$value");
        let request = Request::get(path, Doing::message("getMime"));
        let open = pool.open(&request).await?;
        match open.is_content() {
            true => Ok(Self {
                open,
                start: Vec::new(),
                begins: None,
                len: 0,
            }),
            false => Err(no_message()),
        }
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>> {
        let piece = self.open.piece().await?;
        if let Some(bytes) = &piece {
            self.len += bytes.len() as u64;
            if self.begins.is_none() {
                self.start.extend_from_slice(bytes);
                self.begins = begins_with_field(&self.start);
            }
        }
        Ok(piece)
    }

    /// At the end: whether it is a message. One that does not begin as Exchange's do has to be as long as the server
    /// says that the message is, which what somebody else has to say hardly is: MIME has more bytes than what is in it.
    pub(crate) async fn end(self, pool: &Pool, id: &MessageId) -> Result<()> {
        let (is_sure, len) = (self.begins == Some(true), self.len);
        // Its place is free for the next request.
        drop(self);
        match is_sure || size(pool, id).await?.is_some_and(|size| len >= size) {
            true => Ok(()),
            false => Err(no_message()),
        }
    }
}

/// How many bytes a message has on the server.
pub(crate) async fn size(pool: &Pool, id: &MessageId) -> Result<Option<u64>> {
    let path = Path::new().at("messages").id(id).query("$select", "id");
    let path = path.query("$expand", &property::expand(&[property::SIZE]));
    let request = Request::get(path, Doing::message("getSize"));
    let meta = Meta::of(pool.call(&request).await?.json)?;
    match meta.id == *id {
        true => Ok(meta.size),
        false => Err(items::other_item()),
    }
}

/// Whether the first line is a field of a header, as far as that can be told.
fn begins_with_field(start: &[u8]) -> Option<bool> {
    let is_name = |byte: &&u8| (b'!'..=b'~').contains(*byte) && **byte != b':';
    let name = start.iter().take_while(is_name).count();
    let rest = start.get(name..).unwrap_or_default();
    let next = rest.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    match next {
        Some(next) => Some(name > 0 && *next == b':'),
        None => (start.len() > NAME_MAX).then_some(false),
    }
}

fn no_message() -> Error {
    Error::new(ErrorKind::Unavailable, "what came is no message")
        .with_code("graph/no-message")
        .with_scope(Scope::Message)
        .with_retry(Retry::Backoff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_begins_with_a_field() {
        for (start, is) in [
            ("Received: from a", Some(true)),
            ("Subject :x", Some(true)),
            ("X-Own", None),
            ("", None),
            (":x", Some(false)),
            ("<html>", None),
            ("<html>\n", Some(false)),
            ("No such mail:", Some(false)),
            ("\r\nbody", Some(false)),
            (" a: b", Some(false)),
        ] {
            assert_eq!(begins_with_field(start.as_bytes()), is, "{start:?}");
        }
        assert_eq!(begins_with_field(&[b'x'; 1001]), Some(false));
    }
}
