//! The folders of an account by path and by id.

use std::collections::{BTreeMap, BTreeSet};

use super::folder::Folder;
use super::{EmailId, FolderId, FolderInfo, Limits, Message, StoreError};

#[derive(Debug, Default)]
pub(super) struct Tree {
    folders: BTreeMap<FolderId, Folder>,
    /// By path as the rules compare it.
    index: BTreeMap<Vec<String>, FolderId>,
    /// Subscriptions are names, with or without a folder (RFC 3501 section 6.3.6).
    subscribed: BTreeSet<Vec<String>>,
    pub(super) limits: Limits,
    last_id: u64,
    last_uid_validity: u32,
}

impl Tree {
    pub(super) fn new(limits: Limits) -> Self {
        let mut tree = Self {
            limits,
            last_uid_validity: 1_000_000,
            ..Self::default()
        };
        tree.insert(vec![INBOX.to_owned()]);
        tree
    }

    fn key(&self, path: &[String]) -> Vec<String> {
        let mut key = canonical(path);
        if self.limits.case_insensitive_names {
            for part in &mut key {
                *part = part.to_lowercase();
            }
        }
        key
    }

    /// Changes the rules; how names compare may be among them.
    pub(super) fn configure(&mut self, change: impl FnOnce(&mut Limits)) {
        change(&mut self.limits);
        self.index = self
            .folders
            .values()
            .map(|f| (self.key(&f.path), f.id))
            .collect();
    }

    pub(super) fn find(&self, path: &[String]) -> Option<FolderId> {
        self.index.get(&self.key(path)).copied()
    }

    pub(super) fn folder(&self, id: FolderId) -> Result<&Folder, StoreError> {
        self.folders.get(&id).ok_or(StoreError::NoSuchFolder)
    }

    pub(super) fn folder_mut(&mut self, id: FolderId) -> Result<&mut Folder, StoreError> {
        self.folders.get_mut(&id).ok_or(StoreError::NoSuchFolder)
    }

    /// The folder, if it accepts changes.
    pub(super) fn writable(&mut self, id: FolderId) -> Result<&mut Folder, StoreError> {
        let folder = self.folder_mut(id)?;
        if folder.read_only {
            return Err(StoreError::ReadOnly);
        }
        Ok(folder)
    }

    pub(super) fn folders(&self) -> impl Iterator<Item = &Folder> {
        self.folders.values()
    }

    pub(super) fn info(&self, folder: &Folder) -> FolderInfo {
        folder.info(self.subscribed.contains(&self.key(&folder.path)))
    }

    pub(super) fn subscriptions(&self) -> Vec<Vec<String>> {
        let spelled = |key: &Vec<String>| match self.index.get(key) {
            Some(id) => self
                .folders
                .get(id)
                .map_or_else(|| key.clone(), |f| f.path.clone()),
            None => key.clone(),
        };
        self.subscribed.iter().map(spelled).collect()
    }

    pub(super) fn subscribe(&mut self, path: &[String], on: bool) {
        let key = self.key(path);
        if on {
            self.subscribed.insert(key);
        } else {
            self.subscribed.remove(&key);
        }
    }

    pub(super) fn next_uid_validity(&mut self) -> u32 {
        self.last_uid_validity += 1;
        self.last_uid_validity
    }

