//! What Exchange keeps of a mailbox beyond the model: classes, roles, properties.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mailmove_testkit::mailbox::{Account, EmailId, FolderId, FolderInfo, Message, Store};

use crate::props::Props;

/// What the default folders are called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Language {
    /// Inbox, Sent Items, …
    #[default]
    English,
    /// Posteingang, Gesendete Elemente, …
    German,
}

/// A folder's properties.
#[derive(Debug, Clone, Default)]
pub struct FolderExtra {
    /// `IPF.Note` if absent.
    pub class: Option<String>,
    /// Tells no class at all.
    pub classless: bool,
    /// Distinguished id.
    pub role: Option<&'static str>,
    /// Shown only to who asks for hidden ones.
    pub hidden: bool,
    /// A search, which holds nothing itself.
    pub search: bool,
}

/// What is kept of one mailbox.
#[derive(Debug, Default)]
pub struct Extra {
    /// An entry for those that have one.
    pub folders: HashMap<FolderId, FolderExtra>,
    /// By place; an item without an entry has those of its content.
    pub items: HashMap<(FolderId, u32), Props>,
    /// By content, for copies that the model made.
    pub contents: HashMap<EmailId, Props>,
    /// States that syncs have told: modification sequence, and a digest of all but the read flag.
    pub told: HashMap<(FolderId, u32), Vec<(u64, u64)>>,
}

impl Extra {
    /// The properties of an item.
    #[must_use]
    pub fn props(&self, folder: FolderId, message: &Message) -> Props {
        self.items
            .get(&(folder, message.uid))
            .or_else(|| self.contents.get(&message.email_id))
            .cloned()
            .unwrap_or_default()
    }
}

/// A mailbox as operations see it.
#[derive(Debug, Clone)]
pub struct Mailbox {
    /// The model's.
    pub account: Account,
    extra: Arc<Mutex<Extra>>,
    /// What the inbox is called.
    pub inbox_name: &'static str,
}

impl Mailbox {
    /// What is kept beside the model, locked.
    #[must_use]
    pub fn extra(&self) -> MutexGuard<'_, Extra> {
        self.extra.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a folder is called.
    #[must_use]
    pub fn display_name(&self, info: &FolderInfo) -> String {
        match info.path.as_slice() {
            [only] if only.eq_ignore_ascii_case("INBOX") => self.inbox_name.to_owned(),
            path => path.last().cloned().unwrap_or_default(),
        }
    }

    /// The component of a path that a name below this folder stands for.
    #[must_use]
    pub fn component(&self, parent: &[String], name: &str) -> String {
        match parent.is_empty() && name.eq_ignore_ascii_case(self.inbox_name) {
            true => "INBOX".to_owned(),
            false => name.to_owned(),
        }
    }

    /// The folder with this distinguished id.
    #[must_use]
    pub fn distinguished(&self, name: &str) -> Option<FolderId> {
        let use_of = |attribute: &str| {
            let all = self.account.folders();
            let mut all = all.into_iter();
            all.find(|f| f.special_use.iter().any(|have| have == attribute))
                .map(|f| f.id)
        };
        match name {
            "inbox" => self.account.folder(&["INBOX"]).ok().map(|f| f.id),
            "sentitems" => use_of("\\Sent"),
            "drafts" => use_of("\\Drafts"),
            "deleteditems" => use_of("\\Trash"),
            "junkemail" => use_of("\\Junk"),
            "archive" => use_of("\\Archive"),
            _ => {
                let extra = self.extra();
                let mut all = extra.folders.iter();
                let id = all.find(|(_, f)| f.role == Some(name)).map(|(id, _)| *id)?;
                drop(extra);
                self.account.folder_by_id(id).ok().map(|f| f.id)
            }
        }
    }

    /// The class of a folder.
    #[must_use]
    pub fn class(&self, id: FolderId) -> Option<String> {
        let extra = self.extra();
        let Some(folder) = extra.folders.get(&id) else {
            return Some("IPF.Note".to_owned());
        };
        match folder.classless {
            true => None,
            false => Some(
                folder
                    .class
                    .clone()
                    .unwrap_or_else(|| "IPF.Note".to_owned()),
            ),
        }
    }
}

