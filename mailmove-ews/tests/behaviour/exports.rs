//! From Exchange to Exchange as its own exports: everything of every class, and what cannot be exported as
//! MIME.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mailmove_core::{
    Edges, Migration,
    checkpoint::CheckpointStore,
    destination::Depth,
    edge::{Credential, StaticCredential},
    model::AlterationKind,
    options::Options,
    report::{Report, Status},
    store::{MemoryStore, SqliteStore},
};
use mailmove_ews::{EwsConfig, EwsDestination, EwsSource};
use mailmove_ews_testserver::{Action, Language, Server};
use mailmove_testkit::{
    clock::TestClock,
    mailbox::{Account, FlagOp, InternalDate, NewMessage, Store},
};
use mailmove_testkit_exchange::letters;

use crate::support::{PASSWORD, config, letter};

/// A server with one mailbox. Ids of mailboxes of the same name would be the same.
struct Site {
    server: Server,
    user: &'static str,
}

impl std::ops::Deref for Site {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

async fn exchange(language: Language, user: &'static str) -> Site {
    let builder = Server::builder(Store::new()).user(user, PASSWORD);
    let builder = builder.language(language).rebuilds_mime();
    // Which class an item is of shows in shapes that tests choose.
    let server = builder.without_shape_gate().start().await.unwrap();
    Site { server, user }
}

fn account(site: &Site) -> Account {
    site.store().account(site.user).unwrap()
}

fn fill(site: &Site, count: usize) {
    let inbox = account(site).folder(&["INBOX"]).unwrap().id;
    let all = (0..count).map(|number| NewMessage::new(letter(number)));
    account(site).append(inbox, all.collect()).unwrap();
}

fn login(site: &Site) -> (EwsConfig, Arc<StaticCredential>) {
    let config = config(&site.server).with_user(format!("{}@example.com", site.user));
    let credential = Credential::password(site.user, PASSWORD);
    (config, Arc::new(StaticCredential::new(credential)))
}

/// What there is in a folder: class, subject line, flags and date of each item.
type Items = Vec<(String, String, String, i64)>;

fn items(server: &Site, path: &[&str]) -> Items {
    let account = account(server);
    let folder = account.folder(path).unwrap().id;
    let one = |message: &mailmove_testkit::mailbox::Message| {
        let text = String::from_utf8_lossy(&message.body).into_owned();
        let subject = text.lines().find(|line| line.starts_with("Subject:"));
        let flags: Vec<&str> = message
            .flags
            .iter()
            .filter(|flag| *flag != "\\Recent")
            .collect();
        (
            server.item_class(server.user, path, message.uid).unwrap(),
            subject.unwrap_or_default().to_owned(),
            flags.join(" "),
            message.date.unix,
        )
    };
    let mut all: Items = account.messages(folder).unwrap().iter().map(one).collect();
    all.sort();
    all
}

/// Puts items of a class into a folder.
fn put(server: &Site, path: &[&str], class: &str, count: usize) {
    let set = |uid, class: &str| server.set_item_class(server.user, path, uid, class);
    letters::put(&account(server), path, class, count, set);
}

struct World {
    from: Site,
    to: Site,
    store: MemoryStore,
    clock: TestClock,
    options: Options,
}

impl World {
    async fn new() -> Self {
        Self {
            from: exchange(Language::German, "ann").await,
            to: exchange(Language::English, "bob").await,
            store: MemoryStore::new(),
            clock: TestClock::jumping(Duration::from_secs(1_700_000_000)),
            options: Options::new(),
        }
    }

    fn migration(&self) -> Migration {
        self.migration_in(self.store.clone())
    }

    fn migration_in(&self, store: impl CheckpointStore + 'static) -> Migration {
        let edges = || Edges::new().with_clock(Arc::new(self.clock.clone()));
        let ((from, one), (to, other)) = (login(&self.from), login(&self.to));
        let source = EwsSource::new(from, one, edges());
        let destination = EwsDestination::new(to, other, edges());
        let builder = Migration::builder(source, destination).store(store);
        builder
            .options(self.options.clone())
            .edges(edges())
            .build()
            .unwrap()
    }

