//! The folder in which drafts are made that go as MIME.
//!
//! Nothing can be noted at a message before it is there if it is made of MIME: whoever gets no answer does not know
//! which one it was. So such messages are made here, where nobody looks, and are moved to their folder when all is
//! noted at them. Before that nothing of them is stored, so that whatever is left here is nothing but a rest. What
//! another process made is never gone on with, for nobody knows whether that process is still at work on it.
//!
//! Only drafts are removed here, and only those that are [`OLD`]; whoever made one does not move it any more when it
//! is not [`FRESH`]. The time between is longer than a request can take to show what it did: so nobody removes what
//! somebody else has just put into its folder. The folder goes when it is empty. If it goes while another process is
//! about to use it, that one is told so by the answer, and makes it anew.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mailmove_core::{
    destination::Fence,
    error::{ErrorKind, Result, Scope},
    model::{ContentDigest, FolderId, MessageId, SystemFlag, Timestamp},
};
use serde_json::json;

use super::{Inner, LATE, update, walk::Walk};
use crate::{
    delta::Changed,
    error::Doing,
    folders,
    http::Failed,
    items::Meta,
    wire::{self, MailFolder, Path, Request},
};

/// What it is called, for whoever makes hidden folders visible.
const NAME: &str = "mailmove drafts in the making";
/// How old a draft may be that is moved from here.
pub(super) const FRESH: Duration = Duration::from_secs(300);
/// How old one has to be that is removed, whoever made it. [`LATE`] lies between the two twice.
const OLD: Duration = Duration::from_secs(900);

const _: () = assert!(FRESH.as_secs() + 2 * LATE.as_secs() <= OLD.as_secs());

/// What it is to be, and where.
type Key = (FolderId, ContentDigest);

/// What is known of the folder, and what this process left there.
#[derive(Debug, Default)]
pub(super) struct Aside {
    state: tokio::sync::Mutex<State>,
    /// Appends that are at work there.
    visits: AtomicUsize,
    left: Mutex<HashMap<Key, Vec<MessageId>>>,
}

#[derive(Debug, Default)]
struct State {
    folder: Option<FolderId>,
    /// It was looked for, since an earlier run may have left something there.
    looked: bool,
    /// There is none to be had: drafts go as fields.
    closed: bool,
}

/// An append that is at work there.
pub(super) struct Visit<'a> {
    aside: &'a Aside,
    pub(super) folder: FolderId,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.aside.visits.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Aside {
    fn left(&self) -> MutexGuard<'_, HashMap<Key, Vec<MessageId>>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This one stays there, for whoever sends the same message again.
    pub(super) fn leave(&self, folder: &FolderId, content: ContentDigest, id: MessageId) {
        let key = (folder.clone(), content);
        self.left().entry(key).or_default().push(id);
    }

    /// Takes one of those. It is whoever takes it who goes on with it.
    pub(super) fn take(&self, folder: &FolderId, content: ContentDigest) -> Option<MessageId> {
        let key = (folder.clone(), content);
        let mut left = self.left();
        let all = left.get_mut(&key)?;
        let taken = all.pop();
        if all.is_empty() {
            left.remove(&key);
        }
        taken
    }

    /// The folder is not there any more.
    pub(super) async fn forget(&self, folder: &FolderId) {
        let mut state = self.state.lock().await;
        if state.folder.as_ref() == Some(folder) {
            state.folder = None;
        }
    }

    /// Drafts can't be made there.
    pub(super) async fn close(&self) {
        self.state.lock().await.closed = true;
    }
}

/// Enters the folder, which is made if there is none; `None` if there is none to be had.
///
/// # Errors
/// If the server does not say.
pub(super) async fn enter<'a>(inner: &'a Inner, fence: &dyn Fence) -> Result<Option<Visit<'a>>> {
    let aside = &inner.aside;
    let mut state = aside.state.lock().await;
    if state.closed {
        return Ok(None);
    }
    let folder = match state.folder.clone() {
        Some(folder) => Some(folder),
        None => make(inner, fence).await?,
    };
    state.looked = true;
    state.closed = folder.is_none();
    state.folder.clone_from(&folder);
    Ok(folder.map(|folder| {
        aside.visits.fetch_add(1, Ordering::Relaxed);
        Visit { aside, folder }
    }))
}

async fn make(inner: &Inner, fence: &dyn Fence) -> Result<Option<FolderId>> {
    const MAKE: Doing = Doing::message("createHiddenFolder");
    let body = json!({ "displayName": NAME, "isHidden": true });
    let request = Request::post(Path::new().at("mailFolders"), MAKE).json(&body);
    let failed = match inner.pool.send(&request, Some(fence)).await {
        Ok(answer) => {
            let made: MailFolder = wire::read(answer.json).unwrap_or_default();
            match made.is_hidden {
                // The user would see it, and what is in it.
                Some(false) if !made.id.is_empty() => {
                    let folder = FolderId::new(&made.id);
                    remove_folder(inner, &folder, fence).await?;
                    return Ok(None);
                }
                _ if !made.id.is_empty() => return Ok(Some(FolderId::new(&made.id))),
                _ => None,
            }
        }
        Err(failed) if is_settled(&failed) => {
            tracing::info!(error = %failed.error, "drafts cannot be made as MIME");
            return Ok(None);
        }
        Err(failed) => Some(failed.error),
    };
    // It may be there: made by an earlier run, by another process, or by what was not answered.
    match (found(inner).await?, failed) {
        (Some(found), _) => Ok(found),
        (None, Some(error)) => Err(error),
        (None, None) => Ok(None),
    }
}

