//! Gmail's ways (X-GM-EXT-1): labels are folders over one store of messages.
//!
//! In the mailbox model a message with labels is one content in several folders: "All Mail" and each
//! label's. Flags belong to the content, so a change in one folder shows in all.

use std::collections::BTreeMap;

use mailmove_testkit::mailbox::{
    Account, EmailId, FlagOp, FolderId, FolderInfo, Message, NewMessage, StoreError,
};

use crate::Capability;
use crate::parser::Parser;
use crate::reply::{Outcome, Stop, string};
use crate::session::Session;

/// What Gmail announces, as far as this server knows it.
pub(crate) const CAPABILITIES: [Capability; 18] = [
    Capability::SaslIr,
    Capability::Id,
    Capability::Enable,
    Capability::Namespace,
    Capability::ListExtended,
    Capability::ListStatus,
    Capability::SpecialUse,
    Capability::UidPlus,
    Capability::LiteralMinus,
    Capability::Condstore,
    Capability::Move,
    Capability::Esearch,
    Capability::Unselect,
    Capability::Idle,
    Capability::Children,
    Capability::AppendLimit,
    Capability::AuthPlain,
    Capability::GmailExt,
];

const CONTAINER: &str = "[Gmail]";
const ALL_MAIL: &str = "All Mail";

/// Gmail's own folders below `[Gmail]`, by their special use.
const FOLDERS: [(&str, &str); 7] = [
    (ALL_MAIL, "\\All"),
    ("Drafts", "\\Drafts"),
    ("Important", "\\Important"),
    ("Sent Mail", "\\Sent"),
    ("Spam", "\\Junk"),
    ("Starred", "\\Flagged"),
    ("Trash", "\\Trash"),
];

/// The mailbox of a Gmail user: the back door of a server set up by
/// [`Builder::gmail`](crate::Builder::gmail).
#[derive(Debug, Clone)]
pub struct Gmail {
    account: Account,
}

