//! Verification notices what differs, and a pass that mends sends exactly that again.

use std::time::Duration;

use mailmove_core::{
    Mend, Report,
    destination::Depth,
    report::{Status, Verification},
    store::When,
};
use mailmove_testkit::{
    mailbox::{Account, FlagOp, InternalDate, Message},
    memory::{AppendFault, Fault, Landing},
    snapshot::Snapshot,
};

use crate::world::{NOW, World, add, flag, mail, of, subjects};

/// A mailbox that was migrated: an inbox with so many messages, and ten at work.
async fn migrated(count: i64) -> World {
    let world = World::new();
    let source = world.source.account();
    for n in 0..count {
        let flags: &[&str] = if n % 3 == 0 { &["\\Seen"] } else { &[] };
        let mail = mail(&format!("m{n}"), n);
        add(source, &["INBOX"], mail.with_flags(flags.iter().copied()));
    }
    for n in 0..10 {
        add(source, &["Work"], mail(&format!("w{n}"), n));
    }
    world.run().await;
    world
}

async fn mend(world: &World, what: Mend) -> Report {
    let report = world.migration().mend(what).await.unwrap();
    world.no_violations();
    report
}

/// Mends, and asserts that all is as it was, verified, and that nothing is left to do.
async fn mends(world: &World, depth: Depth) -> Report {
    let report = mend(world, Mend::new(depth)).await;
    assert_eq!(report.status(), Status::Complete, "{report:#?}");
    world.assert_equal();
    assert!(world.verify().await.is_clean());
    let appended = world.destination.counters().appended;
    let again = world.run().await.total();
    assert_eq!((again.copied, again.removed_there), (0, 0));
    mend(world, Mend::new(Depth::Content)).await;
    assert_eq!(world.destination.counters().appended, appended);
    world.assert_equal();
    report
}

fn what(found: &Verification) -> Vec<&'static str> {
    let mut what: Vec<_> = found.differences.iter().map(|one| one.what).collect();
    what.sort_unstable();
    what
}

async fn verify(world: &World, depth: Depth) -> Verification {
    world.migration().verify(depth).await.unwrap()
}

fn remove(account: &Account, folder: &str, uids: &[u32]) {
    let id = account.folder(&[folder]).unwrap().id;
    account.remove(id, uids).unwrap();
}

/// Puts something else in the place of a message of the inbox.
fn damage(account: &Account, uid: u32, change: impl FnOnce(&Message) -> String) {
    let id = account.folder(&["INBOX"]).unwrap().id;
    let message = account.fetch(id, &[uid]).unwrap().remove(0);
    account.damage(id, uid, change(&message), None).unwrap();
}

fn text(message: &Message) -> String {
    String::from_utf8(message.body.to_vec()).unwrap()
}

fn other_body(message: &Message) -> String {
    text(message).replace("Body of", "B0dy of")
}

fn truncated(message: &Message) -> String {
    text(message).replace("Body of", "")
}

#[tokio::test]
async fn what_is_missing_is_sent_again_and_nothing_else() {
    let world = migrated(30).await;
    remove(world.destination.account(), "INBOX", &[2, 9, 30]);
    for depth in [Depth::Meta, Depth::Content] {
        let found = verify(&world, depth).await;
        assert_eq!(what(&found), ["missing"; 3]);
        assert!(!found.is_clean());
        let inbox = &found.folders[0];
        assert_eq!((inbox.checked, inbox.differences), (27, 3));
    }
    let report = mends(&world, Depth::Meta).await;
    assert_eq!((report.total().copied, report.total().earlier), (3, 37));
}

#[tokio::test]
async fn a_loss_that_stopped_a_folder_is_mended() {
    let world = migrated(100).await;
    let uids: Vec<u32> = (1..=30).collect();
    remove(world.destination.account(), "INBOX", &uids);
    let report = world.try_run().await.unwrap();
    let problem = of(&report, "INBOX").problem.clone().unwrap();
    assert_eq!(problem.code, "destination/lost");
    assert_eq!(what(&verify(&world, Depth::Meta).await), ["missing"; 30]);
    assert_eq!(mends(&world, Depth::Meta).await.total().copied, 30);
}

