//! Destinations that store other bytes than they are given.

use mailmove_core::{destination::Depth, report::Status};
use mailmove_imap_testserver::{Action, Builder, Capability};
use mailmove_testkit::mailbox::{InternalDate, NewMessage};

use crate::{
    twist::{Twist, between, find, replace, with_body},
    world::{Side, World, mails, text},
};

type Store = fn(&[u8]) -> Vec<u8>;

/// Shows each message as `store` makes it, in all that it says about it.
fn storing(store: Store) -> Twist {
    Twist::responses(move |response| {
        let Some(at) = find(&response, b"BODY[HEADER.FIELDS") else {
            return with_body(response, |_, body| Some(store(body)));
        };
        // The header that was asked for, too: it is short, and stands first.
        let start = at + find(&response[at..], b"{").unwrap();
        let digits = between(&response[start..], "{", "}").unwrap().to_owned();
        let from = start + digits.len() + 4;
        let len: usize = digits.parse().unwrap();
        let header = store(&response[from..from + len]);
        let told = format!("{{{}}}\r\n", header.len());
        let rest = with_body(response[from + len..].to_vec(), |_, body| Some(store(body)));
        [&response[..start], told.as_bytes(), &header, &rest].concat()
    })
}

/// Dovecot, and others that store lines with LF.
fn without_doubled_cr(body: &[u8]) -> Vec<u8> {
    replace(body, b"\r\r\n", b"\r\n")
}

/// Cyrus with `munge8bit`.
fn munged(body: &[u8]) -> Vec<u8> {
    let end = find(body, b"\r\n\r\n").unwrap_or(body.len());
    let header = body[..end]
        .iter()
        .map(|byte| if *byte > 127 { b'X' } else { *byte });
    header.chain(body[end..].iter().copied()).collect()
}

/// Exchange.
fn renamed(body: &[u8]) -> Vec<u8> {
    replace(body, b"Message-ID: <", b"Message-ID: <new.")
}

fn no_change(server: Builder) -> Builder {
    server
}

fn without_ids(server: Builder) -> Builder {
    server.without(Capability::UidPlus)
}

/// Every third message is one that `storing` changes.
fn fill(side: &Side) {
    let mut messages = mails(0..12);
    for (n, message) in (0..).zip(messages.iter_mut()).filter(|(n, _)| n % 3 == 1) {
        let odd = text(n).replace("Subject: number", "Subject: h\u{e9} number");
        let odd = odd.replace("This is", "A line\r\r\nThis is");
        *message = NewMessage::new(odd).with_date(InternalDate::utc(1_700_000_000 + i64::from(n)));
    }
    side.add(&["INBOX"], messages);
}

#[tokio::test]
async fn changed_bytes_are_neither_sent_twice_nor_hidden() {
    let stores: [Store; 2] = [without_doubled_cr, munged];
    for store in stores {
        for setup in [no_change, without_ids] {
            let to = Side::new(setup, Some(storing(store))).await;
            let mut world = World::of(Side::new(|it| it, None).await, to);
            fill(&world.from);
            assert_eq!(world.run().await.total().copied, 12);
            world.assert_equal();
            world.run_again().await;
            // What differs now is said.
            let found = world.verify(Depth::Content).await;
            assert_eq!(found.differences.len(), 4, "{:?}", found.differences);
            // It was said before, and to send them again would not mend it.
            assert!(found.is_clean() && found.differences.iter().all(|one| one.known));
            let mend = mailmove_core::Mend::new(Depth::Content);
            let mended = world.migration().mend(mend).await.unwrap();
            assert_eq!(mended.total().copied, 0, "{mended:?}");
            // Their size as announced and a header that names one transmission are enough to know
            // them by, after the state was lost.
            world.forget();
            let total = world.run().await.total();
            assert_eq!((total.copied, total.already_there), (0, 12));
        }
    }
}

#[tokio::test]
async fn a_lost_answer_about_changed_bytes_doubles_nothing() {
    let stores: [Store; 2] = [without_doubled_cr, munged];
    for store in stores {
        for setup in [no_change, without_ids] {
            let to = Side::new(setup, Some(storing(store))).await;
            let world = World::of(Side::new(|it| it, None).await, to);
            fill(&world.from);
            world
                .to
                .server
                .faults()
                .arm("APPEND", 1, Action::CloseUnanswered);
            let report = world.run().await;
            assert_eq!(report.total().copied, 12);
            assert_eq!(report.total().perhaps_doubled, 0);
            assert_eq!(world.to.bodies(&["INBOX"]).len(), 12);
            world.run_again().await;
        }
    }
}

#[tokio::test]
async fn a_replaced_message_id_does_not_matter_where_the_server_names_what_it_stored() {
    let mut world = World::odd_destination(storing(renamed)).await;
    world.from.add(&["INBOX"], mails(0..12));
    world.run().await;
    world.run_again().await;
    // Where nothing remembers them, they are other messages.
    world.forget();
    assert_eq!(world.run().await.total().copied, 12);
    // Nor can they be named where the server does not do it: that is said, and nothing is sent again.
    let to = Side::new(without_ids, Some(storing(renamed))).await;
    let world = World::of(Side::new(|it| it, None).await, to);
    world.from.add(&["INBOX"], mails(0..12));
    for _ in 0..2 {
        let report = world.try_run().await.unwrap();
        assert_eq!(report.status(), Status::CompleteWithFailures);
        assert_eq!(report.total().open, 12);
        assert_eq!(world.to.bodies(&["INBOX"]).len(), 12);
    }
}
