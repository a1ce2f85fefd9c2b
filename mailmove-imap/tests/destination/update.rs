use futures_util::StreamExt as _;
use mailmove_core::{
    Destination as _, ErrorKind,
    destination::{FlagChange, Outcome, Updater},
    model::{AlterationKind, Flags, Folder, MessageId},
};
use mailmove_imap_testserver::{Action, Capability};
use mailmove_testkit::mailbox::Keywords;

use crate::support::*;

fn updater(world: &World) -> &dyn Updater {
    world.destination.updater().unwrap()
}

async fn three(world: &World) -> (Folder, Vec<MessageId>) {
    let folder = world.ensure(&["Box"]).await;
    let items = ["a", "b", "c"].map(|name| flagged(name, "\\Seen")).to_vec();
    let ids = stored_ids(world.append(&folder, items).await);
    (folder, ids)
}

fn change(id: &MessageId, add: &str, remove: &str) -> FlagChange {
    FlagChange::new(id.clone(), Flags::parse(add), Flags::parse(remove))
}

/// A message of the same folder that does not exist.
fn missing(like: &MessageId) -> MessageId {
    MessageId::new(format!("{}-0000009999", &like.as_str()[..10]))
}

fn is_gone(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotStored(error)
        if error.kind() == ErrorKind::NotFound && error.scope() == mailmove_core::Scope::Message)
}

#[tokio::test]
async fn flags_change_in_groups_and_only_what_is_there() {
    let world = world(|server| server).await;
    let (folder, ids) = three(&world).await;
    world.server.reset_counters();
    let gone = missing(&ids[0]);
    let changes = vec![
        change(&ids[0], "\\Flagged Work", "\\Seen"),
        change(&gone, "\\Flagged Work", "\\Seen"),
        change(&ids[1], "\\Flagged Work", "\\Seen"),
        change(&ids[2], "\\Seen", "\\Draft"),
    ];
    let outcomes: Vec<_> = updater(&world)
        .set_flags(&folder.id, changes)
        .collect()
        .await;
    assert_eq!(outcomes.len(), 4);
    for (id, outcome) in &outcomes {
        match outcome {
            Outcome::Stored(receipt) if *id != ids[2] => {
                assert_eq!(receipt.flags, Some(Flags::parse("\\Flagged Work")));
            }
            Outcome::Stored(receipt) => assert_eq!(receipt.flags, Some(Flags::parse("\\Seen"))),
            outcome => assert!(*id == gone && is_gone(outcome), "{outcome:?}"),
        }
    }
    assert_eq!(world.server.counters().command("UID STORE"), 4);
    let stored = world.stored(&["Box"]);
    assert!(stored[0].flags.contains("Work") && !stored[0].flags.contains("\\Seen"));
    assert!(stored[2].flags.contains("\\Seen"));
}

#[tokio::test]
async fn flags_that_cannot_be_set_are_said() {
    let world = world(|server| server).await;
    world
        .account
        .configure(|limits| limits.keywords = Keywords::OnlyStrict(Vec::new()));
    let (folder, ids) = three(&world).await;
    let changes = vec![change(&ids[0], "\\Flagged Work", "")];
    let outcomes: Vec<_> = updater(&world)
        .set_flags(&folder.id, changes)
        .collect()
        .await;
    let Outcome::Stored(receipt) = &outcomes[0].1 else {
        panic!("{outcomes:?}")
    };
    assert_eq!(receipt.altered[0].kind, AlterationKind::FlagDropped);
    assert_eq!(receipt.altered[0].detail, "Work");
}

#[tokio::test]
async fn ok_alone_is_no_proof_of_a_flag() {
    let world = world(|server| server).await;
    let (folder, ids) = three(&world).await;
    world
        .server
        .faults()
        .arm("UID STORE", 1, Action::No("not today".to_owned()));
    let changes = vec![change(&ids[0], "\\Flagged", "")];
    let outcomes: Vec<_> = updater(&world)
        .set_flags(&folder.id, changes)
        .collect()
        .await;
    assert_eq!(
        shown(&[outcomes.into_iter().next().unwrap().1]),
        ["not-stored imap/no"]
    );
}

#[tokio::test]
async fn moved_messages_say_where_they_are() {
    for with_move in [true, false] {
        let world = world(|server| match with_move {
            true => server,
            false => server.without(Capability::Move),
        })
        .await;
        let (folder, ids) = three(&world).await;
        let target = world.ensure(&["Target"]).await;
        let gone = missing(&ids[0]);
        let wanted = vec![ids[2].clone(), gone.clone(), ids[0].clone(), ids[0].clone()];
        let outcomes: Vec<_> = updater(&world)
            .relocate(&folder.id, wanted, &target.id)
            .collect()
            .await;
        assert_eq!(outcomes.len(), 3);
        for (id, outcome) in &outcomes {
            if *id == gone {
                assert!(is_gone(outcome), "{outcome:?}");
                continue;
            }
            let Outcome::Stored(receipt) = outcome else {
                panic!("{outcome:?}")
            };
            let new = receipt.id.as_ref().unwrap();
            let uid: u32 = new.as_str()[11..].parse().unwrap();
            let name = if *id == ids[0] { "a" } else { "c" };
            let there = world.stored(&["Target"]);
            let found = there.iter().find(|one| one.uid == uid).unwrap();
            assert_eq!(found.body, mail(name).as_bytes());
            assert!(receipt.altered.is_empty());
        }
        assert_eq!(world.bodies(&["Box"]), [mail("b")]);
        assert_eq!(world.stored(&["Target"]).len(), 2);
    }
}

