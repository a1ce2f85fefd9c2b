//! From Microsoft 365 to Microsoft 365: everything of every class, as Exchange's own exports.

use std::{sync::Arc, time::Duration};

use mailmove_core::{
    Edges, Migration,
    destination::Depth,
    edge::{Credential, Secret, StaticCredential},
    error::Scope,
    model::{AlterationKind, FolderPath, FolderSpec, ItemClass},
    report::{FolderReport, Report, Status},
    store::MemoryStore,
};
use mailmove_graph::{GraphConfig, GraphDestination, GraphSource};
use mailmove_graph_testserver::{Action, Builder, Language, Server};
use mailmove_testkit::{
    clock::TestClock,
    mailbox::{Account, FlagOp, Message, NewMessage, Store},
};
use mailmove_testkit_exchange::letters;

use crate::support::letter;

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

impl Site {
    async fn new(
        language: Language,
        user: &'static str,
        change: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let builder = Server::builder(Store::new())
            .user(user)
            .app_token("token")
            .language(language);
        let server = change(builder).start().await.unwrap();
        Self { server, user }
    }

    fn account(&self) -> Account {
        self.store().account(self.user).unwrap()
    }

    fn config(&self) -> GraphConfig {
        GraphConfig::new(self.tenant(), format!("{}@example.com", self.user))
            .with_base(&self.url())
            .unwrap()
            .with_upload_host("127.0.0.1")
            .with_timeout(Duration::from_secs(20))
    }

    /// Puts items of a class into a folder.
    fn put(&self, path: &[&str], class: &str, count: usize) {
        let set = |uid, class: &str| self.set_item_class(self.user, path, uid, class);
        letters::put(&self.account(), path, class, count, set);
    }

    fn fill(&self, count: usize) {
        let inbox = self.account().folder(&["INBOX"]).unwrap().id;
        let all = (0..count).map(|number| NewMessage::new(letter(number)));
        self.account().append(inbox, all.collect()).unwrap();
    }

    /// What there is in a folder: class, text, flags and date of each item.
    fn items(&self, path: &[&str]) -> Vec<(String, String, String, i64)> {
        let account = self.account();
        let folder = account.folder(path).unwrap().id;
        let one = |message: &Message| {
            let flags = message.flags.iter().filter(|flag| *flag != "\\Recent");
            (
                self.item_class(self.user, path, message.uid).unwrap(),
                String::from_utf8_lossy(&message.body).into_owned(),
                flags.collect::<Vec<_>>().join(" "),
                message.date.unix,
            )
        };
        let mut all: Vec<_> = account.messages(folder).unwrap().iter().map(one).collect();
        all.sort();
        all
    }

    /// Somebody changes the text of an item, and the server takes note of it.
    fn rewrite(&self, path: &[&str], number: usize, text: &str) {
        let account = self.account();
        let folder = account.folder(path).unwrap().id;
        let uid = account.uids(folder).unwrap()[number];
        account.damage(folder, uid, text.to_owned(), None).unwrap();
        for op in [FlagOp::Remove, FlagOp::Add] {
            account.store(folder, &[uid], op, &["Work"], None).unwrap();
        }
    }
}

fn login() -> Arc<StaticCredential> {
    let (user, token) = ("app".to_owned(), Secret::new("token"));
    let credential = Credential::BearerToken { user, token };
    Arc::new(StaticCredential::new(credential))
}

struct World {
    from: Site,
    to: Site,
    store: MemoryStore,
    clock: TestClock,
}

impl World {
    async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    async fn with(change: impl Fn(Builder) -> Builder) -> Self {
        Self {
            from: Site::new(Language::German, "ann", &change).await,
            to: Site::new(Language::English, "bob", &change).await,
            store: MemoryStore::new(),
            clock: TestClock::jumping(Duration::from_secs(1_700_000_000)),
        }
    }

    fn migration(&self) -> Migration {
        let edges = || Edges::new().with_clock(Arc::new(self.clock.clone()));
        let source = GraphSource::new(self.from.config(), login(), edges());
        let destination = GraphDestination::new(self.to.config(), login(), edges());
        Migration::builder(source, destination)
            .store(self.store.clone())
            .edges(edges())
            .build()
            .unwrap()
    }

