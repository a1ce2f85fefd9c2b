//! A mailbox on an Exchange server, to be read.

mod cursor;
mod exports;
mod fetch;
mod list;
mod original;

use std::sync::{Arc, atomic::AtomicUsize};

use async_trait::async_trait;
use mailmove_core::{
    edge::{CredentialProvider, Edges},
    error::Result,
    model::{Capabilities, Endpoint, Folder, Form, MessageId},
    source::{BoxStream, FetchRequest, Fetched, ListRequest, Page, Source},
};

use mailmove_exchange::{export, ids, sizes::Sizes};

pub(crate) use fetch::{broken, digested, is_gone, metas, metas_as};

use crate::{
    config::{Access, EwsConfig},
    folders,
    generate::generate,
    pool::Pool,
    wire::Version,
};

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
            out.classes = export::CLASSES.to_vec();
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
