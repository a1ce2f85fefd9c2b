//! What an adapter's author gives to the suite.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use mailmove_core::{
    Destination, Edges, Source,
    model::{Flags, FolderPath, FolderSpec, MessageId},
};

use crate::{corpus::CorpusMessage, snapshot::Snapshot};

/// Any error of a harness.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A kind of server to test an adapter on.
#[async_trait]
pub trait Harness: Debug + Send + Sync + 'static {
    /// Its name, first part of the names of its trials: `memory`, `dovecot`.
    fn name(&self) -> String;

    /// Whether its server is there, started if need be; else the reason, e.g. `no dovecot found`.
    async fn available(&self) -> Result<(), String> {
        Ok(())
    }

    /// Makes a fresh account with an empty inbox that no other trial uses. Whatever it needs is
    /// removed when the account is dropped.
    ///
    /// # Errors
    /// If the server cannot make one.
    async fn account(&self) -> Result<Arc<dyn TestAccount>, BoxError>;

    /// What this kind of server is known to do to such a message. Said here, once and with reason,
    /// instead of in the trials.
    fn keeps(&self, message: &CorpusMessage) -> Keeps {
        let _ = message;
        Keeps::everything()
    }

    /// Why a trial (`source::list_full`) can't be passed with this kind of server; shown as ignored.
    fn skips(&self, trial: &str) -> Option<String> {
        let _ = trial;
        None
    }

    /// Bytes of the huge message.
    fn huge(&self) -> usize {
        50 << 20
    }
}

/// An account on a server: the adapter on it, and the back door.
#[async_trait]
pub trait TestAccount: Debug + Send + Sync + 'static {
    /// Opens the adapter as a source; `None` if it is none. May be called more than once.
    ///
    /// # Errors
    /// If it cannot be made.
    async fn source(&self, edges: &Edges) -> Result<Option<Arc<dyn Source>>, BoxError>;

    /// Opens the adapter as a destination; `None` if it is none. May be called more than once.
    ///
    /// # Errors
    /// If it cannot be made.
    async fn destination(&self, edges: &Edges) -> Result<Option<Arc<dyn Destination>>, BoxError>;

    /// Back door: makes a folder and its missing parents, with role and subscription as asked
    /// where the server has such things.
    ///
    /// # Errors
    /// If the server fails; that it can't have such a name is [`Done::Unsupported`].
    async fn create(&self, folder: &FolderSpec) -> Result<Done, BoxError>;

    /// Back door: puts messages into a folder, behind those that are there, in this order.
    ///
    /// # Errors
    /// If the server fails.
    async fn fill(&self, folder: &FolderPath, messages: &[CorpusMessage]) -> Result<(), BoxError>;

    /// Back door: all that is there now. Must not change anything, `\Recent` included.
    ///
    /// # Errors
    /// If the server fails.
    async fn dump(&self) -> Result<Snapshot, BoxError>;

    /// Back door: does what another client or the administrator does meanwhile.
    ///
    /// # Errors
    /// If the server fails.
    async fn disturb(&self, folder: &FolderPath, what: Disturbance) -> Result<Done, BoxError>;

    /// The message's [id in snapshots](crate::snapshot::MessageState::id) for an id of the adapter,
    /// if there is a way to tell.
    fn native(&self, id: &MessageId) -> Option<String> {
        let _ = id;
        None
    }
}

/// Whether the back door could do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Done {
    /// It did.
    Yes,
    /// This kind of server can't, for this reason. The trial is then shown as ignored.
    Unsupported(String),
}

/// What happens to a folder behind the adapter's back. Messages are named by their place in the
/// folder, 0 being the oldest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disturbance {
    /// A message now has exactly these flags.
    SetFlags {
        /// Which.
        message: usize,
        /// All its flags from now on.
        flags: Flags,
    },
    /// A message is removed for good.
    Expunge {
        /// Which.
        message: usize,
    },
    /// A message is moved to another folder that exists.
    Move {
        /// Which.
        message: usize,
        /// Where to.
        to: FolderPath,
    },
    /// The folder gets another name.
    Rename {
        /// The new path.
        to: FolderPath,
    },
    /// The folder is removed with what it holds.
    Delete,
    /// All messages are numbered anew (IMAP: a new UIDVALIDITY).
    Renumber,
    /// The folder takes no changes any more.
    ReadOnly,
    /// The mailbox is full: not one message more fits.
    Full,
    /// The mailbox is nearly full: only so many messages more fit, of whatever size.
    RoomFor {
        /// How many.
        messages: usize,
    },
}

