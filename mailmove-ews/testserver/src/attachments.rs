//! Attachments and header lists.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ids;
use crate::mime::{Attachment, Mime};
use crate::operations::{Item, batch, respond};
use crate::soap::{Call, Failure, Fault};
use crate::xml::{Element, el, text};

fn render(item: &Item, index: usize, attachment: &Attachment, content: bool) -> Element {
    let root = item.id();
    let root = root.get("Id").unwrap_or_default();
    let id = ids::opaque(&format!("A\n{index}\n{root}"));
    let name = match attachment.name.is_empty() {
        true => format!("attachment{index}"),
        false => attachment.name.clone(),
    };
    let mut file = el("t:FileAttachment")
        .with(el("t:AttachmentId").attr("Id", id))
        .with(text("t:Name", name))
        .with(text("t:ContentType", attachment.kind.clone()));
    if let Some(id) = &attachment.id {
        file = file.with(text("t:ContentId", id.clone()));
    }
    file = file
        .with(text("t:Size", attachment.content.len().to_string()))
        .with(text("t:IsInline", attachment.inline.to_string()));
    match content {
        true => file.with(text("t:Content", STANDARD.encode(&attachment.content))),
        false => file,
    }
}

/// All attachments of an item, without their contents.
pub(crate) fn list(item: &Item, mime: &Mime) -> Option<Element> {
    let all = mime.attachments();
    let each = all.iter().enumerate();
    let list = el("t:Attachments").with_all(each.map(|(n, a)| render(item, n, a, false)));
    (!list.children.is_empty()).then_some(list)
}

pub(crate) fn headers(mime: &Mime) -> Option<Element> {
    let each = mime.headers().iter();
    let list = each.map(|(name, value)| {
        text("t:InternetMessageHeader", value.clone()).attr("HeaderName", name.clone())
    });
    let list = el("t:InternetMessageHeaders").with_all(list);
    (!list.children.is_empty()).then_some(list)
}

pub(crate) fn get(call: &Call) -> Result<Element, Fault> {
    let ids = call.operation.child("m:AttachmentIds");
    let answers = batch(call, ids.iter().flat_map(|ids| &ids.children), |id| {
        let missing = || Failure::new("ErrorInvalidAttachmentId");
        let text = ids::unopaque(id.get("Id").unwrap_or_default()).ok_or_else(missing)?;
        let rest = text.strip_prefix("A\n").ok_or_else(missing)?;
        let (index, root) = rest.split_once('\n').ok_or_else(missing)?;
        let index: usize = index.parse().map_err(|_| missing())?;
        let item = call.item(&el("t:ItemId").attr("Id", root))?;
        let all = Mime::parse(&item.message.body).attachments();
        let attachment = all.get(index).ok_or_else(missing)?;
        Ok(vec![
            el("m:Attachments").with(render(&item, index, attachment, true)),
        ])
    });
    Ok(respond(call, answers, Some("m:Attachments")))
}
