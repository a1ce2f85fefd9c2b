//! The in-memory mailbox under the suite: an example of a harness, and a base for wrappers.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use mailmove_core::{
    Destination, Edges, Source,
    model::{FolderPath, FolderSpec, MessageId, Role},
};

use super::{BoxError, Disturbance, Done, Harness, TestAccount};
use crate::{
    corpus::CorpusMessage,
    mailbox::{Account, FlagOp, Message, Store, StoreError},
    memory::MemoryMailbox,
    snapshot::Snapshot,
};

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
        let mailbox = (self.configure)(MemoryMailbox::new(account));
        Ok(Arc::new(MemoryAccount { mailbox }))
    }
}

#[derive(Debug)]
struct MemoryAccount {
    mailbox: MemoryMailbox,
}

impl MemoryAccount {
    fn back_door(&self) -> &Account {
        self.mailbox.account()
    }

    fn message(&self, folder: &FolderPath, place: usize) -> Result<Message, BoxError> {
        let id = self.back_door().folder(folder.names())?.id;
        let messages = self.back_door().messages(id)?;
        let message = messages.into_iter().nth(place);
        message.ok_or_else(|| "there is no such message".into())
    }
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
        let account = self.back_door();
        let names = folder.path.names();
        match account.create(names) {
            Ok(_) | Err(StoreError::AlreadyExists) => {}
            Err(StoreError::InvalidName(why)) => return Ok(Done::Unsupported(why.to_owned())),
            Err(error) => return Err(error.into()),
        }
        if let Some(special_use) = folder.role.and_then(Role::special_use) {
            account.set_special_use(account.folder(names)?.id, &[special_use])?;
        }
        account.subscribe(names, folder.subscribe);
        Ok(Done::Yes)
    }

    async fn fill(&self, folder: &FolderPath, messages: &[CorpusMessage]) -> Result<(), BoxError> {
        let id = self.back_door().folder(folder.names())?.id;
        let messages = messages.iter().map(CorpusMessage::to_new_message);
        self.back_door().append(id, messages.collect())?;
        Ok(())
    }

    async fn dump(&self) -> Result<Snapshot, BoxError> {
        Ok(Snapshot::of(self.back_door()))
    }

    async fn disturb(&self, folder: &FolderPath, what: Disturbance) -> Result<Done, BoxError> {
        let account = self.back_door();
        let names = folder.names();
        let id = account.folder(names)?.id;
        match what {
            Disturbance::SetFlags { message, flags } => {
                let uid = self.message(folder, message)?.uid;
                let flags = flags.to_string();
                let flags: Vec<&str> = flags.split_ascii_whitespace().collect();
                account.store(id, &[uid], FlagOp::Set, &flags, None)?;
            }
            Disturbance::Expunge { message } => {
                let uid = self.message(folder, message)?.uid;
                account.remove(id, &[uid])?;
            }
            Disturbance::Rename { to } => account.rename(names, to.names())?,
            Disturbance::Delete => account.delete(names)?,
            Disturbance::Renumber => {
                account.bump_uidvalidity(id)?;
            }
            Disturbance::ReadOnly => account.set_read_only(id, true)?,
            Disturbance::Full => {
                let used = account.used_messages();
                account.configure(|limits| limits.quota_messages = Some(used));
            }
        }
        Ok(Done::Yes)
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
