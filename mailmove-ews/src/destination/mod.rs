//! A mailbox on an Exchange server, to be filled.

mod append;
mod create;
mod look;
mod prepare;
mod room;
mod update;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mailmove_core::{
    destination::{Batch, Destination, Existing, FlagChange, Outcome, Probe, Updater},
    edge::{CredentialProvider, Edges},
    error::Result,
    model::{
        Batching, Capabilities, Endpoint, Folder, FolderId, FolderSpec, Form, Mark, MessageId,
        Quota, Slot,
    },
    source::BoxStream,
};
use mailmove_exchange::{export, ids, token::Tokens, tree};

use crate::{
    config::{Access, EwsConfig},
    find, folders,
    generate::generate,
    pool::Pool,
    source, sync,
    wire::Shape,
};

/// How long a request that was sent may take to show what it did.
const SETTLE: Duration = Duration::from_secs(120);
/// How long at worst.
const LATE: Duration = Duration::from_secs(300);
/// Messages in a request.
const BATCH_ITEMS: usize = 32;
/// Bytes of messages in a request: what a lost connection leaves in doubt.
const BATCH_BYTES: u64 = 4 << 20;

/// A mailbox on an Exchange server that is filled. Cheap to clone; clones share their connections.
///
/// Exchange takes messages apart and makes MIME of them again when they are read: what arrives has other
/// bytes. Each message is marked, in a property of our own, with the digests of what it was made from.
#[derive(Clone, Debug)]
pub struct EwsDestination(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: Arc<Pool>,
    /// The newest sync state of each folder.
    states: Mutex<HashMap<FolderId, String>>,
    /// Bytes of messages that fit into a request, as far as is known.
    request_max: AtomicU64,
}

impl EwsDestination {
    /// The mailbox that `config` describes; nothing is sent before it is used. `credentials` are asked
    /// at each login.
    #[must_use]
    pub fn new(config: EwsConfig, credentials: Arc<dyn CredentialProvider>, edges: Edges) -> Self {
        let access = Access {
            config: Arc::new(config),
            credentials,
            edges,
        };
        Self(Arc::new(Inner {
            pool: Pool::new(access),
            states: Mutex::default(),
            request_max: AtomicU64::new(u64::MAX),
        }))
    }
}

impl Inner {
    fn request_max(&self) -> u64 {
        self.request_max.load(Ordering::Relaxed)
    }

    /// So many bytes of messages were more than something on the way takes.
    fn note_refused(&self, bytes: u64) {
        self.request_max.fetch_min(bytes / 2, Ordering::Relaxed);
    }

    fn state(&self, folder: &FolderId) -> Option<String> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.get(folder).cloned()
    }

    fn note_state(&self, folder: &FolderId, state: Option<&str>) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            Some(state) => states.insert(folder.clone(), state.to_owned()),
            None => states.remove(folder),
        };
    }

    /// The state of a folder now. It is reached by walking through all changes since the last one that is
    /// known, for there is no other way.
    async fn mark(&self, folder: &FolderId) -> Result<Mark> {
        // An empty answer is no proof that the folder is there.
        folders::count(&self.pool, folder).await?;
        self.mark_of(folder).await
    }

    /// The same of a folder that was just seen to be there.
    async fn mark_of(&self, folder: &FolderId) -> Result<Mark> {
        let mut state = self.state(folder);
        loop {
            let page = sync::page(
                &self.pool,
                folder,
                state.as_deref(),
                sync::PAGE_MAX,
                Shape::Ids,
            )
            .await;
            let page = match page {
                Err(error)
                    if error.kind() == mailmove_core::ErrorKind::Stale && state.is_some() =>
                {
                    state = None;
                    continue;
                }
                Err(error) if sync::is_not_offered(&error) => {
                    return find::mark(&self.pool, folder).await;
                }
                page => page?,
            };
            if page.is_last {
                self.note_state(folder, Some(&page.state));
                return Ok(mark(folder, &page.state));
            }
            state = Some(page.state);
        }
    }
}

