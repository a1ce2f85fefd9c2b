//! Between EWS and Microsoft 365 as Exchange's own exports, which has to be asked for.

use std::{sync::Arc, time::Duration};

use mailmove_core::{
    Destination, Edges, Migration, Options, Source,
    edge::{Credential, Secret, StaticCredential},
    report::Status,
    store::MemoryStore,
};
use mailmove_ews::{EwsConfig, EwsDestination, EwsSource};
use mailmove_ews_testserver::{Action as OfExchange, Server as Exchange};
use mailmove_graph::{GraphConfig, GraphDestination, GraphSource};
use mailmove_graph_testserver::{Action as OfGraph, Server as Graph};
use mailmove_testkit::{
    clock::TestClock,
    mailbox::{Account, InternalDate, Message, NewMessage, Store},
};

use crate::support::{PASSWORD, Run, USER, World, run};

/// Either of the two.
enum Site {
    Ews(Exchange),
    Graph(Graph),
}

impl Site {
    async fn ews(world: &World) -> Self {
        let builder = Exchange::builder(Store::new()).user("ann", PASSWORD);
        // Which class an item is of shows in shapes that tests choose.
        let builder = builder.rebuilds_mime().without_shape_gate();
        let server = builder.start().await.unwrap();
        trust(world, server.ca_pem());
        Self::Ews(server)
    }

    async fn graph(world: &World) -> Self {
        let builder = Graph::builder(Store::new()).user("ann");
        let builder = builder
            .client("app", PASSWORD)
            .app_token("token")
            .rebuilds_mime();
        let server = builder.start().await.unwrap();
        trust(world, server.ca_pem());
        Self::Graph(server)
    }

    fn url(&self) -> String {
        match self {
            Self::Ews(server) => {
                format!("ews://{USER}@127.0.0.1:{}/owa", server.tls_address().port())
            }
            Self::Graph(server) => {
                let port = server.tls_address().port();
                let tenant = server.tenant();
                format!("graph://{tenant}/{USER}?client=app&at=127.0.0.1:{port}")
            }
        }
    }

    fn account(&self) -> Account {
        let store = match self {
            Self::Ews(server) => server.store(),
            Self::Graph(server) => server.store(),
        };
        store.account("ann").unwrap()
    }

    fn set_class(&self, path: &[&str], uid: u32, class: &str) {
        assert!(match self {
            Self::Ews(server) => server.set_item_class("ann", path, uid, class),
            Self::Graph(server) => server.set_item_class("ann", path, uid, class),
        });
    }

    fn class(&self, path: &[&str], uid: u32) -> String {
        let class = match self {
            Self::Ews(server) => server.item_class("ann", path, uid),
            Self::Graph(server) => server.item_class("ann", path, uid),
        };
        class.unwrap()
    }

    fn source(&self, edges: &Edges) -> Arc<dyn Source> {
        match self {
            Self::Ews(server) => Arc::new(EwsSource::new(ews(server), password(), edges.clone())),
            Self::Graph(server) => {
                Arc::new(GraphSource::new(graph(server), token(), edges.clone()))
            }
        }
    }

    fn destination(&self, edges: &Edges) -> Arc<dyn Destination> {
        match self {
            Self::Ews(server) => {
                Arc::new(EwsDestination::new(ews(server), password(), edges.clone()))
            }
            Self::Graph(server) => {
                Arc::new(GraphDestination::new(graph(server), token(), edges.clone()))
            }
        }
    }

    /// The `nth` request that stores something is carried out, and nobody hears of it.
    fn loses_an_answer(&self, nth: u64) {
        match self {
            Self::Ews(server) => {
                let lost = OfExchange::CloseUnanswered;
                server.faults().arm("UploadItems", nth, lost);
            }
            Self::Graph(server) => {
                let lost = OfGraph::CloseUnanswered;
                server.faults().arm("ImportItem", nth, lost);
            }
        }
    }

    fn exported(&self) -> u64 {
        match self {
            Self::Ews(server) => server.counters().exported,
            Self::Graph(server) => server.counters().exported,
        }
    }

    /// Puts items of a class into a folder.
    fn put(&self, path: &[&str], class: &str, count: usize) {
        let account = self.account();
        let folder = account.folder(path).unwrap().id;
        for number in 0..count {
            let text = format!(
                "Message-ID: <{class}{number}@example.com>\r\nFrom: a@example.com\r\nSubject: {class} {number}\r\n\r\n\
                 What it is about: {number}.\r\n"
            );
            let date = InternalDate::utc(1_600_000_000 + i64::try_from(number).unwrap());
            let item = NewMessage::new(text)
                .with_flags(["\\Seen", "Work"])
                .with_date(date);
            account.append(folder, vec![item]).unwrap();
            let uid = *account.uids(folder).unwrap().last().unwrap();
            self.set_class(path, uid, class);
        }
    }

    /// What there is in a folder: class, text, flags and date of each item.
    fn items(&self, path: &[&str]) -> Vec<(String, String, String, i64)> {
        let account = self.account();
        let folder = account.folder(path).unwrap().id;
        let messages = account.messages(folder).unwrap();
        let one = |message: &Message| {
            let flags = message.flags.iter().filter(|flag| *flag != "\\Recent");
            (
                self.class(path, message.uid),
                String::from_utf8_lossy(&message.body).into_owned(),
                flags.collect::<Vec<_>>().join(" "),
                message.date.unix,
            )
        };
        let mut all: Vec<_> = messages.iter().map(one).collect();
        all.sort();
        all
    }
}

