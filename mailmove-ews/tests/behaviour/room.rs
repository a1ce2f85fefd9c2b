//! How much a mailbox may hold, asked by plans.

use mailmove_core::{
    Destination as _, ErrorKind, Migration,
    model::{Quota, Usage},
    report::Warning,
    store::MemoryStore,
};
use mailmove_ews_testserver::Action;
use mailmove_testkit::mailbox::NewMessage;
use std::time::Duration;

use crate::support::{account, config, destination, fill, source, start};

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
