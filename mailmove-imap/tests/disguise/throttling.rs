//! "Slow down" in the words of services: the engine waits as long as it is told, and goes on.

use mailmove_core::{Options, report::Status};
use mailmove_imap_testserver::{Action, Builder, Capability};
use mailmove_testkit::{
    corpus::{Corpus, CorpusFolder},
    snapshot::Snapshot,
};

use crate::{
    support::world,
    world::{Move, account, config, exchange, gmail, yahoo},
};

const EXCHANGE: &str = "Request is throttled. Suggested Backoff Time: 299499 milliseconds";

/// Runs a migration with these failures; what was told of waits.
async fn waits(
    source: fn(Builder) -> Builder,
    destination: fn(Builder) -> Builder,
    faults: &[(&str, u64, bool, Action)],
) -> Vec<String> {
    let (from, to) = (world(source).await, world(destination).await);
    Corpus::new(9)
        .with_folders([&["INBOX"][..], &["Letters"]].map(CorpusFolder::new).into())
        .with_median(500)
        .with_largest(2_000)
        .with_special(0)
        .fill(&account(&from.server), 80)
        .unwrap();
    for (command, nth, at_source, action) in faults {
        let server = if *at_source { &from.server } else { &to.server };
        server.faults().arm(command, *nth, action.clone());
    }
    let moving = Move::new(
        config(&from.server).with_connections(1),
        config(&to.server).with_connections(1),
        Options::new(),
    );
    let report = moving.run().await;
    assert_eq!(report.status(), Status::Complete, "{report:#?}");
    let difference = Snapshot::of(&account(&from.server)).diff(&Snapshot::of(&account(&to.server)));
    // Exchange keeps no keywords.
    let lines = difference.lines.into_iter();
    let lines: Vec<String> = lines.filter(|line| !line.contains("flags: ")).collect();
    assert_eq!(lines, Vec::<String>::new());
    let struck = from.server.faults().struck() + to.server.faults().struck();
    assert_eq!(struck, faults.len() as u64);
    let told = moving.told.lines();
    told.into_iter()
        .filter(|line| line.starts_with("wait"))
        .collect()
}

fn plain(server: Builder) -> Builder {
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_that_exchange_names_is_obeyed_on_every_command() {
    let bad = || Action::Bad(EXCHANGE.to_owned());
    let bye = || Action::Bye(EXCHANGE.to_owned());
    let told = waits(
        exchange,
        plain,
        &[
            ("LIST", 1, true, bad()),
            ("UID FETCH", 1, true, bad()),
            ("UID FETCH", 3, true, bye()),
        ],
    )
    .await;
    let obeyed = told.iter().filter(|line| *line == "wait 299499").count();
    assert_eq!(obeyed, 3, "{told:?}");
    let told = waits(
        plain,
        |server| exchange(server).max_body_line(1 << 20),
        &[
            ("LIST", 1, false, bye()),
            ("CREATE", 1, false, bad()),
            ("APPEND", 4, false, Action::No(EXCHANGE.to_owned())),
        ],
    )
    .await;
    let obeyed = told.iter().filter(|line| *line == "wait 299499").count();
    assert_eq!(obeyed, 3, "{told:?}");
}

/// Some messages are in doubt then, others were not begun: it is waited once for all of them, before
/// the server is asked what became of the former.
#[tokio::test(flavor = "multi_thread")]
async fn the_wait_named_in_a_good_bye_to_append_is_obeyed_once() {
    let together = |server: Builder| exchange(server).with(Capability::MultiAppend);
    for setup in [exchange as fn(Builder) -> Builder, together] {
        let bye = Action::Bye(EXCHANGE.to_owned());
        let told = waits(
            plain,
            setup,
            &[("APPEND", 1, false, bye.clone()), ("APPEND", 2, false, bye)],
        )
        .await;
        let obeyed = told.iter().filter(|line| *line == "wait 299499").count();
        assert_eq!(obeyed, 2, "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_words_of_gmail_and_yahoo_make_the_engine_wait_and_go_on() {
    let no = |text: &str| Action::No(text.to_owned());
    let told = waits(
        yahoo,
        gmail,
        &[
            (
                "UID FETCH",
                2,
                true,
                no("[LIMIT] UID FETCH Rate limit hit."),
            ),
            (
                "APPEND",
                3,
                false,
                no("[OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)"),
            ),
            (
                "APPEND",
                9,
                false,
                Action::Bye("Session expired, please login again.".to_owned()),
            ),
            ("UID FETCH", 3, true, no("[UNAVAILABLE] Try later")),
        ],
    )
    .await;
    assert!(told.len() >= 3, "{told:?}");
}
