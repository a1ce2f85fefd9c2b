//! Messages that are at the destination already.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use mailmove_core::{
    Event, Mend, Migration, Observer,
    destination::Depth,
    model::{Batching, FolderPath},
    report::Status,
    store::{MemoryStore, When},
};
use mailmove_testkit::{
    mailbox::{Account, InternalDate, Message, NewMessage},
    memory::Fault,
};

use crate::world::{NOW, World, add, mail, of, subjects};

#[tokio::test]
async fn a_lost_state_directory_doubles_nothing() {
    let world = World::with_corpus(200);
    world.run().await;
    let copied = world.destination.counters().appended;
    let world = World {
        store: mailmove_core::store::MemoryStore::new(),
        ..world
    };
    let report = world.run().await;
    world.assert_equal();
    assert_eq!(world.destination.counters().appended, copied);
    assert_eq!(report.total().already_there, report.total().found);
    assert!(world.verify().await.is_clean());
}

#[tokio::test]
async fn multiplicity_counts() {
    let world = World::new();
    let (source, destination) = (
        world.source.account().clone(),
        world.destination.account().clone(),
    );
    for _ in 0..3 {
        add(&source, &["INBOX"], mail("same", 1));
    }
    add(&destination, &["INBOX"], mail("same", 1));
    add(&destination, &["INBOX"], mail("own", 1));
    let report = world.run().await;
    let tally = of(&report, "INBOX").tally;
    assert_eq!((tally.copied, tally.already_there), (2, 1));
    assert_eq!(
        subjects(&destination, "INBOX"),
        ["own", "same", "same", "same"]
    );
}

#[tokio::test]
async fn an_equal_header_and_size_do_not_make_drafts_equal() {
    let world = World::new();
    let (source, destination) = (
        world.source.account().clone(),
        world.destination.account().clone(),
    );
    let draft = |text: &str| {
        let body = format!("Message-ID: <d@x>\r\nSubject: d\r\n\r\n{text}\r\n");
        NewMessage::new(Bytes::from(body)).with_flags(["\\Draft"])
    };
    add(&source, &["Drafts"], draft("second"));
    add(&destination, &["Drafts"], draft("first!"));
    let report = world.run().await;
    assert_eq!(of(&report, "Drafts").tally.copied, 1);
    assert_eq!(subjects(&destination, "Drafts").len(), 2);
}

#[tokio::test]
async fn messages_that_share_all_header_fields_and_the_size_are_told_apart() {
    // Two at the source, one of them at the destination: whichever comes first must not take it.
    for first in ["aaa", "bbb"] {
        let world = World::new();
        let body = |text: &str| {
            NewMessage::new(Bytes::from(format!(
                "Message-ID: <s@x>\r\nSubject: s\r\n\r\n{text}\r\n"
            )))
        };
        let second = if first == "aaa" { "bbb" } else { "aaa" };
        add(world.source.account(), &["INBOX"], body(first));
        add(world.source.account(), &["INBOX"], body(second));
        add(world.destination.account(), &["INBOX"], body("aaa"));
        world.run().await;
        world.assert_equal();
    }
}

#[tokio::test]
async fn mail_that_arrives_on_both_sides_during_the_migration_is_not_doubled() {
    let world = World::new();
    let (source, destination) = (
        world.source.account().clone(),
        world.destination.account().clone(),
    );
    add(&source, &["INBOX"], mail("a", 1));
    world.run().await;
    add(&source, &["INBOX"], mail("both", 0));
    add(&destination, &["INBOX"], mail("both", 0));
    let report = world.run().await;
    assert_eq!(of(&report, "INBOX").tally.already_there, 1);
    world.assert_equal();
}

#[tokio::test]
async fn flags_of_what_was_there_are_only_added_to() {
    let world = World::new();
    let (source, destination) = (
        world.source.account().clone(),
        world.destination.account().clone(),
    );
    add(&source, &["INBOX"], mail("a", 1).with_flags(["\\Seen"]));
    add(
        &destination,
        &["INBOX"],
        mail("a", 1).with_flags(["\\Flagged"]),
    );
    world.run().await;
    assert_eq!(subjects(&destination, "INBOX"), ["a \\Flagged \\Seen"]);
}

