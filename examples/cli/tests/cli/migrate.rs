//! Runs that end well.

use mailmove_testkit::{mailbox::FlagOp, snapshot::Snapshot};

use crate::support::{PASSWORD, World, run};

#[tokio::test(flavor = "multi_thread")]
async fn copies_everything_once_and_then_only_what_is_new() {
    let world = World::new().await;
    world.fill(120);
    let before = Snapshot::of(&world.from());

    let first = world.run("migrate", &[]).await;
    first.succeeds();
    assert!(
        first
            .stdout
            .contains("complete: every message accounted for (120 found, 120 copied"),
        "{first:#?}"
    );
    world.difference().none().unwrap();
    mailmove_testkit::snapshot::Compare::untouched()
        .diff(&before, &Snapshot::of(&world.from()))
        .none()
        .unwrap();

    world.destination.reset_counters();
    let second = world.run("migrate", &[]).await;
    second.succeeds();
    assert!(
        second
            .stdout
            .contains("complete: nothing new; all 120 messages accounted for"),
        "{second:#?}"
    );
    assert_eq!(world.destination.counters().messages_appended, 0);

    let verified = world.run("verify", &["--full"]).await;
    verified.succeeds();
    assert!(
        verified
            .stdout
            .contains("verified: 120 messages, no difference"),
        "{verified:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_changes_nothing() {
    let world = World::new().await;
    world.fill(20);
    let before = Snapshot::of(&world.to());
    let plan = world.run("plan", &["--exclude", "Sent"]).await;
    plan.succeeds();
    for text in [
        "Letters/2023",
        "will be created",
        "left out",
        "nothing was changed",
    ] {
        assert!(plan.stdout.contains(text), "no {text:?} in {plan:#?}");
    }
    before.diff(&Snapshot::of(&world.to())).none().unwrap();
    assert_eq!(world.destination.counters().messages_appended, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_what_is_missing() {
    let world = World::new().await;
    world.fill(20);
    world.run("migrate", &[]).await.succeeds();
    let inbox = world.to().folder(&["INBOX"]).unwrap().id;
    let uids = world.to().uids(inbox).unwrap();
    world.to().remove(inbox, &uids[..1]).unwrap();
    world
        .to()
        .store(inbox, &uids[1..2], FlagOp::Add, &["Elsewhere"], None)
        .unwrap();
    let run = world.run("verify", &[]).await;
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert!(run.stdout.contains("missing"), "{run:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_are_chosen_left_out_and_put_elsewhere() {
    let world = World::new().await;
    world.fill(40);
    let run = world
        .run(
            "migrate",
            &["--exclude", "Sent", "--map", "Letters=Old mail"],
        )
        .await;
    run.succeeds();
    let paths: Vec<_> = world
        .to()
        .folders()
        .iter()
        .map(|folder| folder.path.join("/"))
        .collect();
    assert!(paths.contains(&"Old mail/2023".to_owned()), "{paths:?}");
    assert!(
        !paths.contains(&"Sent".to_owned()) && !paths.contains(&"Letters".to_owned()),
        "{paths:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_are_objects_and_end_with_the_report() {
    let world = World::new().await;
    world.fill(30);
    let run = world.run("migrate", &["--json"]).await;
    run.succeeds();
    let lines = run.lines();
    assert!(
        lines.iter().all(|line| line["event"].is_string()),
        "{lines:#?}"
    );
    let report = lines.last().unwrap();
    assert_eq!(report["event"], "report");
    assert_eq!(report["status"], "complete");
    assert_eq!(report["total"]["copied"], 30);
    let folders = report["folders"].as_array().unwrap();
    let found: u64 = folders
        .iter()
        .map(|folder| folder["found"].as_u64().unwrap())
        .sum();
    assert_eq!(found, 30);
    let progress = lines
        .iter()
        .filter(|line| line["event"] == "progress" && line["state"] == "copied");
    let copied: u64 = progress
        .map(|line| line["messages"].as_u64().unwrap())
        .sum();
    assert_eq!(copied, 30);

    let verified = world.run("verify", &["--json"]).await;
    verified.succeeds();
    let last = verified.lines().pop().unwrap();
    assert_eq!(
        (&last["event"], &last["clean"]),
        (&"verification".into(), &true.into())
    );
    let plan = world.run("plan", &["--json"]).await.lines().pop().unwrap();
    assert_eq!(plan["event"], "plan");
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_from_files_and_state_below_xdg() {
    let world = World::new().await;
    world.fill(5);
    let file = world.directory.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\nnot this line\n")).unwrap();
    let path = file.to_str().unwrap();
    let ca = world.directory.path().join("ca.pem");
    let mut command = crate::support::program(&[
        "migrate",
        "--from",
        &world.source_url(),
        "--to",
        &world.destination_url(),
        "--from-password-file",
        path,
        "--to-password-file",
        path,
        "--ca-file",
        ca.to_str().unwrap(),
    ]);
    command.env("XDG_STATE_HOME", world.directory.path().join("xdg"));
    run(command).await.succeeds();
    let made = std::fs::read_dir(world.directory.path().join("xdg/mailmove"))
        .unwrap()
        .count();
    assert_eq!(made, 1);
    world.difference().none().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_leave_out_and_say_so() {
    let world = World::new().await;
    world.fill(30);
    let run = world.run("migrate", &["--before=1999-01-01"]).await;
    run.succeeds();
    assert_eq!(world.destination.counters().messages_appended, 0);
    assert!(run.stdout.contains("30"), "{run:#?}");
    world.run("migrate", &[]).await.succeeds();
    world.difference().none().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_stay_behind_when_asked() {
    let world = World::new().await;
    world.fill(20);
    world.run("migrate", &["--flags=off"]).await.succeeds();
    let flagged = |account: mailmove_testkit::mailbox::Account| {
        let inbox = account.folder(&["INBOX"]).unwrap().id;
        account
            .messages(inbox)
            .unwrap()
            .iter()
            .filter(|message| !message.flags.is_empty())
            .count()
    };
    assert!(flagged(world.from()) > 0);
    assert_eq!(flagged(world.to()), 0);
}

#[tokio::test]
async fn the_demo_needs_nothing_and_ends_equal() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = crate::support::program(&["demo", "--messages", "2000"]);
    command.env("TMPDIR", directory.path());
    let demo = run(command).await;
    demo.succeeds();
    for text in [
        "ledger closed: 2,050 found",
        "both servers hold the same",
        "5 moved",
        ".sqlite3",
    ] {
        assert!(demo.stdout.contains(text), "no {text:?} in {demo:#?}");
    }
    let mut command = crate::support::program(&["demo", "--messages", "200", "--json"]);
    command.env("TMPDIR", directory.path());
    let lines = run(command).await.lines();
    let reports: Vec<_> = lines
        .iter()
        .filter(|line| line["event"] == "report")
        .collect();
    assert_eq!(reports.len(), 2);
    assert_eq!(lines.last().unwrap()["equal"], true);
}

/// Exchange makes messages anew, and what that loses is told by name.
#[tokio::test]
async fn the_demo_goes_to_and_from_exchange() {
    let directory = tempfile::tempdir().unwrap();
    let demo = async |arguments: &[&str]| {
        let mut command = crate::support::program(&["demo", "--messages", "200"]);
        command.args(arguments).env("TMPDIR", directory.path());
        run(command).await
    };
    let shown = demo(&["--to", "ews"]).await;
    shown.succeeds();
    for text in [
        "An IMAP server and an Exchange (EWS) server run",
        "known losses of this destination, which makes messages anew (docs/fidelity.md):\n  alternative-made",
        "of text and HTML, the missing one was made from the other\n",
        "verified: 250 messages, no difference",
        "ledger closed: 250 found",
        "both servers hold the same messages",
    ] {
        assert!(shown.stdout.contains(text), "no {text:?} in {shown:#?}");
    }
    let shown = demo(&["--from", "ews", "--to", "ews"]).await;
    shown.succeeds();
    for text in [
        "Two Exchange (EWS) servers run",
        "5 moved",
        "known losses of this destination, which makes messages anew (docs/fidelity.md): none",
        "ledger closed: 250 found",
    ] {
        assert!(shown.stdout.contains(text), "no {text:?} in {shown:#?}");
    }
    let lines = demo(&["--from", "ews", "--json"]).await.lines();
    let of = |event| lines.iter().filter(move |line| line["event"] == event);
    assert_eq!(of("report").count(), 2);
    assert!(of("verification").all(|line| line["clean"] == true));
    assert_eq!(lines.last().unwrap()["equal"], true);
}

#[tokio::test]
async fn the_demo_goes_to_and_from_microsoft_365() {
    let directory = tempfile::tempdir().unwrap();
    let demo = async |arguments: &[&str]| {
        let mut command = crate::support::program(&["demo", "--messages", "200"]);
        command.args(arguments).env("TMPDIR", directory.path());
        run(command).await
    };
    let shown = demo(&["--to", "graph"]).await;
    shown.succeeds();
    for text in [
        "An IMAP server and a Microsoft 365 (Graph) server run",
        "second-body",
        "verified: 250 messages, no difference",
        "ledger closed: 250 found",
        "both servers hold the same messages",
    ] {
        assert!(shown.stdout.contains(text), "no {text:?} in {shown:#?}");
    }
    for arguments in [
        ["--from", "graph", "--to", "imap"],
        ["--from", "graph", "--to", "graph"],
        ["--from", "graph", "--to", "ews"],
        ["--from", "ews", "--to", "graph"],
    ] {
        let shown = demo(&arguments).await;
        shown.succeeds();
        for text in [
            "verified: 250 messages, no difference",
            "ledger closed: 250 found",
            "both servers hold the same messages",
        ] {
            assert!(shown.stdout.contains(text), "no {text:?} in {shown:#?}");
        }
    }
}
