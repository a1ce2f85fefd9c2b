//! A server with one account, and a destination that fills it.

use std::sync::Arc;

use futures_util::StreamExt as _;
use mailmove_core::{
    Destination as _, Edges, Error,
    destination::{Batch, Depth, Existing, NoFence, Outcome, Outgoing, Probe, Receipt},
    edge::{Credential, StaticCredential},
    model::{Content, Flags, Folder, FolderPath, FolderSpec, MessageId, Slot, Timestamp},
};
use mailmove_imap::{ImapConfig, ImapDestination, Security};
use mailmove_imap_testserver::{Builder, Server};
use mailmove_testkit::mailbox::{Account, Message, Store};

pub(crate) const USER: &str = "ann";
pub(crate) const PASSWORD: &str = "secret";
pub(crate) const RECEIVED: i64 = 1_600_000_000;

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) account: Account,
    pub(crate) destination: ImapDestination,
}

pub(crate) async fn world(setup: impl FnOnce(Builder) -> Builder) -> World {
    let builder = Server::builder(Store::new()).user(USER, PASSWORD);
    let server = setup(builder).start().await.unwrap();
    let account = server.store().account(USER).unwrap();
    let destination = destination(&server);
    World {
        server,
        account,
        destination,
    }
}

pub(crate) fn destination(server: &Server) -> ImapDestination {
    let config = ImapConfig::new("127.0.0.1")
        .with_port(server.plain_address().port())
        .with_user(USER)
        .with_security(Security::Plain);
    let credentials = StaticCredential::new(Credential::password(USER, PASSWORD));
    ImapDestination::new(config, Arc::new(credentials), Edges::new())
}

/// A message whose body names it.
pub(crate) fn mail(name: &str) -> String {
    format!("Subject: {name}\r\nMessage-ID: <{name}@example.com>\r\n\r\nThis is {name}.\r\n")
}

pub(crate) fn outgoing(name: &str) -> Outgoing {
    Outgoing::new(Content::from_bytes(mail(name)))
        .with_received(Some(Timestamp::new(RECEIVED, 120)))
}

pub(crate) fn flagged(name: &str, flags: &str) -> Outgoing {
    outgoing(name).with_flags(Flags::parse(flags))
}

impl World {
    pub(crate) async fn ensure(&self, names: &[&str]) -> Folder {
        let spec = FolderSpec::new(FolderPath::new(names.iter().copied()));
        let mut made: Vec<_> = self.destination.ensure_folders(vec![spec]).collect().await;
        assert_eq!(made.len(), 1);
        made.pop().unwrap().1.unwrap()
    }

    pub(crate) async fn append(&self, folder: &Folder, items: Vec<Outgoing>) -> Vec<Outcome> {
        let mark = folder.mark.clone().unwrap();
        self.append_batch(Batch::new(
            folder.id.clone(),
            mark,
            items,
            Arc::new(NoFence),
        ))
        .await
    }

    /// The outcomes in the order of the slots; each slot must come back exactly once.
    pub(crate) async fn append_batch(&self, batch: Batch) -> Vec<Outcome> {
        let count = batch.items.len();
        let mut outcomes: Vec<(Slot, Outcome)> = self.destination.append(batch).collect().await;
        outcomes.sort_by_key(|(slot, _)| *slot);
        let slots: Vec<usize> = outcomes.iter().map(|(slot, _)| slot.index()).collect();
        assert_eq!(slots, (0..count).collect::<Vec<_>>());
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    pub(crate) async fn existing(&self, folder: &Folder, depth: Depth) -> Vec<Existing> {
        self.probe(Probe::new(folder.id.clone(), depth))
            .await
            .unwrap()
    }

    pub(crate) async fn probe(&self, probe: Probe) -> Result<Vec<Existing>, Error> {
        let mut pages = self.destination.existing(probe);
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            all.extend(page?);
        }
        Ok(all)
    }

    /// What the server's store holds, past IMAP.
    pub(crate) fn stored(&self, path: &[&str]) -> Vec<Message> {
        let id = self.account.folder(path).unwrap().id;
        self.account.messages(id).unwrap()
    }

    pub(crate) fn bodies(&self, path: &[&str]) -> Vec<String> {
        let messages = self.stored(path);
        messages
            .iter()
            .map(|one| String::from_utf8(one.body.to_vec()).unwrap())
            .collect()
    }
}

pub(crate) fn receipts(outcomes: Vec<Outcome>) -> Vec<Receipt> {
    let stored = |outcome| match outcome {
        Outcome::Stored(receipt) => receipt,
        other => panic!("{other:?}"),
    };
    outcomes.into_iter().map(stored).collect()
}

pub(crate) fn stored_ids(outcomes: Vec<Outcome>) -> Vec<MessageId> {
    receipts(outcomes)
        .into_iter()
        .map(|receipt| receipt.id.unwrap())
        .collect()
}

/// `stored`, `not-stored CODE` or `unknown CODE`.
pub(crate) fn shown(outcomes: &[Outcome]) -> Vec<String> {
    let show = |outcome: &Outcome| match outcome {
        Outcome::Stored(_) => "stored".to_owned(),
        Outcome::NotStored(error) => format!("not-stored {}", error.code()),
        Outcome::Unknown(error) => format!("unknown {}", error.code()),
        other => format!("{other:?}"),
    };
    outcomes.iter().map(show).collect()
}
