//! Messages with equal headers and other bodies.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use mailmove_core::{
    Mend, Migration, Stop,
    destination::Depth,
    observe::{Event, Observer},
    report::Status,
    store::When,
};
use mailmove_testkit::{
    mailbox::{InternalDate, NewMessage},
    memory::{AppendFault, Fault, Landing},
};

use super::{accounts, batches};
use crate::world::{NOW, World, add};

/// One transmission of a message, with that text.
fn variant(text: &str) -> NewMessage {
    let body = format!(
        "Received: from a by b id 17; Mon, 1 Jun 2026 10:00:00 +0000\r\n\
         Message-ID: <1@example.org>\r\nSubject: same\r\n\r\n{text}\r\n"
    );
    NewMessage::new(body).with_date(InternalDate::utc(NOW - 86_400))
}

/// Asks to stop when something is settled for the n-th time.
#[derive(Debug)]
struct StopAtSettling(AtomicU32, Stop);

impl Observer for StopAtSettling {
    fn on(&self, event: &Event) {
        if matches!(event, Event::Settling { .. }) && self.0.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.1.request();
        }
    }
}

async fn stopped_at_settling(world: &World, nth: u32) {
    let stop = Stop::new();
    let migration = Migration::builder(world.source.clone(), world.destination.clone())
        .store(world.store.clone())
        .options(world.options.clone())
        .edges(world.edges.clone())
        .observer(StopAtSettling(nth.into(), stop.clone()))
        .stop(stop);
    let report = migration.build().unwrap().run().await.unwrap();
    assert_eq!(report.status(), Status::Cancelled, "{report:#?}");
}

#[tokio::test]
async fn what_is_in_doubt_is_not_taken_for_what_was_in_doubt_before() {
    let world = batches(World::new(), 4, false);
    let (source, _) = accounts(&world);
    add(&source, &["INBOX"], variant("first"));
    let arm = |at, fault| world.destination.arm(Fault::Append(at, fault));
    arm(0, AppendFault::Unknown(Landing::Lost));
    stopped_at_settling(&world, 1).await;
    // The first is proven absent, and not sent again; the second is in doubt, and lands.
    add(&source, &["INBOX"], variant("second"));
    let later = Duration::from_secs(NOW.unsigned_abs() + 1000);
    arm(0, AppendFault::Unknown(Landing::At(later)));
    stopped_at_settling(&world, 2).await;
    assert_eq!(world.destination.land(), 1);
    world.run().await;
    world.assert_equal();
}

#[tokio::test]
async fn what_is_in_doubt_is_not_taken_for_a_late_copy_of_what_was_sent_twice() {
    let world = batches(World::new(), 1, false);
    let (source, _) = accounts(&world);
    for text in ["first", "second"] {
        add(&source, &["INBOX"], variant(text));
    }
    // One lands when it was sent again and the other is in doubt, which is lost.
    let arm = |at, fault| world.destination.arm(Fault::Append(at, fault));
    let late = Duration::from_secs(NOW.unsigned_abs() + 15);
    arm(0, AppendFault::Unknown(Landing::At(late)));
    arm(2, AppendFault::Unknown(Landing::Lost));
    world.run().await;
    world.assert_equal();
    assert!(world.verify().await.is_clean());
}

#[tokio::test]
async fn a_damaged_copy_is_not_taken_for_the_one_that_replaces_it() {
    // Without ids nothing shows that bytes are kept; then an equal header counts.
    async fn damaged() -> World {
        let mut world = batches(World::new(), 4, false);
        world.destination = world.destination.configure(|can| can.returns_ids = false);
        let (source, destination) = accounts(&world);
        add(&source, &["INBOX"], variant("first"));
        world.run().await;
        let inbox = destination.folder(&["INBOX"]).unwrap().id;
        destination
            .damage(inbox, 1, variant("f1rst").body, None)
            .unwrap();
        world
    }
    let world = damaged().await;
    let start = world.store.commits();
    let mend = Mend::new(Depth::Content);
    world.migration().mend(mend).await.unwrap();
    world.assert_equal();
    for n in 1..=world.store.commits() - start {
        let world = damaged().await;
        world
            .store
            .die_at_commit(world.store.commits() + n, When::After);
        let _ = world.migration().mend(mend).await;
        world
            .until(async || world.migration().mend(mend).await)
            .await;
        world.assert_equal();
    }
}
