//! Flags are merged three ways: what changed at the source is applied, unless the destination
//! changed the same flag itself; then the destination wins.

use std::collections::HashMap;

use futures_util::StreamExt as _;

use super::{Engine, lane::Lane};
use crate::{
    checkpoint::{ItemRow, ItemState, Record},
    destination::{Depth, FlagChange, Outcome, Probe},
    error::{Error, ErrorKind, Result},
    model::{Flags, FolderId, MessageId, SystemFlag},
};

/// A message whose flags changed at the source.
#[derive(Clone, Debug)]
pub(super) struct FlagWork {
    row: ItemRow,
    place: FolderId,
    now: Flags,
    kind: Kind,
}

/// Why flags are set. What is not [`Known`](Kind::Known) gets its row only when the flags are set:
/// were it recorded before and the process killed between, nobody would set them any more.
#[derive(Clone, Debug)]
enum Kind {
    /// It has a row; its flags changed.
    Known,
    /// It has a row that was open when it was listed, and has its end by the time this is applied.
    Open,
    /// It was found at the destination: flags are only added.
    Adopted,
    /// It moved there; the row of its old place gives up its claim.
    Moved(Box<ItemRow>),
}

impl FlagWork {
    /// The work for a known message that now has the flags `now`; `None` if nothing changed or the
    /// message is not at the destination.
    pub(super) fn of(lane: &Lane, row: ItemRow, now: &Flags) -> Option<Self> {
        if row.flags == *now || row.target.is_none() || !row.state.is_final() {
            return None;
        }
        Some(Self::new(lane, row, now.clone(), Kind::Known))
    }

    /// The work for a message that is being copied with flags that are no longer its own.
    pub(super) fn of_open(lane: &Lane, row: ItemRow, now: &Flags) -> Option<Self> {
        (row.flags != *now).then(|| Self::new(lane, row, now.clone(), Kind::Open))
    }

    /// Adds flags to a message that was found at the destination, then records its row.
    pub(super) fn adopted(lane: &Lane, row: ItemRow, missing: &Flags) -> Self {
        let now = row.flags.union(missing);
        Self::new(lane, row, now, Kind::Adopted)
    }

    /// Merges the flags of a message that moved from the place of `old`, then records both rows.
    pub(super) fn moved(lane: &Lane, row: ItemRow, old: ItemRow, now: Flags) -> Self {
        Self::new(lane, row, now, Kind::Moved(Box::new(old)))
    }

    fn new(lane: &Lane, row: ItemRow, now: Flags, kind: Kind) -> Self {
        Self {
            row,
            place: lane.place.id.clone(),
            now,
            kind,
        }
    }

    /// The row of a message that was found at the destination and is not recorded yet.
    pub(super) fn unrecorded(&self) -> Option<&ItemRow> {
        matches!(self.kind, Kind::Adopted).then_some(&self.row)
    }

    /// What to record now that the flags are as they shall be.
    fn done(&self, row: ItemRow) -> Vec<Record> {
        let mut records = Vec::with_capacity(2);
        // First the claim is given up: within one destination folder it is the same.
        if let Kind::Moved(old) = &self.kind {
            records.push(Record::Item(old.clone()));
        }
        records.push(Record::Item(Box::new(row)));
        records
    }

    /// What to record if the message is gone from the destination.
    fn gone(&self) -> Vec<Record> {
        let mut row = self.row.clone();
        row.target = None;
        row.accepted = None;
        row.flags = self.now.clone();
        row.state = match self.kind {
            // The destination check says so.
            Kind::Known | Kind::Open => return Vec::new(),
            // It was there a moment ago; it is copied like any other.
            Kind::Adopted => ItemState::Pending,
            Kind::Moved(_) => ItemState::RemovedThere,
        };
        self.done(row)
    }
}

/// Whether flags of messages that are there can and shall be set.
pub(super) fn can_set(engine: &Engine) -> bool {
    engine.options.flags && engine.to.sets_flags && engine.destination.updater().is_some()
}

/// What to send for one message: (add, remove).
///
/// `before` and `now` are the source's flags at the last pass and now; `accepted` are the
/// destination's after the last pass, `there` now. A later `\Deleted` isn't carried over: deletion
/// at the source is a matter of its own.
fn merge(before: &Flags, now: &Flags, accepted: &Flags, there: &Flags) -> (Flags, Flags) {
    let changed_there = there
        .difference(accepted)
        .union(&accepted.difference(there));
    let mut add = now
        .difference(before)
        .difference(&changed_there)
        .difference(there);
    let mut remove = before
        .difference(now)
        .difference(&changed_there)
        .intersection(there);
    add.remove(SystemFlag::Deleted);
    remove.remove(SystemFlag::Deleted);
    (add, remove)
}

/// Applies flag changes, recording what the destination confirmed. Known messages that are gone
/// there are left to the destination check. Setting flags is idempotent: after an error the whole
/// call may be made again, and what was confirmed is not sent a second time.
pub(super) async fn apply(engine: &Engine, work: Vec<FlagWork>) -> Result<()> {
    if work.is_empty() || !can_set(engine) {
        return Ok(());
    }
    let mut by_place: HashMap<FolderId, Vec<FlagWork>> = HashMap::new();
    for item in work {
        by_place.entry(item.place.clone()).or_default().push(item);
    }
    for (place, work) in by_place {
        for chunk in work.chunks(500) {
            let work = ended(engine, chunk.to_vec()).await?;
            apply_chunk(engine, &place, &work).await?;
        }
    }
    Ok(())
}

