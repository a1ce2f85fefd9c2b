//! Dead letters that the ledger does not know of: a letter is written before the row that tells of it.

use super::{Engine, reconcile};
use crate::{
    checkpoint::{FolderNo, FolderRow, FolderState, ItemRow, ItemState, Record, TargetRow},
    dead_letter::DeadLetter,
    error::Result,
    model::{Folder, FolderId},
    observe::Event,
    report::Problem,
};

/// Enters letters into the ledger that it does not know: from a run that was killed, or whose state was
/// lost or set back. Whatever became of the message at the source, it can be taken up from then on.
pub(super) async fn found(engine: &Engine, destination: &[Folder]) -> Result<()> {
    let Some(letters) = &engine.dead_letters else {
        return Ok(());
    };
    let list = match letters.list(&engine.job).await {
        Ok(list) => list,
        Err(error) => {
            // The mail that can be delivered shall not wait for them.
            let mut notes = engine.notes();
            notes.not_kept.get_or_insert_with(|| Problem::from(&error));
            return Ok(());
        }
    };
    if list.is_empty() {
        return Ok(());
    }
    let mut ledger = Known::of(engine).await?;
    for (place, letter) in list {
        let records = match ledger.about(engine, &letter).await? {
            (_, Some(row)) => known(row, &place, &letter).into_iter().collect(),
            (folder, None) => {
                engine.emit(Event::Note {
                    folder: Some(letter.folder.clone()),
                    text: format!(
                        "{} was not delivered by an earlier run, and is taken up from {}",
                        letter.message,
                        letters.describe(&place)
                    ),
                });
                ledger.enter(engine, destination, &letter, folder, place)
            }
        };
        if !records.is_empty() {
            engine.ledger.commit(records).await?;
        }
    }
    Ok(())
}

/// The ledger's folders on both sides.
pub(super) struct Known {
    folders: Vec<FolderRow>,
    targets: Vec<TargetRow>,
}

impl Known {
    pub(super) async fn of(engine: &Engine) -> Result<Self> {
        Ok(Self {
            folders: engine.ledger.folders().await?,
            targets: engine.ledger.targets().await?,
        })
    }

    /// The folder of the ledger that a letter is about, and its row. After a lost state numbers mean
    /// other folders; a letter of an older version does not name its folder's identity.
    pub(super) async fn about(
        &self,
        engine: &Engine,
        letter: &DeadLetter,
    ) -> Result<(Option<FolderNo>, Option<ItemRow>)> {
        let numbered = |folder: &&FolderRow| folder.no == letter.folder_no;
        let same = |folder: &&FolderRow| match letter.identity.as_str() {
            "" => folder.path == letter.folder,
            identity => folder.identity == identity,
        };
        let by_number = self.folders.iter().find(numbered);
        let living = |folder: &&FolderRow| same(folder) && folder.state != FolderState::Gone;
        let folder = by_number
            .filter(same)
            .or_else(|| self.folders.iter().find(living))
            .or_else(|| self.folders.iter().find(same));
        if let Some(folder) = folder {
            let row = row(engine, folder.no, letter).await?;
            return Ok((Some(folder.no), row));
        }
        // Renamed since, perhaps: the message tells.
        if let (Some(folder), "", true) =
            (by_number, letter.identity.as_str(), letter.digest.is_some())
            && let Some(row) = row(engine, folder.no, letter).await?
            && row.source_digest() == letter.digest
        {
            return Ok((Some(folder.no), Some(row)));
        }
        Ok((None, None))
    }

    /// What to record of a letter without a row.
    fn enter(
        &mut self,
        engine: &Engine,
        destination: &[Folder],
        letter: &DeadLetter,
        folder: Option<FolderNo>,
        place: String,
    ) -> Vec<Record> {
        let mut records = Vec::new();
        let no = folder.unwrap_or_else(|| {
            let (folder, target) = self.gone_folder(engine, destination, letter);
            records.extend(target.map(|target| Record::Target(Box::new(target))));
            records.push(Record::Folder(Box::new(folder.clone())));
            self.folders.push(folder.clone());
            folder.no
        });
        let gone = |folder: &FolderRow| folder.no == no && folder.state == FolderState::Gone;
        let mut row = ItemRow::new(no, letter.id.clone());
        row.state = ItemState::Failed;
        row.code = Some(letter.code.clone());
        row.size = letter.size;
        row.digest = letter.digest;
        row.received = letter.received;
        row.flags = letter.flags.clone();
        row.attempts = letter.tries;
        // Not in this one: it is tried again.
        row.pass = letter.pass.min(engine.pass.saturating_sub(1));
        row.gone = self.folders.iter().any(gone);
        row.dead_letter = Some(place);
        records.push(Record::Item(Box::new(row)));
        records
    }

    /// The source has no such folder any more, and the ledger never had it.
    fn gone_folder(
        &mut self,
        engine: &Engine,
        destination: &[Folder],
        letter: &DeadLetter,
    ) -> (FolderRow, Option<TargetRow>) {
        let there = destination.iter().find(|there| there.path == letter.to);
        let target = there.map(|there| reconcile::target_row(&mut self.targets, there));
        let mut folder = FolderRow::new(
            engine.folder_number(),
            FolderId::new(letter.folder.to_string()),
            letter.folder.clone(),
            &letter.identity,
        );
        folder.state = FolderState::Gone;
        folder.target = target.as_ref().map(|target| target.no);
        (folder, target)
    }
}

async fn row(engine: &Engine, folder: FolderNo, letter: &DeadLetter) -> Result<Option<ItemRow>> {
    let found = engine.ledger.items(folder, vec![letter.id.clone()]).await?;
    Ok(found.into_iter().flatten().next().map(|stored| stored.row))
}

/// A row that has an end, or knows a letter, stays.
fn known(mut row: ItemRow, place: &str, letter: &DeadLetter) -> Option<Record> {
    let open = !row.state.is_final() || row.state == ItemState::Vanished;
    if !open || row.dead_letter.is_some() {
        return None;
    }
    row.dead_letter = Some(place.to_owned());
    if row.digest.is_none() && letter.digest.is_some() {
        row.digest = letter.digest;
        row.size = letter.size;
    }
    Some(Record::Item(Box::new(row)))
}