    async fn run(&self) -> Report {
        let report = self.migration().run().await.unwrap();
        assert_eq!(report.status(), Status::Complete, "{report:#?}");
        report
    }

    fn equal(&self, from: &[&str], to: &[&str]) {
        assert_eq!(self.to.items(to), self.from.items(from), "{to:?}");
    }

    async fn is_verified(&self) {
        let verified = self.migration().verify(Depth::Content).await.unwrap();
        assert!(verified.is_clean(), "{:#?}", verified.differences);
    }
}

const PLACES: [(&str, &str, &str); 5] = [
    ("Kalender", "Calendar", "IPM.Appointment"),
    ("Kontakte", "Contacts", "IPM.Contact"),
    ("Aufgaben", "Tasks", "IPM.Task"),
    ("Notizen", "Notes", "IPM.StickyNote"),
    ("Journal", "Journal", "IPM.Activity"),
];

/// A calendar of the user's own at the source, below the one that everybody has.
fn holidays(world: &World) {
    let path = ["Kalender", "Urlaub"];
    world.from.account().create(&path).unwrap();
    world
        .from
        .set_folder_class("ann", &path, Some("IPF.Appointment"));
    world.from.put(&path, "IPM.Appointment", 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_class_arrives_in_the_folder_that_it_belongs_to() {
    for world in [
        World::new().await,
        World::with(|builder| builder.rebuilds_mime().replays().max_page(3)).await,
    ] {
        world.from.fill(20);
        for (path, _, class) in PLACES {
            world.from.put(&[path], class, 7);
        }
        holidays(&world);
        // One of a kind that is not the folder's.
        world.from.put(&["Kalender"], "IPM.Note", 1);
        world.run().await;
        world.equal(&["INBOX"], &["INBOX"]);
        for (from, to, _) in PLACES {
            world.equal(&[from], &[to]);
        }
        world.equal(&["Kalender", "Urlaub"], &["Calendar", "Urlaub"]);
        assert_eq!(world.from.counters().exported, 20 + 35 + 3 + 1);
        assert_eq!(world.to.counters().operation("CreateMailboxFolder"), 1);
        assert_eq!(world.to.counters().operation("CreateMessage"), 0);
        let created = world.to.counters().created;
        let again = world.run().await;
        assert_eq!(again.total().copied, 0);
        assert_eq!(world.to.counters().created, created);
        world.is_verified().await;
    }
}

/// An import whose answer is lost is found again, or sent again if it is not there.
#[tokio::test(flavor = "multi_thread")]
async fn doubt_about_items_is_settled_by_what_came_in() {
    for action in [
        Action::CloseUnanswered,
        Action::StatusAfter(504),
        Action::CloseInReply(90),
        Action::Close,
        Action::LandAfter(Duration::from_secs(40)),
    ] {
        for nth in [1, 3] {
            let world = World::new().await;
            world.from.put(&["Kalender"], "IPM.Appointment", 5);
            // Two of them are the same.
            world.from.put(&["Kalender"], "IPM.Appointment", 2);
            world.to.faults().arm("ImportItem", nth, action.clone());
            world.run().await;
            assert_eq!(world.to.faults().struck(), 1, "{action:?}");
            world.equal(&["Kalender"], &["Calendar"]);
            let again = world.run().await;
            assert_eq!(again.total().copied, 0, "{action:?}");
            world.equal(&["Kalender"], &["Calendar"]);
            world.is_verified().await;
        }
    }
}

/// What stands for the state: nothing but what is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_state_finds_its_own_items_again() {
    let mut world = World::new().await;
    for (path, _, class) in PLACES {
        world.from.put(&[path], class, 4);
    }
    for _ in 0..2 {
        world.run().await;
        for (from, to, _) in PLACES {
            world.equal(&[from], &[to]);
        }
        world.store = MemoryStore::new();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_at_the_source_is_replaced() {
    let world = World::new().await;
    for (path, _, class) in PLACES {
        world.from.put(&[path], class, 5);
    }
    world.run().await;
    for (path, _, class) in PLACES {
        let text = format!("Subject: {class} 2\r\n\r\nIt is put off.\r\n");
        world.from.rewrite(&[path], 2, &text);
        // With another name, it is to be told from what it was.
        let text = format!("Subject: other {class}\r\n\r\nWhat it is about: 3.\r\n");
        world.from.rewrite(&[path], 3, &text);
    }
    let total = world.run().await.total();
    assert_eq!((total.copied, total.replaced, total.doubled), (10, 10, 0));
    for (from, to, _) in PLACES {
        world.equal(&[from], &[to]);
    }
    assert_eq!(world.to.counters().operation("DeleteMailboxItem"), 10);
    let again = world.run().await.total();
    assert_eq!((again.copied, again.replaced), (0, 0));
    world.is_verified().await;
}

/// Without leave to remove, what was replaced stays beside the new one, and is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_removed_is_told() {
    let world = World::new().await;
    world.from.put(&["Kalender"], "IPM.Appointment", 3);
    world.run().await;
    world
        .from
        .rewrite(&["Kalender"], 1, "Subject: later\r\n\r\nNew.\r\n");
    world
        .to
        .faults()
        .arm_from("DeleteMailboxItem", 1, Action::Status(403));
    let report = world.migration().run().await.unwrap();
    let total = report.total();
    assert_eq!((total.copied, total.replaced, total.doubled), (1, 0, 1));
    assert_eq!(world.to.items(&["Calendar"]).len(), 4);
    // It is not tried for ever.
    world.migration().run().await.unwrap();
    assert_eq!(world.to.counters().operation("DeleteMailboxItem"), 1);
}

/// No leave to make folders: that costs the folder, and tells what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_is_missing_costs_its_folders_alone() {
    for code in ["ErrorAccessDenied", "Authorization_RequestDenied"] {
        let world = World::new().await;
        world.from.fill(5);
        world.from.put(&["Kalender"], "IPM.Appointment", 4);
        holidays(&world);
        world.to.faults().arm_from(
            "CreateMailboxFolder",
            1,
            Action::Error(403, code.to_owned()),
        );
        let report = world.migration().run().await.unwrap();
        assert_ne!(report.status(), Status::Complete);
        world.equal(&["INBOX"], &["INBOX"]);
        world.equal(&["Kalender"], &["Calendar"]);
        let holidays = report
            .folders
            .iter()
            .find(|folder| folder.source.last() == Some("Urlaub"));
        let problem = holidays.unwrap().problem.clone().unwrap();
        assert_eq!(problem.code, "graph/no-folders", "{problem:?}");
        let remedy = problem.remedy.unwrap_or_default();
        assert!(remedy.contains("MailboxFolder.ReadWrite"), "{remedy}");
        // With it the rest follows.
        world.to.faults().clear();
        world.run().await;
        world.equal(&["Kalender", "Urlaub"], &["Calendar", "Urlaub"]);
    }
}

/// No leave to see such folders: they fail, each with what to do, and mail goes.
#[tokio::test(flavor = "multi_thread")]
async fn where_folders_may_not_be_seen_mail_goes() {
    let world = World::new().await;
    world.from.fill(5);
    world.from.put(&["Kalender"], "IPM.Appointment", 4);
    let listing = "ListMailboxFolders";
    world.to.faults().arm_from(listing, 1, Action::Status(403));
    let report = world.migration().run().await.unwrap();
    world.equal(&["INBOX"], &["INBOX"]);
    let failed = report.folders.iter().filter_map(|one| one.problem.as_ref());
    let codes: Vec<&str> = failed.map(|problem| problem.code.as_str()).collect();
    assert_eq!(codes, ["graph/no-folders"; 5], "{report:#?}");
    world.to.faults().clear();
    world.run().await;
    world.equal(&["Kalender"], &["Calendar"]);
}

/// No leave to import: mail goes, the rest is told.
#[tokio::test(flavor = "multi_thread")]
async fn without_imports_mail_goes_and_the_rest_is_told() {
    let world = World::with(|builder| builder.without("CreateImportSession")).await;
    world.from.fill(5);
    world.from.put(&["Kalender"], "IPM.Appointment", 4);
    let report = world.run().await;
    assert_eq!(world.to.items(&["INBOX"]).len(), 5);
    let calendar = report
        .folders
        .iter()
        .find(|folder| folder.source.last() == Some("Kalender"));
    let calendar = calendar.unwrap();
    assert_eq!((calendar.tally.found, calendar.tally.excluded), (4, 4));
}

/// One that cannot be exported, and one whose export is not taken, cost the rest nothing.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_refused_costs_itself_alone() {
    for of_source in [true, false] {
        let world = World::new().await;
        world.from.put(&["Kontakte"], "IPM.Contact", 5);
        let code = "ErrorCorruptData".to_owned();
        match of_source {
            true => world
                .from
                .faults()
                .arm("ExportItems", 1, Action::ErrorAt(1, code)),
            false => world
                .to
                .faults()
                .arm("ImportItem", 2, Action::Error(400, code)),
        }
        let report = world.migration().run().await.unwrap();
        let total = report.total();
        assert_eq!((total.copied, total.failed), (4, 1), "{report:#?}");
        assert_eq!(world.to.items(&["Contacts"]).len(), 4);
        // It is not given up for good.
        world.run().await;
        world.equal(&["Kontakte"], &["Contacts"]);
    }
}

