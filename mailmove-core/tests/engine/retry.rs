//! What failed is taken up again, and nothing else.

use mailmove_core::{
    ErrorKind, Mend, RepairPolicy, Report, destination::Depth, report::Status, store::When,
};
use mailmove_testkit::memory::{Fault, Predicate};

use crate::{
    refusal,
    world::{World, add, mail, of, subjects},
};

async fn retry(world: &World) -> Report {
    let report = world.migration().retry().await.unwrap();
    world.no_violations();
    report
}

/// Two of five messages were refused; then a new one came.
async fn scene() -> World {
    scene_of(World::new()).await
}

async fn scene_of(world: World) -> World {
    for n in 0..5 {
        add(world.source.account(), &["Work"], mail(&format!("m{n}"), n));
    }
    for subject in ["m1", "m3"] {
        let poison = Predicate::holding(format!("Subject: {subject}\r\n"));
        world
            .destination
            .arm(Fault::Refuse(poison, ErrorKind::Refused));
    }
    let report = world.try_run().await.unwrap();
    assert_eq!(of(&report, "Work").tally.failed, 2);
    add(world.source.account(), &["Work"], mail("new", 0));
    world
}

#[tokio::test]
async fn only_what_failed_is_tried_again() {
    let world = scene().await;
    let lists = world.source.counters().lists;
    let report = retry(&world).await;
    assert_eq!(report.status(), Status::CompleteWithFailures);
    let tally = of(&report, "Work").tally;
    assert_eq!((tally.found, tally.earlier, tally.failed), (5, 3, 2));
    assert_eq!(world.letters.all()[0].0.tries, 2);
    world.destination.disarm();
    let report = retry(&world).await;
    assert_eq!(report.status(), Status::Complete, "{report:#?}");
    assert_eq!(of(&report, "Work").tally.copied, 2);
    assert_eq!(
        world.source.counters().lists,
        lists,
        "a retry lists nothing"
    );
    assert!(world.letters.all().is_empty());
    assert_eq!(
        subjects(world.destination.account(), "Work"),
        ["m0", "m1", "m2", "m3", "m4"]
    );
    // Nothing is left to retry; the next pass brings what is new.
    let report = retry(&world).await;
    assert_eq!(
        (report.status(), report.total().copied),
        (Status::Complete, 0)
    );
    world.run().await;
    world.assert_equal();
}

#[tokio::test]
async fn a_retry_may_repair() {
    let mut world = refusal::scene(true);
    world.options.repair = RepairPolicy::Off;
    world.try_run().await.unwrap();
    world.options.repair = RepairPolicy::AfterRefusal;
    let report = retry(&world).await;
    assert_eq!(
        (report.status(), report.repaired.len()),
        (Status::Complete, 4)
    );
    refusal::assert_arrived(&world);
    assert!(world.letters.all().is_empty());
}

#[tokio::test]
async fn what_the_source_has_no_more_comes_from_its_letter() {
    // Expunged at the source: with a pass that saw it gone, and without; or its whole folder went.
    // Some destinations name no marks with their folders.
    for how in [
        "seen gone",
        "not seen",
        "folder gone",
        "folder gone, no marks",
    ] {
        let mut world = World::new();
        if how.ends_with("no marks") {
            world.destination = world.destination.with_marks_on_demand();
        }
        let world = scene_of(world).await;
        let source = world.source.account();
        let work = source.folder(&["Work"]).unwrap().id;
        match how {
            _ if how.starts_with("folder gone") => {
                source.delete(&["Work"]).unwrap();
                world.try_run().await.unwrap();
            }
            _ => {
                source.remove(work, &[2, 4]).unwrap();
            }
        }
        if how == "seen gone" {
            world.try_run().await.unwrap();
        }
        assert_eq!(world.letters.all().len(), 2, "{how}");
        world.destination.disarm();
        let report = retry(&world).await;
        let total = report.total();
        let expected = if how == "not seen" { (2, 0) } else { (0, 2) };
        assert_eq!(
            (total.copied, total.rescued),
            expected,
            "{how}: {report:#?}"
        );
        assert_eq!(report.status(), Status::Complete, "{how}");
        let there = subjects(world.destination.account(), "Work");
        for subject in ["m1", "m3"] {
            let count = there.iter().filter(|one| *one == subject).count();
            assert_eq!(count, 1, "{how}");
        }
        assert!(world.letters.all().is_empty(), "{how}");
        // Known from now on: nothing comes twice.
        world.run().await;
        retry(&world).await;
        assert_eq!(
            subjects(world.destination.account(), "Work")
                .iter()
                .filter(|one| *one == "m1")
                .count(),
            1
        );
    }
}

