//! What only a file can do wrong.

use std::{fs, path::Path};

use super::*;
use crate::{
    checkpoint::{Count, ItemRow, ItemState, Original},
    model::{FolderId, FolderPath},
};

/// Bytes that go through the log for a message that is sent.
const LOG_MOST: u64 = 1900;
/// Bytes of the file for each message.
const FILE_MOST: u64 = 400;

fn job() -> JobId {
    JobId::new("job")
}

fn records(range: std::ops::Range<u64>) -> Vec<Record> {
    let row = |n| {
        let mut row = ItemRow::new(FolderNo(0), MessageId::format(format_args!("1/{n}")));
        row.state = ItemState::Copied;
        row.target = Some((TargetNo(0), row.id.clone()));
        Record::Item(Box::new(row))
    };
    range.map(row).collect()
}

async fn refused(directory: &Path) -> Error {
    let error = SqliteStore::new(directory).open(&job()).await.unwrap_err();
    assert!(error.remedy().is_some(), "{error}");
    error
}

#[tokio::test]
async fn only_this_user_can_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let deep = directory.path().join("state/jobs");
    let store = SqliteStore::new(&deep);
    let ledger = store.open(&job()).await.unwrap();
    ledger.commit(records(0..1)).await.unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory.path().join("state")), 0o700);
        assert_eq!(mode(&deep), 0o700);
        let files: Vec<_> = fs::read_dir(&deep).unwrap().collect();
        assert!(files.len() >= 3, "ledger, its log and the lock: {files:?}");
        for file in files {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
    }
    drop(ledger);
    // The log is folded in when the ledger is closed.
    let log = fs::metadata(deep.join("job.sqlite3-wal"));
    assert!(log.is_err(), "{log:?}");
}

/// What was answered must be on the disk: nothing else says so before the power is lost.
#[test]
fn commits_wait_for_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let writer = file::open_writer(&directory.path().join("job.sqlite3")).unwrap();
    let journal: String = writer
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .unwrap();
    let synchronous: i64 = writer
        .pragma_query_value(None, "synchronous", |row| row.get(0))
        .unwrap();
    // 2 is FULL.
    assert_eq!((journal.as_str(), synchronous), ("wal", 2));
}

#[cfg(unix)]
#[tokio::test]
async fn where_anybody_may_put_files_there_is_no_ledger() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    for mode in [0o777, 0o1777] {
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(refused(directory.path()).await.code(), "store/exposed");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    drop(
        SqliteStore::new(directory.path())
            .open(&job())
            .await
            .unwrap(),
    );
}

/// Somebody put it there, so that we write to a file that he chose.
#[cfg(unix)]
#[tokio::test]
async fn links_are_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let precious = directory.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    for name in ["job.lock", "job.sqlite3"] {
        let state = directory.path().join(name.replace('.', "-"));
        fs::create_dir(&state).unwrap();
        std::os::unix::fs::symlink(&precious, state.join(name)).unwrap();
        let error = refused(&state).await;
        assert!(
            error.chain().to_string().contains("symbolic link"),
            "{error:?}"
        );
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    }
}

#[tokio::test]
async fn a_lock_names_its_file_and_holder() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::new(directory.path());
    let ledger = store.open(&job()).await.unwrap();
    let error = refused(directory.path()).await;
    assert_eq!(error.kind(), ErrorKind::Locked);
    let text = error.to_string();
    let me = std::process::id().to_string();
    assert!(text.contains("job.lock") && text.contains(&me), "{text}");
    drop(ledger);
    // What is left of the lock file does not matter.
    store.open(&job()).await.unwrap();
}

