//! What is told of messages that are known already: nothing that was not told by the server.

use mailmove_core::{
    Edges, Migration, Source as _,
    error::{Retry, Scope},
    model::{Cursor, Flags, Folder, Form},
    report::Status,
    source::{Change, Coverage, ListRequest, Page},
    store::MemoryStore,
};
use mailmove_graph::GraphSource;
use mailmove_graph_testserver::{Action, Mangle, Server};
use mailmove_testkit::{
    mailbox::{FlagOp, NewMessage, Store},
    memory::MemoryMailbox,
};

use crate::support::{account, config, fetch, fill, flags, ids, inbox, letter, pages, source};
use crate::support::{start, words};

async fn exports(source: &GraphSource, folder: &Folder, since: Option<Cursor>) -> Vec<Page> {
    let request = ListRequest::new(folder).with_since(since);
    let request = request.with_form(Form::ExchangeStream).with_headers(true);
    pages(source, request).await.unwrap()
}

async fn mail(source: &GraphSource, folder: &Folder, since: Option<Cursor>) -> Vec<Page> {
    let request = ListRequest::new(folder).with_since(since);
    pages(source, request).await.unwrap()
}

fn last(pages: &[Page]) -> Option<Cursor> {
    pages.last().map(|page| page.next.clone())
}

fn mark(server: &Server, uid: u32, names: &[&str]) {
    let account = account(server);
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    account
        .store(inbox, &[uid], FlagOp::Add, names, None)
        .unwrap();
}

#[tokio::test]
async fn items_beside_one_that_spoils_its_page_keep_all_that_is_known_of_them() {
    let server = start(|builder| builder).await;
    fill(&server, 12);
    for uid in [2, 7, 9] {
        mark(&server, uid, &["\\Seen", "\\Flagged", "Red"]);
    }
    let source = source(config(&server));
    let folder = inbox(&source).await;
    let before = exports(&source, &folder, None).await;
    assert!(server.poison_item("ann", &["INBOX"], 5, "ErrorCorruptData"));
    mark(&server, 5, &["\\Answered"]);
    let after = exports(&source, &folder, last(&before)).await;
    assert_eq!(after[0].coverage, Coverage::Full);
    assert_eq!(ids(&after), ids(&before));
    assert_eq!(after.last().unwrap().exists, Some(12));
    let told = |pages: &[Page]| {
        let changes = pages.iter().flat_map(|page| &page.changes);
        let told = changes.filter_map(|change| match change {
            Change::Item(item) => {
                Some((item.flags.clone(), item.received, item.header, item.class))
            }
            _ => None,
        });
        let mut told: Vec<_> = told.collect();
        told.remove(4);
        told
    };
    assert_eq!(told(&after), told(&before));
    let marked = Flags::parse("\\Seen \\Flagged Red");
    assert_eq!(
        flags(&after)
            .iter()
            .filter(|flags| **flags == marked)
            .count(),
        3
    );
}

#[tokio::test]
async fn what_is_told_in_part_is_asked_for() {
    let server = start(|builder| builder).await;
    fill(&server, 3);
    let source = source(config(&server));
    let folder = inbox(&source).await;
    let seen = Flags::parse("\\Seen");
    for (form, operation, uid) in [
        (Form::Mime, "MessageDelta", 2),
        (Form::ExchangeStream, "MailboxItemDelta", 3),
    ] {
        let list = async |since| match form {
            Form::Mime => mail(&source, &folder, since).await,
            _ => exports(&source, &folder, since).await,
        };
        let first = list(None).await;
        mark(&server, uid, &["\\Seen"]);
        let bare = Action::Mangle(Mangle::Bare);
        server.faults().arm(operation, 1, bare.clone());
        let changed = list(last(&first)).await;
        assert_eq!(flags(&changed), std::slice::from_ref(&seen), "{operation}");
        // Nothing is told of the flags of one that can't be read.
        mark(&server, uid, &["Red"]);
        assert!(server.poison_operation(
            "ann",
            &["INBOX"],
            uid,
            if form == Form::Mime {
                "GetMessage"
            } else {
                "GetMailboxItem"
            },
            "ErrorCorruptData"
        ));
        server.faults().arm(operation, 1, bare.clone());
        let changed = list(last(&changed)).await;
        assert!(
            changed.iter().all(|page| page.changes.is_empty()),
            "{changed:?}"
        );
        // Where all is told, that it is there is.
        server.faults().arm(operation, 1, bare);
        assert_eq!(ids(&list(None).await).len(), 3);
    }
}

#[tokio::test]
async fn an_id_that_is_not_understood_is_not_taken_for_gone() {
    let server = start(|builder| builder).await;
    fill(&server, 2);
    let source = source(config(&server));
    let folder = inbox(&source).await;
    let malformed = Action::Error(400, "ErrorInvalidIdMalformed".to_owned());
    server
        .faults()
        .arm("MessageDelta", 1, Action::Mangle(Mangle::Bare));
    server.faults().arm("GetMessage", 1, malformed.clone());
    let found = mail(&source, &folder, None).await;
    assert_eq!(ids(&found).len(), 2);
    server.faults().arm_every("GetMime", 1, malformed);
    let fetched = fetch(&source, ids(&found)).await;
    assert_eq!(words(&fetched), ["graph/bad-id", "graph/bad-id"]);
}

