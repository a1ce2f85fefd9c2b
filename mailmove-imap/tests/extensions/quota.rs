//! QUOTA (RFC 9208): a plan says beforehand that there is too little room.

use mailmove_core::{
    Destination as _, Options,
    model::{Quota, Usage},
    report::Warning,
};
use mailmove_imap_testserver::{Action, Capability};

use crate::support::*;

/// 100 KiB in twenty messages, and 80 in the inbox.
fn fill(from: &Side) {
    for number in 0..20 {
        for (path, size) in [("Box", 5 << 10), ("INBOX", 4 << 10)] {
            let mut body = mail(&format!("{path}{number}")).into_bytes();
            body.resize(size, b'x');
            from.put(&[path], body);
        }
    }
}

#[tokio::test]
async fn a_plan_warns_where_what_is_to_be_copied_does_not_fit() {
    let (from, to) = (
        Side::new(|server| server).await,
        Side::new(|server| server).await,
    );
    fill(&from);
    to.put(&["INBOX"], vec![b'x'; 30 << 10]);
    to.account.configure(|limits| {
        limits.quota_bytes = Some(130 << 10);
        limits.quota_messages = Some(41);
    });
    let plan = migration(&from, &to).build().unwrap().plan().await.unwrap();
    let used = Usage::new(30 << 10, 130 << 10);
    assert_eq!(plan.quota.bytes, Some(used));
    assert_eq!(plan.quota.messages, Some(Usage::new(1, 41)));
    let codes: Vec<_> = plan.warnings.iter().map(Warning::code).collect();
    assert_eq!(codes, ["plan/no-room"]);
    assert_eq!(
        plan.warnings[0].to_string(),
        "the destination has room for 102400 bytes, and 184320 are to be copied"
    );
    // Without the larger ones it fits; but then so many are too many.
    to.account
        .configure(|limits| limits.quota_messages = Some(20));
    let mut options = Options::new();
    options.filter.max_size = Some(4 << 10);
    let planned = migration(&from, &to).options(options).build().unwrap();
    let warnings = planned.plan().await.unwrap().warnings;
    assert_eq!(
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["the destination takes 19 more messages, and 20 are to be copied"]
    );
}

#[tokio::test]
async fn what_fits_is_no_warning_and_a_run_does_not_ask() {
    let (from, to) = (
        Side::new(|server| server).await,
        Side::new(|server| server).await,
    );
    fill(&from);
    to.account
        .configure(|limits| limits.quota_bytes = Some(180 << 10));
    let migration = migration(&from, &to).build().unwrap();
    assert_eq!(migration.plan().await.unwrap().warnings, []);
    let asked = to.server.counters().command("GETQUOTAROOT");
    assert_eq!(asked, 1);
    assert_eq!(migration.run().await.unwrap().total().copied, 40);
    assert_eq!(to.server.counters().command("GETQUOTAROOT"), asked);
    // What is done needs no room.
    let plan = migration.plan().await.unwrap();
    assert_eq!(
        (plan.warnings.len(), plan.quota.bytes.unwrap().free()),
        (0, 0)
    );
}

#[tokio::test]
async fn unlimited_not_offered_and_refused_are_unknown() {
    let to = Side::new(|server| server).await;
    let destination = to.destination(to.config());
    assert_eq!(destination.quota().await.unwrap(), Quota::unknown());
    to.account
        .configure(|limits| limits.quota_bytes = Some(180 << 10));
    to.server
        .faults()
        .arm("GETQUOTAROOT", 1, Action::No("[NOPERM] no".to_owned()));
    assert_eq!(destination.quota().await.unwrap(), Quota::unknown());
    assert!(destination.quota().await.unwrap().bytes.is_some());

    let to = Side::new(|server| server.without(Capability::Quota)).await;
    to.account
        .configure(|limits| limits.quota_bytes = Some(180 << 10));
    let destination = to.destination(to.config());
    assert_eq!(destination.quota().await.unwrap(), Quota::unknown());
    assert_eq!(to.server.counters().command("GETQUOTAROOT"), 0);
}
