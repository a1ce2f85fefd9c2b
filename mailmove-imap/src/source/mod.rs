//! A mailbox on an IMAP server, to be read.

mod binary;
mod collect;
mod convert;
mod count;
mod cursor;
mod delta;
mod fetch;
mod labels;
mod list;
mod missing;
mod substitute;
mod suspects;
mod told;
mod windows;

use std::sync::Arc;

use async_trait::async_trait;
use mailmove_core::{
    edge::{CredentialProvider, Edges},
    error::Result,
    model::{Annotations, Capabilities, Cursor, Endpoint, Folder, FolderId, MessageId, Rights},
    source::{BoxStream, FetchRequest, Fetched, ListRequest, Page, Source},
};

use crate::{
    config::{Access, ImapConfig},
    folders, gmail, ids, metadata,
    pool::Pool,
    rights,
    session::Side,
};
use labels::Labels;
use suspects::Suspects;

/// A cursor as it is written after it was read.
pub(crate) fn reread(cursor: &Cursor) -> Option<Cursor> {
    cursor::Place::read(cursor).map(|place| place.cursor())
}

/// A mailbox on an IMAP server, to be read. Cheap to clone; clones share their connections.
///
/// Folders are opened with EXAMINE and contents read with BODY.PEEK, so that nothing at the server
/// changes, not even `\Seen` or `\Recent`.
///
/// Listings name just what changed where the server has QRESYNC (RFC 7162), or CONDSTORE and ESEARCH
/// (RFC 4731). With CONDSTORE alone they do as long as nothing was removed; else, and without
/// CONDSTORE, the folder's metadata is listed again.
#[derive(Clone, Debug)]
pub struct ImapSource {
    pool: Arc<Pool>,
    suspects: Arc<Suspects>,
    labels: Arc<Labels>,
}

impl ImapSource {
    /// A mailbox; nothing is sent before it is used. `credentials` are asked at each login.
    #[must_use]
    pub fn new(config: ImapConfig, credentials: Arc<dyn CredentialProvider>, edges: Edges) -> Self {
        let access = Access {
            config: Arc::new(config),
            credentials,
            edges,
        };
        Self {
            pool: Pool::new(access, Side::Source),
            suspects: Arc::default(),
            labels: Arc::default(),
        }
    }
}

#[async_trait]
impl Source for ImapSource {
    fn endpoint(&self) -> Endpoint {
        self.pool.access().config.endpoint()
    }

    async fn capabilities(&self) -> Result<Capabilities> {
        let server = self.pool.server().await?;
        let condstore = server.capabilities.condstore();
        let mut capabilities = Capabilities::new(server.system());
        capabilities.notes = server.notes();
        capabilities.concurrency = self.pool.connections();
        capabilities.keeps_bytes = true;
        capabilities.keeps_received = true;
        capabilities.keeps_keywords = true;
        capabilities.change_tokens = condstore;
        // With CONDSTORE alone removals make a folder be listed again.
        let can = &server.capabilities;
        capabilities.deltas =
            can.has("QRESYNC") && can.has("ENABLE") || condstore && can.has("ESEARCH");
        capabilities.content_ids = !labels::items(can).is_empty();
        let config = &self.pool.access().config;
        capabilities.daily_down = gmail::daily(config, can).map(|(down, _)| down);
        Ok(capabilities)
    }

    async fn folders(&self) -> Result<Vec<Folder>> {
        let mut lease = self.pool.lease(None).await?;
        let listing = folders::list(&mut lease).await?;
        // What the server told meanwhile of the folder that is open, nobody heard.
        lease.forget_folder();
        self.labels.learn(&listing.folders);
        Ok(listing.folders)
    }

    async fn warm_up(&self, folders: usize) {
        self.pool.open_ahead(folders).await;
    }

    fn list(&self, request: ListRequest) -> BoxStream<Result<Page>> {
        let labels = Arc::clone(&self.labels);
        list::list(
            Arc::clone(&self.pool),
            Arc::clone(&self.suspects),
            labels,
            request,
        )
    }

    fn fetch(&self, request: FetchRequest) -> BoxStream<(MessageId, Fetched)> {
        fetch::fetch(Arc::clone(&self.pool), Arc::clone(&self.suspects), request)
    }

    async fn rights(&self, folders: &[FolderId]) -> Result<Vec<Rights>> {
        let mut lease = self.pool.lease(None).await?;
        rights::ask(&mut lease, folders).await
    }

    async fn annotations(&self, folders: &[FolderId]) -> Result<Vec<Annotations>> {
        let mut lease = self.pool.lease(None).await?;
        metadata::ask(&mut lease, folders).await
    }

    fn describe(&self, id: &MessageId) -> String {
        ids::describe(id)
    }
}
