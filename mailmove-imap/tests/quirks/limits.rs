//! Servers that have had enough: of connections, of BADs, of work.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mailmove_core::{edge::Clock as _, report::Status};
use mailmove_imap_testserver::{Action, Server};

use crate::{
    twist::{Act, Twist, find},
    world::{Side, World, mails},
};

fn fill(side: &Side) {
    for (n, folder) in (0..6).zip(["INBOX", "a", "b", "c", "d", "e"]) {
        side.add(&[folder], mails(n * 10..n * 10 + 10));
    }
}

type Refuse = fn() -> Act;

/// Two connections live, whatever comes after them ends as `refuse` says at the command that begins
/// with `at`. Counts what was refused.
fn two_connections(at: &'static str, refuse: Refuse) -> (Twist, Arc<AtomicUsize>) {
    let (seen, refused) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&refused);
    let twist = Twist::commands(move |command| {
        if !command.starts_with(at) || seen.fetch_add(1, Ordering::Relaxed) < 2 {
            return Act::Pass;
        }
        count.fetch_add(1, Ordering::Relaxed);
        refuse()
    });
    (twist, refused)
}

#[tokio::test]
async fn a_limit_of_connections_in_any_shape_only_makes_it_slower() {
    let hang_up = || Act::Close(String::new());
    let shapes: [(&str, Refuse); 5] = [
        ("AUTHENTICATE", hang_up),
        ("AUTHENTICATE", || {
            Act::Answer("T NO [LIMIT] not now".to_owned())
        }),
        ("AUTHENTICATE", || {
            Act::Answer("T NO [UNAVAILABLE] not now".to_owned())
        }),
        ("AUTHENTICATE", || {
            Act::Close("* BYE Too many connections from your address\n".to_owned())
        }),
        // Logged in, and then away.
        ("ID", hang_up),
    ];
    for (at, refuse) in shapes {
        for odd_source in [true, false] {
            let (twist, refused) = two_connections(at, refuse);
            let world = match odd_source {
                true => World::odd_source(twist).await,
                false => World::odd_destination(twist).await,
            };
            fill(&world.from);
            assert_eq!(world.run().await.total().copied, 60);
            world.assert_equal();
            assert!(
                refused.load(Ordering::Relaxed) > 0,
                "{at}: nothing was refused"
            );
        }
    }
    // Closed before the greeting.
    let few = |it: mailmove_imap_testserver::Builder| it.max_connections(2);
    let world = World::of(Side::new(few, None).await, Side::new(few, None).await);
    fill(&world.from);
    world.run().await;
    world.assert_equal();
}

/// BAD to everything beyond RFC 3501, although it is offered.
fn pretender() -> Twist {
    Twist::commands(|command| {
        let beyond = ["RETURN", "(CONDSTORE", "(QRESYNC", "CHANGEDSINCE"];
        let status = ["SIZE", "MODSEQ", "MAILBOXID", "APPENDLIMIT"];
        let is_status = command.starts_with("STATUS");
        let bad = ["ID", "NAMESPACE", "ENABLE"]
            .iter()
            .any(|name| command.starts_with(name))
            || beyond.iter().any(|word| command.contains(word))
            || is_status && status.iter().any(|word| command.contains(word));
        match bad {
            true => Act::Answer("T BAD what?".to_owned()),
            false => Act::Pass,
        }
    })
}

#[tokio::test]
async fn what_is_offered_in_vain_is_done_without() {
    // Two BADs, and the server hangs up.
    for patience in [usize::MAX, 2] {
        let twist = || Some(pretender().with_patience(patience));
        let plain = |it: mailmove_imap_testserver::Builder| it;
        let from = Side::new(plain, twist()).await;
        let world = World::of(from, Side::new(plain, twist()).await);
        fill(&world.from);
        let report = world.run().await;
        assert_eq!(report.total().copied, 60);
        world.assert_equal();
        world.run_again().await;
        world.from.add(&["b"], mails(90..92));
        assert_eq!(world.run().await.total().copied, 2);
        world.assert_equal();
    }
}