#[tokio::test]
async fn newer_and_foreign_files_are_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::new(directory.path());
    drop(store.open(&job()).await.unwrap());
    let file = store.file(&job());
    let raw = |sql: &str| Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    raw("PRAGMA user_version = 5");
    let error = refused(directory.path()).await;
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Store, "store/newer")
    );
    raw("PRAGMA user_version = 4; PRAGMA application_id = 77");
    assert_eq!(refused(directory.path()).await.code(), "store/foreign");
    // Ours by its mark, but of no format that ever was.
    for version in [0, -1] {
        raw(&format!(
            "PRAGMA application_id = 0x6d766c67; PRAGMA user_version = {version}"
        ));
        assert_eq!(refused(directory.path()).await.code(), "store/foreign");
    }
    fs::remove_file(&file).unwrap();
    raw("CREATE TABLE addresses (x)");
    assert_eq!(refused(directory.path()).await.code(), "store/foreign");
    raw("SELECT x FROM addresses");
}

#[tokio::test]
async fn a_ledger_of_format_1_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::new(directory.path());
    let file = store.file(&job());
    let old = Connection::open(&file).unwrap();
    old.execute_batch(include_str!("schema-1.sql")).unwrap();
    old.execute_batch(
        "PRAGMA application_id = 0x6d766c67; PRAGMA user_version = 1;
         INSERT INTO item VALUES (0, 0, '1/0', 'copied', NULL, 7, NULL, NULL, '\\Seen', NULL, NULL,
         NULL, 0, '9/1', 1, 0, 0, 0, NULL);
         INSERT INTO intent VALUES (4, 0, '{\"epoch\":\"9\",\"next\":2,\"token\":null}', 0, NULL, '[]')",
    )
    .unwrap();
    drop(old);
    for _ in 0..2 {
        let ledger = store.open(&job()).await.unwrap();
        let ids = vec![MessageId::new("1/0")];
        let found = ledger.items(FolderNo(0), ids).await.unwrap();
        let row = found[0].clone().unwrap().row;
        assert_eq!((row.size, row.content_id), (7, None));
        let intents = ledger.intents().await.unwrap();
        assert_eq!((intents[0].batch, intents[0].copied), (4, false));
    }
    let upgraded = names(&file);
    fs::remove_file(&file).unwrap();
    drop(store.open(&job()).await.unwrap());
    assert_eq!(upgraded, names(&file));
}

#[tokio::test]
async fn a_ledger_of_format_2_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::new(directory.path());
    let file = store.file(&job());
    let old = Connection::open(&file).unwrap();
    old.execute_batch(include_str!("schema-2.sql")).unwrap();
    let digest = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    // An intent as format 2 wrote it, open while the process was killed.
    let items = format!(
        r#"[{{"folder":0,"id":"1/1","state":"pending","code":null,"size":3,"received":null,"flags":"",
        "accepted":null,"digest":"{digest}","header":null,"content_id":null,"target":null,"pass":1,
        "attempts":0,"gone":false,"resent":false,"altered":[]}}]"#
    );
    old.execute_batch(&format!(
        "PRAGMA application_id = 0x6d766c67; PRAGMA user_version = 2;
         INSERT INTO item VALUES (0, 0, '1/0', 'failed', 'imap/no', 7, NULL, NULL, '', NULL, NULL,
         NULL, NULL, NULL, 1, 2, 0, 0, NULL, NULL);
         INSERT INTO intent VALUES (4, 0, '{{\"epoch\":\"9\",\"next\":2,\"token\":null}}', 0, NULL,
         '{items}', 0)"
    ))
    .unwrap();
    drop(old);
    for _ in 0..2 {
        let ledger = store.open(&job()).await.unwrap();
        let ids = vec![MessageId::new("1/0")];
        let mut row = ledger.items(FolderNo(0), ids).await.unwrap()[0]
            .clone()
            .unwrap()
            .row;
        assert_eq!((row.attempts, row.original), (2, None));
        let intents = ledger.intents().await.unwrap();
        let item = &intents[0].items[0];
        assert_eq!((item.size, item.original), (3, None));
        assert_eq!(item.digest.unwrap().to_string(), digest);
        row.original = Some(Original::new(item.digest.unwrap(), 9, None));
        row.dead_letter = Some("a.json".into());
        ledger
            .commit(vec![Record::Item(Box::new(row.clone()))])
            .await
            .unwrap();
        let ids = vec![MessageId::new("1/0")];
        let again = ledger.items(FolderNo(0), ids).await.unwrap();
        assert_eq!(again[0].clone().unwrap().row, row);
        row.restore();
        assert_eq!((row.size, row.digest, row.original), (9, item.digest, None));
        row.dead_letter = None;
        ledger
            .commit(vec![Record::Item(Box::new(row))])
            .await
            .unwrap();
    }
    let upgraded = names(&file);
    fs::remove_file(&file).unwrap();
    drop(store.open(&job()).await.unwrap());
    assert_eq!(upgraded, names(&file));
}