/// A message as another tool puts it there: with a field of its own, folded anew, and with today's date.
fn of_another_tool(message: &Message, n: usize) -> NewMessage {
    let text = String::from_utf8(message.body.to_vec()).unwrap();
    let text = match n % 3 {
        0 => text.replace("Subject: ", "X-TUID: aBcDeFgHiJkL\r\nSubject: "),
        1 => text.replace("Subject: ", "Subject:\r\n "),
        _ => text.replace("From: a@", "From:  a@"),
    };
    let date = InternalDate::utc(NOW);
    NewMessage::new(text).with_flags(["\\Seen"]).with_date(date)
}

#[tokio::test]
async fn what_another_tool_put_there_is_recognised() {
    for traced in [false, true] {
        let world = World::new();
        let (source, destination) = (world.source.account(), world.destination.account());
        for n in 0..20 {
            let mut one = mail(&format!("m{n}"), n);
            if traced {
                let body = [b"Received: from a by b; x\r\n", &one.body[..]].concat();
                one.body = Bytes::from(body);
            }
            add(source, &["INBOX"], one);
        }
        let inbox = source.folder(&["INBOX"]).unwrap().id;
        for (n, message) in source.messages(inbox).unwrap().iter().enumerate() {
            if n % 2 == 0 {
                add(destination, &["INBOX"], of_another_tool(message, n / 2));
            }
        }
        let report = world.run().await;
        let total = report.total();
        assert_eq!((total.copied, total.already_there), (10, 10), "{report:#?}");
        assert_eq!(subjects(destination, "INBOX").len(), 20);
        let found = world.verify().await;
        assert!(found.is_clean(), "{found:#?}");
        assert_eq!(found.folders[0].known, 10, "other bytes are told");
        let mended = world.migration().mend(Mend::new(Depth::Content)).await;
        assert_eq!(mended.unwrap().total().copied, 0);
        assert_eq!(world.run().await.total().copied, 0);
        // And again when nothing is remembered.
        let world = World {
            store: MemoryStore::new(),
            ..world
        };
        let total = world.run().await.total();
        assert_eq!((total.copied, total.already_there), (0, 20));
    }
}

#[tokio::test]
async fn twins_that_another_tool_put_there_stay_two() {
    let world = World::new();
    let (source, destination) = (world.source.account(), world.destination.account());
    for _ in 0..3 {
        add(source, &["INBOX"], mail("twin", 1));
    }
    let inbox = source.folder(&["INBOX"]).unwrap().id;
    for message in &source.messages(inbox).unwrap()[..2] {
        add(destination, &["INBOX"], of_another_tool(message, 0));
    }
    let total = world.run().await.total();
    assert_eq!((total.copied, total.already_there), (1, 2));
    assert_eq!(subjects(destination, "INBOX").len(), 3);
}

#[tokio::test]
async fn another_body_is_another_message() {
    let world = World::new();
    let (source, destination) = (world.source.account(), world.destination.account());
    add(source, &["INBOX"], mail("a", 1));
    let inbox = source.folder(&["INBOX"]).unwrap().id;
    let message = source.messages(inbox).unwrap().remove(0);
    let mut other = of_another_tool(&message, 0);
    let text = String::from_utf8(other.body.to_vec()).unwrap();
    other.body = Bytes::from(text.replace("Body of", "B0dy of"));
    add(destination, &["INBOX"], other);
    assert_eq!(world.run().await.total().copied, 1);
    assert_eq!(subjects(destination, "INBOX").len(), 2);
}

