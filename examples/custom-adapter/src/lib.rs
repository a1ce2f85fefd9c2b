//! A destination of one's own: mail is written to a Maildir++ directory, as Dovecot,
//! Courier and many mail programs read it.
//!
//! What an adapter has to think of, and where it is answered here:
//!
//! - **Ids** name a message for good. File names change with flags, so each folder has a list of
//!   numbers (`mailmove-numbers`), as IMAP servers keep one; its epoch tells a folder from another
//!   one that later got the same name.
//! - **Stored means durable**: a message is written to `tmp`, synced, renamed into `cur`, and then
//!   the directory is synced. Only after that it is reported as stored.
//! - **Unknown** is for what may or may not be there. A rename happens or doesn't, so there is just
//!   one such case: the sync after the rename fails. A destination behind a network has many more
//!   (every answer that is lost), and must not call any of them `NotStored`.
//! - **What is lost is said**: Maildir keeps 26 keywords a folder, and file systems don't keep every
//!   date. Both come back as alterations, and end in the report.
//! - **Errors are classified, never retried**: `failed` turns each I/O error into a kind, which
//!   decides how much the engine stops.

mod disk;

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use mailmove_core::{
    Destination, Error, ErrorKind, Result, Scope,
    destination::{Batch, Existing, Fence, FlagChange, Outcome, Outgoing, Probe, Receipt, Updater},
    model::{
        Alteration, AlterationKind, Batching, Capabilities, Endpoint, Flags, Folder, FolderId,
        FolderSpec, Form, Mark, MessageId, Role, Slot, Timestamp,
    },
    source::BoxStream,
};
use tempfile::NamedTempFile;

use crate::disk::{
    Entry, INBOX, Keywords, Numbers, cur, directory_name, dropped, files, find, fresh_name, look,
    make_maildir, modified, numbered, path_of, select, subscription, sync, system_time,
};

/// Dovecot's list of subscribed folders, in the root.
const SUBSCRIPTIONS: &str = "subscriptions";
/// Messages stored under one lock; each is an open file meanwhile.
const LARGEST_BATCH: usize = 64;
/// Messages looked at in one page.
const PAGE: usize = 500;

/// A Maildir++ directory. Folder names are written in UTF-8.
#[derive(Clone, Debug)]
pub struct Maildir {
    root: Arc<Path>,
}

impl Maildir {
    /// The Maildir at `root`, which need not exist yet; its parent must. No I/O.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into().into(),
        }
    }

    fn directory(&self, folder: &FolderId) -> PathBuf {
        match folder.as_str() {
            INBOX => self.root.to_path_buf(),
            name => self.root.join(name),
        }
    }

    fn list(&self) -> Result<Vec<Folder>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| failed("cannot list", &self.root, error))?,
        };
        let mut names = vec![INBOX.to_owned()];
        for entry in entries {
            let entry = entry.map_err(|error| failed("cannot list", &self.root, error))?;
            // A name that is not UTF-8 was made by somebody else, who has to look after it.
            if let Ok(name) = entry.file_name().into_string()
                && name.len() > 1
                && name.starts_with('.')
                && name != ".."
            {
                names.push(name);
            }
        }
        names.retain(|name| self.directory(&FolderId::new(name)).join("cur").is_dir());
        names.sort_unstable();
        let subscribed = self.subscriptions()?;
        names
            .iter()
            .map(|name| self.describe_folder(name, &subscribed))
            .collect()
    }

    /// Looks without touching: a list of numbers is made by the first write, not by a look.
    fn describe_folder(&self, name: &str, subscribed: &[String]) -> Result<Folder> {
        let id = FolderId::new(name);
        let directory = self.directory(&id);
        let at = |error| failed("cannot read the folder", &directory, error);
        let numbers = Numbers::read(&directory).map_err(at)?;
        let files = files(&directory).map_err(at)?;
        let path = path_of(name);
        let mut folder = Folder::new(id, path.clone(), &numbers.epoch);
        folder.role = path.is_inbox().then_some(Role::Inbox);
        folder.subscribed = subscribed.contains(&subscription(&path));
        folder.messages = Some(files.len() as u64);
        let all_numbered = files.keys().all(|base| numbers.known.contains_key(base));
        folder.mark = (all_numbered && !numbers.epoch.is_empty()).then(|| numbers.mark());
        folder.keeps = Some(Keywords::load(&directory).map_err(at)?.kept());
        Ok(folder)
    }

    fn subscriptions(&self) -> Result<Vec<String>> {
        let path = self.root.join(SUBSCRIPTIONS);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(failed("cannot read", &path, error)),
        }
    }

    fn ensure(&self, want: &FolderSpec) -> Result<Folder> {
        let name = directory_name(&want.path)?;
        if let Some(parent) = want.path.parent() {
            self.ensure(&FolderSpec::new(parent))?;
        }
        let directory = self.directory(&FolderId::new(&name));
        let at = |error| failed("cannot make the folder", &directory, error);
        let make = || -> io::Result<()> {
            make_maildir(&self.root)?;
            make_maildir(&directory)?;
            if name != INBOX {
                // Tells delivery agents that this is a folder, not a Maildir of its own.
                let marker = directory.join("maildirfolder");
                OpenOptions::new().create(true).append(true).open(marker)?;
            }
            numbered(&directory)?;
            sync(&directory)?;
            sync(&self.root)
        };
        make().map_err(at)?;
        let mut subscribed = self.subscriptions()?;
        let line = subscription(&want.path);
        if want.subscribe && !subscribed.contains(&line) {
            let path = self.root.join(SUBSCRIPTIONS);
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .and_then(|mut file| writeln!(file, "{line}"))
                .map_err(|error| failed("cannot subscribe", &path, error))?;
            subscribed.push(line);
        }
        self.describe_folder(&name, &subscribed)
    }
}

