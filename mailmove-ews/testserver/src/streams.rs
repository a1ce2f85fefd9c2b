//! ExportItems and UploadItems.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailmove_testkit_exchange::draft::put;
use mailmove_testkit_exchange::streams::{Decoded, TRUNCATED, decode, encode};

use crate::faults::Action;
use crate::operations::{Item, Target, batch, respond};
use crate::soap::{Call, Failure, Fault};
use crate::xml::{Element, text};

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
        let mut stream = encode(&item.message, &props);
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
    let message = put(&target.mailbox, &folder, decoded.message, props)?;
    Item::of(&target.mailbox, folder.id, message)
}
