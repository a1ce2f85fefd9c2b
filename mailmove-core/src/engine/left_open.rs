//! What an earlier run left in doubt when it ended.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{
    Engine, duplicate, flags, moves,
    settle::{Doubt, Place, Verdict, known_rows, settle, unnamed},
    surplus,
};
use crate::{
    checkpoint::{
        FolderNo, FolderRow, FolderState, Intent, ItemState, Record, TargetNo, TargetRow,
    },
    error::Result,
    model::Folder,
};

/// Settles everything that earlier runs left in doubt, whatever became of the folders since: before
/// anything is compared, listed or moved, the ledger has to know what is there. Gives back the source
/// folders that have to be listed as a whole for it.
pub(super) async fn close(
    engine: &Arc<Engine>,
    destination: &[Folder],
) -> Result<HashSet<FolderNo>> {
    let folders: HashMap<FolderNo, FolderRow> = {
        let rows = engine.ledger.folders().await?;
        rows.into_iter().map(|row| (row.no, row)).collect()
    };
    let targets: BTreeMap<TargetNo, TargetRow> = {
        let rows = engine.ledger.targets().await?;
        rows.into_iter().map(|row| (row.no, row)).collect()
    };
    let place = |no: TargetNo| -> Option<Place> {
        let target = targets.get(&no)?;
        let now = destination.iter().find(|now| now.path == target.path)?;
        (now.identity.as_str() == target.identity).then(|| Place {
            no,
            id: now.id.clone(),
            path: now.path.clone(),
        })
    };
    // What was confirmed comes first: what is in doubt must not take its place.
    for folder in folders.values() {
        if let Some(place) = folder.target.and_then(place) {
            unnamed(engine, &place, folder.no, None).await?;
        }
    }
    for folder in folders.values() {
        if let Some(place) = folder.target.and_then(place) {
            surplus::landed(engine, &place, folder.no).await?;
        }
    }
    let mut anew = HashSet::new();
    for intent in engine.ledger.intents().await? {
        let place = place(intent.target);
        if intent.changes_flags() {
            match place {
                Some(place) => flags::resume(engine, &place.id, &intent).await?,
                // Numbered anew: the change is found once more when the source is listed as a whole,
                // and its messages have been found again.
                None => {
                    let mut records = vec![Record::Close(intent.batch)];
                    let no: HashSet<FolderNo> = intent.items.iter().map(|row| row.folder).collect();
                    for row in no.iter().filter_map(|no| folders.get(no)) {
                        let mut row = row.clone();
                        row.cursor = None;
                        row.token = None;
                        records.push(Record::Folder(Box::new(row)));
                    }
                    anew.extend(no);
                    engine.ledger.commit(records).await?;
                }
            }
        } else if let Some(from) = intent.moved_from {
            moves::resume(engine, place, targets.get(&from), intent).await?;
        } else {
            one_intent(engine, place, intent, &folders).await?;
        }
    }
    Ok(anew)
}

async fn one_intent(
    engine: &Engine,
    place: Option<Place>,
    intent: Intent,
    folders: &HashMap<FolderNo, FolderRow>,
) -> Result<()> {
    let known = known_rows(engine, &intent.items).await?;
    let mut open = Vec::with_capacity(intent.items.len());
    for (mut row, known) in intent.items.iter().cloned().zip(known) {
        match known {
            Some(known) if known.state.is_final() || known.state == ItemState::Unnamed => continue,
            // It may have gone from the source since.
            Some(known) => {
                row.gone = known.gone;
                row.dead_letter = row.dead_letter.or(known.dead_letter);
            }
            None => {
                let folder = folders.get(&row.folder);
                row.gone = folder.is_none_or(|folder| folder.state == FolderState::Gone);
            }
        }
        open.push(row);
    }
    let settled = match &place {
        Some(place) => {
            let doubt = Doubt {
                rows: open,
                mark: Some(&intent.mark),
                since: engine.begun,
                taken: HashSet::new(),
            };
            settle(engine, place, doubt).await?
        }
        // The folder is another one now, or gone. What is in it is looked through before anything
        // is sent to it; until then, what is under way shall have landed.
        None => {
            let settle = u64::try_from(engine.to.settle.as_millis()).unwrap_or(0);
            let wait = (engine.begun + settle).saturating_sub(engine.now_ms());
            engine.pause(Duration::from_millis(wait)).await?;
            open.into_iter()
                .map(|row| (row, Verdict::Unproven))
                .collect()
        }
    };
    let mut rows = Vec::with_capacity(settled.len());
    for (mut row, verdict) in settled {
        if verdict == Verdict::Found {
            engine.note(row.folder, |notes| notes.settled += 1);
        } else {
            // A letter's message stays what it was: nobody else takes it up.
            row.state = if row.gone && row.dead_letter.is_some() {
                ItemState::Failed
            } else {
                ItemState::Pending
            };
            row.resent = true;
        }
        if verdict == Verdict::Found && intent.copied {
            row = duplicate::as_there(row, &intent.items);
        }
        if let Some(folder) = folders.get(&row.folder)
            && row.original.is_some()
        {
            engine.arrived_repaired(&folder.path, &row);
        }
        rows.push(row);
    }
    let mut records = surplus::remember_all(engine, &rows, &intent.mark).await?;
    let rows = rows.into_iter().map(|row| Record::Item(Box::new(row)));
    records.extend(rows);
    match place {
        Some(place) if intent.copied => {
            engine.ledger.commit(records).await?;
            duplicate::finish(engine, &place, &intent).await
        }
        _ => {
            records.push(Record::Close(intent.batch));
            engine.ledger.commit(records).await
        }
    }
}
