//! Large attachments, in ranges.

use mailmove_testkit_exchange::http::Response;
use mailmove_testkit_exchange::mime::Attachment;
use serde_json::{Value, json};

use crate::attachments;
use crate::call::Call;
use crate::odata::encode;
use crate::reply::{Answer, Failure, empty, respond};
use crate::sessions::Purpose;

/// More than this no attachment has.
const MOST: usize = 150 * 1024 * 1024;

pub(crate) fn create(call: &Call) -> Answer {
    let item = call.item()?;
    let body = call.json()?;
    let described = body
        .get("AttachmentItem")
        .or_else(|| body.get("attachmentItem"));
    let described = described.and_then(Value::as_object);
    let described = described.ok_or_else(|| Failure::bad("The attachment is not described."))?;
    let text = |name: &str| {
        described
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let refuse = |code: &'static str, why: &'static str| Err(Failure::new(400, code, why));
    if text("attachmentType").is_none_or(|kind| !kind.eq_ignore_ascii_case("file")) {
        return refuse(
            "ErrorAttachmentSessionIsSupportedOnlyForFileAttachments",
            "Only files are uploaded in sessions.",
        );
    }
    let size = described.get("size").and_then(Value::as_u64);
    let size = size
        .and_then(|size| usize::try_from(size).ok())
        .unwrap_or(0);
    if size < call.shared.config.attachment_limit {
        return refuse(
            "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize",
            "Attachment size must be greater than the minimum size.",
        );
    }
    if size > MOST {
        return refuse(
            "ErrorAttachmentSizeLimitExceeded",
            "The attachment is too large.",
        );
    }
    let Some(name) = text("name") else {
        return refuse("ErrorInvalidArgument", "The attachment has no name.");
    };
    let kind = text("contentType").filter(|kind| kind.contains('/'));
    let loses = call.shared.config.sessions_lose_ids;
    let inline = described
        .get("isInline")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let attachment = Attachment {
        name,
        kind: kind.unwrap_or_else(|| "application/octet-stream".to_owned()),
        id: text("contentId").filter(|id| !id.is_empty() && !loses),
        inline: inline && !loses,
        content: Vec::new(),
    };
    let ids = &call.shared.identities;
    let purpose = Purpose::Upload {
        // The message may move while its attachment grows.
        message: ids.id(&call.mailbox, &item.folder, &item.message, true),
        attachment,
        size,
    };
    let (url, until) = call.shared.sessions.open(call, purpose);
    Ok(respond(
        201,
        &json!({
            "@odata.context": call.context("microsoft.graph.uploadSession"),
            "uploadUrl": url,
            "expirationDateTime": until,
            "nextExpectedRanges": ["0-"],
        }),
    ))
}

/// First byte, last byte, and size of the whole.
fn range(header: &str) -> Option<(usize, usize, usize)> {
    let (range, whole) = header.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?, whole.parse().ok()?))
}

pub(crate) fn put(call: &Call) -> Answer {
    let id = call.route.message.as_deref().unwrap_or_default();
    let wrong = |why: &'static str| Failure::new(416, "ErrorInvalidContentRange", why);
    let header = call.request.header("content-range").unwrap_or_default();
    let (first, last, whole) = range(header).ok_or_else(|| wrong("The range is missing."))?;
    let bytes = &call.request.body;
    let mut sessions = call.shared.sessions.lock();
    let open = sessions.get_mut(id).ok_or_else(Failure::missing)?;
    let Purpose::Upload {
        message,
        attachment,
        size,
    } = &mut open.purpose
    else {
        return Err(Failure::missing());
    };
    if whole != *size || first != attachment.content.len() || last + 1 != first + bytes.len() {
        return Err(wrong(
            "The range does not begin where the one before ended.",
        ));
    }
    if last >= *size {
        return Err(wrong("The range goes beyond the end."));
    }
    attachment.content.extend_from_slice(bytes);
    if attachment.content.len() < *size {
        return Ok(respond(
            200,
            &json!({"nextExpectedRanges": [(last + 1).to_string()]}),
        ));
    }
    let (message, attachment) = (message.clone(), attachment.clone());
    sessions.remove(id);
    drop(sessions);
    let item = call.item_by_id(&message)?;
    let (item, at) = attachments::append(call, &item, attachment)?;
    let place = format!(
        "{}/users('{}')/messages('{}')/attachments('{}')",
        call.base,
        encode(call.mailbox.account.user()),
        encode(&message),
        encode(&attachments::id(call, &item, at))
    );
    Ok(Response::new(201, "").header("Location", place))
}

pub(crate) fn cancel(call: &Call) -> Answer {
    let id = call.route.message.as_deref().unwrap_or_default();
    let gone = call.shared.sessions.lock().remove(id);
    gone.map(|_| empty(204)).ok_or_else(Failure::missing)
}
