//! Stores under test, and short names for records.

use std::{fmt::Debug, sync::Arc};

use futures_util::TryStreamExt as _;
use mailmove_core::{
    checkpoint::{
        CheckpointStore, FolderNo, FolderRow, Intent, ItemRow, ItemState, Ledger, Record, Scan,
        Stored, TargetNo, TargetRow,
    },
    destination::Existing,
    identity::HeaderDigest,
    model::{FolderId, FolderPath, JobId, Mark, MessageId},
    store::MemoryStore,
};

/// A store, and what must live as long as it.
pub(crate) struct Place {
    pub(crate) store: Box<dyn CheckpointStore>,
    _keep: Option<tempfile::TempDir>,
}

impl Place {
    pub(crate) async fn open(&self) -> Arc<dyn Ledger> {
        self.store.open(&job()).await.unwrap()
    }
}

pub(crate) fn memory() -> Place {
    Place {
        store: Box::new(MemoryStore::new()),
        _keep: None,
    }
}

#[cfg(feature = "sqlite")]
pub(crate) fn sqlite() -> Place {
    let directory = tempfile::tempdir().unwrap();
    Place {
        store: Box::new(mailmove_core::store::SqliteStore::new(
            directory.path().join("deep/er"),
        )),
        _keep: Some(directory),
    }
}

pub(crate) fn job() -> JobId {
    JobId::new("job-1")
}

pub(crate) fn id(n: u64) -> MessageId {
    MessageId::format(format_args!("7/{n}"))
}

pub(crate) fn folder(no: u32) -> Record {
    let path = FolderPath::new(["INBOX", "a/b\\ \u{fc}", ""]);
    Record::Folder(Box::new(FolderRow::new(
        FolderNo(no),
        FolderId::new(format!("folder {no}")),
        path,
        "identity",
    )))
}

pub(crate) fn target(no: u32) -> Record {
    Record::Target(Box::new(TargetRow::new(
        TargetNo(no),
        FolderId::new(format!("target {no}")),
        FolderPath::inbox(),
        "identity",
    )))
}

/// Folders and targets 0 to 3.
pub(crate) fn places() -> Vec<Record> {
    (0..4).flat_map(|no| [folder(no), target(no)]).collect()
}

pub(crate) fn row(folder: u32, message: u64) -> ItemRow {
    ItemRow::new(FolderNo(folder), id(message))
}

pub(crate) fn copied(folder: u32, message: u64, target: u32, there: u64) -> ItemRow {
    let mut row = row(folder, message);
    row.state = ItemState::Copied;
    row.target = Some((TargetNo(target), id(there)));
    row
}

pub(crate) fn item(row: ItemRow) -> Record {
    Record::Item(Box::new(row))
}

pub(crate) fn intent(batch: u64, items: Vec<ItemRow>) -> Record {
    let mark = Mark::counted("7", batch + 1);
    Record::Intent(Box::new(Intent::new(batch, TargetNo(0), mark, items)))
}

pub(crate) fn header(n: u8) -> HeaderDigest {
    HeaderDigest::from_bytes([n; 16])
}

pub(crate) fn unclaimed(target: u32, message: u64, digest: u8, size: Option<u64>) -> Record {
    let mut existing = Existing::new(id(message));
    existing.header = Some(header(digest));
    existing.size = size;
    Record::Unclaimed(TargetNo(target), Box::new(existing))
}

pub(crate) async fn scan(ledger: &Arc<dyn Ledger>, scan: Scan) -> Vec<Stored> {
    let pages: Vec<_> = ledger.scan(scan).try_collect().await.unwrap();
    pages.concat()
}

pub(crate) async fn candidates(
    ledger: &Arc<dyn Ledger>,
    target: u32,
    digest: u8,
    size: Option<u64>,
) -> Vec<MessageId> {
    let found = ledger.candidates(TargetNo(target), header(digest), size);
    let found = found.await.unwrap();
    found.into_iter().map(|existing| existing.id).collect()
}

/// All that can be read of a ledger, as text: equal texts are equal ledgers, zones included.
pub(crate) async fn dump(ledger: &Arc<dyn Ledger>) -> Vec<String> {
    let mut out = Vec::new();
    let mut add = |what: &dyn Debug| out.push(format!("{what:?}"));
    for key in ["a", "b"] {
        add(&ledger.meta(key).await.unwrap());
    }
    add(&ledger.folders().await.unwrap());
    add(&ledger.targets().await.unwrap());
    add(&ledger.intents().await.unwrap());
    let ids: Vec<_> = (0..12).map(id).collect();
    for no in 0..4 {
        add(&ledger.items(FolderNo(no), ids.clone()).await.unwrap());
        add(&ledger.claims(TargetNo(no), ids.clone()).await.unwrap());
        add(&ledger.counts(FolderNo(no)).await.unwrap());
        for digest in 0..3 {
            for size in [None, Some(0), Some(1)] {
                let found = ledger.candidates(TargetNo(no), header(digest), size);
                add(&found.await.unwrap());
            }
        }
        let open = [ItemState::Failed, ItemState::Pending];
        for one in [
            Scan::folder(FolderNo(no)),
            Scan::folder(FolderNo(no)).with_states(&open),
            Scan::target(TargetNo(no)),
            Scan::target(TargetNo(no)).with_gone(true),
        ] {
            add(&scan(ledger, one).await);
        }
    }
    for one in [
        Scan::all(),
        Scan::all().with_gone(false),
        Scan::all().with_states(&[ItemState::Copied, ItemState::Unnamed]),
    ] {
        add(&scan(ledger, one).await);
    }
    out
}
