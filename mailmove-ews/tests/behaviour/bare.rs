//! Faults without a reason, as gromox has them: they pass, or cost the one item that the server stumbles over.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use mailmove_core::{
    Edges, ErrorKind, Migration, Options, Scope, Source as _,
    edge::{Credential, StaticCredential},
    model::AlterationKind,
    report::{Report, Status},
    source::{FetchRequest, Fetched, ListRequest},
    store::MemoryStore,
};
use mailmove_ews::{EwsDestination, EwsSource};
use mailmove_ews_testserver::{Action, Builder, Server};
use mailmove_testkit::{
    clock::TestClock,
    mailbox::{FlagOp, Store},
};

use crate::support::{
    PASSWORD, account, config, fetch, fill, ids, inbox, pages, password, source, start,
};

/// Only this letter has it.
const POISON: &str = "This is letter 13.";

/// The ids of another user's mailbox are others.
async fn start_to(change: impl FnOnce(Builder) -> Builder) -> Server {
    let builder = Server::builder(Store::new()).user("bob", PASSWORD);
    change(builder.without_default_folders())
        .start()
        .await
        .unwrap()
}

fn count(server: &Server) -> usize {
    let bob = server.store().account("bob").unwrap();
    let inbox = bob.folder(&["INBOX"]).unwrap().id;
    bob.messages(inbox).unwrap().len()
}

fn clock() -> TestClock {
    TestClock::jumping(Duration::from_secs(1_700_000_000))
}

/// A pass with default options: `streams` says whether items go as exports.
async fn pass(from: &Server, to: &Server, store: &MemoryStore, streams: bool) -> Report {
    let clock = clock();
    let edges = || Edges::new().with_clock(Arc::new(clock.clone()));
    let source = EwsSource::new(config(from), password(), edges());
    let bob = Arc::new(StaticCredential::new(Credential::password("bob", PASSWORD)));
    let config = config(to).with_user("bob@example.com");
    let destination = EwsDestination::new(config, bob, edges());
    let mut options = Options::new();
    options.streams = streams;
    let migration = Migration::builder(source, destination)
        .store(store.clone())
        .options(options)
        .edges(edges())
        .build()
        .unwrap();
    migration.run().await.unwrap()
}

fn failed(report: &Report) -> u64 {
    report.total().failed
}

/// Twice in a row at each operation of a migration: the engine tries again, and nothing is lost or doubled.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_without_a_reason_passes() {
    for streams in [false, true] {
        for operation in [
            "GetFolder",
            "FindFolder",
            "SyncFolderItems",
            "GetItem",
            "ExportItems",
            "CreateItem",
            "UploadItems",
        ] {
            for action in [
                Action::BareFault,
                Action::Fault(500, String::new()),
                Action::Status(500),
            ] {
                let from = start(|builder| builder).await;
                let to = start_to(|builder| builder).await;
                fill(&from, 30);
                for nth in [2, 3] {
                    from.faults().arm(operation, nth, action.clone());
                    to.faults().arm(operation, nth, action.clone());
                }
                let report = pass(&from, &to, &MemoryStore::new(), streams).await;
                assert_eq!(
                    report.status(),
                    Status::Complete,
                    "{operation} {action:?}: {report:#?}"
                );
                assert_eq!(count(&to), 30, "{operation} {action:?}");
            }
        }
    }
}

