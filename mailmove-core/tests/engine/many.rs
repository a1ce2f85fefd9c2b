//! Many mailboxes in one process, which share memory: each of them goes on.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use mailmove_core::{
    Edges, Event, Migration, Observer,
    checkpoint::ItemState,
    edge::{MemoryBudget, Spool},
    report::Status,
    store::MemoryStore,
};
use mailmove_testkit::{mailbox::Store, memory::MemoryMailbox, snapshot::Snapshot};

use crate::world::{add, mail};

const MAILBOXES: usize = 50;
const MESSAGES: u64 = 90;

/// How many messages each of them has copied.
#[derive(Clone, Debug, Default)]
struct Copied(Arc<AtomicU64>);

impl Observer for Copied {
    fn on(&self, event: &Event) {
        if let Event::Progress {
            state: ItemState::Copied,
            messages,
            ..
        } = event
        {
            self.0.fetch_add(*messages, Relaxed);
        }
    }
}

/// On one thread, so that each run is the same.
#[tokio::test]
async fn fifty_at_once_share_memory_and_none_starves() {
    // More than they need, so that no file is written: that would take another thread.
    let budget = MemoryBudget::new(1 << 20);
    let edges = Edges::new().with_spool(Spool::new(std::env::temp_dir(), budget.clone()));
    let store = MemoryStore::new();
    let progress: Vec<Copied> = (0..MAILBOXES).map(|_| Copied::default()).collect();
    let at_first_end = Arc::new(Mutex::new(None));
    let mut tasks = Vec::new();
    let mut sides = Vec::new();
    for (number, copied) in progress.iter().enumerate() {
        let side = |user: &str| {
            let account = Store::new().add_account(&format!("{user}{number}"));
            // Contents of listings would be held by the mailbox itself, whatever the budget.
            let mailbox = MemoryMailbox::new(account).with_edges(edges.clone());
            mailbox.with_inline(None).with_page(10)
        };
        let (source, destination) = (side("ann"), side("bob"));
        for n in 0..MESSAGES {
            let folder = format!("Folder {}", n % 3);
            add(
                source.account(),
                &[folder],
                mail(&format!("{number}-{n}"), 9),
            );
        }
        let migration = Migration::builder(source.clone(), destination.clone())
            .store(store.clone())
            .edges(edges.clone())
            .observer(copied.clone())
            .build()
            .unwrap();
        sides.push((source, destination));
        let (at_first_end, progress) = (Arc::clone(&at_first_end), progress.clone());
        tasks.push(tokio::spawn(async move {
            let report = migration.run().await.unwrap();
            assert_eq!(report.status(), Status::Complete, "{report:#?}");
            let now = || progress.iter().map(|one| one.0.load(Relaxed)).collect();
            at_first_end.lock().unwrap().get_or_insert_with(now);
            report.total().copied
        }));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), MESSAGES);
    }
    for (source, destination) in &sides {
        let (left, arrived) = (
            Snapshot::of(source.account()),
            Snapshot::of(destination.account()),
        );
        left.diff(&arrived).none().unwrap();
    }
    let shares: Vec<u64> = at_first_end.lock().unwrap().take().unwrap();
    let least = shares.iter().min().unwrap();
    assert!(
        *least * 3 >= MESSAGES,
        "when the first was done: {shares:?}"
    );
    assert!(budget.peak() <= budget.limit() && budget.used() == 0);
    assert!(budget.peak() > 0, "nothing was held in memory");
}