#[async_trait]
impl Destination for Maildir {
    fn endpoint(&self) -> Endpoint {
        Endpoint::new("maildir", "localhost", None, self.root.to_string_lossy())
    }

    async fn capabilities(&self) -> Result<Capabilities> {
        let here = self.clone();
        blocking(move || {
            if here.root.exists() && !here.root.is_dir() {
                return Err(
                    Error::new(ErrorKind::Config, "the Maildir is not a directory")
                        .with_context("path", here.root.display().to_string()),
                );
            }
            Ok(())
        })
        .await?;
        let mut can = Capabilities::new("Maildir++");
        can.concurrency = 4;
        can.keeps_bytes = true;
        can.keeps_received = true;
        can.keeps_keywords = true;
        can.returns_ids = true;
        can.sets_flags = true;
        can.moves = true;
        can.removes = true;
        can.batching = Batching::new(LARGEST_BATCH, 8 << 20, false);
        // The dot separates levels, and begins each directory's name.
        can.naming.separator = Some('.');
        can.naming.forbidden = "/\0".to_owned();
        can.naming.max_path = 254;
        can.naming.max_name = 254;
        // Only what this process is just renaming may still appear.
        can.settle = Duration::from_secs(2);
        Ok(can)
    }

    async fn folders(&self) -> Result<Vec<Folder>> {
        let here = self.clone();
        blocking(move || here.list()).await
    }

    fn ensure_folders(&self, want: Vec<FolderSpec>) -> BoxStream<(Slot, Result<Folder>)> {
        let here = self.clone();
        let one = move |(index, spec): (usize, FolderSpec)| {
            let here = here.clone();
            async move { (Slot::new(index), blocking(move || here.ensure(&spec)).await) }
        };
        Box::pin(stream::iter(want.into_iter().enumerate()).then(one))
    }

    async fn mark(&self, folder: &FolderId) -> Result<Mark> {
        let directory = self.directory(folder);
        blocking(move || {
            let at = |error| failed("cannot read the folder", &directory, error);
            Ok(numbered(&directory).map_err(at)?.0.mark())
        })
        .await
    }

    fn existing(&self, probe: Probe) -> BoxStream<Result<Vec<Existing>>> {
        let directory = self.directory(&probe.folder);
        let depth = probe.depth;
        let found = {
            let directory = directory.clone();
            async move { blocking(move || select(&directory, &probe)).await }
        };
        let pages =
            stream::once(found).flat_map(move |found| -> BoxStream<Result<Vec<Existing>>> {
                let directory = directory.clone();
                match found {
                    Err(error) => Box::pin(stream::once(async { Err(error) })),
                    Ok(found) => {
                        let pages: Vec<_> = found.chunks(PAGE).map(<[Entry]>::to_vec).collect();
                        Box::pin(stream::iter(pages).then(move |page| {
                            let directory = directory.clone();
                            blocking(move || look(&directory, &page, depth))
                        }))
                    }
                }
            });
        Box::pin(pages)
    }

