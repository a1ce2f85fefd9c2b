//! What the ledger tells of single messages.

use mailmove_core::{ErrorKind, checkpoint::ItemState, model::FolderPath};
use mailmove_testkit::memory::{Fault, Predicate};

use crate::world::{World, add, mail};

#[tokio::test]
async fn each_message_can_be_asked_for() {
    let world = World::new();
    for n in 0..3 {
        add(
            world.source.account(),
            &["INBOX"],
            mail(&format!("m{n}"), n),
        );
    }
    add(world.source.account(), &["Work"], mail("w", 0));
    let poison = Predicate::holding("Subject: m1\r\n");
    world
        .destination
        .arm(Fault::Refuse(poison, ErrorKind::Refused));
    let report = world.try_run().await.unwrap();
    let failed = &report.failures[0];

    // By the name that the report gives it, without anybody being asked but the ledger.
    let operations = world.source.counters().operations + world.destination.counters().operations;
    let migration = world.migration();
    let told = migration
        .explain(Some(&failed.folder), &failed.message)
        .await
        .unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].state, ItemState::Failed);
    assert_eq!(told[0].code.as_deref(), Some(failed.code.as_str()));
    assert_eq!((told[0].attempts, &told[0].destination), (1, &None));

    // In all folders: the first message of both.
    let inbox = migration.explain(None, "1~F00000001!f4241").await.unwrap();
    assert_eq!(inbox.len(), 1);
    let place = inbox[0].destination.as_ref().unwrap();
    assert_eq!(
        (inbox[0].state, &place.folder),
        (ItemState::Copied, &FolderPath::inbox())
    );
    assert!(inbox[0].digest.is_some() && inbox[0].pass == 1);

    assert!(
        migration
            .explain(None, "no such message")
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        operations,
        world.source.counters().operations + world.destination.counters().operations
    );
}
