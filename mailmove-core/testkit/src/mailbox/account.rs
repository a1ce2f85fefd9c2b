//! Operations on one account.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::clock::Clock;
use super::tree::Tree;
use super::{
    Appended, Changes, Copied, FlagOp, FolderId, FolderInfo, FolderSnapshot, FolderStatus,
    InternalDate, Limits, Message, MessageSnapshot, NewMessage, Snapshot, StoreError, Stored,
};

/// The folders of one user. Clones share them; every operation is atomic.
#[derive(Debug, Clone)]
pub struct Account {
    user: Arc<str>,
    tree: Arc<Mutex<Tree>>,
    changes: watch::Sender<u64>,
    clock: Clock,
}

impl Account {
    pub(super) fn new(user: &str, limits: Limits, clock: Clock) -> Self {
        Self {
            user: user.into(),
            tree: Arc::new(Mutex::new(Tree::new(limits))),
            changes: watch::Sender::new(0),
            clock,
        }
    }

    fn read(&self) -> MutexGuard<'_, Tree> {
        // No operation leaves the tree half changed, so a panic elsewhere doesn't spoil it.
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(
        &self,
        operation: impl FnOnce(&mut Tree) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let result = operation(&mut self.read());
        if result.is_ok() {
            self.changes.send_modify(|count| *count += 1);
        }
        result
    }

