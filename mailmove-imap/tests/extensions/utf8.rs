//! UTF8=ACCEPT (RFC 6855): enabled wherever it is offered, since a server may refuse or change headers
//! in UTF-8 until it is. UTF8=ONLY: servers that take nothing before.

use mailmove_core::{
    Destination as _, Options, RepairPolicy, Source as _, destination::Depth, report::Status,
};
use mailmove_imap_testserver::{Action, Builder, Capability};

use crate::support::*;

const NAMES: [&str; 4] = [
    "Entw\u{fc}rfe & Co",
    "\u{65e5}\u{672c}\u{8a9e}",
    "A&-B",
    "plain",
];

fn only(server: Builder) -> Builder {
    server.with(Capability::Utf8Only)
}

fn fill(from: &Side) {
    for name in NAMES {
        from.put(&[name], mail("a"));
        from.put(&[name, "Unter\u{fc}"], "Subject: gr\u{fc}n\r\n\r\nx\r\n");
        from.put(
            &[name],
            b"Subject: gr\xfcn in latin-1\r\n\r\nx\r\n".to_vec(),
        );
    }
}

#[tokio::test]
async fn names_and_headers_arrive_as_they_are() {
    for (from_only, to_only, multi) in [
        (true, true, true),
        (true, false, true),
        (false, true, true),
        (false, true, false),
    ] {
        let setup = |on: bool| {
            move |server: Builder| {
                let server = match multi {
                    true => server,
                    false => server.without(Capability::MultiAppend),
                };
                if on { only(server) } else { server }
            }
        };
        let from = Side::new(setup(from_only)).await;
        let to = Side::new(setup(to_only)).await;
        fill(&from);
        let migration = migration(&from, &to).build().unwrap();
        let report = migration.run().await.unwrap();
        assert_eq!(report.status(), Status::Complete, "{:?}", report.failures);
        for name in NAMES {
            assert_eq!(to.bodies(&[name]), from.bodies(&[name]));
            let below = [name, "Unter\u{fc}"];
            assert_eq!(to.bodies(&below), from.bodies(&below));
        }
        assert!(migration.verify(Depth::Content).await.unwrap().is_clean());
        assert_eq!(migration.run().await.unwrap().total().copied, 0);
        let (read, written) = (from.server.counters(), to.server.counters());
        assert_eq!(read.bad + written.bad, 0);
        assert_eq!((read.command("ENABLE"), written.command("ENABLE")), (1, 1));
    }
}

