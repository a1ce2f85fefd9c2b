//! What a power loss or a bad disk leaves of a ledger: an error that says so, or a state that was
//! committed once; never half of a commit, never a panic.
//!
//! SQLite's log only grows until it is folded in, each of its frames has a checksum, and a commit is
//! answered after its frames were synced. So what a power loss leaves is the file as it was, and of the
//! log all that was answered, with anything behind it.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use mailmove_core::{
    CheckpointStore as _, Error, ErrorKind, Result,
    checkpoint::{Record, Scan},
    store::SqliteStore,
};

use super::util::*;

/// Rows in each commit.
const ROWS: u64 = 5;
/// Commits in the log.
const COMMITS: u64 = 24;
/// Commits that were folded into the file before.
const BEFORE: u64 = 40;

/// A ledger as a process left it that died without closing it.
struct Wreck {
    file: Vec<u8>,
    log: Vec<u8>,
    /// Bytes of the log when each commit was answered.
    answered: Vec<usize>,
}

fn commit(n: u64) -> Vec<Record> {
    let rows = (0..ROWS).map(|k| item(copied(0, n * ROWS + k, 0, n * ROWS + k)));
    let mut records: Vec<Record> = rows.collect();
    records.push(Record::Meta("next".into(), (n + 1).to_string()));
    records.push(intent(n, vec![row(0, n)]));
    if n > 0 {
        records.push(Record::Close(n - 1));
    }
    records
}

fn paths(directory: &Path) -> [PathBuf; 2] {
    let file = SqliteStore::new(directory).file(&job());
    let log = directory.join(format!("{}.sqlite3-wal", job()));
    [file, log]
}

impl Wreck {
    async fn make() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::new(directory.path());
        let [file, log] = paths(directory.path());
        let ledger = store.open(&job()).await.unwrap();
        ledger.commit(places()).await.unwrap();
        for n in 0..BEFORE {
            ledger.commit(commit(n)).await.unwrap();
        }
        // Closing folds the log in.
        drop(ledger);
        let ledger = store.open(&job()).await.unwrap();
        let mut answered = vec![0];
        for n in BEFORE..BEFORE + COMMITS {
            ledger.commit(commit(n)).await.unwrap();
            answered.push(fs::metadata(&log).unwrap().len() as usize);
        }
        assert!(answered.is_sorted_by(|a, b| a < b), "{answered:?}");
        let [file, log] = [file, log].map(|path| fs::read(path).unwrap());
        drop(ledger);
        Self {
            file,
            log,
            answered,
        }
    }

    /// How many commits are there when it is opened, all of it having been read.
    async fn opened(&self, file: &[u8], log: &[u8]) -> Result<u64> {
        let directory = tempfile::tempdir().unwrap();
        let [file_path, log_path] = paths(directory.path());
        fs::write(file_path, file).unwrap();
        fs::write(log_path, log).unwrap();
        let ledger = SqliteStore::new(directory.path()).open(&job()).await?;
        let next = ledger.meta("next").await?.unwrap_or_default();
        let next: u64 = next.parse().unwrap_or(0);
        let mut rows = Vec::new();
        let mut pages = ledger.scan(Scan::all());
        while let Some(page) = futures_util::StreamExt::next(&mut pages).await {
            rows.extend(page?);
        }
        // Whole commits, in their order, and each claim where it belongs.
        let expected: Vec<_> = (0..next * ROWS).map(|n| copied(0, n, 0, n)).collect();
        let found: Vec<_> = rows.into_iter().map(|stored| stored.row).collect();
        assert_eq!(found, expected);
        let ids: Vec<_> = (0..next * ROWS).map(id).collect();
        let claims = ledger
            .claims(mailmove_core::checkpoint::TargetNo(0), ids)
            .await?;
        assert!(claims.iter().all(Option::is_some));
        let open: Vec<u64> = ledger.intents().await?.iter().map(|i| i.batch).collect();
        assert_eq!(open, (next.max(1) - 1..next).collect::<Vec<_>>());
        // And it can be written.
        ledger.commit(commit(next)).await?;
        Ok(next)
    }
}