    async fn run(&self) -> Report {
        let report = self.migration().run().await.unwrap();
        assert_eq!(report.status(), Status::Complete, "{report:#?}");
        report
    }

    /// How many items went as MIME.
    fn converted(report: &Report) -> u64 {
        let altered = report.folders.iter().map(|folder| &folder.altered);
        altered
            .filter_map(|all| all.get(&AlterationKind::Converted))
            .sum()
    }

    fn equal(&self, from: &[&str], to: &[&str]) {
        assert_eq!(items(&self.to, to), items(&self.from, from), "{to:?}");
    }
}

const PLACES: [(&str, &str, &str); 5] = [
    ("Kalender", "Calendar", "IPM.Appointment"),
    ("Kontakte", "Contacts", "IPM.Contact"),
    ("Aufgaben", "Tasks", "IPM.Task"),
    ("Notizen", "Notes", "IPM.StickyNote"),
    ("Journal", "Journal", "IPM.Activity"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_class_arrives_in_the_folder_that_it_belongs_to() {
    let world = World::new().await;
    fill(&world.from, 40);
    for (path, _, class) in PLACES {
        put(&world.from, &[path], class, 7);
    }
    // A calendar of the user's own, and a contact among the mail.
    let own = account(&world.from)
        .create(&["Kalender", "Urlaub"])
        .unwrap();
    world.from.set_folder_class(
        world.from.user,
        &["Kalender", "Urlaub"],
        Some("IPF.Appointment"),
    );
    assert!(account(&world.from).uids(own).unwrap().is_empty());
    put(&world.from, &["Kalender", "Urlaub"], "IPM.Appointment", 3);
    put(&world.from, &["INBOX"], "IPM.Contact", 2);
    let report = world.run().await;
    assert_eq!(World::converted(&report), 0);
    world.equal(&["INBOX"], &["INBOX"]);
    for (from, to, _) in PLACES {
        world.equal(&[from], &[to]);
    }
    world.equal(&["Kalender", "Urlaub"], &["Calendar", "Urlaub"]);
    assert_eq!(world.from.counters().exported, 40 + 35 + 3 + 2);
    // Nobody is invited, and nobody told.
    assert_eq!(world.to.counters().operation("SendItem"), 0);
    let created = world.to.counters().created;
    let again = world.run().await;
    assert_eq!(again.total().copied, 0);
    assert_eq!(world.to.counters().created, created);
    let verified = world.migration().verify(Depth::Content).await.unwrap();
    assert!(verified.is_clean(), "{:#?}", verified.differences);
}

/// An event that is put off, a contact that gets another number: what was copied is replaced, once.
#[tokio::test(flavor = "multi_thread")]
async fn what_changes_at_the_source_is_replaced() {
    let world = World::new().await;
    for (path, _, class) in PLACES {
        put(&world.from, &[path], class, 5);
    }
    put(&world.from, &["INBOX"], "IPM.Appointment", 2);
    fill(&world.from, 3);
    world.run().await;
    let equal = || {
        for (from, to, _) in PLACES {
            world.equal(&[from], &[to]);
        }
        world.equal(&["INBOX"], &["INBOX"]);
    };
    equal();
    for (path, _, class) in PLACES {
        let text = format!("Subject: {class} 2\r\n\r\nIt is put off.\r\n");
        rewrite(&world.from, &[path], 2, &text);
        // With another name, it is to be told from what it was.
        let text = format!("Subject: other {class}\r\n\r\nWhat it is about: 3.\r\n");
        rewrite(&world.from, &[path], 3, &text);
    }
    rewrite(
        &world.from,
        &["INBOX"],
        1,
        "Subject: later\r\n\r\nText.\r\n",
    );
    let report = world.run().await;
    let total = report.total();
    assert_eq!((total.copied, total.replaced, total.doubled), (11, 11, 0));
    equal();
    let created = world.to.counters().created;
    let again = world.run().await;
    assert_eq!((again.total().copied, again.total().replaced), (0, 0));
    assert_eq!(world.to.counters().created, created);
    let verified = world.migration().verify(Depth::Content).await.unwrap();
    assert!(verified.is_clean(), "{:#?}", verified.differences);
}

/// Folders are worked on at the same time: each remembers what it replaces.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_changes_in_many_folders_at_once_is_replaced_in_all() {
    let world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let run = async || {
        let migration = world.migration_in(SqliteStore::new(directory.path()));
        let report = migration.run().await.unwrap();
        assert_eq!(report.status(), Status::Complete, "{report:#?}");
        report.total()
    };
    let name = |number: usize| format!("Kalender/{number}");
    for number in 0..12 {
        account(&world.from)
            .create(&["Kalender", &number.to_string()])
            .unwrap();
        put(
            &world.from,
            &["Kalender", &number.to_string()],
            "IPM.Appointment",
            3,
        );
    }
    run().await;
    for number in 0..12 {
        let text = format!("Subject: {}\r\n\r\nIt is put off.\r\n", name(number));
        rewrite(&world.from, &["Kalender", &number.to_string()], 2, &text);
    }
    let total = run().await;
    assert_eq!((total.copied, total.replaced, total.doubled), (12, 12, 0));
    for number in 0..12 {
        let there = items(&world.to, &["Calendar", &number.to_string()]);
        assert_eq!(there.len(), 3, "{there:?}");
    }
}

/// What its user changed at the destination is kept beside, and what he removed stays away.
#[tokio::test(flavor = "multi_thread")]
async fn what_changed_on_both_sides_is_kept_twice() {
    let world = World::new().await;
    put(&world.from, &["Kalender"], "IPM.Appointment", 4);
    world.run().await;
    rewrite(&world.to, &["Calendar"], 1, "Subject: mine\r\n\r\nNew.\r\n");
    let calendar = account(&world.to).folder(&["Calendar"]).unwrap().id;
    account(&world.to).remove(calendar, &[3]).unwrap();
    for number in [1, 2] {
        let text = format!("Subject: theirs {number}\r\n\r\nNew.\r\n");
        rewrite(&world.from, &["Kalender"], number, &text);
    }
    let report = world.run().await;
    assert_eq!((report.total().copied, report.total().replaced), (1, 0));
    let subjects: Vec<String> = items(&world.to, &["Calendar"])
        .into_iter()
        .map(|(_, subject, ..)| subject)
        .collect();
    let mut expected = vec!["Subject: IPM.Appointment 0", "Subject: IPM.Appointment 3"];
    expected.extend(["Subject: mine", "Subject: theirs 1"]);
    assert_eq!(subjects, expected);
}

/// Killed at each operation of the destination: the same end.
#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_is_broken_off_goes_on() {
    for (operation, action) in [
        ("UploadItems", Action::CloseUnanswered),
        ("UploadItems", Action::Close),
        ("UploadItems", Action::StatusAfter(503)),
        ("DeleteItem", Action::Close),
        ("DeleteItem", Action::CloseUnanswered),
        ("GetItem", Action::Close),
        ("SyncFolderItems", Action::Close),
    ] {
        let world = World::new().await;
        put(&world.from, &["Kalender"], "IPM.Appointment", 4);
        world.run().await;
        rewrite(
            &world.from,
            &["Kalender"],
            2,
            "Subject: later\r\n\r\nNew.\r\n",
        );
        world.to.faults().arm(operation, 1, action.clone());
        world.run().await;
        world.to.faults().clear();
        world.run().await;
        world.equal(&["Kalender"], &["Calendar"]);
    }
}

/// Somebody changes the text of an item, and the server takes note of it.
fn rewrite(site: &Site, path: &[&str], number: usize, text: &str) {
    let account = account(site);
    let folder = account.folder(path).unwrap().id;
    let uid = account.uids(folder).unwrap()[number];
    let text = text.to_owned();
    account.damage(folder, uid, text, None).unwrap();
    for op in [FlagOp::Remove, FlagOp::Add] {
        account.store(folder, &[uid], op, &["Work"], None).unwrap();
    }
}

/// To where there is no room for them they are accounted for as left out.
#[tokio::test(flavor = "multi_thread")]
async fn without_exports_mail_goes_and_the_rest_is_told() {
    let mut world = World::new().await;
    world.options.streams = false;
    fill(&world.from, 5);
    put(&world.from, &["Kalender"], "IPM.Appointment", 4);
    let report = world.run().await;
    assert_eq!(world.from.counters().exported, 0);
    world.equal(&["INBOX"], &["INBOX"]);
    let calendar = report
        .folders
        .iter()
        .find(|folder| folder.source.last() == Some("Kalender"));
    let calendar = calendar.unwrap();
    assert_eq!((calendar.tally.found, calendar.tally.excluded), (4, 4));
    let rule = "it is made for events, which do not go this way";
    assert_eq!(calendar.excluded.as_deref(), Some(rule));
}

/// One that cannot be exported, and one whose export is not taken, cost the rest nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_exported_goes_as_mime() {
    for (side, operation, code, times) in [
        ("source", "ExportItems", "ErrorItemCorrupt", 1),
        (
            "source",
            "ExportItems",
            "ErrorExportRemoteArchiveItemsFailed",
            1,
        ),
        ("destination", "UploadItems", "ErrorCorruptData", 1),
    ] {
        let world = World::new().await;
        fill(&world.from, 12);
        let server = if side == "source" {
            &world.from
        } else {
            &world.to
        };
        for _ in 0..times {
            server
                .faults()
                .arm(operation, 1, Action::ErrorAt(3, code.to_owned()));
        }
        let report = world.run().await;
        assert_eq!(World::converted(&report), 1, "{code}: {report:#?}");
        assert_eq!(items(&world.to, &["INBOX"]).len(), 12, "{code}");
        world.equal(&["INBOX"], &["INBOX"]);
        let again = world.run().await;
        assert_eq!(again.total().copied, 0);
        assert_eq!(items(&world.to, &["INBOX"]).len(), 12, "{code}");
    }
}

