//! Access rights (ACL, RFC 4314; LIST-MYRIGHTS, RFC 8440): a plan says what is forbidden.

use mailmove_core::{Destination as _, model::Rights, report::Status};
use mailmove_imap_testserver::{Action, Builder, Capability};

use crate::support::*;

fn with_rights(server: Builder) -> Builder {
    server
        .folder_rights(&["Hidden"], "l")
        .folder_rights(&["Box"], "lrs")
        .folder_rights(&["Parent"], "lrswi")
}

/// What a plan warns of, and what the two sides were asked for it.
async fn warned(setup: impl Fn(Builder) -> Builder) -> (Vec<String>, [u64; 4]) {
    let from = Side::new(|server| setup(server.folder_rights(&["Hidden"], "l"))).await;
    let to = Side::new(|server| setup(with_rights(server))).await;
    for path in [&["INBOX"][..], &["Box"], &["Hidden"], &["Parent", "Child"]] {
        from.put(path, mail("a"));
    }
    for path in ["Box", "Parent", "Read only"] {
        to.account.create(&[path]).unwrap();
    }
    let migration = migration(&from, &to).build().unwrap();
    let plan = migration.plan().await.unwrap();
    let warnings = plan.warnings.iter().map(ToString::to_string).collect();
    let (read, written) = (from.server.counters(), to.server.counters());
    assert_eq!(read.bad + written.bad, 0);
    let asked = [
        read.command("LIST"),
        read.command("MYRIGHTS"),
        written.command("LIST"),
        written.command("MYRIGHTS"),
    ];
    (warnings, asked)
}

const WARNINGS: [&str; 3] = [
    "the source's folder Hidden may not be read",
    "nothing may be put into the destination's folder Box",
    "the destination's folder Parent/Child may not be created",
];

#[tokio::test]
async fn a_plan_says_what_is_forbidden() {
    let (without_any, base) = warned(|server| server.without(Capability::Acl)).await;
    assert_eq!(without_any, [""; 0]);
    let (by_list, asked) = warned(|server| server).await;
    assert_eq!(by_list, WARNINGS);
    assert_eq!(asked, [base[0] + 1, 0, base[2] + 1, 0]);
    let (by_command, asked) = warned(|server| server.without(Capability::ListMyRights)).await;
    assert_eq!(by_command, WARNINGS);
    // Those to be copied; at the destination INBOX and Box, and the parent of what is missing.
    assert_eq!(asked, [base[0], 4 + 1, base[2], 3]);
}

#[tokio::test]
async fn a_run_does_not_ask_and_a_forbidden_folder_costs_itself_alone() {
    let from = Side::new(|server| server).await;
    let to = Side::new(with_rights).await;
    for path in ["Box", "Other"] {
        from.put(&[path], mail(path));
    }
    to.account.create(&["Box"]).unwrap();
    let report = migrate(&from, &to).await;
    assert_eq!(report.status(), Status::CompleteWithFailures);
    assert_eq!(to.bodies(&["Other"]), [mail("Other").into_bytes()]);
    assert_eq!(to.stored(&["Box"]).len(), 0);
    let problem = report
        .folders
        .iter()
        .find(|folder| folder.source.to_string() == "Box")
        .and_then(|folder| folder.problem.as_ref())
        .unwrap();
    assert_eq!(problem.code, "imap/no-permission");
    assert_eq!(to.server.counters().command("MYRIGHTS"), 0);
}

#[tokio::test]
async fn a_read_only_folder_and_one_that_is_gone() {
    let to = Side::new(|server| server.without(Capability::ListMyRights)).await;
    let id = to.account.create(&["Read only"]).unwrap();
    to.account.set_read_only(id, true).unwrap();
    let destination = to.destination(to.config());
    let folders = destination.folders().await.unwrap();
    let mut ids: Vec<_> = folders.iter().map(|folder| folder.id.clone()).collect();
    to.account.create(&["Gone"]).unwrap();
    ids.push(ensure(&destination, &["Gone"]).await.id);
    to.account.delete(&["Gone"]).unwrap();
    assert_eq!(
        destination.rights(&ids).await.unwrap(),
        [
            Rights::known(true, true, true),
            Rights::known(true, false, false),
            Rights::unknown()
        ]
    );
}

#[tokio::test]
async fn what_is_not_understood_is_not_tried_again() {
    let to = Side::new(|server| server).await;
    for number in 0..20 {
        to.account.create(&[&format!("f{number}")]).unwrap();
    }
    let bad = || Action::Bad("what?".to_owned());
    let destination = to.destination(to.config());
    let folders = destination.folders().await.unwrap();
    let ids: Vec<_> = folders.iter().map(|folder| folder.id.clone()).collect();
    to.server.faults().arm_from("LIST", 1, bad());
    to.server.faults().arm_from("MYRIGHTS", 1, bad());
    to.server.faults().arm_from("GETQUOTAROOT", 1, bad());
    for _ in 0..2 {
        let rights = destination.rights(&ids).await.unwrap();
        assert!(rights.iter().all(|one| *one == Rights::unknown()));
        assert_eq!(destination.quota().await.unwrap().bytes, None);
    }
    assert_eq!(to.server.counters().bad, 3);
}