impl Gmail {
    /// Makes Gmail's own folders, as far as they are missing.
    ///
    /// # Errors
    /// If the account refuses them.
    pub fn new(account: &Account) -> Result<Self, StoreError> {
        // `[Gmail]` itself is no folder.
        account.configure(|limits| limits.create_parents = false);
        for (name, special_use) in FOLDERS {
            match account.create_special(&[CONTAINER, name], &[special_use]) {
                Ok(_) | Err(StoreError::AlreadyExists) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self {
            account: account.clone(),
        })
    }

    /// Delivers a message with these labels: folders, made if need be. `[Gmail]/…` are the system's.
    ///
    /// # Errors
    /// If the account refuses it.
    pub fn deliver(&self, message: NewMessage, labels: &[&str]) -> Result<EmailId, StoreError> {
        let id = deliver(&self.account, message)?;
        for label in labels {
            self.label(id, label, true)?;
        }
        Ok(id)
    }

    /// Gives a message a label, or takes it away.
    ///
    /// # Errors
    /// If the message has no label that could be taken from, or the account refuses it.
    pub fn label(&self, id: EmailId, label: &str, on: bool) -> Result<(), StoreError> {
        let path: Vec<&str> = label.split('/').collect();
        let folder = match self.account.folder(&path) {
            Ok(folder) => folder.id,
            Err(_) => self.account.create(&path)?,
        };
        set_label(&self.account, id, folder, on)
    }

    /// Sets a flag, or clears it, in all folders that show the message. A star is `\Flagged`.
    ///
    /// # Errors
    /// If the account refuses it.
    pub fn flag(&self, id: EmailId, flag: &str, on: bool) -> Result<(), StoreError> {
        let op = if on { FlagOp::Add } else { FlagOp::Remove };
        for (folder, uid) in places(&self.account, id) {
            self.account.store(folder, &[uid], op, &[flag], None)?;
        }
        star(&self.account, id)
    }

    /// The messages in a folder.
    ///
    /// # Errors
    /// If there is no such folder.
    pub fn messages(&self, label: &str) -> Result<Vec<Message>, StoreError> {
        let path: Vec<&str> = label.split('/').collect();
        self.account.messages(self.account.folder(&path)?.id)
    }
}

fn find(account: &Account, folder: FolderId, id: EmailId) -> Option<u32> {
    let messages = account.messages(folder).unwrap_or_default();
    messages.iter().find(|m| m.email_id == id).map(|m| m.uid)
}

/// Where a content is.
fn places(account: &Account, id: EmailId) -> Vec<(FolderId, u32)> {
    let folders = account.folders().into_iter();
    folders
        .filter_map(|folder| Some((folder.id, find(account, folder.id, id)?)))
        .collect()
}

fn special(account: &Account, special_use: &str) -> Result<FolderId, StoreError> {
    let is = |folder: &FolderInfo| folder.special_use.iter().any(|known| known == special_use);
    let found = account.folders().into_iter().find(is);
    found
        .map(|folder| folder.id)
        .ok_or(StoreError::NoSuchFolder)
}

/// Puts a message into "All Mail", and among the starred if it has a star.
fn deliver(account: &Account, message: NewMessage) -> Result<EmailId, StoreError> {
    let all = special(account, "\\All")?;
    let landed = account.append(all, vec![message])?;
    let uid = landed.uids.first().copied().unwrap_or_default();
    let stored = account.fetch(all, &[uid])?;
    let id = stored.first().ok_or(StoreError::NoSuchFolder)?.email_id;
    star(account, id)?;
    Ok(id)
}

fn set_label(account: &Account, id: EmailId, folder: FolderId, on: bool) -> Result<(), StoreError> {
    match (find(account, folder, id), on) {
        (Some(uid), false) => account.remove(folder, &[uid]).map(drop),
        (None, true) => {
            let from = places(account, id).into_iter().next();
            let (from, uid) = from.ok_or(StoreError::NoSuchFolder)?;
            account.copy(from, &[uid], folder).map(drop)
        }
        _ => Ok(()),
    }
}

/// Shows a message among the starred if it has a star, and else not.
fn star(account: &Account, id: EmailId) -> Result<(), StoreError> {
    let all = places(account, id);
    let Some((folder, uid)) = all.first() else {
        return Ok(());
    };
    let message = account.fetch(*folder, &[*uid])?;
    let starred = message.iter().any(|m| m.flags.contains("\\Flagged"));
    set_label(account, id, special(account, "\\Flagged")?, starred)
}

/// An APPEND. A message that is there already gets no second copy: it is shown in the folder too,
/// and if it was there before, the UID that the answer names is gone at once.
pub(crate) fn append(
    account: &Account,
    folder: FolderId,
    message: NewMessage,
) -> Result<(u32, u32), StoreError> {
    account.check_append(folder, std::slice::from_ref(&message))?;
    let all = special(account, "\\All")?;
    let twin = account
        .messages(all)?
        .into_iter()
        .find(|known| known.body == message.body);
    let flags = message.flags.clone();
    let id = match twin {
        Some(twin) => twin.email_id,
        None => deliver(account, message)?,
    };
    let before = account.folder_by_id(folder)?;
    if folder == all && find(account, folder, id).is_some_and(|uid| uid + 1 == before.uid_next) {
        return Ok((before.uid_validity, before.uid_next - 1));
    }
    if find(account, folder, id).is_some() {
        account.skip_uids(folder, before.uid_next + 1)?;
        return Ok((before.uid_validity, before.uid_next));
    }
    set_label(account, id, folder, true)?;
    let uid = find(account, folder, id).unwrap_or_default();
    account.store(folder, &[uid], FlagOp::Add, &flags, None)?;
    spread(account, folder, &[uid], FlagOp::Add, &flags)?;
    Ok((before.uid_validity, uid))
}

/// Shows a change of flags in all other folders with these messages.
pub(crate) fn spread(
    account: &Account,
    folder: FolderId,
    uids: &[u32],
    op: FlagOp,
    flags: &[String],
) -> Result<(), StoreError> {
    for message in account.fetch(folder, uids)? {
        for (other, uid) in places(account, message.email_id) {
            if other != folder {
                account.store(other, &[uid], op, flags, None)?;
            }
        }
        star(account, message.email_id)?;
    }
    Ok(())
}

/// X-GM-MSGID: decimal, and large as they are.
pub(crate) fn message_id(id: EmailId) -> u64 {
    let text = id.to_string();
    let number = u64::from_str_radix(text.trim_start_matches('M'), 16);
    1_278_455_344_230_334_865_u64.wrapping_add(number.unwrap_or(0))
}

/// A folder as a label.
fn label(session: &Session, folder: &FolderInfo) -> Option<Vec<u8>> {
    let system = |name: &str| Some(name.as_bytes().to_vec());
    if folder.path == ["INBOX"] {
        return system("\\Inbox");
    }
    match folder.special_use.first().map(String::as_str) {
        Some("\\All") => None,
        Some("\\Drafts") => system("\\Draft"),
        Some("\\Junk") => system("\\Spam"),
        Some("\\Flagged") => system("\\Starred"),
        Some(other) => system(other),
        None => {
            let quoted = session.wire(&folder.path);
            let name = quoted.trim_matches('"').replace("\\\\", "\\");
            Some(name.replace("\\\"", "\"").into_bytes())
        }
    }
}

impl Session {
    pub(crate) fn is_gmail(&self) -> bool {
        self.has(Capability::GmailExt)
    }