    fn append(&self, batch: Batch) -> BoxStream<(Slot, Outcome)> {
        let directory = self.directory(&batch.folder);
        let work = async move {
            if batch.items.len() > LARGEST_BATCH {
                let error = Error::new(ErrorKind::Bug, "the batch is larger than it may be");
                return refuse_all(batch.items.len(), error);
            }
            let mut drafts = Vec::with_capacity(batch.items.len());
            for item in &batch.items {
                drafts.push(Draft::write(&directory, item).await);
            }
            let (mark, fence) = (batch.mark, batch.fence);
            let delivered = tokio::task::spawn_blocking(move || {
                deliver(&directory, &mark, fence.as_ref(), drafts)
            });
            let count = batch.items.len();
            delivered.await.unwrap_or_else(|error| {
                // The thread died: who knows how far it came.
                let lost = || Error::new(ErrorKind::Bug, "delivering was cut off");
                let mut outcomes: Vec<_> = (1..count).map(|_| Outcome::Unknown(lost())).collect();
                outcomes.push(Outcome::Unknown(lost().with_source(error)));
                outcomes
            })
        };
        Box::pin(stream::once(work).flat_map(|outcomes| {
            let slots = |(index, outcome)| (Slot::new(index), outcome);
            stream::iter(outcomes.into_iter().enumerate().map(slots))
        }))
    }

    fn updater(&self) -> Option<&dyn Updater> {
        Some(self)
    }

    fn describe(&self, id: &MessageId) -> String {
        let number = id.as_str().rsplit('.').next().unwrap_or_default();
        format!("message {number}")
    }
}

impl Updater for Maildir {
    fn set_flags(
        &self,
        folder: &FolderId,
        changes: Vec<FlagChange>,
    ) -> BoxStream<(MessageId, Outcome)> {
        let directory = self.directory(folder);
        let ids: Vec<_> = changes.iter().map(|change| change.id.clone()).collect();
        update(ids.clone(), move || {
            let (_lock, found) = numbered(&directory)?;
            let mut keywords = Keywords::load(&directory)?;
            let outcomes = changes
                .iter()
                .map(|change| {
                    attempt(&found, &change.id, &directory, |entry| {
                        let now = keywords.flags(&entry.letters);
                        let wanted = now.union(&change.add).difference(&change.remove);
                        let (letters, lost) = keywords.letters(&wanted);
                        keywords.save(&directory)?;
                        fs::rename(&entry.path, cur(&directory, &entry.base, &letters))?;
                        let receipt = Receipt::new(Some(change.id.clone()));
                        let flags = wanted.difference(&lost);
                        Ok(receipt.with_flags(flags).with_altered(dropped(&lost)))
                    })
                })
                .collect();
            Ok(settle(outcomes, &[&directory]))
        })
    }

    fn relocate(
        &self,
        from: &FolderId,
        ids: Vec<MessageId>,
        to: &FolderId,
    ) -> BoxStream<(MessageId, Outcome)> {
        let (old, new) = (self.directory(from), self.directory(to));
        update(ids.clone(), move || {
            // One lock at a time: two processes that move in opposite directions must not wait for
            // each other.
            let (lock, found) = numbered(&old)?;
            drop(lock);
            let old_keywords = Keywords::load(&old)?;
            let mut numbers = Numbers::open(&new)?;
            let mut keywords = Keywords::load(&new)?;
            let mut relocate_one = |entry: &Entry| -> io::Result<Receipt> {
                let flags = old_keywords.flags(&entry.letters);
                let (letters, lost) = keywords.letters(&flags);
                keywords.save(&new)?;
                // A name of its own: the old one might be known there by another number.
                let base = fresh_name(fs::metadata(&entry.path)?.len());
                let number = numbers.add([base.clone()])?.pop().unwrap_or_default();
                fs::rename(&entry.path, cur(&new, &base, &letters))?;
                let receipt = Receipt::new(Some(numbers.id(number)));
                Ok(receipt
                    .with_flags(flags.difference(&lost))
                    .with_altered(dropped(&lost)))
            };
            let outcomes = ids
                .iter()
                .map(|id| attempt(&found, id, &old, &mut relocate_one))
                .collect();
            Ok(settle(outcomes, &[&new, &old]))
        })
    }