#[tokio::test]
async fn a_cursor_of_the_other_interface_lists_all() {
    let server = start(|builder| builder).await;
    fill(&server, 4);
    let source = source(config(&server));
    let folder = inbox(&source).await;
    let (of_mail, of_items) = (
        mail(&source, &folder, None).await,
        exports(&source, &folder, None).await,
    );
    let crossed = mail(&source, &folder, last(&of_items)).await;
    assert_eq!(
        (crossed[0].coverage, ids(&crossed).len()),
        (Coverage::Full, 4)
    );
    let crossed = exports(&source, &folder, last(&of_mail)).await;
    assert_eq!(
        (crossed[0].coverage, ids(&crossed).len()),
        (Coverage::Full, 4)
    );
    let next = exports(&source, &folder, last(&of_items)).await;
    assert_eq!((next[0].coverage, ids(&next).len()), (Coverage::Delta, 0));
}

#[tokio::test]
async fn a_page_that_is_not_done_in_time_is_asked_for_in_pieces() {
    let server = start(|builder| builder).await;
    fill(&server, 120);
    let source = source(config(&server));
    let folder = inbox(&source).await;
    server
        .faults()
        .arm_from("MessageDelta", 1, Action::Status(504));
    for _ in 0..2 {
        let error = pages(&source, ListRequest::new(&folder)).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Backoff);
    }
    server.faults().clear();
    let found = mail(&source, &folder, None).await;
    assert_eq!((ids(&found).len(), found[0].changes.len()), (120, 50));
    // Later ones are as large as ever.
    assert_eq!(mail(&source, &folder, None).await[0].changes.len(), 120);
}

#[tokio::test]
async fn one_message_that_is_forbidden_costs_itself() {
    let server = start(|builder| builder).await;
    fill(&server, 3);
    let source = source(config(&server));
    let found = crate::support::all(&source).await;
    server.faults().arm("GetMime", 2, Action::Status(403));
    let fetched = fetch(&source, ids(&found)).await;
    let mut told = words(&fetched);
    told.sort();
    assert_eq!(told, ["content", "content", "graph/denied"]);
    let scopes = fetched.iter().filter_map(|(_, fetched)| match fetched {
        mailmove_core::source::Fetched::Failed(error) => Some(error.scope()),
        _ => None,
    });
    assert_eq!(scopes.collect::<Vec<_>>(), [Scope::Message]);
}

#[tokio::test]
async fn what_is_no_mail_and_changed_is_told_as_altered() {
    let server = start(|builder| builder).await;
    let account = account(&server);
    account.create(&["People"]).unwrap();
    server.set_folder_class("ann", &["People"], Some("IPF.Contact"));
    let people = account.folder(&["People"]).unwrap().id;
    for number in 0..3 {
        account
            .append(people, vec![NewMessage::new(letter(number))])
            .unwrap();
        let uid = account.uids(people).unwrap()[number];
        assert!(server.set_item_class("ann", &["People"], uid, "IPM.Contact"));
    }
    fill(&server, 2);
    let source = source(config(&server));
    let folders = source.folders().await.unwrap();
    let place = folders.iter().find(|f| !f.path.is_inbox()).unwrap();
    let first = exports(&source, place, None).await;
    assert_eq!(ids(&first).len(), 3);
    let uid = account.uids(people).unwrap()[1];
    account
        .damage(
            people,
            uid,
            "Subject: another\r\n\r\nText.\r\n".to_owned(),
            None,
        )
        .unwrap();
    account
        .store(people, &[uid], FlagOp::Add, &["Work"], None)
        .unwrap();
    let next = exports(&source, place, last(&first)).await;
    let changes: Vec<_> = next.iter().flat_map(|page| &page.changes).collect();
    match changes.as_slice() {
        [Change::Altered(item)] => assert_eq!(item.id, ids(&first)[1]),
        other => panic!("{other:?}"),
    }
    // Of mail nothing changes but flags.
    let folder = inbox(&source).await;
    let first = exports(&source, &folder, None).await;
    mark(&server, 1, &["\\Seen"]);
    let next = exports(&source, &folder, last(&first)).await;
    assert_eq!(flags(&next), [Flags::parse("\\Seen")]);
}

/// A message that can't be read any more is listed by its id alone, and its copy keeps its flags.
#[tokio::test]
async fn what_cannot_be_read_any_more_keeps_its_flags_at_the_destination() {
    let server = start(|builder| builder).await;
    let inbox = fill(&server, 5);
    let marked = ["\\Seen", "\\Flagged", "Red"];
    mark(&server, 3, &marked);
    let (store, there) = (MemoryStore::new(), Store::new().add_account("bob"));
    let flags = || {
        let inbox = there.folder(&["INBOX"]).unwrap().id;
        let all = there.messages(inbox).unwrap();
        let all = all.iter().map(|message| message.flags.len());
        let mut all: Vec<_> = all.collect();
        all.sort_unstable();
        all
    };
    let pass = async || {
        let migration =
            Migration::builder(source(config(&server)), MemoryMailbox::new(there.clone()))
                .store(store.clone())
                .edges(Edges::new())
                .build()
                .unwrap();
        let report = migration.run().await.unwrap();
        assert_eq!(report.status(), Status::Complete, "{report:?}");
    };
    pass().await;
    assert_eq!(flags(), [0, 0, 0, 0, 3]);
    assert!(server.poison_item("ann", &["INBOX"], 3, "ErrorCorruptData"));
    account(&server)
        .store(inbox, &[1, 3], FlagOp::Add, &["\\Answered"], None)
        .unwrap();
    pass().await;
    assert_eq!(flags(), [0, 0, 0, 1, 3]);
}
