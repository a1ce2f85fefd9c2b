//! Two servers, and a migration between them.

use std::sync::Arc;

use futures_util::StreamExt as _;
use mailmove_core::{
    Destination as _, Edges, Migration, MigrationBuilder, Report,
    destination::{Batch, NoFence, Outcome, Outgoing},
    edge::{Credential, StaticCredential},
    model::{Content, Folder, FolderPath, FolderSpec, Timestamp},
    store::MemoryStore,
};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource, Security};
use mailmove_imap_testserver::{Builder, Server};
use mailmove_testkit::mailbox::{Account, InternalDate, Message, NewMessage, Store};

pub(crate) const USER: &str = "ann";
const PASSWORD: &str = "secret";
const RECEIVED: i64 = 1_600_000_000;

pub(crate) struct Side {
    pub(crate) server: Server,
    pub(crate) account: Account,
}

impl Side {
    pub(crate) async fn new(setup: impl FnOnce(Builder) -> Builder) -> Self {
        let builder = Server::builder(Store::new()).user(USER, PASSWORD);
        let server = setup(builder).start().await.unwrap();
        let account = server.store().account(USER).unwrap();
        Self { server, account }
    }

    /// One connection, so that what it says comes in the same order each time.
    pub(crate) fn config(&self) -> ImapConfig {
        ImapConfig::new("127.0.0.1")
            .with_port(self.server.plain_address().port())
            .with_user(USER)
            .with_security(Security::Plain)
            .with_connections(1)
    }

    pub(crate) fn source(&self, config: ImapConfig) -> ImapSource {
        ImapSource::new(config, credentials(), Edges::new())
    }

    pub(crate) fn destination(&self, config: ImapConfig) -> ImapDestination {
        ImapDestination::new(config, credentials(), Edges::new())
    }

    pub(crate) fn put(&self, path: &[&str], body: impl Into<Vec<u8>>) {
        let folder = match self.account.folder(path) {
            Ok(folder) => folder.id,
            Err(_) => self.account.create(path).unwrap(),
        };
        let message = NewMessage::new(body.into()).with_date(InternalDate::utc(RECEIVED));
        self.account.append(folder, vec![message]).unwrap();
    }

    /// What the store holds, past IMAP.
    pub(crate) fn stored(&self, path: &[&str]) -> Vec<Message> {
        let id = self.account.folder(path).unwrap().id;
        self.account.messages(id).unwrap()
    }

    pub(crate) fn bodies(&self, path: &[&str]) -> Vec<Vec<u8>> {
        let stored = self.stored(path);
        stored.iter().map(|one| one.body.to_vec()).collect()
    }
}

fn credentials() -> Arc<StaticCredential> {
    Arc::new(StaticCredential::new(Credential::password(USER, PASSWORD)))
}

pub(crate) fn mail(name: &str) -> String {
    format!("Subject: {name}\r\nMessage-ID: <{name}@example.com>\r\n\r\nThis is {name}.\r\n")
}

pub(crate) fn outgoing(body: impl Into<Vec<u8>>) -> Outgoing {
    Outgoing::new(Content::from_bytes(body.into())).with_received(Some(Timestamp::new(RECEIVED, 0)))
}

pub(crate) fn migration(from: &Side, to: &Side) -> MigrationBuilder {
    Migration::builder(from.source(from.config()), to.destination(to.config()))
        .store(MemoryStore::new())
}

pub(crate) async fn migrate(from: &Side, to: &Side) -> Report {
    migration(from, to).build().unwrap().run().await.unwrap()
}

pub(crate) async fn ensure(destination: &ImapDestination, path: &[&str]) -> Folder {
    let spec = FolderSpec::new(FolderPath::new(path.iter().copied()));
    let mut made: Vec<_> = destination.ensure_folders(vec![spec]).collect().await;
    made.pop().unwrap().1.unwrap()
}

/// The outcomes in the order of the messages.
pub(crate) async fn append(
    destination: &ImapDestination,
    folder: &Folder,
    items: Vec<Outgoing>,
) -> Vec<String> {
    let mark = folder.mark.clone().unwrap();
    let batch = Batch::new(folder.id.clone(), mark, items, Arc::new(NoFence));
    let mut outcomes: Vec<_> = destination.append(batch).collect().await;
    outcomes.sort_by_key(|(slot, _)| *slot);
    let shown = |outcome: &Outcome| match outcome {
        Outcome::Stored(_) => "stored".to_owned(),
        Outcome::NotStored(error) => format!("not-stored {}", error.code()),
        Outcome::Unknown(error) => format!("unknown {}", error.code()),
        other => format!("{other:?}"),
    };
    outcomes.iter().map(|(_, outcome)| shown(outcome)).collect()
}
