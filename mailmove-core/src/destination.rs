//! Where mail goes.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;

use crate::{
    error::{Error, ErrorKind, Result},
    identity::{HeaderDigest, Meaning},
    model::{
        Alteration, Annotation, Annotations, Capabilities, Content, ContentDigest, Endpoint, Flags,
        Folder, FolderId, FolderSpec, Form, ItemClass, Mark, MessageId, Naming, Quota, Rights,
        Slot, Timestamp,
    },
    source::BoxStream,
};

/// A mailbox that is filled.
///
/// # Contract
///
/// - Nothing that was there before is changed or removed, but what the updater is told to.
/// - **A stored message is reported stored only after the server confirmed that very message.**
///   [`Outcome::NotStored`] means proof that it was *not* stored: the server refused it, or no byte
///   of it reached the socket. Everything in between is [`Outcome::Unknown`]; the engine settles it.
/// - The adapter never sends an append twice.
/// - Methods take `&self` and may be called at once; see [`Source`](crate::source::Source) for
///   connections, laziness and errors, which hold here too.
#[async_trait]
pub trait Destination: Debug + Send + Sync + 'static {
    /// Which mailbox this is. No I/O.
    fn endpoint(&self) -> Endpoint;

    /// What this destination can do. Connects and logs in if that has not happened yet. Cancel
    /// safe.
    ///
    /// # Errors
    /// If connecting or logging in fails.
    async fn capabilities(&self) -> Result<Capabilities>;

    /// All folders of the mailbox, with marks and counts where one look gives them. Cancel safe.
    ///
    /// # Errors
    /// If the list cannot be had.
    async fn folders(&self) -> Result<Vec<Folder>>;

    /// What names of new folders may be, asked where the server tells; `folders` is the last look at
    /// it. Called where folders may have to be made, so that a pass with nothing new is not slower for
    /// it. Unless an adapter says otherwise that is [`Capabilities::naming`]. Cancel safe.
    ///
    /// # Errors
    /// If the server does not answer.
    async fn naming(&self, folders: &[Folder]) -> Result<Naming> {
        let _ = folders;
        Ok(self.capabilities().await?.naming)
    }

    /// Makes the folders that do not exist yet (parents too), batched; existing ones are returned
    /// as they are, roles included. Each slot comes back once. The [`Folder::mark`] of a returned
    /// folder is set. Idempotent.
    fn ensure_folders(&self, want: Vec<FolderSpec>) -> BoxStream<(Slot, Result<Folder>)>;

    /// A lower bound for what the folder takes in from now on. Cancel safe.
    ///
    /// # Errors
    /// If the folder is gone or the server does not answer.
    async fn mark(&self, folder: &FolderId) -> Result<Mark>;

    /// Messages will be appended to the folder, which was as at its mark: whatever the first append
    /// would have to wait for, a connection for instance, may be done by then. A hint; what fails shows
    /// when something is appended. Unless an adapter says otherwise nothing is done. Cancel safe.
    async fn expect(&self, folder: &FolderId, mark: &Mark) {
        let _ = (folder, mark);
    }

    /// So many folders are about to be filled at once: connections, for instance, may be opened by then.
    /// A hint; what fails shows when it is needed. Unless an adapter says otherwise nothing is done. Cancel
    /// safe.
    async fn warm_up(&self, folders: usize) {
        let _ = folders;
    }

    /// Messages that exist, told as deep as the probe asks, in pages. An enumeration: never a
    /// search, since searches lag behind. Ends after the first error.
    fn existing(&self, probe: Probe) -> BoxStream<Result<Vec<Existing>>>;

    /// Stores a batch. Each slot comes back exactly once, in any order. The fence is asked right
    /// before the first byte of each request leaves; if it objects, that is `NotStored` for all
    /// that was not sent. Dropping the stream leaves an unknown outcome.
    fn append(&self, batch: Batch) -> BoxStream<(Slot, Outcome)>;

    /// How much it may hold. Asked by plans alone, so that a run is not slower for it; unless an
    /// adapter says otherwise nothing is known. Cancel safe.
    ///
    /// # Errors
    /// If the server does not answer. One that does not tell is no error.
    async fn quota(&self) -> Result<Quota> {
        Ok(Quota::unknown())
    }

    /// What may be done with these folders, in their order. Asked by plans alone; unless an adapter
    /// says otherwise nothing is known. Cancel safe.
    ///
    /// # Errors
    /// If the server does not answer. One that does not tell is no error.
    async fn rights(&self, folders: &[FolderId]) -> Result<Vec<Rights>> {
        Ok(vec![Rights::unknown(); folders.len()])
    }

    /// What is noted about these folders, in their order; see
    /// [`Source::annotations`](crate::source::Source::annotations).
    ///
    /// # Errors
    /// If the server does not answer.
    async fn annotations(&self, folders: &[FolderId]) -> Result<Vec<Annotations>> {
        Ok(vec![Annotations::none(); folders.len()])
    }

    /// Notes something about a folder, in place of what had that name. A result for each, in their
    /// order; unless an adapter says otherwise none can be made. To do it twice does no harm.
    ///
    /// # Errors
    /// If the server does not answer; what was noted by then is unknown.
    async fn annotate(
        &self,
        folder: &FolderId,
        annotations: Vec<Annotation>,
    ) -> Result<Vec<Result<()>>> {
        let _ = folder;
        let refuse = |_| {
            Err(Error::new(
                ErrorKind::Unsupported,
                "this destination keeps no annotations",
            ))
        };
        Ok(annotations.iter().map(refuse).collect())
    }

    /// Changes to messages that exist; `None` if none can be made.
    fn updater(&self) -> Option<&dyn Updater>;

    /// Names a message as users of this system know it, e.g. `UID 17`. No I/O.
    fn describe(&self, id: &MessageId) -> String;
}

