//! How much a mailbox may hold, asked by plans.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use mailmove_core::{
    Destination as _, Edges, ErrorKind, Migration, Scope,
    destination::{Batch, NoFence, Outcome, Outgoing},
    model::{Content, Folder, Quota, Slot, Usage},
    report::Warning,
    store::MemoryStore,
};
use mailmove_ews::EwsDestination;
use mailmove_ews_testserver::Action;
use mailmove_testkit::mailbox::NewMessage;

use crate::support::{
    account, config, count, destination, fill, letter, made, password, source, start, words,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_warns_where_there_is_too_little_room_and_a_run_asks_nothing() {
    let (from, to) = (
        start(|builder| builder).await,
        start(|builder| builder).await,
    );
    fill(&from, 100);
    let inbox = account(&to).folder(&["INBOX"]).unwrap().id;
    let other = NewMessage::new(format!("Subject: other\r\n\r\n{}\r\n", "x".repeat(900)));
    account(&to).append(inbox, vec![other]).unwrap();
    account(&to).configure(|limits| limits.quota_bytes = Some(4096));
    let migration = || {
        let both = (source(config(&from)), destination(&to));
        let builder = Migration::builder(both.0, both.1).store(MemoryStore::new());
        builder.build().unwrap()
    };
    let plan = migration().plan().await.unwrap();
    let used = account(&to).used_bytes();
    assert_eq!(plan.quota.bytes, Some(Usage::new(used, 4096)));
    let short =
        |warning: &Warning| matches!(warning, Warning::NoRoom { free, .. } if *free == 4096 - used);
    assert!(plan.warnings.iter().any(short), "{:?}", plan.warnings);
    assert_eq!(to.counters().operation("GetMailTips"), 1);
    account(&to).configure(|limits| limits.quota_bytes = None);
    to.reset_counters();
    migration().run().await.unwrap();
    assert_eq!(to.counters().operation("GetMailTips"), 0);
}

#[tokio::test]
async fn a_full_mailbox_is_told_and_what_is_not_told_is_no_error() {
    let full = start(|builder| builder).await;
    fill(&full, 10);
    account(&full).configure(|limits| limits.quota_messages = Some(10));
    let quota = destination(&full).quota().await.unwrap();
    assert_eq!(quota.bytes.map(Usage::free), Some(0));
    // Neither a limit nor the operation.
    let server = start(|builder| builder.without("GetMailTips")).await;
    let quota = destination(&server).quota().await.unwrap();
    assert_eq!(quota, Quota::unknown());
    for code in [
        "ErrorAccessDenied",
        "ErrorFolderNotFound",
        "ErrorNonExistentMailbox",
    ] {
        server
            .faults()
            .arm("GetFolder", 1, Action::Error(code.to_owned()));
        let quota = destination(&server).quota().await.unwrap();
        assert_eq!(quota, Quota::unknown(), "{code}");
    }
    // Who does not answer says nothing about room.
    let busy = Action::BusyFault(Duration::from_secs(1));
    server.faults().arm("GetFolder", 1, busy);
    let error = destination(&server).quota().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
}

/// What is too large is counted before anything is sent, and fails without a byte of it on the wire.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_told_by_the_plan_and_never_sent() {
    let (from, to) = (
        start(|builder| builder).await,
        start(|builder| builder).await,
    );
    fill(&from, 20);
    let inbox = account(&from).folder(&["INBOX"]).unwrap().id;
    for number in 0..3 {
        let text = format!("Subject: large {number}\r\n\r\n{}\r\n", "x".repeat(90_000));
        let large = NewMessage::new(text);
        account(&from).append(inbox, vec![large]).unwrap();
    }
    let migration = |max_request| {
        let config = config(&to).with_max_request(max_request);
        let destination = EwsDestination::new(config, password(), Edges::new());
        let builder = Migration::builder(source(crate::support::config(&from)), destination);
        builder.store(MemoryStore::new()).build().unwrap()
    };
    let limit = (100_000 - (16 << 10)) / 4 * 3;
    let plan = migration(100_000).plan().await.unwrap();
    let told = |warning: &&Warning| warning.code() == "plan/too-large";
    let warning = plan.warnings.iter().find(told).unwrap();
    assert!(
        warning
            .to_string()
            .starts_with(&format!("3 messages are larger than the {limit} bytes"))
    );
    assert_eq!(plan.folders[0].too_large, 3);
    // The usual limit lets all of them pass, and needs no listing.
    from.reset_counters();
    let plan = migration(64 << 20).plan().await.unwrap();
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    assert_eq!(from.counters().operation("SyncFolderItems"), 0);
    to.reset_counters();
    let report = migration(100_000).run().await.unwrap();
    assert_eq!((report.total().copied, report.total().failed), (20, 3));
    assert!(
        report
            .failures
            .iter()
            .all(|one| one.code == "destination/too-large" && one.remedy.is_some())
    );
    assert!(to.counters().bytes_in < 90_000, "{:?}", to.counters());
}

/// The server's own word about one message costs that message.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_calls_too_large_costs_one_message() {
    let server = start(|builder| builder).await;
    account(&server).configure(|limits| limits.max_message_size = Some(1000));
    let destination = destination(&server);
    let folder = made(&destination).await;
    let large = format!("Subject: large\r\n\r\n{}\r\n", "x".repeat(1000));
    let outcomes = stored(&destination, &folder, [letter(0), large, letter(1)]).await;
    assert_eq!(
        words(&outcomes),
        ["stored", "not stored: ews/too-large", "stored"]
    );
    let Outcome::NotStored(error) = &outcomes[1] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(
        (error.kind(), error.scope()),
        (ErrorKind::TooLarge, Scope::Message)
    );
    assert!(error.remedy().is_some());
}

/// A gateway that takes less at once than Exchange does gets less at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large_is_cut() {
    let server = start(|builder| builder.max_request(1_500_000)).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let letter = |size: usize| format!("Subject: x\r\n\r\n{}\r\n", "x".repeat(size));
    let mut letters = vec![letter(300_000); 9];
    letters.push(letter(1_300_000));
    let outcomes = stored(&destination, &folder, letters).await;
    let mut expected = vec!["stored"; 9];
    expected.push("not stored: ews/request-too-large");
    assert_eq!(words(&outcomes), expected);
    assert_eq!(count(&server), 9);
    // It is known from then on.
    server.reset_counters();
    let outcomes = stored(&destination, &folder, vec![letter(300_000); 6]).await;
    assert_eq!(words(&outcomes), ["stored"; 6]);
    assert_eq!(server.counters().statuses.get(&413), None);
}

async fn stored(
    destination: &EwsDestination,
    folder: &Folder,
    letters: impl IntoIterator<Item = String>,
) -> Vec<Outcome> {
    let items = letters
        .into_iter()
        .map(|text| Outgoing::new(Content::from_bytes(text)));
    let mark = folder.mark.clone().unwrap();
    let batch = Batch::new(folder.id.clone(), mark, items.collect(), Arc::new(NoFence));
    let mut all: Vec<(Slot, Outcome)> = destination.append(batch).collect().await;
    all.sort_by_key(|(slot, _)| *slot);
    all.into_iter().map(|(_, outcome)| outcome).collect()
}