/// A refusal that has nothing to do with whether the folder is there.
fn is_settled(failed: &Failed) -> bool {
    let kinds = [
        ErrorKind::Refused,
        ErrorKind::Unsupported,
        ErrorKind::NotFound,
    ];
    !failed.perhaps_executed
        && failed.error.scope() <= Scope::Message
        && kinds.contains(&failed.error.kind())
}

/// The folder, if there is one; `Some(None)` if that is one of the user's own with that name.
async fn found(inner: &Inner) -> Result<Option<Option<FolderId>>> {
    let found = folders::find_at_top(&inner.pool, NAME).await?;
    Ok(found.map(|found| {
        let is_ours = found.is_hidden == Some(true) && !found.is_search();
        is_ours.then(|| FolderId::new(&found.id))
    }))
}

/// Once in a run: removes what earlier ones left there, also if no draft is to be made now.
pub(super) async fn look(inner: &Inner, fence: &dyn Fence) {
    let mut state = inner.aside.state.lock().await;
    if state.looked {
        return;
    }
    match found(inner).await {
        Ok(found) => {
            state.looked = true;
            state.folder = found.flatten();
        }
        Err(error) => tracing::debug!(%error, "the folder for drafts could not be looked for"),
    }
    drop(state);
    tidy(inner, fence).await;
}

/// Removes what was left there long ago, and the folder if nothing is in it. Where that is not possible now it is next
/// time.
pub(super) async fn tidy(inner: &Inner, fence: &dyn Fence) {
    let mut state = inner.aside.state.lock().await;
    let Some(folder) = state.folder.clone() else {
        return;
    };
    // Whoever enters waits until this is over.
    if inner.aside.visits.load(Ordering::Relaxed) > 0 {
        return;
    }
    match clear(inner, &folder, fence).await {
        Ok(true) => state.folder = None,
        Ok(false) => {}
        Err(error) if error.code() == folders::no_folder().code() => state.folder = None,
        Err(error) => tracing::debug!(%error, "the folder for drafts could not be tidied up"),
    }
}

/// Whether it is gone.
async fn clear(inner: &Inner, folder: &FolderId, fence: &dyn Fence) -> Result<bool> {
    let mut now = folders::get(&inner.pool, folder.as_str()).await?;
    if now.total_item_count != Some(0) {
        sweep(inner, folder, fence).await?;
        now = folders::get(&inner.pool, folder.as_str()).await?;
    }
    let is_empty = (now.total_item_count, now.child_folder_count) == (Some(0), Some(0));
    if is_empty {
        remove_folder(inner, folder, fence).await?;
    }
    Ok(is_empty)
}

async fn remove_folder(inner: &Inner, folder: &FolderId, fence: &dyn Fence) -> Result<()> {
    let path = Path::new().at("mailFolders").id(folder.as_str());
    // Not DELETE, which puts it among deleted items, where all see it.
    let doing = Doing::folder("permanentDelete");
    let request = Request::post(path.at("permanentDelete"), doing);
    match inner.pool.send(&request, Some(fence)).await {
        Ok(_) => Ok(()),
        Err(failed) => Err(failed.error),
    }
}

/// Removes drafts that are old.
async fn sweep(inner: &Inner, folder: &FolderId, fence: &dyn Fence) -> Result<()> {
    let mut walk = Walk::new(inner, folder, None, false);
    loop {
        let page = walk.next().await?;
        for change in page.changes {
            if let Changed::Is(meta) = change {
                rest(inner, folder, &meta, fence).await?;
            }
        }
        if page.is_last {
            return Ok(());
        }
    }
}

/// Removes one, if it is ours to remove.
async fn rest(inner: &Inner, folder: &FolderId, seen: &Meta, fence: &dyn Fence) -> Result<()> {
    let is_draft = |meta: &Meta| meta.flags.contains(SystemFlag::Draft);
    if !is_draft(seen) {
        return Ok(());
    }
    let Some((meta, now)) = update::look_at(inner, &seen.id).await? else {
        return Ok(());
    };
    let is_old = age(inner, &meta, now).is_some_and(|age| age >= OLD);
    // Of what does not say where it lies nobody knows that it is still here.
    if !is_old
        || meta.parent.is_none()
        || !is_draft(&meta)
        || !update::is_in(inner, folder, &meta).await?
    {
        return Ok(());
    }
    let removed = update::remove_one(inner, &meta.id, Some(fence)).await;
    removed.map_err(|failed| failed.error)
}

/// How old a message is, by the server's clock where that is told.
pub(super) fn age(inner: &Inner, meta: &Meta, now: Option<Timestamp>) -> Option<Duration> {
    let own = || inner.now().as_secs().cast_signed();
    let now = now.map_or_else(own, Timestamp::seconds);
    let age = now.saturating_sub(meta.created?.seconds());
    Some(Duration::from_secs(u64::try_from(age).unwrap_or_default()))
}
