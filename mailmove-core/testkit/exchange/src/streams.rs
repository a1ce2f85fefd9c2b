//! Items as FastTransfer streams, as exports have them.
//!
//! The frame is what Exchange's streams show: a sequence of `u32 op, u32 length, bytes` in little
//! endian. Op 1 says the method, op 3 the interface, op 4 the version, op 2 (any number) carries
//! transfer buffers. Those hold, one after the other, a list of properties in FastTransfer's encoding,
//! which begins as a message's does. What the message is made of lies in properties that only this
//! server knows, under a digest.

use bytes::Bytes;
use mailmove_testkit::mailbox::{InternalDate, Message, NewMessage};
use serde_json::json;

use crate::props::Props;

/// Identifies IMessage.
const IMESSAGE: [u8; 16] = [
    0x07, 0x03, 0x02, 0x00, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x46,
];

/// What stands at the end of a stream that was cut short.
pub const TRUNCATED: &[u8] = b"=== Truncated Data ===";

/// Bytes in a transfer buffer.
const BUFFER: usize = 30 * 1024;

/// PidTagImportance as a property of type Integer32.
const IMPORTANCE: u32 = 0x0017_0003;
/// PidTagMessageClass as text in code page 1200.
const CLASS: u32 = 0x001A_84B0;
const BODY: u32 = 0x6FF0_0102;
const PROPS: u32 = 0x6FF1_0102;
const DIGEST: u32 = 0x6FF2_0102;

/// The stream of an item.
#[must_use]
pub fn encode(message: &Message, props: &Props) -> Vec<u8> {
    let flags: Vec<_> = message.flags.iter().collect();
    let about = json!({
        "flags": flags,
        "received": message.date.unix,
        "props": props.to_text(),
    });
    let about = about.to_string().into_bytes();
    let mut content = Vec::new();
    content.extend(IMPORTANCE.to_le_bytes());
    content.extend(1_u32.to_le_bytes());
    let class: Vec<u8> = props
        .class()
        .encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect();
    let digest = blake3::hash(&[message.body.as_ref(), &about].concat());
    for (tag, value) in [
        (CLASS, class.as_slice()),
        (BODY, message.body.as_ref()),
        (PROPS, &about),
        (DIGEST, digest.as_bytes()),
    ] {
        content.extend(tag.to_le_bytes());
        content.extend(u32::try_from(value.len()).unwrap_or(0).to_le_bytes());
        content.extend(value);
    }
    let mut out = Vec::new();
    let mut op = |op: u32, bytes: &[u8]| {
        out.extend(op.to_le_bytes());
        out.extend(u32::try_from(bytes.len()).unwrap_or(0).to_le_bytes());
        out.extend(bytes);
    };
    op(1, &[0, 0, 0, 0, 1, 0, 0, 0]);
    let method = 1_u32.to_le_bytes();
    let flags = 0x8000_2400_u32.to_le_bytes();
    op(3, &[method.as_slice(), &IMESSAGE, &flags].concat());
    op(4, &[0x0F, 0x01, 0xCB, 0x09, 0x06, 0x00]);
    for buffer in content.chunks(BUFFER) {
        op(2, buffer);
    }
    out
}

/// What a stream holds.
#[derive(Debug)]
pub struct Decoded {
    /// To be stored.
    pub message: NewMessage,
    /// And what Exchange keeps beside it.
    pub props: Props,
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(rest, 4)?.try_into().ok()?))
}

/// What a stream holds; `None` if a byte of it isn't as it was.
#[must_use]
pub fn decode(stream: &[u8]) -> Option<Decoded> {
    let mut rest = stream;
    let mut content = Vec::new();
    let mut ops = Vec::new();
    while !rest.is_empty() {
        let op = number(&mut rest)?;
        let length = usize::try_from(number(&mut rest)?).ok()?;
        let bytes = take(&mut rest, length)?;
        if op == 2 {
            content.extend_from_slice(bytes);
        }
        ops.push(op);
    }
    let in_order = ops.get(..3) == Some(&[1, 3, 4]) && ops.iter().skip(3).all(|op| *op == 2);
    let mut rest = content.as_slice();
    if !in_order || number(&mut rest)? != IMPORTANCE {
        return None;
    }
    number(&mut rest)?;
    let mut values = Vec::new();
    for tag in [CLASS, BODY, PROPS, DIGEST] {
        if number(&mut rest)? != tag {
            return None;
        }
        let length = usize::try_from(number(&mut rest)?).ok()?;
        values.push(take(&mut rest, length)?);
    }
    let [_, body, about, digest] = values.as_slice() else {
        return None;
    };
    if blake3::hash(&[*body, *about].concat()).as_bytes() != digest || !rest.is_empty() {
        return None;
    }
    let about: serde_json::Value = serde_json::from_slice(about).ok()?;
    let flags = about.get("flags")?.as_array()?.iter();
    let flags: Option<Vec<_>> = flags.map(|f| f.as_str().map(str::to_owned)).collect();
    let received = InternalDate::utc(about.get("received")?.as_i64()?);
    let message = NewMessage::new(Bytes::copy_from_slice(body)).with_flags(flags?);
    Some(Decoded {
        message: message.with_date(received),
        props: Props::from_text(about.get("props")?.as_str()?)?,
    })
}
