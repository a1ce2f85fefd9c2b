//! What changes at the source between two passes, or while one is broken off.

use mailmove_core::{ErrorKind, model::AlterationKind, store::When};
use mailmove_testkit::{
    mailbox::FlagOp,
    memory::{AppendFault, Fault, UpdateFault},
};

use super::{accounts, batches, moved};
use crate::world::{World, add, flag, mail, of, subjects};

#[tokio::test]
async fn a_new_folder_and_a_renumbered_one_are_two_folders() {
    let world = World::new();
    let (source, _) = accounts(&world);
    for n in 0..5 {
        add(&source, &["Zoo"], mail(&format!("z{n}"), n));
    }
    world.run().await;
    // Both get a number in the same pass.
    for n in 0..5 {
        add(&source, &["Ant"], mail(&format!("a{n}"), n));
    }
    let zoo = source.folder(&["Zoo"]).unwrap().id;
    source.bump_uidvalidity(zoo).unwrap();
    world.run().await;
    world.assert_equal();
    assert!(world.verify().await.is_clean());
    let rows = world.rows();
    let mut live: Vec<_> = rows
        .iter()
        .filter(|r| !r.row.gone)
        .map(|r| r.row.folder)
        .collect();
    live.dedup();
    live.sort();
    live.dedup();
    assert_eq!(live.len(), 2, "{rows:#?}");
}

#[tokio::test]
async fn folders_that_start_anew_at_once_are_as_many_folders() {
    let world = World::new();
    let (source, _) = accounts(&world);
    for folder in ["A", "B", "C"] {
        add(&source, &[folder], mail(&format!("{folder}1"), 1));
    }
    world.run().await;
    let appended = world.destination.counters().appended;
    for folder in ["A", "B", "C"] {
        add(&source, &[folder], mail(&format!("{folder}2"), 2));
        world.source.arm(Fault::CursorExpires);
    }
    world.run().await;
    world.assert_equal();
    assert_eq!(world.destination.counters().appended, appended + 3);
    assert!(world.verify().await.is_clean());
}

#[tokio::test]
async fn mail_that_moves_while_a_first_pass_is_broken_off_moves() {
    for n in [8, 12, 16, 20, 24] {
        let mut world = batches(World::new(), 1, false);
        world.source = world.source.with_page(1);
        let (source, _) = accounts(&world);
        for n in 0..6 {
            add(&source, &["INBOX"], mail(&format!("m{n}"), n));
        }
        world.store.die_at_commit(n, When::After);
        let _ = world.try_run().await;
        moved(&source, "INBOX", &[1, 2], "Work");
        world.until_done().await;
        world.assert_equal();
    }
}

#[tokio::test]
async fn flags_that_change_before_a_message_was_copied_arrive() {
    let world = World::new();
    let (source, destination) = accounts(&world);
    add(&source, &["INBOX"], mail("first", 1));
    world.run().await;
    add(&source, &["INBOX"], mail("m", 1));
    world
        .destination
        .arm(Fault::Append(0, AppendFault::Refuse(ErrorKind::Refused)));
    let report = world.try_run().await.unwrap();
    assert_eq!(of(&report, "INBOX").tally.failed, 1);
    flag(&source, "INBOX", 2, FlagOp::Add, &["\\Seen"]);
    world.run().await;
    assert_eq!(subjects(&destination, "INBOX"), ["first", "m \\Seen"]);
}

#[tokio::test]
async fn flags_that_change_while_a_first_pass_is_broken_off_arrive() {
    for inline in [None, Some(u64::MAX)] {
        for n in 1..40 {
            let mut world = batches(World::new(), 1, false);
            world.source = world.source.with_page(1).with_inline(inline);
            let (source, _) = accounts(&world);
            for n in 0..4 {
                add(&source, &["INBOX"], mail(&format!("m{n}"), n));
            }
            world.store.die_at_commit(n, When::After);
            let _ = world.try_run().await;
            for uid in 1..=4 {
                flag(&source, "INBOX", uid, FlagOp::Add, &["\\Seen"]);
            }
            world.store.disarm();
            world.until_done().await;
            world.run().await;
            world.assert_equal();
        }
    }
}

