//! APPENDLIMIT (RFC 7889): a message above the limit fails before any of it is sent.

use mailmove_core::{Destination as _, report::Status};
use mailmove_imap_testserver::{Builder, Capability};

use crate::support::*;

fn with_limits(server: Builder) -> Builder {
    server
        .folder_append_limit(&["Small"], 200)
        .folder_append_limit(&["Smaller"], 100)
}

fn large(bytes: usize) -> Vec<u8> {
    let mut body = mail("large").into_bytes();
    body.resize(bytes, b'x');
    body
}

#[tokio::test]
async fn each_folder_has_its_own() {
    let to = Side::new(with_limits).await;
    let destination = to.destination(to.config());
    // Nothing for all of them: STATUS alone says it.
    assert_eq!(destination.capabilities().await.unwrap().max_message, None);
    for (path, fits) in [("Small", 200), ("Smaller", 100), ("Any", 9000)] {
        let folder = ensure(&destination, &[path]).await;
        to.server.reset_counters();
        let outcomes = append(
            &destination,
            &folder,
            vec![outgoing(large(fits)), outgoing(large(fits + 1))],
        )
        .await;
        let wanted = if path == "Any" {
            ["stored", "stored"]
        } else {
            ["stored", "not-stored imap/too-large"]
        };
        assert_eq!(outcomes, wanted, "{path}");
        let counters = to.server.counters();
        assert_eq!(counters.bad, 0);
        assert_eq!(counters.command("APPEND"), 1);
        // Asked once for each folder.
        assert!(counters.command("STATUS") <= 1);
        append(&destination, &folder, vec![outgoing(large(fits))]).await;
        assert_eq!(
            to.server.counters().command("STATUS"),
            counters.command("STATUS")
        );
    }
}

#[tokio::test]
async fn listing_the_folders_brings_their_limits() {
    let to = Side::new(with_limits).await;
    to.account.create(&["Small"]).unwrap();
    let destination = to.destination(to.config());
    let folders = destination.folders().await.unwrap();
    let folder = folders
        .iter()
        .find(|folder| folder.path.to_string() == "Small")
        .unwrap();
    to.server.reset_counters();
    let outcomes = append(&destination, folder, vec![outgoing(large(500))]).await;
    assert_eq!(outcomes, ["not-stored imap/too-large"]);
    let counters = to.server.counters();
    assert_eq!(counters.command("APPEND"), 0);
    assert!(counters.bytes_in < 200, "{} bytes", counters.bytes_in);
}

#[tokio::test]
async fn a_migration_fails_that_message_alone_and_says_why() {
    for offered in [true, false] {
        let from = Side::new(|server| server).await;
        from.put(&["Small"], mail("a"));
        from.put(&["Small"], large(500));
        from.put(&["Small"], mail("b"));
        let to = Side::new(|server| match offered {
            true => with_limits(server),
            false => with_limits(server).without(Capability::AppendLimit),
        })
        .await;
        let report = migrate(&from, &to).await;
        assert_eq!(report.status(), Status::CompleteWithFailures);
        let failures: Vec<_> = report
            .failures
            .iter()
            .map(|one| one.code.as_str())
            .collect();
        // Where nothing is offered, the server's refusal says the same.
        assert_eq!(failures, ["imap/too-large"], "offered: {offered}");
        assert_eq!(
            to.bodies(&["Small"]),
            [mail("a").into_bytes(), mail("b").into_bytes()]
        );
        let sent = to.server.counters().bytes_in;
        assert_eq!(sent < 2000, offered, "{sent} bytes");
    }
}
