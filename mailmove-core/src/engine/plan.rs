//! What a pass would do, without doing it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures_util::StreamExt as _;

use super::{Engine, pass, reconcile};
use crate::{
    checkpoint::{CheckpointStore, FolderRow},
    error::Result,
    map::Verdict,
    migration::MigrationBuilder,
    model::{Folder, FolderId, JobId, Role},
    report::{Plan, PlannedFolder},
    source::{Change, ListRequest},
};

/// Plans a pass. Changes nothing on either side.
pub(crate) async fn plan(
    migration: &MigrationBuilder,
    store: &Arc<dyn CheckpointStore>,
    job: &JobId,
) -> Result<Plan> {
    let ledger = store.open(job).await?;
    let engine = pass::connect(migration, ledger).await?;
    let (source, destination) = pass::look(&engine).await?;
    let known = engine.ledger.folders().await?;
    let targets = engine.ledger.targets().await?;
    let map = reconcile::map_folders(&engine, &source, &destination, &known, &targets);
    let there: HashMap<_, _> = destination
        .iter()
        .map(|folder| (&folder.path, folder.selectable))
        .collect();
    let mut folders = Vec::with_capacity(source.len());
    let homes = source.iter().any(|folder| folder.knows_others).then(|| {
        let pairs = source.iter().zip(&map.entries);
        let mapped = pairs.filter(|(folder, entry)| {
            !folder.role.is_some_and(Role::is_view) && matches!(entry.verdict, Verdict::To { .. })
        });
        mapped.map(|(folder, _)| folder.id.clone()).collect()
    });
    for (folder, entry) in source.iter().zip(map.entries) {
        let mut planned = planned(folder);
        match entry.verdict {
            Verdict::Excluded(rule) => planned.excluded = Some(rule),
            Verdict::To { path, renamed, .. } => {
                planned.create = there.get(&path) != Some(&true);
                planned.destination = Some(path);
                planned.renamed = renamed;
                let row = known
                    .iter()
                    .find(|row| row.identity == folder.identity.as_str());
                let homes = homes.as_ref().filter(|_| folder.knows_others);
                count(&engine, folder, row, homes, &mut planned).await?;
            }
        }
        folders.push(planned);
    }
    Ok(Plan {
        source: engine.source.endpoint().to_string(),
        destination: engine.destination.endpoint().to_string(),
        folders,
    })
}

fn planned(folder: &Folder) -> PlannedFolder {
    PlannedFolder {
        source: folder.path.clone(),
        destination: None,
        excluded: None,
        renamed: None,
        create: false,
        found: folder.messages,
        bytes: folder.bytes,
        done: 0,
        filtered: 0,
        to_do: 0,
    }
}

async fn count(
    engine: &Engine,
    folder: &Folder,
    row: Option<&FolderRow>,
    homes: Option<&HashSet<FolderId>>,
    planned: &mut PlannedFolder,
) -> Result<()> {
    if let Some(row) = row {
        let counts = engine.ledger.counts(row.no).await?;
        let done = counts
            .iter()
            .filter(|count| !count.gone && count.state.is_final());
        planned.done = done.map(|count| count.messages).sum();
    }
    let filter = &engine.options.filter;
    // Only with a rule is the list of messages itself needed.
    if !filter.is_empty() || homes.is_some() {
        let mut pages = engine.source.list(ListRequest::new(folder));
        while let Some(page) = pages.next().await {
            engine.check_stop()?;
            for change in page?.changes {
                if let Change::Item(item) = change {
                    let elsewhere =
                        |homes: &HashSet<_>| item.also_in.iter().any(|id| homes.contains(id));
                    let out = filter.excludes(item.received, item.size).is_some()
                        || homes.is_some_and(elsewhere);
                    planned.filtered += u64::from(out);
                }
            }
        }
        if row.is_some() {
            // Rows that a filter left out are done as well.
            planned.done = planned.done.saturating_sub(planned.filtered);
        }
    }
    let found = planned.found.unwrap_or(0);
    planned.to_do = found
        .saturating_sub(planned.done)
        .saturating_sub(planned.filtered);
    Ok(())
}
