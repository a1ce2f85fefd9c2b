//! What items look like, and GetItem.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::addresses::Person;
use crate::mime::Mime;
use crate::operations::{Item, batch, respond};
use crate::props::{self, Known};
use crate::soap::{Call, Fault};
use crate::xml::{Element, el, text};
use crate::{addresses, attachments, ids, rebuild};

/// What of an item is asked for.
pub(crate) struct Shape<'a> {
    base: &'a str,
    fields: Vec<&'a str>,
    extended: Vec<&'a Element>,
    mime: bool,
    /// The item is listed, not opened: no bodies, no recipients, no MIME.
    listed: bool,
    text_body: bool,
}

impl<'a> Shape<'a> {
    pub(crate) fn of(operation: &'a Element, listed: bool) -> Self {
        let shape = operation.child("m:ItemShape");
        let says = |name| shape.and_then(|s| s.child_text(name));
        let more = shape.and_then(|s| s.child("t:AdditionalProperties"));
        let more = more.map_or(&[][..], |more| &more.children);
        Self {
            base: says("t:BaseShape").unwrap_or("Default"),
            fields: more.iter().filter_map(|p| p.get("FieldURI")).collect(),
            extended: more
                .iter()
                .filter(|p| p.name == "t:ExtendedFieldURI")
                .collect(),
            mime: says("t:IncludeMimeContent") == Some("true")
                || more
                    .iter()
                    .any(|p| p.get("FieldURI") == Some("item:MimeContent")),
            listed,
            text_body: says("t:BodyType") == Some("Text"),
        }
    }

    fn only_id(&self) -> bool {
        let more = self.mime && !self.listed || !self.fields.is_empty();
        self.base == "IdOnly" && !more && self.extended.is_empty()
    }

    /// Asked for by name.
    fn field(&self, name: &str) -> bool {
        self.fields.contains(&name)
    }

    /// Asked for by name, or within Default.
    fn some(&self, name: &str) -> bool {
        self.base != "IdOnly" || self.field(name)
    }

    /// Asked for by name, or within AllProperties.
    fn all(&self, name: &str) -> bool {
        self.base == "AllProperties" || self.field(name)
    }

    /// As [`all`](Self::all), but only where items are opened.
    fn opened(&self, name: &str) -> bool {
        !self.listed && self.all(name)
    }
}

/// What an item of this class is called.
fn kind(class: &str) -> &'static str {
    let is = |prefix: &str| {
        class
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    match () {
        () if is("IPM.Appointment") => "t:CalendarItem",
        () if is("IPM.Contact") => "t:Contact",
        () if is("IPM.Task") => "t:Task",
        () if is("IPM.Post") => "t:PostItem",
        () if is("IPM.Note") || is("REPORT") || is("IPM.Schedule") => "t:Message",
        () => "t:Item",
    }
}

/// The item as this shape shows it.
pub(crate) fn render(call: &Call, item: &Item, shape: &Shape<'_>) -> Element {
    let props = item.mailbox.extra().props(item.folder.id, &item.message);
    if shape.only_id() {
        return el(kind(props.class())).with(item.id());
    }
    let mime = Mime::parse(&item.message.body);
    let known = Known {
        message: &item.message,
        props: &props,
        mime: &mime,
        fraction_digits: call.shared.config.fraction_digits,
    };
    let kind = kind(props.class());
    let mut element = el(kind);
    if shape.mime && !shape.listed {
        let content = match call.shared.config.rebuilds_mime && kind == "t:Message" {
            true => rebuild::rebuild(&known),
            false => item.message.body.to_vec(),
        };
        call.shared.counting.lock().bodies_fetched += 1;
        element = element
            .with(text("t:MimeContent", STANDARD.encode(content)).attr("CharacterSet", "UTF-8"));
    }
    element = element.with(item.id());
    element = top(element, item, shape, &known);
    for uri in &shape.extended {
        let value = props::key(uri).and_then(|(key, kind)| known.extended(&key, &kind));
        if let Some(value) = value {
            element = element.with(props::property((*uri).clone(), &value));
        }
    }
    element = bottom(element, shape, &known);
    match kind {
        "t:Message" => message(element, shape, &known),
        _ => element,
    }
}

