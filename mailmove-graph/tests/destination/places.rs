//! Ids outlast moves: whatever is asked or done by id is about the folder that is named.

use futures_util::StreamExt as _;
use mailmove_core::{
    Destination as _,
    destination::{Depth, FlagChange, Outcome, Probe},
    model::{Flags, Folder, FolderPath, FolderSpec, MessageId},
};
use mailmove_graph::GraphDestination;
use mailmove_graph_testserver::{Action, Mangle};

use crate::support::{USER, account, append, destination, letters, made, start, stored, words};

async fn folder(destination: &GraphDestination, name: &str) -> Folder {
    let spec = FolderSpec::new(FolderPath::new([name]));
    let mut all = destination.ensure_folders(vec![spec]);
    all.next().await.unwrap().1.unwrap()
}

async fn by_id(destination: &GraphDestination, folder: &Folder, id: &MessageId) -> usize {
    let probe = Probe::new(folder.id.clone(), Depth::Ids).with_ids(vec![id.clone()]);
    let pages: Vec<_> = destination.existing(probe).collect().await;
    pages.into_iter().flat_map(Result::unwrap).count()
}

#[tokio::test]
async fn a_folder_that_is_named_in_another_way_is_the_same_one() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let inbox = made(&destination).await;
    let other = folder(&destination, "Other").await;
    let by_name = Action::Mangle(Mangle::ParentByName);
    server.faults().arm_every("GetMessage", 1, by_name);
    let outcomes = append(&destination, &inbox, letters(2)).await;
    let Outcome::Stored(receipt) = &outcomes[0] else {
        panic!("{outcomes:?}");
    };
    let id = receipt.id.clone().unwrap();
    server.reset_counters();
    for _ in 0..3 {
        assert_eq!(by_id(&destination, &inbox, &id).await, 1);
        assert_eq!(by_id(&destination, &other, &id).await, 0);
    }
    assert_eq!(server.counters().operation("GetFolder"), 1);
    let updater = destination.updater().unwrap();
    let removed: Vec<_> = updater.remove(&inbox.id, vec![id]).collect().await;
    assert!(matches!(removed[0].1, Outcome::Stored(_)));
    assert_eq!(stored(&server).len(), 1);
}

/// What is wrong with one of them says nothing of the others.
#[tokio::test]
async fn one_that_cannot_be_looked_at_keeps_no_other_from_being_removed() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let inbox = made(&destination).await;
    let outcomes = append(&destination, &inbox, letters(3)).await;
    let ids = outcomes.into_iter().map(|outcome| match outcome {
        Outcome::Stored(receipt) => receipt.id.unwrap(),
        other => panic!("{other:?}"),
    });
    let ids: Vec<MessageId> = ids.collect();
    assert!(server.poison_item(USER, &["INBOX"], 2, "ErrorCorruptData"));
    let updater = destination.updater().unwrap();
    let removed: Vec<_> = updater.remove(&inbox.id, ids.clone()).collect().await;
    assert_eq!(removed.len(), 3);
    for (id, outcome) in removed {
        let is_stored = matches!(outcome, Outcome::Stored(_));
        assert_eq!(is_stored, id != ids[1], "{outcome:?}");
    }
    assert_eq!(stored(&server).len(), 1);
}

#[tokio::test]
async fn what_was_moved_elsewhere_is_gone_from_its_folder_and_stays_where_it_is() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let inbox = made(&destination).await;
    let other = folder(&destination, "Other").await;
    let third = folder(&destination, "Third").await;
    let outcomes = append(&destination, &inbox, letters(1)).await;
    let Outcome::Stored(receipt) = &outcomes[0] else {
        panic!("{outcomes:?}");
    };
    let id = receipt.id.clone().unwrap();
    let updater = destination.updater().unwrap();
    assert_eq!(by_id(&destination, &inbox, &id).await, 1);
    let moved = updater.relocate(&inbox.id, vec![id.clone()], &other.id);
    let moved: Vec<_> = moved.map(|(_, outcome)| outcome).collect().await;
    assert_eq!(words(&moved), ["stored"]);
    assert!(matches!(&moved[0], Outcome::Stored(receipt) if receipt.id.as_ref() == Some(&id)));

    assert_eq!(by_id(&destination, &inbox, &id).await, 0);
    assert_eq!(by_id(&destination, &other, &id).await, 1);
    let change = FlagChange::new(id.clone(), Flags::parse("\\Seen"), Flags::new());
    let ids = || vec![id.clone()];
    let done: Vec<(MessageId, Outcome)> = updater
        .remove(&inbox.id, ids())
        .chain(updater.relocate(&inbox.id, ids(), &third.id))
        .chain(updater.duplicate(&inbox.id, ids(), &third.id))
        .chain(updater.set_flags(&inbox.id, vec![change]))
        .collect()
        .await;
    let done: Vec<Outcome> = done.into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(words(&done), ["not stored: graph/no-item"; 4]);
    assert!(stored(&server).is_empty());
    let there = account(&server).folder(&["Other"]).unwrap().id;
    let there = account(&server).messages(there).unwrap();
    assert_eq!(there.len(), 1);
    assert!(!there[0].flags.contains("\\Seen"));
    let removed: Vec<_> = updater.remove(&other.id, ids()).collect().await;
    assert!(matches!(removed[0].1, Outcome::Stored(_)));
    assert!(
        server
            .item_property(USER, &["Other"], 1, "Integer 0x0E07")
            .is_none()
    );
}
