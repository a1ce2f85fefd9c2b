//! Takes a message apart.

use std::collections::BTreeSet;

use mailmove_core::mime::{Encoding, Leaf, Media, Visitor, Walker};

use super::{Attachment, Body, Draft, EMBEDDED_MAX, Loss, Place, TEXT_MAX, header, text};

/// Attachments that are kept; Exchange takes 250 unless told otherwise.
const PARTS: usize = 10_000;
/// Bytes of a Content-ID that a text can refer to.
const ID_MAX: usize = 300;
/// Characters of an attachment's name.
const NAME_MAX: usize = 255;

/// Looks through a message as it passes by.
#[derive(Debug)]
pub(super) struct Reading(Walker<Making>);

impl Reading {
    pub(super) fn new() -> Self {
        Self(Walker::new(Making {
            open: vec![Open::default()],
            body: None,
            number: 0,
        }))
    }

    pub(super) fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub(super) fn finish(self) -> Draft {
        let mut making = self.0.finish();
        making.open.pop().map(Open::finish).unwrap_or_default()
    }
}

#[derive(Debug)]
struct Making {
    /// Messages that are being read, each within the one before.
    open: Vec<Open>,
    body: Option<Part>,
    /// Of the multiparts so far.
    number: usize,
}

/// A message that is being read.
#[derive(Debug, Default)]
struct Open {
    draft: Draft,
    text: Option<Part>,
    html: Option<Part>,
    /// The multiparts that are open, by number and kind.
    around: Vec<(usize, String)>,
    /// What it is in the message around it.
    media: Media,
    start: u64,
}

/// A body that is being read, or was.
#[derive(Debug)]
struct Part {
    media: Media,
    goes: Goes,
    start: u64,
    end: u64,
    size: u64,
    bytes: Vec<u8>,
    /// Numbers of the alternatives it is in, and whether it is in what belongs together.
    alternatives: Vec<usize>,
    related: bool,
    /// In which place it would be among the attachments.
    place: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    Text,
    Html,
    Attachment,
}

impl Part {
    fn new(media: Media, goes: Goes, start: u64, open: &Open) -> Self {
        let of = |kind: &str| {
            let all = open.around.iter();
            all.filter(|(_, is)| is == kind)
                .map(|(number, _)| *number)
                .collect::<Vec<_>>()
        };
        Self {
            media,
            goes,
            start,
            end: start,
            size: 0,
            bytes: Vec::new(),
            alternatives: of("multipart/alternative"),
            related: !of("multipart/related").is_empty(),
            place: open.draft.attachments.len(),
        }
    }

    fn place(&self) -> Place {
        Place {
            start: self.start,
            end: self.end,
            encoding: self.media.encoding,
        }
    }

    fn attachment(&self, losses: &mut BTreeSet<Loss>) -> Attachment {
        Attachment {
            name: name(&self.media, self.place + 1, losses),
            kind: self.media.kind.clone(),
            id: self.media.id.clone(),
            inline: self.media.id.is_some() && self.related && !self.media.attachment,
            place: self.place(),
            size: self.size,
            message: false,
        }
    }

    fn body(&self, losses: &mut BTreeSet<Loss>) -> Body {
        let too_long = self.size > TEXT_MAX as u64;
        let found = text::decode(&self.bytes, self.media.charset.as_deref(), too_long);
        for (is, loss) in [(found.odd, Loss::Characters), (found.nul, Loss::Nul)] {
            if is {
                losses.insert(loss);
            }
        }
        Body {
            html: self.goes == Goes::Html,
            too_long: too_long || found.text.len() > TEXT_MAX,
            text: found.text,
        }
    }
}