#[tokio::test]
async fn of_messages_that_differ_by_a_field_alone_each_arrives_as_it_is() {
    // One with a mark of a filter, one without: neither must take the other's place.
    for swapped in [false, true] {
        let world = World::new();
        let (source, destination) = (world.source.account(), world.destination.account());
        let plain = mail("a", 1);
        let text = String::from_utf8(plain.body.to_vec()).unwrap();
        let marked = text.replace("Subject: ", "X-Spam: no\r\nSubject: ");
        let marked = NewMessage::new(marked).with_date(plain.date.unwrap());
        let mut both = [marked, plain.clone()];
        if swapped {
            both.reverse();
        }
        for one in both {
            add(source, &["INBOX"], one);
        }
        add(destination, &["INBOX"], plain);
        world.run().await;
        world.assert_equal();
    }
}

#[tokio::test]
async fn a_message_that_is_there_is_its_own_twins_by_its_flags() {
    // One of them is there, whichever is looked for first.
    let twins = [&["\\Flagged"][..], &[], &["\\Seen"]];
    for turned in 0..3 {
        let world = World::new();
        let (source, destination) = (world.source.account(), world.destination.account());
        let twin = |flags: &[&str]| mail("a", 1).with_flags(flags.iter().copied());
        for at in 0..3 {
            add(source, &["INBOX"], twin(twins[(turned + at) % 3]));
        }
        add(destination, &["INBOX"], twin(&["\\Seen"]));
        assert_eq!(world.run().await.total().copied, 2);
        world.assert_equal();
        world.run().await;
        world.assert_equal();
    }
}

#[tokio::test]
async fn what_only_looks_like_a_twin_does_not_keep_a_message_from_its_own() {
    let world = World::new();
    let (source, destination) = (world.source.account(), world.destination.account());
    let draft = |body: &str| {
        let head = String::from_utf8(mail("a", 1).body.to_vec()).unwrap();
        NewMessage::new(head.replace("Body", body)).with_date(mail("a", 1).date.unwrap())
    };
    add(source, &["INBOX"], draft("Idea"));
    add(source, &["INBOX"], draft("Plan").with_flags(["\\Seen"]));
    add(
        destination,
        &["INBOX"],
        draft("Idea").with_flags(["\\Seen"]),
    );
    let report = world.run().await;
    let total = report.total();
    assert_eq!((total.copied, total.already_there), (1, 1), "{report:#?}");
    assert_eq!(subjects(destination, "INBOX").len(), 2);
}

/// Flags of identical messages.
type Twins = &'static [&'static [&'static str]];

/// Messages at the source, some that were at the destination before, and one that lands there before
/// event `at`. False if that was after all was done.
async fn one_lands(source: Twins, before: Twins, lands: &str, at: usize) -> (World, bool) {
    let world = World::new();
    let twin = |flags: &[&str]| mail("a", 1).with_flags(flags.iter().copied());
    for (account, twins) in [
        (world.source.account(), source),
        (world.destination.account(), before),
    ] {
        for flags in twins {
            add(account, &["INBOX"], twin(flags));
        }
        // So that it is known that there was an earlier run.
        add(account, &["Work"], mail("b", 1));
    }
    let seen = Arc::default();
    let late = Late {
        account: world.destination.account().clone(),
        messages: Mutex::new(vec![mail("a", 1).with_flags(lands.split_terminator(' '))]),
        at,
        seen: Arc::clone(&seen),
    };
    let migration = Migration::builder(world.source.clone(), world.destination.clone())
        .store(world.store.clone())
        .edges(world.edges.clone())
        .observer(late)
        .build()
        .unwrap();
    migration.run().await.unwrap();
    let (_, waited) = *seen.lock().unwrap();
    (world, at <= waited.unwrap())
}

/// What lands late has the flags that the message had then, or those of its twin.
#[tokio::test]
async fn what_lands_late_gets_the_flags_of_the_source() {
    type Found = &'static [&'static str];
    let cases: [(Twins, Twins, &str, &[Found]); 3] = [
        // Flagged since then.
        (&[&["\\Flagged"]], &[], "", &[&["a \\Flagged"]]),
        // Read since then; marked at the destination, as far as anybody knows.
        (
            &[&["\\Seen"]],
            &[],
            "\\Answered",
            &[&["a \\Answered \\Seen"]],
        ),
        // The twin's: that one has found another to be there, if it did not find this one.
        (
            &[&[], &["\\Seen"]],
            &[&["\\Flagged"]],
            "\\Seen",
            &[&["a", "a \\Flagged \\Seen"], &["a \\Flagged", "a \\Seen"]],
        ),
    ];
    for (source, before, lands, expected) in cases {
        let mut points = 0;
        let mut ends = std::collections::BTreeSet::new();
        for at in 0.. {
            let (world, in_time) = one_lands(source, before, lands, at).await;
            if !in_time {
                break;
            }
            points += 1;
            for _ in 0..2 {
                let found = subjects(world.destination.account(), "INBOX");
                let fits = expected.iter().any(|one| found == *one);
                assert!(fits, "{source:?} {before:?} {lands} {at}: {found:?}");
                ends.insert(found);
                world.run().await;
            }
        }
        assert!(points > 5, "{points}");
        assert_eq!(ends.len(), expected.len(), "{ends:?}");
    }
}

