//! Folders and what is in them.

use mailmove_core::{
    Edges, ErrorKind, Migration, Source as _,
    model::{Cursor, Flags, Role},
    report::Status,
    source::{Change, Coverage, ListRequest},
    store::MemoryStore,
};
use mailmove_graph_testserver::{Action, Language, Mangle};
use mailmove_testkit::{
    mailbox::{FlagOp, NewMessage, Store},
    memory::MemoryMailbox,
};

use crate::support::{account, all, config, fill, flags, ids, inbox, letter, pages, source, start};

#[tokio::test]
async fn folders_have_their_roles_by_id_whatever_they_are_called() {
    let server = start(|builder| builder.language(Language::German).max_page(2)).await;
    let account = account(&server);
    for path in [
        &["INBOX", "a/b"][..],
        &["INBOX", "a/b", "c"],
        &["Sent"],
        &["Projekte"],
        &["Projekte", "Über+Größe=1"],
        &["Hidden"],
        &["Hidden", "below"],
        &["Search"],
    ] {
        account.create(path).unwrap();
    }
    server.hide_folder("ann", &["Hidden"]);
    server.set_search_folder("ann", &["Search"]);
    let found = source(config(&server)).folders().await.unwrap();
    let mut paths: Vec<String> = found.iter().map(|f| f.path.escaped()).collect();
    paths.sort();
    assert_eq!(
        paths,
        [
            "INBOX",
            "INBOX/a\\/b",
            "INBOX/a\\/b/c",
            "Projekte",
            "Projekte/Über+Größe=1",
            "Sent"
        ]
    );
    let inbox = found.iter().find(|f| f.path.is_inbox()).unwrap();
    assert_eq!(inbox.role, Some(Role::Inbox));
}

#[tokio::test]
async fn a_first_look_takes_few_requests() {
    let server = start(|builder| builder).await;
    let account = account(&server);
    for number in 0..30 {
        account.create(&[format!("folder {number}")]).unwrap();
    }
    let source = source(config(&server).with_exports(false));
    source.capabilities().await.unwrap();
    assert_eq!(source.folders().await.unwrap().len(), 31);
    // Roles, then all folders.
    assert_eq!(server.counters().requests, 2);
    // All of them by ids that last.
    let counters = server.counters();
    let all = counters.total_operations() - counters.operation("Batch");
    assert_eq!(counters.immutable, all);
}

#[tokio::test]
async fn a_forgotten_state_lists_all_anew_and_takes_nothing_for_gone() {
    let server = start(|builder| builder.max_page(4)).await;
    fill(&server, 10);
    let source = source(config(&server));
    let first = all(&source).await;
    assert_eq!(ids(&first).len(), 10);
    assert_eq!(first.last().unwrap().exists, Some(10));
    let cursor = first.last().unwrap().next.clone();
    server.forget_deltas();
    let folder = inbox(&source).await;
    let request = ListRequest::new(&folder).with_since(Some(cursor.clone()));
    let again = pages(&source, request.clone()).await.unwrap();
    assert!(again.iter().all(|page| page.coverage == Coverage::Full));
    assert_eq!(ids(&again), ids(&first));
    // In the middle of a listing it is told as such.
    server.faults().arm("MessageDelta", 2, Action::Resync);
    let error = pages(&source, ListRequest::new(&folder)).await.unwrap_err();
    assert_eq!(
        (error.code(), error.kind()),
        ("graph/sync-state", ErrorKind::Stale)
    );
    // What another version wrote is no cursor.
    let request = ListRequest::new(&folder).with_since(Some(Cursor::new("x")));
    let again = pages(&source, request).await.unwrap();
    assert_eq!((again[0].coverage, ids(&again).len()), (Coverage::Full, 10));
}

#[tokio::test]
async fn what_pages_tell_twice_is_told_once() {
    let server = start(|builder| builder.max_page(3).replays()).await;
    fill(&server, 20);
    let source = source(config(&server));
    let mut found = ids(&all(&source).await);
    assert_eq!(found.len(), 20);
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 20);
    server
        .faults()
        .arm("MessageDelta", 1, Action::Mangle(Mangle::Twice));
    assert_eq!(ids(&all(&source).await).len(), 20);
}

