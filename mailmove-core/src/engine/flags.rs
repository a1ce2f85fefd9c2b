//! Flags are merged three ways: what changed at the source is applied, unless the destination
//! changed the same flag itself; then the destination wins.

use std::collections::HashMap;

use futures_util::StreamExt as _;

use super::{Engine, lane::Lane};
use crate::{
    checkpoint::{ItemRow, Record},
    destination::{Depth, FlagChange, Outcome, Probe},
    error::{ErrorKind, Result},
    model::{Flags, FolderId, MessageId, SystemFlag},
};

/// A message whose flags changed at the source.
#[derive(Clone, Debug)]
pub(super) struct FlagWork {
    row: ItemRow,
    place: FolderId,
    now: Flags,
    add_only: bool,
}

impl FlagWork {
    /// The work for a known message that now has the flags `now`; `None` if nothing changed or the
    /// message is not at the destination.
    pub(super) fn of(lane: &Lane, row: ItemRow, now: &Flags) -> Option<Self> {
        if row.flags == *now || row.target.is_none() || !row.state.is_final() {
            return None;
        }
        Some(Self {
            row,
            place: lane.place.id.clone(),
            now: now.clone(),
            add_only: false,
        })
    }

    /// Adds flags to a message that was found at the destination.
    pub(super) fn adding(lane: &Lane, row: ItemRow, missing: Flags) -> Self {
        let now = row.flags.union(&missing);
        Self {
            row,
            place: lane.place.id.clone(),
            now,
            add_only: true,
        }
    }
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

/// Applies flag changes, recording what the destination confirmed. Messages that are gone there
/// are left to the destination check. Setting flags is idempotent: after an error the whole call
/// may be made again, and what was confirmed is not sent a second time.
pub(super) async fn apply(engine: &Engine, work: Vec<FlagWork>) -> Result<()> {
    if work.is_empty() || !engine.options.flags || !engine.to.sets_flags {
        return Ok(());
    }
    let mut by_place: HashMap<FolderId, Vec<FlagWork>> = HashMap::new();
    for item in work {
        by_place.entry(item.place.clone()).or_default().push(item);
    }
    for (place, work) in by_place {
        for chunk in work.chunks(500) {
            apply_chunk(engine, &place, chunk).await?;
        }
    }
    Ok(())
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
    let mut waiting: HashMap<MessageId, ItemRow> = HashMap::new();
    let mut failed = None;
    for item in work {
        let Some(id) = id_of(item) else { continue };
        let Some(flags_there) = there.get(&id) else {
            continue;
        };
        let accepted = item.row.accepted.as_ref().unwrap_or(&item.row.flags);
        let (add, remove) = if item.add_only {
            (item.now.difference(flags_there), Flags::new())
        } else {
            merge(&item.row.flags, &item.now, accepted, flags_there)
        };
        let mut row = item.row.clone();
        row.flags = item.now.clone();
        if add.is_empty() && remove.is_empty() {
            set_accepted(&mut row, flags_there.clone());
            records.push(Record::Item(Box::new(row)));
        } else {
            set_accepted(&mut row, flags_there.union(&add).difference(&remove));
            waiting.insert(id.clone(), row);
            changes.push(FlagChange::new(id, add, remove));
        }
    }
    if !changes.is_empty() {
        let mut answers = updater.set_flags(place, changes);
        while let Some((id, outcome)) = answers.next().await {
            let Some(mut row) = waiting.remove(&id) else {
                continue;
            };
            match outcome {
                Outcome::Stored(receipt) | Outcome::AlreadyThere(receipt) => {
                    if let Some(flags) = receipt.flags {
                        set_accepted(&mut row, flags);
                    }
                    engine.note(row.folder, |notes| notes.flags_changed += 1);
                    records.push(Record::Item(Box::new(row)));
                }
                // Gone there: the destination check says so.
                Outcome::NotStored(error) if error.kind() == ErrorKind::NotFound => {}
                Outcome::NotStored(error) | Outcome::Unknown(error) => failed = Some(error),
            }
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
