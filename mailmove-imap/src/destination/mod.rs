//! IMAP as a destination.

mod append;
mod begin;
mod binary;
mod copy;
mod create;
mod dates;
mod flagged;
mod inbox;
mod known;
mod look;
mod names;
mod prepare;
mod quota;
mod refused;
mod under_way;
mod update;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use mailmove_core::{
    destination::{Batch, Destination, Existing, FlagChange, Outcome, Probe, Updater},
    edge::{CredentialProvider, Edges},
    error::{Error, ErrorKind, Result},
    model::{
        Annotation, Annotations, Batching, Capabilities, Endpoint, Folder, FolderId, FolderSpec,
        Mark, MessageId, Naming, Quota, Rights, Slot,
    },
    source::BoxStream,
};

use crate::{
    config::{Access, ImapConfig},
    error, folders,
    generate::generate,
    gmail, ids, metadata,
    naming::Names,
    pool::Pool,
    rights,
    session::{self, Server, Session, Side},
    wire::{LiteralMode, Response},
};
use known::Known;

/// How long a fully sent APPEND may take to show up after its connection was lost. Measured:
/// 18 to 150 ms on Dovecot; the margin is for servers under load.
const SETTLE: Duration = Duration::from_secs(10);
/// Messages per MULTIAPPEND, which is one transaction at the server. For each, Dovecot goes through all that the folder
/// holds: with few, the last of a million messages takes many times as long as the first.
const BATCH_ITEMS: usize = 1000;
/// Messages in a window of single APPENDs.
const SINGLE_ITEMS: usize = 200;
/// Bytes per MULTIAPPEND: what a refusal costs to send again in parts. A few batches per folder are
/// in memory at once, so this also bounds that.
const BATCH_BYTES: u64 = 1 << 20;

/// A mailbox on an IMAP server that is filled. Connects when first needed; cheap to make.
///
/// Messages arrive byte by byte as they are, with the flags that the folder keeps and the received
/// date. Batches go by MULTIAPPEND (RFC 3502) with non-synchronising literals (RFC 7888) where the
/// server offers both, else as a window of pipelined APPENDs. See [`Destination`] for the contract.
#[derive(Clone, Debug)]
pub struct ImapDestination(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: Arc<Pool>,
    known: Known,
}

impl ImapDestination {
    /// The mailbox that `config` describes. No I/O.
    #[must_use]
    pub fn new(config: ImapConfig, credentials: Arc<dyn CredentialProvider>, edges: Edges) -> Self {
        let access = Access {
            config: Arc::new(config),
            credentials,
            edges,
        };
        Self(Arc::new(Inner {
            pool: Pool::new(access, Side::Destination),
            known: Known::default(),
        }))
    }
}

impl Inner {
    /// How names are built; asks once.
    async fn names(&self, session: &mut Session) -> Result<Names> {
        if let Some(names) = self.known.names() {
            return Ok(names);
        }
        let mut separator = None;
        if session.server.namespaces.is_none() {
            // An empty pattern asks for the separator alone (RFC 3501 §6.3.8).
            let tag = session.connection.tag();
            let command = session.connection.encoder().list(tag, b"", b"", None);
            let note = |response| {
                if let Response::List(entry) = response {
                    separator = entry.delimiter;
                }
            };
            let command = command.map_err(session::encode)?;
            let status = session.connection.run(command, note).await?;
            folders::heed(error::Doing::account("LIST"), &status)?;
        }
        let names = Names::new(session.server.namespaces.as_ref(), separator);
        self.known.set_names(names.clone());
        Ok(names)
    }

    async fn list(&self) -> Result<Vec<Folder>> {
        let mut lease = self.pool.lease(None).await?;
        let listing = inbox::list(self, &mut lease).await?;
        for (folder, limit) in &listing.limits {
            self.known.set_limit(folder, *limit);
        }
        for folder in &listing.folders {
            self.known.confirm_seen(folder);
        }
        let folders = listing.folders.clone();
        self.known.set_listed(listing);
        Ok(folders)
    }