/// What an attachment is called: what has no name is given one.
fn name(media: &Media, number: usize, losses: &mut BTreeSet<Loss>) -> String {
    let clean = |c: &char| !c.is_control();
    let name: String = match &media.name {
        Some(name) => name.chars().filter(clean).collect(),
        None => String::new(),
    };
    let name = name.trim();
    if name.is_empty() {
        let ending = match media.kind.as_str() {
            "text/plain" => "txt",
            "text/html" => "html",
            "text/calendar" => "ics",
            "message/rfc822" => "eml",
            "image/png" => "png",
            "image/jpeg" => "jpg",
            "image/gif" => "gif",
            "application/pdf" => "pdf",
            "application/pkcs7-mime" | "application/x-pkcs7-mime" => "p7m",
            _ => "dat",
        };
        return format!("attachment-{number}.{ending}");
    }
    if name.chars().count() > NAME_MAX {
        losses.insert(Loss::Name);
        // What it ends with says what it is.
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        let ending: String = ending.chars().take(10).collect();
        let start: String = name.chars().take(NAME_MAX - 11).collect();
        return format!("{start}.{ending}");
    }
    name.to_owned()
}

impl Open {
    fn lost(&mut self, loss: Loss) {
        self.draft.losses.insert(loss);
    }

    fn attach(&mut self, attachment: Attachment) {
        match self.draft.attachments.len() < PARTS {
            true => self.draft.attachments.push(attachment),
            false => self.draft.too_many = true,
        }
    }

    /// Which of text and HTML is the body, and what becomes of the other.
    fn finish(mut self) -> Draft {
        let (text, html) = (self.text.take(), self.html.take());
        let is_alternative = |one: &Part, other: &Part| {
            let mut all = one.alternatives.iter();
            all.any(|number| other.alternatives.contains(number))
        };
        let losses = &mut self.draft.losses;
        let (body, other) = match (text, html) {
            (Some(text), Some(html)) => {
                // The same in two forms; else the one that comes first is what people read first.
                match is_alternative(&text, &html) {
                    true => {
                        losses.insert(Loss::SecondBody);
                        (Some(html), None)
                    }
                    false if text.start < html.start => (Some(text), Some(html)),
                    false => (Some(html), Some(text)),
                }
            }
            (text, html) => (text.or(html), None),
        };
        if let Some(body) = body {
            self.draft.body = body.body(losses);
        }
        if let Some(other) = other {
            let attachment = other.attachment(losses);
            let at = other.place.min(self.draft.attachments.len());
            self.draft.attachments.insert(at, attachment);
        }
        self.refer();
        self.draft
    }

    /// What the HTML refers to belongs into it, however it is labelled.
    fn refer(&mut self) {
        let body = &self.draft.body;
        if !body.html {
            return;
        }
        let references = References::of(&body.text);
        for attachment in &mut self.draft.attachments {
            if let Some(id) = &attachment.id {
                attachment.inline |= references.lead_to(id);
            }
        }
    }
}

/// What stands behind each `cid:` of a text, in its order of bytes: the text is read once, however many attachments
/// there are.
#[derive(Debug)]
struct References<'a>(Vec<&'a [u8]>);

impl<'a> References<'a> {
    fn of(text: &'a str) -> Self {
        let all = text.match_indices("cid:").map(|(at, prefix)| {
            let rest = text.as_bytes().get(at + prefix.len()..);
            let rest = rest.unwrap_or_default();
            rest.get(..ID_MAX).unwrap_or(rest)
        });
        let mut all: Vec<&[u8]> = all.collect();
        all.sort_unstable();
        all.dedup();
        Self(all)
    }

    /// Whether one of them begins so.
    fn lead_to(&self, id: &str) -> bool {
        let id = id.as_bytes();
        let at = self.0.partition_point(|one| *one < id);
        self.0.get(at).is_some_and(|one| one.starts_with(id))
    }
}