#[tokio::test]
async fn one_messages_flags_cost_nobody_elses() {
    let world = World::new();
    let (source, destination) = accounts(&world);
    for n in 0..4 {
        add(&source, &["INBOX"], mail(&format!("m{n}"), n));
    }
    world.run().await;
    for uid in 1..=4 {
        flag(&source, "INBOX", uid, FlagOp::Add, &["\\Seen"]);
    }
    let refused = UpdateFault::Refuse(ErrorKind::Refused);
    world.destination.arm(Fault::Update(1, refused));
    world.run().await;
    let seen = subjects(&destination, "INBOX");
    assert_eq!(
        seen.iter().filter(|s| s.ends_with("\\Seen")).count(),
        3,
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_listing_that_breaks_off_is_not_a_whole_one() {
    for pages in 0..3 {
        let mut world = World::new();
        world.source = world
            .source
            .with_page(4)
            .configure(|can| can.deltas = false);
        let (source, _) = accounts(&world);
        for n in 0..10 {
            add(&source, &["INBOX"], mail(&format!("m{n}"), n));
        }
        world.run().await;
        // A copy of one that the listing will not come to.
        add(&source, &["INBOX"], mail("new", 0));
        add(&source, &["Work"], mail("m9", 9));
        world.source.arm(Fault::ListEnds(pages));
        world.run().await;
        world.assert_equal();
    }
}

#[tokio::test]
async fn a_move_that_breaks_off_is_tried_again() {
    let faults = [
        UpdateFault::Refuse(ErrorKind::Interrupted),
        UpdateFault::Unknown { done: false },
        UpdateFault::Unknown { done: true },
        UpdateFault::Ends { done: false },
        UpdateFault::Ends { done: true },
    ];
    for fault in faults {
        let world = World::new();
        let (source, _) = accounts(&world);
        for n in 0..6 {
            add(&source, &["INBOX"], mail(&format!("m{}", n / 2), n / 2));
        }
        world.run().await;
        let appended = world.destination.counters().appended;
        moved(&source, "INBOX", &[1, 3, 4], "Work");
        world.destination.arm(Fault::Update(1, fault));
        let report = world.run().await;
        world.assert_equal();
        assert_eq!(of(&report, "Work").tally.moved, 3, "{fault:?}");
        assert_eq!(world.destination.counters().appended, appended, "{fault:?}");
    }
}

/// Flags that nobody can tell are those of before, wherever the message is by now; of a new one it is noted.
#[tokio::test]
async fn flags_that_nobody_can_tell_stay_where_a_message_moves() {
    let world = World::new();
    let (source, destination) = accounts(&world);
    for n in 0..3 {
        add(&source, &["INBOX"], mail(&format!("m{n}"), n));
    }
    let inbox = source.folder(&["INBOX"]).unwrap().id;
    source
        .store(inbox, &[1, 2, 3], FlagOp::Add, &["\\Seen", "Red"], None)
        .unwrap();
    world.run().await;
    moved(&source, "INBOX", &[1, 2], "Work");
    add(&source, &["Work"], mail("new", 9).with_flags(["\\Seen"]));
    world.source.tell_no_flags(true);
    let report = world.run().await;
    let work = of(&report, "Work");
    assert_eq!((work.tally.moved, work.tally.copied), (2, 1));
    assert_eq!(work.altered.get(&AlterationKind::FlagDropped), Some(&1));
    let flags = |folder: &str| {
        let id = destination.folder(&[folder]).unwrap().id;
        let all = destination.messages(id).unwrap();
        let all = all.iter().map(|message| message.flags.len());
        all.collect::<Vec<_>>()
    };
    assert_eq!((flags("INBOX"), flags("Work")), (vec![2], vec![2, 2, 0]));
    // As soon as they are told, they are right.
    world.source.tell_no_flags(false);
    source
        .store(
            source.folder(&["Work"]).unwrap().id,
            &[1, 2, 3],
            FlagOp::Add,
            &["\\Flagged"],
            None,
        )
        .unwrap();
    world.run().await;
    world.assert_equal();
}

#[tokio::test]
async fn what_cannot_be_read_may_have_moved_and_is_not_copied() {
    for fault in [
        Fault::FetchFails(0, ErrorKind::Interrupted),
        Fault::FetchRefused(0, ErrorKind::Refused),
        Fault::FetchEnds(0),
    ] {
        for retries in [false, true] {
            let mut world = World::new();
            world.source = world.source.with_inline(None);
            let (source, _) = accounts(&world);
            for n in 0..4 {
                add(&source, &["INBOX"], mail(&format!("m{n}"), n));
            }
            world.run().await;
            moved(&source, "INBOX", &[2], "Work");
            world.source.arm(fault.clone());
            let _ = world.try_run().await;
            if retries {
                world.migration().retry().await.unwrap();
                world.assert_equal();
            }
            world.until_done().await;
            world.assert_equal();
        }
    }
}

#[tokio::test]
async fn what_stays_in_its_old_place_when_it_moves_is_told() {
    // By the server, or by what is found when there was no answer.
    for answered in [true, false] {
        let world = World::new();
        let (source, destination) = accounts(&world);
        for n in 0..3 {
            add(&source, &["INBOX"], mail(&format!("m{n}"), n));
        }
        world.run().await;
        moved(&source, "INBOX", &[2], "Work");
        world.destination.arm(Fault::MovesCopy);
        if !answered {
            let lost = UpdateFault::Unknown { done: true };
            world.destination.arm(Fault::Update(0, lost));
        }
        let report = world.run().await;
        let line = of(&report, "Work");
        let kept = line.altered.get(&AlterationKind::OldPlaceKept);
        assert_eq!((line.tally.moved, kept), (1, Some(&1)), "{answered}");
        world.destination.disarm();
        for _ in 0..2 {
            assert_eq!(subjects(&destination, "INBOX"), ["m0", "m1", "m2"]);
            assert_eq!(subjects(&destination, "Work"), ["m1"]);
            world.run().await;
            assert!(world.verify().await.is_clean());
        }
    }
}

#[tokio::test]
async fn flags_that_were_under_way_arrive_where_the_destination_is_numbered_anew() {
    async fn changed() -> World {
        let world = World::new();
        let (source, _) = accounts(&world);
        for n in 0..3 {
            let message = mail(&format!("m{n}"), n).with_flags(["\\Seen"]);
            add(&source, &["INBOX"], message);
        }
        world.run().await;
        flag(&source, "INBOX", 1, FlagOp::Remove, &["\\Seen"]);
        flag(&source, "INBOX", 2, FlagOp::Add, &["\\Flagged"]);
        moved(&source, "INBOX", &[1, 2], "Work");
        world
    }
    let world = changed().await;
    let start = world.store.commits();
    world.run().await;
    for n in 1..=world.store.commits() - start {
        let world = changed().await;
        world
            .store
            .die_at_commit(world.store.commits() + n, When::After);
        let _ = world.try_run().await;
        world.store.disarm();
        let (_, destination) = accounts(&world);
        for folder in destination.folders() {
            destination.bump_uidvalidity(folder.id).unwrap();
        }
        world.run().await;
        world.assert_equal();
    }
}
