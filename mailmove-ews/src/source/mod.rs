//! A mailbox on an Exchange server, to be read.

mod cursor;
mod export;
mod fetch;
mod list;
mod original;

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize},
};

use async_trait::async_trait;
use mailmove_core::{
    edge::{CredentialProvider, Edges},
    error::Result,
    model::{Capabilities, Endpoint, Folder, Form, ItemClass, MessageId},
    source::{BoxStream, FetchRequest, Fetched, ListRequest, Page, Source},
};

use mailmove_exchange::ids;

pub(crate) use fetch::{broken, digested, is_gone, metas, metas_as};

use crate::{
    config::{Access, EwsConfig},
    folders,
    generate::generate,
    pool::Pool,
    wire::Version,
};

/// What Exchange exports.
pub(crate) const CLASSES: [ItemClass; 6] = [
    ItemClass::Mail,
    ItemClass::Event,
    ItemClass::Contact,
    ItemClass::Task,
    ItemClass::Note,
    ItemClass::Journal,
];

/// Whether the server exports items: since Exchange 2010 SP1.
pub(crate) fn exports(pool: &Pool) -> bool {
    pool.version() >= Version::Exchange2010Sp2
}

/// A mailbox on an Exchange server, to be read. Cheap to clone; clones share their connections.
///
/// Folders are those of the user's own, without hidden and system ones. Listings go by SyncFolderItems
/// and so name just what changed; contents come as the MIME that Exchange makes of its items, or as its own export.
#[derive(Clone, Debug)]
pub struct EwsSource(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: Arc<Pool>,
    sizes: Sizes,
    /// Contents that are asked for at once, as far as the server could stand it.
    batch: AtomicUsize,
}

/// Contents that are asked for at once at first.
const BATCH: usize = 20;

/// How large listed messages are said to be, for the sake of batches. A hint that may be lost.
#[derive(Debug, Default)]
struct Sizes {
    hasher: RandomState,
    known: Mutex<HashMap<u64, u32>>,
}

/// Most sizes that are remembered: some 4 MiB.
const SIZES_MAX: usize = 200_000;
/// A message of unknown size is taken for one of this.
const USUAL: u64 = 64 << 10;

impl Sizes {
    fn note(&self, id: &MessageId, size: u64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= SIZES_MAX {
            known.clear();
        }
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        known.insert(self.hasher.hash_one(id), size);
    }

    fn of(&self, id: &MessageId) -> u64 {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let size = known.get(&self.hasher.hash_one(id)).copied();
        size.map_or(USUAL, u64::from)
    }
}

impl EwsSource {
    /// A mailbox; nothing is sent before it is used. `credentials` are asked at each login.
    #[must_use]
    pub fn new(config: EwsConfig, credentials: Arc<dyn CredentialProvider>, edges: Edges) -> Self {
        let access = Access {
            config: Arc::new(config),
            credentials,
            edges,
        };
        Self(Arc::new(Inner {
            pool: Pool::new(access),
            sizes: Sizes::default(),
            batch: AtomicUsize::new(BATCH),
        }))
    }
}

#[async_trait]
impl Source for EwsSource {
    fn endpoint(&self) -> Endpoint {
        self.0.pool.access().config.endpoint()
    }

    async fn capabilities(&self) -> Result<Capabilities> {
        let opened = folders::open(&self.0.pool).await?;
        let mut out = Capabilities::new(opened.system);
        out.change_tokens = opened.tokens;
        out.concurrency = self.0.pool.access().config.connections();
        out.keeps_received = true;
        out.keeps_keywords = true;
        out.deltas = true;
        if exports(&self.0.pool) {
            out.forms.push(Form::ExchangeStream);
            out.classes = CLASSES.to_vec();
        }
        // Exchange tells the size of its own form.
        out.exact_sizes = false;
        Ok(out)
    }

    async fn folders(&self) -> Result<Vec<Folder>> {
        Ok(folders::list(&self.0.pool).await?.folders)
    }

    fn list(&self, request: ListRequest) -> BoxStream<Result<Page>> {
        let inner = Arc::clone(&self.0);
        generate(|out| async move {
            if let Err(error) = list::run(&inner, request, &out).await {
                out.send(Err(error)).await;
            }
        })
    }

    fn fetch(&self, request: FetchRequest) -> BoxStream<(MessageId, Fetched)> {
        let inner = Arc::clone(&self.0);
        generate(|out| async move { fetch::run(&inner, request, &out).await })
    }

    fn describe(&self, id: &MessageId) -> String {
        ids::describe(id)
    }
}
