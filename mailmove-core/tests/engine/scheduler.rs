//! What runs at once: lanes, connections, memory. Random orders of events against a model.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};

use async_trait::async_trait;
use futures_util::Stream;
use mailmove_core::{
    Migration, Result, Source,
    edge::{ConnectionBudget, ConnectionPermit, MemoryBudget, MemoryPermit},
    model::{Capabilities, Endpoint, Folder, FolderId, MessageId, Rights},
    report::Status,
    source::{BoxStream, FetchRequest, Fetched, ListRequest, Page},
};
use mailmove_testkit::memory::MemoryMailbox;
use proptest::{collection::vec, prelude::*, test_runner::RngSeed};

use crate::world::{World, add, mail};

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(4),
        ..ProptestConfig::default()
    }
}

// ---- lanes ---------------------------------------------------------------------------------------

/// How many are at it now, and how many were at most.
#[derive(Debug, Default)]
struct Gauge(AtomicUsize, AtomicUsize);

#[derive(Debug)]
struct Inside(Arc<Gauge>);

impl Gauge {
    fn enter(self: &Arc<Self>) -> Inside {
        let now = self.0.fetch_add(1, SeqCst) + 1;
        self.1.fetch_max(now, SeqCst);
        Inside(Arc::clone(self))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, SeqCst);
    }
}

/// A source whose listings are counted while they are open: each lane has one.
#[derive(Clone, Debug)]
struct Watched {
    inner: MemoryMailbox,
    gauge: Arc<Gauge>,
}

struct Open<T> {
    stream: BoxStream<T>,
    _inside: Inside,
}

impl<T> Stream for Open<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.stream.as_mut().poll_next(context)
    }
}

#[async_trait]
impl Source for Watched {
    fn endpoint(&self) -> Endpoint {
        Source::endpoint(&self.inner)
    }

    async fn capabilities(&self) -> Result<Capabilities> {
        Source::capabilities(&self.inner).await
    }

    async fn folders(&self) -> Result<Vec<Folder>> {
        Source::folders(&self.inner).await
    }

    fn list(&self, request: ListRequest) -> BoxStream<Result<Page>> {
        Box::pin(Open {
            stream: self.inner.list(request),
            _inside: self.gauge.enter(),
        })
    }

    fn fetch(&self, request: FetchRequest) -> BoxStream<(MessageId, Fetched)> {
        self.inner.fetch(request)
    }

    async fn rights(&self, folders: &[FolderId]) -> Result<Vec<Rights>> {
        Source::rights(&self.inner, folders).await
    }

