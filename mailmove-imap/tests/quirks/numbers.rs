//! Courier numbers an inbox anew at each look until it is opened to write, or appended to.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use mailmove_core::report::Status;
use mailmove_imap::Quirks;

use crate::{
    twist::{Act, Twist, between, replace},
    world::{Side, World, mails},
};

/// An inbox that nobody ever opened to write.
async fn courier() -> Side {
    let lasting = Arc::new(AtomicBool::new(false));
    let written = Arc::clone(&lasting);
    let looks = AtomicU32::new(1_000_000_000);
    let twist = Twist::commands(move |command| {
        let writes = ["SELECT \"INBOX\"", "APPEND \"INBOX\""];
        if writes.iter().any(|verb| command.starts_with(verb)) {
            written.store(true, Ordering::Relaxed);
        }
        Act::Pass
    })
    .and_responses(move |response| {
        let Some(told) = between(&response, "UIDVALIDITY ", ")")
            .or_else(|| between(&response, "UIDVALIDITY ", "]"))
            .and_then(|rest| rest.split(' ').next())
        else {
            return response;
        };
        if lasting.load(Ordering::Relaxed) {
            return response;
        }
        let next = looks.fetch_add(1, Ordering::Relaxed);
        let (from, to) = (format!("UIDVALIDITY {told}"), format!("UIDVALIDITY {next}"));
        replace(&response, from.as_bytes(), to.as_bytes())
    });
    Side::new(|it| it.greeting("Courier-IMAP ready."), Some(twist)).await
}

#[tokio::test]
async fn an_inbox_is_numbered_before_it_is_filled() {
    for existing in [0, 3] {
        let world = World::of(Side::new(|it| it, None).await, courier().await);
        world.to.add(&["INBOX"], mails(100..100 + existing));
        world.from.add(&["INBOX"], mails(0..40));
        let report = world.run().await;
        assert_eq!(report.total().copied, 40);
        // For this one reason; the messages have no keywords.
        assert_eq!(world.to.server.counters().command("SELECT"), 1);
        world.run_again().await;
    }
}

#[tokio::test]
async fn without_the_table_the_pass_ends_in_doubt() {
    let mut to = courier().await;
    to.config = to.config.with_quirks(Quirks::none());
    let world = World::of(Side::new(|it| it, None).await, to);
    world.from.add(&["INBOX"], mails(0..40));
    let report = world.try_run().await.unwrap();
    assert_ne!(report.status(), Status::Complete);
    let problem = report.folders[0].problem.as_ref().unwrap();
    assert_eq!(problem.code, "imap/stale");
}

/// It may not be opened to write: that would take `\Recent` from its messages.
#[tokio::test]
async fn of_a_source_like_that_is_said_what_helps() {
    let world = World::of(courier().await, Side::new(|it| it, None).await);
    world.from.add(&["INBOX"], mails(0..5));
    let report = world.try_run().await.unwrap();
    assert_eq!(report.total().copied, 0);
    let problem = report.folders[0].problem.as_ref().unwrap();
    assert_eq!(problem.code, "imap/stale");
    let remedy = problem.remedy.as_deref().unwrap_or_default();
    assert!(remedy.contains("open it once"), "{remedy}");
    assert_eq!(world.from.server.counters().command("SELECT"), 0);
}
