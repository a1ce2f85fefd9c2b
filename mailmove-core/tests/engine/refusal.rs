//! What a destination refuses is repaired if it can be, and kept as it came if not.

use std::time::Duration;

use mailmove_core::{
    ErrorKind, RepairPolicy,
    checkpoint::ItemState,
    edge::{MemoryBudget, Spool},
    model::{AlterationKind, Batching, ContentDigest},
    repair::repair,
    report::Status,
    store::{MemoryStore, When},
};
use mailmove_testkit::{
    mailbox::{Account, InternalDate, NewMessage},
    memory::{AppendFault, Fault, Landing, Predicate},
};

use crate::world::{NOW, World, add, mail, of, subjects};

/// Refuses what strict servers refuse.
fn strict(account: &Account) {
    account.configure(|limits| {
        limits.refuse_nul = true;
        limits.refuse_bare_newlines = true;
        limits.refuse_8bit_header = true;
        limits.max_line_length = Some(998);
    });
}

fn odd(subject: &str, body: &str) -> NewMessage {
    let text = format!(
        "Received: from x by y; Mon, 1 Jun 2026 10:00:00 +0000\r\nMessage-ID: <{}@example.org>\r\n\
         Subject: {subject}\r\n\r\n{body}",
        subject.len() + body.len()
    );
    NewMessage::new(text).with_date(InternalDate::utc(NOW - 1000))
}

/// Four messages that a strict destination refuses, between some that it takes.
pub(crate) fn scene(atomic: bool) -> World {
    let mut world = World::new();
    world.destination = world
        .destination
        .configure(|can| can.batching = Batching::new(4, 1 << 20, atomic));
    strict(world.destination.account());
    let source = world.source.account();
    for n in 0..8 {
        add(source, &["INBOX"], mail(&format!("m{n}"), n));
        let message = match n {
            1 => odd("nul", "a\0b\r\n"),
            3 => odd("lf", "a\nb\r\n"),
            5 => odd("Gr\u{fc}\u{df}e", "eight bits\r\n"),
            6 => odd("long", &format!("{}\r\n", "long ".repeat(400))),
            _ => continue,
        };
        add(source, &["INBOX"], message);
    }
    world
}

/// Folder and content of all messages, sorted; repaired if a strict server would refuse them.
fn contents(account: &Account, repaired: bool) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    for folder in account.folders() {
        for message in account.messages(folder.id).unwrap() {
            let body = message.body.to_vec();
            let now = repair(&body).filter(|_| repaired).map(|now| now.bytes);
            out.push((folder.path.join("/"), now.unwrap_or(body)));
        }
    }
    out.sort();
    out
}