/// Takes up the rows of messages that were open when they were listed. One that is open still is
/// sent later, with the flags that it has now.
async fn ended(engine: &Engine, work: Vec<FlagWork>) -> Result<Vec<FlagWork>> {
    let mut out = Vec::with_capacity(work.len());
    let mut records = Vec::new();
    for mut item in work {
        if matches!(item.kind, Kind::Open) {
            let (folder, id) = (item.row.folder, item.row.id.clone());
            let found = engine.ledger.items(folder, vec![id]).await?;
            let Some(mut row) = found.into_iter().flatten().next().map(|stored| stored.row) else {
                continue;
            };
            if !row.state.is_final() {
                row.flags = item.now;
                records.push(Record::Item(Box::new(row)));
                continue;
            }
            if row.target.is_none() || row.flags == item.now {
                continue;
            }
            item.row = row;
            item.kind = Kind::Known;
        }
        out.push(item);
    }
    if !records.is_empty() {
        engine.ledger.commit(records).await?;
    }
    Ok(out)
}

async fn apply_chunk(engine: &Engine, place: &FolderId, work: &[FlagWork]) -> Result<()> {
    let Some(updater) = engine.destination.updater() else {
        return Ok(());
    };
    let id_of = |work: &FlagWork| work.row.target.as_ref().map(|(_, id)| id.clone());
    let ids: Vec<MessageId> = work.iter().filter_map(id_of).collect();
    let there = flags_there(engine, place, ids).await?;
    let mut changes = Vec::new();
    let mut records = Vec::new();
    let mut waiting: HashMap<MessageId, (ItemRow, &FlagWork)> = HashMap::new();
    let mut failed = None;
    for item in work {
        let Some(id) = id_of(item) else { continue };
        let Some(flags_there) = there.get(&id) else {
            records.extend(item.gone());
            continue;
        };
        let accepted = item.row.accepted.as_ref().unwrap_or(&item.row.flags);
        let (add, remove) = if matches!(item.kind, Kind::Adopted) {
            (item.now.difference(flags_there), Flags::new())
        } else {
            merge(&item.row.flags, &item.now, accepted, flags_there)
        };
        let mut row = item.row.clone();
        row.flags = item.now.clone();
        if add.is_empty() && remove.is_empty() {
            set_accepted(&mut row, flags_there.clone());
            records.extend(item.done(row));
        } else {
            set_accepted(&mut row, flags_there.union(&add).difference(&remove));
            waiting.insert(id.clone(), (row, item));
            changes.push(FlagChange::new(id, add, remove));
        }
    }
    if !changes.is_empty() {
        let mut answers = updater.set_flags(place, changes);
        while let Some((id, outcome)) = answers.next().await {
            let Some((mut row, item)) = waiting.remove(&id) else {
                continue;
            };
            match outcome {
                Outcome::Stored(receipt) | Outcome::AlreadyThere(receipt) => {
                    if let Some(flags) = receipt.flags {
                        set_accepted(&mut row, flags);
                    }
                    engine.note(row.folder, |notes| notes.flags_changed += 1);
                    records.extend(item.done(row));
                }
                Outcome::NotStored(error) if error.kind() == ErrorKind::NotFound => {
                    records.extend(item.gone());
                }
                Outcome::NotStored(error) | Outcome::Unknown(error) => failed = Some(error),
            }
        }
        if failed.is_none() && !waiting.is_empty() {
            let text = "the destination left out messages whose flags were to be set";
            failed = Some(Error::new(ErrorKind::Interrupted, text));
        }
    }
    engine.ledger.commit(records).await?;
    failed.map_or(Ok(()), Err)
}

fn set_accepted(row: &mut ItemRow, flags: Flags) {
    row.accepted = (flags != row.flags).then_some(flags);
}

async fn flags_there(
    engine: &Engine,
    place: &FolderId,
    ids: Vec<MessageId>,
) -> Result<HashMap<MessageId, Flags>> {
    let mut out = HashMap::with_capacity(ids.len());
    let probe = Probe::new(place.clone(), Depth::Meta).with_ids(ids);
    let mut pages = engine.destination.existing(probe);
    while let Some(page) = pages.next().await {
        for existing in page? {
            out.insert(existing.id, existing.flags);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f(text: &str) -> Flags {
        Flags::parse(text)
    }

    #[test]
    fn only_differences_of_the_source_are_sent() {
        let sent = merge(
            &f("\\Seen"),
            &f("\\Seen \\Flagged"),
            &f("\\Seen"),
            &f("\\Seen"),
        );
        assert_eq!(sent, (f("\\Flagged"), f("")));
        let sent = merge(
            &f("\\Seen Work"),
            &f("Home"),
            &f("\\Seen Work"),
            &f("\\Seen Work"),
        );
        assert_eq!(sent, (f("Home"), f("\\Seen Work")));
    }

    #[test]
    fn the_destinations_own_change_wins() {
        // Read there, then marked unread there; at the source unread became flagged.
        let sent = merge(&f(""), &f("\\Seen \\Flagged"), &f("\\Seen"), &f(""));
        assert_eq!(sent, (f("\\Flagged"), f("")));
        // A keyword that the destination never took is not sent again.
        let sent = merge(&f("Work"), &f("Work \\Seen"), &f(""), &f(""));
        assert_eq!(sent, (f("\\Seen"), f("")));
    }

    #[test]
    fn a_later_deleted_is_not_carried_over() {
        assert_eq!(
            merge(&f(""), &f("\\Deleted"), &f(""), &f("")),
            (f(""), f(""))
        );
    }
}
