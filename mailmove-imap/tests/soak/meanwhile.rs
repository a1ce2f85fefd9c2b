//! Everything at once: connections break, servers refuse for good and for now, and the source changes
//! while it is being copied.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use mailmove_core::report::Status;
use mailmove_imap_testserver::{Mixture, Script};
use mailmove_testkit::{
    mailbox::{Account, FlagOp, FolderInfo, InternalDate, NewMessage},
    proxy::Schedule,
    snapshot::Snapshot,
};

use crate::{FAULTS, world::World};

/// Seeds of a run, unless `MAILMOVE_MIX_SEEDS` (such as `1..100`) says otherwise.
const SEEDS: std::ops::Range<u64> = 1..5;

fn seeds() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("MAILMOVE_MIX_SEEDS") else {
        return SEEDS;
    };
    let (from, to) = text.split_once("..").unwrap();
    from.parse().unwrap()..to.parse().unwrap()
}

/// Numbers that go on from script to script.
#[derive(Clone, Default)]
struct Numbers(Arc<AtomicU64>);

impl Numbers {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn folder(&self, account: &Account) -> Option<FolderInfo> {
        let folders = account.folders();
        let at = usize::try_from(self.next() * 7).unwrap() % folders.len().max(1);
        folders.into_iter().nth(at)
    }

    fn message(&self, account: &Account) -> Option<(FolderInfo, u32)> {
        let folder = self.folder(account)?;
        let uids = account.uids(folder.id).ok()?;
        let at = usize::try_from(self.next() * 11).unwrap() % uids.len().max(1);
        Some((folder, *uids.get(at)?))
    }
}

fn new_mail(n: u64) -> NewMessage {
    let text = format!(
        "Received: from a by b; Mon, 1 Jun 2026 10:00:00 +0000\r\nMessage-ID: <new{n}@example.org>\r\n\
         Subject: new {n}\r\n\r\nCame meanwhile.\r\n"
    );
    NewMessage::new(text).with_date(InternalDate::utc(1_780_000_000 + n.cast_signed()))
}

/// All that may happen to a mailbox meanwhile.
fn with_changes(mixture: Mixture) -> Mixture {
    let numbers = Numbers::default();
    let script = |change: fn(&Account, &Numbers) -> Option<()>| {
        let numbers = numbers.clone();
        Script::new(move |account| {
            // A folder may have gone by the time.
            let _ = change(account, &numbers);
        })
    };
    mixture
        .with_script(
            "mail arrives",
            script(|account, numbers| {
                let folder = numbers.folder(account)?;
                account
                    .append(folder.id, vec![new_mail(numbers.next())])
                    .ok()?;
                Some(())
            }),
        )
        .with_script(
            "flags change",
            script(|account, numbers| {
                let (folder, uid) = numbers.message(account)?;
                account
                    .store(folder.id, &[uid], FlagOp::Add, &["\\Flagged"], None)
                    .ok()?;
                Some(())
            }),
        )
        .with_script(
            "expunged",
            script(|account, numbers| {
                let (folder, uid) = numbers.message(account)?;
                account.remove(folder.id, &[uid]).ok()?;
                Some(())
            }),
        )
        .with_script(
            "UIDVALIDITY changes",
            script(|account, numbers| {
                account.bump_uidvalidity(numbers.folder(account)?.id).ok()?;
                Some(())
            }),
        )
        .with_script(
            "a folder appears",
            script(|account, numbers| {
                let id = account.create(&[format!("New {}", numbers.next())]).ok()?;
                account.append(id, vec![new_mail(numbers.next())]).ok()?;
                Some(())
            }),
        )
        .with_script(
            "a folder is renamed",
            script(|account, numbers| {
                let folder = numbers.folder(account)?;
                let to = format!("Renamed {}", numbers.next());
                (folder.path != ["INBOX"]).then_some(())?;
                account.rename(&folder.path, &[to]).ok()
            }),
        )
        .with_script(
            "a folder is deleted",
            script(|account, numbers| {
                let folder = numbers.folder(account)?;
                // Of those that came meanwhile: the others are too few.
                folder.path.first()?.starts_with("New ").then_some(())?;
                account.delete(&folder.path).ok()
            }),
        )
}

/// How often each message is in a mailbox, wherever.
fn contents(account: &Account) -> BTreeMap<String, usize> {
    let mut out = BTreeMap::new();
    for folder in Snapshot::of(account).folders.values() {
        for message in &folder.messages {
            *out.entry(message.digest.to_string()).or_default() += 1;
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_at_once() {
    let mut kinds = BTreeMap::new();
    for seed in seeds() {
        let world = World::new(seed, 50, seed % 4 != 0).await;
        world.fill(150);
        let before = contents(&world.from.account);
        for (at, side) in world.sides().into_iter().enumerate() {
            let seed = seed * 2 + at as u64;
            let plan = Schedule::by_bytes(seed, 40_000..=150_000);
            side.proxy
                .schedule(plan.with_faults(&FAULTS).with_refused(12));
            let mixture = Mixture::new(seed, 12).with_connections(12).with_late(8);
            let mixture = mixture.with_lasting();
            side.server.faults().mix(match at {
                0 => with_changes(mixture),
                _ => mixture,
            });
        }
        let mut passes = 0;
        for _ in 0..3 {
            // Whatever comes of it: a full mailbox ends a pass, and rightly.
            let _ = world.migration().run().await;
            passes += 1;
        }
        for (name, count) in world.happened().scripted {
            *kinds.entry(name).or_insert(0) += count;
        }
        world.calm();
        let mut last = None;
        for _ in 0..4 {
            let report = world.migration().run().await.unwrap();
            passes += 1;
            let done = report.status() == Status::Complete;
            last = Some(report);
            if done {
                break;
            }
        }
        let report = last.unwrap();
        let replay = format!("replay with MAILMOVE_MIX_SEEDS={seed}..{}", seed + 1);
        assert_eq!(report.status(), Status::Complete, "{replay}: {report:#?}");
        assert!(report.total().is_closed(), "{replay}");
        let (here, there) = (contents(&world.from.account), contents(&world.to.account));
        for (digest, count) in &here {
            let has = there.get(digest).copied().unwrap_or(0);
            assert!(has >= *count, "{replay}: {digest} is lost");
        }
        for (digest, count) in &there {
            let most = before.get(digest).copied().unwrap_or(1);
            assert!(*count <= most, "{replay}: {digest} is there {count} times");
        }
        let again = world.migration().run().await.unwrap();
        assert_eq!(again.total().copied, 0, "{replay}");
        println!("mixture {seed}: {passes} passes, {} messages", there.len());
    }
    println!("{kinds:?}");
    // Which of the rarer ones come depends on the pace of both sides.
    assert!(
        kinds.len() >= 15,
        "too few kinds to mean anything: {kinds:?}"
    );
}
