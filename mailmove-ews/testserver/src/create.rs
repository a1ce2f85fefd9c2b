//! CreateItem.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mailmove_testkit::mailbox::{FolderInfo, InternalDate, NewMessage};
use mailmove_testkit_exchange::draft::{Draft, put};

use crate::folders::only_target;
use crate::mailbox::Mailbox;
use crate::mime::Mime;
use crate::operations::{Item, batch, respond};
use crate::props::value;
use crate::soap::{Answer, Call, Failure, Fault};
use crate::xml::{Element, el};

/// Takes over what an item's element says.
pub(crate) fn read(draft: &mut Draft, item: &Element) -> Result<(), Failure> {
    item.children
        .iter()
        .try_for_each(|child| read_child(draft, child))
}

fn read_child(draft: &mut Draft, child: &Element) -> Result<(), Failure> {
    let owned = || Some(child.text.clone());
    let read_only = || Failure::new("ErrorInvalidPropertySet");
    match child.local() {
        "MimeContent" => draft.body = Some(mime(&child.text)?),
        "ItemClass" => draft.props.class = owned(),
        "Importance" => draft.props.importance = owned(),
        "Sensitivity" => draft.props.sensitivity = owned().filter(|s| s != "Normal"),
        "Categories" => {
            let names = child.children.iter().map(|name| name.text.clone());
            draft.categories = Some(names.collect());
        }
        "IsRead" => draft.read = Some(matches!(child.text.as_str(), "true" | "1")),
        "Flag" => flag(draft, child)?,
        "ExtendedProperty" => {
            let (key, value) = value(child).map_err(Failure::new)?;
            draft.extended(key, value);
        }
        "ItemId" | "ParentFolderId" | "DateTimeReceived" | "Size" | "IsDraft"
        | "InternetMessageId" | "HasAttachments" | "DateTimeSent" | "DateTimeCreated" => {
            return Err(read_only());
        }
        // What a message without MIME is made of; see `compose`.
        _ => {}
    }
    Ok(())
}

fn flag(draft: &mut Draft, flag: &Element) -> Result<(), Failure> {
    let status = flag.child_text("t:FlagStatus").unwrap_or_default();
    let dates = flag.children.iter().skip(1);
    let dates: Vec<_> = dates
        .map(|date| (date.name.clone().into_owned(), date.text.clone()))
        .collect();
    let has = |name: &str| dates.iter().any(|(have, _)| have == name);
    // A start needs a due date, and the other way round.
    if has("t:StartDate") != has("t:DueDate") || has("t:CompleteDate") && status != "Complete" {
        return Err(Failure::new("ErrorInvalidArgument"));
    }
    draft
        .flags
        .push(("\\Flagged".to_owned(), status == "Flagged"));
    draft.props.complete = status == "Complete";
    draft.props.flag_dates = dates;
    Ok(())
}

fn mime(text: &str) -> Result<Bytes, Failure> {
    let text: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let bytes = STANDARD
        .decode(text)
        .map_err(|_| Failure::new("ErrorMimeContentInvalidBase64String"))?;
    match bytes.is_empty() {
        true => Err(Failure::new("ErrorMimeContentInvalid")),
        false => Ok(bytes.into()),
    }
}

/// A message out of single elements.
fn compose(item: &Element) -> Bytes {
    let people = |name: &str| {
        let list = item.child(name)?;
        let addresses = list.children.iter();
        let addresses = addresses.filter_map(|mailbox| mailbox.child_text("t:EmailAddress"));
        let list: Vec<_> = addresses.map(|address| format!("<{address}>")).collect();
        (!list.is_empty()).then(|| list.join(", "))
    };
    let mut header = String::new();
    for (field, name) in [
        ("From", "t:From"),
        ("To", "t:ToRecipients"),
        ("Cc", "t:CcRecipients"),
    ] {
        if let Some(list) = people(name) {
            header += &format!("{field}: {list}\r\n");
        }
    }
    let subject = item.child_text("t:Subject").unwrap_or_default();
    let subject = match subject.is_ascii() {
        true => subject.replace(['\r', '\n'], " "),
        false => crate::rebuild::word(subject),
    };
    let kind = match item.child("t:Body").and_then(|body| body.get("BodyType")) {
        Some("HTML") => "text/html",
        _ => "text/plain",
    };
    let body = item.child_text("t:Body").unwrap_or_default();
    let body = STANDARD.encode(body);
    let lines: Vec<_> = body
        .as_bytes()
        .chunks(76)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    format!(
        "{header}Subject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: {kind}; charset=utf-8\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n",
        lines.join("\r\n")
    )
    .into()
}

