//! Making folders.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use mailmove_core::{
    error::{Error, ErrorKind, Result, Scope},
    model::{Folder, FolderId, FolderPath, FolderSpec, Role, Slot},
};

use super::{Inner, inbox};
use crate::{
    error::{self, Doing},
    folders::{self, Listing},
    generate, ids,
    naming::Names,
    pool::Lease,
    session,
    wire::{
        Code, Command, MailboxName, MailboxStatus, Response, SpecialUse, Status, StatusItem,
        StatusKind,
    },
};

type Out = generate::Out<(Slot, Result<Folder>)>;

/// Commands sent ahead of their answers.
const AHEAD: usize = 64;

pub(super) async fn run(inner: &Arc<Inner>, want: Vec<FolderSpec>, out: &Out) {
    let count = want.len();
    match Creating::new(inner, want).await {
        Ok(creating) => {
            let mut creating = creating;
            let failed = creating.work().await.err();
            out.send_all(creating.results(count, failed.as_ref())).await;
        }
        Err(error) => {
            let all = (0..count).map(|index| (Slot::new(index), Err(error::again(&error))));
            out.send_all(all).await;
        }
    }
}

fn was_listed(there: &[FolderPath], path: &FolderPath) -> bool {
    there.contains(&canonical(path))
}

/// One folder that is wanted, perhaps by several slots.
struct Wanted {
    slots: Vec<usize>,
    spec: FolderSpec,
    name: MailboxName,
    /// There, and can hold messages.
    folder: Option<Folder>,
    failed: Option<Error>,
}

/// What a command is about: to make this folder, with that role, or to tell what it is like.
enum Asked {
    Make(usize, Option<Role>),
    Tell(usize),
}

struct Creating {
    inner: Arc<Inner>,
    lease: Lease,
    wanted: Vec<Wanted>,
    separator: Option<u8>,
    /// Folders that are there.
    there: Vec<FolderPath>,
    /// Paths that cannot be written as names.
    impossible: Vec<(usize, Error)>,
}

impl Creating {
    async fn new(inner: &Arc<Inner>, want: Vec<FolderSpec>) -> Result<Self> {
        let mut lease = inner.pool.lease(None).await?;
        // What was made or went since the look shows when these are made.
        let listing = match inner.known.take_listed() {
            Some(listing) => listing,
            None => inbox::list(inner, &mut lease).await?,
        };
        let Listing { folders, names, .. } = listing;
        let there = folders.iter().map(|folder| folder.path.clone()).collect();
        let mut by_path: HashMap<FolderPath, Folder> = folders
            .into_iter()
            .map(|folder| (folder.path.clone(), folder))
            .collect();
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut impossible = Vec::new();
        let mut seen: HashMap<Box<[u8]>, usize> = HashMap::new();
        for (slot, spec) in want.into_iter().enumerate() {
            let there = by_path.get(&canonical(&spec.path));
            let name = match there {
                Some(folder) => session::mailbox(&folder.id),
                None => new_name(&names, &spec.path),
            };
            let name = match name {
                Ok(name) => name,
                Err(error) => {
                    impossible.push((slot, error));
                    continue;
                }
            };
            if let Some(at) = seen.get(&folders::key(name.as_bytes())) {
                if let Some(twin) = wanted.get_mut(*at) {
                    twin.slots.push(slot);
                    twin.spec.subscribe |= spec.subscribe;
                }
                continue;
            }
            seen.insert(folders::key(name.as_bytes()), wanted.len());
            let folder = by_path.remove(&canonical(&spec.path));
            let folder = folder.filter(|folder| folder.selectable);
            wanted.push(Wanted {
                slots: vec![slot],
                spec,
                name,
                folder,
                failed: None,
            });
        }
        Ok(Self {
            inner: Arc::clone(inner),
            lease,
            wanted,
            separator: names.separator(),
            there,
            impossible,
        })
    }

    async fn work(&mut self) -> Result<()> {
        self.create().await?;
        self.subscribe().await?;
        self.describe().await?;
        if self.make_listed().await? {
            self.describe().await?;
        }
        Ok(())
    }

    /// A name that was listed without a word against it need not be a mailbox: Dovecot lists one that
    /// was deleted and has mailboxes below it.
    async fn make_listed(&mut self) -> Result<bool> {
        let gone = self.indices(|one| {
            let failed = one.failed.as_ref().map(Error::kind);
            failed == Some(ErrorKind::NotFound) && was_listed(&self.there, &one.spec.path)
        });
        if gone.is_empty() {
            return Ok(false);
        }
        self.create_these(&gone, false).await?;
        Ok(true)
    }