#[track_caller]
fn is_told(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Store, "{error:?}");
    assert!(
        ["store/corrupt", "store/foreign", "store/newer"].contains(&error.code()),
        "{error:?}"
    );
    assert!(error.remedy().is_some() && error.to_string().contains("sqlite3"));
}

#[tokio::test]
async fn what_was_answered_survives_whatever_is_left_behind_it() {
    let wreck = Wreck::make().await;
    for (n, len) in (0..).zip(&wreck.answered).step_by(3) {
        let next = wreck
            .answered
            .get(n + 1)
            .copied()
            .unwrap_or(wreck.log.len());
        let rest = &wreck.log[*len..next];
        let garbage: Vec<u8> = rest.iter().map(|byte| byte ^ 0xa5).collect();
        let cut = &rest[..rest.len() / 2];
        let mut swapped = rest.to_vec();
        swapped.reverse();
        for behind in [&[], cut, &garbage, &vec![0; rest.len()], &swapped] {
            let log = [&wreck.log[..*len], behind].concat();
            let found = wreck.opened(&wreck.file, &log).await.unwrap();
            assert_eq!(found, BEFORE + n as u64, "{} bytes behind", behind.len());
        }
    }
}

#[tokio::test]
async fn a_log_that_is_cut_or_damaged_anywhere_leaves_an_earlier_state() {
    let wreck = Wreck::make().await;
    let step = wreck.log.len() / 41;
    for at in (0..wreck.log.len()).step_by(step) {
        let whole = wreck.answered.iter().filter(|len| **len <= at).count() as u64 - 1;
        let cut = wreck.opened(&wreck.file, &wreck.log[..at]).await.unwrap();
        assert_eq!(cut, BEFORE + whole, "cut at {at}");
        let mut log = wreck.log.clone();
        log[at] ^= 0x40;
        match wreck.opened(&wreck.file, &log).await {
            // A frame's salt and checksum say that it, and all behind it, does not count.
            Ok(found) => assert!((BEFORE..=BEFORE + COMMITS).contains(&found), "flip at {at}"),
            Err(error) => is_told(&error),
        }
    }
}

fn damaged(file: &[u8], range: Range<usize>, with: impl Fn(u8) -> u8) -> Vec<u8> {
    let mut file = file.to_vec();
    for byte in &mut file[range] {
        *byte = with(*byte);
    }
    file
}

#[tokio::test]
async fn a_file_that_lost_a_sector_or_its_end_is_told() {
    let wreck = Wreck::make().await;
    let len = wreck.file.len();
    let (mut told, mut harmless) = (0, 0);
    for (n, at) in (0..len).step_by(512).enumerate() {
        let sector = at..(at + 512).min(len);
        let ways = [
            damaged(&wreck.file, sector.clone(), |_| 0),
            damaged(&wreck.file, sector.clone(), |byte| byte ^ 0xff),
            wreck.file[..at].to_vec(),
        ];
        // Each page sees each of them, once with its log, which holds some of the pages anew.
        for (way, file) in ways
            .into_iter()
            .enumerate()
            .filter(|(way, _)| *way != n % 3)
        {
            for log in [&wreck.log[..], &[]]
                .into_iter()
                .filter(|log| log.is_empty() || way == n / 8 % 3)
            {
                match wreck.opened(&file, log).await {
                    Err(error) => {
                        is_told(&error);
                        told += 1;
                    }
                    // It was in a part of a page that nothing is in, or the log has the page.
                    Ok(found) => {
                        let all = [0, BEFORE, BEFORE + COMMITS];
                        assert!(all.contains(&found), "{found} commits, sector at {at}");
                        assert!(found > 0 || file.len() < 4096, "emptied at {at}");
                        harmless += 1;
                    }
                }
            }
        }
    }
    println!("{told} told, {harmless} harmless");
    assert!(told > 60, "{told} told, {harmless} harmless");
}