#[tokio::test]
async fn a_ledger_of_format_3_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::new(directory.path());
    let file = store.file(&job());
    let old = Connection::open(&file).unwrap();
    old.execute_batch(include_str!("schema-3.sql")).unwrap();
    old.execute_batch(
        "PRAGMA application_id = 0x6d766c67; PRAGMA user_version = 3;
         INSERT INTO item (number, folder, id, state, size, flags, pass, attempts, gone, resent)
         VALUES (0, 0, '1/0', 'copied', 7, '', 1, 0, 0, 0), (1, 0, '1/1', 'copied', 8, '', 1, 0, 0, 0),
         (2, 0, '1/2', 'copied', 9223372036854775807, '', 1, 0, 1, 0), (3, 1, '1/0', 'failed', 9, '', 2, 1, 0, 0)",
    )
    .unwrap();
    drop(old);
    let count = |state, pass, gone, messages, bytes| Count::new(state, pass, gone, messages, bytes);
    let ledger = store.open(&job()).await.unwrap();
    let copied = ItemState::Copied;
    let expected = [
        count(copied, 1, false, 2, 15),
        count(copied, 1, true, 1, i64::MAX as u64),
    ];
    assert_eq!(ledger.counts(FolderNo(0)).await.unwrap(), expected);
    // What changes from now on is counted too.
    let mut row = ItemRow::new(FolderNo(1), MessageId::new("1/0"));
    (row.state, row.pass, row.size) = (copied, 3, 10);
    let back = Record::Gone(FolderNo(0), MessageId::new("1/2"), false);
    let records = vec![Record::Item(Box::new(row)), back];
    ledger.commit(records).await.unwrap();
    let expected = [count(copied, 1, false, 3, i64::MAX as u64 + 15)];
    assert_eq!(ledger.counts(FolderNo(0)).await.unwrap(), expected);
    let expected = [count(copied, 3, false, 1, 10)];
    assert_eq!(ledger.counts(FolderNo(1)).await.unwrap(), expected);
    drop(ledger);
    let upgraded = names(&file);
    fs::remove_file(&file).unwrap();
    drop(store.open(&job()).await.unwrap());
    assert_eq!(upgraded, names(&file));
}

/// Tables, columns and indexes of a file.
fn names(file: &Path) -> Vec<String> {
    let file = Connection::open(file).unwrap();
    let mut statement = file
        .prepare(
            "SELECT type || ' ' || name FROM sqlite_schema UNION ALL \
             SELECT schema.name || '.' || column.name FROM sqlite_schema AS schema \
             JOIN pragma_table_info(schema.name) AS column ORDER BY 1",
        )
        .unwrap();
    let names = statement.query_map([], |row| row.get(0)).unwrap();
    names.map(Result::unwrap).collect()
}

#[tokio::test]
async fn damage_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::new(directory.path());
    fs::write(store.file(&job()), [b'x'; 8192]).unwrap();
    assert_eq!(refused(directory.path()).await.code(), "store/corrupt");
    fs::remove_file(store.file(&job())).unwrap();

    let ledger = store.open(&job()).await.unwrap();
    ledger.commit(records(0..2000)).await.unwrap();
    drop(ledger);
    // The first page is whole, all others are lost.
    let mut bytes = fs::read(store.file(&job())).unwrap();
    bytes[4096..].fill(0x5a);
    fs::write(store.file(&job()), bytes).unwrap();
    assert_eq!(refused(directory.path()).await.code(), "store/corrupt");
}