fn mark(folder: &FolderId, state: &str) -> Mark {
    Mark::opaque(folder.as_str(), state)
}

/// Whether a mark was taken of another folder.
fn is_other_epoch(mark: &Mark, folder: &FolderId) -> bool {
    let epoch = mark.epoch.as_str();
    !epoch.is_empty() && epoch != folder.as_str()
}

fn stale() -> mailmove_core::Error {
    mailmove_core::Error::new(
        mailmove_core::ErrorKind::Stale,
        "it is another folder by now",
    )
    .with_code("ews/other-folder")
}

#[async_trait]
impl Destination for EwsDestination {
    fn endpoint(&self) -> Endpoint {
        self.0.pool.access().config.endpoint()
    }

    async fn capabilities(&self) -> Result<Capabilities> {
        let config = Arc::clone(&self.0.pool.access().config);
        let mut out = Capabilities::new(folders::open(&self.0.pool).await?.system);
        out.concurrency = config.connections();
        out.keeps_received = true;
        out.keeps_keywords = true;
        out.returns_ids = true;
        out.sets_flags = true;
        out.moves = true;
        out.removes = true;
        out.copies = true;
        out.batching = Batching::new(BATCH_ITEMS, BATCH_BYTES, false);
        out.max_message = Some(config.max_message());
        out.naming = tree::naming();
        if source::exports(&self.0.pool) {
            out.forms.push(Form::ExchangeStream);
            out.classes = export::CLASSES.to_vec();
        }
        out.settle = SETTLE;
        out.late = LATE;
        Ok(out)
    }

    async fn folders(&self) -> Result<Vec<Folder>> {
        Ok(folders::list_as(&self.0.pool, Tokens::Any).await?.folders)
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

    async fn expect(&self, folder: &FolderId, mark: &Mark) {
        // What came before it need not be walked through again.
        if !is_other_epoch(mark, folder)
            && self.0.state(folder).is_none()
            && let Some(state) = &mark.token
            && find::number(state.as_str()).is_none()
        {
            self.0.note_state(folder, Some(state.as_str()));
        }
    }

    fn append(&self, batch: Batch) -> BoxStream<(Slot, Outcome)> {
        let inner = Arc::clone(&self.0);
        generate(|out| async move { append::run(&inner, batch, &out).await })
    }

    async fn quota(&self) -> Result<Quota> {
        room::quota(&self.0).await
    }

    fn updater(&self) -> Option<&dyn Updater> {
        Some(self)
    }

    fn describe(&self, id: &MessageId) -> String {
        ids::describe(id)
    }
}

impl Updater for EwsDestination {
    fn set_flags(
        &self,
        _folder: &FolderId,
        changes: Vec<FlagChange>,
    ) -> BoxStream<(MessageId, Outcome)> {
        let inner = Arc::clone(&self.0);
        generate(|out| async move { update::set_flags(&inner, changes, &out).await })
    }

    fn relocate(
        &self,
        _from: &FolderId,
        ids: Vec<MessageId>,
        to: &FolderId,
    ) -> BoxStream<(MessageId, Outcome)> {
        let (inner, to) = (Arc::clone(&self.0), to.clone());
        generate(|out| async move { update::relocate(&inner, ids, &to, &out).await })
    }

    fn remove(&self, _folder: &FolderId, ids: Vec<MessageId>) -> BoxStream<(MessageId, Outcome)> {
        let inner = Arc::clone(&self.0);
        generate(|out| async move { update::remove(&inner, ids, &out).await })
    }

    fn duplicate(
        &self,
        _from: &FolderId,
        ids: Vec<MessageId>,
        to: &FolderId,
    ) -> BoxStream<(MessageId, Outcome)> {
        let (inner, to) = (Arc::clone(&self.0), to.clone());
        generate(|out| async move { update::duplicate(&inner, ids, &to, &out).await })
    }
}
