//! What is sent in place of a message.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use mailmove_core::report::Status;
use mailmove_testkit::mailbox::NewMessage;

use crate::{
    twist::{Twist, has_body, replace, uid, with_body},
    world::{World, failures, mails},
};

/// As Exchange sends it.
fn apology(number: u32) -> String {
    format!(
        "From: Microsoft Exchange Server\r\nTo: ann@example.com\r\n\
         Subject: Retrieval using the IMAP4 protocol failed for the following message:\r\n {number}\r\n\
         Content-Type: text/plain\r\n\r\n\
         The server couldn't retrieve the following message:\r\n\r\nSubject: \"x\"\r\n\r\n\
         The message hasn't been deleted. You might be able to view it using either Outlook or\r\n\
         Outlook Web App.\r\n"
    )
}

#[tokio::test]
async fn an_apology_is_never_delivered() {
    let broken = Arc::new(AtomicBool::new(true));
    let on = Arc::clone(&broken);
    let twist = Twist::responses(move |response| {
        with_body(response, |uid, body| {
            let hit = uid == 3 && on.load(Ordering::Relaxed);
            Some(if hit {
                apology(uid).into_bytes()
            } else {
                body.to_vec()
            })
        })
    });
    let world = World::odd_source(twist).await;
    world.from.add(&["INBOX"], mails(0..9));
    for copied in [8, 0] {
        let report = world.try_run().await.unwrap();
        assert_eq!(report.status(), Status::CompleteWithFailures);
        assert_eq!(failures(&report), ["imap/substituted"]);
        assert!(report.failures[0].remedy.is_some());
        assert_eq!((report.total().copied, report.total().failed), (copied, 1));
        assert_eq!(world.to.bodies(&["INBOX"]).len(), 8);
    }
    broken.store(false, Ordering::Relaxed);
    assert_eq!(world.run().await.total().copied, 1);
    assert_eq!(world.to.bodies(&["INBOX"]).len(), 9);
}

#[tokio::test]
async fn an_apology_that_somebody_kept_is_a_message() {
    let world = World::new().await;
    world
        .from
        .add(&["INBOX"], vec![NewMessage::new(apology(7))]);
    world.run().await;
    world.assert_equal();
    // Exchange's own word is not taken for its size.
    let world = World::odd_source(Twist::responses(|response| {
        match response.starts_with(b"* ID ") {
            true => b"* ID (\"name\" \"Microsoft.Exchange.Imap4.Imap4Server\")\r\n".to_vec(),
            false => response,
        }
    }))
    .await;
    world
        .from
        .add(&["INBOX"], vec![NewMessage::new(apology(7))]);
    let report = world.try_run().await.unwrap();
    assert_eq!(failures(&report), ["imap/substituted"]);
    assert!(world.to.bodies(&["INBOX"]).is_empty());
}

#[tokio::test]
async fn messages_without_content_fail_alone() {
    let twist = Twist::responses(|response| match uid(&response) {
        // OK, and not a word about it.
        Some(2) if has_body(&response) => Vec::new(),
        Some(4) => with_body(response, |_, _| None),
        Some(6) => with_body(response, |_, _| Some(Vec::new())),
        // Said to be empty, which it is not.
        Some(8) => replace(&response, b"RFC822.SIZE 2", b"RFC822.SIZE 0 X-SIZE 2"),
        _ => response,
    });
    let world = World::odd_source(twist).await;
    world.from.add(&["INBOX"], mails(0..9));
    let report = world.try_run().await.unwrap();
    assert_eq!(failures(&report), ["imap/empty-fetch"; 3]);
    let total = report.total();
    assert_eq!((total.found, total.copied, total.failed), (9, 6, 3));
    assert!(total.is_closed());
    assert_eq!(world.to.bodies(&["INBOX"]).len(), 6);
}
