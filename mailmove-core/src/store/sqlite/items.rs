//! Writes the rows of messages, and counts them.

use std::collections::BTreeMap;

use rusqlite::{
    CachedStatement, Connection, ErrorCode, OptionalExtension as _, Row, ToSql, params,
};

use super::{
    rows::{int, item_state, json},
    write::{Failure, execute},
};
use crate::{
    checkpoint::{FolderNo, ItemRow, ItemState, TargetNo},
    identity::HeaderDigest,
    model::{ContentDigest, ContentId, MessageId, Timestamp},
};

/// The rows of one commit. Statements are held, since looking for them takes as long as half an insert.
pub(super) struct Items<'a> {
    connection: &'a Connection,
    find: Option<CachedStatement<'a>>,
    insert: Option<CachedStatement<'a>>,
    update: Option<CachedStatement<'a>>,
    claim: Option<CachedStatement<'a>>,
    /// The number of the next new row, once that was asked.
    next: Option<i64>,
    /// There may be unclaimed messages, once that was asked.
    unclaimed: Option<bool>,
    tally: Tally,
}

/// What is counted of a row.
#[derive(Clone, Copy)]
struct Counted {
    number: i64,
    key: Key,
    size: i64,
}

const FIND: &str = "SELECT number, state, pass, gone, size FROM item WHERE folder = ? AND id = ?";

pub(super) const INSERT: &str = "INSERT INTO item (number, folder, id, state, code, size, received, zone, \
     flags, accepted, digest, header, target, target_id, pass, attempts, gone, resent, altered, \
     content_id, original, dead_letter) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

pub(super) const UPDATE: &str = "UPDATE item SET state = ?4, code = ?5, size = ?6, received = ?7, zone = ?8, \
     flags = ?9, accepted = ?10, digest = ?11, header = ?12, target = ?13, target_id = ?14, \
     pass = ?15, attempts = ?16, gone = ?17, resent = ?18, altered = ?19, content_id = ?20, \
     original = ?21, dead_letter = ?22 WHERE number = ?1 AND folder = ?2 AND id = ?3";

const CLAIM: &str = "DELETE FROM unclaimed WHERE target = ? AND id = ?";

fn held<'s, 'a>(
    slot: &'s mut Option<CachedStatement<'a>>,
    connection: &'a Connection,
    sql: &str,
) -> rusqlite::Result<&'s mut CachedStatement<'a>> {
    match slot {
        Some(statement) => Ok(statement),
        none => Ok(none.insert(connection.prepare_cached(sql)?)),
    }
}

impl<'a> Items<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            find: None,
            insert: None,
            update: None,
            claim: None,
            next: None,
            unclaimed: None,
            tally: Tally::default(),
        }
    }

    /// Adds a row, or replaces it under its number.
    pub(super) fn put(&mut self, row: &ItemRow) -> Result<(), Failure> {
        if let Some((target, id)) = &row.target
            && self.may_be_unclaimed()?
        {
            let claim = held(&mut self.claim, self.connection, CLAIM)?;
            claim.execute(params![target.0, id.as_str()])?;
        }
        let before = self.find(row.folder, &row.id)?;
        let number = match before {
            Some(before) => before.number,
            None => self.next()?,
        };
        self.write(number, row, before.is_some())
            .map_err(|error| claimed(self.connection, row, error))?;
        if let Some(before) = before {
            self.tally.add(before.key, before.size, -1);
        } else {
            self.next = Some(number + 1);
        }
        let key = (row.folder, row.state, row.pass, row.gone);
        self.tally.add(key, int(row.size), 1);
        Ok(())
    }

    /// Says that a message is gone from the source, or there again.
    pub(super) fn gone(
        &mut self,
        folder: FolderNo,
        id: &MessageId,
        gone: bool,
    ) -> rusqlite::Result<()> {
        let Some(Counted { number, key, size }) = self.find(folder, id)? else {
            return Ok(());
        };
        execute(
            self.connection,
            "UPDATE item SET gone = ? WHERE number = ?",
            params![gone, number],
        )?;
        self.tally.add(key, size, -1);
        self.tally.add((key.0, key.1, key.2, gone), size, 1);
        Ok(())
    }

    /// An unclaimed message was recorded.
    pub(super) fn note_unclaimed(&mut self) {
        self.unclaimed = Some(true);
    }

    /// Writes the sums.
    pub(super) fn finish(self) -> rusqlite::Result<()> {
        self.tally.write(self.connection)
    }

    fn may_be_unclaimed(&mut self) -> rusqlite::Result<bool> {
        if let Some(known) = self.unclaimed {
            return Ok(known);
        }
        let sql = "SELECT EXISTS (SELECT 1 FROM unclaimed)";
        let mut ask = self.connection.prepare_cached(sql)?;
        let some = ask.query_row([], |row| row.get(0))?;
        self.unclaimed = Some(some);
        Ok(some)
    }

    fn find(&mut self, folder: FolderNo, id: &MessageId) -> rusqlite::Result<Option<Counted>> {
        let read = |row: &Row<'_>| {
            Ok(Counted {
                number: row.get(0)?,
                key: (folder, item_state(row, 1)?, row.get(2)?, row.get(3)?),
                size: row.get(4)?,
            })
        };
        held(&mut self.find, self.connection, FIND)?
            .query_row(params![folder.0, id.as_str()], read)
            .optional()
    }

    fn next(&mut self) -> rusqlite::Result<i64> {
        if let Some(next) = self.next {
            return Ok(next);
        }
        let sql = "SELECT coalesce(max(number), -1) + 1 FROM item";
        let mut ask = self.connection.prepare_cached(sql)?;
        ask.query_row([], |row| row.get(0))
    }

    fn write(&mut self, number: i64, row: &ItemRow, known: bool) -> rusqlite::Result<()> {
        let statement = match known {
            true => held(&mut self.update, self.connection, UPDATE)?,
            false => held(&mut self.insert, self.connection, INSERT)?,
        };
        let altered = match row.altered.as_slice() {
            [] => None,
            altered => Some(json(altered)?),
        };
        let values: &[&dyn ToSql] = params![
            number,
            row.folder.0,
            row.id.as_str(),
            row.state.as_str(),
            row.code,
            int(row.size),
            row.received.map(Timestamp::seconds),
            row.received.map(Timestamp::offset_minutes),
            row.flags.to_string(),
            row.accepted.as_ref().map(ToString::to_string),
            row.digest.as_ref().map(ContentDigest::as_bytes),
            row.header.as_ref().map(HeaderDigest::as_bytes),
            row.target.as_ref().map(|(target, _)| target.0),
            row.target.as_ref().map(|(_, id)| id.as_str()),
            row.pass,
            row.attempts,
            row.gone,
            row.resent,
            altered,
            row.content_id.as_ref().map(ContentId::as_str),
            row.original.as_ref().map(json).transpose()?,
            row.dead_letter,
        ];
        statement.execute(values).map(|_| ())
    }
}