/// One folder's name is not understood: that says nothing about the others.
#[tokio::test]
async fn a_folder_that_is_not_understood_costs_no_other() {
    let twist = Twist::commands(|command| match command.contains("\"c\"") {
        true => Act::Answer("T BAD what?".to_owned()),
        false => Act::Pass,
    })
    .and_responses(|response| match find(&response, b"* STATUS \"c\"") {
        Some(_) => Vec::new(),
        None => response,
    });
    let world = World::odd_source(twist).await;
    fill(&world.from);
    for copied in [50, 0] {
        let report = world.try_run().await.unwrap();
        assert_eq!(report.status(), Status::CompleteWithFailures);
        assert_eq!(report.total().copied, copied);
        let problems = report.folders.iter().filter(|one| one.problem.is_some());
        let names: Vec<String> = problems.map(|one| one.source.to_string()).collect();
        assert_eq!(names, ["c"]);
    }
    // The others are still known by what STATUS tells beyond RFC 3501: they are not opened again.
    let before = world.from.server.counters().command("EXAMINE");
    world.try_run().await.unwrap();
    assert_eq!(world.from.server.counters().command("EXAMINE"), before);
}

/// Literals are offered to go at once, and then they may not.
#[tokio::test]
async fn literals_that_may_not_go_at_once_after_all() {
    let twist =
        Twist::commands(
            |command| match command.starts_with("APPEND") && command.contains("+}") {
                true => Act::Answer("T BAD wait for me".to_owned()),
                false => Act::Pass,
            },
        );
    let world = World::odd_destination(twist).await;
    fill(&world.from);
    assert_eq!(world.run().await.total().copied, 60);
    world.assert_equal();
    world.run_again().await;
}

#[tokio::test]
async fn a_server_that_hangs_up_on_odd_names_is_filled_all_the_same() {
    let twist = Twist::commands(|command| {
        match command.starts_with("STATUS") && command.contains("mailmove") {
            true => Act::Answer("T BAD such a name cannot be".to_owned()),
            false => Act::Pass,
        }
    });
    let world = World::odd_destination(twist.with_patience(2)).await;
    fill(&world.from);
    assert_eq!(world.run().await.total().copied, 60);
    world.assert_equal();
}

fn slow_down(server: &Server, command: &str, action: Action) {
    server.faults().arm(command, 1, action.clone());
    server.faults().arm(command, 2, action);
}

#[tokio::test]
async fn a_server_that_asks_to_slow_down_is_obeyed() {
    let words = "Request is throttled. Suggested Backoff Time: 40000 milliseconds";
    let actions = [
        Action::No(words.to_owned()),
        Action::Bad(words.to_owned()),
        Action::Bye(words.to_owned()),
    ];
    for action in actions {
        for command in ["LIST", "EXAMINE", "UID FETCH", "STATUS"] {
            let world = World::new().await;
            world.from.add(&["INBOX"], mails(0..3));
            let begun = world.clock.now();
            slow_down(&world.from.server, command, action.clone());
            world.run().await;
            world.assert_equal();
            let struck = world.from.server.faults().struck();
            let waited = world.clock.now() - begun;
            // The fallback of LIST takes the first refusal for its own.
            assert!(
                struck == 0 || waited >= Duration::from_secs(40),
                "{command} {action:?}: {struck} struck, {waited:?}"
            );
        }
        for command in ["LIST", "APPEND"] {
            // BAD to an APPEND is no hint that can be trusted: see destination::append.
            if command == "APPEND" && matches!(action, Action::Bad(_)) {
                continue;
            }
            let world = World::new().await;
            world.from.add(&["INBOX"], mails(0..3));
            let begun = world.clock.now();
            slow_down(&world.to.server, command, action.clone());
            world.run().await;
            world.assert_equal();
            // What became of an append comes before the wait: it is looked for at once.
            let least = match (command, &action) {
                ("APPEND", Action::Bye(_)) => 0,
                _ => 40,
            };
            let waited = world.clock.now() - begun;
            assert!(
                waited >= Duration::from_secs(least),
                "{command} {action:?}: {waited:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_destination_that_stops_reading_costs_patience_and_no_message() {
    let once = AtomicUsize::new(0);
    let twist = Twist::commands(move |command| {
        let first = command.starts_with("APPEND") && once.fetch_add(1, Ordering::Relaxed) == 0;
        if first { Act::Stall } else { Act::Pass }
    });
    let mut world = World::odd_destination(twist).await;
    world.to.config = world
        .to
        .config
        .clone()
        .with_timeout(Duration::from_millis(300));
    // More than fits between two sockets.
    let large = format!(
        "Subject: large\r\n\r\n{}",
        "A line of text.\r\n".repeat(1 << 19)
    );
    world.from.add(
        &["INBOX"],
        vec![mailmove_testkit::mailbox::NewMessage::new(large)],
    );
    world.from.add(&["INBOX"], mails(0..3));
    assert_eq!(world.run().await.total().copied, 4);
    world.assert_equal();
}
