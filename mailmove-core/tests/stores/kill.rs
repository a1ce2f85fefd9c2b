//! `kill -9` takes nothing away that was answered, and leaves no half of a commit.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use mailmove_core::{CheckpointStore as _, checkpoint::Scan, store::SqliteStore};

use super::util::*;

/// Tells the child where to write.
const DIRECTORY: &str = "MAILMOVE_TEST_KILL_DIRECTORY";
/// Rows in each commit.
const ROWS: u64 = 7;

/// Only a child started by the test below does something here: it commits until it is killed.
#[test]
fn kill_child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::new(directory);
        let ledger = store.open(&job()).await.unwrap();
        let start = ledger.meta("next").await.unwrap();
        let start = start.map_or(0, |next| next.parse::<u64>().unwrap());
        if start == 0 {
            ledger.commit(places()).await.unwrap();
        }
        for n in start.. {
            let mut records: Vec<_> = (0..ROWS)
                .map(|k| item(copied(0, n * ROWS + k, 0, n * ROWS + k)))
                .collect();
            records.push(mailmove_core::checkpoint::Record::Meta(
                "next".into(),
                (n + 1).to_string(),
            ));
            ledger.commit(records).await.unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "answered {n}").unwrap();
            out.flush().unwrap();
        }
    });
}

#[tokio::test]
async fn killed_writers_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut answered = None;
    // After so many answers; between them the writer is somewhere within a commit.
    for answers in [1, 40, 3, 17, 90, 2] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kill::kill_child", "--exact", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = |line: Option<std::io::Result<String>>| {
            let line = line?.unwrap();
            // The test harness writes before our first word, on the same line.
            let at = line.find("answered ")?;
            line[at + 9..].parse::<u64>().ok()
        };
        let mut seen = 0;
        while seen < answers {
            let line = lines.next();
            assert!(line.is_some(), "the writer ended by itself");
            if let Some(n) = said(line) {
                answered = Some(n);
                seen += 1;
            }
        }
        child.kill().unwrap();
        // What it said after the kill was sent counts as well.
        for line in lines {
            answered = said(Some(line)).or(answered);
        }
        child.wait().unwrap();

        let store = SqliteStore::new(directory.path());
        let ledger = store.open(&job()).await.unwrap();
        let next = ledger.meta("next").await.unwrap().unwrap();
        let next: u64 = next.parse().unwrap();
        assert!(
            Some(next) > answered,
            "{answered:?} was answered, {next} is next"
        );
        let rows = scan(&ledger, Scan::all()).await;
        let ids: Vec<_> = rows.into_iter().map(|stored| stored.row.id).collect();
        assert_eq!(ids, (0..next * ROWS).map(id).collect::<Vec<_>>());
    }
    assert!(answered >= Some(150));
}
