//! Many mailboxes in one process that share connections and memory; one folder over many connections.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{sync::Arc, time::Duration};

use mailmove_core::{
    Edges, Migration, Options, Order,
    edge::{ConnectionBudget, Credential, MemoryBudget, Spool, StaticCredential},
    report::Status,
    store::MemoryStore,
};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource, Security};
use mailmove_imap_testserver::{Action, Server};
use mailmove_testkit::{
    corpus::Corpus,
    mailbox::{NewMessage, Store},
    snapshot::Snapshot,
};

const MAILBOXES: usize = 50;
const MESSAGES: usize = 30;
/// For both sides of all of them: as few as they can do with.
const CONNECTIONS: usize = 2 * MAILBOXES;
/// For bodies; the largest of them fill it alone.
const MEMORY: u64 = 256 << 10;

/// The source of a mailbox with ordinary mail, and an empty destination.
fn fill(store: &Store, number: usize) {
    let account = store.add_account(&format!("from-{number}"));
    store.add_account(&format!("to-{number}"));
    let folders = ["Work", "Home", "Lists"].map(|name| account.create(&[name]).unwrap());
    let messages = Corpus::new(number as u64).messages(MESSAGES);
    for (message, folder) in messages.zip(folders.iter().cycle()) {
        account
            .append(*folder, vec![message.to_new_message()])
            .unwrap();
    }
}

fn migration(server: &Server, number: usize, edges: &Edges, store: &MemoryStore) -> Migration {
    let address = server.plain_address();
    let config = |user: &str| {
        ImapConfig::new(address.ip().to_string())
            .with_port(address.port())
            .with_security(Security::Plain)
            .with_user(user)
    };
    let login = |user: &str| {
        let credential = Credential::password(user, "secret");
        Arc::new(StaticCredential::new(credential))
    };
    let (from, to) = (format!("from-{number}"), format!("to-{number}"));
    // Two each is what the budget was made for: with more, sources could take all of it.
    let source = ImapSource::new(
        config(&from).with_connections(1),
        login(&from),
        edges.clone(),
    );
    let destination =
        ImapDestination::new(config(&to).with_connections(1), login(&to), edges.clone());
    Migration::builder(source, destination)
        .store(store.clone())
        .edges(edges.clone())
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_at_once_keep_to_the_budgets_and_all_get_through() {
    let mailboxes = Store::new();
    let mut builder = Server::builder(mailboxes.clone());
    for number in 0..MAILBOXES {
        fill(&mailboxes, number);
        builder = builder.user(&format!("from-{number}"), "secret");
        builder = builder.user(&format!("to-{number}"), "secret");
    }
    let server = builder.start().await.unwrap();
    let budget = MemoryBudget::new(MEMORY);
    let edges = Edges::new()
        .with_spool(Spool::new(std::env::temp_dir(), budget.clone()))
        .with_connections(ConnectionBudget::new(CONNECTIONS, CONNECTIONS));
    let store = MemoryStore::new();
    let mut tasks = Vec::new();
    for number in 0..MAILBOXES {
        let migration = migration(&server, number, &edges, &store);
        tasks.push(tokio::spawn(async move { migration.run().await.unwrap() }));
    }
    for (number, task) in tasks.into_iter().enumerate() {
        let report = task.await.unwrap();
        assert_eq!(report.status(), Status::Complete, "{number}: {report:#?}");
        assert_eq!(report.total().copied, MESSAGES as u64, "{number}");
        let side =
            |name: &str| Snapshot::of(&mailboxes.account(&format!("{name}-{number}")).unwrap());
        side("from").diff(&side("to")).none().unwrap();
    }
    let counters = server.counters();
    let all = (MAILBOXES * MESSAGES) as u64;
    assert_eq!(counters.messages_appended, all);
    // Each destination's first message is read back, and odd ones are; none is fetched twice because
    // somebody else has the memory.
    let read_back = 2 * MAILBOXES as u64;
    assert!(counters.bodies_fetched <= all + read_back, "{counters:#?}");
    assert!(counters.peak <= CONNECTIONS as u64, "{}", counters.peak);
    assert!(budget.peak() > 0 && budget.peak() <= MEMORY);
    assert_eq!(budget.used(), 0, "memory that was not given back");
}

/// Messages of one folder, enough for several batches.
const LARGE: usize = 200;
const EACH: usize = 25 << 10;

/// Copies a large folder; gives the connections that the destination saw, and whether the order was
/// kept.
async fn one_large_folder(order: Order) -> (u64, bool) {
    let (from, to) = (Store::new(), Store::new());
    let account = from.add_account("from-0");
    let folder = account.create(&["Large"]).unwrap();
    for number in 0..LARGE {
        let text = format!("Message-ID: <{number}@example.org>\r\n\r\n");
        let text = text + &"x".repeat(70) + &"\r\n".repeat(EACH / 2);
        account
            .append(folder, vec![NewMessage::new(text.into_bytes())])
            .unwrap();
    }
    let copy = to.add_account("to-0");
    let servers = [
        Server::builder(from)
            .user("from-0", "secret")
            .start()
            .await
            .unwrap(),
        Server::builder(to)
            .user("to-0", "secret")
            .start()
            .await
            .unwrap(),
    ];
    let [source, destination] = &servers;
    // What is fast enough needs no second connection: one append is held until there is one.
    let hold = order == Order::Relaxed;
    if hold {
        destination.faults().arm("APPEND", 2, Action::Hold);
    }
    // Whatever is held, is let go of again and again from then on.
    let second = async {
        let mut patience = 1000;
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            patience -= 1;
            if destination.counters().connections > 1 || patience < 0 {
                destination.faults().release();
            }
        }
    };
    let config = |server: &Server, user: &str| {
        let address = server.plain_address();
        ImapConfig::new(address.ip().to_string())
            .with_port(address.port())
            .with_security(Security::Plain)
            .with_user(user)
            .with_connections(4)
    };
    let login = |user: &str| Arc::new(StaticCredential::new(Credential::password(user, "secret")));
    let mut options = Options::new();
    options.order = order;
    let migration = Migration::builder(
        ImapSource::new(config(source, "from-0"), login("from-0"), Edges::new()),
        ImapDestination::new(config(destination, "to-0"), login("to-0"), Edges::new()),
    )
    .store(MemoryStore::new())
    .options(options)
    .build()
    .unwrap();
    let run = async { migration.run().await.unwrap() };
    let report = tokio::select! {
        report = run => report,
        () = second, if hold => unreachable!("it does not end"),
    };
    assert_eq!(report.status(), Status::Complete, "{report:#?}");
    let (all, found) = (Snapshot::of(&account), Snapshot::of(&copy));
    all.diff(&found).none().unwrap();
    let order = |account: &mailmove_testkit::mailbox::Account| -> Vec<Vec<u8>> {
        let folder = account.folder(&["Large"]).unwrap();
        let messages = account.messages(folder.id).unwrap().into_iter();
        messages
            .map(|message| message.body.get(..40).unwrap().to_vec())
            .collect()
    };
    let kept = order(&account) == order(&copy);
    (destination.counters().connections, kept)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_folder_goes_over_many_connections_where_its_order_may_change() {
    assert_eq!(one_large_folder(Order::Kept).await, (1, true));
    let (connections, _) = one_large_folder(Order::Relaxed).await;
    assert!((2..=4).contains(&connections), "{connections}");
}
