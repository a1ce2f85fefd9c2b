//! `--from-oauth-token-command` and `--to-oauth-token-command`.

use mailmove_imap_testserver::{Action, Tokens};

use crate::support::{USER, World, run};

/// Options that take the tokens in this file one after the other.
fn one_by_one(world: &World, side: &str, tokens: &[String]) -> [String; 2] {
    let file = world.directory.path().join(format!("tokens-{side}"));
    std::fs::write(&file, tokens.join("\n") + "\n").unwrap();
    let script = "head -n 1 \"$0\"; sed 1d \"$0\" > \"$0.rest\"; mv \"$0.rest\" \"$0\"";
    let command = format!("/bin/sh -c '{script}' '{}'", file.display());
    [format!("--{side}-oauth-token-command"), command]
}

fn left(world: &World, side: &str) -> usize {
    let file = world.directory.path().join(format!("tokens-{side}"));
    std::fs::read_to_string(file).unwrap().lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_tokens_that_end_in_the_middle() {
    let tokens = Tokens::default();
    let world = World::with(|b| b.tokens(&tokens), |b| b.tokens(&tokens)).await;
    world.fill(200);
    // Each is good for one login.
    let some = |count| (0..count).map(|_| tokens.issue_for_logins(USER, 1));
    let mut from = one_by_one(&world, "from", &some(12).collect::<Vec<_>>()).to_vec();
    from.extend(one_by_one(&world, "to", &some(12).collect::<Vec<_>>()));
    world.source.faults().arm("UID FETCH", 2, Action::Close);
    from.extend(["--connections".to_owned(), "1".to_owned()]);
    let more: Vec<&str> = from.iter().map(String::as_str).collect();
    let mut command = world.command("migrate", &more);
    command
        .env_remove("MAILMOVE_FROM_PASSWORD")
        .env_remove("MAILMOVE_TO_PASSWORD");
    let run = run(command).await;
    run.succeeds();
    assert_eq!(world.difference().lines, Vec::<String>::new());
    assert!(left(&world, "from") == 10 && left(&world, "to") == 11);
    assert!(
        !run.stdout.contains("ya29") && !run.stderr.contains("ya29"),
        "{run:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_and_a_failing_command_are_told_without_the_token() {
    let tokens = Tokens::default();
    let world = World::with(|b| b.tokens(&tokens), |b| b).await;
    world.fill(5);
    let option = "--from-oauth-token-command";
    for (command, code, says) in [
        (
            "echo ya29.bad",
            3,
            &["refused the OAuth token", "imap/token", "source"][..],
        ),
        (
            "sh: echo ya29.bad; exit 7",
            2,
            &["failed", "status", "remedy: ", "config/oauth-command"],
        ),
        (
            "no-such-program",
            2,
            &["cannot be run", "no-such-program", option],
        ),
        ("'", 2, &["cannot be read"]),
    ] {
        let run = world.run("migrate", &[option, command]).await;
        run.fails(code, says);
        assert!(
            !run.stderr.contains("ya29") && !run.stdout.contains("ya29"),
            "{run:#?}"
        );
    }
    // A server that takes none.
    let run = world
        .run("migrate", &["--to-oauth-token-command", "echo ya29.good"])
        .await;
    run.fails(
        3,
        &["takes no OAuth tokens", "destination", "imap/no-oauth"],
    );
    let both = [option, "x", "--from-password-file", "y"];
    world
        .run("migrate", &both)
        .await
        .fails(2, &["cannot be used with"]);
}

/// The command belongs to one side, and is perhaps somebody else's program.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_command_does_not_see_the_passwords() {
    let tokens = Tokens::default();
    let world = World::with(|b| b.tokens(&tokens), |b| b).await;
    let seen = world.directory.path().join("environment");
    let token = tokens.issue_for_logins(USER, 9);
    let command = format!("sh: env > '{}'; echo {token}", seen.display());
    let run = world
        .run("migrate", &["--from-oauth-token-command", &command])
        .await;
    run.succeeds();
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.contains("MAILMOVE_OAUTH_USER="), "{seen}");
    assert!(!seen.contains("_PASSWORD"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_open_the_mailbox_in_every_style_and_the_ledger_is_the_same() {
    let world = World::with(
        |b| {
            b.admin("root", "correct horse")
                .master_logins('*')
                .exchange_logins()
        },
        |b| b.admin("root", "correct horse").proxyauth(),
    )
    .await;
    world.fill(20);
    let url = |server: &mailmove_imap_testserver::Server, user: &str, style: &str| {
        let port = server.tls_address().port();
        format!("imaps://{user}@127.0.0.1:{port}?as={USER}{style}")
    };
    // One ledger, since it is the mailbox that counts, not who opened it.
    let mut copied = vec![20, 0, 0].into_iter();
    for (user, from, to) in [
        ("root", "", "&style=proxyauth"),
        ("root", "&style=master", "&style=proxyauth"),
        ("EXAMPLE\\root", "&style=exchange", "&style=authzid"),
    ] {
        let admin = if to.contains("proxy") { "root" } else { USER };
        let from = url(&world.source, user, from);
        let to = url(&world.destination, admin, to);
        let run = run(world.between("migrate", &from, &to, &["--json"])).await;
        run.succeeds();
        let lines = run.lines();
        let total = &lines.last().unwrap()["total"];
        assert_eq!(total["copied"].as_u64(), copied.next(), "{total}");
        assert_eq!(total["found"], 20);
    }
    assert_eq!(world.difference().lines, Vec::<String>::new());
    assert_eq!(world.destination.counters().messages_appended, 20);
}
