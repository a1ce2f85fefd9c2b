//! CreateItem.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mailmove_testkit::mailbox::{FolderInfo, InternalDate, NewMessage};

use crate::dates;
use crate::folders::only_target;
use crate::mailbox::Mailbox;
use crate::mime::Mime;
use crate::operations::{Item, batch, respond};
use crate::props::{COMMON, FORWARDED, Key, PUBLIC_STRINGS, Props, Value, value};
use crate::soap::{Answer, Call, Failure, Fault};
use crate::xml::{Element, el};

/// An item about to be made, or changes to one.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) body: Option<Bytes>,
    /// PidTagMessageFlags as the client wants them.
    pub(crate) message_flags: Option<i32>,
    pub(crate) read: Option<bool>,
    pub(crate) received: Option<i64>,
    /// Flags of the model to set or clear.
    pub(crate) flags: Vec<(String, bool)>,
    /// Replaces all categories.
    pub(crate) categories: Option<Vec<String>>,
    pub(crate) props: Props,
}

impl Draft {
    /// Takes over what an item's element says.
    pub(crate) fn read(&mut self, item: &Element) -> Result<(), Failure> {
        for child in &item.children {
            self.read_child(child)?;
        }
        Ok(())
    }

    fn read_child(&mut self, child: &Element) -> Result<(), Failure> {
        let owned = || Some(child.text.clone());
        let read_only = || Failure::new("ErrorInvalidPropertySet");
        match child.local() {
            "MimeContent" => self.body = Some(mime(&child.text)?),
            "ItemClass" => self.props.class = owned(),
            "Importance" => self.props.importance = owned().filter(|i| i != "Normal"),
            "Sensitivity" => self.props.sensitivity = owned().filter(|s| s != "Normal"),
            "Categories" => {
                let names = child.children.iter().map(|name| name.text.clone());
                self.categories = Some(names.collect());
            }
            "IsRead" => self.read = Some(matches!(child.text.as_str(), "true" | "1")),
            "Flag" => self.flag(child)?,
            "ExtendedProperty" => {
                let (key, value) = value(child).map_err(Failure::new)?;
                self.extended(key, value);
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

    fn flag(&mut self, flag: &Element) -> Result<(), Failure> {
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
        self.flags
            .push(("\\Flagged".to_owned(), status == "Flagged"));
        self.props.complete = status == "Complete";
        self.props.flag_dates = dates;
        Ok(())
    }

    fn extended(&mut self, key: Key, value: Value) {
        let number = value.first().parse::<i32>().unwrap_or(0);
        match (&key, value.kind.as_str()) {
            (Key::Tag(0x0E07), "Integer") => self.message_flags = Some(number),
            (Key::Tag(0x0E06), "SystemTime") => self.received = dates::parse(value.first()),
            (Key::Tag(0x1090), "Integer") => {
                self.flags.push(("\\Flagged".to_owned(), number == 2));
                self.props.complete = number == 1;
            }
            (Key::Tag(0x1081), "Integer") => {
                let answered = matches!(number, 102 | 103);
                self.flags.push(("\\Answered".to_owned(), answered));
                self.flags.push((FORWARDED.to_owned(), number == 104));
                self.props.extended.insert(key, value);
            }
            // Where both were done, the icon may say the other.
            (Key::Tag(0x1080), "Integer") => {
                let done = [(261, "\\Answered"), (262, FORWARDED)];
                let done = done.iter().find(|(icon, _)| *icon == number);
                self.flags
                    .extend(done.map(|(_, flag)| ((*flag).to_owned(), true)));
                self.props.extended.insert(key, value);
            }
            (Key::Name(set, name), "StringArray")
                if set == PUBLIC_STRINGS && name.eq_ignore_ascii_case("Keywords") =>
            {
                self.categories = Some(value.values);
            }
            (Key::Id(set, 0x8570), "Integer") if set == COMMON => {
                self.flags.push(("\\Deleted".to_owned(), number != 0));
            }
            (Key::Tag(0x001A), "String") => self.props.class = Some(value.first().to_owned()),
            (Key::Tag(0x0017), "Integer") => {
                self.props.importance = match number {
                    0 => Some("Low".to_owned()),
                    2 => Some("High".to_owned()),
                    _ => None,
                };
            }
            _ => {
                self.props.extended.insert(key, value);
            }
        }
    }

    /// The flags of a new item. Without PidTagMessageFlags a message becomes a draft, for good.
    fn new_flags(&self, message: bool) -> Vec<String> {
        let bits = self.message_flags;
        let read = self.read.or(bits.map(|bits| bits & 1 != 0)).unwrap_or(true);
        let draft = message && bits.is_none_or(|bits| bits & 8 != 0);
        let mut flags = self.categories.clone().unwrap_or_default();
        for (name, on) in [("\\Seen", read), ("\\Draft", draft)] {
            if on {
                flags.push(name.to_owned());
            }
        }
        for (name, on) in &self.flags {
            flags.retain(|have| have != name);
            if *on {
                flags.push(name.clone());
            }
        }
        flags
    }
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
    draft.read(item)?;
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
    let date = draft.received.map(InternalDate::utc);
    let item = put(mailbox, folder, body, flags, date, draft.props)?;
    call.shared.counting.lock().created += 1;
    Ok(vec![el("m:Items").with(el("t:Message").with(item.id()))])
}

/// Stores an item with its properties, so that nobody sees it without them.
pub(crate) fn put(
    mailbox: &Mailbox,
    folder: &FolderInfo,
    body: Bytes,
    flags: Vec<String>,
    date: Option<InternalDate>,
    props: Props,
) -> Result<Item, Failure> {
    let mut message = NewMessage::new(body).with_flags(flags);
    message.date = date;
    let mut extra = mailbox.extra();
    let landed = mailbox.account.append(folder.id, vec![message])?;
    let found = mailbox.account.fetch(folder.id, &landed.uids)?;
    let message = found
        .into_iter()
        .next()
        .ok_or_else(|| Failure::new("ErrorItemNotFound"))?;
    extra.items.insert((folder.id, message.uid), props.clone());
    extra.contents.insert(message.email_id, props);
    drop(extra);
    Ok(Item {
        mailbox: mailbox.clone(),
        folder: mailbox.account.folder_by_id(folder.id)?,
        message,
    })
}