fn ews(server: &Exchange) -> EwsConfig {
    EwsConfig::at(&server.url()).unwrap().with_user(USER)
}

fn password() -> Arc<StaticCredential> {
    Arc::new(StaticCredential::new(Credential::password("ann", PASSWORD)))
}

fn graph(server: &Graph) -> GraphConfig {
    let config = GraphConfig::new(server.tenant(), USER).with_base(&server.url());
    config.unwrap().with_upload_host("127.0.0.1")
}

fn token() -> Arc<StaticCredential> {
    let (user, token) = (USER.to_owned(), Secret::new("token"));
    Arc::new(StaticCredential::new(Credential::BearerToken {
        user,
        token,
    }))
}

fn clock() -> TestClock {
    TestClock::jumping(Duration::from_secs(1_700_000_000))
}

/// Trusted beside the others.
fn trust(world: &World, ca_pem: &str) {
    let path = world.directory.path().join("ca.pem");
    let all = std::fs::read_to_string(&path).unwrap() + ca_pem;
    std::fs::write(path, all).unwrap();
}

const PLACES: [(&str, &str); 6] = [
    ("INBOX", "IPM.Note"),
    ("Calendar", "IPM.Appointment"),
    ("Contacts", "IPM.Contact"),
    ("Tasks", "IPM.Task"),
    ("Notes", "IPM.StickyNote"),
    ("Journal", "IPM.Activity"),
];
/// Items in each.
const EACH: usize = 4;

struct Pair {
    world: World,
    from: Site,
    to: Site,
}

impl Pair {
    async fn new(towards_graph: bool) -> Self {
        let world = World::new().await;
        let (ews, graph) = (Site::ews(&world).await, Site::graph(&world).await);
        let (from, to) = match towards_graph {
            true => (ews, graph),
            false => (graph, ews),
        };
        for (path, class) in PLACES {
            from.put(&[path], class, EACH);
        }
        Self { world, from, to }
    }

    /// A run by a clock that waits for nothing.
    async fn goes_on(&self, store: &MemoryStore, clock: &TestClock) {
        let edges = Edges::new().with_clock(Arc::new(clock.clone()));
        let mut options = Options::new();
        options.streams_across = true;
        let (source, destination) = (self.from.source(&edges), self.to.destination(&edges));
        let migration = Migration::builder(source, destination).store(store.clone());
        let migration = migration.options(options).edges(edges).build().unwrap();
        let report = migration.run().await.unwrap();
        assert_eq!(report.status(), Status::Complete, "{report:#?}");
    }

    fn is_equal(&self) {
        for (path, _) in PLACES {
            assert_eq!(self.to.items(&[path]), self.from.items(&[path]), "{path}");
        }
    }

    async fn run(&self, command: &str, more: &[&str]) -> Run {
        let (from, to) = (self.from.url(), self.to.url());
        let done = run(self.world.between(command, &from, &to, more)).await;
        done.succeeds();
        done
    }
}

async fn everything_goes_as_exports(towards_graph: bool) {
    let pair = Pair::new(towards_graph).await;
    let first = pair.run("migrate", &["--as-exports"]).await;
    let all = PLACES.len() * EACH;
    let whole = format!("complete: every message accounted for ({all} found, {all} copied");
    assert!(first.stdout.contains(&whole), "{first:#?}");
    pair.is_equal();
    assert_eq!(pair.from.exported(), all as u64);
    let second = pair.run("migrate", &["--as-exports"]).await;
    assert!(
        second.stdout.contains("complete: nothing new"),
        "{second:#?}"
    );
    pair.run("verify", &["--as-exports", "--full"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_exchange_to_microsoft_365() {
    everything_goes_as_exports(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_microsoft_365_to_exchange() {
    everything_goes_as_exports(false).await;
}

/// Either side tells an item apart by the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_doubt_is_found_by_the_other_interface() {
    for towards_graph in [true, false] {
        for nth in [1, 3, 5] {
            let pair = Pair::new(towards_graph).await;
            let (store, clock) = (MemoryStore::new(), clock());
            pair.to.loses_an_answer(nth);
            for _ in 0..2 {
                pair.goes_on(&store, &clock).await;
                pair.is_equal();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_state_finds_what_came_by_the_other_interface() {
    for towards_graph in [true, false] {
        let pair = Pair::new(towards_graph).await;
        let clock = clock();
        for _ in 0..2 {
            pair.goes_on(&MemoryStore::new(), &clock).await;
            pair.is_equal();
        }
    }
}

/// Nobody promises that one takes what the other gave out: unasked, mail goes as MIME, and the rest is told.
#[tokio::test(flavor = "multi_thread")]
async fn unasked_nothing_is_exported() {
    for towards_graph in [true, false] {
        let pair = Pair::new(towards_graph).await;
        let first = pair.run("migrate", &[]).await;
        assert_eq!(pair.from.exported(), 0);
        assert_eq!(pair.to.items(&["INBOX"]).len(), EACH);
        assert!(pair.to.items(&["Calendar"]).is_empty());
        assert!(
            first.stdout.contains("made for events"),
            "not told: {first:#?}"
        );
        pair.run("verify", &["--full"]).await;
    }
}
