//! What the fuzz targets look at beside [`wire`](crate::wire). No part of the API.

use bytes::BytesMut;
use futures_util::future::join;
use mailmove_core::model::{ContentDigest, Cursor, FolderId, FolderPath, MessageId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    Quirks,
    connection::Deflate,
    error, ids,
    naming::Names,
    nul,
    quirks::Form,
    source::reread,
    wire::{Capabilities, IdField, Namespaces},
};

/// The table that fits what a server says of itself.
#[must_use]
pub fn detect(greeting: &str, id: &[IdField], can: &Capabilities) -> Quirks {
    Quirks::detect(greeting, id, can)
}

/// What a message in these pieces is like: objections to its form, whether something may stand for
/// NUL in it, and its digest with NUL masked.
#[must_use]
pub fn looked_at<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    quirks: &Quirks,
) -> (Option<&'static str>, bool, ContentDigest) {
    let (mut form, mut watch) = (Form::default(), nul::Watch::default());
    let mut masked = nul::Masked::default();
    for piece in pieces {
        form.read(piece);
        watch.note(piece);
        masked.note(piece);
    }
    (quirks.objects_to(form), watch.take(), masked.take())
}

/// A folder's id, and the name on the wire that it gives back.
#[must_use]
pub fn folder_id(wire: &[u8]) -> (FolderId, Vec<u8>) {
    let id = ids::folder_id(wire);
    let back = ids::wire_name(&id);
    (id, back)
}

/// The numbers in a message's id, and the id that they give back.
#[must_use]
pub fn message_id(text: &str) -> Option<(u32, u32, MessageId)> {
    let id = MessageId::new(text);
    let _ = ids::describe(&id);
    ids::parse_message_id(&id)
        .map(|(validity, uid)| (validity, uid, ids::message_id(validity, uid)))
}

/// A cursor as it is written after it was read.
#[must_use]
pub fn cursor(text: &str) -> Option<Cursor> {
    reread(&Cursor::new(text))
}

/// Where a listed mailbox is, and the name on the wire that a new folder at that place would get.
#[must_use]
pub fn path(
    spaces: Option<&Namespaces>,
    wire: &[u8],
    delimiter: Option<u8>,
) -> (FolderPath, Option<Vec<u8>>) {
    let names = Names::new(spaces, delimiter);
    let _ = names.naming();
    let (path, _) = names.path(wire, delimiter);
    let back = names.wire(&path);
    (path, back)
}

/// A server's text as it goes into messages and logs.
#[must_use]
pub fn printable(text: &str) -> String {
    error::printable(text)
}

/// Unpacks a compressed stream that comes in pieces of this size, through a buffer with this room.
///
/// # Errors
/// If it is none.
pub async fn unpack(packed: &[u8], piece: usize, room: usize) -> std::io::Result<Vec<u8>> {
    let (near, mut far) = tokio::io::duplex(piece.max(1));
    let sent = async {
        // Whoever stops reading has found an error.
        let _ = far.write_all(packed).await;
        drop(far);
    };
    // Ends with the near end, which the other side must not wait for.
    let read = async move {
        let mut near = Deflate::new(near, BytesMut::new());
        let mut out = Vec::new();
        let mut buffer = vec![0; room.max(1)];
        loop {
            let count = near.read(&mut buffer).await?;
            let Some(octets) = buffer.get(..count).filter(|octets| !octets.is_empty()) else {
                return Ok(out);
            };
            out.extend_from_slice(octets);
        }
    };
    join(sent, read).await.1
}

/// Packs pieces, flushing after each, and gives what went over the wire.
///
/// # Errors
/// None that is known.
pub async fn pack(pieces: &[&[u8]]) -> std::io::Result<Vec<u8>> {
    let (near, mut far) = tokio::io::duplex(1 << 10);
    let sent = async move {
        let mut near = Deflate::new(near, BytesMut::new());
        for piece in pieces {
            near.write_all(piece).await?;
            near.flush().await?;
        }
        near.shutdown().await
    };
    let mut packed = Vec::new();
    let (sent, read): (std::io::Result<()>, _) = join(sent, far.read_to_end(&mut packed)).await;
    sent.and(read).map(|_| packed)
}