    fn remove(&self, folder: &FolderId, ids: Vec<MessageId>) -> BoxStream<(MessageId, Outcome)> {
        let directory = self.directory(folder);
        update(ids.clone(), move || {
            let (_lock, found) = numbered(&directory)?;
            let remove_one = |entry: &Entry| {
                fs::remove_file(&entry.path).map(|()| Receipt::new(Some(entry.id.clone())))
            };
            let outcomes = ids
                .iter()
                .map(|id| attempt(&found, id, &directory, remove_one))
                .collect();
            Ok(settle(outcomes, &[&directory]))
        })
    }
}

/// Runs a change to messages in a thread that may block. What fails as a whole fails before the
/// first message was touched.
fn update(
    ids: Vec<MessageId>,
    work: impl FnOnce() -> io::Result<Vec<Outcome>> + Send + 'static,
) -> BoxStream<(MessageId, Outcome)> {
    let count = ids.len();
    let run = blocking(move || {
        let done = work().map_err(|error| failed("cannot change messages", Path::new(""), error));
        Ok(done.unwrap_or_else(|error| refuse_all(count, error)))
    });
    let outcomes = async move {
        let outcomes = run
            .await
            .unwrap_or_else(|error| vec![Outcome::Unknown(error)]);
        ids.into_iter().zip(outcomes)
    };
    Box::pin(stream::once(outcomes).flat_map(stream::iter))
}

/// Changes one message, if it is still there.
fn attempt(
    found: &[Entry],
    id: &MessageId,
    directory: &Path,
    change: impl FnOnce(&Entry) -> io::Result<Receipt>,
) -> Outcome {
    let gone = || io::Error::new(io::ErrorKind::NotFound, "the message is gone");
    match find(found, id).ok_or_else(gone).and_then(change) {
        Ok(receipt) => Outcome::Stored(receipt),
        Err(error) => Outcome::NotStored(
            failed("cannot change a message", directory, error).with_scope(Scope::Message),
        ),
    }
}

/// A message in `tmp`, not yet visible to anybody.
struct Draft {
    file: NamedTempFile,
    base: String,
    flags: Flags,
    received: Option<Timestamp>,
}

impl Draft {
    async fn write(directory: &Path, item: &Outgoing) -> Result<Self> {
        if item.form != Form::Mime {
            return Err(Error::new(ErrorKind::Refused, "a Maildir keeps mail only"));
        }
        let tmp = directory.join("tmp");
        let at = |error| failed("cannot write a message", &tmp, error);
        // Removed by itself when dropped before it was renamed.
        let mut file = tempfile::Builder::new()
            .prefix("mailmove.")
            .tempfile_in(&tmp)
            .map_err(at)?;
        let mut reader = item.content.reader();
        while let Some(piece) = reader.next().await? {
            // As it came, line ends included: what arrives is what left.
            file.write_all(&piece).map_err(at)?;
        }
        Ok(Self {
            file,
            base: fresh_name(item.content.size()),
            flags: item.flags.clone(),
            received: item.received,
        })
    }

    /// Makes it durable, with its date and its flags' letters.
    fn seal(self, keywords: &mut Keywords) -> io::Result<Sealed> {
        let (letters, lost) = keywords.letters(&self.flags);
        let mut altered = dropped(&lost);
        let file = self.file.as_file();
        if let Some(time) = self.received.and_then(system_time) {
            file.set_modified(time)?;
        }
        file.sync_all()?;
        // File systems bend dates they cannot keep without a word.
        let kept = modified(&file.metadata()?);
        if let (Some(wanted), true) = (self.received, kept != self.received) {
            let became = kept.map_or_else(|| "unknown".to_owned(), |kept| kept.to_string());
            let detail = format!("{wanted} became {became}");
            altered.push(Alteration::new(AlterationKind::DateReplaced, detail));
        }
        Ok(Sealed {
            file: self.file,
            base: self.base,
            letters,
            flags: self.flags.difference(&lost),
            altered,
        })
    }
}

/// A durable message in `tmp` that only waits for its rename.
struct Sealed {
    file: NamedTempFile,
    base: String,
    letters: String,
    flags: Flags,
    altered: Vec<Alteration>,
}

