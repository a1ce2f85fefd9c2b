//! The test server of this crate, with its store as the back door.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use mailmove_core::{
    Destination, Edges, Source,
    edge::{Credential, StaticCredential},
    model::{FolderPath, FolderSpec, MessageId, Role},
};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource, Security};
use mailmove_imap_testserver::{Builder, Server};
use mailmove_testkit::{
    conformance::{BoxError, Disturbance, Done, Harness, Keeps, TestAccount},
    corpus::{CorpusMessage, Kind},
    mailbox::{Account, FlagOp, Message, Store, StoreError},
    snapshot::Snapshot,
};

type Setup = Arc<dyn Fn(Builder) -> Builder + Send + Sync>;

/// A server per account.
pub(crate) struct Embedded {
    name: &'static str,
    setup: Setup,
    roles: bool,
    connections: usize,
}

impl Embedded {
    pub(crate) fn new(
        name: &'static str,
        setup: impl Fn(Builder) -> Builder + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            setup: Arc::new(setup),
            roles: true,
            connections: 4,
        }
    }

    /// The source has so many connections.
    pub(crate) fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// The server doesn't show roles.
    pub(crate) fn without_roles(mut self) -> Self {
        self.roles = false;
        self
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Embedded({})", self.name)
    }
}

#[async_trait]
impl Harness for Embedded {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    async fn account(&self) -> Result<Arc<dyn TestAccount>, BoxError> {
        let server = (self.setup)(Server::builder(Store::new()).user("ann", "secret"));
        let server = server.start().await?;
        let account = server
            .store()
            .account("ann")
            .ok_or("the account is missing")?;
        Ok(Arc::new(EmbeddedAccount {
            server,
            account,
            roles: self.roles,
            connections: self.connections,
        }))
    }

    fn keeps(&self, message: &CorpusMessage) -> Keeps {
        match message.kind {
            // RFC 3502: a literal without octets cancels the command.
            Kind::Empty => Keeps::refused(),
            // The adapter sends the earliest date that servers keep.
            Kind::ReceivedBefore1970 | Kind::ReceivedLongAgo => Keeps::other_date(),
            _ => Keeps::everything(),
        }
    }
}

struct EmbeddedAccount {
    server: Server,
    account: Account,
    roles: bool,
    connections: usize,
}

impl fmt::Debug for EmbeddedAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmbeddedAccount({})", self.server.plain_address())
    }
}

impl EmbeddedAccount {
    fn config(&self) -> ImapConfig {
        ImapConfig::new("127.0.0.1")
            .with_port(self.server.plain_address().port())
            .with_user("ann")
            .with_security(Security::Plain)
    }

    fn message(&self, folder: &FolderPath, place: usize) -> Result<Message, BoxError> {
        let id = self.account.folder(folder.names())?.id;
        let messages = self.account.messages(id)?;
        messages
            .into_iter()
            .nth(place)
            .ok_or_else(|| "there is no such message".into())
    }
}

fn credentials() -> Arc<StaticCredential> {
    Arc::new(StaticCredential::new(Credential::password("ann", "secret")))
}

#[async_trait]
impl TestAccount for EmbeddedAccount {
    async fn source(&self, edges: &Edges) -> Result<Option<Arc<dyn Source>>, BoxError> {
        let config = self.config().with_connections(self.connections);
        let source = ImapSource::new(config, credentials(), edges.clone());
        Ok(Some(Arc::new(source)))
    }

    async fn destination(&self, edges: &Edges) -> Result<Option<Arc<dyn Destination>>, BoxError> {
        let destination = ImapDestination::new(self.config(), credentials(), edges.clone());
        Ok(Some(Arc::new(destination)))
    }

    async fn create(&self, folder: &FolderSpec) -> Result<Done, BoxError> {
        let names = folder.path.names();
        match self.account.create(names) {
            Ok(_) | Err(StoreError::AlreadyExists) => {}
            Err(StoreError::InvalidName(why)) => return Ok(Done::Unsupported(why.to_owned())),
            Err(error) => return Err(error.into()),
        }
        let role = folder.role.filter(|_| self.roles);
        if let Some(special_use) = role.and_then(Role::special_use) {
            let id = self.account.folder(names)?.id;
            self.account.set_special_use(id, &[special_use])?;
        }
        self.account.subscribe(names, folder.subscribe);
        Ok(Done::Yes)
    }

    async fn fill(&self, folder: &FolderPath, messages: &[CorpusMessage]) -> Result<(), BoxError> {
        let id = self.account.folder(folder.names())?.id;
        let messages = messages.iter().map(CorpusMessage::to_new_message);
        self.account.append(id, messages.collect())?;
        Ok(())
    }

    async fn dump(&self) -> Result<Snapshot, BoxError> {
        Ok(Snapshot::of(&self.account))
    }

    async fn disturb(&self, folder: &FolderPath, what: Disturbance) -> Result<Done, BoxError> {
        let account = &self.account;
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
            other => return Ok(Done::Unsupported(format!("{other:?}"))),
        }
        Ok(Done::Yes)
    }

    fn native(&self, id: &MessageId) -> Option<String> {
        let (_, uid) = id.as_str().split_once('-')?;
        Some(uid.parse::<u32>().ok()?.to_string())
    }
}