    async fn mark(&self, folder: &FolderId) -> Result<Mark> {
        let mut lease = self.pool.lease(None).await?;
        let status = folders::status(&mut lease, folder).await?;
        match (status.uid_validity, status.uid_next) {
            (Some(validity), Some(next)) => Ok(folders::mark(validity, next)),
            _ => Err(
                error::unexpected("the server does not tell UIDVALIDITY and UIDNEXT")
                    .with_context("folder", folder.as_str()),
            ),
        }
    }

    /// What names of new folders may be; asks once.
    async fn naming(&self, folders: &[Folder]) -> Result<Naming> {
        if let Some(naming) = self.known.naming() {
            return Ok(naming);
        }
        let mut lease = self.pool.lease(None).await?;
        let names = self.names(&mut lease).await?;
        let quirks = Arc::clone(&lease.server.quirks);
        let asked = match quirks.counts_refusals {
            true => Ok(names.naming()),
            false => names::ask(&mut lease, &names, folders).await,
        };
        let mut naming = match asked {
            // Some servers hang up on whoever asks for what there cannot be.
            Err(error) if error.kind() == ErrorKind::Interrupted => names.naming(),
            asked => asked?,
        };
        quirks.limit(&mut naming);
        self.known.set_naming(naming.clone());
        Ok(naming)
    }

    async fn capabilities(&self) -> Result<Capabilities> {
        let mut lease = self.pool.lease(None).await?;
        let names = self.names(&mut lease).await?;
        let mut naming = names.naming();
        lease.server.quirks.limit(&mut naming);
        let mut out = describe(&lease.server, naming);
        out.concurrency = self.pool.connections();
        let config = &self.pool.access().config;
        out.daily_up = gmail::daily(config, lease.can()).map(|(_, up)| up);
        Ok(out)
    }
}

/// Appends go as one command per batch.
fn is_atomic(server: &Server) -> bool {
    server.capabilities.has("MULTIAPPEND") && server.literals() == LiteralMode::Any
}

/// Largest message that is sent.
fn largest(server: &Server) -> Option<u64> {
    let told = server.capabilities.append_limit();
    told.into_iter().chain(server.quirks.max_message).min()
}

/// The largest message that may be sent to this folder, as far as the server says (RFC 7889).
fn largest_here(inner: &Inner, server: &Server, folder: &FolderId) -> Option<u64> {
    let own = inner.known.limit(folder).flatten();
    largest(server).into_iter().chain(own).min()
}

fn describe(server: &Server, naming: Naming) -> Capabilities {
    let can = &server.capabilities;
    let mut out = Capabilities::new(server.system());
    out.notes = server.notes();
    out.keeps_bytes = true;
    out.keeps_received = true;
    out.keeps_keywords = server.quirks.new_keywords;
    out.returns_ids = can.has("UIDPLUS");
    out.change_tokens = can.condstore();
    out.sets_flags = true;
    // Without UIDPLUS nothing says where a message went, and EXPUNGE takes more than was asked.
    out.moves = can.has("UIDPLUS");
    // At Gmail EXPUNGE may take a message out of all folders, or just out of this one, as the user set.
    out.removes = can.has("UIDPLUS") && !can.gmail();
    out.copies = true;
    out.merges = can.gmail();
    let is_atomic = is_atomic(server);
    let most = match is_atomic {
        true => BATCH_ITEMS,
        false => SINGLE_ITEMS,
    };
    let limit = can.save_limit();
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let items = limit.map_or(most, |limit| limit.min(most));
    out.batching = Batching::new(items, BATCH_BYTES, is_atomic);
    out.max_message = largest(server);
    out.naming = naming;
    out.settle = SETTLE;
    out
}

#[async_trait]
impl Destination for ImapDestination {
    fn endpoint(&self) -> Endpoint {
        self.0.pool.access().config.endpoint()
    }

    async fn capabilities(&self) -> Result<Capabilities> {
        self.0.capabilities().await
    }

    async fn folders(&self) -> Result<Vec<Folder>> {
        self.0.list().await
    }

    async fn naming(&self, folders: &[Folder]) -> Result<Naming> {
        self.0.naming(folders).await
    }