/// Changes messages that exist. What it may do is said by
/// [`sets_flags`](Capabilities::sets_flags), [`moves`](Capabilities::moves),
/// [`removes`](Capabilities::removes) and [`copies`](Capabilities::copies).
pub trait Updater: Debug + Send + Sync {
    /// Adds and removes flags. Stored: the server showed the message with its new flags. A message
    /// that is gone is `NotStored` with [`NotFound`](crate::error::ErrorKind::NotFound).
    fn set_flags(
        &self,
        folder: &FolderId,
        changes: Vec<FlagChange>,
    ) -> BoxStream<(MessageId, Outcome)>;

    /// Moves messages; the receipt names the new id. Stored only if the server named it: OK to a
    /// move of nothing is no proof.
    fn relocate(
        &self,
        from: &FolderId,
        ids: Vec<MessageId>,
        to: &FolderId,
    ) -> BoxStream<(MessageId, Outcome)>;

    /// Removes these messages for good, and nothing beside them.
    fn remove(&self, folder: &FolderId, ids: Vec<MessageId>) -> BoxStream<(MessageId, Outcome)>;

    /// Copies messages, with flags and received date, into a folder of the same mailbox, perhaps
    /// their own. Each id comes back once, with the *new* id in the receipt where the server names
    /// it, and with the flags that the original was seen to have. What is gone is `NotStored` with
    /// [`NotFound`](crate::error::ErrorKind::NotFound): OK to a copy of nothing is no proof.
    /// Without [`copies`](Capabilities::copies): `NotStored` for all.
    fn duplicate(
        &self,
        from: &FolderId,
        ids: Vec<MessageId>,
        to: &FolderId,
    ) -> BoxStream<(MessageId, Outcome)> {
        let _ = (from, to);
        let refuse = |id| {
            let error = Error::new(
                ErrorKind::Unsupported,
                "this destination copies no messages",
            );
            (id, Outcome::NotStored(error))
        };
        Box::pin(futures_util::stream::iter(ids.into_iter().map(refuse)))
    }
}

/// Says whether this process still owns the job; asked right before an append's first byte.
pub trait Fence: Debug + Send + Sync {
    /// Is it still ours?
    ///
    /// # Errors
    /// [`Locked`](crate::error::ErrorKind::Locked) if another process took the job over,
    /// [`Cancelled`](crate::error::ErrorKind::Cancelled) if it is to stop.
    fn check(&self) -> Result<()>;
}

/// A fence that never objects.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "a unit; it has nothing to grow")]
pub struct NoFence;

impl Fence for NoFence {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// One message to be stored.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outgoing {
    /// What it is.
    pub class: ItemClass,
    /// The form of its content.
    pub form: Form,
    /// Its content.
    pub content: Content,
    /// Its flags.
    pub flags: Flags,
    /// When it was received.
    pub received: Option<Timestamp>,
    /// Further destination folders that shall show the same message, where the system can.
    pub also_in: Vec<FolderId>,
}

