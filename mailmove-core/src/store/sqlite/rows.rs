//! Between rows of SQLite and the ledger's types.

use rusqlite::{
    Error, Row,
    types::{FromSqlError, Type, ValueRef},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    checkpoint::{
        FolderNo, FolderRow, FolderState, Intent, ItemRow, ItemState, Stored, TargetNo, TargetRow,
    },
    destination::Existing,
    identity::HeaderDigest,
    model::{ContentDigest, ContentId, Cursor, Flags, FolderId, MessageId, Timestamp, Token},
};

type Result<T> = rusqlite::Result<T>;

/// SQLite's integers are signed; see the contract of the ledger.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// JSON, as lists and marks are kept.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::ToSqlConversionFailure(error.into()))
}

/// A value that is not what this version writes.
fn bad(column: usize, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, cause.into())
}

fn text<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a str> {
    row.get_ref(column)?
        .as_str()
        .map_err(|error| bad(column, error))
}

fn maybe_text<'a>(row: &'a Row<'_>, column: usize) -> Result<Option<&'a str>> {
    row.get_ref(column)?
        .as_str_or_null()
        .map_err(|error| bad(column, error))
}

fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T> {
    serde_json::from_str(text(row, column)?).map_err(|error| bad(column, error))
}

fn maybe_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<Option<T>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => from_json(row, column).map(Some),
    }
}

pub(super) fn number(row: &Row<'_>, column: usize) -> Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| Error::IntegralValueOutOfRange(column, value))
}

fn maybe_number(row: &Row<'_>, column: usize) -> Result<Option<u64>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => number(row, column).map(Some),
    }
}

fn digest<const N: usize>(row: &Row<'_>, column: usize) -> Result<Option<[u8; N]>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        ValueRef::Blob(bytes) => bytes.try_into().map(Some).map_err(|error| {
            bad(
                column,
                FromSqlError::InvalidBlobSize {
                    expected_size: N,
                    blob_size: bytes.len(),
                }
                .to_string()
                    + &format!(" ({error})"),
            )
        }),
        other => Err(bad(column, format!("expected a blob, not {other:?}"))),
    }
}