impl Visitor for Making {
    fn header(&mut self, header: &[u8], media: &Media, of_message: bool) {
        let Some(open) = self.open.last_mut() else {
            return;
        };
        if of_message {
            open.draft.fields = header::fields(header, &mut open.draft.losses);
        }
        match media.kind.as_str() {
            "multipart/signed" => open.lost(Loss::Signature),
            "multipart/encrypted" => open.lost(Loss::Encryption),
            // Opaque: the signature is within, too.
            "application/pkcs7-mime" | "application/x-pkcs7-mime" => open.lost(Loss::Encryption),
            "multipart/report" => open.lost(Loss::Report),
            "text/calendar" => open.lost(Loss::Calendar),
            "message/external-body" => open.lost(Loss::ExternalBody),
            _ => {}
        }
        if media.odd {
            open.lost(Loss::Malformed);
        }
    }

    fn parts(&mut self, media: &Media, alike: bool) {
        self.number += 1;
        let number = self.number;
        if let Some(open) = self.open.last_mut() {
            open.around.push((number, media.kind.clone()));
            if alike {
                open.lost(Loss::Malformed);
            }
        }
    }

    fn parts_end(&mut self, none: bool) {
        if let Some(open) = self.open.last_mut() {
            open.around.pop();
            if none {
                open.lost(Loss::NoParts);
            }
        }
    }

    fn message(&mut self, media: &Media, start: u64) {
        self.open.push(Open {
            media: media.clone(),
            start,
            ..Open::default()
        });
    }

    fn message_end(&mut self, end: u64) {
        let Some(within) = self.open.pop() else {
            return;
        };
        let (media, start) = (within.media.clone(), within.start);
        let draft = within.finish();
        let Some(open) = self.open.last_mut() else {
            return;
        };
        open.draft.losses.extend(&draft.losses);
        let too_many = draft.too_many;
        let draft = draft.fields;
        let number = open.draft.attachments.len() + 1;
        let subject = draft.subject.filter(|_| media.name.is_none());
        let name = match subject {
            Some(subject) => subject.chars().take(NAME_MAX).collect(),
            None => name(&media, number, &mut open.draft.losses),
        };
        let size = end.saturating_sub(start);
        if size > EMBEDDED_MAX || too_many {
            open.lost(Loss::MessageAsFile);
        }
        open.attach(Attachment {
            name,
            kind: media.kind,
            id: media.id,
            inline: false,
            place: Place {
                start,
                end: end.max(start),
                encoding: Encoding::Plain,
            },
            size,
            message: true,
        });
    }

    fn body(&mut self, leaf: Leaf, media: Media, start: u64) {
        let Some(open) = self.open.last_mut() else {
            return;
        };
        match leaf {
            Leaf::Deep => open.lost(Loss::Deep),
            Leaf::Hollow => open.lost(Loss::NoParts),
            _ => {}
        }
        let goes = match media.kind.as_str() {
            _ if media.attachment || leaf == Leaf::Deep => Goes::Attachment,
            "text/plain" if open.text.is_none() => Goes::Text,
            "text/html" if open.html.is_none() => Goes::Html,
            _ if leaf == Leaf::Hollow && open.text.is_none() => Goes::Text,
            _ => Goes::Attachment,
        };
        self.body = Some(Part::new(media, goes, start, open));
    }

    fn data(&mut self, bytes: &[u8]) {
        if let Some(part) = &mut self.body {
            part.size += bytes.len() as u64;
            if part.goes != Goes::Attachment {
                let room = TEXT_MAX.saturating_sub(part.bytes.len()).min(bytes.len());
                part.bytes
                    .extend_from_slice(bytes.get(..room).unwrap_or_default());
            }
        }
    }

    fn body_end(&mut self, end: u64, damaged: bool) {
        let (Some(mut part), Some(open)) = (self.body.take(), self.open.last_mut()) else {
            return;
        };
        part.end = end;
        if damaged {
            open.lost(Loss::Damaged);
        }
        match part.goes {
            Goes::Text => open.text = Some(part),
            Goes::Html => open.html = Some(part),
            Goes::Attachment => {
                let attachment = part.attachment(&mut open.draft.losses);
                open.attach(attachment);
            }
        }
    }

    fn malformed(&mut self) {
        self.open
            .iter_mut()
            .for_each(|open| open.lost(Loss::Malformed));
    }
}
