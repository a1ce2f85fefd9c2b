//! `verify --repair`: what a user sees who lost mail at the destination.

use mailmove_testkit::mailbox::FlagOp;

use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn what_verify_finds_is_repaired() {
    let world = World::new().await;
    world.fill(60);
    world.run("migrate", &[]).await.succeeds();
    let inbox = world.to().folder(&["INBOX"]).unwrap().id;
    let uids = world.to().uids(inbox).unwrap();
    world.to().remove(inbox, &uids[..2]).unwrap();
    let read = world.to().fetch(inbox, &uids[3..4]).unwrap().remove(0);
    let mut body = read.body.to_vec();
    let last = body.len() - 4;
    body[last] ^= 1;
    world.to().damage(inbox, uids[3], body, None).unwrap();

    let run = world.run("verify", &["--full"]).await;
    assert_eq!(run.code, Some(1), "{run:#?}");
    for text in [
        "missing: it was stored, and is not there now",
        "content: ",
        "different: 3 of 58 messages; `mailmove verify --repair` sends again",
    ] {
        assert!(run.stdout.contains(text), "no {text:?} in {run:#?}");
    }

    let run = world.run("verify", &["--full", "--repair"]).await;
    run.succeeds();
    for text in [
        "1 replaced by a good copy",
        "60 found, 3 copied in this pass",
        "verified: 60 messages, no difference",
    ] {
        assert!(run.stdout.contains(text), "no {text:?} in {run:#?}");
    }
    world.difference().none().unwrap();
    let run = world.run("verify", &["--full"]).await;
    run.succeeds();
    world.destination.reset_counters();
    world.run("migrate", &[]).await.succeeds();
    assert_eq!(world.destination.counters().messages_appended, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_on_purpose_comes_back_only_when_asked_for() {
    let world = World::new().await;
    world.fill(40);
    world.run("migrate", &[]).await.succeeds();
    let inbox = world.to().folder(&["INBOX"]).unwrap().id;
    let uids = world.to().uids(inbox).unwrap();
    world.to().remove(inbox, &uids[..1]).unwrap();
    let set = ["\\Flagged"];
    world
        .to()
        .store(inbox, &uids[1..2], FlagOp::Add, &set, None)
        .unwrap();
    let run = world.run("migrate", &[]).await;
    run.succeeds();
    assert!(
        run.stdout.contains("1 removed at the destination"),
        "{run:#?}"
    );

    // A flag is the destination's own.
    let run = world.run("verify", &["--repair", "--json"]).await;
    run.succeeds();
    let lines = run.lines();
    let [report, verification] = &lines[lines.len() - 2..] else {
        panic!("{lines:#?}")
    };
    assert_eq!(report["event"], "report");
    assert_eq!(report["total"]["copied"], 0);
    assert_eq!(verification["clean"], true);
    let listed = verification["differences"].as_array().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["what"], "removed-there");
    assert_eq!(listed[0]["known"], true);
    assert_eq!(world.to().uids(inbox).unwrap().len(), uids.len() - 1);

    let run = world.run("verify", &["--restore-removed"]).await;
    run.fails(2, &["--repair"]);
    let run = world
        .run("verify", &["--repair", "--restore-removed"])
        .await;
    run.succeeds();
    assert_eq!(world.to().uids(inbox).unwrap().len(), uids.len());
    let run = world.run("verify", &["--full"]).await;
    run.succeeds();
    assert!(!run.stdout.contains("removed-there"), "{run:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_arrived_since_is_told() {
    let world = World::new().await;
    world.fill(20);
    world.run("migrate", &[]).await.succeeds();
    let inbox = world.from().folder(&["INBOX"]).unwrap().id;
    let late = mailmove_testkit::mailbox::NewMessage::new("Subject: late\r\n\r\n.\r\n");
    world.from().append(inbox, vec![late]).unwrap();
    let run = world.run("verify", &[]).await;
    assert_eq!(run.code, Some(1), "{run:#?}");
    for text in [
        "the source holds messages that no pass has seen",
        "verify/behind",
        "remedy: Run the migration again",
    ] {
        assert!(run.stdout.contains(text), "no {text:?} in {run:#?}");
    }
    world.run("migrate", &[]).await.succeeds();
    world.run("verify", &[]).await.succeeds();
}
