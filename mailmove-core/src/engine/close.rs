//! The end of a pass: sums, and what the next pass may rely on.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{Engine, FolderNotes, Mode, lane::Lane, still};
use crate::{
    checkpoint::{FolderNo, FolderRow, FolderState, ItemState, Record, TargetRow},
    error::{Error, ErrorKind, Result, Scope},
    model::{Folder, FolderId},
    observe::Event,
    report::{Failure, FolderReport, MISMATCH, Problem, Report, Tally},
};

/// Adds the lanes to the report, in the order of the source, and closes those that are complete.
pub(super) async fn close(
    engine: &Arc<Engine>,
    lanes: Vec<(Lane, Option<Error>)>,
    report: &mut Report,
) -> Result<()> {
    let stopped = report.stopped.is_some();
    let after = if stopped {
        HashMap::new()
    } else {
        look_after(engine, &lanes).await
    };
    let mut records = Vec::new();
    let seen: HashSet<FolderNo> = lanes.iter().map(|(lane, _)| lane.row.no).collect();
    for (mut lane, error) in lanes {
        let folder = folder_report(engine, &lane, error.as_ref(), stopped).await?;
        engine.emit(Event::FolderFinished {
            folder: folder.source.clone(),
            complete: folder.is_complete(),
        });
        if error.is_none() && !stopped && engine.mode == Mode::Pass {
            let after = after.get(&lane.place.id);
            records.extend(settle_for_next(engine, &mut lane, &folder, after));
        }
        report.folders.push(folder);
    }
    if !records.is_empty() {
        engine.ledger.commit(records).await?;
    }
    report.folders.extend(left(engine, &seen).await?);
    let mut notes = engine.notes();
    report.failures = once_each(std::mem::take(&mut notes.failures));
    report.repaired = std::mem::take(&mut notes.repaired);
    report.not_kept = notes.not_kept.take();
    Ok(())
}

/// One look at the whole destination: marks and counts to compare with at the next pass. Where nothing
/// was done, it is as it was.
async fn look_after(engine: &Engine, lanes: &[(Lane, Option<Error>)]) -> HashMap<FolderId, Folder> {
    let folders = if lanes.iter().all(|(lane, _)| lane.quiet) {
        lanes.iter().map(|(lane, _)| lane.place.clone()).collect()
    } else {
        engine.destination.folders().await.unwrap_or_default()
    };
    let by_id = folders
        .into_iter()
        .map(|folder| (folder.id.clone(), folder));
    by_id.collect()
}

/// Folders that the source has no more, of which there is something to tell: copies of what was sent
/// twice are at the destination.
async fn left(engine: &Engine, lanes: &HashSet<FolderNo>) -> Result<Vec<FolderReport>> {
    let told = worth_telling(&engine.notes().folders, lanes);
    if told.is_empty() {
        return Ok(Vec::new());
    }
    let targets = engine.ledger.targets().await?;
    let folders = engine.ledger.folders().await?;
    Ok(lines(folders, &targets, &told))
}

/// Folders beside the lanes in which something is doubled, or perhaps is.
fn worth_telling(
    notes: &BTreeMap<FolderNo, FolderNotes>,
    lanes: &HashSet<FolderNo>,
) -> BTreeMap<FolderNo, FolderNotes> {
    let mut told = notes.clone();
    told.retain(|no, of| !lanes.contains(no) && (of.doubled > 0 || of.perhaps_doubled > 0));
    told
}

/// A line for each of these folders of which there are notes.
fn lines(
    folders: Vec<FolderRow>,
    targets: &[TargetRow],
    told: &BTreeMap<FolderNo, FolderNotes>,
) -> Vec<FolderReport> {
    let line = |row: FolderRow| {
        let notes = told.get(&row.no)?;
        let target = targets.iter().find(|target| Some(target.no) == row.target);
        let mut report = FolderReport::new(row.path);
        report.destination = target.map(|target| target.path.clone());
        report.tally.doubled = notes.doubled;
        report.tally.perhaps_doubled = notes.perhaps_doubled;
        Some(report)
    };
    folders.into_iter().filter_map(line).collect()
}

/// A message may fail twice in a pass, if its folder is listed again: the last word counts.
fn once_each(mut failures: Vec<Failure>) -> Vec<Failure> {
    let mut seen = HashSet::new();
    failures.reverse();
    failures.retain(|one| seen.insert((one.folder.clone(), one.message.clone())));
    failures.reverse();
    failures
}

async fn folder_report(
    engine: &Engine,
    lane: &Lane,
    error: Option<&Error>,
    stopped: bool,
) -> Result<FolderReport> {
    let mut report = FolderReport::new(lane.folder.path.clone());
    report.destination = Some(lane.place.path.clone());
    let notes = engine
        .notes()
        .folders
        .get(&lane.row.no)
        .cloned()
        .unwrap_or_default();
    report.tally = tally(engine, lane, &notes).await?;
    report.altered = notes.altered;
    report.annotations = notes.annotations;
    report.problem = error.map(Problem::from);
    let tally = &mut report.tally;
    if report.problem.is_some() || stopped {
        // What was not reached is open, not lost.
        tally.open = tally.found.saturating_sub(tally.accounted());
    } else if engine.looks_at_the_source()
        && lane.row.listed
        && tally.found != tally.accounted() + tally.open
    {
        let error = Error::new(
            ErrorKind::Mismatch,
            "the sums differ from what the server counts",
        )
        .with_code(MISMATCH)
        .with_context("folder", lane.folder.path.to_string())
        .with_context("found", tally.found.to_string())
        .with_context("accounted", tally.accounted().to_string())
        .with_scope(Scope::Folder)
        .with_remedy("Run again; if it stays, mail arrives or leaves while it is being listed.");
        report.problem = Some(Problem::from(&error));
    }
    Ok(report)
}