/// A contact as MIME would be a mail with an attachment: it fails, and is told. So is a note.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_mail_never_becomes_one() {
    for (from, to, class) in PLACES {
        let world = World::new().await;
        put(&world.from, &[from], class, 4);
        let refuse = Action::ErrorAt(1, "ErrorItemCorrupt".to_owned());
        world.from.faults().arm("ExportItems", 1, refuse);
        let report = world.migration().run().await.unwrap();
        let total = report.total();
        assert_eq!((total.copied, total.failed), (3, 1), "{report:#?}");
        assert_eq!(report.failures[0].code, "ews/no-mail");
        assert_eq!(items(&world.to, &[to]).len(), 3);
        // It is not given up for good.
        world.run().await;
        world.equal(&[from], &[to]);
    }
}

/// An export that is never finished is one that there is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_finishes_no_export_gives_mime() {
    let world = World::new().await;
    fill(&world.from, 3);
    world
        .from
        .faults()
        .arm_from("ExportItems", 1, Action::TruncateExport);
    let report = world.run().await;
    assert_eq!(World::converted(&report), 3);
    world.equal(&["INBOX"], &["INBOX"]);
}

/// A server that knows no exports at all, whatever its version says.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_exports_gives_mime() {
    let world = World::new().await;
    fill(&world.from, 5);
    world
        .from
        .faults()
        .arm_from("ExportItems", 1, Action::BareFault);
    let report = world.run().await;
    assert_eq!(World::converted(&report), 5);
    world.equal(&["INBOX"], &["INBOX"]);
}

