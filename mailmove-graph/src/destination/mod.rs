//! A mailbox of Microsoft 365, to be filled.

mod append;
mod aside;
mod attach;
mod batch;
mod create;
mod drafts;
mod import;
mod look;
mod open;
mod other;
mod prepare;
mod sweep;
mod update;
mod walk;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use mailmove_core::{
    destination::{Batch, Destination, Existing, Fence, FlagChange, Outcome, Probe, Updater},
    edge::{Clock, CredentialProvider, Edges},
    error::{Error, ErrorKind, Result},
    model::{
        Batching, Capabilities, Endpoint, Folder, FolderId, FolderSpec, Form, Mark, MessageId, Slot,
    },
    source::BoxStream,
};
use mailmove_exchange::{export, tree};

use self::{
    aside::Aside,
    import::Imports,
    open::Incomplete,
    other::{Change, Classes},
    walk::Walk,
};
use crate::{
    config::{Access, GraphConfig},
    delta, error, folders,
    generate::generate,
    items::Meta,
    pool::Pool,
};

/// How long a request that was sent may take to show what it did.
const SETTLE: Duration = Duration::from_secs(120);
/// How long at worst.
const LATE: Duration = Duration::from_secs(300);
/// Messages that are appended together: those of one `$batch`.
const BATCH_MESSAGES: usize = 20;
/// Bytes of them: what a lost connection leaves in doubt.
const BATCH_BYTES: u64 = 4 << 20;
/// Folders that are filled at once, at most: while one waits for the program, others use its places.
const FOLDERS: usize = 8;
/// Largest message that Exchange Online can be made to take.
const MESSAGE_MAX: u64 = 150 << 20;

/// What becomes of mail that is signed or encrypted. Graph takes messages by their fields, so that a signature proves
/// nothing any more, and what is encrypted is an attachment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protected {
    /// It is refused, as `graph/signed` or `graph/encrypted`: trials count it, and runs keep it among the dead letters.
    #[default]
    Refuse,
    /// It is stored all the same, with the loss noted at it.
    Store,
}

/// How drafts are written: the messages with `\\Draft`. All other mail would become a draft for ever as MIME.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Drafts {
    /// By their fields, as all other mail.
    #[default]
    AsFields,
    /// As MIME, up to 2,200,000 bytes: with all of their parts, so that a signature or what is encrypted stays what it
    /// is, and is not refused. They are made in a hidden folder of our own at the top of the mailbox, moved from there
    /// when they are complete, and it is removed when it is empty. What is larger, or refused as MIME, goes by its
    /// fields. This way was never tried against Microsoft's servers.
    AsMime,
}

/// How messages are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Writing {
    /// What becomes of mail that is signed or encrypted.
    pub protected: Protected,
    /// How drafts are written.
    pub drafts: Drafts,
}

impl Writing {
    /// As it is unless told otherwise.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what becomes of mail that is signed or encrypted.
    #[must_use]
    pub fn with_protected(mut self, protected: Protected) -> Self {
        self.protected = protected;
        self
    }

    /// Sets how drafts are written.
    #[must_use]
    pub fn with_drafts(mut self, drafts: Drafts) -> Self {
        self.drafts = drafts;
        self
    }
}

/// A mailbox of Microsoft 365 that is filled. Cheap to clone; clones share their connections.
///
/// Graph makes a draft for ever of a message that it gets as MIME, received now. So a message is made of its
/// [fields](crate::draft), with properties beside them, and its attachments follow. Each message is marked, in a
/// property of our own, with the digests of what it was made from, and whether it is complete. Drafts go as MIME if
/// that is wanted: see [`Drafts`].
///
/// Where there is leave for it, items of all classes are taken as Exchange's own exports; what is no mail in no other
/// form.
#[derive(Clone, Debug)]
pub struct GraphDestination(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: Arc<Pool>,
    writing: Writing,
    /// The newest state of each folder.
    states: Mutex<HashMap<FolderId, String>>,
    /// Which folders those are that messages name in another way.
    parents: Mutex<HashMap<String, FolderId>>,
    /// Messages whose attachments did not all arrive.
    incomplete: Incomplete,
    /// Where drafts are made that go as MIME.
    aside: Aside,
    /// Of the run that stores something.
    fence: Mutex<Option<Weak<dyn Fence>>>,
    /// Where exports are stored.
    imports: Imports,
    /// What folders are made for.
    classes: Classes,
}