async fn tally(engine: &Engine, lane: &Lane, notes: &FolderNotes) -> Result<Tally> {
    let mut tally = Tally {
        moved: notes.moved,
        by_reference: notes.by_reference,
        flags_changed: notes.flags_changed,
        replaced: notes.replaced,
        gone: notes.gone,
        rescued: notes.rescued,
        perhaps_doubled: notes.perhaps_doubled,
        doubled: notes.doubled,
        ..Tally::default()
    };
    let mut live = 0;
    for count in engine.ledger.counts(lane.row.no).await? {
        if count.gone {
            continue;
        }
        live += count.messages;
        let now = count.pass == engine.pass;
        let place = match count.state {
            ItemState::Copied if now => {
                tally.bytes += count.bytes;
                &mut tally.copied
            }
            ItemState::AlreadyThere if now => &mut tally.already_there,
            ItemState::Copied | ItemState::AlreadyThere => &mut tally.earlier,
            ItemState::Excluded => &mut tally.excluded,
            ItemState::Vanished => &mut tally.vanished,
            ItemState::Failed => &mut tally.failed,
            ItemState::RemovedThere => &mut tally.removed_there,
            ItemState::Pending | ItemState::Unnamed => &mut tally.open,
        };
        *place += count.messages;
    }
    // The server's count, never our own: of the last listing, or of just now if there was nothing to
    // list; an unfinished listing has only the one of the start.
    let just_now = lane.quiet && engine.mode == Mode::Pass;
    tally.found = lane
        .row
        .exists
        .filter(|_| lane.row.listed && !just_now)
        .or(lane.folder.messages)
        .unwrap_or(live);
    Ok(tally)
}

/// What the next pass compares with, as far as it is new.
fn settle_for_next(
    engine: &Engine,
    lane: &mut Lane,
    report: &FolderReport,
    after: Option<&Folder>,
) -> Vec<Record> {
    let before = (lane.row.clone(), lane.target.clone());
    let mut records = Vec::new();
    lane.row.state = FolderState::Mapped;
    let done = report.is_closed() && report.tally.failed == 0;
    // A pass that did not look at the source does not know what is new there.
    if engine.looks_at_the_source() {
        lane.row.token = lane.folder.token.clone().filter(|_| done);
    }
    if let Some(after) = after.filter(|after| after.identity == lane.place.identity) {
        // If nothing but our own came in, there is nothing to look at next time.
        let grown = match (&lane.place.mark, &after.mark) {
            (Some(before), Some(now)) => match (before.next, now.next) {
                (Some(before), Some(now)) => Some(now.saturating_sub(before)),
                _ => None,
            },
            _ => None,
        };
        // What an earlier pass had stored came in before, and tells nothing of what did since.
        let settled = {
            let notes = engine.notes();
            notes.folders.get(&lane.row.no).map_or(0, |of| of.settled)
        };
        let ours = Some(report.tally.copied + report.tally.moved).filter(|_| settled == 0);
        if grown.is_some() && grown == ours && lane.target.examined == lane.place.mark {
            lane.target.examined.clone_from(&after.mark);
        }
        // What left since the beginning of this pass is noticed at the next one.
        let expected = lane
            .place
            .messages
            .zip(grown)
            .map(|(had, grown)| had + grown);
        lane.target.messages = after.messages.max(expected);
        // Any earlier mark is a lower bound, too, and as such no proof that nothing left.
        let earlier = lane.place.mark.clone().filter(|_| after.token.is_some());
        lane.target.mark = after.mark.clone().or(earlier);
        records.extend(still::record(lane, after, ours));
    }
    if lane.row != before.0 {
        records.push(Record::Folder(Box::new(lane.row.clone())));
    }
    if lane.target != before.1 {
        records.push(Record::Target(Box::new(lane.target.clone())));
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{checkpoint::TargetNo, model::FolderPath};

    #[test]
    fn only_what_is_doubled_is_told_of_folders_beside_the_lanes() {
        let notes = |doubled, perhaps_doubled| FolderNotes {
            doubled,
            perhaps_doubled,
            ..FolderNotes::default()
        };
        let all = [
            notes(0, 0),
            notes(1, 0),
            notes(0, 1),
            notes(2, 2),
            notes(1, 1),
        ];
        let all = (0..).map(FolderNo).zip(all).collect();
        let told = worth_telling(&all, &HashSet::from([FolderNo(4)]));
        let told: Vec<u32> = told.keys().map(|no| no.0).collect();
        assert_eq!(told, [1, 2, 3]);
    }

    #[test]
    fn a_folder_that_the_source_has_no_more_is_told_with_its_place() {
        let path = |name: &str| FolderPath::new([name]);
        let folder = |no: u32, target: u32| {
            let name = format!("from-{no}");
            let mut row =
                FolderRow::new(FolderNo(no), FolderId::new(&name), path(&name), "identity");
            row.target = Some(TargetNo(target));
            row
        };
        let target = |no: u32| {
            let name = format!("to-{no}");
            TargetRow::new(TargetNo(no), FolderId::new(&name), path(&name), "identity")
        };
        let notes = FolderNotes {
            doubled: 2,
            perhaps_doubled: 3,
            ..FolderNotes::default()
        };
        let lines = lines(
            vec![folder(1, 1), folder(2, 2)],
            &[target(1), target(2)],
            &BTreeMap::from([(FolderNo(2), notes)]),
        );
        let [line] = lines.as_slice() else {
            panic!("{lines:?}")
        };
        assert_eq!(line.source, path("from-2"));
        assert_eq!(line.destination, Some(path("to-2")));
        assert_eq!((line.tally.doubled, line.tally.perhaps_doubled), (2, 3));
    }
}