pub(crate) fn items(call: &Call) -> Result<Element, Fault> {
    let operation = &call.operation;
    let disposition = operation.get("MessageDisposition");
    if disposition.is_some_and(|how| how != "SaveOnly") {
        return Err(Fault::new(
            "ErrorInvalidRequest",
            "Nothing is sent from here.",
        ));
    }
    let target = match operation.child("m:SavedItemFolderId") {
        Some(_) => only_target(call, "m:SavedItemFolderId"),
        None => call.target(&el("t:DistinguishedFolderId").attr("Id", "drafts")),
    };
    let items = operation.child("m:Items");
    let answers = batch(
        call,
        items.iter().flat_map(|items| &items.children),
        |item| {
            let target = target.clone()?;
            let folder = target.folder()?;
            let calendar = item.name == "t:CalendarItem";
            if item.name == "t:Message" && disposition.is_none() {
                return Err(Failure::new("ErrorMessageDispositionRequired"));
            }
            if calendar && operation.get("SendMeetingInvitations").is_none() {
                return Err(Failure::new("ErrorSendMeetingInvitationsRequired"));
            }
            make(call, &target.mailbox, &folder, item)
        },
    );
    Ok(respond(call, answers, Some("m:Items")))
}

fn make(call: &Call, mailbox: &Mailbox, folder: &FolderInfo, item: &Element) -> Answer {
    let mut draft = Draft::default();
    read(&mut draft, item)?;
    let class = match item.local() {
        "Message" | "Item" => "IPM.Note",
        "CalendarItem" => "IPM.Appointment",
        "Contact" => "IPM.Contact",
        "Task" => "IPM.Task",
        "PostItem" => "IPM.Post",
        _ => return Err(Failure::new("ErrorInvalidItemForOperationCreateItem")),
    };
    let with_mime = draft.body.is_some();
    if with_mime && matches!(class, "IPM.Contact" | "IPM.Task") {
        return Err(Failure::new("ErrorUnsupportedMimeConversion"));
    }
    let body = draft.body.take().unwrap_or_else(|| compose(item));
    if class == "IPM.Appointment" && with_mime && !body.starts_with(b"BEGIN:VCALENDAR") {
        return Err(Failure::new("ErrorMimeContentConversionFailed"));
    }
    // A report on reading becomes an item of its own class, which the client has to know.
    if draft.props.class.is_none() && is_receipt(&Mime::parse(&body)) {
        return Err(Failure::new("ErrorObjectTypeChanged"));
    }
    draft.props.class.get_or_insert_with(|| class.to_owned());
    let flags = draft.new_flags(class == "IPM.Note");
    store(call, mailbox, folder, body, flags, draft)
}

fn is_receipt(mime: &Mime) -> bool {
    let report = mime.parameter("content-type", "report-type");
    mime.kind() == "multipart/report"
        && report.is_some_and(|kind| kind.eq_ignore_ascii_case("disposition-notification"))
}

fn store(
    call: &Call,
    mailbox: &Mailbox,
    folder: &FolderInfo,
    body: Bytes,
    flags: Vec<String>,
    draft: Draft,
) -> Answer {
    let mut message = NewMessage::new(body).with_flags(flags);
    message.date = draft.received.map(InternalDate::utc);
    let message = put(mailbox, folder, message, draft.props)?;
    let item = Item::of(mailbox, folder.id, message)?;
    call.shared.counting.lock().created += 1;
    Ok(vec![el("m:Items").with(el("t:Message").with(item.id()))])
}