#[tokio::test]
async fn killed_at_every_commit_a_retry_sends_once() {
    async fn gone() -> World {
        let world = scene().await;
        let source = world.source.account();
        let work = source.folder(&["Work"]).unwrap().id;
        // One is there still, the other one is not.
        source.remove(work, &[2]).unwrap();
        world.try_run().await.unwrap();
        world.destination.disarm();
        world
    }
    let world = gone().await;
    let start = world.store.commits();
    retry(&world).await;
    let most = world.store.commits() - start;
    assert!(most > 3, "{most}");
    for n in 1..=most {
        for when in [When::Before, When::After] {
            let world = gone().await;
            world.store.die_at_commit(world.store.commits() + n, when);
            world.until(async || world.migration().retry().await).await;
            world.run().await;
            assert!(world.letters.all().is_empty(), "{n} {when:?}");
            assert_eq!(
                subjects(world.destination.account(), "Work"),
                ["m0", "m1", "m2", "m3", "m4", "new"],
                "{n} {when:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_moved_at_the_source_is_not_sent_from_its_letter() {
    let world = scene().await;
    let source = world.source.account();
    let work = source.folder(&["Work"]).unwrap().id;
    let other = source.create(&["Other"]).unwrap();
    source.move_messages(work, &[2], other).unwrap();
    world.destination.disarm();
    world.run().await;
    retry(&world).await;
    world.assert_equal();
}

/// Whoever lists nothing cannot say that the sums do not hold.
#[tokio::test]
async fn after_a_pass_that_was_killed_a_retry_and_a_repair_tell_no_mismatch() {
    let mut most = 0;
    for (n, repair) in (1..16).flat_map(|n| [(n, false), (n, true)]) {
        let world = scene().await;
        for new in 0..3 {
            let message = mail(&format!("new{new}"), 0);
            add(world.source.account(), &["Work"], message);
        }
        let commits = world.store.commits();
        world.store.die_at_commit(commits + n, When::After);
        let _ = world.try_run().await;
        world.store.disarm();
        let report = if repair {
            let what = Mend::new(Depth::Content);
            world.migration().mend(what).await.unwrap()
        } else {
            retry(&world).await
        };
        assert_ne!(
            report.status(),
            Status::Mismatch,
            "{n}, {repair}: {report:#?}"
        );
        most = most.max(report.total().open);
    }
    assert!(most > 0, "nothing was ever left open");
}

#[tokio::test]
async fn what_was_delivered_where_it_moved_to_is_not_sent_from_its_letter() {
    let world = scene().await;
    let source = world.source.account();
    let work = source.folder(&["Work"]).unwrap().id;
    let other = source.create(&["Other"]).unwrap();
    source.move_messages(work, &[2], other).unwrap();
    world.destination.disarm();
    world.run().await;
    source.remove(other, &[1]).unwrap();
    world.run().await;
    retry(&world).await;
    let there = world.destination.account();
    assert_eq!(subjects(there, "Other"), ["m1"]);
    assert_eq!(subjects(there, "Work"), ["m0", "m2", "m3", "m4", "new"]);
}
