//! The in-memory mailbox under the suite: an example of a harness, and a base for wrappers.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use mailmove_core::{
    Destination, Edges, Source,
    model::{FolderPath, FolderSpec, MessageId},
};

use super::{BackDoor, BoxError, Disturbance, Done, Harness, TestAccount};
use crate::{corpus::CorpusMessage, mailbox::Store, memory::MemoryMailbox, snapshot::Snapshot};

type Configure = Arc<dyn Fn(MemoryMailbox) -> MemoryMailbox + Send + Sync>;

/// Runs the suite on [`MemoryMailbox`]es.
#[derive(Clone)]
pub struct MemoryHarness {
    name: String,
    configure: Configure,
}

impl MemoryHarness {
    /// Mailboxes that can do everything.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            configure: Arc::new(|mailbox| mailbox),
        }
    }

    /// Mailboxes changed by this.
    #[must_use]
    pub fn with(
        mut self,
        configure: impl Fn(MemoryMailbox) -> MemoryMailbox + Send + Sync + 'static,
    ) -> Self {
        self.configure = Arc::new(configure);
        self
    }
}

impl fmt::Debug for MemoryHarness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryHarness({})", self.name)
    }
}

#[async_trait]
impl Harness for MemoryHarness {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn account(&self) -> Result<Arc<dyn TestAccount>, BoxError> {
        let account = Store::new().add_account("ann");
        let door = BackDoor::new(account.clone());
        let mailbox = (self.configure)(MemoryMailbox::new(account));
        Ok(Arc::new(MemoryAccount { mailbox, door }))
    }
}

#[derive(Debug)]
struct MemoryAccount {
    mailbox: MemoryMailbox,
    door: BackDoor,
}

#[async_trait]
impl TestAccount for MemoryAccount {
    async fn source(&self, edges: &Edges) -> Result<Option<Arc<dyn Source>>, BoxError> {
        Ok(Some(
            self.mailbox.clone().with_edges(edges.clone()).source(),
        ))
    }

    async fn destination(&self, edges: &Edges) -> Result<Option<Arc<dyn Destination>>, BoxError> {
        let mailbox = self.mailbox.clone().with_edges(edges.clone());
        Ok(Some(mailbox.destination()))
    }

    async fn create(&self, folder: &FolderSpec) -> Result<Done, BoxError> {
        self.door.create(folder)
    }

    async fn fill(&self, folder: &FolderPath, messages: &[CorpusMessage]) -> Result<(), BoxError> {
        self.door.fill(folder, messages)
    }

    async fn dump(&self) -> Result<Snapshot, BoxError> {
        Ok(self.door.dump())
    }

    async fn disturb(&self, folder: &FolderPath, what: Disturbance) -> Result<Done, BoxError> {
        self.door.disturb(folder, what)
    }

    fn native(&self, id: &MessageId) -> Option<String> {
        let (uid, _) = id.as_str().split_once('~')?;
        Some(u32::from_str_radix(uid, 16).ok()?.to_string())
    }
}

/// What the callers of a trial did wrong is a failure of the trial.
impl Drop for MemoryAccount {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let wrong = self.mailbox.violations();
            // The suite provokes these two on purpose.
            let expected = |what: &String| what.starts_with("a batch of");
            assert!(wrong.iter().all(expected), "contract broken: {wrong:?}");
        }
    }
}
