//! Dead letters that the ledger does not know of: written just before a kill, or left by a state that
//! is lost.

use mailmove_core::{
    ErrorKind, Report, Result,
    model::FolderPath,
    report::Status,
    store::{MemoryStore, When},
};
use mailmove_testkit::memory::{Fault, Predicate};

use crate::world::{World, add, mail, subjects};

/// What becomes of the source after the kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Stays,
    MessagesGone,
    FolderGone,
    Renamed,
}

const THEN: [Then; 4] = [
    Then::Stays,
    Then::MessagesGone,
    Then::FolderGone,
    Then::Renamed,
];

/// Two of five messages cannot be delivered; with `later`, there was a pass before they came.
async fn scene(later: bool, too_large: bool) -> World {
    let mut world = World::new();
    let source = world.source.account().clone();
    for n in [0, 2, 4] {
        add(&source, &["Work"], mail(&format!("m{n}"), n));
    }
    if later {
        world.run().await;
    }
    for n in [1, 3] {
        let mut message = mail(&format!("m{n}"), n);
        if too_large {
            let mut body = message.body.to_vec();
            body.resize(100_000, b'x');
            body.extend(b"\r\n");
            message.body = body.into();
        }
        add(&source, &["Work"], message);
    }
    set_poison(&mut world, too_large);
    world
}

fn set_poison(world: &mut World, too_large: bool) {
    if too_large {
        let destination = world.destination.clone();
        world.destination = destination.configure(|can| can.max_message = Some(50_000));
        return;
    }
    for subject in ["m1", "m3"] {
        let poison = Predicate::holding(format!("Subject: {subject}\r\n"));
        world
            .destination
            .arm(Fault::Refuse(poison, ErrorKind::Refused));
    }
}

fn cure(world: &mut World) {
    world.destination.disarm();
    let destination = world.destination.clone();
    world.destination = destination.configure(|can| can.max_message = None);
}

fn change(world: &World, then: Then) {
    let source = world.source.account();
    let work = source.folder(&["Work"]).unwrap().id;
    match then {
        Then::Stays => {}
        Then::MessagesGone => {
            let uids = source.uids(work).unwrap();
            source.remove(work, &uids).unwrap();
        }
        Then::FolderGone => source.delete(&["Work"]).unwrap(),
        Then::Renamed => source.rename(&["Work"], &["Other"]).unwrap(),
    }
}

async fn retry(world: &World) -> Result<Report> {
    let report = world.migration().retry().await;
    world.no_violations();
    report
}

/// Each message whose letter there is arrives once, in the folder it was meant for; nothing is left.
async fn assert_rescued(world: &World, run_first: bool, what: &str) {
    let kept: Vec<String> = world
        .letters
        .all()
        .into_iter()
        .map(|(letter, content)| {
            let text = String::from_utf8(content.unwrap().to_vec()).unwrap();
            assert_eq!(letter.to, FolderPath::new(["Work"]));
            text.lines()
                .find_map(|line| line.strip_prefix("Subject: "))
                .unwrap()
                .to_owned()
        })
        .collect();
    if run_first {
        world.run().await;
    }
    retry(world).await.unwrap();
    let report = world.run().await;
    assert_eq!(report.status(), Status::Complete, "{what}: {report:#?}");
    assert!(world.letters.all().is_empty(), "{what}");
    let there = subjects(world.destination.account(), "Work");
    for subject in ["m0", "m1", "m2", "m3", "m4"] {
        let count = there.iter().filter(|one| *one == subject).count();
        let least = usize::from(kept.iter().any(|kept| kept == subject));
        assert!((least..=1).contains(&count), "{what}: {subject}: {there:?}");
    }
    // Known from now on: nothing comes twice.
    retry(world).await.unwrap();
    world.run().await;
    assert_eq!(
        subjects(world.destination.account(), "Work"),
        there,
        "{what}"
    );
    assert_eq!(world.destination.account().folders().len(), 2, "{what}");
}

#[tokio::test]
async fn killed_at_every_commit_a_letter_is_taken_up() {
    let mut letters = [0; THEN.len()];
    for (later, too_large) in [(false, false), (false, true), (true, false), (true, true)] {
        let world = scene(later, too_large).await;
        let start = world.store.commits();
        world.try_run().await.unwrap();
        let most = world.store.commits() - start;
        for n in 1..=most {
            for (at, then) in THEN.into_iter().enumerate() {
                for (when, run_first) in [
                    (When::Before, false),
                    (When::Before, true),
                    (When::After, false),
                    (When::After, true),
                ] {
                    let mut world = scene(later, too_large).await;
                    world.store.die_at_commit(world.store.commits() + n, when);
                    let _ = world.try_run().await;
                    if world.letters.all().is_empty() {
                        continue;
                    }
                    change(&world, then);
                    cure(&mut world);
                    letters[at] += world.letters.all().len();
                    let what = format!("{later} {too_large} {n} {when:?} {then:?} {run_first}");
                    assert_rescued(&world, run_first, &what).await;
                }
            }
        }
    }
    assert!(letters.iter().all(|count| *count >= 60), "{letters:?}");
}

#[tokio::test]
async fn letters_outlive_a_lost_state() {
    for then in [Then::Stays, Then::MessagesGone, Then::FolderGone] {
        for run_first in [false, true] {
            let mut world = scene(false, false).await;
            // Numbers mean other folders in the next ledger.
            add(world.source.account(), &["Aaa"], mail("other", 1));
            world.try_run().await.unwrap();
            assert_eq!(world.letters.all().len(), 2);
            world.store = MemoryStore::new();
            world.source.account().delete(&["Aaa"]).unwrap();
            world.destination.account().delete(&["Aaa"]).unwrap();
            change(&world, then);
            cure(&mut world);
            assert_rescued(&world, run_first, &format!("{then:?} {run_first}")).await;
        }
    }
}

#[tokio::test]
async fn a_letter_of_an_earlier_version_is_taken_up() {
    use mailmove_core::dead_letter::DeadLetters as _;
    let mut world = scene(false, false).await;
    world.try_run().await.unwrap();
    world.store = MemoryStore::new();
    for (mut letter, content) in world.letters.all() {
        letter.identity.clear();
        let content = content.map(mailmove_core::model::Content::from_bytes);
        world.letters.keep(&letter, content.as_ref()).await.unwrap();
    }
    assert_eq!(world.letters.all().len(), 2);
    change(&world, Then::MessagesGone);
    cure(&mut world);
    assert_rescued(&world, false, "earlier version").await;
}