/// An export that the server did not finish is no export; the next one may be.
#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_export_is_asked_for_again() {
    let world = World::new().await;
    fill(&world.from, 6);
    world
        .from
        .faults()
        .arm("ExportItems", 1, Action::TruncateExport);
    let report = world.run().await;
    assert_eq!(World::converted(&report), 0);
    assert!(world.from.counters().exported > 6);
    world.equal(&["INBOX"], &["INBOX"]);
}

/// What was uploaded carries no note of ours until we write one, and may carry one of an earlier migration
/// that made the source what it is.
#[tokio::test(flavor = "multi_thread")]
async fn doubt_about_uploads_is_settled_by_what_came_in() {
    for action in [
        Action::CloseUnanswered,
        Action::StatusAfter(503),
        Action::CloseInReply(200),
        Action::Close,
        Action::StopBatch(5),
        Action::LandAfter(Duration::from_secs(40)),
    ] {
        for operation in ["UploadItems", "UpdateItem"] {
            let mut world = World::new().await;
            let first = World {
                to: std::mem::replace(&mut world.from, exchange(Language::German, "x").await),
                from: exchange(Language::German, "eve").await,
                ..World::new().await
            };
            // The source is filled by a migration.
            fill(&first.from, 40);
            put(&first.from, &["Kalender"], "IPM.Appointment", 3);
            first.run().await;
            world.from = first.to;
            world.to.faults().arm(operation, 1, action.clone());
            world.run().await;
            assert_eq!(world.to.faults().struck(), 1, "{operation} {action:?}");
            world.equal(&["INBOX"], &["INBOX"]);
            world.equal(&["Kalender"], &["Calendar"]);
            assert_eq!(
                items(&world.to, &["INBOX"]).len(),
                40,
                "{operation} {action:?}"
            );
            world.run().await;
            assert_eq!(
                items(&world.to, &["INBOX"]).len(),
                40,
                "{operation} {action:?}"
            );
        }
    }
}

