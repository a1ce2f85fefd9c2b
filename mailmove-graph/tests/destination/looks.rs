//! Looks at a folder, where the server forgets and goes round in circles.

use futures_util::StreamExt as _;
use mailmove_core::{
    Destination as _, Error, ErrorKind, Migration, Scope,
    destination::{Depth, Existing, Probe},
    model::Folder,
    report::Status,
    store::MemoryStore,
};
use mailmove_graph::GraphDestination;
use mailmove_graph_testserver::{Action, Mangle};
use mailmove_testkit::{
    mailbox::{NewMessage, Store},
    memory::MemoryMailbox,
};

use crate::support::{
    USER, account, append, destination, existing, letter, letters, made, of, parcel, start, stored,
    words,
};

async fn look(
    destination: &GraphDestination,
    folder: &Folder,
    exact: bool,
) -> Result<Vec<Existing>, Error> {
    let mut probe = Probe::new(folder.id.clone(), Depth::Meta).with_since(folder.mark.clone());
    if exact {
        probe = probe.exactly();
    }
    let mut pages = destination.existing(probe);
    let mut out = Vec::new();
    while let Some(page) = pages.next().await {
        out.extend(page?);
    }
    Ok(out)
}

/// Where the link in a mark is over, all is told, or nothing to whom that proves nothing.
#[tokio::test]
async fn a_mark_whose_link_is_forgotten_is_stale_to_whom_it_has_to_be_exact() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    made(&destination).await;
    let first = made(&destination).await;
    let outcomes = append(&destination, &first, letters(1)).await;
    assert_eq!(words(&outcomes), ["stored"]);
    let folder = made(&destination).await;
    assert!(look(&destination, &folder, true).await.unwrap().is_empty());
    assert_eq!(look(&destination, &first, true).await.unwrap().len(), 1);
    server.forget_deltas();
    assert_eq!(look(&destination, &folder, false).await.unwrap().len(), 1);
    let error = look(&destination, &folder, true).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stale);
}

/// A message that nobody can read spoils each page that it is on.
#[tokio::test]
async fn one_that_cannot_be_read_keeps_no_other_from_being_seen() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    append(&destination, &folder, letters(5)).await;
    assert!(server.poison_item(USER, &["INBOX"], 2, "ErrorCorruptData"));
    for depth in [Depth::Meta, Depth::Header, Depth::Content] {
        let probe = Probe::new(folder.id.clone(), depth);
        let pages: Vec<_> = destination.existing(probe).collect().await;
        let found: Vec<Existing> = pages.into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(found.len(), 5);
        let given = found.iter().filter(|one| one.given.is_some());
        assert_eq!(given.count(), 4, "{depth:?}");
    }
    // What is new since is seen as a whole, though the link is one of ids alone by now.
    let later = made(&destination).await;
    let outcomes = append(&destination, &later, of("Subject: new\r\n\r\nnew\r\n")).await;
    assert_eq!(words(&outcomes), ["stored"]);
    let found = look(&destination, &later, true).await.unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].given.is_some());
    // One that is new and can't be read may be the one that is in doubt: nobody may take it for missing.
    assert!(server.poison_item(USER, &["INBOX"], 6, "ErrorCorruptData"));
    let error = look(&destination, &later, true).await.unwrap_err();
    assert_eq!(error.code(), "graph/corrupt");
    assert_eq!(error.scope(), Scope::Folder);
}