    /// CREATE for all that are missing, outermost first.
    async fn create(&mut self) -> Result<()> {
        let roles = self.lease.can().has("CREATE-SPECIAL-USE");
        let mut missing: Vec<usize> = self.indices(|one| one.folder.is_none());
        missing.sort_by_key(|index| {
            self.wanted
                .get(*index)
                .map(|one| one.spec.path.names().len())
        });
        let refused = self.create_these(&missing, roles).await?;
        // A role may be refused where the folder itself is not, and a parent may be missing where
        // the server doesn't make it: the second try is without roles and with parents.
        if !refused.is_empty() {
            self.create_parents(&refused).await?;
            let refused = self.create_these(&refused, false).await?;
            debug_assert!(
                refused
                    .iter()
                    .all(|index| self.wanted.get(*index).is_some())
            );
        }
        Ok(())
    }

    /// Creates these; gives those that were refused, with their errors kept. What a new folder is like
    /// is asked in the same flight.
    async fn create_these(&mut self, these: &[usize], roles: bool) -> Result<Vec<usize>> {
        let server = Arc::clone(&self.lease.server);
        let items = folders::items(&server);
        // STATUS of a folder that was not made is one refusal more.
        let ahead = !server.quirks.counts_refusals;
        let mut commands = Vec::new();
        for index in these {
            let Some(one) = self.wanted.get(*index) else {
                continue;
            };
            let role = one.spec.role.filter(|_| roles).and_then(special_use);
            let tag = self.lease.connection.tag();
            let command = self.lease.connection.encoder().create(tag, &one.name, role);
            commands.push((
                command.map_err(session::encode)?,
                Asked::Make(*index, role.and(one.spec.role)),
            ));
            if ahead {
                let name = one.name.clone();
                let command = self.status(&name, &items)?;
                commands.push((command, Asked::Tell(*index)));
            }
        }
        let mut found: HashMap<Box<[u8]>, MailboxStatus> = HashMap::new();
        let answers = self.pipeline(commands, |response| note(&mut found, response));
        let mut refused = Vec::new();
        for (asked, status) in answers.await? {
            match asked {
                Asked::Make(index, role) => {
                    if !self.made(index, role, &status)? {
                        refused.push(index);
                    }
                }
                // Where there is no answer it is asked for again, with the reason.
                Asked::Tell(index) => {
                    let Some(one) = self.wanted.get_mut(index) else {
                        continue;
                    };
                    let told = found.remove(&folders::key(one.name.as_bytes()));
                    let told =
                        told.filter(|told| status.kind == StatusKind::Ok && is_numbered(told));
                    if let (Some(told), Some(folder)) = (told, &mut one.folder) {
                        folders::describe(folder, &told, &server.capabilities);
                        self.inner.known.confirm_seen(folder);
                    }
                }
            }
        }
        Ok(refused)
    }

    /// Takes the answer to CREATE; false if it was refused.
    fn made(&mut self, index: usize, role: Option<Role>, status: &Status) -> Result<bool> {
        let exists = exists_already(status);
        let twin = self.twin(index).filter(|_| exists);
        let Some(one) = self.wanted.get_mut(index) else {
            return Ok(true);
        };
        if let Some(twin) = twin {
            one.failed = Some(same_but_for_case(&one.spec.path, &twin));
            return Ok(true);
        }
        if status.kind == StatusKind::Ok || exists {
            one.failed = None;
            one.folder = Some(fresh(one, role));
            return Ok(true);
        }
        let error = error::refused(Doing::folder("CREATE"), status);
        if error.kind() == ErrorKind::Throttled {
            // It is not about the name, and a second try at once would make it worse.
            return Err(error);
        }
        let error = match error.kind() {
            // There was nothing to be found; it is the name that is not taken.
            ErrorKind::NotFound => refused_name(&one.spec.path),
            _ => error,
        };
        one.failed = Some(error.with_context("folder", one.spec.path.to_string()));
        Ok(false)
    }

    fn status(&mut self, name: &MailboxName, items: &[StatusItem]) -> Result<Command> {
        let tag = self.lease.connection.tag();
        let command = self.lease.connection.encoder().status(tag, name, items);
        command.map_err(session::encode)
    }

    /// Another folder whose name is this one's but for the case, if there is or was made one: where
    /// the server says that this one exists, it takes it for that.
    fn twin(&self, index: usize) -> Option<FolderPath> {
        let path = &self.wanted.get(index)?.spec.path;
        let folded = path.to_string().to_lowercase();
        let made = self.wanted.iter().filter(|other| other.folder.is_some());
        let mut all = self.there.iter().chain(made.map(|other| &other.spec.path));
        let is_twin =
            |other: &&FolderPath| *other != path && other.to_string().to_lowercase() == folded;
        all.find(is_twin).cloned()
    }

