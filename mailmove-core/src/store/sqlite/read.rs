//! What is asked of a ledger's file.

use std::fmt::Write as _;

use rusqlite::{Connection, OptionalExtension as _, Row, params, types::Value};

use super::{
    super::PAGE,
    rows::{self, EXISTING, FOLDER, INTENT, ITEM, TARGET, int},
};
use crate::{
    checkpoint::{Count, FolderNo, FolderRow, Intent, Scan, Stored, TargetNo, TargetRow},
    destination::Existing,
    identity::HeaderDigest,
    model::{ContentId, MessageId},
};

type Result<T> = rusqlite::Result<T>;

pub(super) fn meta(connection: &Connection, key: &str) -> Result<Option<String>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?")?
        .query_row([key], |row| row.get(0))
        .optional()
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, read)?;
    rows.collect()
}

pub(super) fn folders(connection: &Connection) -> Result<Vec<FolderRow>> {
    let sql = format!("SELECT {FOLDER} FROM folder ORDER BY no");
    all(connection, &sql, [], rows::folder)
}

pub(super) fn targets(connection: &Connection) -> Result<Vec<TargetRow>> {
    let sql = format!("SELECT {TARGET} FROM target ORDER BY no");
    all(connection, &sql, [], rows::target)
}

pub(super) fn intents(connection: &Connection) -> Result<Vec<Intent>> {
    let sql = format!("SELECT {INTENT} FROM intent ORDER BY batch");
    all(connection, &sql, [], rows::intent)
}

pub(super) fn items(
    connection: &Connection,
    folder: FolderNo,
    ids: &[MessageId],
) -> Result<Vec<Option<Stored>>> {
    // One transaction: one look at the file's locks, and one state for all of the answer.
    let transaction = connection.unchecked_transaction()?;
    let sql = format!("SELECT {ITEM} FROM item WHERE folder = ? AND id = ?");
    let mut statement = transaction.prepare_cached(&sql)?;
    ids.iter()
        .map(|id| {
            statement
                .query_row(params![folder.0, id.as_str()], rows::item)
                .optional()
        })
        .collect()
}

pub(super) fn sharing(connection: &Connection, contents: &[ContentId]) -> Result<Vec<Vec<Stored>>> {
    let transaction = connection.unchecked_transaction()?;
    let sql = format!("SELECT {ITEM} FROM item WHERE content_id = ? ORDER BY number");
    let mut statement = transaction.prepare_cached(&sql)?;
    let mut rows = |id: &ContentId| statement.query_map([id.as_str()], rows::item)?.collect();
    contents.iter().map(&mut rows).collect()
}

pub(super) fn claims(
    connection: &Connection,
    target: TargetNo,
    ids: &[MessageId],
) -> Result<Vec<Option<(FolderNo, MessageId)>>> {
    let transaction = connection.unchecked_transaction()?;
    let mut statement = transaction
        .prepare_cached("SELECT folder, id FROM item WHERE target = ? AND target_id = ?")?;
    let read = |row: &Row<'_>| {
        let id: String = row.get(1)?;
        Ok((FolderNo(row.get(0)?), MessageId::new(id)))
    };
    ids.iter()
        .map(|id| {
            statement
                .query_row(params![target.0, id.as_str()], read)
                .optional()
        })
        .collect()
}

pub(super) fn candidates(
    connection: &Connection,
    target: TargetNo,
    header: HeaderDigest,
    size: Option<u64>,
) -> Result<Vec<Existing>> {
    let mut sql = format!("SELECT {EXISTING} FROM unclaimed WHERE target = ? AND header = ?");
    let mut params = vec![
        Value::from(target.0),
        Value::from(header.as_bytes().to_vec()),
    ];
    if let Some(size) = size {
        sql.push_str(" AND size = ?");
        params.push(Value::from(int(size)));
    }
    sql.push_str(" ORDER BY number");
    all(
        connection,
        &sql,
        rusqlite::params_from_iter(params),
        rows::existing,
    )
}