/// What a server does to a message that it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keeps {
    /// Whether it takes the message at all.
    pub taken: Taken,
    /// Keeps its bytes.
    pub bytes: bool,
    /// Shows a header that has the digest of the message's.
    pub header: bool,
    /// Keeps its flags.
    pub flags: bool,
    /// Keeps when it was received.
    pub received: bool,
}

impl Keeps {
    /// Keeps it as it is.
    #[must_use]
    pub const fn everything() -> Self {
        Self {
            taken: Taken::Yes,
            bytes: true,
            header: true,
            flags: true,
            received: true,
        }
    }

    /// Refuses it.
    #[must_use]
    pub const fn refused() -> Self {
        Self {
            taken: Taken::No,
            ..Self::everything()
        }
    }

    /// Takes it, but changes its bytes, and so perhaps its header.
    #[must_use]
    pub const fn other_bytes() -> Self {
        Self {
            bytes: false,
            header: false,
            ..Self::everything()
        }
    }

    /// Takes it, but not with that date.
    #[must_use]
    pub const fn other_date() -> Self {
        Self {
            received: false,
            ..Self::everything()
        }
    }
}

/// Whether a server takes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Taken {
    /// Always.
    Yes,
    /// Never.
    No,
    /// That depends on its version or settings.
    Perhaps,
}

/// A harness whose adapter is used through one more pointer: whoever writes a wrapper around
/// adapters runs the suite on it in this way.
#[derive(Debug)]
pub struct Wrapped {
    inner: Arc<dyn Harness>,
    boxed: bool,
}

impl Wrapped {
    /// Through `Arc<Arc<dyn …>>`; its name ends in `-arc`.
    #[must_use]
    pub fn arc(inner: Arc<dyn Harness>) -> Self {
        Self {
            inner,
            boxed: false,
        }
    }

    /// Through `Arc<Box<Arc<dyn …>>>`; its name ends in `-box`.
    #[must_use]
    pub fn boxed(inner: Arc<dyn Harness>) -> Self {
        Self { inner, boxed: true }
    }
}

#[async_trait]
impl Harness for Wrapped {
    fn name(&self) -> String {
        let how = if self.boxed { "box" } else { "arc" };
        format!("{}-{how}", self.inner.name())
    }

    async fn available(&self) -> Result<(), String> {
        self.inner.available().await
    }

    async fn account(&self) -> Result<Arc<dyn TestAccount>, BoxError> {
        let inner = self.inner.account().await?;
        let boxed = self.boxed;
        Ok(Arc::new(WrappedAccount { inner, boxed }))
    }

    fn keeps(&self, message: &CorpusMessage) -> Keeps {
        self.inner.keeps(message)
    }

    fn skips(&self, trial: &str) -> Option<String> {
        self.inner.skips(trial)
    }

    fn huge(&self) -> usize {
        self.inner.huge()
    }
}

#[derive(Debug)]
struct WrappedAccount {
    inner: Arc<dyn TestAccount>,
    boxed: bool,
}

#[async_trait]
impl TestAccount for WrappedAccount {
    async fn source(&self, edges: &Edges) -> Result<Option<Arc<dyn Source>>, BoxError> {
        let inner = self.inner.source(edges).await?;
        Ok(inner.map(|inner| -> Arc<dyn Source> {
            if self.boxed {
                let boxed: Box<dyn Source> = Box::new(inner);
                Arc::new(boxed)
            } else {
                Arc::new(inner)
            }
        }))
    }

    async fn destination(&self, edges: &Edges) -> Result<Option<Arc<dyn Destination>>, BoxError> {
        let inner = self.inner.destination(edges).await?;
        Ok(inner.map(|inner| -> Arc<dyn Destination> {
            if self.boxed {
                let boxed: Box<dyn Destination> = Box::new(inner);
                Arc::new(boxed)
            } else {
                Arc::new(inner)
            }
        }))
    }

    async fn create(&self, folder: &FolderSpec) -> Result<Done, BoxError> {
        self.inner.create(folder).await
    }

    async fn fill(&self, folder: &FolderPath, messages: &[CorpusMessage]) -> Result<(), BoxError> {
        self.inner.fill(folder, messages).await
    }

    async fn dump(&self) -> Result<Snapshot, BoxError> {
        self.inner.dump().await
    }

    async fn disturb(&self, folder: &FolderPath, what: Disturbance) -> Result<Done, BoxError> {
        self.inner.disturb(folder, what).await
    }

    fn native(&self, id: &MessageId) -> Option<String> {
        self.inner.native(id)
    }
}