#[test]
fn a_file_is_checked_if_it_is_small_or_was_not_closed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("job.sqlite3");
    let make = |path: &Path, bytes| fs::File::create(path).unwrap().set_len(bytes).unwrap();
    let small = 4 * 1024 * 1024;
    for (bytes, log, checked) in [
        (0, None, true),
        (small, None, true),
        (small + 1, None, false),
        (small + 1, Some(0), false),
        (small + 1, Some(1), true),
        (small, Some(1), true),
    ] {
        make(&file, bytes);
        if let Some(bytes) = log {
            make(&directory.path().join("job.sqlite3-wal"), bytes);
        }
        assert_eq!(file::wants_check(&file), checked, "{bytes}, {log:?}");
    }
}

#[tokio::test]
async fn values_that_nobody_wrote_are_damage() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::new(directory.path());
    let ledger = store.open(&job()).await.unwrap();
    ledger.commit(records(0..1)).await.unwrap();
    let raw = Connection::open(store.file(&job())).unwrap();
    for change in [
        "state = 'lost'",
        "size = -1",
        "folder = -1",
        "digest = x'00'",
        "altered = '['",
        "original = '{}'",
        "target = 4294967296",
    ] {
        raw.execute_batch(&format!("BEGIN; UPDATE item SET {change}; COMMIT"))
            .unwrap();
        let mut stream = ledger.scan(Scan::all());
        let page = futures_util::StreamExt::next(&mut stream).await.unwrap();
        assert_eq!(page.unwrap_err().code(), "store/corrupt", "{change}");
        let next = futures_util::StreamExt::next(&mut stream).await;
        assert!(next.is_none(), "a stream ends after an error");
        raw.execute_batch(
            "UPDATE item SET state = 'copied', size = 0, folder = 0, digest = NULL, \
             altered = NULL, target = 0, original = NULL",
        )
        .unwrap();
    }
    for change in ["state = 'lost'", "pass = -1", "low = -1"] {
        raw.execute_batch(&format!("UPDATE tally SET {change}"))
            .unwrap();
        let error = ledger.counts(FolderNo(0)).await.unwrap_err();
        assert_eq!(error.code(), "store/corrupt", "{change}");
        raw.execute_batch("UPDATE tally SET state = 'copied', pass = 1, low = 0")
            .unwrap();
    }
}

#[tokio::test]
async fn directories_that_cannot_be_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for place in [file.clone(), file.join("below")] {
        let error = refused(&place).await;
        assert_eq!((error.kind(), error.code()), (ErrorKind::Store, "store/io"));
    }
    fs::create_dir(directory.path().join("job.sqlite3")).unwrap();
    assert_eq!(refused(directory.path()).await.kind(), ErrorKind::Store);
    let (longest, too_long) = ("x".repeat(128), "x".repeat(129));
    let store = SqliteStore::new(directory.path());
    drop(store.open(&JobId::new(longest)).await.unwrap());
    for name in ["", "../x", "a/b", ".x", "a\0", &too_long] {
        let store = SqliteStore::new(directory.path());
        let error = store.open(&JobId::new(name)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

/// A ledger whose disk has room for so many pages.
fn small(directory: &Path, pages: u32) -> SqliteLedger {
    let path = directory.join("job.sqlite3");
    let lock = file::lock(&directory.join("job.lock")).unwrap();
    let writer = file::open_writer(&path).unwrap();
    writer
        .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
        .unwrap();
    let reader = file::open_reader(&path).unwrap();
    SqliteLedger(Arc::new(Files::start(&path, lock, writer, reader).unwrap()))
}

#[tokio::test]
async fn a_full_disk_fails_the_commit_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = small(directory.path(), 40);
    ledger.commit(records(0..10)).await.unwrap();
    let large = vec![
        Record::Meta("a".into(), "x".into()),
        Record::Meta("b".into(), "x".repeat(1 << 20)),
    ];
    // Together: what fits may or may not be told as failed, but what is told is true.
    let (one, two, three) = tokio::join!(
        ledger.commit(records(10..20)),
        ledger.commit(large),
        ledger.commit(records(20..30)),
    );
    let error = two.unwrap_err();
    assert_eq!(error.code(), "store/full");
    assert!(error.remedy().is_some());
    assert_eq!(ledger.meta("a").await.unwrap(), None);
    for (range, result) in [(10..20, one), (20..30, three)] {
        let ids = range
            .map(|n| MessageId::format(format_args!("1/{n}")))
            .collect();
        let there = ledger.items(FolderNo(0), ids).await.unwrap();
        assert!(there.iter().all(|row| row.is_some() == result.is_ok()));
    }
    ledger.commit(records(30..31)).await.unwrap();
}

/// Failures that leave SQLite's transaction open: in the middle of it, and at its end.
/// The disk is full in the middle of a group: SQLite ends the transaction, and what comes after must
/// not be written outside of any.
#[test]
fn of_a_group_that_ends_in_the_middle_nothing_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("job.sqlite3");
    let writer = file::open_writer(&path).unwrap();
    writer
        .pragma_update_and_check(None, "max_page_count", 40, |_| Ok(()))
        .unwrap();
    let (commit, commits) = mpsc::channel();
    let meta = |key: &str, value| vec![Record::Meta(key.into(), value)];
    let large = "x".repeat(1 << 20);
    let group = [
        meta("one", "x".into()),
        meta("two", large),
        meta("three", "x".into()),
    ];
    let answers = group.map(|records| {
        let (answer, answered) = oneshot::channel();
        commit.send(Commit { records, answer }).unwrap();
        answered
    });
    drop(commit);
    write::serve(&writer, &path, &commits);
    for (mut answered, key) in answers.into_iter().zip(["one", "two", "three"]) {
        let error = answered.try_recv().unwrap().unwrap_err();
        assert_eq!(error.code(), "store/full", "{key}");
        assert_eq!(read::meta(&writer, key).unwrap(), None, "{key}");
    }
}

