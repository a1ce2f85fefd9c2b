//! Which operations there are, and what they have in common.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailmove_testkit::mailbox::{FolderId, FolderInfo, Message, StoreError};

use crate::faults::Action;
use crate::ids::{self, Id, Place};
use crate::mailbox::Mailbox;
use crate::soap::{Answer, Call, Failure, Fault, message_xml, named};
use crate::xml::{Element, el, text};
use crate::{attachments, auth, change, convert, create, find, folders, items, streams, sync};

/// Runs the operation.
pub(crate) fn run(call: &Call) -> Result<Element, Fault> {
    let name = call.operation.local();
    if call.shared.config.without.contains(name) {
        return Err(match call.shared.config.bare_unknown {
            true => Fault::new("", format!("Unknown request '{name}'.")),
            false => unknown(),
        });
    }
    let text = call.shared.chokes_on();
    if text.is_some_and(|text| mentions(call, &call.operation, &text)) {
        return Err(Fault::new("", "E-3034: the request cannot be run"));
    }
    match name {
        "GetFolder" => folders::get(call),
        "FindFolder" => folders::find(call),
        "CreateFolder" => folders::create(call),
        "UpdateFolder" => folders::update(call),
        "DeleteFolder" => folders::delete(call),
        "SyncFolderItems" => sync::items(call),
        "FindItem" => find::items(call),
        "GetItem" => items::get(call),
        "CreateItem" => create::items(call),
        "UpdateItem" => change::update(call),
        "MoveItem" => change::transfer(call, true),
        "CopyItem" => change::transfer(call, false),
        "DeleteItem" => change::delete(call),
        "GetAttachment" => attachments::get(call),
        "ExportItems" => streams::export(call),
        "UploadItems" => streams::upload(call),
        "ConvertId" => convert::ids(call),
        "GetMailTips" => convert::mail_tips(call),
        _ => Err(unknown()),
    }
}

/// Whether an operation names, or brings, an item with this text in it.
fn mentions(call: &Call, element: &Element, text: &str) -> bool {
    let has = |body: &[u8]| {
        body.windows(text.len().max(1))
            .any(|part| part == text.as_bytes())
    };
    match element.local() {
        "ItemId" => call.item(element).is_ok_and(|item| has(&item.message.body)),
        "MimeContent" | "Data" => STANDARD.decode(&element.text).is_ok_and(|body| has(&body)),
        _ => element
            .children
            .iter()
            .any(|child| mentions(call, child, text)),
    }
}

fn unknown() -> Fault {
    Fault::new(
        "ErrorInvalidRequest",
        "The request is unknown to this server.",
    )
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(match error {
            StoreError::NoSuchFolder => "ErrorFolderNotFound",
            StoreError::AlreadyExists => "ErrorFolderExists",
            StoreError::InvalidName(_) => "ErrorFolderSave",
            StoreError::InboxIsFixed => "ErrorDeleteDistinguishedFolder",
            StoreError::ReadOnly => "ErrorAccessDenied",
            StoreError::OverQuota => "ErrorQuotaExceeded",
            StoreError::TooBig(_) => "ErrorMessageSizeExceeded",
            StoreError::BadFlag(_) => "ErrorInvalidPropertySet",
            StoreError::BadContent(_) => "ErrorMimeContentConversionFailed",
            _ => "ErrorInternalServerError",
        })
    }
}

/// Does something for each entry of a batch, unless a fault says otherwise.
pub(crate) fn batch<'a>(
    call: &Call,
    entries: impl IntoIterator<Item = &'a Element>,
    mut each: impl FnMut(&'a Element) -> Answer,
) -> Vec<Answer> {
    let fault = call.fault.as_ref();
    if let Some(Action::Busy(back_off)) = fault {
        call.shared.begin_back_off(*back_off);
    }
    let refuse = |code: &str| Err(Failure::new(code.to_owned()));
    let mut answers: Vec<Answer> = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        answers.push(match fault {
            Some(Action::Busy(back_off)) => Err(Failure {
                code: Cow::Borrowed("ErrorServerBusy"),
                back_off: Some(*back_off),
            }),
            Some(Action::Error(code)) => refuse(code),
            Some(Action::ErrorAt(at, code)) if *at == index => refuse(code),
            Some(Action::StopBatch(at)) if *at == index => refuse("ErrorTimeoutExpired"),
            Some(Action::StopBatch(at)) if *at < index => refuse("ErrorBatchProcessingStopped"),
            _ => each(entry),
        });
    }
    answers
}

/// The response; `empty` is what a failed message still has to hold.
pub(crate) fn respond(call: &Call, answers: Vec<Answer>, empty: Option<&'static str>) -> Element {
    let name = call.operation.local();
    let messages = answers.into_iter().map(|answer| {
        let message = named(format!("m:{name}ResponseMessage"));
        match answer {
            Ok(content) => message
                .attr("ResponseClass", "Success")
                .with(text("m:ResponseCode", "NoError"))
                .with_all(content),
            Err(failure) => failed(message, &failure).with_all(empty.map(el)),
        }
    });
    named(format!("m:{name}Response")).with(el("m:ResponseMessages").with_all(messages))
}