/// Nothing moves an item but mail: it is copied to its new place, and told that it is in the old one still.
#[tokio::test(flavor = "multi_thread")]
async fn what_moved_at_the_source_is_copied_and_told() {
    let world = World::new().await;
    world.from.put(&["Kalender"], "IPM.Appointment", 4);
    holidays(&world);
    world.run().await;
    let account = world.from.account();
    let from = account.folder(&["Kalender"]).unwrap().id;
    let to = account.folder(&["Kalender", "Urlaub"]).unwrap().id;
    let uid = account.uids(from).unwrap()[3];
    account.move_messages(from, &[uid], to).unwrap();
    let uid = *account.uids(to).unwrap().last().unwrap();
    let path = ["Kalender", "Urlaub"];
    assert!(
        world
            .from
            .set_item_class("ann", &path, uid, "IPM.Appointment")
    );
    let report = world.run().await;
    let kept = |folder: &FolderReport| {
        let all = folder.altered.get(&AlterationKind::OldPlaceKept);
        all.copied().unwrap_or_default()
    };
    assert_eq!(report.folders.iter().map(kept).sum::<u64>(), 1);
    assert_eq!(report.total().copied, 1);
    world.equal(&["Kalender", "Urlaub"], &["Calendar", "Urlaub"]);
    assert_eq!(world.to.items(&["Calendar"]).len(), 4);
    assert_eq!(world.run().await.total().copied, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_made_is_of_the_class_that_was_asked_for() {
    use futures_util::StreamExt as _;
    use mailmove_core::Destination as _;
    let world = World::new().await;
    let destination = GraphDestination::new(world.to.config(), login(), Edges::new());
    let spec =
        |path: &str, class| FolderSpec::new(FolderPath::new(path.split('/'))).with_class(class);
    let want = [
        spec("Own/Events", ItemClass::Event),
        spec("People", ItemClass::Contact),
        spec("People/Few", ItemClass::Contact),
        spec("Errands", ItemClass::Task),
        spec("Slips", ItemClass::Note),
        spec("Diary", ItemClass::Journal),
        spec("Own/Mail", ItemClass::Mail),
        // There is one of that name, for something else.
        spec("Calendar", ItemClass::Task),
    ];
    let mut made: Vec<_> = destination.ensure_folders(want.to_vec()).collect().await;
    made.sort_by_key(|(slot, _)| *slot);
    for ((_, made), spec) in made.iter().zip(&want) {
        match made {
            Ok(folder) => {
                assert_eq!((folder.class, &folder.path), (spec.class, &spec.path));
                assert!(folder.mark.is_some());
            }
            Err(error) => {
                assert_eq!(spec.path.last(), Some("Calendar"));
                assert_eq!(error.code(), "graph/other-class");
            }
        }
    }
    assert_eq!(made.iter().filter(|(_, made)| made.is_ok()).count(), 7);
    // Where there is no such interface mail goes on.
    let site = Site::new(Language::English, "eve", |builder| {
        builder.without("ExchangeSettings")
    })
    .await;
    let destination = GraphDestination::new(site.config(), login(), Edges::new());
    let want = vec![
        spec("Dates", ItemClass::Event),
        spec("Own", ItemClass::Mail),
    ];
    let mut made: Vec<_> = destination.ensure_folders(want).collect().await;
    made.sort_by_key(|(slot, _)| *slot);
    let error = made[0].1.as_ref().unwrap_err();
    assert_eq!(
        (error.code(), error.scope()),
        ("graph/no-export", Scope::Folder)
    );
    assert!(made[1].1.is_ok());
}