#[tokio::test]
async fn a_folder_that_was_lost_as_a_whole_is_made_anew() {
    let world = migrated(5).await;
    world.destination.account().delete(&["Work"]).unwrap();
    for _ in 0..2 {
        let report = world.try_run().await.unwrap();
        let problem = of(&report, "Work").problem.clone().unwrap();
        assert_eq!(problem.code, "destination/lost");
    }
    let found = verify(&world, Depth::Meta).await;
    assert_eq!(what(&found), ["missing"; 10]);
    assert!(found.folders[1].problem.is_some());
    assert_eq!(mends(&world, Depth::Meta).await.total().copied, 10);
}

#[tokio::test]
async fn a_folder_that_came_back_empty_under_another_number_is_filled_again() {
    let world = migrated(5).await;
    let account = world.destination.account();
    account.delete(&["Work"]).unwrap();
    account.create(&["Work"]).unwrap();
    let found = verify(&world, Depth::Meta).await;
    let problem = found.folders[1].problem.clone().unwrap();
    assert_eq!(problem.code, "verify/behind");
    assert_eq!(
        found.differences.len(),
        0,
        "nobody knows yet what is missing"
    );
    assert_eq!(mends(&world, Depth::Meta).await.total().copied, 10);
    // Noticed by a pass first.
    let account = world.destination.account();
    account.delete(&["Work"]).unwrap();
    account.create(&["Work"]).unwrap();
    let report = world.try_run().await.unwrap();
    let problem = of(&report, "Work").problem.clone().unwrap();
    assert_eq!(problem.code, "destination/lost");
    assert_eq!(mends(&world, Depth::Meta).await.total().copied, 10);
}

#[tokio::test]
async fn what_is_there_again_is_not_sent_again() {
    let world = migrated(10).await;
    let account = world.destination.account();
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    // Restored by hand: the same message under another number.
    let work = account.folder(&["Work"]).unwrap().id;
    account.move_messages(inbox, &[4], work).unwrap();
    account.move_messages(work, &[11], inbox).unwrap();
    assert_eq!(what(&verify(&world, Depth::Meta).await), ["missing"]);
    assert_eq!(mends(&world, Depth::Meta).await.total().copied, 0);
}

#[tokio::test]
async fn damaged_messages_are_replaced() {
    let world = migrated(12).await;
    damage(world.destination.account(), 3, other_body);
    assert!(verify(&world, Depth::Meta).await.is_clean());
    assert_eq!(what(&verify(&world, Depth::Content).await), ["content"]);
    assert_eq!(
        mend(&world, Mend::new(Depth::Meta)).await.total().copied,
        0,
        "what was not looked at is not mended"
    );
    let total = mends(&world, Depth::Content).await.total();
    assert_eq!((total.copied, total.replaced), (1, 1));

    damage(world.destination.account(), 4, truncated);
    assert_eq!(what(&verify(&world, Depth::Meta).await), ["size"]);
    let total = mends(&world, Depth::Meta).await.total();
    assert_eq!((total.copied, total.replaced), (1, 1));
}

#[tokio::test]
async fn a_lost_date_is_mended() {
    let world = migrated(6).await;
    let account = world.destination.account();
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    let body = account.fetch(inbox, &[2]).unwrap().remove(0).body;
    let today = Some(InternalDate::utc(NOW));
    account.damage(inbox, 2, body, today).unwrap();
    assert_eq!(what(&verify(&world, Depth::Meta).await), ["received"]);
    let total = mends(&world, Depth::Meta).await.total();
    assert_eq!((total.copied, total.replaced), (1, 1));
}

#[tokio::test]
async fn another_message_under_the_number_of_ours_is_nobodys_to_remove() {
    let world = migrated(6).await;
    let account = world.destination.account().clone();
    // A server that was set back to a backup, and then took in new mail.
    damage(&account, 6, |_| {
        "Message-ID: <new@x>\r\nSubject: of the user\r\n\r\n!\r\n".to_owned()
    });
    let report = mend(&world, Mend::new(Depth::Meta)).await;
    assert_eq!(report.status(), Status::Complete, "{report:#?}");
    assert_eq!((report.total().copied, report.total().replaced), (1, 0));
    let there = subjects(&account, "INBOX");
    assert_eq!(there.len(), 7);
    assert!(there.contains(&"of the user".to_owned()) && there.contains(&"m5".to_owned()));
    assert!(world.verify().await.is_clean());
    assert_eq!(world.run().await.total().copied, 0);
    assert_eq!(subjects(&account, "INBOX").len(), 7);
}

