//! Messages as they are sent.

use mailmove_core::{
    destination::Outgoing,
    error::{Error, ErrorKind, Result, Scope},
    identity::HeaderDigest,
    model::{Alteration, AlterationKind, Content, Flags, Form, SystemFlag, Timestamp},
};
use mailmove_exchange::stamp::Stamp;
use serde_json::{Map, Value};

use super::{MESSAGE_MAX, Protected, Writing};
use crate::{
    draft::{Attachment, Beside, Draft, Loss},
    items::open_mark,
};

/// A message that is ready to be sent.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) content: Content,
    pub(super) json: Map<String, Value>,
    /// How many bytes that is.
    pub(super) bytes: usize,
    pub(super) attachments: Vec<Attachment>,
    pub(super) flags: Flags,
    pub(super) received: Option<Timestamp>,
    pub(super) altered: Vec<Alteration>,
    pub(super) stamp: Stamp,
}

/// Header bytes that are digested.
const HEADER_MAX: usize = 1 << 20;
/// Bytes of JSON that a request may have; 4 MB is the server's own limit.
pub(super) const JSON_MAX: usize = 3_900_000;

/// Prepares a message.
///
/// # Errors
/// If it cannot be sent at all.
pub(super) async fn prepare(outgoing: Outgoing, writing: &Writing, mailbox: u64) -> Result<Ready> {
    if outgoing.form != Form::Mime {
        let error = Error::new(
            ErrorKind::Unsupported,
            "only MIME messages and exports are taken",
        );
        return Err(error.with_code("graph/form").with_scope(Scope::Message));
    }
    let content = outgoing.content;
    if content.size() > MESSAGE_MAX {
        return Err(too_large(content.size(), MESSAGE_MAX));
    }
    let stamp = stamp(&content, mailbox).await?;
    let draft = Draft::read(&content).await?;
    check(&draft, writing)?;
    let mark = match draft.attachments.is_empty() {
        true => stamp.write(),
        false => open_mark(&stamp),
    };
    let beside = Beside::new(outgoing.flags.clone(), outgoing.received).with_mark(mark);
    let json = draft.json(&beside);
    let size = Value::Object(json.clone()).to_string().len();
    if size > JSON_MAX || draft.body.too_long {
        return Err(too_large(size as u64, JSON_MAX as u64));
    }
    let altered = draft.losses.iter().map(|loss| {
        let detail = format!("{}: {}", loss.as_str(), loss.in_words());
        Alteration::new(AlterationKind::ContentRewritten, detail)
    });
    Ok(Ready {
        altered: altered.collect(),
        attachments: draft.attachments,
        received: outgoing.received,
        flags: outgoing.flags,
        content,
        json,
        bytes: size,
        stamp,
    })
}

/// What a message is made from.
///
/// # Errors
/// If its bytes can't be read.
pub(super) async fn stamp(content: &Content, mailbox: u64) -> Result<Stamp> {
    let start = content.prefix(HEADER_MAX).await?;
    Ok(Stamp {
        content: content.digest(),
        header: HeaderDigest::of(&start),
        mailbox,
    })
}

impl Ready {
    /// It is to be a draft.
    pub(super) fn is_draft(&self) -> bool {
        self.flags.contains(SystemFlag::Draft)
    }
}

fn check(draft: &Draft, writing: &Writing) -> Result<()> {
    if draft.too_many {
        let error = Error::new(ErrorKind::TooLarge, "the message has too many attachments");
        return Err(error
            .with_code("graph/too-many-attachments")
            .with_scope(Scope::Message));
    }
    if writing.protected == Protected::Store || !draft.is_protected() {
        return Ok(());
    }
    let encrypted = draft.losses.contains(&Loss::Encryption);
    let (what, code) = match encrypted {
        true => (
            "the message is encrypted or signed as a whole",
            "graph/encrypted",
        ),
        false => ("the message is signed", "graph/signed"),
    };
    Err(Error::new(ErrorKind::Refused, what)
        .with_code(code)
        .with_scope(Scope::Message)
        .with_remedy(
            "By Graph it can be stored taken apart, which breaks signatures: say so if that will do, or move such \
             mail by IMAP.",
        ))
}

pub(super) fn too_large(size: u64, limit: u64) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        "the message is larger than Graph takes",
    )
    .with_code("graph/too-large")
    .with_scope(Scope::Message)
    .with_context("bytes", size.to_string())
    .with_context("limit", limit.to_string())
}
