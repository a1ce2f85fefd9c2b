//! A mailbox of Microsoft 365, to be read.

mod cursor;
mod exports;
mod fetch;
mod list;
mod original;

use std::sync::Arc;

use async_trait::async_trait;
use mailmove_core::{
    edge::{CredentialProvider, Edges},
    error::Result,
    model::{Capabilities, Endpoint, Folder, Form, MessageId},
    source::{BoxStream, FetchRequest, Fetched, ListRequest, Page, Source},
};
use mailmove_exchange::{export, ids, sizes::Sizes};

use crate::{
    config::{Access, GraphConfig},
    folders,
    generate::generate,
    pool::Pool,
};

/// A mailbox of Microsoft 365, to be read. Cheap to clone; clones share their connections and limits.
///
/// Folders are those of the user's own, without hidden ones and searches. Listings go by the changes of a
/// folder, with ids that last; contents come as the MIME that Exchange makes of its messages, or as its own
/// exports.
#[derive(Clone, Debug)]
pub struct GraphSource(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: Arc<Pool>,
    sizes: Sizes,
    unexported: exports::Unexported,
    stumbles: list::Stumbles,
}

impl GraphSource {
    /// A mailbox; nothing is sent before it is used. `credentials` are asked for tokens, such as a
    /// [`Login`](crate::Login) that many mailboxes share.
    #[must_use]
    pub fn new(
        config: GraphConfig,
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
            sizes: Sizes::default(),
            unexported: exports::Unexported::default(),
            stumbles: list::Stumbles::default(),
        }))
    }

    /// Time that requests waited so far, to keep within what Microsoft allows of requests and bytes.
    #[must_use]
    pub fn time_waited(&self) -> std::time::Duration {
        self.0.pool.waited()
    }
}

#[async_trait]
impl Source for GraphSource {
    fn endpoint(&self) -> Endpoint {
        self.0.pool.access().config.endpoint()
    }

    async fn capabilities(&self) -> Result<Capabilities> {
        let opened = folders::open(&self.0.pool).await?;
        let mut out = Capabilities::new("Microsoft Graph");
        out.change_tokens = opened.tokens;
        out.concurrency = self.0.pool.concurrency();
        out.keeps_received = true;
        out.keeps_keywords = true;
        out.deltas = true;
        if opened.exports.is_some() {
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
