//! METADATA (RFC 5464): annotations of folders, only if they are asked for.

use std::collections::BTreeMap;

use mailmove_core::{
    Options, Report,
    model::LONGEST_ANNOTATION,
    report::{AnnotationReport, Status},
};
use mailmove_imap_testserver::{Action, Capability};

use crate::support::*;

type Notes = BTreeMap<String, Vec<u8>>;

fn notes(side: &Side, path: &[&str]) -> Notes {
    side.server.annotations(USER, path)
}

const BOX: [&str; 1] = ["Entw\u{fc}rfe"];

/// Values of all kinds, and one that is the server's own.
fn fill(from: &Side) {
    from.put(&["INBOX"], mail("a"));
    from.put(&BOX, mail("b"));
    from.put(&["Plain"], mail("c"));
    for (name, value) in [
        ("/private/comment", &b"mine"[..]),
        ("/shared/comment", b"quoted \" and \\"),
        ("/shared/vendor/kolab/folder-type", b"mail.inbox"),
        ("/private/lines", b"a\r\nX1 LOGOUT\r\n{5+}"),
        ("/private/bytes", b"\0\xff\0"),
        ("/private/utf-8", "gr\u{fc}n".as_bytes()),
        ("/private/nothing", b""),
        ("/private/vendor/cmu/cyrus-imapd/x", b"state"),
        ("/private/specialuse", b"\\Sent"),
    ] {
        from.server.annotate(USER, &BOX, name, value);
    }
    let long = vec![b'x'; 5000];
    from.server
        .annotate(USER, &["INBOX"], "/shared/long", &long);
}

fn portable(from: &Side) -> Notes {
    let mut notes = notes(from, &BOX);
    notes.retain(|name, _| !name.contains("cyrus") && !name.contains("special"));
    notes
}

async fn pass(from: &Side, to: &Side, wanted: bool) -> Report {
    let mut options = Options::new();
    options.annotations = wanted;
    let migration = migration(from, to).options(options).build().unwrap();
    let report = migration.run().await.unwrap();
    assert_eq!(report.status(), Status::Complete, "{report:#?}");
    report
}

fn of(report: &Report, name: &str) -> AnnotationReport {
    let folder = report
        .folders
        .iter()
        .find(|one| one.source.to_string() == name);
    folder.unwrap().annotations.clone().unwrap()
}

fn asked(side: &Side, name: &str) -> u64 {
    side.server.counters().command(name)
}

#[tokio::test]
async fn annotations_of_any_bytes_are_carried_over_once() {
    // With literals that wait, and with none of the extensions beside it.
    for less in [
        None,
        Some(Capability::LiteralPlus),
        Some(Capability::Binary),
        Some(Capability::Utf8Accept),
    ] {
        let setup = |server: mailmove_imap_testserver::Builder| match less {
            Some(less) => server.without(less),
            None => server,
        };
        let (from, to) = (Side::new(setup).await, Side::new(setup).await);
        fill(&from);
        let before = notes(&from, &BOX);
        let report = pass(&from, &to, true).await;
        assert_eq!(notes(&to, &BOX), portable(&from), "{less:?}");
        assert_eq!(notes(&to, &["INBOX"]), notes(&from, &["INBOX"]));
        assert_eq!(of(&report, BOX[0]).copied, 7);
        assert_eq!(of(&report, "Plain"), AnnotationReport::default());
        assert_eq!(
            (asked(&to, "SETMETADATA"), asked(&from, "SETMETADATA")),
            (8, 0)
        );
        assert_eq!(
            (asked(&to, "GETMETADATA"), asked(&from, "GETMETADATA")),
            (3, 3)
        );
        // Another run: what is equal is not sent, what is new is.
        from.server
            .annotate(USER, &["Plain"], "/shared/comment", b"later");
        let report = pass(&from, &to, true).await;
        assert_eq!(
            (of(&report, BOX[0]).equal, of(&report, BOX[0]).copied),
            (7, 0)
        );
        assert_eq!(of(&report, "Plain").copied, 1);
        assert_eq!(asked(&to, "SETMETADATA"), 9);
        assert_eq!(notes(&from, &BOX), before);
        assert_eq!(from.server.counters().bad + to.server.counters().bad, 0);
    }
}

