//! Where mail comes from.

use std::{fmt::Debug, pin::Pin, sync::Arc};

use async_trait::async_trait;
use futures_core::Stream;

use crate::{
    error::{Error, Result},
    model::{
        Annotations, Capabilities, Content, Cursor, Endpoint, Flags, Folder, FolderId, Form,
        Listed, Mark, MessageId, Rights,
    },
};

/// A stream that owns what it needs, so that it can be polled from any task.
pub type BoxStream<T> = Pin<Box<dyn Stream<Item = T> + Send + 'static>>;

/// A mailbox that is read.
///
/// # Contract
///
/// - **Nothing at the source changes**: no flag, no `\Seen`, no `\Recent` another client waits for.
/// - Methods take `&self` and may be called at once; the adapter owns its connections, opens them
///   when first needed, and reopens them after a failure. It **never retries** a failed request:
///   it says what failed, and the engine decides.
/// - Errors carry the right [`Scope`](crate::error::Scope): a folder that cannot be opened must not
///   look like an account that cannot.
/// - Streams are lazy: nothing is sent before the first poll, and a reader that is slow slows the
///   server down instead of filling memory. Dropping a stream ends the request; the adapter may
///   close that connection.
/// - Nothing that the server says may panic.
///
/// The conformance suite of `mailmove-testkit` holds an adapter to this.
#[async_trait]
pub trait Source: Debug + Send + Sync + 'static {
    /// Which mailbox this is. No I/O.
    fn endpoint(&self) -> Endpoint;

    /// What this source can do. Connects and logs in if that has not happened yet. Cancel safe.
    ///
    /// # Errors
    /// If connecting or logging in fails.
    async fn capabilities(&self) -> Result<Capabilities>;

    /// All folders of the mailbox, also those that hold no messages, in the server's order; in one
    /// round trip where the protocol can. Cancel safe.
    ///
    /// # Errors
    /// If the list cannot be had; what is odd about a single folder is left unknown instead.
    async fn folders(&self) -> Result<Vec<Folder>>;

    /// So many folders are about to be read at once; see
    /// [`Destination::warm_up`](crate::destination::Destination::warm_up). Cancel safe.
    async fn warm_up(&self, folders: usize) {
        let _ = folders;
    }

    /// Lists a folder, or what changed in it since a cursor.
    ///
    /// Pages come in an order in which [`Page::next`] of any of them is a place to continue from
    /// after a crash. What changes while the listing runs is either in it or found by continuing
    /// from its last cursor: the adapter reads its change token *before* it lists.
    ///
    /// Ends after the first error.
    fn list(&self, request: ListRequest) -> BoxStream<Result<Page>>;

    /// Fetches contents: each id of the request comes back exactly once, in any order, pipelined
    /// where the protocol can. An error that ends the request is reported for each id that is left.
    fn fetch(&self, request: FetchRequest) -> BoxStream<(MessageId, Fetched)>;

    /// What may be done with these folders, in their order. Asked by plans alone; unless an adapter
    /// says otherwise nothing is known. Cancel safe.
    ///
    /// # Errors
    /// If the server does not answer. One that does not tell is no error.
    async fn rights(&self, folders: &[FolderId]) -> Result<Vec<Rights>> {
        Ok(vec![Rights::unknown(); folders.len()])
    }

    /// What is noted about these folders, in their order. Asked only if
    /// [`Options::annotations`](crate::Options::annotations) is set; unless an adapter says otherwise
    /// there is none. Cancel safe.
    ///
    /// # Errors
    /// If the server does not answer. A folder whose notes may not be read has none.
    async fn annotations(&self, folders: &[FolderId]) -> Result<Vec<Annotations>> {
        Ok(vec![Annotations::none(); folders.len()])
    }

    /// Names a message as users of this system know it, e.g. `UID 17`. No I/O.
    fn describe(&self, id: &MessageId) -> String;
}

/// What to list.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListRequest {
    /// The folder.
    pub folder: FolderId,
    /// Its [`identity`](Folder::identity) as last seen: another one now means
    /// [`Stale`](crate::error::ErrorKind::Stale).
    pub identity: String,
    /// Continue from here instead of listing everything.
    pub since: Option<Cursor>,
    /// Compute each item's header digest.
    pub headers: bool,
    /// Bring the contents along in this form where that saves a round trip. A source may still
    /// leave single contents out; the engine then fetches them.
    pub inline: Option<Form>,
    /// In which form contents are going to be fetched: header digests are made of what that form keeps on
    /// both sides.
    pub form: Form,
    /// The folder's mark as last seen. With it a source may ask for messages before it knows how the folder
    /// is now, and must find out then.
    pub mark: Option<Mark>,
    /// How many messages the folder had when it was last seen.
    pub messages: Option<u64>,
}