#[tokio::test]
async fn where_nothing_can_be_removed_the_damaged_copy_is_told() {
    let mut world = migrated(6).await;
    world.destination = world.destination.configure(|can| can.removes = false);
    damage(world.destination.account(), 2, other_body);
    let report = mend(&world, Mend::new(Depth::Content)).await;
    assert_eq!(report.status(), Status::CompleteWithFailures);
    assert_eq!((report.total().copied, report.total().doubled), (1, 1));
    assert_eq!(subjects(world.destination.account(), "INBOX").len(), 7);
    assert!(world.verify().await.is_clean());
    assert_eq!(world.run().await.total().doubled, 0, "told once");
}

#[tokio::test]
async fn what_was_removed_on_purpose_comes_back_only_when_asked_for() {
    let world = migrated(12).await;
    remove(world.destination.account(), "INBOX", &[2, 3]);
    let report = world.run().await;
    assert_eq!(report.total().removed_there, 2);
    let found = verify(&world, Depth::Meta).await;
    assert_eq!(what(&found), ["removed-there"; 2]);
    assert!(found.is_clean() && found.differences.iter().all(|one| one.known));
    assert_eq!(found.folders[0].known, 2);
    let report = mend(&world, Mend::new(Depth::Content)).await;
    assert_eq!(
        (report.total().copied, report.total().removed_there),
        (0, 2)
    );
    let asked = Mend::new(Depth::Meta).with_removed(true);
    assert_eq!(mend(&world, asked).await.total().copied, 2);
    world.assert_equal();
    assert_eq!(verify(&world, Depth::Content).await.differences.len(), 0);
}

#[tokio::test]
async fn a_damaged_copy_is_better_than_none() {
    let world = migrated(6).await;
    damage(world.destination.account(), 2, other_body);
    remove(world.source.account(), "INBOX", &[2]);
    for _ in 0..2 {
        let report = mend(&world, Mend::new(Depth::Content)).await;
        assert_eq!(report.total().copied, 0);
        assert_eq!(what(&verify(&world, Depth::Content).await), ["content"]);
        assert_eq!(subjects(world.destination.account(), "INBOX").len(), 6);
    }
    // Gone for the ledger as well.
    world.run().await;
    let report = mend(&world, Mend::new(Depth::Content)).await;
    assert_eq!(
        (report.total().copied, report.total().removed_there),
        (0, 0)
    );
    assert_eq!(subjects(world.destination.account(), "INBOX").len(), 6);
}

#[tokio::test]
async fn flags_of_the_destinations_own_stay() {
    let world = migrated(6).await;
    let (source, destination) = (world.source.account(), world.destination.account());
    flag(destination, "INBOX", 2, FlagOp::Add, &["\\Flagged"]);
    assert_eq!(what(&verify(&world, Depth::Meta).await), ["flags"]);
    mend(&world, Mend::new(Depth::Meta)).await;
    assert!(verify(&world, Depth::Meta).await.is_clean());
    flag(source, "INBOX", 2, FlagOp::Add, &["\\Seen"]);
    world.run().await;
    assert!(subjects(destination, "INBOX").contains(&"m1 \\Flagged \\Seen".to_owned()));
    assert!(verify(&world, Depth::Meta).await.is_clean());
}

#[tokio::test]
async fn verification_tells_what_no_pass_has_seen() {
    let world = migrated(6).await;
    add(world.source.account(), &["INBOX"], mail("late", 0));
    add(world.source.account(), &["New"], mail("new", 0));
    let found = verify(&world, Depth::Meta).await;
    assert!(!found.is_clean());
    let problems = found.folders.iter().filter_map(|folder| {
        let problem = folder.problem.as_ref()?;
        Some((folder.source.to_string(), problem.code.clone()))
    });
    let behind = "verify/behind".to_owned();
    assert_eq!(
        problems.collect::<Vec<_>>(),
        [
            ("INBOX".to_owned(), behind.clone()),
            ("New".to_owned(), behind)
        ]
    );
    // It is not for a targeted pass to bring; nor does that make the next one blind.
    remove(world.destination.account(), "INBOX", &[1]);
    assert_eq!(mend(&world, Mend::new(Depth::Meta)).await.total().copied, 1);
    assert!(!verify(&world, Depth::Meta).await.is_clean());
    assert_eq!(world.run().await.total().copied, 2);
    world.assert_equal();
    assert!(world.verify().await.is_clean());
}

