//! What the destination has, and how it spells it.

use std::collections::{HashMap, HashSet};

use super::{
    fit::{Fitter, Key},
    roles,
};
use crate::model::{Folder, FolderPath, Namespace, Role};

/// What is known of the destination.
pub(super) struct There<'a> {
    pub(super) fitter: Fitter<'a>,
    pub(super) exact: HashSet<&'a FolderPath>,
    spelling: HashMap<Key, FolderPath>,
    pub(super) roles: HashMap<Role, Vec<&'a FolderPath>>,
    pub(super) inbox: FolderPath,
    /// Places where nothing may be put by its name.
    pub(super) blocked: HashSet<Key>,
}

impl<'a> There<'a> {
    pub(super) fn new(folders: &'a [Folder], fitter: Fitter<'a>) -> Self {
        let roles = roles::by_role(folders);
        let is_inbox = |folder: &&Folder| folder.path.is_inbox();
        let inbox = folders.iter().find(is_inbox).map(|folder| &folder.path);
        let inbox = inbox.or_else(|| roles.get(&Role::Inbox)?.first().copied());
        let mut out = Self {
            exact: folders.iter().map(|folder| &folder.path).collect(),
            spelling: HashMap::new(),
            inbox: inbox.cloned().unwrap_or_else(FolderPath::inbox),
            roles,
            // Only the inbox goes to the inbox.
            blocked: HashSet::from([fitter.key(FolderPath::inbox().names())]),
            fitter,
        };
        for folder in folders {
            out.learn(folder.path.names());
        }
        for folder in folders {
            // A folder may be listed without those that hold it.
            for level in 1..folder.path.names().len() {
                out.learn(&folder.path.names()[..level]);
            }
        }
        out.block(folders);
        out
    }

    fn learn(&mut self, names: &[String]) {
        let path = || FolderPath::new(names.to_vec());
        let key = self.fitter.key(names);
        self.spelling.entry(key).or_insert_with(path);
    }

    /// Views take no mail, and what is not the user's own is not the place for their mail.
    fn block(&mut self, folders: &[Folder]) {
        let personal = |folder: &&Folder| folder.namespace == Namespace::Personal;
        let keys = folders.iter().filter(personal);
        let own: HashSet<_> = keys
            .map(|folder| self.fitter.key(folder.path.names()))
            .collect();
        for folder in folders {
            let key = self.fitter.key(folder.path.names());
            if !personal(&folder) {
                let levels = (1..=key.len()).map(|level| key[..level].to_vec());
                self.blocked.extend(levels.filter(|key| !own.contains(key)));
            } else if folder.role.is_some_and(Role::is_view) {
                self.blocked.insert(key);
            }
        }
    }

    /// The path as the destination spells it, if it has it.
    pub(super) fn spelled(&self, path: FolderPath) -> FolderPath {
        if self.exact.contains(&path) {
            return path;
        }
        let known = self.spelling.get(&self.fitter.key(path.names()));
        known.cloned().unwrap_or(path)
    }

    /// A path that the user wrote, made to fit.
    pub(super) fn fitted(&self, path: &FolderPath) -> FolderPath {
        if self.exact.contains(path) {
            return path.clone();
        }
        let mut out = FolderPath::new(Vec::<String>::new());
        for name in path.names() {
            out = self.spelled(self.fitter.within(&out, name, 1, &path.escaped()));
        }
        out
    }

    /// The only folder of that role.
    pub(super) fn only(&self, role: Role) -> Option<&'a FolderPath> {
        match self.roles.get(&role)?.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}