impl Outgoing {
    /// A mail message, or whatever its content is the export of.
    #[must_use]
    pub fn new(content: Content) -> Self {
        Self {
            class: ItemClass::Mail,
            form: content.form(),
            content,
            flags: Flags::new(),
            received: None,
            also_in: Vec::new(),
        }
    }

    /// Sets the flags.
    #[must_use]
    pub fn with_flags(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    /// Sets when it was received.
    #[must_use]
    pub fn with_received(mut self, received: Option<Timestamp>) -> Self {
        self.received = received;
        self
    }
}

/// Messages to be stored in one folder, in this order.
#[derive(Debug)]
#[non_exhaustive]
pub struct Batch {
    /// The folder.
    pub folder: FolderId,
    /// Its mark when the batch was recorded: another epoch by now is `NotStored` with
    /// [`Stale`](crate::error::ErrorKind::Stale).
    pub mark: Mark,
    /// The messages.
    pub items: Vec<Outgoing>,
    /// Asked before the first byte of each request.
    pub fence: Arc<dyn Fence>,
}

impl Batch {
    /// Messages for that folder.
    #[must_use]
    pub fn new(folder: FolderId, mark: Mark, items: Vec<Outgoing>, fence: Arc<dyn Fence>) -> Self {
        Self {
            folder,
            mark,
            items,
            fence,
        }
    }
}

/// What came of one append or change. Starts, before anything is known, as not stored.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The server confirmed it.
    Stored(Receipt),
    /// The destination itself knows this message already and made no copy.
    AlreadyThere(Receipt),
    /// Proven: it is not there.
    NotStored(Error),
    /// It may be there or may yet appear.
    Unknown(Error),
}

/// Proof of a stored message.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Receipt {
    /// The new id in the folder of the request; `None` if the server confirmed without one.
    pub id: Option<MessageId>,
    /// Its flags now, if the server showed them or the adapter knows what it left out.
    pub flags: Option<Flags>,
    /// What the destination did not take as it was.
    pub altered: Vec<Alteration>,
}

impl Receipt {
    /// Stored under this id, if it is known.
    #[must_use]
    pub fn new(id: Option<MessageId>) -> Self {
        Self {
            id,
            flags: None,
            altered: Vec::new(),
        }
    }

    /// Says the flags the message has now.
    #[must_use]
    pub fn with_flags(mut self, flags: Flags) -> Self {
        self.flags = Some(flags);
        self
    }

    /// Says what was altered.
    #[must_use]
    pub fn with_altered(mut self, altered: Vec<Alteration>) -> Self {
        self.altered = altered;
        self
    }
}

/// Which messages of a folder to look at, and how closely.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Probe {
    /// The folder.
    pub folder: FolderId,
    /// Only what came in at or after this mark. Another epoch by now is
    /// [`Stale`](crate::error::ErrorKind::Stale).
    pub since: Option<Mark>,
    /// Only these ids, as far as they exist.
    pub ids: Option<Vec<MessageId>>,
    /// How closely.
    pub depth: Depth,
    /// Nothing that came in before the mark may be told: it is [`Stale`](crate::error::ErrorKind::Stale) where
    /// the destination cannot tell any more when messages came in. Else it may tell more then, up to all of them: what
    /// is not among them is not there.
    pub exact: bool,
    /// In which form contents are appended: header digests are made of what that form keeps on both sides.
    pub form: Form,
}

impl Probe {
    /// The whole folder.
    #[must_use]
    pub fn new(folder: FolderId, depth: Depth) -> Self {
        Self {
            folder,
            since: None,
            ids: None,
            depth,
            exact: false,
            form: Form::Mime,
        }
    }

    /// Sets the form in which contents are appended.
    #[must_use]
    pub fn with_form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// Only what came in since a mark.
    #[must_use]
    pub fn with_since(mut self, since: Option<Mark>) -> Self {
        self.since = since;
        self
    }

    /// Nothing that came in before the mark.
    #[must_use]
    pub fn exactly(mut self) -> Self {
        self.exact = true;
        self
    }

    /// Only these.
    #[must_use]
    pub fn with_ids(mut self, ids: Vec<MessageId>) -> Self {
        self.ids = Some(ids);
        self
    }
}