impl ListRequest {
    /// Everything in the folder, without headers and contents.
    #[must_use]
    pub fn new(folder: &Folder) -> Self {
        Self {
            folder: folder.id.clone(),
            identity: folder.identity.as_str().to_owned(),
            since: None,
            headers: false,
            inline: None,
            form: Form::Mime,
            mark: folder.mark.clone(),
            messages: folder.messages,
        }
    }

    /// Continue from a cursor.
    #[must_use]
    pub fn with_since(mut self, since: Option<Cursor>) -> Self {
        self.since = since;
        self
    }

    /// Also compute header digests.
    #[must_use]
    pub fn with_headers(mut self, headers: bool) -> Self {
        self.headers = headers;
        self
    }

    /// Sets the form in which contents are going to be fetched.
    #[must_use]
    pub fn with_form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// Also bring contents.
    #[must_use]
    pub fn with_inline(mut self, form: Option<Form>) -> Self {
        self.inline = form;
        self
    }
}

/// A part of a listing.
#[derive(Debug)]
#[non_exhaustive]
pub struct Page {
    /// What there is, or what changed.
    pub changes: Vec<Change>,
    /// Where to continue once everything up to here is recorded.
    pub next: Cursor,
    /// What this listing as a whole covers; the same on all its pages.
    pub coverage: Coverage,
    /// On the last page: how many messages the *server* says were in the folder when the listing
    /// began, without those that it reported removed since. The ledger's sums must equal it.
    pub exists: Option<u64>,
}

impl Page {
    /// A page of these changes.
    #[must_use]
    pub fn new(changes: Vec<Change>, next: Cursor, coverage: Coverage) -> Self {
        Self {
            changes,
            next,
            coverage,
            exists: None,
        }
    }

    /// Says what the server counts.
    #[must_use]
    pub fn with_exists(mut self, exists: Option<u64>) -> Self {
        self.exists = exists;
        self
    }
}

/// What a listing covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Coverage {
    /// Every message of the folder: what is not listed does not exist.
    Full,
    /// Everything from the request's cursor on, with flag changes and removals of what was before.
    Delta,
    /// Everything from the request's cursor on and nothing else: what was before the cursor may
    /// have changed. Ends a first listing that was interrupted.
    Rest,
}

/// One entry of a listing.
#[derive(Debug)]
#[non_exhaustive]
pub enum Change {
    /// A message that exists. In what changed since a cursor it may be a known one, as it is now: not every
    /// server tells what is new from what changed.
    Item(Box<Listed>),
    /// A known message has another content by now, under the same id: an event that was put off. Of mail
    /// nothing changes but flags.
    Altered(Box<Listed>),
    /// A known message now has these flags.
    Flags(MessageId, Flags),
    /// A known message is gone.
    Removed(MessageId),
}

/// What to fetch.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FetchRequest {
    /// The folder.
    pub folder: FolderId,
    /// Its [`identity`](Folder::identity) as last seen.
    pub identity: String,
    /// Which messages; at most a few thousand.
    pub ids: Vec<MessageId>,
    /// In which form.
    pub form: Form,
}

impl FetchRequest {
    /// These messages of the folder, as MIME.
    #[must_use]
    pub fn new(folder: FolderId, identity: impl Into<String>, ids: Vec<MessageId>) -> Self {
        Self {
            folder,
            identity: identity.into(),
            ids,
            form: Form::Mime,
        }
    }

    /// In that form.
    #[must_use]
    pub fn with_form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }
}

/// What came of fetching one message.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fetched {
    /// Its content.
    Content(Content),
    /// It does not exist any more.
    Vanished,
    /// It could not be had.
    Failed(Error),
}

macro_rules! forward_source {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: Source + ?Sized> Source for $pointer<T> {
            fn endpoint(&self) -> Endpoint {
                (**self).endpoint()
            }
            async fn capabilities(&self) -> Result<Capabilities> {
                (**self).capabilities().await
            }
            async fn folders(&self) -> Result<Vec<Folder>> {
                (**self).folders().await
            }
            async fn warm_up(&self, folders: usize) {
                (**self).warm_up(folders).await;
            }
            fn list(&self, request: ListRequest) -> BoxStream<Result<Page>> {
                (**self).list(request)
            }
            fn fetch(&self, request: FetchRequest) -> BoxStream<(MessageId, Fetched)> {
                (**self).fetch(request)
            }
            async fn rights(&self, folders: &[FolderId]) -> Result<Vec<Rights>> {
                (**self).rights(folders).await
            }
            async fn annotations(&self, folders: &[FolderId]) -> Result<Vec<Annotations>> {
                (**self).annotations(folders).await
            }
            fn describe(&self, id: &MessageId) -> String {
                (**self).describe(id)
            }
        }
    )*};
}
forward_source!(Arc, Box);