    pub(super) fn next_email_id(&mut self) -> EmailId {
        EmailId(self.next_id())
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn insert(&mut self, path: Vec<String>) -> FolderId {
        let id = FolderId(self.next_id());
        let uid_validity = self.next_uid_validity();
        self.index.insert(self.key(&path), id);
        self.folders.insert(id, Folder::new(id, path, uid_validity));
        id
    }

    pub(super) fn create(
        &mut self,
        path: &[String],
        special_use: &[String],
    ) -> Result<FolderId, StoreError> {
        let path = canonical(path);
        self.limits.check_path(&path)?;
        if self.find(&path).is_some() {
            return Err(StoreError::AlreadyExists);
        }
        self.ensure_parents(&path);
        let id = self.insert(path);
        self.folder_mut(id)?.special_use = special_use.to_vec();
        Ok(id)
    }

    pub(super) fn delete(&mut self, path: &[String]) -> Result<(), StoreError> {
        let key = self.key(path);
        let id = self
            .index
            .get(&key)
            .copied()
            .ok_or(StoreError::NoSuchFolder)?;
        if is_inbox(&canonical(path)) {
            return Err(StoreError::InboxIsFixed);
        }
        self.writable(id)?;
        self.index.remove(&key);
        self.folders.remove(&id);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &[String], to: &[String]) -> Result<(), StoreError> {
        let (from, to) = (canonical(from), canonical(to));
        self.limits.check_path(&to)?;
        if is_inbox(&from) {
            return self.rename_inbox(&to);
        }
        let old = self.key(&from);
        let moved: Vec<FolderId> = self
            .index
            .iter()
            .filter(|(key, _)| key.starts_with(&old))
            .map(|(_, id)| *id)
            .collect();
        if moved.is_empty() {
            return Err(StoreError::NoSuchFolder);
        }
        let new = self.key(&to);
        if new.len() > old.len() && new.starts_with(&old) {
            return Err(StoreError::InvalidName("it is below itself"));
        }
        let mut paths = Vec::with_capacity(moved.len());
        for id in &moved {
            let tail = self
                .folder(*id)?
                .path
                .get(from.len()..)
                .unwrap_or_default()
                .to_vec();
            let path: Vec<String> = to.iter().cloned().chain(tail).collect();
            // A change of case alone is a rename onto itself.
            if self
                .find(&path)
                .is_some_and(|taken| !moved.contains(&taken))
                || path == from
            {
                return Err(StoreError::AlreadyExists);
            }
            paths.push(path);
        }
        self.index.retain(|key, _| !key.starts_with(&old));
        for (id, path) in moved.into_iter().zip(paths) {
            self.index.insert(self.key(&path), id);
            self.folder_mut(id)?.path = path;
        }
        self.ensure_parents(&to);
        Ok(())
    }

    fn ensure_parents(&mut self, path: &[String]) {
        if !self.limits.create_parents {
            return;
        }
        for depth in 1..path.len() {
            let parent = path.get(..depth).unwrap_or_default();
            if self.find(parent).is_none() {
                self.insert(parent.to_vec());
            }
        }
    }

    /// INBOX stays; what it holds moves to a new folder (RFC 3501 section 6.3.5).
    fn rename_inbox(&mut self, to: &[String]) -> Result<(), StoreError> {
        let inbox = self
            .find(&[INBOX.to_owned()])
            .ok_or(StoreError::NoSuchFolder)?;
        let target = self.create(to, &[])?;
        let uids = self.folder(inbox)?.uids();
        let messages = self.folder_mut(inbox)?.expunge(&uids, false);
        self.deliver(target, messages)?;
        Ok(())
    }

    /// Adds messages that another folder held; flags and identity stay.
    pub(super) fn deliver(
        &mut self,
        target: FolderId,
        messages: Vec<Message>,
    ) -> Result<Vec<u32>, StoreError> {
        let folder = self.folder_mut(target)?;
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let modseq = folder.next_modseq();
        let push = |m: Message| folder.push(modseq, m.email_id, m.flags, m.date, m.body);
        Ok(messages.into_iter().map(push).collect())
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.folders.values().map(Folder::size).sum()
    }

    pub(super) fn used_messages(&self) -> u64 {
        self.folders
            .values()
            .map(|f| f.messages().len() as u64)
            .sum()
    }

    pub(super) fn check_quota(&self, messages: u64, bytes: u64) -> Result<(), StoreError> {
        let over = |limit: Option<u64>, used: &dyn Fn() -> u64, more: u64| {
            limit.is_some_and(|limit| used().saturating_add(more) > limit)
        };
        if over(self.limits.quota_bytes, &|| self.used_bytes(), bytes)
            || over(
                self.limits.quota_messages,
                &|| self.used_messages(),
                messages,
            )
        {
            return Err(StoreError::OverQuota);
        }
        Ok(())
    }
}

const INBOX: &str = "INBOX";

fn is_inbox(path: &[String]) -> bool {
    matches!(path, [only] if only == INBOX)
}

/// INBOX in any spelling is one folder (RFC 3501 section 5.1).
fn canonical(path: &[String]) -> Vec<String> {
    let mut path = path.to_vec();
    if let Some(first) = path.first_mut()
        && first.eq_ignore_ascii_case(INBOX)
    {
        INBOX.clone_into(first);
    }
    path
}
