//! Wrong input: exit code 2, before any connection.

use crate::support::{Run, program, run};

async fn migrate(from: &str, more: &[&str]) -> Run {
    let mut arguments = vec![
        "migrate",
        "--from",
        from,
        "--to",
        "imaps://ann@localhost:1",
        "--state",
        "/nonexistent",
    ];
    arguments.extend(more);
    run(program(&arguments)).await
}

#[tokio::test]
async fn help_shows_examples_and_exit_codes() {
    for arguments in [
        &["--help"][..],
        &["migrate", "--help"],
        &["verify", "--help"],
        &["plan", "--help"],
        &["demo", "--help"],
    ] {
        let run = run(program(arguments)).await;
        run.succeeds();
        assert!(run.stdout.contains("Usage: mailmove"), "{run:#?}");
    }
    let help = run(program(&["migrate", "--help"])).await.stdout;
    for text in [
        "imaps://USER@HOST[:PORT]",
        "Examples:",
        "Exit codes:",
        "MAILMOVE_FROM_PASSWORD",
        "--bandwidth <RATE>",
    ] {
        assert!(help.contains(text), "no {text} in {help}");
    }
}

#[tokio::test]
async fn bad_urls_say_how_to_write_one() {
    for (url, says) in [
        ("mail.example.com", "not a mailbox URL"),
        ("pop3://ann@host", "unknown scheme"),
        ("imaps://host", "names no user"),
        ("imaps://ann@host:99999", "host or port"),
        ("imaps://ann@host?tls=off", "contradict"),
    ] {
        let run = migrate(url, &[]).await;
        run.fails(2, &[says, "--from", "remedy: "]);
        assert_eq!(run.stdout, "");
    }
}

#[tokio::test]
async fn a_password_in_a_url_is_refused_and_not_shown() {
    let run = migrate("imaps://ann:correct horse@host", &[]).await;
    run.fails(
        2,
        &["a password in a URL is refused", "MAILMOVE_FROM_PASSWORD"],
    );
}

#[tokio::test]
async fn bad_options_are_named() {
    for (option, says) in [
        ("--since=yesterday", "YYYY-MM-DD"),
        ("--max-size=huge", "25MB"),
        ("--bandwidth=fast", "2MB/s"),
        ("--map=Sent", "FROM=TO"),
        ("--connections=0", "1..=64"),
        ("--flags=sometimes", "--flags"),
        ("--password=x", "--password"),
        ("--nonsense", "--nonsense"),
    ] {
        migrate("imaps://ann@host", &[option])
            .await
            .fails(2, &[says]);
    }
    run(program(&["migrate", "--from", "imaps://ann@host"]))
        .await
        .fails(2, &["--to"]);
    run(program(&["move"])).await.fails(2, &["move"]);
}

#[tokio::test]
async fn options_that_contradict_each_other_are_refused() {
    let dates = ["--since=2024-02-01", "--before=2024-01-01"];
    migrate("imaps://ann@host", &dates)
        .await
        .fails(2, &["--since", "remedy: "]);
    let pin = format!("--from-pin={}", "ab".repeat(32));
    migrate("imap://ann@host?tls=off", &[&pin])
        .await
        .fails(2, &["needs TLS", "remedy: "]);
    migrate("imaps://ann@host", &["--pin=abc"])
        .await
        .fails(2, &["SHA-256", "remedy: "]);
    migrate("imaps://ann@host", &["--ca-file=/nonexistent"])
        .await
        .fails(2, &["CA file", "remedy: "]);
}

#[tokio::test]
async fn no_password_and_nobody_to_ask() {
    let run = migrate("imaps://ann@host", &[]).await;
    run.fails(
        2,
        &[
            "no password",
            "MAILMOVE_FROM_PASSWORD",
            "--from-password-file",
        ],
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    let option = format!("--from-password-file={}", file.path().display());
    migrate("imaps://ann@host", &[&option])
        .await
        .fails(2, &["the password is empty"]);
    migrate("imaps://ann@host", &["--from-password-file=/nonexistent"])
        .await
        .fails(
            2,
            &["cannot read the password file", "/nonexistent", "cause: "],
        );
}

#[tokio::test]
async fn no_home_and_no_state_directory() {
    let mut command = program(&[
        "migrate",
        "--from",
        "imaps://ann@a",
        "--to",
        "imaps://ann@b",
    ]);
    command
        .env("MAILMOVE_FROM_PASSWORD", "x")
        .env("MAILMOVE_TO_PASSWORD", "x");
    run(command).await.fails(2, &["home directory", "--state"]);
}

#[tokio::test]
async fn both_sides_the_same_mailbox() {
    let directory = tempfile::tempdir().unwrap();
    let url = "imaps://ann@localhost:1";
    let mut command = program(&["migrate", "--from", url, "--to", url, "--state"]);
    command
        .arg(directory.path())
        .env("MAILMOVE_FROM_PASSWORD", "x")
        .env("MAILMOVE_TO_PASSWORD", "x");
    run(command).await.fails(2, &["same mailbox"]);
}