/// What comes before the extended properties.
fn top(mut element: Element, item: &Item, shape: &Shape<'_>, known: &Known<'_>) -> Element {
    let mut add = |wanted: bool, child: &dyn Fn() -> Option<Element>| {
        if wanted && let Some(child) = child() {
            element.children.push(child);
        }
    };
    let said = |name, value: Option<String>| value.map(|value| text(name, value));
    let yes = |name, value: bool| Some(text(name, value.to_string()));
    add(shape.all("item:ParentFolderId"), &|| {
        let place = ids::Place::Folder(item.folder.id);
        let id = ids::folder_id(&item.mailbox.account, place);
        Some(
            el("t:ParentFolderId")
                .attr("Id", id)
                .attr("ChangeKey", "AQAAABYAAAA="),
        )
    });
    add(shape.all("item:ItemClass"), &|| {
        said("t:ItemClass", Some(known.props.class().to_owned()))
    });
    add(shape.some("item:Subject"), &|| {
        said("t:Subject", Some(known.mime.subject()))
    });
    add(shape.some("item:Sensitivity"), &|| {
        let normal = || "Normal".to_owned();
        said(
            "t:Sensitivity",
            Some(known.props.sensitivity.clone().unwrap_or_else(normal)),
        )
    });
    add(shape.opened("item:Body"), &|| Some(body(shape, known)));
    add(shape.opened("item:Attachments"), &|| {
        attachments::list(item, known.mime)
    });
    add(shape.some("item:DateTimeReceived"), &|| {
        said(
            "t:DateTimeReceived",
            Some(known.date(known.message.date.unix)),
        )
    });
    add(shape.some("item:Size"), &|| {
        said("t:Size", Some(known.message.body.len().to_string()))
    });
    let categories = || {
        let names = props::categories(&known.message.flags);
        let list = names.into_iter().map(|name| text("t:String", name));
        let list = el("t:Categories").with_all(list);
        (!list.children.is_empty()).then_some(list)
    };
    add(shape.all("item:Categories"), &categories);
    add(shape.some("item:Importance"), &|| {
        said("t:Importance", Some(known.importance().to_owned()))
    });
    add(shape.all("item:InReplyTo"), &|| {
        said("t:InReplyTo", known.mime.header("in-reply-to"))
    });
    add(shape.all("item:IsSubmitted"), &|| {
        yes("t:IsSubmitted", false)
    });
    add(shape.all("item:IsDraft"), &|| {
        yes("t:IsDraft", known.flag("\\Draft"))
    });
    let headers = || attachments::headers(known.mime);
    add(shape.opened("item:InternetMessageHeaders"), &headers);
    add(shape.some("item:DateTimeSent"), &|| {
        said("t:DateTimeSent", known.sent().map(|sent| known.date(sent)))
    });
    add(shape.all("item:DateTimeCreated"), &|| {
        said(
            "t:DateTimeCreated",
            Some(known.date(known.message.date.unix)),
        )
    });
    let shown = |name| {
        known
            .mime
            .header(name)
            .map(|list| addresses::display(&list))
    };
    add(shape.all("item:DisplayCc"), &|| {
        said("t:DisplayCc", shown("cc"))
    });
    add(shape.all("item:DisplayTo"), &|| {
        said("t:DisplayTo", shown("to"))
    });
    add(shape.some("item:HasAttachments"), &|| {
        yes("t:HasAttachments", known.mime.has_attachments())
    });
    element
}

