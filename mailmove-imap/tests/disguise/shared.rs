//! Other users' and shared folders: left out with their count, unless they are asked for.

use mailmove_core::{
    Destination as _, Options, Report,
    map::{MapRules, Pattern},
    model::FolderPath,
    report::Status,
};
use mailmove_imap_testserver::{Builder, Capability};
use mailmove_testkit::mailbox::NewMessage;

use crate::{
    support::{World, world},
    world::{Move, account, config},
};

/// A mailbox with one message in each of these folders, some of which are others'.
async fn source(setup: fn(Builder) -> Builder, names: &[&[&str]]) -> World {
    let world = world(setup).await;
    for name in names {
        let account = account(&world.server);
        let folder = account.create(name).unwrap();
        let mail = NewMessage::new(format!("Subject: {}\r\n\r\nx\r\n", name.join("/")));
        account.append(folder, vec![mail]).unwrap();
    }
    world
}

async fn migrated(from: &World, to: &World, rules: MapRules) -> Report {
    let mut options = Options::new();
    options.folders = rules;
    let report = Move::new(config(&from.server), config(&to.server), options)
        .run()
        .await;
    assert_eq!(report.status(), Status::Complete, "{report:#?}");
    report
}

fn dovecot(server: Builder) -> Builder {
    // With OBJECTID contents are fetched after the listing, in a folder opened once more.
    let server = server.without(Capability::ObjectId);
    server.other_users("shared/").shared("Public/")
}

const FOLDERS: [&[&str]; 6] = [
    &["Work"],
    &["PublicThings"],
    &["Public", "Team"],
    &["Public", "Team", "2020"],
    &["shared", "bob", "INBOX"],
    &["shared", "eve", "INBOX"],
];

/// The destination's folders below the top level that hold mail, and those of the report.
fn copied(report: &Report) -> Vec<String> {
    let folders = report.folders.iter();
    let mut names: Vec<String> = folders
        .filter(|folder| folder.tally.copied > 0)
        .map(|folder| folder.source.to_string())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn they_are_left_out_with_the_reason_and_the_count() {
    for setup in [dovecot as fn(Builder) -> Builder, |server| {
        dovecot(server)
            .without(Capability::ListExtended)
            .without(Capability::ListStatus)
    }] {
        let from = source(setup, &FOLDERS).await;
        let to = world(|server| server).await;
        let report = migrated(&from, &to, MapRules::new()).await;
        assert_eq!(copied(&report), ["PublicThings", "Work"]);
        for (names, reason) in [
            (&["Public", "Team"][..], "it is shared"),
            (&["shared", "bob", "INBOX"], "it belongs to another user"),
        ] {
            let path = FolderPath::new(names.iter().copied());
            let mut folders = report.folders.iter();
            let folder = folders.find(|folder| folder.source == path).unwrap();
            assert_eq!(folder.excluded.as_deref(), Some(reason));
            assert_eq!((folder.tally.found, folder.tally.excluded), (1, 1));
        }
        assert_eq!(report.total().excluded, 4);
        assert!(report.total().is_closed());
        // They were counted by STATUS and never opened.
        assert_eq!(from.server.counters().command("EXAMINE"), 3);
    }
}

#[tokio::test]
async fn they_are_taken_when_asked_for() {
    let pattern = |text: &str| Pattern::new(text).unwrap();
    for (rules, expected) in [
        (
            MapRules::new().with_foreign(true),
            &[
                "Public/Team",
                "Public/Team/2020",
                "PublicThings",
                "Work",
                "shared/bob/INBOX",
                "shared/eve/INBOX",
            ][..],
        ),
        (
            MapRules::new().with_include(pattern("Public/Team")),
            &["Public/Team", "Public/Team/2020"],
        ),
        (
            MapRules::new()
                .with_include(pattern("shared/bob/**"))
                .with_include(pattern("Work")),
            &["Work", "shared/bob/INBOX"],
        ),
        // Names none of them.
        (
            MapRules::new().with_include(pattern("**")),
            &["PublicThings", "Work"],
        ),
        (
            MapRules::new().with_include(pattern("re:Team|Work")),
            &["Work"],
        ),
        (
            MapRules::new()
                .with_foreign(true)
                .with_exclude(pattern("shared")),
            &["Public/Team", "Public/Team/2020", "PublicThings", "Work"],
        ),
    ] {
        let from = source(dovecot, &FOLDERS).await;
        let to = world(|server| server).await;
        let report = migrated(&from, &to, rules).await;
        assert_eq!(copied(&report), expected);
    }
}

#[tokio::test]
async fn nothing_of_ours_goes_where_others_folders_are() {
    let from = source(dovecot, &FOLDERS).await;
    // The destination has such namespaces too, and nothing in them that it would list.
    let to = world(dovecot).await;
    let report = migrated(&from, &to, MapRules::new().with_foreign(true)).await;
    assert_eq!(report.total().copied, 6);
    let folders = to.destination.folders().await.unwrap();
    let ours = mailmove_core::model::Namespace::Personal;
    let others: Vec<_> = folders
        .iter()
        .filter(|folder| folder.namespace != ours)
        .collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(to.stored(&["Public_", "Team"]).len(), 1);
    assert_eq!(to.stored(&["shared_", "bob", "INBOX"]).len(), 1);
}

#[tokio::test]
async fn courier_style_prefixes_are_understood() {
    let setup = |server: Builder| {
        server
            .separator('.')
            .prefix("INBOX.")
            .shared("INBOX.#shared.")
    };
    let from = source(setup, &[&["Work"], &["#shared", "team", "news"]]).await;
    let to = world(|server| server).await;
    let report = migrated(&from, &to, MapRules::new()).await;
    assert_eq!(copied(&report), ["Work"]);
    assert_eq!(report.total().excluded, 1);
}