    /// Parents of refused folders. Whether they were needed shows at the second try.
    async fn create_parents(&mut self, refused: &[usize]) -> Result<()> {
        let mut parents: Vec<(usize, MailboxName)> = Vec::new();
        for index in refused {
            let Some(one) = self.wanted.get(*index) else {
                continue;
            };
            let depth = one.spec.path.names().len();
            let levels = parent_names(&one.name, depth, self.separator);
            for (level, name) in levels.into_iter().enumerate() {
                let known = parents.iter().any(|(_, other)| *other == name);
                if !known && !self.wanted.iter().any(|other| other.name == name) {
                    parents.push((level, name));
                }
            }
        }
        parents.sort_by_key(|(level, _)| *level);
        let mut commands = Vec::new();
        for (_, name) in &parents {
            let tag = self.lease.connection.tag();
            let command = self.lease.connection.encoder().create(tag, name, None);
            commands.push((command.map_err(session::encode)?, ()));
        }
        self.pipeline(commands, |_| {}).await.map(drop)
    }

    async fn subscribe(&mut self) -> Result<()> {
        let wanted = self.indices(|one| {
            one.spec.subscribe && one.folder.as_ref().is_some_and(|folder| !folder.subscribed)
        });
        let mut commands = Vec::new();
        for index in wanted {
            let Some(one) = self.wanted.get(index) else {
                continue;
            };
            let tag = self.lease.connection.tag();
            let command = self.lease.connection.encoder().subscribe(tag, &one.name);
            commands.push((command.map_err(session::encode)?, index));
        }
        for (index, status) in self.pipeline(commands, |_| {}).await? {
            let folder = self
                .wanted
                .get_mut(index)
                .and_then(|one| one.folder.as_mut());
            // Not to be subscribed is no reason to lose the folder.
            if let Some(folder) = folder.filter(|_| status.kind == StatusKind::Ok) {
                folder.subscribed = true;
            }
        }
        Ok(())
    }

    /// STATUS for each folder without a mark.
    async fn describe(&mut self) -> Result<()> {
        let wanted = self.indices(|one| {
            one.folder
                .as_ref()
                .is_some_and(|folder| folder.mark.is_none())
        });
        let server = Arc::clone(&self.lease.server);
        let items = folders::items(&server);
        let mut commands = Vec::new();
        for index in wanted {
            let name = self.wanted.get(index).map(|one| one.name.clone());
            if let Some(name) = name {
                commands.push((self.status(&name, &items)?, index));
            }
        }
        let mut found: HashMap<Box<[u8]>, MailboxStatus> = HashMap::new();
        let answers = self.pipeline(commands, |response| note(&mut found, response));
        for (index, status) in answers.await? {
            let Some(one) = self.wanted.get_mut(index) else {
                continue;
            };
            let told = match found.remove(&folders::key(one.name.as_bytes())) {
                _ if status.kind != StatusKind::Ok => {
                    Err(error::refused(Doing::folder("STATUS"), &status))
                }
                Some(told) if is_numbered(&told) => Ok(told),
                _ => {
                    let id = ids::folder_id(one.name.as_bytes());
                    folders::examined(&mut self.lease, &id).await
                }
            };
            match (told, &mut one.folder) {
                (Ok(told), Some(folder)) => {
                    folders::describe(folder, &told, &server.capabilities);
                    self.inner.known.confirm_seen(folder);
                }
                (Ok(_), None) => {}
                (Err(error), folder) => {
                    *folder = None;
                    one.failed = Some(error.with_context("folder", one.spec.path.to_string()));
                }
            }
        }
        Ok(())
    }

    /// Sends commands ahead of their answers, and gives each answer with what belongs to it.
    async fn pipeline<T>(
        &mut self,
        commands: Vec<(Command, T)>,
        mut note: impl FnMut(Response) + Send,
    ) -> Result<Vec<(T, Status)>> {
        let mut answers = Vec::with_capacity(commands.len());
        let mut commands: VecDeque<(Command, T)> = commands.into();
        let mut sent = VecDeque::new();
        loop {
            while sent.len() < AHEAD
                && let Some((command, item)) = commands.pop_front()
            {
                sent.push_back((command.tag(), item));
                self.lease.connection.send(command).await?;
            }
            let Some((tag, item)) = sent.pop_front() else {
                return Ok(answers);
            };
            let status = self.lease.connection.complete(tag, &mut note).await?;
            answers.push((item, status));
        }
    }

    fn indices(&self, which: impl Fn(&Wanted) -> bool) -> Vec<usize> {
        let all = self.wanted.iter().enumerate();
        all.filter(|(_, one)| which(one))
            .map(|(index, _)| index)
            .collect()
    }

