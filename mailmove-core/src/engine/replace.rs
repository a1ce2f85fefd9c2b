//! Messages that were sent again because they were there otherwise than they were stored: the old copy
//! goes when the new one was read back, and never before.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{
    Engine, compare,
    pass::Ended,
    settle::{self, known_rows},
};
use crate::{
    checkpoint::{FolderNo, ItemRow, ItemState, Record, TargetNo},
    destination::{Existing, Outcome},
    error::{Error, ErrorKind, Result, Scope},
    identity::HeaderDigest,
    model::{Alteration, FolderId, MessageId},
    observe::Event,
};
use futures_util::StreamExt as _;

/// Under this key the ledger keeps how many lists there are, and under `replace/0` and so on the lists.
const LISTS: &str = "replace";

/// A copy that is being replaced.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Replaced {
    folder: FolderNo,
    id: MessageId,
    target: TargetNo,
    there: MessageId,
    /// We stored it; else it was there already.
    ours: bool,
    /// What it was made from had this header; the row's own, if none is kept.
    #[serde(default)]
    header: Option<HeaderDigest>,
}

impl Replaced {
    /// The copy `there` of a row's message.
    pub(super) fn new(row: &ItemRow, target: TargetNo, there: MessageId) -> Self {
        Self {
            folder: row.folder,
            id: row.id.clone(),
            target,
            there,
            ours: row.state == ItemState::Copied,
            header: row.header,
        }
    }
}

fn key(list: u32) -> String {
    format!("{LISTS}/{list}")
}

fn lists(text: Option<String>) -> u32 {
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Remembers these copies, in one commit with the rows that give up their claims.
pub(super) async fn commit(
    engine: &Engine,
    replaced: Vec<Replaced>,
    rows: Vec<Record>,
) -> Result<()> {
    if replaced.is_empty() {
        // Nothing to take turns for: commits of several lanes go together.
        return match rows.is_empty() {
            true => Ok(()),
            false => engine.ledger.commit(rows).await,
        };
    }
    let mut records = Vec::with_capacity(rows.len() + 2);
    // Lanes remember at the same time: each list has a number of its own until it is recorded.
    let _turn = engine.replacing.lock().await;
    let at = lists(engine.ledger.meta(LISTS).await?);
    records.push(Record::Meta(LISTS.to_owned(), (at + 1).to_string()));
    records.push(Record::Meta(key(at), written(&replaced)?));
    records.extend(rows);
    engine.ledger.commit(records).await
}

fn written(replaced: &[Replaced]) -> Result<String> {
    serde_json::to_string(replaced).map_err(|error| {
        Error::new(ErrorKind::Bug, "a list of the ledger cannot be written").with_source(error)
    })
}

fn read(text: &str) -> Result<Vec<Replaced>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(text).map_err(|error| {
        Error::new(ErrorKind::Store, "a list of the ledger cannot be read")
            .with_code("store/corrupt")
            .with_source(error)
    })
}

/// Removes what was replaced in this pass or an earlier one.
pub(super) async fn finish(engine: &Engine, lanes: &Ended) -> Result<()> {
    let count = lists(engine.ledger.meta(LISTS).await?);
    let mut left = 0;
    for list in 0..count {
        let text = engine.ledger.meta(&key(list)).await?.unwrap_or_default();
        let before = read(&text)?;
        let after = one_list(engine, lanes, before.clone()).await?;
        left += after.len();
        if after.len() < before.len() {
            let text = if after.is_empty() {
                String::new()
            } else {
                written(&after)?
            };
            engine
                .ledger
                .commit(vec![Record::Meta(key(list), text)])
                .await?;
        }
    }
    if count > 0 && left == 0 {
        let none = Record::Meta(LISTS.to_owned(), "0".to_owned());
        engine.ledger.commit(vec![none]).await?;
    }
    Ok(())
}

/// Gives back what has to wait for a later pass.
async fn one_list(engine: &Engine, lanes: &Ended, list: Vec<Replaced>) -> Result<Vec<Replaced>> {
    let asked: Vec<ItemRow> = list
        .iter()
        .map(|one| ItemRow::new(one.folder, one.id.clone()))
        .collect();
    let rows = known_rows(engine, &asked).await?;
    let mut left = Vec::new();
    let mut ready: HashMap<TargetNo, Vec<(Replaced, ItemRow)>> = HashMap::new();
    for (one, row) in list.into_iter().zip(rows) {
        let Some(row) = row else { continue };
        let old = Some((one.target, one.there.clone()));
        match row.state {
            _ if row.target == old => {}
            ItemState::Copied | ItemState::AlreadyThere => {
                // Numbered anew since: nobody can tell any more which one it was.
                let here = row.target.as_ref().is_some_and(|(no, _)| *no == one.target);
                if here {
                    ready.entry(one.target).or_default().push((one, row));
                }
            }
            ItemState::RemovedThere => {}
            ItemState::Pending | ItemState::Failed | ItemState::Unnamed if !row.gone => {
                left.push(one);
            }
            // The source has it no more: a damaged copy is better than none.
            _ => keep(engine, row, one).await?,
        }
    }
    for (no, ready) in ready {
        let lane = lanes.iter().find(|(lane, _)| lane.target.no == no);
        let Some((lane, _)) = lane else {
            left.extend(ready.into_iter().map(|(one, _)| one));
            continue;
        };
        for pairs in ready.chunks(50) {
            left.extend(in_folder(engine, &lane.place.id, no, pairs).await?);
        }
    }
    Ok(left)
}

