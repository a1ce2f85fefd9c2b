//! What the ledger tells of single messages.

use mailmove_core::{ErrorKind, checkpoint::ItemState, model::FolderPath, store::When};
use mailmove_testkit::memory::{Fault, Predicate};

use crate::{
    refusal,
    world::{World, add, mail},
};

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

#[tokio::test]
async fn history_tells_of_repairs_letters_and_what_is_open() {
    let world = refusal::scene(true);
    let poison = Predicate::holding("a=00b");
    world
        .destination
        .arm(Fault::Refuse(poison, ErrorKind::Refused));
    let report = world.try_run().await.unwrap();
    let migration = world.migration();

    let failed = &report.failures[0];
    let told = migration.explain(None, &failed.message).await.unwrap();
    let [told] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(told.dead_letter, failed.dead_letter);
    assert!(told.dead_letter.is_some() && told.open.is_empty());
    assert_eq!(told.reason.as_deref(), Some(failed.reason.as_str()));

    // By either digest of a repaired one, and by its header's.
    let repaired = &report.repaired[0];
    let digests = [
        repaired.original.to_string(),
        repaired.sent.unwrap().to_string(),
    ];
    for digest in digests {
        let told = migration.explain(None, &digest).await.unwrap();
        assert_eq!(told.len(), 1, "{digest}");
        assert_eq!(told[0].source.message, repaired.message);
        assert_eq!(told[0].original, Some(repaired.original.to_string()));
        assert_eq!(told[0].altered.len(), 1);
    }
    let row = world
        .rows()
        .into_iter()
        .find(|one| one.row.original.is_some());
    let header = row.unwrap().row.source_header().unwrap();
    assert_eq!(
        migration
            .explain(None, &header.to_string())
            .await
            .unwrap()
            .len(),
        1
    );
    let error = migration
        .explain(None, "<m1@example.org>")
        .await
        .unwrap_err();
    assert_eq!(error.code(), "explain/message-id");
    assert!(error.remedy().is_some());
}

#[tokio::test]
async fn what_was_on_its_way_when_the_process_died_is_told() {
    let mut open = 0;
    for n in 1..12 {
        let world = World::new();
        add(world.source.account(), &["INBOX"], mail("m", 0));
        world.store.die_at_commit(n, When::After);
        if world
            .try_run()
            .await
            .is_ok_and(|report| report.stopped.is_none())
        {
            continue;
        }
        let told = world.migration().explain(None, "1~F00000001!f4241").await;
        for one in told.unwrap() {
            for intent in &one.open {
                assert_eq!(
                    (intent.what, &intent.folder),
                    ("append", &Some(FolderPath::inbox()))
                );
                open += 1;
            }
        }
    }
    assert!(open > 0, "never killed with an open intent");
}