#[tokio::test]
async fn without_being_asked_for_nothing_is_done() {
    let (from, to) = (
        Side::new(|server| server).await,
        Side::new(|server| server).await,
    );
    fill(&from);
    let report = pass(&from, &to, false).await;
    assert!(
        report
            .folders
            .iter()
            .all(|folder| folder.annotations.is_none())
    );
    assert!(notes(&to, &BOX).is_empty());
    assert_eq!(asked(&to, "GETMETADATA") + asked(&from, "GETMETADATA"), 0);
}

#[tokio::test]
async fn what_is_refused_kept_or_left_out_is_in_the_report() {
    let from = Side::new(|server| server).await;
    let to = Side::new(|server| {
        let server = server.longest_annotation(4999);
        server.refuse_annotation("/shared/vendor/kolab/folder-type")
    })
    .await;
    fill(&from);
    let longest = vec![b'x'; LONGEST_ANNOTATION + 1];
    from.server
        .annotate(USER, &BOX, "/private/longest", &longest);
    to.put(&BOX, mail("d"));
    to.server.annotate(USER, &BOX, "/private/comment", b"own");
    for _ in 0..2 {
        let report = pass(&from, &to, true).await;
        let noted = of(&report, BOX[0]);
        assert_eq!(noted.copied + noted.equal, 5);
        assert_eq!(noted.kept, ["/private/comment"]);
        assert_eq!(noted.refused.len(), 1);
        assert_eq!(noted.refused[0].name, "/shared/vendor/kolab/folder-type");
        assert!(noted.refused[0].reason.contains("NOPRIVATE"), "{noted:?}");
        assert!(noted.left_out);
        let noted = of(&report, "INBOX");
        assert_eq!((noted.refused.len(), noted.left_out), (1, false));
        assert!(
            noted.refused[0].reason.contains("MAXSIZE 4999"),
            "{noted:?}"
        );
    }
    assert_eq!(notes(&to, &BOX)["/private/comment"], b"own");
}

#[tokio::test]
async fn servers_without_it_are_asked_nothing() {
    for (here, there) in [(false, true), (true, false)] {
        let setup = |on: bool| {
            move |server: mailmove_imap_testserver::Builder| match on {
                true => server,
                false => server.without(Capability::Metadata),
            }
        };
        let (from, to) = (Side::new(setup(here)).await, Side::new(setup(there)).await);
        fill(&from);
        let report = pass(&from, &to, true).await;
        let noted = of(&report, BOX[0]);
        assert_eq!(noted.copied, 0);
        assert_eq!(noted.refused.len(), if here { 7 } else { 0 });
        assert!(
            noted
                .refused
                .iter()
                .all(|one| one.code == "imap/no-metadata")
        );
        assert_eq!(from.server.counters().bad + to.server.counters().bad, 0);
        assert_eq!(asked(&to, "SETMETADATA"), 0);
    }
}

#[tokio::test]
async fn servers_that_offer_it_and_do_not_understand_it_are_left_alone() {
    // Options alone are not understood: comments still come.
    let from = Side::new(mailmove_imap_testserver::Builder::without_metadata_options).await;
    let to = Side::new(|server| server).await;
    fill(&from);
    let report = pass(&from, &to, true).await;
    assert_eq!(
        (of(&report, BOX[0]).copied, from.server.counters().bad),
        (2, 1)
    );
    // Nothing of it is: two are too many for some servers, more are not sent.
    let (from, to) = (
        Side::new(|server| server).await,
        Side::new(|server| server).await,
    );
    fill(&from);
    for at in 0..2 {
        from.server
            .faults()
            .arm("GETMETADATA", at + 1, Action::Bad("what?".into()));
    }
    to.server
        .faults()
        .arm("SETMETADATA", 1, Action::Bad("what?".into()));
    let report = pass(&from, &to, true).await;
    assert_eq!(of(&report, BOX[0]), AnnotationReport::default());
    assert_eq!(
        (asked(&from, "GETMETADATA"), asked(&to, "SETMETADATA")),
        (2, 0)
    );
}

#[tokio::test]
async fn a_connection_that_breaks_at_it_is_opened_again() {
    for (command, at) in [
        ("GETMETADATA", 1),
        ("GETMETADATA", 2),
        ("SETMETADATA", 1),
        ("SETMETADATA", 3),
    ] {
        let (from, to) = (
            Side::new(|server| server).await,
            Side::new(|server| server).await,
        );
        fill(&from);
        to.server.faults().arm(command, at, Action::Close);
        pass(&from, &to, true).await;
        assert_eq!(notes(&to, &BOX), portable(&from), "{command}");
    }
}
