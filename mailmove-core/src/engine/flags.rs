//! Flags are merged three ways: what changed at the source is applied, unless the destination
//! changed the same flag itself; then the destination wins.

use std::collections::HashMap;

use futures_util::StreamExt as _;

use super::{Engine, lane::Lane, retry::Backoff, settle::known_rows};
use crate::{
    checkpoint::{Intent, ItemRow, Record, TargetNo},
    destination::{Depth, FlagChange, Outcome},
    error::{Error, ErrorKind, Result, Scope},
    model::{Alteration, AlterationKind, Flags, FolderId, MessageId, SystemFlag},
    observe::Direction,
};

/// A message whose flags changed at the source.
#[derive(Clone, Debug)]
pub(super) struct FlagWork {
    row: ItemRow,
    target: TargetNo,
    place: FolderId,
    now: Flags,
}

impl FlagWork {
    /// The work for a known message that now has the flags `now`; `None` if nothing changed or the
    /// message is not at the destination.
    pub(super) fn of(lane: &Lane, row: ItemRow, now: &Flags) -> Option<Self> {
        Self::at(&lane.place.id, row, now)
    }

    /// The same for a message in that folder.
    pub(super) fn at(place: &FolderId, row: ItemRow, now: &Flags) -> Option<Self> {
        let (target, _) = row.target.clone()?;
        if row.flags == *now || !row.state.is_final() {
            return None;
        }
        Some(Self {
            row,
            target,
            place: place.clone(),
            now: now.clone(),
        })
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
/// are left to the destination check.
pub(super) async fn apply(engine: &Engine, work: Vec<FlagWork>) -> Result<()> {
    let (records, intents) = intend(engine, work);
    if intents.is_empty() {
        return Ok(());
    }
    engine.ledger.commit(records).await?;
    carry_out(engine, intents).await
}

/// Flags to be changed in one folder.
#[derive(Debug)]
pub(super) struct Intended {
    place: FolderId,
    intent: Intent,
}

/// What is to be recorded before flags are changed: else, after a crash, nobody could tell our own
/// change from one that a user made. To be committed with the rows or after them.
pub(super) fn intend(engine: &Engine, work: Vec<FlagWork>) -> (Vec<Record>, Vec<Intended>) {
    if work.is_empty() || !engine.options.flags || !engine.to.sets_flags {
        return (Vec::new(), Vec::new());
    }
    let mut by_place: HashMap<(TargetNo, FolderId), Vec<FlagWork>> = HashMap::new();
    for item in work {
        let key = (item.target, item.place.clone());
        by_place.entry(key).or_default().push(item);
    }
    let (mut records, mut intents) = (Vec::new(), Vec::new());
    for ((target, place), work) in by_place {
        for chunk in work.chunks(500) {
            let changes = chunk
                .iter()
                .map(|item| (item.row.clone(), item.now.clone()));
            let intent = Intent::of_flags(engine.batch_number(), target, changes);
            records.push(Record::Intent(Box::new(intent.clone())));
            let place = place.clone();
            intents.push(Intended { place, intent });
        }
    }
    (records, intents)
}

/// Changes flags whose intent is durable, again after failures that pass.
pub(super) async fn carry_out(engine: &Engine, intents: Vec<Intended>) -> Result<()> {
    for Intended { place, intent } in intents {
        resume(engine, &place, &intent).await?;
    }
    Ok(())
}

/// Changes the flags of an intent, this run's or an earlier one's. Doing it twice does no harm.
pub(super) async fn resume(engine: &Engine, place: &FolderId, intent: &Intent) -> Result<()> {
    let mut backoff = Backoff::on(engine, Direction::Up);
    let mut last = false;
    loop {
        let (rows, failed) = once(engine, place, intent, last).await?;
        let mut records: Vec<Record> = rows
            .into_iter()
            .map(|row| Record::Item(Box::new(row)))
            .collect();
        if failed.is_none() {
            records.push(Record::Close(intent.batch));
        }
        engine.ledger.commit(records).await?;
        let Some(error) = failed else { return Ok(()) };
        match backoff.next(&error) {
            Some(wait) => engine.rest(&backoff, &error, wait).await?,
            // What fails for one message each time costs that one's flags.
            None if error.scope() == Scope::Message && error.is_transient() && !last => last = true,
            None => return Err(error),
        }
    }
}

/// One try: the rows of what was dealt with, and what failed.
async fn once(
    engine: &Engine,
    place: &FolderId,
    intent: &Intent,
    last: bool,
) -> Result<(Vec<ItemRow>, Option<Error>)> {
    let known = known_rows(engine, &intent.items).await?;
    let items = intent.items.iter().zip(known);
    let open = items.filter_map(|(item, known)| {
        // What was dealt with meanwhile is left alone.
        let row = known.filter(|row| {
            row.target == item.target && Some(&row.flags) == item.accepted.as_ref()
        })?;
        Some((row.target.clone()?.1, row, item.flags.clone()))
    });
    let open: Vec<(MessageId, ItemRow, Flags)> = open.collect();
    let mut rows = Vec::new();
    let failed = change(engine, place, open, last, &mut rows).await.err();
    Ok((rows, failed))
}

async fn change(
    engine: &Engine,
    place: &FolderId,
    open: Vec<(MessageId, ItemRow, Flags)>,
    last: bool,
    rows: &mut Vec<ItemRow>,
) -> Result<()> {
    let Some(updater) = engine.destination.updater().filter(|_| !open.is_empty()) else {
        return Ok(());
    };
    let ids = open.iter().map(|(id, ..)| id.clone()).collect();
    let there = flags_there(engine, place, ids).await?;
    let mut changes = Vec::new();
    let mut waiting: HashMap<MessageId, (ItemRow, Flags)> = HashMap::new();
    for (id, mut row, now) in open {
        let Some(flags_there) = there.get(&id) else {
            continue;
        };
        let accepted = row.accepted.as_ref().unwrap_or(&row.flags);
        let (add, remove) = merge(&row.flags, &now, accepted, flags_there);
        row.flags = now;
        if add.is_empty() && remove.is_empty() {
            set_accepted(&mut row, flags_there.clone());
            rows.push(row);
        } else {
            set_accepted(&mut row, flags_there.union(&add).difference(&remove));
            waiting.insert(id.clone(), (row, flags_there.clone()));
            changes.push(FlagChange::new(id, add, remove));
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    let mut failed = None;
    let mut answers = updater.set_flags(place, changes);
    while let Some((id, outcome)) = answers.next().await {
        let Some((mut row, before)) = waiting.remove(&id) else {
            continue;
        };
        match outcome {
            Outcome::Stored(receipt) | Outcome::AlreadyThere(receipt) => {
                if let Some(flags) = receipt.flags {
                    set_accepted(&mut row, flags);
                }
                engine.note(row.folder, |notes| notes.flags_changed += 1);
                rows.push(row);
            }
            // Gone there: the destination check says so.
            Outcome::NotStored(error) if gone(&error) => {}
            // One message's flags cost nobody else's.
            Outcome::NotStored(error) | Outcome::Unknown(error)
                if error.scope() == Scope::Message && (last || !error.is_transient()) =>
            {
                let note = format!("refused: {}", error.chain());
                row.altered
                    .push(Alteration::new(AlterationKind::FlagDropped, note));
                engine.note(row.folder, |notes| {
                    *notes
                        .altered
                        .entry(AlterationKind::FlagDropped)
                        .or_default() += 1;
                });
                set_accepted(&mut row, before);
                rows.push(row);
            }
            Outcome::NotStored(error) | Outcome::Unknown(error) => failed = Some(error),
        }
    }
    if failed.is_none() && !waiting.is_empty() {
        let error = Error::new(ErrorKind::Interrupted, "no answer on flags that were set");
        failed = Some(error);
    }
    failed.map_or(Ok(()), Err)
}

/// The message is gone, not its folder.
pub(super) fn gone(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound && error.scope() == Scope::Message
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
    let probe = engine.probe(place, Depth::Meta).with_ids(ids);
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