#[tokio::test]
async fn messages_that_failed_or_were_never_reached_are_taken_up() {
    let world = migrated(6).await;
    add(world.source.account(), &["INBOX"], mail("late", 0));
    world
        .store
        .die_at_commit(world.store.commits() + 4, When::Before);
    assert_eq!(world.try_run().await.unwrap().status(), Status::Stopped);
    mend(&world, Mend::new(Depth::Meta)).await;
    world.run().await;
    world.assert_equal();
    assert!(world.verify().await.is_clean());
}

/// A scene in which all is to be mended: lost ones, damaged ones, a lost folder, identical pairs.
async fn broken() -> World {
    let world = World::new();
    let (source, destination) = (world.source.account(), world.destination.account());
    for n in 0..16 {
        add(source, &["INBOX"], mail(&format!("m{}", n / 2), n / 2));
    }
    for n in 0..6 {
        add(source, &["Work"], mail(&format!("w{n}"), n));
    }
    world.run().await;
    let inbox = destination.folder(&["INBOX"]).unwrap().id;
    destination.remove(inbox, &[1, 4, 5]).unwrap();
    damage(destination, 8, other_body);
    damage(destination, 9, other_body);
    damage(destination, 10, truncated);
    destination.delete(&["Work"]).unwrap();
    world
}

async fn until_mended(world: &World) {
    let pass = async || world.migration().mend(Mend::new(Depth::Content)).await;
    world.until(pass).await;
}

/// As [`World::assert_equal`], and the ledger says so too.
async fn is_whole(world: &World, point: &str) {
    let expected = Snapshot::of(world.source.account());
    let found = Snapshot::of(world.destination.account());
    if let Err(difference) = expected.diff(&found).none() {
        panic!("{point}: {difference}");
    }
    assert!(world.verify().await.is_clean(), "{point}");
    assert_eq!(world.store.intents(&world.job()), [], "{point}");
}

#[tokio::test]
async fn killed_at_every_commit_of_a_mending_pass() {
    let world = broken().await;
    let start = world.store.commits();
    until_mended(&world).await;
    is_whole(&world, "undisturbed").await;
    let most = world.store.commits() - start;
    assert!(most >= 10, "{most} commits are too few to mean anything");
    for n in 1..=most {
        for when in [When::Before, When::After] {
            // The one who comes after may mend, or not know of it.
            for knows in [true, false] {
                if n == 1 && when == When::Before && !knows {
                    // Nobody has heard of it: few missing ones are taken for removed.
                    continue;
                }
                let world = broken().await;
                world.store.die_at_commit(world.store.commits() + n, when);
                let died = world.migration().mend(Mend::new(Depth::Content)).await;
                assert!(died.is_err() || died.is_ok_and(|r| r.status() != Status::Complete));
                if !knows {
                    let _ = world.try_run().await;
                }
                until_mended(&world).await;
                is_whole(&world, &format!("commit {n}, {when:?}, {knows}")).await;
            }
        }
    }
}

#[tokio::test]
async fn what_a_mending_pass_sent_lands_late() {
    for lost in 0..6 {
        for late in [1, 9] {
            let world = broken().await;
            world.destination.arm(Fault::Append(
                lost,
                AppendFault::Unknown(Landing::At(Duration::from_secs(NOW.unsigned_abs() + late))),
            ));
            world
                .store
                .die_at_commit(world.store.commits() + 9, When::Before);
            let _ = world.migration().mend(Mend::new(Depth::Content)).await;
            until_mended(&world).await;
            world.destination.land();
            is_whole(&world, &format!("{lost} landing after {late} s")).await;
        }
    }
}