/// How closely [`Destination::existing`] looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Depth {
    /// Ids alone.
    Ids,
    /// And size, flags, received date.
    Meta,
    /// And the header digest.
    Header,
    /// And the content digest, which reads the whole message.
    Content,
}

/// A message at the destination.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Existing {
    /// Its id.
    pub id: MessageId,
    /// Bytes; exact from [`Depth::Content`] on, else as the server says.
    pub size: Option<u64>,
    /// Its flags, from [`Depth::Meta`] on.
    pub flags: Flags,
    /// Received date, from [`Depth::Meta`] on.
    pub received: Option<Timestamp>,
    /// From [`Depth::Header`] on.
    pub header: Option<HeaderDigest>,
    /// From [`Depth::Content`] on.
    pub digest: Option<ContentDigest>,
    /// The digest of what follows the header, from [`Depth::Content`] on, made by
    /// [`BodyHasher`](crate::identity::BodyHasher): another tool may have put it there with another
    /// header. Without it such a message is taken for a different one.
    pub body: Option<ContentDigest>,
    /// The digest of the content that this was made from, if an append noted it at the message, from
    /// [`Depth::Meta`] on. Where a destination makes messages anew, nothing else tells for sure that
    /// one is ours.
    pub given: Option<ContentDigest>,
    /// What it means, from [`Depth::Content`] on, where the destination makes messages anew at each read:
    /// their bytes tell nothing.
    pub meaning: Option<Arc<Meaning>>,
}

impl Existing {
    /// A message of which only the id is known.
    #[must_use]
    pub fn new(id: MessageId) -> Self {
        Self {
            id,
            size: None,
            flags: Flags::new(),
            received: None,
            header: None,
            digest: None,
            body: None,
            given: None,
            meaning: None,
        }
    }
}

macro_rules! forward_destination {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: Destination + ?Sized> Destination for $pointer<T> {
            fn endpoint(&self) -> Endpoint {
                (**self).endpoint()
            }
            async fn capabilities(&self) -> Result<Capabilities> {
                (**self).capabilities().await
            }
            async fn folders(&self) -> Result<Vec<Folder>> {
                (**self).folders().await
            }
            async fn naming(&self, folders: &[Folder]) -> Result<Naming> {
                (**self).naming(folders).await
            }
            fn ensure_folders(&self, want: Vec<FolderSpec>) -> BoxStream<(Slot, Result<Folder>)> {
                (**self).ensure_folders(want)
            }
            async fn mark(&self, folder: &FolderId) -> Result<Mark> {
                (**self).mark(folder).await
            }
            async fn expect(&self, folder: &FolderId, mark: &Mark) {
                (**self).expect(folder, mark).await;
            }
            async fn warm_up(&self, folders: usize) {
                (**self).warm_up(folders).await;
            }
            fn existing(&self, probe: Probe) -> BoxStream<Result<Vec<Existing>>> {
                (**self).existing(probe)
            }
            fn append(&self, batch: Batch) -> BoxStream<(Slot, Outcome)> {
                (**self).append(batch)
            }
            async fn rights(&self, folders: &[FolderId]) -> Result<Vec<Rights>> {
                (**self).rights(folders).await
            }
            async fn quota(&self) -> Result<Quota> {
                (**self).quota().await
            }
            async fn annotations(&self, folders: &[FolderId]) -> Result<Vec<Annotations>> {
                (**self).annotations(folders).await
            }
            async fn annotate(
                &self,
                folder: &FolderId,
                annotations: Vec<Annotation>,
            ) -> Result<Vec<Result<()>>> {
                (**self).annotate(folder, annotations).await
            }
            fn updater(&self) -> Option<&dyn Updater> {
                (**self).updater()
            }
            fn describe(&self, id: &MessageId) -> String {
                (**self).describe(id)
            }
        }
    )*};
}
forward_destination!(Arc, Box);

/// A change of flags.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FlagChange {
    /// The message.
    pub id: MessageId,
    /// Set these.
    pub add: Flags,
    /// Clear these.
    pub remove: Flags,
}

impl FlagChange {
    /// Sets `add` and clears `remove`.
    #[must_use]
    pub fn new(id: MessageId, add: Flags, remove: Flags) -> Self {
        Self { id, add, remove }
    }
}
