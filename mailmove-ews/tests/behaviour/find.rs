//! Folders for which the server offers no SyncFolderItems.

use mailmove_core::{
    Destination as _,
    destination::{Depth, Probe},
    source::{Coverage, ListRequest},
};
use mailmove_ews_testserver::{Action, Builder, Script, Server};
use mailmove_testkit::mailbox::{Account, NewMessage};

use crate::support::{
    append, config, count, coverage, destination, existing, fill, ids, inbox, letter, made, pages,
    source, start, words,
};

const LETTERS: usize = 700;

async fn unsynced(change: impl FnOnce(Builder) -> Builder) -> Server {
    let server = start(|builder| change(builder.without_sync())).await;
    fill(&server, LETTERS);
    server
}

#[tokio::test]
async fn a_folder_without_changes_is_listed_as_a_whole_each_time() {
    for pages_of in [10_000, 130] {
        let server = unsynced(|builder| builder.partial_pages(pages_of)).await;
        let source = source(config(&server));
        let folder = inbox(&source).await;
        let mut request = ListRequest::new(&folder);
        for _ in 0..2 {
            let listed = pages(&source, request.clone()).await.unwrap();
            let mut all = ids(&listed);
            all.sort_unstable();
            all.dedup();
            assert_eq!((all.len(), coverage(&listed)), (LETTERS, Coverage::Full));
            let last = listed.last().unwrap();
            assert_eq!(last.exists, Some(LETTERS as u64));
            request = request.with_since(Some(last.next.clone()));
        }
        // It is asked once whether there is another way.
        assert_eq!(server.counters().operation("SyncFolderItems"), 1);
        // With contents, pages are smaller.
        let request = ListRequest::new(&folder).with_headers(true);
        let listed = pages(&source, request).await.unwrap();
        assert_eq!(ids(&listed).len(), LETTERS);
    }
}

fn meanwhile(
    change: impl Fn(&Account, mailmove_testkit::mailbox::FolderId) + Send + Sync + 'static,
) -> Action {
    Action::Meanwhile(Script::new(move |account| {
        let inbox = account.folder(&["INBOX"]).unwrap().id;
        change(account, inbox);
    }))
}

#[tokio::test]
async fn what_comes_meanwhile_is_listed_and_what_goes_makes_it_begin_anew() {
    let server = unsynced(|builder| builder).await;
    let source = source(config(&server));
    let folder = inbox(&source).await;
    let comes = meanwhile(|account, inbox| {
        let new = NewMessage::new(letter(9999));
        account.append(inbox, vec![new]).unwrap();
    });
    server.faults().arm("FindItem", 2, comes);
    let listed = pages(&source, ListRequest::new(&folder)).await.unwrap();
    assert_eq!(ids(&listed).len(), LETTERS + 1);
    // Without the overlap one message would be passed over: as many come as go.
    let goes = meanwhile(|account, inbox| {
        account.remove(inbox, &[3]).unwrap();
        let new = NewMessage::new(letter(9998));
        account.append(inbox, vec![new]).unwrap();
    });
    server.faults().arm("FindItem", 2, goes);
    let error = pages(&source, ListRequest::new(&folder)).await.unwrap_err();
    assert_eq!(
        (error.code(), error.is_transient()),
        ("ews/list-moved", true)
    );
    // What goes after its page was read is noticed by the count.
    let goes = meanwhile(|account, inbox| {
        account.remove(inbox, &[700]).unwrap();
    });
    server.faults().arm("FindItem", 2, goes);
    let error = pages(&source, ListRequest::new(&folder)).await;
    assert!(error.is_ok(), "it was not read yet: {error:?}");
    let listed = pages(&source, ListRequest::new(&folder)).await.unwrap();
    assert_eq!(ids(&listed).len(), count(&server));
}

/// At such a destination, doubt is settled by the numbers that items get as they come.
#[tokio::test]
async fn what_came_in_since_a_mark_is_found_by_its_number() {
    let server = unsynced(Builder::rebuilds_mime).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    assert!(
        existing(&destination, &folder, Depth::Meta)
            .await
            .is_empty()
    );
    server
        .faults()
        .arm("CreateItem", 1, Action::CloseUnanswered);
    let outcomes = append(&destination, &folder, 3).await;
    assert_eq!(words(&outcomes), ["unknown: ews/connection-lost"; 3]);
    let found = existing(&destination, &folder, Depth::Content).await;
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|found| found.given.is_some()));
    let mut whole = folder.clone();
    whole.mark = None;
    assert_eq!(
        existing(&destination, &whole, Depth::Ids).await.len(),
        LETTERS + 3
    );
    let now = destination.mark(&folder.id).await.unwrap();
    let probe = Probe::new(folder.id.clone(), Depth::Ids).with_since(Some(now));
    let mut pages = destination.existing(probe);
    assert!(futures_util::StreamExt::next(&mut pages).await.is_none());
}

/// A server without the operation at all.
#[tokio::test]
async fn whole_migrations_go_without_sync() {
    use mailmove_core::{Migration, report::Status, store::MemoryStore};
    let (from, to) = (
        start(|builder| builder.without("SyncFolderItems")).await,
        start(Builder::without_sync).await,
    );
    fill(&from, 120);
    let store = MemoryStore::new();
    for created in [120, 0] {
        to.reset_counters();
        let migration = Migration::builder(source(config(&from)), destination(&to));
        let report = migration.store(store.clone()).build().unwrap().run().await;
        let report = report.unwrap();
        assert_eq!(report.status(), Status::Complete, "{report:?}");
        assert_eq!((count(&to), to.counters().created), (120, created));
    }
}