#[tokio::test]
async fn a_commit_that_fails_does_not_disturb_the_next_ones() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::new(directory.path());
    let ledger = store.open(&job()).await.unwrap();
    let raw = Connection::open(store.file(&job())).unwrap();
    raw.execute_batch(
        "CREATE TABLE parent (x PRIMARY KEY);
         CREATE TABLE child (x REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER middle BEFORE INSERT ON meta WHEN NEW.key = 'middle'
         BEGIN SELECT RAISE(ABORT, 'no'); END;
         CREATE TRIGGER finish AFTER INSERT ON meta WHEN NEW.key = 'end'
         BEGIN INSERT INTO child VALUES (1); END;",
    )
    .unwrap();
    let meta = |key: &str| ledger.commit(vec![Record::Meta(key.into(), "x".into())]);
    for bad in ["middle", "end"] {
        let error = meta(bad).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Store, "{bad}");
        assert_eq!(ledger.meta(bad).await.unwrap(), None);
        meta(&format!("after {bad}")).await.unwrap();
    }
    let (one, two, three) = tokio::join!(meta("one"), meta("middle"), meta("three"));
    assert!(one.is_ok() && two.is_err() && three.is_ok());
    for key in ["after middle", "after end", "one", "three"] {
        assert_eq!(
            ledger.meta(key).await.unwrap().as_deref(),
            Some("x"),
            "{key}"
        );
    }
}

/// A table of its own for each row that is written took a fifth of the time.
#[tokio::test]
async fn rows_are_written_without_temporary_tables() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::new(directory.path());
    drop(store.open(&job()).await.unwrap());
    let raw = Connection::open(store.file(&job())).unwrap();
    for sql in [items::INSERT, items::UPDATE] {
        let mut statement = raw.prepare(&format!("EXPLAIN {sql}")).unwrap();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().unwrap() {
            let step: String = row.get(1).unwrap();
            assert!(!step.contains("Ephemeral"), "{sql}");
        }
    }
}

