//! The writer: one thread, one connection, and one transaction for all commits that wait.

use std::{path::Path, sync::mpsc};

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::{
    error::{meaning, shared_error, store_error},
    items::Items,
    rows::{folder_state, int, json, name},
};
use crate::{
    checkpoint::{FolderRow, Intent, Record, TargetNo, TargetRow},
    destination::Existing,
    error::{Error, Result},
    identity::HeaderDigest,
    model::{ContentDigest, Cursor, Timestamp, Token},
};

/// Records after which a group is closed: it bounds how long the first of it waits.
const GROUP_RECORDS: usize = 8192;
/// Commits after which a group is closed.
const GROUP_COMMITS: usize = 256;

/// A commit that waits for its turn.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) records: Vec<Record>,
    pub(super) answer: oneshot::Sender<Result<()>>,
}

/// Why a commit failed.
pub(super) enum Failure {
    /// Because of what is in it; the transaction goes on without it.
    Conflict(Error),
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// Serves commits until no ledger is left that could send one.
pub(super) fn serve(connection: &Connection, path: &Path, commits: &mpsc::Receiver<Commit>) {
    while let Ok(first) = commits.recv() {
        let mut records = first.records.len();
        let mut group = vec![first];
        while records < GROUP_RECORDS && group.len() < GROUP_COMMITS {
            let Ok(next) = commits.try_recv() else { break };
            records += next.records.len();
            group.push(next);
        }
        write_group(connection, path, group);
    }
}

/// Writes a group in one transaction, and answers.
fn write_group(connection: &Connection, path: &Path, group: Vec<Commit>) {
    let mut answers = Vec::with_capacity(group.len());
    let mut results = Vec::with_capacity(group.len());
    let mut work = Vec::with_capacity(group.len());
    for commit in group {
        answers.push(commit.answer);
        work.push(commit.records);
    }
    let whole = transaction(connection, path, work, &mut results);
    if let Err(error) = whole {
        let (code, text) = (meaning(&error), error.to_string());
        // Those that failed on their own keep their reason.
        results.resize_with(answers.len(), || Ok(()));
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            *result = Err(shared_error(path, code, &text));
        }
    }
    for (answer, result) in answers.into_iter().zip(results) {
        // Whoever does not listen any more has dropped the call.
        let _ = answer.send(result);
    }
}

fn transaction(
    connection: &Connection,
    path: &Path,
    work: Vec<Vec<Record>>,
    results: &mut Vec<Result<()>>,
) -> rusqlite::Result<()> {
    run(connection, "BEGIN IMMEDIATE")?;
    let alone = work.len() == 1;
    for records in work {
        match one(connection, records, alone) {
            Ok(()) => results.push(Ok(())),
            // Some failures (disk full) end the transaction: then nothing of the group is kept.
            Err(Failure::Sql(error)) if connection.is_autocommit() => return Err(error),
            Err(Failure::Sql(error)) => results.push(Err(store_error(path, error))),
            Err(Failure::Conflict(error)) => results.push(Err(error)),
        }
    }
    let end = if results.iter().any(Result::is_ok) {
        "COMMIT"
    } else {
        "ROLLBACK"
    };
    run(connection, end).inspect_err(|_| {
        if !connection.is_autocommit() {
            // If this fails too, the next BEGIN says so.
            let _ = run(connection, "ROLLBACK");
        }
    })
}

/// Applies one commit within the transaction; leaves nothing behind if it fails.
fn one(connection: &Connection, records: Vec<Record>, alone: bool) -> Result<(), Failure> {
    if alone {
        return apply(connection, records);
    }
    run(connection, "SAVEPOINT one")?;
    let result = apply(connection, records);
    if !connection.is_autocommit() {
        if result.is_err() {
            run(connection, "ROLLBACK TO one")?;
        }
        run(connection, "RELEASE one")?;
    }
    result
}

fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.raw_execute().map(|_| ())
}

fn apply(connection: &Connection, records: Vec<Record>) -> Result<(), Failure> {
    let mut items = Items::new(connection);
    for record in records {
        match record {
            Record::Meta(key, value) => execute(
                connection,
                "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
                params![key, value],
            )?,
            Record::Folder(row) => put_folder(connection, &row)?,
            Record::Target(row) => put_target(connection, &row)?,
            Record::Item(row) => items.put(&row)?,
            Record::Gone(folder, id, gone) => items.gone(folder, &id, gone)?,
            Record::Intent(intent) => put_intent(connection, &intent)?,
            Record::Close(batch) => execute(
                connection,
                "DELETE FROM intent WHERE batch = ?",
                params![int(batch)],
            )?,
            Record::Unclaimed(target, existing) => {
                items.note_unclaimed();
                put_unclaimed(connection, target, &existing)?;
            }
        }
    }
    items.finish()?;
    Ok(())
}

pub(super) fn execute(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute(params).map(|_| ())
}

fn put_folder(connection: &Connection, row: &FolderRow) -> rusqlite::Result<()> {
    let (state, reason) = folder_state(&row.state);
    execute(
        connection,
        "INSERT OR REPLACE INTO folder (no, id, path, role, identity, state, reason, target, \
         cursor, rules, listed, token, messages) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            row.no.0,
            row.id.as_str(),
            json(&row.path)?,
            row.role.as_ref().map(name).transpose()?,
            row.identity,
            state,
            reason,
            row.target.map(|target| target.0),
            row.cursor.as_ref().map(Cursor::as_str),
            row.rules,
            row.listed,
            row.token.as_ref().map(Token::as_str),
            row.exists.map(int),
        ],
    )
}

fn put_target(connection: &Connection, row: &TargetRow) -> rusqlite::Result<()> {
    execute(
        connection,
        "INSERT OR REPLACE INTO target (no, id, path, identity, examined, messages, mark) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![
            row.no.0,
            row.id.as_str(),
            json(&row.path)?,
            row.identity,
            row.examined.as_ref().map(json).transpose()?,
            row.messages.map(int),
            row.mark.as_ref().map(json).transpose()?,
        ],
    )
}

fn put_intent(connection: &Connection, intent: &Intent) -> rusqlite::Result<()> {
    execute(
        connection,
        "INSERT OR REPLACE INTO intent (batch, target, mark, settled_at, moved_from, items, \
         copied) VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![
            int(intent.batch),
            intent.target.0,
            json(&intent.mark)?,
            int(intent.settled_at),
            intent.moved_from.map(|target| target.0),
            json(&intent.items)?,
            intent.copied,
        ],
    )
}

fn put_unclaimed(
    connection: &Connection,
    target: TargetNo,
    existing: &Existing,
) -> rusqlite::Result<()> {
    execute(
        connection,
        "INSERT INTO unclaimed (target, id, size, flags, received, zone, header, digest) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 \
         WHERE NOT EXISTS (SELECT 1 FROM item WHERE target = ?1 AND target_id = ?2) \
         ON CONFLICT (target, id) DO NOTHING",
        params![
            target.0,
            existing.id.as_str(),
            existing.size.map(int),
            existing.flags.to_string(),
            existing.received.map(Timestamp::seconds),
            existing.received.map(Timestamp::offset_minutes),
            existing.header.as_ref().map(HeaderDigest::as_bytes),
            existing.digest.as_ref().map(ContentDigest::as_bytes),
        ],
    )
}