/// A mailbox that needs several batches, half of it there already. Of identical messages some are read
/// and some are not.
fn scene() -> World {
    scene_with(|n| n % 6 == 0)
}

fn scene_with(is_seen: impl Fn(usize) -> bool) -> World {
    let mut world = World::new();
    world.destination = world
        .destination
        .configure(|can| can.batching = Batching::new(4, 1 << 20, true));
    let (source, destination) = (world.source.account(), world.destination.account());
    for n in 0..24 {
        let flags: &[&str] = if is_seen(n) { &["\\Seen"] } else { &[] };
        let mail = mail(&format!("m{}", n / 2), i64::try_from(n / 2).unwrap());
        add(source, &["INBOX"], mail.with_flags(flags.iter().copied()));
    }
    for n in 0..10 {
        add(source, &["Work"], mail(&format!("w{n}"), n));
    }
    add(destination, &["INBOX"], mail("m3", 3));
    add(destination, &["Work"], mail("w1", 1));
    world
}

#[tokio::test]
async fn a_state_lost_in_the_middle_of_a_run_doubles_nothing() {
    let world = scene();
    world.run().await;
    world.assert_equal();
    for n in 1..=world.store.commits() {
        let world = scene();
        world.store.die_at_commit(n, When::Before);
        let _ = world.try_run().await;
        let world = World {
            store: MemoryStore::new(),
            ..world
        };
        world.until_done().await;
        world.assert_equal();
        assert!(world.verify().await.is_clean());
    }
}

/// Puts messages into the destination's inbox at a chosen event, as an append does that was under way.
#[derive(Debug)]
struct Late {
    account: Account,
    messages: Mutex<Vec<NewMessage>>,
    at: usize,
    /// Events so far, and up to the wait for what is late.
    seen: Arc<Mutex<(usize, Option<usize>)>>,
}

fn as_new(message: &Message) -> NewMessage {
    let flags: Vec<&str> = message.flags.iter().collect();
    let copy = NewMessage::new(message.body.clone()).with_flags(flags);
    copy.with_date(message.date)
}

impl Observer for Late {
    fn on(&self, event: &Event) {
        let mut seen = self.seen.lock().unwrap();
        if seen.0 == self.at {
            for message in self.messages.lock().unwrap().drain(..) {
                add(&self.account, &["INBOX"], message);
            }
        }
        if let Event::Note { text, .. } = event
            && text.contains("an earlier run")
        {
            seen.1 = Some(seen.0);
        }
        seen.0 += 1;
    }
}

/// How the mail of [`lands_late`] is, and what of it.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// Which of the messages are read.
    is_seen: fn(usize) -> bool,
    /// Messages of a batch; with three, twins may be torn apart.
    batch: usize,
    /// What lands of the next batch.
    lands: fn(&mut Vec<Message>),
}

