//! UTF8=ONLY (RFC 6855): servers that take nothing before `ENABLE UTF8=ACCEPT`.

use mailmove_core::{Destination as _, Source as _, destination::Depth, report::Status};
use mailmove_imap_testserver::{Builder, Capability};

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
        assert_eq!(written.command("ENABLE"), u64::from(to_only));
    }
}

#[tokio::test]
async fn a_folder_is_the_same_whatever_is_enabled() {
    let mut seen = Vec::new();
    for on in [true, false] {
        let side = Side::new(|server| if on { only(server) } else { server }).await;
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
}

#[tokio::test]
async fn where_it_is_merely_offered_it_is_not_enabled() {
    let to = Side::new(|server| server).await;
    to.destination(to.config()).folders().await.unwrap();
    assert_eq!(to.server.counters().command("ENABLE"), 0);
}
