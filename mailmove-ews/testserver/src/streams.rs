//! ExportItems and UploadItems: items as FastTransfer streams.
//!
//! The frame is what Exchange's streams show: a sequence of `u32 op, u32 length, bytes` in little
//! endian. Op 1 says the method, op 3 the interface, op 4 the version, op 2 (any number) carries
//! transfer buffers. Those hold, one after the other, a list of properties in FastTransfer's encoding,
//! which begins as a message's does. What the message is made of lies in properties that only this
//! server knows, under a digest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mailmove_testkit::mailbox::InternalDate;

use crate::create::put;
use crate::faults::Action;
use crate::operations::{Item, Target, batch, respond};
use crate::props::Props;
use crate::soap::{Call, Failure, Fault};
use crate::xml::{self, Element, text};

/// Identifies IMessage.
const IMESSAGE: [u8; 16] = [
    0x07, 0x03, 0x02, 0x00, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x46,
];

/// What stands at the end of a stream that was cut short.
const TRUNCATED: &[u8] = b"=== Truncated Data ===";

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
pub(crate) fn encode(item: &Item, props: &Props) -> Vec<u8> {
    let flags: Vec<_> = item.message.flags.iter().collect();
    let about = props
        .to_element()
        .attr("flags", flags.join("\n"))
        .attr("received", item.message.date.unix.to_string());
    let about = about.render().into_bytes();
    let mut content = Vec::new();
    content.extend(IMPORTANCE.to_le_bytes());
    content.extend(1_u32.to_le_bytes());
    let class: Vec<u8> = props
        .class()
        .encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect();
    let digest = blake3::hash(&[item.message.body.as_ref(), &about].concat());
    for (tag, value) in [
        (CLASS, class.as_slice()),
        (BODY, item.message.body.as_ref()),
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

/// What a stream holds: body, properties, flags, date.
struct Decoded {
    body: Bytes,
    props: Props,
    flags: Vec<String>,
    received: i64,
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(rest, 4)?.try_into().ok()?))
}

/// `None` if a byte of it isn't as it was.
fn decode(stream: &[u8]) -> Option<Decoded> {
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
    let about = xml::parse(about).ok()?;
    let flags = about.get("flags")?.lines().map(str::to_owned).collect();
    Some(Decoded {
        body: Bytes::copy_from_slice(body),
        flags,
        received: about.get("received")?.parse().ok()?,
        props: Props::from_element(&about),
    })
}

pub(crate) fn export(call: &Call) -> Result<Element, Fault> {
    let list = call.operation.child("m:ItemIds");
    let list = list.iter().flat_map(|ids| &ids.children);
    if list.clone().count() > 100 {
        return Err(Fault::new(
            "ErrorBatchSizeExceeded",
            "At most 100 items are exported at once.",
        ));
    }
    let truncates = call.fault == Some(Action::TruncateExport);
    let answers = batch(call, list, |id| {
        let item = call.item(id)?;
        let props = item.mailbox.extra().props(item.folder.id, &item.message);
        let mut stream = encode(&item, &props);
        if truncates {
            stream.truncate(stream.len() / 2);
            stream.extend_from_slice(TRUNCATED);
        }
        call.shared.counting.lock().exported += 1;
        Ok(vec![
            as_message(item.id()),
            text("m:Data", STANDARD.encode(stream)),
        ])
    });
    Ok(respond(call, answers, None))
}

/// The id as an element of the messages' namespace.
fn as_message(mut id: Element) -> Element {
    id.name = "m:ItemId".into();
    id
}

pub(crate) fn upload(call: &Call) -> Result<Element, Fault> {
    let items = call.operation.child("m:Items");
    let answers = batch(
        call,
        items.iter().flat_map(|items| &items.children),
        |item| {
            let parent = item.child("t:ParentFolderId");
            let parent = parent.ok_or_else(|| Failure::new("ErrorInvalidParentFolder"))?;
            let target = call.target(parent)?;
            let data = item.child_text("t:Data").unwrap_or_default();
            let corrupt = || Failure::new("ErrorCorruptData");
            let data: Vec<u8> = data.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
            let stream = STANDARD.decode(data).map_err(|_| corrupt())?;
            let decoded = decode(&stream).ok_or_else(corrupt)?;
            let old = item.child("t:ItemId").map(|id| call.item(id));
            let old = match (item.get("CreateAction"), old) {
                (Some("CreateNew"), _) => None,
                (Some("Update"), Some(Ok(old))) | (Some("UpdateOrCreate"), Some(Ok(old))) => {
                    Some(old)
                }
                (Some("UpdateOrCreate"), _) => None,
                (Some("Update"), Some(Err(failure))) => return Err(failure),
                _ => return Err(Failure::new("ErrorInvalidIdEmpty")),
            };
            let new = land(&target, decoded, item.get("IsAssociated") == Some("true"))?;
            if let Some(old) = old {
                old.mailbox
                    .account
                    .remove(old.folder.id, &[old.message.uid])?;
            }
            call.shared.counting.lock().created += 1;
            Ok(vec![as_message(new.id())])
        },
    );
    Ok(respond(call, answers, None))
}

fn land(target: &Target, decoded: Decoded, associated: bool) -> Result<Item, Failure> {
    let folder = target.folder()?;
    let mut props = decoded.props;
    props.associated |= associated;
    put(
        &target.mailbox,
        &folder,
        decoded.body,
        decoded.flags,
        Some(InternalDate::utc(decoded.received)),
        props,
    )
}