#[tokio::test]
async fn a_copy_whose_old_place_stays_is_said() {
    let world = world(|server| server.without(Capability::Move)).await;
    let (folder, ids) = three(&world).await;
    let target = world.ensure(&["Target"]).await;
    world
        .server
        .faults()
        .arm("UID EXPUNGE", 1, Action::No("not today".to_owned()));
    let outcomes: Vec<_> = updater(&world)
        .relocate(&folder.id, vec![ids[0].clone()], &target.id)
        .collect()
        .await;
    let Outcome::Stored(receipt) = &outcomes[0].1 else {
        panic!("{outcomes:?}")
    };
    assert_eq!(receipt.altered[0].kind, AlterationKind::OldPlaceKept);
    // And the old one is not left marked for the next expunge.
    assert!(!world.stored(&["Box"])[0].flags.contains("\\Deleted"));
}

#[tokio::test]
async fn a_move_to_nowhere_moves_nothing() {
    let world = world(|server| server).await;
    let (folder, ids) = three(&world).await;
    let target = world.ensure(&["Target"]).await;
    world.account.delete(&["Target"]).unwrap();
    let outcomes: Vec<_> = updater(&world)
        .relocate(&folder.id, ids.clone(), &target.id)
        .collect()
        .await;
    for (_, outcome) in outcomes {
        assert!(matches!(outcome, Outcome::NotStored(_)), "{outcome:?}");
    }
    assert_eq!(world.stored(&["Box"]).len(), 3);
}

#[tokio::test]
async fn removal_takes_exactly_what_was_named() {
    let world = world(|server| server).await;
    let (folder, ids) = three(&world).await;
    // Marked by somebody else, not ours to remove.
    let box_id = world.account.folder(&["Box"]).unwrap().id;
    let marked = vec![change(&ids[1], "\\Deleted", "")];
    let _: Vec<_> = updater(&world)
        .set_flags(&folder.id, marked)
        .collect()
        .await;
    let gone = missing(&ids[0]);
    let outcomes: Vec<_> = updater(&world)
        .remove(&folder.id, vec![ids[0].clone(), gone])
        .collect()
        .await;
    assert!(matches!(outcomes[0].1, Outcome::Stored(_)), "{outcomes:?}");
    assert!(is_gone(&outcomes[1].1), "{outcomes:?}");
    assert_eq!(world.account.messages(box_id).unwrap().len(), 2);
    assert_eq!(world.bodies(&["Box"]), [mail("b"), mail("c")]);
}

#[tokio::test]
async fn without_uidplus_nothing_is_moved_or_removed() {
    let world = world(|server| server.without(Capability::UidPlus)).await;
    let folder = world.ensure(&["Box"]).await;
    receipts(world.append(&folder, vec![outgoing("a")]).await);
    let id = world
        .existing(&folder, mailmove_core::destination::Depth::Ids)
        .await[0]
        .id
        .clone();
    let ids = vec![id];
    let removed: Vec<_> = updater(&world)
        .remove(&folder.id, ids.clone())
        .collect()
        .await;
    let moved: Vec<_> = updater(&world)
        .relocate(&folder.id, ids, &folder.id)
        .collect()
        .await;
    for (_, outcome) in removed.into_iter().chain(moved) {
        assert_eq!(shown(&[outcome]), ["not-stored imap/no-uidplus"]);
    }
    assert_eq!(world.stored(&["Box"]).len(), 1);
}

#[tokio::test]
async fn ids_of_another_epoch_change_nothing() {
    let world = world(|server| server).await;
    let (folder, ids) = three(&world).await;
    let box_id = world.account.folder(&["Box"]).unwrap().id;
    world.account.bump_uidvalidity(box_id).unwrap();
    let outcomes: Vec<_> = updater(&world)
        .set_flags(&folder.id, vec![change(&ids[0], "\\Flagged", "")])
        .collect()
        .await;
    assert_eq!(
        shown(&[outcomes.into_iter().next().unwrap().1]),
        ["not-stored imap/stale"]
    );
    let outcomes: Vec<_> = updater(&world).remove(&folder.id, ids).collect().await;
    for (_, outcome) in outcomes {
        assert_eq!(shown(&[outcome]), ["not-stored imap/stale"]);
    }
    assert_eq!(world.stored(&["Box"]).len(), 3);
}