#[tokio::test]
async fn a_migration_over_pages_that_overlap_copies_each_once() {
    let server = start(|builder| builder.max_page(3).replays()).await;
    let folder = fill(&server, 25);
    let (store, mailboxes) = (MemoryStore::new(), Store::new());
    let there = mailboxes.add_account("bob");
    let copied = || {
        let inbox = there.folder(&["INBOX"]).unwrap().id;
        there.messages(inbox).unwrap().len()
    };
    let pass = || async {
        let (source, there) = (source(config(&server)), MemoryMailbox::new(there.clone()));
        let migration = Migration::builder(source, there)
            .store(store.clone())
            .edges(Edges::new())
            .build()
            .unwrap();
        let mut ran = migration.run().await;
        // What the run before left to end may hold the ledger for a moment.
        while matches!(&ran, Err(error) if error.kind() == ErrorKind::Locked) {
            tokio::task::yield_now().await;
            ran = migration.run().await;
        }
        let report = ran.unwrap();
        assert_eq!(report.status(), Status::Complete, "{report:?}");
    };
    pass().await;
    assert_eq!(copied(), 25);
    let account = account(&server);
    account
        .append(folder, vec![NewMessage::new(letter(99))])
        .unwrap();
    account
        .store(folder, &[3], FlagOp::Add, &["\\Flagged"], None)
        .unwrap();
    pass().await;
    assert_eq!(copied(), 26);
}

#[tokio::test]
async fn changes_tell_what_came_changed_and_went() {
    let server = start(|builder| builder).await;
    let folder = fill(&server, 4);
    let source = source(config(&server));
    let first = all(&source).await;
    let known = ids(&first);
    let account = account(&server);
    account
        .store(folder, &[2], FlagOp::Add, &["\\Seen", "Red"], None)
        .unwrap();
    account.remove(folder, &[3]).unwrap();
    let place = inbox(&source).await;
    let cursor = first.last().unwrap().next.clone();
    let request = ListRequest::new(&place).with_since(Some(cursor));
    let changed = pages(&source, request).await.unwrap();
    assert_eq!(flags(&changed), [Flags::parse("\\Seen Red")]);
    assert_eq!(ids(&changed), [known[1].clone()]);
    let removed: Vec<_> = changed
        .iter()
        .flat_map(|page| &page.changes)
        .filter_map(|change| match change {
            Change::Removed(id) => Some(id.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(removed, [known[2].clone()]);
    assert_eq!(changed.last().unwrap().exists, Some(3));
}

#[tokio::test]
async fn one_message_that_spoils_its_page_costs_itself() {
    let server = start(|builder| builder).await;
    fill(&server, 30);
    assert!(server.poison_item("ann", &["INBOX"], 7, "ErrorCorruptData"));
    let source = source(config(&server));
    let found = all(&source).await;
    assert_eq!(ids(&found).len(), 30);
    assert_eq!(found.last().unwrap().exists, Some(30));
    let fetched = crate::support::fetch(&source, ids(&found)).await;
    let words = crate::support::words(&fetched);
    assert_eq!(words.iter().filter(|word| *word == "content").count(), 29);
    assert!(words.contains(&"graph/corrupt".to_owned()));
    // The next pass knows how to go on.
    let folder = inbox(&source).await;
    let cursor = found.last().unwrap().next.clone();
    let request = ListRequest::new(&folder).with_since(Some(cursor));
    let next = pages(&source, request).await.unwrap();
    assert_eq!((ids(&next).len(), next[0].coverage), (0, Coverage::Delta));
}

#[tokio::test]
async fn a_folder_that_is_gone_costs_itself() {
    let server = start(|builder| builder).await;
    let account = account(&server);
    account.create(&["Old"]).unwrap();
    let source = source(config(&server));
    let folders = source.folders().await.unwrap();
    let old = folders.iter().find(|f| !f.path.is_inbox()).unwrap();
    account.delete(&["Old"]).unwrap();
    let error = pages(&source, ListRequest::new(old)).await.unwrap_err();
    assert_eq!(error.code(), "graph/no-folder");
    assert_eq!(error.scope(), mailmove_core::error::Scope::Folder);
}