/// Two items that nothing tells apart but their contents, of which one may have landed: nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_look_alike_neither_is_lost() {
    for stop in 1..4 {
        let world = World::new().await;
        let account = account(&world.from);
        let inbox = account.folder(&["INBOX"]).unwrap().id;
        let alike = (0..4).map(|number| {
            let text = letter(1).replace("This is letter 1.", &format!("Version {number}."));
            NewMessage::new(text).with_date(InternalDate::utc(1_600_000_000))
        });
        account.append(inbox, alike.collect()).unwrap();
        // The first ones land, and nobody hears of it.
        world
            .to
            .faults()
            .arm("UploadItems", 1, Action::StopBatch(stop));
        world
            .to
            .faults()
            .arm("UploadItems", 2, Action::CloseUnanswered);
        world.migration().run().await.unwrap();
        let mut versions: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        let there = self::account(&world.to);
        let inbox = there.folder(&["INBOX"]).unwrap().id;
        for message in there.messages(inbox).unwrap() {
            *versions.entry(message.body.to_vec()).or_default() += 1;
        }
        assert_eq!(versions.len(), 4, "{stop}: {versions:?}");
    }
}

/// Items without a name, which cannot be told from others: an extra copy beats a missing one, and is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_name_is_sent_again_and_told() {
    let world = World::new().await;
    let account = account(&world.from);
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    let nameless =
        (0..3).map(|number| NewMessage::new(format!("X-Own: 1\r\n\r\nNote {number}.\r\n")));
    account.append(inbox, nameless.collect()).unwrap();
    world
        .to
        .faults()
        .arm("UploadItems", 1, Action::CloseUnanswered);
    let report = world.migration().run().await.unwrap();
    let there = self::account(&world.to);
    let inbox = there.folder(&["INBOX"]).unwrap().id;
    let bodies: Vec<_> = there
        .messages(inbox)
        .unwrap()
        .iter()
        .map(|one| one.body.clone())
        .collect();
    let kinds: std::collections::BTreeSet<_> = bodies.iter().collect();
    assert_eq!(kinds.len(), 3);
    let total = report.total();
    let told = total.perhaps_doubled + total.doubled;
    assert!(
        bodies.len() == 3 || told > 0,
        "{} copies, {total:?}",
        bodies.len()
    );
    assert!(report.status() == Status::Complete || told > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_state_finds_its_own_uploads_again() {
    let mut world = World::new().await;
    fill(&world.from, 30);
    put(&world.from, &["Aufgaben"], "IPM.Task", 5);
    for _ in 0..2 {
        world.run().await;
        world.equal(&["INBOX"], &["INBOX"]);
        world.equal(&["Aufgaben"], &["Tasks"]);
        world.store = MemoryStore::new();
    }
}