/// Makes drafts visible. All are durable before the first is renamed, and the directory is synced
/// once for all: two syncs for a batch instead of two for each message.
fn deliver(
    directory: &Path,
    mark: &Mark,
    fence: &dyn Fence,
    drafts: Vec<Result<Draft>>,
) -> Vec<Outcome> {
    let at = |error| failed("cannot store a message", directory, error);
    let count = drafts.len();
    let prepare = || -> Result<(Numbers, Vec<Result<Sealed>>, Vec<u64>)> {
        let mut numbers = Numbers::open(directory).map_err(at)?;
        numbers.same_epoch(mark)?;
        let mut keywords = Keywords::load(directory).map_err(at)?;
        let sealed: Vec<Result<Sealed>> = drafts
            .into_iter()
            .map(|draft| draft?.seal(&mut keywords).map_err(at))
            .collect();
        keywords.save(directory).map_err(at)?;
        let names = sealed.iter().flatten().map(|sealed| sealed.base.clone());
        // Numbers come first: one without a file is a gap, a file without one would be counted
        // as somebody else's.
        let given = numbers.add(names).map_err(at)?;
        Ok((numbers, sealed, given))
    };
    let (numbers, sealed, given) = match prepare() {
        Ok(ready) => ready,
        Err(error) => return refuse_all(count, error),
    };
    let mut given = given.into_iter();
    let mut show = |sealed: Result<Sealed>| -> Result<Receipt> {
        let sealed = sealed?;
        let id = given.next().map(|number| numbers.id(number));
        // Nobody can see the message before this point, and everybody can after it.
        fence.check()?;
        let place = cur(directory, &sealed.base, &sealed.letters);
        sealed
            .file
            .persist_noclobber(place)
            .map_err(|error| at(error.error))?;
        Ok(Receipt::new(id)
            .with_flags(sealed.flags)
            .with_altered(sealed.altered))
    };
    let outcomes = sealed
        .into_iter()
        .map(|sealed| match show(sealed) {
            Ok(receipt) => Outcome::Stored(receipt),
            Err(error) => Outcome::NotStored(error),
        })
        .collect();
    settle(outcomes, &[directory])
}

/// Syncs the directories; if that fails, what was done may not outlast a power failure.
fn settle(mut outcomes: Vec<Outcome>, directories: &[&Path]) -> Vec<Outcome> {
    for directory in directories {
        if let Err(error) = sync(&directory.join("cur")) {
            let text = error.to_string();
            for outcome in &mut outcomes {
                if let Outcome::Stored(_) = outcome {
                    let error = io::Error::new(error.kind(), text.clone());
                    *outcome = Outcome::Unknown(failed("cannot sync", directory, error));
                }
            }
        }
    }
    outcomes
}

/// The same refusal for each slot.
fn refuse_all(count: usize, error: Error) -> Vec<Outcome> {
    let copy = || {
        Error::new(error.kind(), error.message().to_owned())
            .with_scope(error.scope())
            .with_retry(error.retry())
            .with_code(error.code().to_owned())
    };
    let mut outcomes: Vec<_> = (1..count).map(|_| Outcome::NotStored(copy())).collect();
    if count > 0 {
        outcomes.push(Outcome::NotStored(error));
    }
    outcomes
}

/// Says what an I/O error means for the migration.
pub(crate) fn failed(action: &'static str, path: &Path, error: io::Error) -> Error {
    use io::ErrorKind as Io;
    let (kind, scope, remedy) = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => (
            ErrorKind::Quota,
            Scope::Account,
            "Free some space on that disk, then run again.",
        ),
        Io::PermissionDenied | Io::ReadOnlyFilesystem => (
            ErrorKind::Denied,
            Scope::Folder,
            "Check who may write to that directory.",
        ),
        Io::NotFound => (
            ErrorKind::NotFound,
            Scope::Folder,
            "Check that the directory exists.",
        ),
        _ => (
            ErrorKind::Io,
            Scope::Account,
            "Check that disk, then run again.",
        ),
    };
    Error::new(kind, action)
        .with_scope(scope)
        .with_context("path", path.display().to_string())
        .with_remedy(remedy)
        .with_source(error)
}

/// File systems block; the engine's threads must not.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::new(ErrorKind::Bug, "a thread died").with_source(error)))
}