/// The mailboxes by name of the account.
#[derive(Debug)]
pub struct Mailboxes {
    extras: Mutex<BTreeMap<String, Arc<Mutex<Extra>>>>,
    inbox_name: &'static str,
}

/// Distinguished id, special use, class, English and German name.
const DEFAULT_FOLDERS: [(&str, &str, &str, &str, &str); 10] = [
    ("drafts", "\\Drafts", "IPF.Note", "Drafts", "Entwürfe"),
    (
        "sentitems",
        "\\Sent",
        "IPF.Note",
        "Sent Items",
        "Gesendete Elemente",
    ),
    (
        "deleteditems",
        "\\Trash",
        "IPF.Note",
        "Deleted Items",
        "Gelöschte Elemente",
    ),
    (
        "junkemail",
        "\\Junk",
        "IPF.Note",
        "Junk Email",
        "Junk-E-Mail",
    ),
    ("outbox", "", "IPF.Note", "Outbox", "Postausgang"),
    ("calendar", "", "IPF.Appointment", "Calendar", "Kalender"),
    ("contacts", "", "IPF.Contact", "Contacts", "Kontakte"),
    ("tasks", "", "IPF.Task", "Tasks", "Aufgaben"),
    ("notes", "", "IPF.StickyNote", "Notes", "Notizen"),
    ("journal", "", "IPF.Journal", "Journal", "Journal"),
];

const HIDDEN: &str = "Conversation Action Settings";

impl Mailboxes {
    /// Those of a store, with the default folders if asked for.
    #[must_use]
    pub fn new(store: &Store, language: Language, furnished: bool) -> Self {
        let german = language == Language::German;
        let mailboxes = Self {
            extras: Mutex::default(),
            inbox_name: if german { "Posteingang" } else { "Inbox" },
        };
        for user in store.users() {
            if furnished && let Some(mailbox) = mailboxes.open(store, &user) {
                furnish(&mailbox, german);
            }
        }
        mailboxes
    }

    /// The mailbox of this name.
    #[must_use]
    pub fn open(&self, store: &Store, name: &str) -> Option<Mailbox> {
        let account = store.account(name)?;
        let mut extras = self.extras.lock().unwrap_or_else(PoisonError::into_inner);
        let extra = extras.entry(name.to_owned()).or_default();
        Some(Mailbox {
            account,
            extra: Arc::clone(extra),
            inbox_name: self.inbox_name,
        })
    }

    /// Changes what is kept of a folder.
    pub fn change(
        &self,
        store: &Store,
        user: &str,
        path: &[&str],
        how: impl FnOnce(&mut FolderExtra),
    ) {
        if let Some(mailbox) = self.open(store, user)
            && let Ok(folder) = mailbox.account.folder(path)
        {
            how(mailbox.extra().folders.entry(folder.id).or_default());
        }
    }

    /// Sets a folder's class; `None` for one that tells none.
    pub fn set_class(&self, store: &Store, user: &str, path: &[&str], class: Option<&str>) {
        self.change(store, user, path, |folder| {
            folder.class = class.map(str::to_owned);
            folder.classless = class.is_none();
        });
    }

    /// Hides a folder.
    pub fn hide(&self, store: &Store, user: &str, path: &[&str]) {
        self.change(store, user, path, |folder| folder.hidden = true);
    }
}

/// Makes the default folders that aren't there.
fn furnish(mailbox: &Mailbox, german: bool) {
    for (role, special_use, class, english, other) in DEFAULT_FOLDERS {
        let name = if german { other } else { english };
        let id = match mailbox.distinguished(role) {
            Some(id) => Ok(id),
            None if special_use.is_empty() => mailbox.account.create(&[name]),
            None => mailbox.account.create_special(&[name], &[special_use]),
        };
        if let Ok(id) = id {
            let mut extra = mailbox.extra();
            let folder = extra.folders.entry(id).or_default();
            folder.class = Some(class.to_owned());
            folder.role = Some(role);
        }
    }
    if let Ok(id) = mailbox.account.create(&[HIDDEN]) {
        let mut extra = mailbox.extra();
        let folder = extra.folders.entry(id).or_default();
        folder.class = Some("IPF.Configuration".to_owned());
        folder.hidden = true;
    }
}