impl GraphDestination {
    /// The mailbox that `config` describes; nothing is sent before it is used. `credentials` are asked for
    /// each token.
    #[must_use]
    pub fn new(
        config: GraphConfig,
        credentials: Arc<dyn CredentialProvider>,
        edges: Edges,
    ) -> Self {
        Self::with(config, Writing::new(), credentials, edges)
    }

    /// The same, with a say in how messages are written.
    #[must_use]
    pub fn with(
        config: GraphConfig,
        writing: Writing,
        credentials: Arc<dyn CredentialProvider>,
        edges: Edges,
    ) -> Self {
        let access = Access {
            config: Arc::new(config),
            credentials,
            edges,
        };
        Self(Arc::new(Inner {
            pool: Pool::new(access),
            writing,
            states: Mutex::default(),
            parents: Mutex::default(),
            incomplete: Incomplete::default(),
            aside: Aside::default(),
            fence: Mutex::default(),
            imports: Imports::default(),
            classes: Classes::default(),
        }))
    }
}

impl Inner {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.pool.access().edges.clock)
    }

    fn now(&self) -> Duration {
        self.pool.access().edges.clock.now()
    }

    fn parents(&self) -> MutexGuard<'_, HashMap<String, FolderId>> {
        self.parents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fence(&self) -> MutexGuard<'_, Option<Weak<dyn Fence>>> {
        self.fence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self, folder: &FolderId) -> Option<String> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.get(folder).cloned()
    }

    fn note_state(&self, folder: &FolderId, state: &str) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.insert(folder.clone(), state.to_owned());
    }

    /// The state of a folder now. It is reached by walking through all changes since the last one that is
    /// known, for there is no other way.
    async fn mark(&self, folder: &FolderId) -> Result<Mark> {
        let mut walk = Walk::new(self, folder, self.state(folder), false);
        if other::place_of(self, folder).await?.is_none() {
            walk = walk.or_by_ids();
        }
        loop {
            let page = walk.next().await?;
            if page.is_last {
                self.note_state(folder, &page.state);
                return Ok(Mark::opaque(folder.as_str(), page.state));
            }
        }
    }

    /// A page of what is in a folder, or changed there. Remembers what an append left behind without all its attachments.
    async fn page(&self, folder: &FolderId, state: Option<&str>) -> Result<delta::Changes> {
        if let Some(place) = other::place_of(self, folder).await? {
            let begin = place.begin(self);
            return delta::page(&self.pool, folder, state.or(Some(&begin)), delta::PAGE).await;
        }
        let exports = self.pool.access().config.exports();
        let mut page = delta::page_with(&self.pool, folder, state, delta::PAGE, exports).await?;
        let mailbox = folders::open(&self.pool).await?.mailbox;
        for change in &mut page.changes {
            if let delta::Changed::Is(meta) = change {
                self.note_open(folder, mailbox, meta);
            }
        }
        Ok(page)
    }

    /// Remembers a message that is not complete.
    fn note_open(&self, folder: &FolderId, mailbox: u64, meta: &mut Meta) {
        // Of another mailbox, from which it came as it was: here it is whole.
        meta.open = meta.open.filter(|stamp| stamp.mailbox == mailbox);
        if let Some(stamp) = meta.open {
            self.incomplete.found(folder, stamp.content, &meta.id);
        }
    }
}

/// Whether a mark was taken of another folder.
fn is_other_epoch(mark: &Mark, folder: &FolderId) -> bool {
    let epoch = mark.epoch.as_str();
    !epoch.is_empty() && epoch != folder.as_str()
}

fn stale() -> Error {
    Error::new(ErrorKind::Stale, "it is another folder by now").with_code("graph/other-folder")
}

#[async_trait]
impl Destination for GraphDestination {
    fn endpoint(&self) -> Endpoint {
        self.0.pool.access().config.endpoint()
    }

