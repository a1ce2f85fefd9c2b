//! What the ledger knows of single messages. Asks nobody but the ledger and the dead letters.

use std::{collections::HashMap, sync::Arc};

use futures_util::StreamExt as _;

use crate::{
    checkpoint::{
        CheckpointStore, FolderNo, FolderRow, Intent, ItemRow, Scan, TargetNo, TargetRow,
    },
    error::{Error, ErrorKind, Result},
    migration::MigrationBuilder,
    model::{FolderPath, JobId},
    report::{Explanation, OpenIntent, Place},
};

/// Tells what became of the messages of a folder (of any, if `None`) that are called `message`.
pub(crate) async fn explain(
    migration: &MigrationBuilder,
    store: &Arc<dyn CheckpointStore>,
    job: &JobId,
    folder: Option<&FolderPath>,
    message: &str,
) -> Result<Vec<Explanation>> {
    let wanted = message.trim();
    if wanted.starts_with('<') && wanted.ends_with('>') {
        return Err(Error::new(
            ErrorKind::Config,
            "the ledger keeps digests of headers, and no Message-IDs",
        )
        .with_code("explain/message-id")
        .with_remedy(
            "Name the message by its UID, which mail programs show with its details, or by a digest \
             of the message saved to a file.",
        ));
    }
    let ledger = store.open(job).await?;
    let folders = ledger.folders().await?;
    let targets = ledger.targets().await?;
    let known = Known {
        migration,
        targets: targets.into_iter().map(|row| (row.no, row)).collect(),
        intents: ledger.intents().await?,
    };
    let is_meant = |row: &ItemRow| {
        let name = migration.source.describe(&row.id);
        let number = name.rsplit(' ').next().unwrap_or_default();
        row.id.as_str() == wanted
            || name.eq_ignore_ascii_case(wanted)
            || number == wanted
            || has_digest(row, wanted)
    };
    let scans = folders
        .iter()
        .filter(|row| folder.is_none_or(|folder| row.path == *folder));
    let mut out = Vec::new();
    for from in scans {
        let mut seen: Vec<ItemRow> = Vec::new();
        let mut pages = ledger.scan(Scan::folder(from.no));
        while let Some(page) = pages.next().await {
            let rows = page?.into_iter().map(|stored| stored.row);
            seen.extend(rows.filter(|row| is_meant(row)));
        }
        // Of a message that was on its way when the process was killed there may be no row yet.
        let items = known.intents.iter().flat_map(|intent| &intent.items);
        let fresh: Vec<ItemRow> = items
            .filter(|item| item.folder == from.no && is_meant(item))
            .filter(|item| !seen.iter().any(|row| row.id == item.id))
            .cloned()
            .collect();
        for item in fresh {
            if ledger.items(from.no, vec![item.id.clone()]).await? == [None] {
                seen.push(ItemRow {
                    target: None,
                    ..item
                });
            }
        }
        for row in seen {
            out.push(known.explanation(from, row).await?);
        }
    }
    Ok(out)
}

/// By the digest of a content, as sent or as at the source, or of a header.
fn has_digest(row: &ItemRow, wanted: &str) -> bool {
    let contents = [row.digest, row.source_digest()].into_iter().flatten();
    let headers = [row.header, row.source_header()].into_iter().flatten();
    match wanted.len() {
        64 => contents
            .map(|digest| digest.to_string())
            .any(|digest| digest.eq_ignore_ascii_case(wanted)),
        32 => headers
            .filter(|header| !header.is_void())
            .map(|header| header.to_string())
            .any(|header| header.eq_ignore_ascii_case(wanted)),
        _ => false,
    }
}

struct Known<'a> {
    migration: &'a MigrationBuilder,
    targets: HashMap<TargetNo, TargetRow>,
    intents: Vec<Intent>,
}

impl Known<'_> {
    fn path(&self, target: TargetNo) -> Option<FolderPath> {
        self.targets.get(&target).map(|row| row.path.clone())
    }

    async fn explanation(&self, from: &FolderRow, row: ItemRow) -> Result<Explanation> {
        let destination = row.target.as_ref().and_then(|(no, id)| {
            Some(Place {
                folder: self.path(*no)?,
                message: self.migration.destination.describe(id),
            })
        });
        let letters = self.migration.dead_letters.as_ref();
        let letter = match (letters, &row.dead_letter) {
            (Some(letters), Some(place)) => letters.open(place).await?.map(|(letter, _)| letter),
            _ => None,
        };
        let place = row.dead_letter.as_ref().map(|place| {
            let described = letters.map(|letters| letters.describe(place));
            described.unwrap_or_else(|| place.clone())
        });
        let (reason, remedy) =
            letter.map_or((None, None), |letter| (Some(letter.reason), letter.remedy));
        let open = self.open(from.no, &row);
        Ok(Explanation {
            source: Place {
                folder: from.path.clone(),
                message: self.migration.source.describe(&row.id),
            },
            destination,
            state: row.state,
            code: row.code,
            pass: row.pass,
            attempts: row.attempts,
            gone: row.gone,
            resent: row.resent,
            size: row.size,
            received: row.received.map(|received| received.to_string()),
            flags: row.flags.to_string(),
            accepted: row.accepted.map(|flags| flags.to_string()),
            digest: row.digest.map(|digest| digest.to_string()),
            original: row.original.map(|original| original.digest.to_string()),
            altered: row.altered,
            dead_letter: place,
            reason,
            remedy,
            open,
        })
    }

    fn open(&self, folder: FolderNo, row: &ItemRow) -> Vec<OpenIntent> {
        let names = |intent: &&Intent| {
            let mut items = intent.items.iter();
            items.any(|item| item.folder == folder && item.id == row.id)
        };
        let told = |intent: &Intent| OpenIntent {
            batch: intent.batch,
            what: match intent {
                _ if intent.changes_flags() => "flags",
                _ if intent.moved_from.is_some() => "move",
                _ if intent.copied => "copy",
                _ => "append",
            },
            folder: self.path(intent.target),
        };
        self.intents.iter().filter(names).map(told).collect()
    }
}