    /// Name of the user.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// A counter that moves with every successful change, for IDLE.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The rules in force.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.read().limits.clone()
    }

    /// Changes the rules.
    pub fn configure(&self, change: impl FnOnce(&mut Limits)) {
        self.read().configure(change);
    }

    /// All folders, sorted by path.
    #[must_use]
    pub fn folders(&self) -> Vec<FolderInfo> {
        let tree = self.read();
        let mut folders: Vec<_> = tree.folders().map(|f| tree.info(f)).collect();
        folders.sort_by(|a, b| a.path.cmp(&b.path));
        folders
    }

    /// The folder with this path.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`].
    pub fn folder<S: AsRef<str>>(&self, path: &[S]) -> Result<FolderInfo, StoreError> {
        let tree = self.read();
        let id = tree.find(&owned(path)).ok_or(StoreError::NoSuchFolder)?;
        Ok(tree.info(tree.folder(id)?))
    }

    /// The folder with this id.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`].
    pub fn folder_by_id(&self, id: FolderId) -> Result<FolderInfo, StoreError> {
        let tree = self.read();
        Ok(tree.info(tree.folder(id)?))
    }

    /// Counts of a folder; walks its messages.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`].
    pub fn status(&self, id: FolderId) -> Result<FolderStatus, StoreError> {
        Ok(self.read().folder(id)?.status())
    }

    /// Creates a folder and, unless the rules say otherwise, its missing parents.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], [`StoreError::InvalidName`].
    pub fn create<S: AsRef<str>>(&self, path: &[S]) -> Result<FolderId, StoreError> {
        self.change(|tree| tree.create(&owned(path), &[]))
    }

    /// Creates a folder with special-use attributes such as `\Sent` (RFC 6154).
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_special<S: AsRef<str>>(
        &self,
        path: &[S],
        special_use: &[S],
    ) -> Result<FolderId, StoreError> {
        self.change(|tree| tree.create(&owned(path), &owned(special_use)))
    }

    /// Deletes a folder with its messages; folders below it stay.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`], [`StoreError::InboxIsFixed`], [`StoreError::ReadOnly`].
    pub fn delete<S: AsRef<str>>(&self, path: &[S]) -> Result<(), StoreError> {
        self.change(|tree| tree.delete(&owned(path)))
    }

    /// Renames a folder and those below it; renaming INBOX moves its messages to a new folder.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`], [`StoreError::AlreadyExists`], [`StoreError::InvalidName`].
    pub fn rename<S: AsRef<str>>(&self, from: &[S], to: &[S]) -> Result<(), StoreError> {
        self.change(|tree| tree.rename(&owned(from), &owned(to)))
    }

    /// Subscribes or unsubscribes a name, whether such a folder exists or not.
    pub fn subscribe<S: AsRef<str>>(&self, path: &[S], on: bool) {
        self.read().subscribe(&owned(path), on);
        self.changes.send_modify(|count| *count += 1);
    }

    /// All subscribed names, sorted.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<Vec<String>> {
        self.read().subscriptions()
    }

    /// Sets the special-use attributes of a folder.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`].
    pub fn set_special_use<S: AsRef<str>>(
        &self,
        id: FolderId,
        special_use: &[S],
    ) -> Result<(), StoreError> {
        self.change(|tree| {
            tree.folder_mut(id)?.special_use = owned(special_use);
            Ok(())
        })
    }

    /// Makes a folder refuse changes, or accept them again.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`].
    pub fn set_read_only(&self, id: FolderId, on: bool) -> Result<(), StoreError> {
        self.change(|tree| {
            tree.folder_mut(id)?.read_only = on;
            Ok(())
        })
    }

    /// Gives a folder a new UIDVALIDITY and its messages new UIDs; returns the new UIDVALIDITY.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`].
    pub fn bump_uidvalidity(&self, id: FolderId) -> Result<u32, StoreError> {
        self.change(|tree| {
            let uid_validity = tree.next_uid_validity();
            tree.folder_mut(id)?.renumber(uid_validity);
            Ok(uid_validity)
        })
    }

    /// Sets the UIDVALIDITY alone, to build what a careless server does: the same number for a
    /// different folder.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`].
    pub fn force_uidvalidity(&self, id: FolderId, uid_validity: u32) -> Result<(), StoreError> {
        self.change(|tree| {
            tree.folder_mut(id)?.uid_validity = uid_validity;
            Ok(())
        })
    }

    /// Moves the UID counter on to `next`; a lower number changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`].
    pub fn skip_uids(&self, id: FolderId, next: u32) -> Result<(), StoreError> {
        self.change(|tree| {
            tree.folder_mut(id)?.skip_uids(next);
            Ok(())
        })
    }

    /// Puts other bytes, and another date if one is given, in the place of a message, without a trace:
    /// what a broken disk does, or a server that was set back and gives its numbers anew.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`]. A message that is not there stays so.
    pub fn damage(
        &self,
        id: FolderId,
        uid: u32,
        body: impl Into<bytes::Bytes>,
        date: Option<InternalDate>,
    ) -> Result<(), StoreError> {
        let body = body.into();
        self.change(|tree| {
            tree.folder_mut(id)?.damage(uid, body, date);
            Ok(())
        })
    }

    /// Whether these messages would be accepted, without storing them.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn check_append(&self, id: FolderId, messages: &[NewMessage]) -> Result<(), StoreError> {
        check_append(&mut self.read(), id, messages).map(|_| ())
    }

    /// Appends messages, all or none.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`], [`StoreError::ReadOnly`], [`StoreError::TooBig`],
    /// [`StoreError::BadContent`], [`StoreError::BadFlag`], [`StoreError::OverQuota`].
    pub fn append(&self, id: FolderId, messages: Vec<NewMessage>) -> Result<Appended, StoreError> {
        let now = self.clock.now();
        self.change(|tree| {
            let flags = check_append(tree, id, &messages)?;
            let ids: Vec<_> = messages.iter().map(|_| tree.next_email_id()).collect();
            let folder = tree.folder_mut(id)?;
            let modseq = folder.next_modseq();
            let uids = messages
                .into_iter()
                .zip(flags)
                .zip(ids)
                .map(|((m, flags), email)| {
                    folder.push(modseq, email, flags, m.date.unwrap_or(now), m.body)
                })
                .collect();
            Ok(Appended {
                uid_validity: folder.uid_validity,
                uids,
            })
        })
    }

    /// All messages of a folder, by UID. Bodies are shared, not copied.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`].
    pub fn messages(&self, id: FolderId) -> Result<Vec<Message>, StoreError> {
        Ok(self.read().folder(id)?.messages().to_vec())
    }

    /// The UIDs of a folder, ascending.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`].
    pub fn uids(&self, id: FolderId) -> Result<Vec<u32>, StoreError> {
        Ok(self.read().folder(id)?.uids())
    }

    /// Those messages of `uids` that exist, in the order asked.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`].
    pub fn fetch(&self, id: FolderId, uids: &[u32]) -> Result<Vec<Message>, StoreError> {
        Ok(self.read().folder(id)?.select(uids))
    }

    /// What happened in a folder after modification sequence `since`.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`].
    pub fn changes(&self, id: FolderId, since: u64) -> Result<Changes, StoreError> {
        Ok(self.read().folder(id)?.changes(since))
    }

    /// UIDs removed after modification sequence `since`, ascending (RFC 7162 VANISHED).
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`].
    pub fn vanished(&self, id: FolderId, since: u64) -> Result<Vec<u32>, StoreError> {
        Ok(self.read().folder(id)?.vanished(since))
    }

    /// The first UID no session was told of as recent; with `claim`, there is none afterwards.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`].
    pub fn recent(&self, id: FolderId, claim: bool) -> Result<u32, StoreError> {
        let mut tree = self.read();
        let folder = tree.folder_mut(id)?;
        Ok(if claim {
            folder.claim_recent()
        } else {
            folder.first_recent()
        })
    }

    /// Changes flags of those messages of `uids` that exist; with `unchanged_since` only of those
    /// that didn't change after that modification sequence.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`], [`StoreError::ReadOnly`], [`StoreError::BadFlag`].
    pub fn store<S: AsRef<str>>(
        &self,
        id: FolderId,
        uids: &[u32],
        op: FlagOp,
        flags: &[S],
        unchanged_since: Option<u64>,
    ) -> Result<Stored, StoreError> {
        self.change(|tree| {
            let flags = tree.limits.keywords.admit(flags)?;
            Ok(tree.writable(id)?.store(uids, op, &flags, unchanged_since))
        })
    }

    /// Copies those messages of `uids` that exist, all or none, in the order of `uids`.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`], [`StoreError::ReadOnly`], [`StoreError::OverQuota`].
    pub fn copy(&self, from: FolderId, uids: &[u32], to: FolderId) -> Result<Copied, StoreError> {
        self.change(|tree| {
            let messages = tree.folder(from)?.select(uids);
            let bytes = messages.iter().map(|m| m.body.len() as u64).sum();
            tree.writable(to)?;
            tree.check_quota(messages.len() as u64, bytes)?;
            transfer(tree, messages, to)
        })
    }

    /// Moves those messages of `uids` that exist, all or none, in the order of `uids`.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`], [`StoreError::ReadOnly`].
    pub fn move_messages(
        &self,
        from: FolderId,
        uids: &[u32],
        to: FolderId,
    ) -> Result<Copied, StoreError> {
        self.change(|tree| {
            tree.writable(to)?;
            let source = tree.writable(from)?;
            let messages = source.select(uids);
            source.expunge(uids, false);
            transfer(tree, messages, to)
        })
    }

    /// Removes messages with `\Deleted`: all of them, or those of `uids`. Returns their UIDs.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`], [`StoreError::ReadOnly`].
    pub fn expunge(&self, id: FolderId, uids: Option<&[u32]>) -> Result<Vec<u32>, StoreError> {
        self.change(|tree| {
            let folder = tree.writable(id)?;
            let all = if uids.is_none() {
                folder.uids()
            } else {
                Vec::new()
            };
            Ok(numbers(&folder.expunge(uids.unwrap_or(&all), true)))
        })
    }

    /// Removes those messages of `uids` that exist, whatever their flags, even in a read-only
    /// folder. Returns their UIDs.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFolder`].
    pub fn remove(&self, id: FolderId, uids: &[u32]) -> Result<Vec<u32>, StoreError> {
        self.change(|tree| Ok(numbers(&tree.folder_mut(id)?.expunge(uids, false))))
    }

    /// Bytes of all messages in all folders.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.read().used_bytes()
    }

    /// Messages in all folders.
    #[must_use]
    pub fn used_messages(&self) -> u64 {
        self.read().used_messages()
    }

    /// What a test compares: folders and messages without UIDs and order.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let tree = self.read();
        let mut snapshot = Snapshot::default();
        for folder in tree.folders() {
            let info = tree.info(folder);
            let mut special_use = info.special_use;
            special_use.sort();
            let mut messages: Vec<_> = folder
                .messages()
                .iter()
                .map(|m| MessageSnapshot::new(m.body.clone(), m.flags.clone(), m.date))
                .collect();
            messages.sort();
            let content = FolderSnapshot {
                special_use,
                subscribed: info.subscribed,
                messages,
            };
            snapshot.folders.insert(info.path, content);
        }
        snapshot
    }
}