fn timestamp(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>> {
    let seconds: Option<i64> = row.get(column)?;
    let zone: Option<i16> = row.get(column + 1)?;
    Ok(seconds.map(|seconds| Timestamp::new(seconds, zone.unwrap_or(0))))
}

/// The name of a unit-like value as serde writes it, without the quotes.
pub(super) fn name<T: Serialize>(value: &T) -> Result<String> {
    json(value).map(|text| text.trim_matches('"').to_owned())
}

fn maybe_name<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<Option<T>> {
    maybe_text(row, column)?
        .map(|name| serde_json::from_value(name.into()).map_err(|error| bad(column, error)))
        .transpose()
}

pub(super) const FOLDER: &str = "no, id, path, role, identity, state, reason, target, cursor, \
     rules, listed, token, messages";

pub(super) fn folder(row: &Row<'_>) -> Result<FolderRow> {
    let mut out = FolderRow::new(
        FolderNo(row.get(0)?),
        FolderId::new(text(row, 1)?),
        from_json(row, 2)?,
        text(row, 4)?,
    );
    out.role = maybe_name(row, 3)?;
    let reason = || maybe_text(row, 6).map(|reason| reason.unwrap_or_default().to_owned());
    out.state = match text(row, 5)? {
        "mapped" => FolderState::Mapped,
        "excluded" => FolderState::Excluded(reason()?),
        "failed" => FolderState::Failed(reason()?),
        "gone" => FolderState::Gone,
        other => return Err(bad(5, format!("unknown state {other}"))),
    };
    out.target = row.get::<_, Option<u32>>(7)?.map(TargetNo);
    out.cursor = maybe_text(row, 8)?.map(Cursor::new);
    out.rules = row.get(9)?;
    out.listed = row.get(10)?;
    out.token = maybe_text(row, 11)?.map(Token::new);
    out.exists = maybe_number(row, 12)?;
    Ok(out)
}

/// State and reason of a folder, as kept.
pub(super) fn folder_state(state: &FolderState) -> (&'static str, Option<&str>) {
    match state {
        FolderState::Mapped => ("mapped", None),
        FolderState::Excluded(rule) => ("excluded", Some(rule)),
        FolderState::Failed(code) => ("failed", Some(code)),
        FolderState::Gone => ("gone", None),
    }
}

pub(super) const TARGET: &str = "no, id, path, identity, examined, messages, mark";

pub(super) fn target(row: &Row<'_>) -> Result<TargetRow> {
    let mut out = TargetRow::new(
        TargetNo(row.get(0)?),
        FolderId::new(text(row, 1)?),
        from_json(row, 2)?,
        text(row, 3)?,
    );
    out.examined = maybe_json(row, 4)?;
    out.messages = maybe_number(row, 5)?;
    out.mark = maybe_json(row, 6)?;
    Ok(out)
}

pub(super) const INTENT: &str = "batch, target, mark, settled_at, moved_from, items, copied";

pub(super) fn intent(row: &Row<'_>) -> Result<Intent> {
    let target = TargetNo(row.get(1)?);
    let items = from_json(row, 5)?;
    let mut out = Intent::new(number(row, 0)?, target, from_json(row, 2)?, items);
    out.settled_at = number(row, 3)?;
    out.moved_from = row.get::<_, Option<u32>>(4)?.map(TargetNo);
    out.copied = row.get(6)?;
    Ok(out)
}

pub(super) fn item_state(row: &Row<'_>, column: usize) -> Result<ItemState> {
    let state = text(row, column)?;
    ItemState::parse(state).ok_or_else(|| bad(column, format!("unknown state {state}")))
}

pub(super) const ITEM: &str = "number, folder, id, state, code, size, received, zone, flags, \
     accepted, digest, header, target, target_id, pass, attempts, gone, resent, altered, \
     content_id, original, dead_letter";

pub(super) fn item(row: &Row<'_>) -> Result<Stored> {
    let mut out = ItemRow::new(FolderNo(row.get(1)?), MessageId::new(text(row, 2)?));
    out.state = item_state(row, 3)?;
    out.code = row.get(4)?;
    out.size = number(row, 5)?;
    out.received = timestamp(row, 6)?;
    out.flags = Flags::parse(text(row, 8)?);
    out.accepted = maybe_text(row, 9)?.map(Flags::parse);
    out.digest = digest(row, 10)?.map(ContentDigest::from_bytes);
    out.header = digest(row, 11)?.map(HeaderDigest::from_bytes);
    out.target = match (row.get::<_, Option<u32>>(12)?, maybe_text(row, 13)?) {
        (Some(target), Some(id)) => Some((TargetNo(target), MessageId::new(id))),
        _ => None,
    };
    out.pass = row.get(14)?;
    out.attempts = row.get(15)?;
    out.gone = row.get(16)?;
    out.resent = row.get(17)?;
    out.altered = maybe_json(row, 18)?.unwrap_or_default();
    out.content_id = maybe_text(row, 19)?.map(ContentId::new);
    out.original = maybe_json(row, 20)?;
    out.dead_letter = row.get(21)?;
    Ok(Stored::new(number(row, 0)?, out))
}

pub(super) const EXISTING: &str = "id, size, flags, received, zone, header, digest";

pub(super) fn existing(row: &Row<'_>) -> Result<Existing> {
    let mut out = Existing::new(MessageId::new(text(row, 0)?));
    out.size = maybe_number(row, 1)?;
    out.flags = Flags::parse(text(row, 2)?);
    out.received = timestamp(row, 3)?;
    out.header = digest(row, 5)?.map(HeaderDigest::from_bytes);
    out.digest = digest(row, 6)?.map(ContentDigest::from_bytes);
    Ok(out)
}