/// The row claims its old copy again.
async fn keep(engine: &Engine, mut row: ItemRow, one: Replaced) -> Result<()> {
    let claim = engine
        .ledger
        .claims(one.target, vec![one.there.clone()])
        .await?;
    if claim.iter().any(Option::is_some) {
        return Ok(());
    }
    row.state = if one.ours {
        ItemState::Copied
    } else {
        ItemState::AlreadyThere
    };
    row.code = None;
    row.target = Some((one.target, one.there));
    // Not in this one.
    row.pass = engine.pass.saturating_sub(1);
    let record = Record::Item(Box::new(row));
    engine.ledger.commit(vec![record]).await
}

/// Reads both copies of some messages, and removes the old ones.
async fn in_folder(
    engine: &Engine,
    place: &FolderId,
    no: TargetNo,
    pairs: &[(Replaced, ItemRow)],
) -> Result<Vec<Replaced>> {
    let new_id = |row: &ItemRow| row.target.as_ref().map(|(_, id)| id.clone());
    let old: Vec<MessageId> = pairs.iter().map(|(one, _)| one.there.clone()).collect();
    let claims = engine.ledger.claims(no, old.clone()).await?;
    let ids: Vec<MessageId> = pairs.iter().filter_map(|(_, row)| new_id(row)).collect();
    let ids: Vec<MessageId> = ids.into_iter().chain(old).collect();
    let read = settle::contents_of(engine, place, &ids).await?;
    let read: HashMap<MessageId, Existing> = read
        .into_iter()
        .map(|existing| (existing.id.clone(), existing))
        .collect();
    let (mut records, mut removing, mut unread) = (Vec::new(), HashMap::new(), Vec::new());
    for ((one, row), claim) in pairs.iter().zip(claims) {
        // A new copy that is gone again is for the next pass to find out.
        let new = new_id(row).and_then(|id| read.get(&id));
        let (Some(new), Some(old)) = (new, read.get(&one.there)) else {
            continue;
        };
        records.extend(note_what_stayed(engine, row, new));
        if claim.is_some() {
            continue;
        }
        let same = new.digest.is_some() && (new.digest == row.digest || new.digest == old.digest);
        // One that says nothing about itself was not read.
        let was_read = new.header.is_some() || new.digest.is_some();
        if !was_read {
            // Another pass may read it.
            unread.push(one.clone());
            continue;
        }
        let good = same || !engine.keeps_bytes();
        if is_alike(one, row, old) && good && one.ours {
            removing.insert(one.there.clone(), one.clone());
        } else {
            kept_beside(engine, row, is_alike(one, row, old));
        }
    }
    if !records.is_empty() {
        engine.ledger.commit(records).await?;
    }
    let mut left = remove(engine, place, removing).await?;
    left.append(&mut unread);
    Ok(left)
}

/// An id may name another message by now, on a server that was set back: that one stays.
fn is_alike(one: &Replaced, row: &ItemRow, old: &Existing) -> bool {
    one.header
        .or(row.header)
        .is_some_and(|header| !header.is_void() && Some(header) == old.header)
}

/// A destination that changes the message each time is no damage that could be mended.
fn note_what_stayed(engine: &Engine, row: &ItemRow, new: &Existing) -> Option<Record> {
    let content = compare::content(engine, row, new);
    let date = compare::date(engine, row, new);
    let mut row = row.clone();
    let before = row.altered.len();
    for differs in content.into_iter().chain(date).filter(|it| !it.known) {
        let note = Alteration::new(differs.what.alteration(), differs.detail);
        row.altered.push(note);
    }
    (row.altered.len() > before).then(|| Record::Item(Box::new(row)))
}

fn kept_beside(engine: &Engine, row: &ItemRow, alike: bool) {
    engine.note(row.folder, |notes| notes.doubled += u64::from(alike));
    let name = engine.source.describe(&row.id);
    engine.emit(Event::Note {
        folder: None,
        text: format!("{name} was sent again; what stood in its place at the destination is kept"),
    });
}

/// Removes these messages and nothing beside them; gives back those of which nothing is known yet.
async fn remove(
    engine: &Engine,
    place: &FolderId,
    mut removing: HashMap<MessageId, Replaced>,
) -> Result<Vec<Replaced>> {
    if removing.is_empty() {
        return Ok(Vec::new());
    }
    let updater = engine.destination.updater().filter(|_| engine.to.removes);
    let Some(updater) = updater else {
        for one in removing.values() {
            kept_beside(engine, &ItemRow::new(one.folder, one.id.clone()), true);
        }
        return Ok(Vec::new());
    };
    let mut ids: Vec<MessageId> = removing.keys().cloned().collect();
    ids.sort();
    let mut answers = updater.remove(place, ids);
    while let Some((id, outcome)) = answers.next().await {
        let done = match &outcome {
            Outcome::Stored(_) | Outcome::AlreadyThere(_) => true,
            Outcome::NotStored(error) => !error.is_transient() && error.scope() == Scope::Message,
            Outcome::Unknown(_) => false,
        };
        let Some(one) = removing.get(&id).filter(|_| done) else {
            continue;
        };
        match outcome {
            Outcome::NotStored(error) if error.kind() != ErrorKind::NotFound => {
                kept_beside(engine, &ItemRow::new(one.folder, one.id.clone()), true);
            }
            _ => engine.note(one.folder, |notes| notes.replaced += 1),
        }
        removing.remove(&id);
    }
    Ok(removing.into_values().collect())
}