/// What fails alone and each time is given up alone: its neighbours in the request arrive.
#[tokio::test(flavor = "multi_thread")]
async fn an_item_on_which_the_source_chokes_costs_one_item() {
    for streams in [false, true] {
        let from = start(|builder| builder.chokes_on(POISON)).await;
        let to = start_to(|builder| builder).await;
        fill(&from, 60);
        let report = pass(&from, &to, &MemoryStore::new(), streams).await;
        assert_eq!(
            (report.status(), failed(&report)),
            (Status::CompleteWithFailures, 1),
            "{report:#?}"
        );
        assert_eq!(count(&to), 59, "streams: {streams}");
        let asked = from.counters().operation("GetItem") + from.counters().operation("ExportItems");
        assert!(asked <= 40, "{asked} requests for contents");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_on_which_the_destination_chokes_costs_one_item() {
    let from = start(|builder| builder).await;
    let to = start_to(|builder| builder.rebuilds_mime().chokes_on(POISON)).await;
    fill(&from, 60);
    let store = MemoryStore::new();
    let report = pass(&from, &to, &store, false).await;
    assert_eq!(
        (report.status(), failed(&report)),
        (Status::CompleteWithFailures, 1),
        "{report:#?}"
    );
    assert_eq!(count(&to), 59);
    let sent = to.counters().operation("CreateItem");
    assert!(sent <= 20, "{sent} requests to store");
    // It is not tried again for ever.
    to.reset_counters();
    let _ = pass(&from, &to, &store, false).await;
    assert_eq!((count(&to), to.counters().created), (59, 0));
}

/// Who knows no exports says so in words alone: all goes as MIME, after one question each.
#[tokio::test(flavor = "multi_thread")]
async fn who_knows_no_exports_gets_mime() {
    let without = |builder: Builder| {
        let builder = builder.without("ExportItems").without("UploadItems");
        builder.bare_faults()
    };
    for gromox in ["source", "destination"] {
        let as_gromox = |side, builder| match side == gromox {
            true => without(builder),
            false => builder,
        };
        let from = start(|builder| as_gromox("source", builder)).await;
        let to = start_to(|builder| as_gromox("destination", builder)).await;
        fill(&from, 30);
        let report = pass(&from, &to, &MemoryStore::new(), true).await;
        assert_eq!(report.status(), Status::Complete, "{report:#?}");
        assert_eq!(count(&to), 30);
        let asked = from.counters().operation("ExportItems");
        let sent = to.counters().operation("UploadItems");
        assert!(asked <= 2 && sent <= 1, "{asked} asked, {sent} sent");
    }
}

/// Flags that cannot be set at one message cost that one's flags.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_flags_cannot_be_changed_costs_its_flags() {
    let from = start(|builder| builder).await;
    let to = start_to(|builder| builder).await;
    fill(&from, 40);
    let store = MemoryStore::new();
    let first = pass(&from, &to, &store, false).await;
    assert_eq!(first.status(), Status::Complete, "{first:#?}");
    let inbox = account(&from).folder(&["INBOX"]).unwrap().id;
    let uids = account(&from).uids(inbox).unwrap();
    let flagged = ["\\Flagged"];
    account(&from)
        .store(inbox, &uids, FlagOp::Add, &flagged, None)
        .unwrap();
    to.choke_on(Some(POISON));
    let second = pass(&from, &to, &store, false).await;
    assert_eq!(second.status(), Status::Complete, "{second:#?}");
    let dropped = |report: &Report| {
        let folders = report.folders.iter();
        let kinds = folders.filter_map(|folder| folder.altered.get(&AlterationKind::FlagDropped));
        kinds.sum::<u64>()
    };
    assert_eq!(dropped(&second), 1);
    let bob = to.store().account("bob").unwrap();
    let inbox = bob.folder(&["INBOX"]).unwrap().id;
    let all = bob.messages(inbox).unwrap();
    let flagged = all
        .iter()
        .filter(|one| one.flags.iter().any(|flag| flag == "\\Flagged"));
    assert_eq!(flagged.count(), 39);
}

#[tokio::test]
async fn whose_fault_it_is_is_asked() {
    let server = start(|builder| builder.chokes_on(POISON)).await;
    fill(&server, 20);
    let source = source(config(&server));
    let folder = inbox(&source).await;
    let listed = ids(&pages(&source, ListRequest::new(&folder)).await.unwrap());
    let error = |fetched: &Fetched| match fetched {
        Fetched::Failed(error) => Some((error.scope(), error.is_transient())),
        _ => None,
    };
    // One item's: the others come.
    let fetched = fetch(&source, listed.clone()).await;
    let failures: Vec<_> = fetched.iter().filter_map(|(_, one)| error(one)).collect();
    assert_eq!(failures, [(Scope::Message, true)]);
    // The server's: nobody's item is at fault.
    for action in [Action::BareFault, Action::Status(500)] {
        server.faults().arm_from("*", 1, action);
        let request =
            FetchRequest::new(folder.id.clone(), folder.identity.as_str(), listed.clone());
        let fetched: Vec<_> = source.fetch(request).collect().await;
        assert_eq!(fetched.len(), 20);
        for (_, one) in &fetched {
            assert_eq!(error(one), Some((Scope::Account, true)));
        }
        server.faults().clear();
    }
    // Requests about a folder or the account are tried again as such.
    for (operation, scope) in [
        ("SyncFolderItems", Scope::Folder),
        ("FindFolder", Scope::Account),
    ] {
        server.faults().arm(operation, 1, Action::BareFault);
        let error = match operation {
            "FindFolder" => source.folders().await.unwrap_err(),
            _ => pages(&source, ListRequest::new(&folder)).await.unwrap_err(),
        };
        assert_eq!(
            (error.kind(), error.scope(), error.is_transient()),
            (ErrorKind::Unavailable, scope, true)
        );
    }
}
