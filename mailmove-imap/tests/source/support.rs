//! A mailbox with an `ImapSource` on it.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::{collections::BTreeMap, sync::Arc};

use futures_util::StreamExt as _;
use mailmove_core::{
    Result,
    edge::{Credential, Edges, MemoryBudget, Spool, StaticCredential},
    identity::HeaderDigest,
    model::{Cursor, Flags, Folder, MessageId, Timestamp},
    source::{BoxStream, Change, Coverage, ListRequest, Page, Source as _},
};
use mailmove_imap::{ImapConfig, ImapSource, Security};
use mailmove_imap_testserver::{Capability, Server};
use mailmove_testkit::mailbox::{Account, FlagOp, FolderId, InternalDate, NewMessage, Store};

/// Each combination of extensions that makes listing work in another way.
pub(crate) const CHANGES: [(&str, &[Capability]); 3] = [
    ("QRESYNC", &[]),
    ("CONDSTORE", &[Capability::Qresync, Capability::Esearch]),
    (
        "nothing",
        &[
            Capability::Qresync,
            Capability::Esearch,
            Capability::Condstore,
        ],
    ),
];

pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) account: Account,
    pub(crate) folder: FolderId,
    pub(crate) source: ImapSource,
    pub(crate) edges: Edges,
    _directory: tempfile::TempDir,
}

/// A server without these extensions, and a source with so many connections.
pub(crate) async fn stage(without: &[Capability], connections: usize) -> Stage {
    let store = Store::new();
    let builder = Server::builder(store.clone()).user("ann", "secret");
    let builder = without
        .iter()
        .fold(builder, |builder, one| builder.without(*one));
    let server = builder.start().await.unwrap();
    let account = store.account("ann").unwrap();
    let folder = account.folder(&["INBOX"]).unwrap().id;
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::new(directory.path(), MemoryBudget::new(1 << 20));
    let edges = Edges::new().with_spool(spool);
    Stage {
        source: source(&server, &edges, connections),
        server,
        account,
        folder,
        edges,
        _directory: directory,
    }
}

fn source(server: &Server, edges: &Edges, connections: usize) -> ImapSource {
    let config = ImapConfig::new("127.0.0.1")
        .with_user("ann")
        .with_port(server.plain_address().port())
        .with_security(Security::Plain)
        .with_connections(connections);
    let credentials = StaticCredential::new(Credential::password("ann", "secret"));
    ImapSource::new(config, Arc::new(credentials), edges.clone())
}

/// The message that [`Stage::fill`] puts at a UID.
pub(crate) fn body(uid: u32) -> Vec<u8> {
    let line = "Some words of no meaning, to make it longer.\r\n";
    let many = uid as usize % 7;
    format!(
        "Message-ID: <{uid}@example.com>\r\nSubject: number {uid}\r\nX-Other: y\r\n\r\n{}",
        line.repeat(many)
    )
    .into_bytes()
}

impl Stage {
    /// Another source on the same mailbox, which remembers nothing.
    pub(crate) fn afresh(&mut self) {
        self.source = source(&self.server, &self.edges, 2);
    }

    /// Appends so many messages to the inbox.
    pub(crate) fn fill(&self, many: u32) {
        let next = self.account.status(self.folder).unwrap().uid_next;
        let messages = (next..next + many)
            .map(|uid| {
                let date = InternalDate::utc(1_700_000_000 + i64::from(uid));
                NewMessage::new(body(uid)).with_date(date)
            })
            .collect();
        self.account.append(self.folder, messages).unwrap();
    }

    pub(crate) fn expunge(&self, uids: &[u32]) {
        let gone = self.account.remove(self.folder, uids).unwrap();
        assert_eq!(gone.len(), uids.len());
    }

    pub(crate) fn store(&self, uids: &[u32], op: FlagOp, flags: &[&str]) {
        self.account
            .store(self.folder, uids, op, flags, None)
            .unwrap();
    }

    /// The inbox as the source shows it.
    pub(crate) async fn inbox(&self) -> Folder {
        let folders = self.source.folders().await.unwrap();
        let inbox = folders.into_iter().find(|folder| folder.path.is_inbox());
        inbox.unwrap()
    }

    pub(crate) async fn list(&self, request: ListRequest) -> Summary {
        summary(self.source.list(request)).await
    }
}

/// Reads a listing to its end, which must be a good one.
pub(crate) async fn summary(mut pages: BoxStream<Result<Page>>) -> Summary {
    let mut summary = Summary::default();
    while let Some(page) = pages.next().await {
        summary.add(page.unwrap()).await;
    }
    summary
}

pub(crate) async fn collect<T>(stream: BoxStream<T>) -> Vec<T> {
    stream.collect().await
}

/// A listed message.
#[derive(Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) flags: Flags,
    pub(crate) received: Option<Timestamp>,
    pub(crate) size: Option<u64>,
    pub(crate) header: Option<HeaderDigest>,
    pub(crate) content: Option<Vec<u8>>,
    pub(crate) notes: Vec<String>,
}

/// All pages of a listing.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) items: BTreeMap<MessageId, Item>,
    pub(crate) flags: BTreeMap<MessageId, Flags>,
    pub(crate) removed: Vec<MessageId>,
    /// Items and cursor of each page.
    pub(crate) pages: Vec<(usize, Cursor)>,
    pub(crate) coverage: Option<Coverage>,
    pub(crate) exists: Option<u64>,
    pub(crate) last: Option<Cursor>,
}

impl Summary {
    pub(crate) async fn add(&mut self, page: Page) {
        assert_eq!(self.exists, None, "the count comes with the last page");
        let mut count = 0;
        for change in page.changes {
            match change {
                Change::Item(listed) => {
                    let mut content = None;
                    if let Some(found) = &listed.content {
                        let mut bytes = Vec::new();
                        let mut reader = found.reader();
                        while let Some(piece) = reader.next().await.unwrap() {
                            bytes.extend_from_slice(&piece);
                        }
                        content = Some(bytes);
                    }
                    let item = Item {
                        flags: listed.flags,
                        received: listed.received,
                        size: listed.size,
                        header: listed.header,
                        content,
                        notes: listed.notes.into_iter().map(|note| note.detail).collect(),
                    };
                    let twice = self.items.insert(listed.id, item);
                    assert!(twice.is_none(), "listed twice");
                    count += 1;
                }
                Change::Flags(id, flags) => {
                    self.flags.insert(id, flags);
                }
                Change::Removed(id) => self.removed.push(id),
                other => unreachable!("{other:?}"),
            }
        }
        self.pages.push((count, page.next.clone()));
        self.last = Some(page.next);
        self.coverage = Some(page.coverage);
        self.exists = page.exists;
    }
}
