//! Items as Exchange exports them.

use std::collections::BTreeSet;

use mailmove_core::{
    Source as _,
    error::{Retry, Scope},
    model::{Flags, Folder, Form, ItemClass},
    source::{Change, FetchRequest, Fetched, ListRequest, Page},
};
use mailmove_graph::GraphSource;
use mailmove_graph_testserver::{Action, Server};
use mailmove_testkit::mailbox::{FlagOp, NewMessage};

use crate::support::{account, config, fill, ids, inbox, letter, pages, source, start, words};

async fn listed(source: &GraphSource, folder: &Folder) -> Vec<Page> {
    let request = ListRequest::new(folder).with_form(Form::ExchangeStream);
    pages(source, request.with_headers(true)).await.unwrap()
}

async fn fetched(
    source: &GraphSource,
    folder: &Folder,
    pages: &[Page],
    form: Form,
) -> Vec<(mailmove_core::model::MessageId, Fetched)> {
    use futures_util::StreamExt as _;
    let request = FetchRequest::new(folder.id.clone(), folder.identity.as_str(), ids(pages));
    let mut all: Vec<_> = source.fetch(request.with_form(form)).collect().await;
    let order = ids(pages);
    all.sort_by_key(|(id, _)| order.iter().position(|known| known == id));
    all
}

/// A contact, in a folder for such.
fn contacts(server: &Server) {
    let account = account(server);
    account.create(&["People"]).unwrap();
    server.set_folder_class("ann", &["People"], Some("IPF.Contact"));
    let folder = account.folder(&["People"]).unwrap().id;
    let contact = NewMessage::new(letter(77));
    account.append(folder, vec![contact]).unwrap();
    assert!(server.set_item_class("ann", &["People"], 1, "IPM.Contact"));
}

#[tokio::test]
async fn items_of_all_classes_are_listed_and_exported() {
    let server = start(|builder| builder.max_page(7)).await;
    let account = account(&server);
    let inbox_id = fill(&server, 25);
    account
        .store(
            inbox_id,
            &[2],
            FlagOp::Add,
            &["\\Flagged", "\\Seen", "Red"],
            None,
        )
        .unwrap();
    contacts(&server);
    let source = source(config(&server));
    let can = source.capabilities().await.unwrap();
    assert!(can.forms.contains(&Form::ExchangeStream));
    assert!(can.classes.contains(&ItemClass::Contact));
    let folders = source.folders().await.unwrap();
    let people = folders
        .iter()
        .find(|f| f.class == ItemClass::Contact)
        .unwrap();
    let inbox = folders.iter().find(|f| f.path.is_inbox()).unwrap();
    for (folder, count) in [(inbox, 25), (people, 1)] {
        let found = listed(&source, folder).await;
        assert_eq!(found.last().unwrap().exists, Some(count as u64));
        let items: Vec<_> = found
            .iter()
            .flat_map(|page| &page.changes)
            .filter_map(|change| match change {
                Change::Item(item) => Some(item),
                _ => None,
            })
            .collect();
        assert_eq!(items.len(), count);
        assert!(items.iter().all(|item| item.class == folder.class));
        // Each is told apart by what its export keeps.
        let names: BTreeSet<_> = items.iter().map(|item| item.header.unwrap()).collect();
        assert_eq!(names.len(), count);
        if folder.class == ItemClass::Mail {
            let flags = Flags::parse("\\Flagged \\Seen Red");
            assert_eq!(items.iter().filter(|item| item.flags == flags).count(), 1);
            assert!(items.iter().all(|item| item.received.is_some()));
        }
        let exported = fetched(&source, folder, &found, Form::ExchangeStream).await;
        assert_eq!(words(&exported), vec!["content"; count]);
        for (_, fetched) in &exported {
            let Fetched::Content(content) = fetched else {
                panic!("no content");
            };
            assert_eq!(content.form(), Form::ExchangeStream);
            assert!(content.size() > 100);
        }
    }
    assert_eq!(server.counters().exported, 26);
    // Twenty at most in a request.
    assert_eq!(server.counters().operation("ExportItems"), 3);
    // A contact that can't be exported never becomes mail, nor is it taken for gone.
    let found = listed(&source, people).await;
    let code = "ErrorCorruptData".to_owned();
    server
        .faults()
        .arm("ExportItems", 1, Action::ErrorAt(0, code));
    let answers = fetched(&source, people, &found, Form::ExchangeStream).await;
    assert_eq!(words(&answers), ["graph/corrupt"]);
    // A look that fails is no look.
    server
        .faults()
        .arm("GetMailboxItem", 1, Action::Status(504));
    for word in ["graph/unavailable", "graph/no-mail", "graph/no-mail"] {
        let answers = fetched(&source, people, &found, Form::Mime).await;
        assert_eq!(words(&answers), [word]);
    }
    assert_eq!(server.counters().operation("GetMime"), 0);
}

#[tokio::test]
async fn one_item_that_is_not_exported_costs_itself() {
    let server = start(|builder| builder).await;
    fill(&server, 6);
    let source = source(config(&server));
    let folder = inbox(&source).await;
    let found = listed(&source, &folder).await;
    let code = "ErrorCorruptData".to_owned();
    server
        .faults()
        .arm("ExportItems", 1, Action::ErrorAt(2, code));
    let answers = fetched(&source, &folder, &found, Form::ExchangeStream).await;
    let words = words(&answers);
    assert_eq!(words.iter().filter(|word| *word == "content").count(), 5);
    assert!(words.contains(&"graph/corrupt".to_owned()), "{words:?}");
    // One that is gone by then has vanished.
    let account = account(&server);
    account
        .remove(account.folder(&["INBOX"]).unwrap().id, &[1])
        .unwrap();
    let answers = fetched(&source, &folder, &found, Form::ExchangeStream).await;
    assert!(crate::support::words(&answers).contains(&"vanished".to_owned()));
}

#[tokio::test]
async fn an_export_that_was_not_finished_is_asked_for_again() {
    let server = start(|builder| builder).await;
    fill(&server, 2);
    let source = source(config(&server));
    let folder = inbox(&source).await;
    let found = listed(&source, &folder).await;
    server.faults().arm("ExportItems", 1, Action::Truncate);
    for (_, fetched) in fetched(&source, &folder, &found, Form::ExchangeStream).await {
        let Fetched::Failed(error) = fetched else {
            panic!("a content");
        };
        assert_eq!(error.code(), "graph/truncated");
        assert_eq!(
            (error.scope(), error.retry()),
            (Scope::Message, Retry::Backoff)
        );
    }
    let again = fetched(&source, &folder, &found, Form::ExchangeStream).await;
    assert_eq!(words(&again), ["content", "content"]);
}

#[tokio::test]
async fn where_nothing_is_exported_mail_goes_as_mime() {
    for operation in ["ExportItems", "ExchangeSettings"] {
        let server = start(|builder| builder.without(operation)).await;
        fill(&server, 3);
        contacts(&server);
        let source = source(config(&server));
        let can = source.capabilities().await.unwrap();
        let folder = inbox(&source).await;
        if operation == "ExchangeSettings" {
            assert!(!can.forms.contains(&Form::ExchangeStream));
            assert_eq!(source.folders().await.unwrap().len(), 1);
            continue;
        }
        let found = listed(&source, &folder).await;
        let answers = fetched(&source, &folder, &found, Form::ExchangeStream).await;
        assert_eq!(words(&answers), vec!["graph/no-export"; 3]);
        let answers = fetched(&source, &folder, &found, Form::Mime).await;
        assert_eq!(words(&answers), vec!["content"; 3]);
    }
}