    fn ensure_folders(&self, want: Vec<FolderSpec>) -> BoxStream<(Slot, Result<Folder>)> {
        let inner = Arc::clone(&self.0);
        generate(|out| async move { create::run(&inner, want, &out).await })
    }

    async fn mark(&self, folder: &FolderId) -> Result<Mark> {
        self.0.mark(folder).await
    }

    async fn quota(&self) -> Result<Quota> {
        let mut lease = self.0.pool.lease(None).await?;
        quota::ask(&mut lease).await
    }

    async fn rights(&self, folders: &[FolderId]) -> Result<Vec<Rights>> {
        let mut lease = self.0.pool.lease(None).await?;
        rights::ask(&mut lease, folders).await
    }

    async fn annotations(&self, folders: &[FolderId]) -> Result<Vec<Annotations>> {
        let mut lease = self.0.pool.lease(None).await?;
        metadata::ask(&mut lease, folders).await
    }

    async fn annotate(
        &self,
        folder: &FolderId,
        annotations: Vec<Annotation>,
    ) -> Result<Vec<Result<()>>> {
        let mut lease = self.0.pool.lease(None).await?;
        metadata::note(&mut lease, folder, annotations).await
    }

    async fn expect(&self, folder: &FolderId, mark: &Mark) {
        begin::expect(&self.0, folder, mark).await;
    }

    async fn warm_up(&self, folders: usize) {
        self.0.pool.open_ahead(folders).await;
    }

    fn existing(&self, probe: Probe) -> BoxStream<Result<Vec<Existing>>> {
        let inner = Arc::clone(&self.0);
        generate(|out| async move { look::run(&inner, probe, &out).await })
    }

    fn append(&self, batch: Batch) -> BoxStream<(Slot, Outcome)> {
        let inner = Arc::clone(&self.0);
        generate(|out| async move { append::run(&inner, batch, &out).await })
    }

    fn updater(&self) -> Option<&dyn Updater> {
        Some(self)
    }

    fn describe(&self, id: &MessageId) -> String {
        ids::describe(id)
    }
}

impl Updater for ImapDestination {
    fn set_flags(
        &self,
        folder: &FolderId,
        changes: Vec<FlagChange>,
    ) -> BoxStream<(MessageId, Outcome)> {
        let (inner, folder) = (Arc::clone(&self.0), folder.clone());
        generate(|out| async move { update::set_flags(&inner, &folder, changes, &out).await })
    }

    fn relocate(
        &self,
        from: &FolderId,
        ids: Vec<MessageId>,
        to: &FolderId,
    ) -> BoxStream<(MessageId, Outcome)> {
        let (inner, from, to) = (Arc::clone(&self.0), from.clone(), to.clone());
        generate(|out| async move { update::relocate(&inner, &from, ids, &to, &out).await })
    }

    fn remove(&self, folder: &FolderId, ids: Vec<MessageId>) -> BoxStream<(MessageId, Outcome)> {
        let (inner, folder) = (Arc::clone(&self.0), folder.clone());
        generate(|out| async move { update::remove(&inner, &folder, ids, &out).await })
    }

    fn duplicate(
        &self,
        from: &FolderId,
        ids: Vec<MessageId>,
        to: &FolderId,
    ) -> BoxStream<(MessageId, Outcome)> {
        let (inner, from, to) = (Arc::clone(&self.0), from.clone(), to.clone());
        generate(|out| async move { copy::run(&inner, &from, ids, &to, &out).await })
    }
}

/// Whether a mark was taken of another state of numbering than this. A mark without epoch says
/// nothing about that.
fn is_other_epoch(mark: &Mark, validity: u32) -> bool {
    let epoch = mark.epoch.as_str();
    !epoch.is_empty() && epoch.parse() != Ok(validity)
}

/// The same error for another item of the request, kept as [`Outcome::NotStored`].
fn not_stored(error: &Error) -> Outcome {
    Outcome::NotStored(error::again(error))
}

/// The same error for another item of the request, kept as [`Outcome::Unknown`].
fn unknown(error: &Error) -> Outcome {
    Outcome::Unknown(error::again(error))
}
