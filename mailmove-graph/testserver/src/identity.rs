//! Ids: those that change when an item moves, and those that don't.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mailmove_testkit::mailbox::{EmailId, FolderId, FolderInfo, Message};
use mailmove_testkit_exchange::ids;
use mailmove_testkit_exchange::mailbox::Mailbox;

/// Where an item is or was.
type Spot = (FolderId, u32, u32);

/// The numbers of one mailbox.
#[derive(Debug, Default)]
struct Numbers {
    /// Also of places where an item was, so that its going can be told.
    spots: HashMap<Spot, u64>,
    /// Where it was last.
    items: HashMap<u64, (Spot, EmailId)>,
    contents: HashMap<EmailId, Vec<u64>>,
}

/// What immutable ids stand for.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    users: Mutex<BTreeMap<String, Numbers>>,
    url_safe: bool,
}

fn is_there(mailbox: &Mailbox, spot: Spot) -> Option<Message> {
    let folder = mailbox.account.folder_by_id(spot.0).ok()?;
    if folder.uid_validity != spot.1 {
        return None;
    }
    mailbox.account.fetch(spot.0, &[spot.2]).ok()?.pop()
}

/// An id as it was made, whichever of the two alphabets it came in (RFC 4648 sections 4 and 5).
pub(crate) fn made(id: &str) -> String {
    id.replace('-', "+").replace('_', "/")
}

impl Identities {
    pub(crate) fn new(url_safe: bool) -> Self {
        Self {
            users: Mutex::default(),
            url_safe,
        }
    }

    /// An id as it is shown.
    pub(crate) fn shown(&self, id: String) -> String {
        match self.url_safe {
            true => id.replace('+', "-").replace('/', "_"),
            false => id,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Numbers>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of an item. One that moved behind our back keeps its own.
    fn number(&self, mailbox: &Mailbox, folder: &FolderInfo, message: &Message) -> u64 {
        let spot = (folder.id, folder.uid_validity, message.uid);
        let mut users = self.lock();
        let numbers = users.entry(mailbox.account.user().to_owned()).or_default();
        if let Some(number) = numbers.spots.get(&spot) {
            return *number;
        }
        let known = numbers.contents.get(&message.email_id);
        let moved = known.into_iter().flatten().copied().find(|number| {
            let last = numbers.items.get(number);
            last.is_some_and(|(last, _)| is_there(mailbox, *last).is_none())
        });
        let number = moved.unwrap_or(numbers.items.len() as u64 + 1);
        if moved.is_none() {
            let all = numbers.contents.entry(message.email_id).or_default();
            all.push(number);
        }
        numbers.spots.insert(spot, number);
        numbers.items.insert(number, (spot, message.email_id));
        number
    }

    /// The id of an item, of one kind or the other.
    pub(crate) fn id(
        &self,
        mailbox: &Mailbox,
        folder: &FolderInfo,
        message: &Message,
        immutable: bool,
    ) -> String {
        match immutable {
            true => self.immutable(mailbox, self.number(mailbox, folder, message)),
            false => self.shown(ids::item_id(
                &mailbox.account,
                folder.id,
                folder.uid_validity,
                message.uid,
            )),
        }
    }

    fn immutable(&self, mailbox: &Mailbox, number: u64) -> String {
        let text = format!("J\n{}\n{number}\n", mailbox.account.user());
        self.shown(ids::opaque(&text))
    }

    /// The id of an item that is gone; `None` if nobody was ever told an immutable one.
    pub(crate) fn gone(
        &self,
        mailbox: &Mailbox,
        folder: &FolderInfo,
        uid: u32,
        immutable: bool,
    ) -> Option<String> {
        if !immutable {
            return Some(self.shown(ids::item_id(
                &mailbox.account,
                folder.id,
                folder.uid_validity,
                uid,
            )));
        }
        let users = self.lock();
        let numbers = users.get(mailbox.account.user())?;
        let number = *numbers.spots.get(&(folder.id, folder.uid_validity, uid))?;
        drop(users);
        Some(self.immutable(mailbox, number))
    }

    /// An item moved from one place to another.
    pub(crate) fn moved(
        &self,
        mailbox: &Mailbox,
        (from, old): (&FolderInfo, &Message),
        (to, new): (&FolderInfo, &Message),
    ) {
        let number = self.number(mailbox, from, old);
        let spot = (to.id, to.uid_validity, new.uid);
        let mut users = self.lock();
        if let Some(numbers) = users.get_mut(mailbox.account.user()) {
            numbers.spots.insert(spot, number);
            numbers.items.insert(number, (spot, new.email_id));
        }
    }

    /// What an immutable id stands for now.
    fn resolve(&self, mailbox: &Mailbox, number: u64) -> Option<(FolderInfo, Message)> {
        let (spot, content) = {
            let users = self.lock();
            *users.get(mailbox.account.user())?.items.get(&number)?
        };
        if let Some(message) = is_there(mailbox, spot) {
            return Some((mailbox.account.folder_by_id(spot.0).ok()?, message));
        }
        // It may have moved behind our back.
        for folder in mailbox.account.folders() {
            let messages = mailbox.account.messages(folder.id).ok()?;
            for message in messages.into_iter().filter(|m| m.email_id == content) {
                if self.number(mailbox, &folder, &message) == number {
                    return Some((folder, message));
                }
            }
        }
        None
    }

    /// What an id of an item stands for: nothing if it is gone.
    ///
    /// The error says that it is no id of this mailbox at all.
    pub(crate) fn find(
        &self,
        mailbox: &Mailbox,
        id: &str,
    ) -> Result<Option<(FolderInfo, Message)>, Unknown> {
        let id = made(id);
        if let Some(text) = ids::unopaque(&id)
            && let Some(rest) = text.strip_prefix("J\n")
        {
            let mut lines = rest.split('\n');
            let (user, number) = (lines.next(), lines.next());
            if user != Some(mailbox.account.user()) {
                return Err(Unknown::Foreign);
            }
            let number = number.and_then(|n| n.parse().ok());
            return Ok(number.and_then(|n| self.resolve(mailbox, n)));
        }
        let Some(ids::Id::Item {
            account,
            folder,
            validity,
            uid,
        }) = ids::parse(&id)
        else {
            return Err(Unknown::NoId);
        };
        if account != mailbox.account.user() {
            return Err(Unknown::Foreign);
        }
        let Some(ids::Place::Folder(folder)) = ids::place(mailbox, &folder) else {
            return Ok(None);
        };
        let message = is_there(mailbox, (folder, validity, uid));
        Ok(message.and_then(|m| Some((mailbox.account.folder_by_id(folder).ok()?, m))))
    }
}

/// Why an id stands for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// It is none.
    NoId,
    /// Of another mailbox.
    Foreign,
}
