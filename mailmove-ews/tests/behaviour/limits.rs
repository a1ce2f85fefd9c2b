//! Short pages, ghosts, and how many requests are made.

use mailmove_core::{
    Migration,
    report::Status,
    source::{Fetched, ListRequest},
    store::MemoryStore,
};
use mailmove_ews_testserver::Builder;

use crate::support::{
    account, config, count, destination, fetch, fill, ids, inbox, pages, source, start,
};

#[tokio::test]
async fn short_pages_are_read_to_their_end() {
    let server = start(|builder| builder.partial_pages(7)).await;
    fill(&server, 50);
    for number in 0..20 {
        account(&server)
            .create(&[format!("Folder {number}")])
            .unwrap();
    }
    let source = source(config(&server));
    assert_eq!(
        mailmove_core::Source::folders(&source).await.unwrap().len(),
        21
    );
    let listed = pages(&source, ListRequest::new(&inbox(&source).await))
        .await
        .unwrap();
    let mut all = ids(&listed);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 50);
    assert_eq!(listed.last().unwrap().exists, Some(50));
}

#[tokio::test]
async fn what_is_listed_but_not_there_has_vanished() {
    let server = start(Builder::ghosts).await;
    fill(&server, 2);
    let source = source(config(&server));
    let listed = pages(&source, ListRequest::new(&inbox(&source).await))
        .await
        .unwrap();
    assert_eq!(listed.last().unwrap().exists, Some(2));
    let fetched = fetch(&source, ids(&listed)).await;
    let vanished = fetched
        .iter()
        .filter(|(_, one)| matches!(one, Fetched::Vanished));
    assert_eq!((vanished.count(), fetched.len()), (1, 3));
}

/// At most 150 requests for 1,000 small messages on each side, and a second pass is cheap.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_small_messages_take_few_requests() {
    let (from, to) = (
        start(|builder| builder).await,
        start(|builder| builder).await,
    );
    fill(&from, 1000);
    let migration = || Migration::builder(source(config(&from)), destination(&to));
    let store = MemoryStore::new();
    let report = migration()
        .store(store.clone())
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    assert_eq!(report.status(), Status::Complete, "{report:?}");
    assert_eq!(count(&to), 1000);
    let (read, written) = (from.counters(), to.counters());
    assert!(
        read.requests <= 150 && written.requests <= 150,
        "{read:?} {written:?}"
    );
    from.reset_counters();
    to.reset_counters();
    let report = migration()
        .store(store)
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    assert_eq!(report.status(), Status::Complete);
    assert_eq!(to.counters().created, 0);
    let (read, written) = (from.counters(), to.counters());
    assert!(
        read.requests <= 12 && written.requests <= 20,
        "{read:?} {written:?}"
    );
}
