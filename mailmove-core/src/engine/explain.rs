//! What the ledger knows of single messages. Asks nobody but the ledger.

use std::{collections::HashMap, sync::Arc};

use futures_util::StreamExt as _;

use crate::{
    checkpoint::{CheckpointStore, FolderNo, FolderRow, ItemRow, Scan, TargetNo, TargetRow},
    error::Result,
    migration::MigrationBuilder,
    model::{FolderPath, JobId},
    report::{Explanation, Place},
};

/// Tells what became of the messages of a folder (of any, if `None`) that are called `message`.
pub(crate) async fn explain(
    migration: &MigrationBuilder,
    store: &Arc<dyn CheckpointStore>,
    job: &JobId,
    folder: Option<&FolderPath>,
    message: &str,
) -> Result<Vec<Explanation>> {
    let ledger = store.open(job).await?;
    let folders: HashMap<FolderNo, FolderRow> = ledger
        .folders()
        .await?
        .into_iter()
        .map(|row| (row.no, row))
        .collect();
    let targets: HashMap<TargetNo, TargetRow> = ledger
        .targets()
        .await?
        .into_iter()
        .map(|row| (row.no, row))
        .collect();
    let wanted = message.trim();
    let is_meant = |row: &ItemRow| {
        let name = migration.source.describe(&row.id);
        let number = name.rsplit(' ').next().unwrap_or_default();
        row.id.as_str() == wanted || name.eq_ignore_ascii_case(wanted) || number == wanted
    };
    let mut scans: Vec<&FolderRow> = folders
        .values()
        .filter(|row| folder.is_none_or(|folder| row.path == *folder))
        .collect();
    scans.sort_by_key(|row| row.no);
    let mut out = Vec::new();
    for from in scans {
        let mut pages = ledger.scan(Scan::folder(from.no));
        while let Some(page) = pages.next().await {
            let rows = page?.into_iter().map(|stored| stored.row);
            for row in rows.filter(|row| is_meant(row)) {
                out.push(explanation(migration, from, &targets, row));
            }
        }
    }
    Ok(out)
}

fn explanation(
    migration: &MigrationBuilder,
    from: &FolderRow,
    targets: &HashMap<TargetNo, TargetRow>,
    row: ItemRow,
) -> Explanation {
    let destination = row.target.as_ref().and_then(|(no, id)| {
        Some(Place {
            folder: targets.get(no)?.path.clone(),
            message: migration.destination.describe(id),
        })
    });
    Explanation {
        source: Place {
            folder: from.path.clone(),
            message: migration.source.describe(&row.id),
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
        altered: row.altered,
    }
}
