//! The back door into the mailbox model.

use mailmove_core::model::{FolderPath, FolderSpec, Role};

use super::{BoxError, Disturbance, Done};
use crate::{
    corpus::CorpusMessage,
    mailbox::{Account, FlagOp, FolderId, StoreError},
    snapshot::Snapshot,
};

/// The back door into an account of the mailbox model: a harness whose server stands on the model
/// hands the calls of [`TestAccount`](super::TestAccount) on to it.
#[derive(Clone, Debug)]
pub struct BackDoor(Account);

impl BackDoor {
    /// The back door into this account.
    #[must_use]
    pub fn new(account: Account) -> Self {
        Self(account)
    }

    /// See [`TestAccount::create`](super::TestAccount::create).
    ///
    /// # Errors
    /// If the account fails.
    pub fn create(&self, folder: &FolderSpec) -> Result<Done, BoxError> {
        let names = folder.path.names();
        match self.0.create(names) {
            Ok(_) | Err(StoreError::AlreadyExists) => {}
            Err(StoreError::InvalidName(why)) => return Ok(Done::Unsupported(why.to_owned())),
            Err(error) => return Err(error.into()),
        }
        if let Some(special_use) = folder.role.and_then(Role::special_use) {
            self.0
                .set_special_use(self.id(&folder.path)?, &[special_use])?;
        }
        self.0.subscribe(names, folder.subscribe);
        Ok(Done::Yes)
    }

    /// See [`TestAccount::fill`](super::TestAccount::fill).
    ///
    /// # Errors
    /// If the account refuses a message.
    pub fn fill(&self, folder: &FolderPath, messages: &[CorpusMessage]) -> Result<(), BoxError> {
        let messages = messages.iter().map(CorpusMessage::to_new_message);
        self.0.append(self.id(folder)?, messages.collect())?;
        Ok(())
    }

    /// See [`TestAccount::dump`](super::TestAccount::dump).
    #[must_use]
    pub fn dump(&self) -> Snapshot {
        Snapshot::of(&self.0)
    }

    /// See [`TestAccount::disturb`](super::TestAccount::disturb). It can do everything.
    ///
    /// # Errors
    /// If there is no such folder or message.
    pub fn disturb(&self, folder: &FolderPath, what: Disturbance) -> Result<Done, BoxError> {
        let names = folder.names();
        let id = self.id(folder)?;
        match what {
            Disturbance::SetFlags { message, flags } => {
                let flags = flags.to_string();
                let flags: Vec<&str> = flags.split_ascii_whitespace().collect();
                let uid = self.uid(id, message)?;
                self.0.store(id, &[uid], FlagOp::Set, &flags, None)?;
            }
            Disturbance::Expunge { message } => {
                self.0.remove(id, &[self.uid(id, message)?])?;
            }
            Disturbance::Move { message, to } => {
                let to = self.id(&to)?;
                self.0.move_messages(id, &[self.uid(id, message)?], to)?;
            }
            Disturbance::Rename { to } => self.0.rename(names, to.names())?,
            Disturbance::Delete => self.0.delete(names)?,
            Disturbance::Renumber => {
                self.0.bump_uidvalidity(id)?;
            }
            Disturbance::ReadOnly => self.0.set_read_only(id, true)?,
            Disturbance::Full => self.room(0),
            Disturbance::RoomFor { messages } => self.room(messages as u64),
        }
        Ok(Done::Yes)
    }

    fn room(&self, messages: u64) {
        let most = self.0.used_messages() + messages;
        self.0
            .configure(|limits| limits.quota_messages = Some(most));
    }

    fn id(&self, folder: &FolderPath) -> Result<FolderId, BoxError> {
        Ok(self.0.folder(folder.names())?.id)
    }

    fn uid(&self, folder: FolderId, place: usize) -> Result<u32, BoxError> {
        let uid = self.0.uids(folder)?.get(place).copied();
        uid.ok_or_else(|| format!("there is no message {place}").into())
    }
}
