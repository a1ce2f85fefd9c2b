//! What a server refuses, hides or loses: repairs, dead letters, retries, and what is told of them.

use std::path::PathBuf;

use mailmove_testkit::mailbox::NewMessage;

use crate::support::{World, program, run};

/// Refused by strict servers, and repairable.
const ODD: &str = "Message-ID: <odd@example.org>\r\nSubject: Gr\u{fc}\u{df}e\r\n\r\nHello\r\n";

/// Refused by strict servers for its long line, which a signature forbids to break.
fn signed() -> String {
    format!(
        "Message-ID: <signed@example.org>\r\nSubject: signed\r\n\
         Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\n{}\r\n--s\r\n\
         Content-Type: application/pgp-signature\r\n\r\nxx\r\n--s--\r\n",
        "long ".repeat(300)
    )
}

/// Some letters, an odd one as UID 41 and a signed one as UID 42 of the inbox, and a strict
/// destination.
async fn scene() -> World {
    let world = World::new().await;
    world.fill(12);
    let inbox = world.from().folder(&["INBOX"]).unwrap().id;
    world.from().skip_uids(inbox, 41).unwrap();
    for text in [ODD.to_owned(), signed()] {
        world
            .from()
            .append(inbox, vec![NewMessage::new(text)])
            .unwrap();
    }
    world.to().configure(|limits| {
        limits.refuse_8bit_header = true;
        limits.max_line_length = Some(998);
    });
    world
}

fn letters(world: &World, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(world.state().join("dead-letters")) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|one| one == extension))
        .collect()
}

fn explain(world: &World, more: &[&str]) -> std::process::Command {
    let (from, to) = (world.source_url(), world.destination_url());
    let mut command = program(&["explain", "--from", &from, "--to", &to]);
    command.arg("--state").arg(world.state()).args(more);
    command
}