    /// X-GM-LABELS of all contents, each without the folder that is selected.
    pub(crate) fn labels(&self) -> Result<BTreeMap<EmailId, Vec<u8>>, Stop> {
        let account = self.account()?;
        let selected = self.selected()?.id;
        let mut lists: BTreeMap<EmailId, Vec<u8>> = BTreeMap::new();
        for folder in account.folders() {
            let Some(label) = label(self, &folder).filter(|_| folder.id != selected) else {
                continue;
            };
            for message in account.messages(folder.id)? {
                let list = lists.entry(message.email_id).or_default();
                if !list.is_empty() {
                    list.push(b' ');
                }
                // Strings come in every form: this one in turn as a literal, an atom, or quoted.
                let plain = label.iter().all(u8::is_ascii_alphanumeric);
                match message.uid % 7 {
                    3 => {
                        list.extend_from_slice(format!("{{{}}}\r\n", label.len()).as_bytes());
                        list.extend_from_slice(&label);
                    }
                    5 if plain => list.extend_from_slice(&label),
                    _ => string(list, &label),
                }
            }
        }
        Ok(lists)
    }

    /// `STORE … +X-GM-LABELS (…)`.
    pub(crate) fn store_labels(&mut self, p: &mut Parser<'_>, uids: &[u32], on: bool) -> Outcome {
        let labels = p.list(|p| match p.peek() {
            Some(b'\\') => p.flag().map(String::into_bytes),
            _ => p.astring(),
        })?;
        p.end()?;
        let account = self.account()?;
        let selected = self.selected_writable()?.id;
        let folders = account.folders();
        for name in labels {
            let known = folders
                .iter()
                .find(|folder| label(self, folder).as_deref() == Some(&name));
            let folder = match known {
                Some(folder) => folder.id,
                None => account.create(&self.path(&name)?)?,
            };
            for message in account.fetch(selected, uids)? {
                set_label(&account, message.email_id, folder, on)?;
            }
        }
        Ok(String::new())
    }

    /// COPY: gives labels. The UIDs in both folders, whether or not a message had the label before.
    pub(crate) fn copy_labels(
        &self,
        uids: &[u32],
        target: FolderId,
    ) -> Result<(u32, Vec<(u32, u32)>), Stop> {
        let account = self.account()?;
        let source = self.selected()?.id;
        let mut pairs = Vec::new();
        for message in account.fetch(source, uids)? {
            set_label(&account, message.email_id, target, true)?;
            let new = find(&account, target, message.email_id).unwrap_or_default();
            pairs.push((message.uid, new));
        }
        Ok((account.folder_by_id(target)?.uid_validity, pairs))
    }
}
