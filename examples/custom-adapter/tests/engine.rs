//! The engine and the adapter together: a mailbox ends in a Maildir, and later passes follow it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{fs, path::Path};

use maildir::Maildir;
use mailmove_core::{Edges, Migration, destination::Depth, report::Status, store::SqliteStore};
use mailmove_testkit::{
    corpus::Corpus,
    mailbox::{Account, FlagOp, Store},
    memory::MemoryMailbox,
};

fn migration(account: &Account, directory: &Path) -> Migration {
    let source = MemoryMailbox::new(account.clone()).source();
    Migration::builder(source, Maildir::new(directory.join("Maildir")))
        .store(SqliteStore::new(directory.join("state")))
        .edges(Edges::new())
        .build()
        .unwrap()
}

fn files(directory: &Path) -> usize {
    fs::read_dir(directory.join("cur")).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_once_then_what_is_new_changed_and_moved() {
    let directory = tempfile::tempdir().unwrap();
    let account = Store::new().add_account("ann");
    let corpus = Corpus::new(3).with_separator('.').with_largest(50_000);
    corpus.fill(&account, 300).unwrap();

    let first = migration(&account, directory.path()).run().await.unwrap();
    assert_eq!(first.status(), Status::Complete, "{first:#?}");
    assert_eq!(first.total().copied, 300);

    let inbox = account.folder(&["INBOX"]).unwrap().id;
    let archive = account.create(&["New", "place"]).unwrap();
    let uids = account.uids(inbox).unwrap();
    let (flagged, rest) = uids.split_at(7);
    account
        .store(inbox, flagged, FlagOp::Add, &["Later", "\\Flagged"], None)
        .unwrap();
    account.move_messages(inbox, &rest[..3], archive).unwrap();
    for message in corpus.messages(310).skip(300) {
        let folder = account.folder(&message.folder).unwrap().id;
        account
            .append(folder, vec![message.to_new_message()])
            .unwrap();
    }

    let again = migration(&account, directory.path());
    let second = again.run().await.unwrap();
    assert_eq!(second.status(), Status::Complete, "{second:#?}");
    let total = second.total();
    assert_eq!(
        (total.copied, total.moved, total.flags_changed),
        (10, 3, 7),
        "{total:?}"
    );
    let verified = again.verify(Depth::Content).await.unwrap();
    assert!(verified.is_clean(), "{verified:#?}");

    let root = directory.path().join("Maildir");
    let status = |id| account.status(id).unwrap().messages as usize;
    assert_eq!(files(&root), status(inbox));
    assert_eq!(files(&root.join(".New.place")), 3);
}