#[track_caller]
pub(crate) fn assert_arrived(world: &World) {
    let expected = contents(world.source.account(), true);
    let found = contents(world.destination.account(), false);
    let texts = |all: &[(String, Vec<u8>)]| {
        let text = |(folder, body): &(String, Vec<u8>)| {
            format!(
                "{folder}: {}",
                String::from_utf8_lossy(&body[..body.len().min(160)])
            )
        };
        all.iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(texts(&found), texts(&expected));
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_is_refused_arrives_repaired_and_is_told() {
    for atomic in [true, false] {
        let world = scene(atomic);
        let report = world.run().await;
        assert_arrived(&world);
        let line = of(&report, "INBOX");
        assert_eq!((line.tally.copied, line.tally.failed), (12, 0));
        assert_eq!(line.altered.get(&AlterationKind::ContentRepaired), Some(&4));
        assert_eq!(report.repaired.len(), 4, "{report:#?}");
        assert!(world.letters.all().is_empty());
        for told in &report.repaired {
            assert!(told.what.contains("refused as it was: refused"), "{told:?}");
            assert_ne!(Some(told.original), told.sent);
        }
        // The ledger knows both: what the source holds, and what was sent.
        let source = contents(world.source.account(), false);
        let there = contents(world.destination.account(), false);
        let known = |all: &[(String, Vec<u8>)], digest: ContentDigest| {
            all.iter()
                .any(|(_, body)| ContentDigest::of(body) == digest)
        };
        let rows = world.rows();
        assert_eq!(
            rows.iter().filter(|one| one.row.original.is_some()).count(),
            4
        );
        for stored in &rows {
            assert!(known(&source, stored.row.source_digest().unwrap()));
            assert!(known(&there, stored.row.digest.unwrap()));
        }
        assert!(world.verify().await.is_clean());
        let appended = world.destination.counters().appended;
        world.run().await;
        assert_eq!(world.destination.counters().appended, appended);
        assert_arrived(&world);
    }
}

#[tokio::test]
async fn without_repairs_it_is_kept_as_it_came() {
    let mut world = scene(true);
    world.options.repair = RepairPolicy::Off;
    let report = world.try_run().await.unwrap();
    assert_eq!(report.status(), Status::CompleteWithFailures);
    let line = of(&report, "INBOX");
    assert_eq!((line.tally.copied, line.tally.failed), (8, 4));
    assert!(line.is_closed());
    let letters = world.letters.all();
    assert_eq!(letters.len(), 4);
    let source = contents(world.source.account(), false);
    for (letter, content) in &letters {
        let content = content.as_ref().unwrap();
        assert!(source.iter().any(|(_, body)| body == content));
        assert_eq!(letter.digest, Some(ContentDigest::of(content)));
        assert_eq!(
            (letter.size, letter.tries, letter.pass),
            (content.len() as u64, 1, 1)
        );
        assert_eq!(letter.code, "refused");
        let failure = report
            .failures
            .iter()
            .find(|one| one.message == letter.message);
        assert!(failure.unwrap().dead_letter.is_some());
    }
    // It fails again, and is kept once.
    world.try_run().await.unwrap();
    let letters = world.letters.all();
    assert_eq!(letters.len(), 4);
    assert!(
        letters
            .iter()
            .all(|(letter, _)| letter.tries == 2 && letter.pass == 2)
    );
    // Now it may be repaired: nothing is kept that was delivered.
    world.options.repair = RepairPolicy::AfterRefusal;
    world.run().await;
    assert_arrived(&world);
    assert!(world.letters.all().is_empty());
    assert!(world.rows().iter().all(|one| one.row.dead_letter.is_none()));
}

#[tokio::test]
async fn what_is_refused_repaired_too_is_kept_as_it_came() {
    let world = scene(true);
    let poison = Predicate::new(|message| {
        let bytes = message.content.as_bytes().unwrap();
        bytes.windows(5).any(|w| w == b"a=00b" || w == b"a\0b\r\n")
    });
    world
        .destination
        .arm(Fault::Refuse(poison, ErrorKind::Refused));
    let report = world.try_run().await.unwrap();
    assert_eq!(of(&report, "INBOX").tally.failed, 1);
    assert_eq!(report.repaired.len(), 3);
    let letters = world.letters.all();
    let [(letter, Some(content))] = letters.as_slice() else {
        panic!("{letters:?}")
    };
    assert!(content.ends_with(b"a\0b\r\n"));
    assert!(letter.reason.contains("repaired"), "{}", letter.reason);
    let row = world
        .rows()
        .into_iter()
        .find(|one| one.row.state == ItemState::Failed);
    let row = row.unwrap().row;
    assert_eq!((row.original, row.digest), (None, letter.digest));
    assert!(row.altered.is_empty() && row.attempts == 1);
    world.destination.disarm();
    world.run().await;
    assert_arrived(&world);
    assert!(world.letters.all().is_empty());
}

#[tokio::test]
async fn doubt_about_a_repaired_message_is_settled_by_what_was_sent() {
    for atomic in [true, false] {
        for landing in [
            Landing::Stored,
            Landing::Lost,
            Landing::At(Duration::from_secs(NOW.unsigned_abs() + 1)),
            Landing::At(Duration::from_secs(NOW.unsigned_abs() + 9)),
        ] {
            let mut world = World::new();
            world.destination = world
                .destination
                .configure(|can| can.batching = Batching::new(4, 1 << 20, atomic));
            strict(world.destination.account());
            add(world.source.account(), &["INBOX"], odd("nul", "a\0b\r\n"));
            // The first is refused as it is; this is its repaired form.
            world
                .destination
                .arm(Fault::Append(1, AppendFault::Unknown(landing)));
            let report = world.try_run().await.unwrap();
            assert_eq!(
                report.status(),
                Status::Complete,
                "{landing:?}: {report:#?}"
            );
            assert_eq!(report.repaired.len(), 1);
            world.destination.land();
            assert_arrived(&world);
            world.run().await;
            assert_arrived(&world);
        }
    }
}

/// Found by what was sent, not by chance: each row says copied, and knows what is there.
#[track_caller]
fn assert_recorded(world: &World, settled: bool) {
    let there = contents(world.destination.account(), false);
    let mut repaired = 0;
    for stored in world.rows() {
        let row = stored.row;
        assert!(!settled || row.state == ItemState::Copied, "{row:?}");
        let digest = row.digest.unwrap();
        assert!(
            there
                .iter()
                .any(|(_, body)| ContentDigest::of(body) == digest)
        );
        let kinds: Vec<_> = row.altered.iter().map(|note| note.kind).collect();
        let expected = &[AlterationKind::ContentRepaired][..usize::from(row.original.is_some())];
        assert_eq!(kinds, expected, "{row:?}");
        repaired += usize::from(row.original.is_some());
    }
    assert_eq!(repaired, 4);
}

#[tokio::test]
async fn killed_at_every_commit_it_arrives_once() {
    for landing in [
        None,
        Some(Landing::At(Duration::from_secs(NOW.unsigned_abs() + 5))),
    ] {
        let world = scene(true);
        world.run().await;
        let most = world.store.commits();
        for n in 1..=most {
            for when in [When::Before, When::After] {
                let world = scene(true);
                if let Some(landing) = landing {
                    let fault = AppendFault::Unknown(landing);
                    for at in [2, 6, 9] {
                        world.destination.arm(Fault::Append(at, fault));
                    }
                }
                world.store.die_at_commit(n, when);
                world.until_done().await;
                world.destination.land();
                assert_arrived(&world);
                world.run().await;
                assert_arrived(&world);
                assert!(world.letters.all().is_empty());
                assert_recorded(&world, landing.is_none());
            }
        }
    }
}

#[tokio::test]
async fn a_lost_state_recognises_repaired_copies() {
    for keeps in [true, false] {
        let mut world = scene(true);
        world.destination = world.destination.configure(|can| can.keeps_bytes = keeps);
        world.run().await;
        world.store = MemoryStore::new();
        let appended = world.destination.counters().appended;
        let report = world.run().await;
        assert_eq!(world.destination.counters().appended, appended);
        assert_eq!(of(&report, "INBOX").tally.already_there, 12);
        assert_eq!(report.repaired.len(), 4);
        assert_arrived(&world);
        assert!(world.verify().await.is_clean());
        world.run().await;
        assert_arrived(&world);
    }
}

#[tokio::test]
async fn a_repaired_message_that_moves_at_the_source_moves() {
    let world = scene(true);
    world.run().await;
    let source = world.source.account();
    let inbox = source.folder(&["INBOX"]).unwrap().id;
    let work = source.create(&["Work"]).unwrap();
    let uids = source.uids(inbox).unwrap();
    source.move_messages(inbox, &uids, work).unwrap();
    let appended = world.destination.counters().appended;
    let report = world.run().await;
    assert_eq!(world.destination.counters().appended, appended);
    assert_eq!(of(&report, "Work").tally.moved, 12);
    assert_arrived(&world);
    let repaired = world.rows().into_iter().filter(|one| {
        let row = &one.row;
        !row.gone && row.original.is_some() && !row.altered.is_empty()
    });
    assert_eq!(repaired.count(), 4);
    assert!(world.verify().await.is_clean());
    world.run().await;
    assert_arrived(&world);
}

#[tokio::test]
async fn a_full_disk_is_told_and_loses_nothing() {
    let mut world = scene(true);
    world.options.repair = RepairPolicy::Off;
    world.letters.set_full(true);
    let report = world.try_run().await.unwrap();
    assert_eq!(report.not_kept.as_ref().unwrap().code, "dead-letter/full");
    assert_eq!(of(&report, "INBOX").tally.failed, 4);
    assert!(report.failures.iter().all(|one| one.dead_letter.is_none()));
    assert!(world.letters.all().is_empty());
    world.letters.set_full(false);
    let report = world.try_run().await.unwrap();
    assert!(report.not_kept.is_none());
    assert_eq!(world.letters.all().len(), 4);
}

#[tokio::test]
async fn what_cannot_be_fetched_has_a_letter_without_content() {
    let mut world = World::new();
    world.source = world.source.with_inline(None);
    for n in 0..3 {
        add(
            world.source.account(),
            &["INBOX"],
            mail(&format!("m{n}"), n),
        );
    }
    world.source.arm(Fault::FetchRefused(1, ErrorKind::Refused));
    let report = world.try_run().await.unwrap();
    assert_eq!(of(&report, "INBOX").tally.failed, 1);
    let letters = world.letters.all();
    let [(letter, None)] = letters.as_slice() else {
        panic!("{letters:?}")
    };
    assert_eq!((letter.content.as_ref(), letter.digest), (None, None));
    assert_eq!(letter.message, report.failures[0].message);
    world.run().await;
    world.assert_equal();
    assert!(world.letters.all().is_empty());
}

/// Four messages are in doubt, the first lands late; sent again they are refused, and the disk is full
/// when the third is repaired.
async fn disk_full_amid_repairs() -> World {
    let mut world = scene_of_repairs();
    let full = tempfile::NamedTempFile::new().unwrap();
    let spool = Spool::new(full.path(), MemoryBudget::new(8 * 1000));
    let edges = world.edges.clone();
    world.edges = edges.clone().with_spool(spool);
    let late = Landing::At(Duration::from_secs(NOW.unsigned_abs() + 90));
    world
        .destination
        .arm(Fault::Append(0, AppendFault::Ends(late)));
    for (name, kind) in [
        ("a\nb", ErrorKind::Refused),
        ("later", ErrorKind::Unavailable),
    ] {
        let poison = Predicate::holding(name);
        world.destination.arm(Fault::Refuse(poison, kind));
    }
    let report = world.try_run().await.unwrap();
    let told = report.stopped.as_ref();
    let told = told.or(of(&report, "INBOX").problem.as_ref());
    assert_eq!(told.unwrap().code, "spool/create", "{report:#?}");
    world.edges = edges;
    world.destination.disarm();
    world
}

fn scene_of_repairs() -> World {
    let mut world = World::new();
    world.destination = world
        .destination
        .configure(|can| can.batching = Batching::new(4, 1 << 20, false));
    let source = world.source.account();
    for (n, lines) in [(0, 1), (1, 0), (2, 200), (3, 1)] {
        let body = match lines {
            0 => "later\r\n".to_owned(),
            _ => format!("{n}\r\n{}", "a\nb\r\n".repeat(lines)),
        };
        add(source, &["INBOX"], odd(&format!("m{n}"), &body));
    }
    world
}

#[tokio::test]
async fn a_disk_that_is_full_amid_repairs_forgets_nothing_that_was_sent_twice() {
    let world = disk_full_amid_repairs().await;
    let rows = world.rows();
    assert!(world.store.intents(&world.job()).is_empty());
    assert_eq!(rows.len(), 4);
    for stored in rows {
        let row = stored.row;
        assert!(row.resent && row.state == ItemState::Pending, "{row:?}");
        // What may land is as it came.
        assert!(row.original.is_none() && row.altered.is_empty(), "{row:?}");
    }
    // What lands after the next run has sent it again is removed.
    world.run().await;
    assert_eq!(world.destination.in_flight(), 0);
    assert_eq!(
        subjects(world.destination.account(), "INBOX"),
        ["m0", "m1", "m2", "m3"]
    );
}

#[tokio::test]
async fn what_is_too_large_to_be_repaired_says_so() {
    let world = World::new();
    strict(world.destination.account());
    let most = usize::try_from(mailmove_core::repair::LARGEST).unwrap();
    let source = world.source.account();
    for size in [100, most] {
        let body = format!("{}\n", "x\r\n".repeat(size / 3));
        add(source, &["INBOX"], odd("large", &body));
    }
    let report = world.try_run().await.unwrap();
    let tally = of(&report, "INBOX").tally;
    assert_eq!((tally.copied, tally.failed), (1, 1), "{report:#?}");
    let failure = &report.failures[0];
    assert!(failure.size > most as u64);
    assert!(failure.reason.contains("not repaired"), "{failure:?}");
    let remedy = failure.remedy.as_ref().unwrap();
    assert!(remedy.contains("more than 32 MiB"), "{remedy}");
    let letters = world.letters.all();
    assert_eq!(letters[0].0.remedy.as_ref(), Some(remedy));
}