#[track_caller]
fn says(text: &str, expected: &[&str]) {
    for part in expected {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_arrives_repaired_or_is_kept_and_retried() {
    let world = scene().await;
    let first = world.run("migrate", &[]).await;
    assert_eq!(first.code, Some(1), "{first:#?}");
    says(
        &first.stdout,
        &[
            "1 repaired",
            "1 message arrived repaired:",
            "INBOX, UID 41: 8-bit header (refused as it was: imap/",
            "1 message could not be moved:",
            "INBOX, UID 42",
            "kept in: ",
            "mailmove retry tries again",
        ],
    );
    // As it came, with the reason beside.
    let kept = letters(&world, "eml");
    assert_eq!(kept.len(), 1);
    assert_eq!(std::fs::read(&kept[0]).unwrap(), signed().into_bytes());
    let reason = std::fs::read(&letters(&world, "json")[0]).unwrap();
    let reason: serde_json::Value = serde_json::from_slice(&reason).unwrap();
    assert_eq!(reason["message"], "UID 42");
    assert_eq!((&reason["tries"], &reason["pass"]), (&1.into(), &1.into()));
    assert!(
        reason["reason"].as_str().unwrap().contains("line"),
        "{reason:#}"
    );

    // Mail that came since is not a retry's business.
    let inbox = world.from().folder(&["INBOX"]).unwrap().id;
    let new = NewMessage::new("Subject: new\r\n\r\nx\r\n");
    world.from().append(inbox, vec![new]).unwrap();
    let again = world.run("retry", &["--json"]).await;
    assert_eq!(again.code, Some(1), "{again:#?}");
    let report = again.lines().pop().unwrap();
    assert_eq!(
        (&report["total"]["copied"], &report["total"]["failed"]),
        (&0.into(), &1.into())
    );
    let place = report["failures"][0]["dead_letter"].as_str().unwrap();
    assert!(std::path::Path::new(place).exists(), "{place}");

    // The user gives up the old mailbox; the new one's limit is raised.
    world.from().remove(inbox, &[42]).unwrap();
    world.to().configure(|limits| limits.max_line_length = None);
    let retried = world.run("retry", &[]).await;
    retried.succeeds();
    assert!(letters(&world, "eml").is_empty() && letters(&world, "json").is_empty());
    let inbox = world.to().folder(&["INBOX"]).unwrap().id;
    let there = world.to().messages(inbox).unwrap();
    let count = |text: &str| {
        there
            .iter()
            .filter(|one| one.body == text.as_bytes())
            .count()
    };
    assert_eq!(count(&signed()), 1);
    world.run("migrate", &[]).await.succeeds();
    let verified = world.run("verify", &["--full"]).await;
    verified.succeeds();
}

#[tokio::test(flavor = "multi_thread")]
async fn repairs_can_be_switched_off_and_on_again() {
    let world = scene().await;
    world.to().configure(|limits| limits.max_line_length = None);
    let run = world.run("migrate", &["--repair", "off"]).await;
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert_eq!(
        std::fs::read(&letters(&world, "eml")[0]).unwrap(),
        ODD.as_bytes()
    );
    let run = world.run("retry", &["--repair=off"]).await;
    assert_eq!((run.code, letters(&world, "eml").len()), (Some(1), 1));
    world.run("retry", &["--repair"]).await.succeeds();
    assert!(letters(&world, "eml").is_empty());
    let run = world.run("migrate", &[]).await;
    run.succeeds();
    says(&run.stdout, &["complete: nothing new; all 14 messages"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_a_message() {
    let world = scene().await;
    run(explain(&world, &["41"]))
        .await
        .fails(2, &["explain/no-ledger", "--state"]);
    assert!(!world.state().exists(), "asking leaves nothing behind");
    world.run("migrate", &[]).await;
    let told = run(explain(&world, &["41", "--folder", "INBOX"])).await;
    told.succeeds();
    says(
        &told.stdout,
        &[
            "INBOX, UID 41",
            "state: copied in pass 1",
            "destination: INBOX, UID ",
            "8-bit header",
            "content at the source: ",
        ],
    );
    let told = run(explain(&world, &["UID 42"])).await;
    told.succeeds();
    says(
        &told.stdout,
        &[
            "state: could not be moved in pass 1, after 1 failure [imap/",
            "reason: ",
            "kept in: ",
        ],
    );
    // By the message itself, with other line ends: what a mail program saves.
    let file = world.directory.path().join("saved.eml");
    std::fs::write(&file, ODD.replace("\r\n", "\n")).unwrap();
    let told = run(explain(
        &world,
        &["--json", "--file", file.to_str().unwrap()],
    ))
    .await;
    told.succeeds();
    let line = told.lines().pop().unwrap();
    assert_eq!(line["event"], "explanation");
    let message = &line["messages"][0];
    assert_eq!(
        (&message["source"]["message"], &message["state"]),
        (&"UID 41".into(), &"copied".into())
    );
    assert_eq!(message["open"], serde_json::json!([]));

    let none = run(explain(&world, &["4711"])).await;
    assert_eq!(none.code, Some(1), "{none:#?}");
    says(&none.stdout, &["no such message"]);
    run(explain(&world, &["<odd@example.org>"]))
        .await
        .fails(2, &["explain/message-id", "remedy: "]);
    run(explain(&world, &[])).await.fails(2, &["ITEM"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hides_a_message_leaves_the_ledger_open() {
    let hides = |builder: mailmove_imap_testserver::Builder| builder.leaves_out("Subject: hidden");
    let world = World::with(hides, |builder| builder).await;
    world.fill(9);
    let inbox = world.from().folder(&["INBOX"]).unwrap().id;
    let hidden = NewMessage::new("Subject: hidden\r\n\r\nx\r\n");
    world.from().append(inbox, vec![hidden]).unwrap();
    for _ in 0..2 {
        let run = world.run("migrate", &[]).await;
        assert_eq!(run.code, Some(4), "{run:#?}");
        says(
            &run.stdout,
            &[
                "ledger/mismatch",
                "the ledger does not close: 1 folder",
                "remedy: ",
            ],
        );
    }
    let lines = world.run("migrate", &["--json"]).await.lines();
    assert_eq!(lines.last().unwrap()["status"], "mismatch");
}