    fn describe(&self, id: &MessageId) -> String {
        Source::describe(&self.inner, id)
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn no_more_lanes_run_than_may_and_all_of_them_end(
        sizes in vec(0..12_usize, 1..9),
        concurrency in 1..5_usize,
        connections in 2..7_usize,
    ) {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        let most = runtime.block_on(async {
            let mut world = World::new();
            for (number, size) in sizes.iter().enumerate() {
                for one in 0..*size {
                    let folder = [format!("folder {number}")];
                    add(world.source.account(), &folder, mail(&format!("{number}-{one}"), 3));
                }
            }
            world.options.concurrency = Some(concurrency);
            world.edges.connections = ConnectionBudget::new(connections, connections);
            let gauge = Arc::default();
            let source = Watched { inner: world.source.clone(), gauge: Arc::clone(&gauge) };
            let report = Migration::builder(source, world.destination.clone())
                .store(world.store.clone())
                .options(world.options.clone())
                .edges(world.edges.clone())
                .build()
                .unwrap()
                .run()
                .await
                .unwrap();
            assert_eq!(report.status(), Status::Complete, "{report:#?}");
            world.no_violations();
            world.assert_equal();
            assert_eq!(gauge.0.load(SeqCst), 0, "a listing is still open");
            gauge.1.load(SeqCst)
        });
        let may = concurrency.min(connections - 1);
        prop_assert!(most <= may, "{most} lanes at once instead of {may}");
    }
}

// ---- connections -----------------------------------------------------------------------------------

const HOSTS: [&str; 3] = ["a.example", "b.example", "C.example"];

/// Somebody who wants a connection, and perhaps has it.
enum Wish {
    Waits(Pin<Box<dyn Future<Output = ConnectionPermit>>>),
    Has(#[allow(dead_code, reason = "held")] ConnectionPermit),
}

#[derive(Clone, Debug)]
enum Act {
    /// Somebody wants a connection to that host.
    Want(usize),
    /// The n-th gives it back, or does not want it any more.
    End(usize),
}

fn an_act() -> impl Strategy<Value = Act> {
    prop_oneof![3 => (0..3_usize).prop_map(Act::Want), 2 => (0..9_usize).prop_map(Act::End)]
}

/// Lets everybody who waits look; more than once, since one may have made room for another.
fn settle(wishes: &mut [(usize, Wish)]) {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..=wishes.len() {
        for (_, wish) in wishes.iter_mut() {
            if let Wish::Waits(future) = wish
                && let Poll::Ready(permit) = future.as_mut().poll(&mut context)
            {
                *wish = Wish::Has(permit);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn connections_keep_to_the_budget_and_nobody_waits_for_a_free_one(
        all in 1..5_usize,
        per_host in 1..4_usize,
        acts in vec(an_act(), 1..60),
    ) {
        let budget = ConnectionBudget::new(all, per_host);
        let mut wishes: Vec<(usize, Wish)> = Vec::new();
        for act in acts {
            match act {
                Act::Want(host) => {
                    let budget = budget.clone();
                    let wish = async move { budget.acquire(HOSTS[host]).await };
                    wishes.push((host, Wish::Waits(Box::pin(wish))));
                }
                Act::End(n) if !wishes.is_empty() => drop(wishes.remove(n % wishes.len())),
                Act::End(_) => {}
            }
            settle(&mut wishes);
            let mut open: HashMap<usize, usize> = HashMap::new();
            for (host, wish) in &wishes {
                *open.entry(*host).or_default() += usize::from(matches!(wish, Wish::Has(_)));
            }
            let sum: usize = open.values().sum();
            prop_assert!(sum <= all, "{sum} of {all}");
            prop_assert!(open.values().all(|count| *count <= per_host), "{open:?}");
            // Who waits has a reason.
            for (host, wish) in &wishes {
                if matches!(wish, Wish::Waits(_)) {
                    prop_assert!(sum == all || open[host] == per_host, "{open:?} of {all}, {per_host}");
                }
            }
        }
        wishes.clear();
        // All of it came back.
        let mut last: Vec<(usize, Wish)> = (0..all.min(per_host))
            .map(|_| {
                let budget = budget.clone();
                (0, Wish::Waits(Box::pin(async move { budget.acquire(HOSTS[0]).await })))
            })
            .collect();
        settle(&mut last);
        prop_assert!(last.iter().all(|(_, wish)| matches!(wish, Wish::Has(_))));
    }

    #[test]
    fn memory_is_never_lent_twice(limit in 0..1000_u64, acts in vec((0..400_u64, 0..9_usize), 1..60)) {
        let budget = MemoryBudget::new(limit);
        let mut held: Vec<(u64, MemoryPermit)> = Vec::new();
        let mut peak = 0;
        for (bytes, back) in acts {
            let used: u64 = held.iter().map(|(bytes, _)| bytes).sum();
            match budget.take(bytes) {
                Some(permit) => held.push((bytes, permit)),
                None => prop_assert!(used + bytes > limit, "{bytes} refused with {used} of {limit}"),
            }
            let used: u64 = held.iter().map(|(bytes, _)| bytes).sum();
            peak = peak.max(used);
            prop_assert!(used <= limit);
            prop_assert_eq!((budget.used(), budget.peak()), (used, peak));
            if back < held.len() {
                held.remove(back);
            }
        }
        prop_assert!(budget.take(u64::MAX).is_none());
        held.clear();
        prop_assert_eq!(budget.used(), 0);
    }
}