    async fn capabilities(&self) -> Result<Capabilities> {
        folders::open(&self.0.pool).await?;
        let mut out = Capabilities::new("Microsoft Graph");
        // More than may be under way at first: how many that is, is found out on the way, and they wait for each other.
        out.concurrency = self.0.pool.access().config.concurrency().min(FOLDERS);
        out.keeps_received = true;
        out.keeps_keywords = true;
        out.returns_ids = true;
        out.sets_flags = true;
        out.moves = true;
        out.removes = true;
        out.copies = true;
        out.batching = Batching::new(BATCH_MESSAGES, BATCH_BYTES, false);
        out.max_message = Some(MESSAGE_MAX);
        out.naming = tree::naming();
        if import::is_offered(&self.0).await? {
            out.forms.push(Form::ExchangeStream);
            out.classes = export::CLASSES.to_vec();
        }
        out.settle = SETTLE;
        out.late = LATE;
        Ok(out)
    }

    async fn folders(&self) -> Result<Vec<Folder>> {
        let folders = folders::list(&self.0.pool).await?.folders;
        self.0.classes.note(&folders);
        Ok(folders)
    }

    fn ensure_folders(&self, want: Vec<FolderSpec>) -> BoxStream<(Slot, Result<Folder>)> {
        let inner = Arc::clone(&self.0);
        generate(|out| async move { create::run(&inner, want, &out).await })
    }

    async fn mark(&self, folder: &FolderId) -> Result<Mark> {
        self.0.mark(folder).await
    }

    fn existing(&self, probe: Probe) -> BoxStream<Result<Vec<Existing>>> {
        let inner = Arc::clone(&self.0);
        generate(|out| async move {
            if let Err(error) = look::run(&inner, probe, &out).await {
                out.send(Err(error)).await;
            }
        })
    }

    fn append(&self, batch: Batch) -> BoxStream<(Slot, Outcome)> {
        let inner = Arc::clone(&self.0);
        generate(|out| async move {
            match other::place_of(&inner, &batch.folder).await {
                Ok(None) => batch::run(&inner, batch, &out).await,
                Ok(Some(place)) => import::into(&inner, &place, batch, &out).await,
                Err(error) => {
                    let none = |at| (Slot::new(at), Outcome::NotStored(error::again(&error)));
                    out.send_all((0..batch.items.len()).map(none)).await;
                }
            }
        })
    }

    fn updater(&self) -> Option<&dyn Updater> {
        Some(self)
    }

    fn describe(&self, id: &MessageId) -> String {
        format!("message {id}")
    }
}

impl Updater for GraphDestination {
    fn set_flags(
        &self,
        folder: &FolderId,
        changes: Vec<FlagChange>,
    ) -> BoxStream<(MessageId, Outcome)> {
        let (inner, folder) = (Arc::clone(&self.0), folder.clone());
        let change = Change::Flags(changes);
        generate(|out| async move { update::run(&inner, &folder, change, &out).await })
    }

    fn relocate(
        &self,
        from: &FolderId,
        ids: Vec<MessageId>,
        to: &FolderId,
    ) -> BoxStream<(MessageId, Outcome)> {
        let (inner, from) = (Arc::clone(&self.0), from.clone());
        let change = Change::Carry(ids, to.clone(), "move");
        generate(|out| async move { update::run(&inner, &from, change, &out).await })
    }

    fn remove(&self, folder: &FolderId, ids: Vec<MessageId>) -> BoxStream<(MessageId, Outcome)> {
        let (inner, folder) = (Arc::clone(&self.0), folder.clone());
        let change = Change::Remove(ids);
        generate(|out| async move { update::run(&inner, &folder, change, &out).await })
    }

    fn duplicate(
        &self,
        from: &FolderId,
        ids: Vec<MessageId>,
        to: &FolderId,
    ) -> BoxStream<(MessageId, Outcome)> {
        let (inner, from) = (Arc::clone(&self.0), from.clone());
        let change = Change::Carry(ids, to.clone(), "copy");
        generate(|out| async move { update::run(&inner, &from, change, &out).await })
    }
}