fn owned<S: AsRef<str>>(parts: &[S]) -> Vec<String> {
    parts.iter().map(|part| part.as_ref().to_owned()).collect()
}

fn numbers(messages: &[Message]) -> Vec<u32> {
    messages.iter().map(|m| m.uid).collect()
}

/// Everything that could refuse the append; the flags as they'll be stored.
fn check_append(
    tree: &mut Tree,
    id: FolderId,
    messages: &[NewMessage],
) -> Result<Vec<super::Flags>, StoreError> {
    if !tree.writable(id)?.has_room(messages.len()) {
        return Err(StoreError::OverQuota);
    }
    let mut bytes = 0_u64;
    for message in messages {
        tree.limits.check_body(&message.body)?;
        bytes += message.body.len() as u64;
    }
    tree.check_quota(messages.len() as u64, bytes)?;
    messages
        .iter()
        .map(|m| tree.limits.keywords.admit(&m.flags))
        .collect()
}

fn transfer(tree: &mut Tree, messages: Vec<Message>, to: FolderId) -> Result<Copied, StoreError> {
    let from = numbers(&messages);
    let uids = tree.deliver(to, messages)?;
    Ok(Copied {
        uid_validity: tree.folder(to)?.uid_validity,
        uids: from.into_iter().zip(uids).collect(),
    })
}