/// Whenever it came: everything is copied into its folder, once.
#[tokio::test]
async fn one_that_cannot_be_read_keeps_no_pass_from_its_folder() {
    let server = start(|builder| builder).await;
    let there = account(&server);
    let inbox = there.folder(&["INBOX"]).unwrap().id;
    let foreign = |number: usize| vec![NewMessage::new(format!("Subject: {number}\r\n\r\nx\r\n"))];
    let from = Store::new().add_account("bob");
    let own = from.folder(&["INBOX"]).unwrap().id;
    let mail = (0..3).map(|number| NewMessage::new(letter(number)));
    from.append(own, mail.collect()).unwrap();
    let store = MemoryStore::new();
    let pass = async |copied: u64| {
        let source = MemoryMailbox::new(from.clone());
        let migration = Migration::builder(source, destination(&server));
        let migration = migration.store(store.clone()).build().unwrap();
        let report = migration.run().await.unwrap();
        assert_eq!(report.status(), Status::Complete, "{report:#?}");
        assert_eq!(report.total().copied, copied, "{report:#?}");
    };
    there
        .append(inbox, (0..3).flat_map(foreign).collect())
        .unwrap();
    assert!(server.poison_item(USER, &["INBOX"], 2, "ErrorCorruptData"));
    pass(3).await;
    there
        .append(inbox, (3..6).flat_map(foreign).collect())
        .unwrap();
    let last = *there.uids(inbox).unwrap().last().unwrap();
    assert!(server.poison_item(USER, &["INBOX"], last, "ErrorCorruptData"));
    from.append(own, vec![NewMessage::new(letter(7))]).unwrap();
    pass(1).await;
    pass(0).await;
    assert_eq!(stored(&server).len(), 10);
}

/// Who begins anew once does not do so for ever.
#[tokio::test]
async fn a_server_that_always_forgets_ends_a_look_and_a_mark() {
    let server = start(|builder| builder.max_page(1)).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    append(&destination, &folder, letters(3)).await;
    for nth in 0..40 {
        // The first page is told, and then it is forgotten where that ended.
        server
            .faults()
            .arm("MessageDelta", 1 + 2 * nth, Action::Resync);
    }
    let error = look(&destination, &folder, false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stale);
    assert!(server.counters().operation("MessageDelta") < 20);
    let error = destination.mark(&folder.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stale);
    assert!(server.counters().operation("MessageDelta") < 20);
    server.faults().clear();
    assert_eq!(existing(&destination, &folder, Depth::Ids).await.len(), 3);
}

/// The last page leads to one more, for ever.
#[tokio::test]
async fn links_that_go_round_end_a_look_and_a_mark() {
    let server = start(|builder| builder.max_page(1)).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    append(&destination, &folder, letters(3)).await;
    let circle = Action::Mangle(Mangle::NoEnd);
    server.faults().arm_every("MessageDelta", 1, circle);
    let error = look(&destination, &folder, false).await.unwrap_err();
    assert_eq!(error.code(), "graph/endless");
    let error = destination.mark(&folder.id).await.unwrap_err();
    assert_eq!(error.code(), "graph/endless");
    assert!(server.counters().operation("MessageDelta") < 20);
}

/// Exchange leaves the end of a message out now and then: that is no other message.
#[tokio::test]
async fn what_was_cut_off_is_read_again() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let outcomes = append(&destination, &folder, of(&parcel(&[300]))).await;
    assert_eq!(words(&outcomes), ["stored"]);
    let whole = existing(&destination, &folder, Depth::Content).await;
    let digest = whole[0].digest;
    assert!(digest.is_some());
    server.faults().arm("GetMime", 1, Action::Truncate);
    let again = existing(&destination, &folder, Depth::Content).await;
    assert_eq!(again[0].digest, digest);
    assert_eq!(server.counters().operation("GetMime"), 3);
}

/// A proxy may answer for the server: what it says is no message, and proves nothing of one.
#[tokio::test]
async fn what_is_no_message_is_not_compared_with_one() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let outcomes = append(&destination, &folder, letters(1)).await;
    assert_eq!(words(&outcomes), ["stored"]);
    let html = Action::Mangle(Mangle::Html);
    server.faults().arm("GetMime", 1, html);
    let probe = Probe::new(folder.id.clone(), Depth::Content).with_since(folder.mark.clone());
    let pages: Vec<_> = destination.existing(probe).collect().await;
    let error = pages.into_iter().find_map(Result::err).unwrap();
    assert_eq!(error.code(), "graph/no-message");
    assert!(error.is_transient());
    assert_eq!(
        existing(&destination, &folder, Depth::Content).await.len(),
        1
    );
}