pub(crate) fn failed(message: Element, failure: &Failure) -> Element {
    let class = match failure.code.as_ref() {
        "ErrorBatchProcessingStopped" => "Warning",
        _ => "Error",
    };
    let message = message
        .attr("ResponseClass", class)
        .with(text("m:MessageText", "The request failed."))
        .with(text("m:ResponseCode", failure.code.clone()))
        .with(text("m:DescriptiveLinkKey", "0"));
    match failure.back_off {
        Some(back_off) => message.with(message_xml("m:MessageXml", back_off)),
        None => message,
    }
}

/// A folder that an operation names.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) mailbox: Mailbox,
    pub(crate) place: Place,
}

impl Target {
    /// The folder, which is not one of the roots.
    pub(crate) fn folder(&self) -> Result<FolderInfo, Failure> {
        match self.place {
            Place::Folder(id) => Ok(self.mailbox.account.folder_by_id(id)?),
            Place::Root | Place::Top => Err(Failure::new("ErrorInvalidParentFolder")),
        }
    }

    /// Components of the path; none for the roots.
    pub(crate) fn path(&self) -> Result<Vec<String>, Failure> {
        match self.place {
            Place::Folder(id) => Ok(self.mailbox.account.folder_by_id(id)?.path),
            Place::Root | Place::Top => Ok(Vec::new()),
        }
    }
}

impl Call {
    fn open(&self, account: &str) -> Option<Mailbox> {
        self.shared.mailboxes.open(&self.shared.store, account)
    }

    /// The mailbox of this account, if it may be opened.
    fn admitted(&self, account: &str) -> Result<Mailbox, Failure> {
        let own = self.mailbox.account.user();
        let delegate = || {
            let user = self.shared.config.users.get(&self.user);
            own == self.user && user.is_some_and(|u| u.delegate_of.contains(account))
        };
        if account != own && account != format!("{own}/archive") && !delegate() {
            self.shared.counting.lock().foreign += 1;
            return Err(Failure::new("ErrorAccessDenied"));
        }
        self.open(account)
            .ok_or_else(|| Failure::new("ErrorNonExistentMailbox"))
    }

    /// What a `FolderId` or `DistinguishedFolderId` names.
    pub(crate) fn target(&self, id: &Element) -> Result<Target, Failure> {
        let missing = || Failure::new("ErrorFolderNotFound");
        let value = id.get("Id").unwrap_or_default();
        if id.name != "t:DistinguishedFolderId" {
            let Some(Id::Folder { account, place }) = ids::parse(value) else {
                return Err(Failure::new("ErrorInvalidIdMalformed"));
            };
            let mailbox = self.admitted(&account)?;
            let place = ids::place(&mailbox, &place).ok_or_else(missing)?;
            return Ok(Target { mailbox, place });
        }
        let mut account = self.mailbox.account.user().to_owned();
        if let Some(address) = id.path(&["t:Mailbox", "t:EmailAddress"]) {
            let found = auth::find(&self.shared.config, &address.text);
            found
                .ok_or_else(|| Failure::new("ErrorNonExistentMailbox"))?
                .clone_into(&mut account);
        }
        let mut name = value;
        if let Some(rest) = value.strip_prefix("archive") {
            account = format!("{account}/archive");
            self.open(&account).ok_or_else(missing)?;
            name = rest;
        }
        let mailbox = self.admitted(&account)?;
        let place = match name {
            "root" => Place::Root,
            "msgfolderroot" => Place::Top,
            "publicfoldersroot" => return Err(Failure::new("ErrorPublicFolderServerNotFound")),
            _ => Place::Folder(mailbox.distinguished(name).ok_or_else(missing)?),
        };
        Ok(Target { mailbox, place })
    }

    /// The item that an `ItemId` names, with its folder.
    pub(crate) fn item(&self, id: &Element) -> Result<Item, Failure> {
        let Some(Id::Item {
            account,
            folder,
            validity,
            uid,
        }) = ids::parse(id.get("Id").unwrap_or_default())
        else {
            return Err(Failure::new("ErrorInvalidIdMalformed"));
        };
        let missing = || Failure::new("ErrorItemNotFound");
        let mailbox = self.admitted(&account)?;
        let Some(Place::Folder(folder)) = ids::place(&mailbox, &folder) else {
            return Err(missing());
        };
        let folder = mailbox.account.folder_by_id(folder)?;
        let found = mailbox.account.fetch(folder.id, &[uid])?;
        let message = found.into_iter().next().ok_or_else(missing)?;
        if folder.uid_validity != validity {
            return Err(missing());
        }
        Ok(Item {
            mailbox,
            folder,
            message,
        })
    }
}

/// An item that an operation names.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) mailbox: Mailbox,
    pub(crate) folder: FolderInfo,
    pub(crate) message: Message,
}

impl Item {
    /// This message of this folder, as the folder is now.
    pub(crate) fn of(
        mailbox: &Mailbox,
        folder: FolderId,
        message: Message,
    ) -> Result<Self, Failure> {
        Ok(Self {
            mailbox: mailbox.clone(),
            folder: mailbox.account.folder_by_id(folder)?,
            message,
        })
    }

    pub(crate) fn id(&self) -> Element {
        item_id(&self.mailbox, &self.folder, &self.message)
    }
}

pub(crate) fn item_id(mailbox: &Mailbox, folder: &FolderInfo, message: &Message) -> Element {
    let id = ids::item_id(
        &mailbox.account,
        folder.id,
        folder.uid_validity,
        message.uid,
    );
    el("t:ItemId")
        .attr("Id", id)
        .attr("ChangeKey", ids::change_key(message))
}