    /// One result for each slot, in their order. `failed`: why the work ended early.
    fn results(self, count: usize, failed: Option<&Error>) -> Vec<(Slot, Result<Folder>)> {
        let mut results: Vec<Option<Result<Folder>>> = (0..count).map(|_| None).collect();
        let mut put = |slot: usize, result| {
            if let Some(place) = results.get_mut(slot) {
                *place = Some(result);
            }
        };
        for (slot, error) in self.impossible {
            put(slot, Err(error));
        }
        for one in self.wanted {
            let done = one.folder.filter(|folder| folder.mark.is_some());
            for slot in one.slots {
                let result = match (&done, &one.failed, failed) {
                    (Some(folder), _, _) => Ok(folder.clone()),
                    (None, Some(error), _) | (None, None, Some(error)) => Err(error::again(error)),
                    (None, None, None) => Err(error::unexpected("the folder could not be made")),
                };
                put(slot, result);
            }
        }
        let all = results.into_iter().enumerate();
        all.filter_map(|(slot, result)| Some((Slot::new(slot), result?)))
            .collect()
    }
}

/// The inbox is the same in any case.
fn canonical(path: &FolderPath) -> FolderPath {
    if path.is_inbox() {
        FolderPath::inbox()
    } else {
        path.clone()
    }
}

fn new_name(names: &Names, path: &FolderPath) -> Result<MailboxName> {
    let wire = names.wire(path).ok_or_else(|| refused_name(path))?;
    MailboxName::new(wire).map_err(|cause| refused_name(path).with_source(cause))
}

fn refused_name(path: &FolderPath) -> Error {
    Error::new(
        ErrorKind::Refused,
        "the server cannot hold a folder of that name",
    )
    .with_code("imap/folder-name")
    .with_scope(Scope::Folder)
    .with_context("folder", path.to_string())
    .with_remedy("Map the folder to another name.")
}

fn same_but_for_case(path: &FolderPath, twin: &FolderPath) -> Error {
    Error::new(
        ErrorKind::Conflict,
        "the server takes names that differ only in case for the same folder",
    )
    .with_code("imap/folder-case")
    .with_scope(Scope::Folder)
    .with_context("folder", path.to_string())
    .with_context("taken for", twin.to_string())
    .with_remedy("Run again: it gets another name then. Or map the folder to a name of its own.")
}

/// The attribute for a new folder. Views cannot be made: the server fills them by itself.
fn special_use(role: Role) -> Option<SpecialUse> {
    let attribute = role.special_use().filter(|_| !role.is_view())?;
    SpecialUse::from_wire(attribute)
}

/// A server without response codes says it in words.
fn exists_already(status: &Status) -> bool {
    status.code == Some(Code::AlreadyExists)
        || (status.kind == StatusKind::No && status.text.to_ascii_lowercase().contains("exists"))
}

fn fresh(one: &Wanted, role: Option<Role>) -> Folder {
    let id: FolderId = ids::folder_id(one.name.as_bytes());
    let mut folder = Folder::new(id, one.spec.path.clone(), "");
    folder.role = role;
    folder
}

fn note(found: &mut HashMap<Box<[u8]>, MailboxStatus>, response: Response) {
    if let Response::MailboxStatus(status) = response {
        found.insert(folders::key(&status.name), *status);
    }
}

fn is_numbered(told: &MailboxStatus) -> bool {
    told.uid_validity.is_some_and(|validity| validity != 0)
}

/// Names of all folders above this one, outermost first. Levels are counted from the end, so that a
/// namespace's prefix is left alone.
fn parent_names(name: &MailboxName, depth: usize, separator: Option<u8>) -> Vec<MailboxName> {
    let bytes = name.as_bytes();
    let Some(separator) = separator else {
        return Vec::new();
    };
    let ends: Vec<usize> = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == separator)
        .map(|(at, _)| at)
        .collect();
    let first = ends.len().saturating_sub(depth.saturating_sub(1));
    let above = ends.get(first..).unwrap_or_default().iter();
    above
        .filter_map(|end| MailboxName::new(bytes.get(..*end).unwrap_or_default()).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_outermost_first_and_without_the_prefix() {
        let name = MailboxName::new(b"INBOX.a.b.c".as_slice()).unwrap();
        let parents: Vec<String> = parent_names(&name, 3, Some(b'.'))
            .iter()
            .map(|name| name.as_bytes().escape_ascii().to_string())
            .collect();
        assert_eq!(parents, ["INBOX.a", "INBOX.a.b"]);
        let top = MailboxName::new(b"top".as_slice()).unwrap();
        assert!(parent_names(&top, 1, Some(b'.')).is_empty());
    }

    #[test]
    fn views_are_never_made() {
        assert_eq!(special_use(Role::Sent), Some(SpecialUse::Sent));
        for role in [Role::All, Role::Flagged, Role::Important, Role::Inbox] {
            assert_eq!(special_use(role), None);
        }
    }
}