/// The index of claims is the only constraint that a row can violate: its other keys are looked for.
fn claimed(connection: &Connection, row: &ItemRow, error: rusqlite::Error) -> Failure {
    let Some((target, id)) = &row.target else {
        return Failure::Sql(error);
    };
    if error.sqlite_error_code() != Some(ErrorCode::ConstraintViolation) {
        return Failure::Sql(error);
    }
    match holder(connection, *target, id) {
        Ok(Some((folder, holder))) => Failure::Conflict(super::super::conflict(
            row.folder,
            &row.id,
            id,
            format!("{holder} of folder {folder}"),
        )),
        _ => Failure::Sql(error),
    }
}

fn holder(
    connection: &Connection,
    target: TargetNo,
    id: &MessageId,
) -> rusqlite::Result<Option<(u32, String)>> {
    connection
        .query_row(
            "SELECT folder, id FROM item WHERE target = ? AND target_id = ?",
            params![target.0, id.as_str()],
            |found| Ok((found.get(0)?, found.get(1)?)),
        )
        .optional()
}

type Key = (FolderNo, ItemState, u32, bool);

/// How the counts of rows change by a commit.
#[derive(Default)]
struct Tally(BTreeMap<Key, Sum>);

/// Sizes in two parts, so that no sum of them is too large for a column.
#[derive(Clone, Copy, Default)]
struct Sum {
    messages: i64,
    high: i64,
    low: i64,
}

impl Tally {
    /// Adds a row, or takes it away by -1.
    fn add(&mut self, key: Key, size: i64, times: i64) {
        let sum = self.0.entry(key).or_default();
        sum.messages += times;
        sum.high += times * (size >> 32);
        sum.low += times * (size & 0xffff_ffff);
    }

    fn write(self, connection: &Connection) -> rusqlite::Result<()> {
        for ((folder, state, pass, gone), sum) in self.0 {
            let Sum {
                messages,
                high,
                low,
            } = sum;
            if (messages, high, low) == (0, 0, 0) {
                continue;
            }
            execute(
                connection,
                "INSERT INTO tally (folder, state, pass, gone, messages, high, low) \
                 VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET \
                 messages = messages + excluded.messages, \
                 high = high + excluded.high, low = low + excluded.low",
                params![folder.0, state.as_str(), pass, gone, messages, high, low],
            )?;
            if messages < 0 {
                execute(
                    connection,
                    "DELETE FROM tally \
                     WHERE folder = ? AND state = ? AND pass = ? AND gone = ? AND messages = 0",
                    params![folder.0, state.as_str(), pass, gone],
                )?;
            }
        }
        Ok(())
    }
}