#[tokio::test]
async fn a_folder_is_the_same_whatever_is_enabled() {
    let mut seen = Vec::new();
    let offered = |server: Builder| server;
    let plain = |server: Builder| server.without(Capability::Utf8Accept);
    for setup in [only, offered, plain] {
        let side = Side::new(setup).await;
        fill(&side);
        let source = side.source(side.config());
        let there = source.folders().await.unwrap();
        let destination = side.destination(side.config());
        let here = destination.folders().await.unwrap();
        let ids = |folders: &[mailmove_core::model::Folder]| {
            let one = |folder: &mailmove_core::model::Folder| {
                (folder.id.to_string(), folder.path.to_string())
            };
            folders.iter().map(one).collect::<Vec<_>>()
        };
        assert_eq!(ids(&there), ids(&here));
        seen.push(ids(&there));
        assert!(destination.capabilities().await.is_ok());
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
}

/// As RFC 6855 section 4 has it: what needs UTF8=ACCEPT is refused without it, and shown otherwise.
fn strict(server: Builder) -> Builder {
    server.utf8_by_enable_alone()
}

#[tokio::test]
async fn headers_that_need_it_leave_and_arrive_as_they_are() {
    for less in [
        None,
        Some(Capability::MultiAppend),
        Some(Capability::LiteralPlus),
    ] {
        let setup = |server| match less {
            Some(less) => strict(server).without(less),
            None => strict(server),
        };
        let (from, to) = (Side::new(setup).await, Side::new(setup).await);
        fill(&from);
        let migration = migration(&from, &to).build().unwrap();
        let report = migration.run().await.unwrap();
        assert_eq!(report.status(), Status::Complete, "{:?}", report.failures);
        for name in NAMES {
            assert_eq!(to.bodies(&[name]), from.bodies(&[name]));
            let below = [name, "Unter\u{fc}"];
            assert_eq!(to.bodies(&below), from.bodies(&below));
        }
        assert!(migration.verify(Depth::Content).await.unwrap().is_clean());
        let counters = to.server.counters();
        assert_eq!(counters.bad, 0);
        // Only the first of them waits for leave, until it is known that the item is understood.
        if less.is_none() {
            assert_eq!(counters.literals_synchronising, 1);
        }
    }
}

#[tokio::test]
async fn where_it_is_not_offered_headers_arrive_repaired_or_not_at_all() {
    let less = |server| strict(server).without(Capability::Utf8Accept);
    let header = "Subject: gr\u{fc}n\r\n\r\nx\r\n";
    let (from, to) = (Side::new(strict).await, Side::new(less).await);
    from.put(&["INBOX"], header);
    from.put(&["INBOX"], mail("plain"));
    let mut options = Options::new();
    options.repair = RepairPolicy::Off;
    let unrepaired = migration(&from, &to).options(options).build().unwrap();
    let report = unrepaired.run().await.unwrap();
    assert_eq!((report.total().copied, report.total().failed), (1, 1));
    assert!(report.failures[0].reason.contains("UTF8=ACCEPT"));
    let report = migrate(&from, &to).await;
    assert_eq!((report.total().copied, report.total().failed), (1, 0));
    assert_eq!(report.repaired.len(), 1);
    let encoded = b"Subject: =?utf-8?Q?gr=C3=BCn?=\r\n\r\nx\r\n".to_vec();
    assert!(to.bodies(&["INBOX"]).contains(&encoded));
    let (from, to) = (Side::new(less).await, Side::new(strict).await);
    from.put(&["INBOX"], header);
    assert_eq!(migrate(&from, &to).await.total().copied, 1);
    let shown = header.replace('\u{fc}', "??").into_bytes();
    assert_eq!(to.bodies(&["INBOX"]), [shown]);
}

#[tokio::test]
async fn a_server_that_does_not_understand_the_item_gets_headers_without_it() {
    for multi in [true, false] {
        let from = Side::new(strict).await;
        let to = Side::new(|server| match multi {
            true => server.without_utf8_item(),
            false => server.without_utf8_item().without(Capability::MultiAppend),
        })
        .await;
        for number in 0..5 {
            from.put(
                &["INBOX"],
                format!("Subject: gr\u{fc}n {number}\r\n\r\nx\r\n"),
            );
        }
        let report = migrate(&from, &to).await;
        assert_eq!(report.status(), Status::Complete, "{:?}", report.failures);
        assert_eq!(to.bodies(&["INBOX"]), from.bodies(&["INBOX"]));
        // One BAD, at the first of them, before anything of it was sent.
        assert_eq!(to.server.counters().bad, 1);
    }
}

#[tokio::test]
async fn a_server_that_refuses_to_enable_it_is_used_without() {
    for refusal in [Action::Bad("no".into()), Action::No("no".into())] {
        let (from, to) = (
            Side::new(|server| server).await,
            Side::new(|server| server).await,
        );
        fill(&from);
        to.server.faults().arm("ENABLE", 1, refusal.clone());
        from.server.faults().arm("ENABLE", 1, refusal);
        let report = migrate(&from, &to).await;
        assert_eq!(report.status(), Status::Complete, "{:?}", report.failures);
        for name in NAMES {
            assert_eq!(to.bodies(&[name]), from.bodies(&[name]));
        }
    }
}