/// A key that nothing is counted under any more goes: each pass would leave some behind.
#[tokio::test]
async fn counts_of_nothing_are_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::new(directory.path());
    let ledger = store.open(&job()).await.unwrap();
    ledger.commit(records(0..10)).await.unwrap();
    let mut again = records(0..10);
    for record in &mut again {
        if let Record::Item(row) = record {
            row.pass = 7;
        }
    }
    ledger.commit(again).await.unwrap();
    let raw = Connection::open(store.file(&job())).unwrap();
    let passes: Vec<(i64, i64)> = raw
        .prepare("SELECT pass, messages FROM tally")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(passes, [(7, 10)]);
}

#[tokio::test]
async fn questions_have_their_index() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::new(directory.path());
    let ledger = store.open(&job()).await.unwrap();
    ledger.commit(records(0..10)).await.unwrap();
    let raw = Connection::open(store.file(&job())).unwrap();
    let open = [ItemState::Pending, ItemState::Unnamed];
    let folder = Scan::folder(FolderNo(0));
    for (scan, index) in [
        (Scan::all(), "INTEGER PRIMARY KEY"),
        (folder.clone(), "item_folder"),
        (folder.with_states(&open), "item_open"),
        (Scan::target(TargetNo(0)), "item_target"),
        (Scan::all().with_gone(true), "item_gone"),
    ] {
        let plan = read::plan(&raw, &scan).unwrap();
        assert!(plan.contains(index) && !plan.contains("TEMP"), "{plan}");
    }
}

/// Times depend on the machine; what is written does not.
#[tokio::test]
async fn a_message_costs_the_log_few_bytes() {
    const MESSAGES: u64 = 1000;
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::new(directory.path());
    let ledger = store.open(&job()).await.unwrap();
    let path = |ending| directory.path().join(format!("job.sqlite3{ending}"));
    let before = fs::metadata(path("-wal")).unwrap().len();
    for start in (0..MESSAGES).step_by(50) {
        let mut rows = Vec::new();
        for n in start..start + 50 {
            let id = format_args!("1700000000-{n:010}");
            let mut row = ItemRow::new(FolderNo(0), MessageId::format(id));
            row.digest = Some(crate::model::ContentDigest::of(&n.to_le_bytes()));
            row.header = Some(HeaderDigest::of(b"Subject: a\r\n"));
            (row.size, row.pass) = (20_000, 1);
            row.received = Some(crate::model::Timestamp::new(1_689_587_065, 60));
            row.flags = crate::model::Flags::parse("\\Seen");
            rows.push(row);
        }
        let mark = crate::model::Mark::counted("1", start);
        let intent = Intent::new(start, TargetNo(0), mark, rows.clone());
        let intent = Record::Intent(Box::new(intent));
        ledger.commit(vec![intent]).await.unwrap();
        let done = |mut row: ItemRow| {
            row.target = Some((TargetNo(0), row.id.clone()));
            row.state = ItemState::Copied;
            Record::Item(Box::new(row))
        };
        let mut records: Vec<Record> = rows.into_iter().map(done).collect();
        records.push(Record::Close(start));
        ledger.commit(records).await.unwrap();
    }
    // The log is folded in after 16 MiB, and then begun anew.
    let log = fs::metadata(path("-wal")).unwrap().len() - before;
    assert!(log < MESSAGES * LOG_MOST, "{} for each", log / MESSAGES);
    drop(ledger);
    let file = fs::metadata(path("")).unwrap().len();
    assert!(file < MESSAGES * FILE_MOST, "{} for each", file / MESSAGES);
}

#[tokio::test]
async fn operators_can_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::new(directory.path());
    let ledger = store.open(&job()).await.unwrap();
    let path = FolderPath::new(["Caf\u{e9}"]);
    let folder = FolderRow::new(FolderNo(0), FolderId::new("x"), path, "i");
    let mut all = vec![Record::Folder(Box::new(folder))];
    all.extend(records(0..3));
    ledger.commit(all).await.unwrap();
    let raw = Connection::open(store.file(&job())).unwrap();
    let line = raw.query_row(
        "SELECT path || ' ' || folder_state || ' ' || state || ' ' || messages FROM summary",
        [],
        |row| row.get::<_, String>(0),
    );
    assert_eq!(line.unwrap(), "[\"Caf\u{e9}\"] mapped copied 3");
}