const CASES: [Case; 5] = [
    Case {
        is_seen: |n| n % 6 == 0,
        batch: 4,
        lands: |_| {},
    },
    Case {
        is_seen: |n| n % 6 == 0,
        batch: 3,
        lands: |_| {},
    },
    Case {
        is_seen: |n| n % 2 == 1,
        batch: 3,
        lands: |missing| missing.reverse(),
    },
    Case {
        is_seen: |n| n % 2 == 0,
        batch: 3,
        lands: |missing| missing.truncate(1),
    },
    Case {
        is_seen: |n| n % 2 == 0,
        batch: 3,
        lands: |missing| drop(missing.remove(0)),
    },
];

/// A run that was killed after some batches, and its state lost. Then a run during which what the first
/// one had under way lands before event `at`. How many events there were until it waited for that.
async fn lands_late(case: Case, commits: u64, at: usize) -> Option<usize> {
    let mut world = scene_with(case.is_seen);
    world.destination = world
        .destination
        .configure(|can| can.batching = Batching::new(case.batch, 1 << 20, true));
    world.store.die_at_commit(commits, When::Before);
    let _ = world.try_run().await;
    let inbox = |account: &Account| {
        let folder = account.folder(&["INBOX"]).unwrap();
        account.messages(folder.id).unwrap()
    };
    let mut there = inbox(world.destination.account());
    let mut missing = inbox(world.source.account());
    // The next batch, in the order of the source.
    missing.retain(|message| {
        let equal = |other: &Message| other.body == message.body && other.flags == message.flags;
        match there.iter().position(equal) {
            Some(at) => {
                there.remove(at);
                false
            }
            None => true,
        }
    });
    missing.truncate(case.batch);
    (case.lands)(&mut missing);
    let seen = Arc::default();
    let late = Late {
        account: world.destination.account().clone(),
        messages: Mutex::new(missing.iter().map(as_new).collect()),
        at,
        seen: Arc::clone(&seen),
    };
    let world = World {
        store: MemoryStore::new(),
        ..world
    };
    let migration = Migration::builder(world.source.clone(), world.destination.clone())
        .store(world.store.clone())
        .edges(world.edges.clone())
        .observer(late)
        .build()
        .unwrap();
    let report = migration.run().await.unwrap();
    let (_, waited) = *seen.lock().unwrap();
    if at <= waited.unwrap_or(0) {
        assert_eq!(
            report.status(),
            Status::Complete,
            "{case:?} {commits} {at} {report:#?}"
        );
        world.assert_equal();
        assert!(world.verify().await.is_clean());
        assert_eq!(world.run().await.total().copied, 0);
        world.assert_equal();
    }
    waited
}

#[tokio::test]
async fn what_the_lost_run_had_under_way_may_land_later() {
    let mut points = 0;
    for case in CASES {
        for commits in [12, 20, 24, 25] {
            let waited = lands_late(case, commits, usize::MAX).await;
            for at in 0..=waited.unwrap() {
                lands_late(case, commits, at).await;
                points += 1;
            }
        }
    }
    assert!(points > 200, "{points} points are too few to mean anything");
}

#[tokio::test]
async fn a_folder_renumbered_at_any_moment_doubles_nothing() {
    let operations = |world: &World, of_source: bool| {
        let side = if of_source {
            &world.source
        } else {
            &world.destination
        };
        side.counters().operations
    };
    for of_source in [true, false] {
        let world = scene();
        world.run().await;
        let most = operations(&world, of_source);
        for n in 0..most {
            let world = scene();
            let side = if of_source {
                &world.source
            } else {
                &world.destination
            };
            side.arm(Fault::Renumber(n, FolderPath::inbox()));
            world.until_complete().await;
            world.assert_equal();
            // It may have been the very last one.
            world.until_complete().await;
            world.assert_equal();
            assert!(world.verify().await.is_clean(), "{of_source} {n}");
        }
    }
}