pub(super) fn counts(connection: &Connection, folder: FolderNo) -> Result<Vec<Count>> {
    let mut statement = connection.prepare_cached(
        "SELECT state, pass, gone, messages, high, low FROM tally WHERE folder = ? AND messages > 0",
    )?;
    let read = |row: &Row<'_>| {
        let bytes = (u128::from(rows::number(row, 4)?) << 32) + u128::from(rows::number(row, 5)?);
        Ok(Count::new(
            rows::item_state(row, 0)?,
            row.get(1)?,
            row.get(2)?,
            rows::number(row, 3)?,
            u64::try_from(bytes).unwrap_or(u64::MAX),
        ))
    };
    let mut counts = statement
        .query_map([folder.0], read)?
        .collect::<Result<Vec<_>>>()?;
    counts.sort_unstable_by_key(|count| (count.state, count.pass, count.gone));
    Ok(counts)
}

/// The rows of a scan with a number above `after`, up to one page. Each page is a transaction of
/// its own: a reader that takes its time must not keep the log from being folded in.
pub(super) fn page(
    connection: &Connection,
    scan: &Scan,
    after: Option<u64>,
) -> Result<Vec<Stored>> {
    if after.is_none() && finds_nothing(connection, scan)? {
        return Ok(Vec::new());
    }
    let (sql, mut params) = page_query(scan);
    params.push(Value::from(after.map_or(-1, int)));
    all(
        connection,
        &sql,
        rusqlite::params_from_iter(params),
        rows::item,
    )
}

/// No folder that is asked for has rows in such a state, by its counts.
fn finds_nothing(connection: &Connection, scan: &Scan) -> Result<bool> {
    let mut sql = String::from("SELECT NOT EXISTS (SELECT 1 FROM tally WHERE");
    let folder = conditions(scan, &mut sql);
    sql.push_str(" messages > 0)");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_row(rusqlite::params_from_iter(folder), |row| row.get(0))
}

/// What a scan asks that rows and their counts have in common; returns the folder, to be bound first.
fn conditions(scan: &Scan, sql: &mut String) -> Option<u32> {
    if scan.folder.is_some() {
        sql.push_str(" folder = ? AND");
    }
    // Written out, since an index with a condition is used only if the text implies it.
    if let Some(gone) = scan.gone {
        let _ = write!(sql, " gone = {} AND", u8::from(gone));
    }
    if !scan.states.is_empty() {
        let names: Vec<_> = scan.states.iter().map(|state| state.as_str()).collect();
        let _ = write!(sql, " state IN ('{}') AND", names.join("', '"));
    }
    scan.folder.map(|folder| folder.0)
}

/// The states of the partial index `item_open`, as the schema writes them.
const OPEN: &str = " (state = 'pending' OR state = 'failed' OR state = 'unnamed') AND";

fn page_query(scan: &Scan) -> (String, Vec<Value>) {
    let mut sql = format!("SELECT {ITEM} FROM item WHERE");
    let folder = conditions(scan, &mut sql);
    let mut params: Vec<Value> = folder.into_iter().map(Value::from).collect();
    if let Some(target) = scan.target {
        sql.push_str(" target = ? AND");
        params.push(Value::from(target.0));
    }
    if !scan.states.is_empty() && scan.states.iter().all(|state| !state.is_final()) {
        sql.push_str(OPEN);
    }
    let _ = write!(sql, " number > ? ORDER BY number LIMIT {PAGE}");
    (sql, params)
}

/// How SQLite would go about a scan.
#[cfg(test)]
pub(super) fn plan(connection: &Connection, scan: &Scan) -> Result<String> {
    let (sql, mut params) = page_query(scan);
    params.push(Value::from(-1));
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    let lines = statement.query_map(rusqlite::params_from_iter(params), |row| {
        row.get::<_, String>(3)
    })?;
    Ok(lines.collect::<Result<Vec<_>>>()?.join("; "))
}