fn mailbox(person: &Person, full: bool) -> Element {
    let name = match person.name.is_empty() {
        true => &person.address,
        false => &person.name,
    };
    let mailbox = el("t:Mailbox").with(text("t:Name", name.clone()));
    match full {
        true => mailbox
            .with(text("t:EmailAddress", person.address.clone()))
            .with(text("t:RoutingType", "SMTP"))
            .with(text("t:MailboxType", "OneOff")),
        false => mailbox,
    }
}

fn body(shape: &Shape<'_>, known: &Known<'_>) -> Element {
    let html = known.mime.find_text("text/html");
    let plain = known.mime.find_text("text/plain");
    match (plain, html) {
        (plain, Some(html)) if !shape.text_body || plain.is_none() => {
            text("t:Body", html.text()).attr("BodyType", "HTML")
        }
        (Some(plain), _) => text("t:Body", plain.text()).attr("BodyType", "Text"),
        _ => text("t:Body", "").attr("BodyType", "Text"),
    }
}

/// What follows the extended properties, in all kinds of items.
fn bottom(mut element: Element, shape: &Shape<'_>, known: &Known<'_>) -> Element {
    if shape.all("item:IsAssociated") {
        element = element.with(text("t:IsAssociated", known.props.associated.to_string()));
    }
    if shape.all("item:Flag") {
        let status = match (known.flag("\\Flagged"), known.props.complete) {
            (true, _) => "Flagged",
            (false, true) => "Complete",
            (false, false) => "NotFlagged",
        };
        let mut flag = el("t:Flag").with(text("t:FlagStatus", status));
        for name in ["t:StartDate", "t:DueDate", "t:CompleteDate"] {
            let date = known.props.flag_dates.iter().find(|(have, _)| have == name);
            if let Some((_, date)) = date {
                flag = flag.with(text(name, date.clone()));
            }
        }
        element = element.with(flag);
    }
    element
}

fn message(mut element: Element, shape: &Shape<'_>, known: &Known<'_>) -> Element {
    let header = |name: &str| known.mime.header(name);
    let people = |name: &str| header(name).map(|list| addresses::parse(&list));
    let first = |name: &str, full: bool| {
        let person = people(name)?.into_iter().next()?;
        Some(mailbox(&person, full))
    };
    if shape.all("message:Sender")
        && let Some(sender) =
            first("sender", !shape.listed).or_else(|| first("from", !shape.listed))
    {
        element = element.with(el("t:Sender").with(sender));
    }
    for (field, name, tag) in [
        ("message:ToRecipients", "to", "t:ToRecipients"),
        ("message:CcRecipients", "cc", "t:CcRecipients"),
        ("message:BccRecipients", "bcc", "t:BccRecipients"),
    ] {
        if shape.opened(field)
            && let Some(people) = people(name).filter(|people| !people.is_empty())
        {
            element = element.with(el(tag).with_all(people.iter().map(|p| mailbox(p, true))));
        }
    }
    if shape.some("message:From")
        && let Some(from) = first("from", !shape.listed)
    {
        element = element.with(el("t:From").with(from));
    }
    if shape.all("message:InternetMessageId")
        && let Some(id) = header("message-id")
    {
        element = element.with(text("t:InternetMessageId", id));
    }
    if shape.some("message:IsRead") {
        element = element.with(text("t:IsRead", known.flag("\\Seen").to_string()));
    }
    if shape.all("message:References")
        && let Some(references) = header("references")
    {
        element = element.with(text("t:References", references));
    }
    element
}

pub(crate) fn get(call: &Call) -> Result<Element, Fault> {
    let shape = Shape::of(&call.operation, false);
    let ids = call.operation.child("m:ItemIds");
    let answers = batch(call, ids.iter().flat_map(|ids| &ids.children), |id| {
        let item = call.item(id)?;
        Ok(vec![el("m:Items").with(render(call, &item, &shape))])
    });
    Ok(respond(call, answers, Some("m:Items")))
}
