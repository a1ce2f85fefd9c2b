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
    model::{Folder, FolderId, FolderPath, JobId, Quota, Role, Usage},
    report::{Plan, PlannedFolder, Warning},
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
    let map = reconcile::map_folders(&engine, (&source, &destination), &known, &targets).await?;
    let there: There<'_> = destination
        .iter()
        .map(|folder| (&folder.path, folder))
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
                planned.create = !there.get(&path).is_some_and(|folder| folder.selectable);
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
    let quota = engine.destination.quota().await?;
    let mut warnings = short_of_room(&folders, quota);
    let messages = folders.iter().map(|folder| folder.too_large).sum();
    if let Some(limit) = engine.to.max_message.filter(|_| messages > 0) {
        warnings.push(Warning::TooLarge { messages, limit });
    }
    warnings.extend(forbidden(&engine, &source, &there, &folders).await?);
    Ok(Plan {
        warnings,
        quota,
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
        too_large: 0,
        to_do: 0,
        to_do_bytes: None,
    }
}

/// The destination's folders.
type There<'a> = HashMap<&'a FolderPath, &'a Folder>;

/// What the rights of folders forbid.
async fn forbidden(
    engine: &Engine,
    source: &[Folder],
    there: &There<'_>,
    folders: &[PlannedFolder],
) -> Result<Vec<Warning>> {
    let mut read = (Vec::new(), Vec::new());
    let mut written = (Vec::new(), Vec::new());
    for (from, planned) in source.iter().zip(folders) {
        let Some(path) = &planned.destination else {
            continue;
        };
        read.0.push(from.id.clone());
        read.1.push(Warning::Unreadable {
            folder: from.path.clone(),
        });
        let folder = path.clone();
        if planned.create {
            // Above what does not exist yet there may be more of that.
            let mut parents = std::iter::successors(path.parent(), FolderPath::parent);
            if let Some(parent) = parents.find_map(|parent| there.get(&parent)) {
                written.0.push(parent.id.clone());
                written.1.push(Warning::CannotCreate { folder });
            }
        } else if let Some(known) = there.get(path) {
            written.0.push(known.id.clone());
            written.1.push(Warning::ReadOnly { folder });
        }
    }
    let (may_read, may_write) = futures_util::future::try_join(
        engine.source.rights(&read.0),
        engine.destination.rights(&written.0),
    )
    .await?;
    let mut warnings = Vec::new();
    for (warning, rights) in read.1.into_iter().zip(may_read) {
        warnings.extend((rights.read == Some(false)).then_some(warning));
    }
    for (warning, rights) in written.1.into_iter().zip(may_write) {
        let may = match &warning {
            Warning::CannotCreate { .. } => rights.create,
            _ => rights.insert,
        };
        if may == Some(false) && !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    Ok(warnings)
}

/// Where there is too little room.
fn short_of_room(folders: &[PlannedFolder], quota: Quota) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let needed = folders.iter().filter_map(|folder| folder.to_do_bytes).sum();
    if let Some(free) = quota.bytes.map(Usage::free).filter(|free| needed > *free) {
        warnings.push(Warning::NoRoom { needed, free });
    }
    let needed = folders.iter().map(|folder| folder.to_do).sum();
    if let Some(free) = quota
        .messages
        .map(Usage::free)
        .filter(|free| needed > *free)
    {
        warnings.push(Warning::TooManyMessages { needed, free });
    }
    warnings
}

/// The part of `bytes` that so many of all messages stand for.
fn share(bytes: u64, messages: u64, all: u64) -> u64 {
    let share = u128::from(bytes) * u128::from(messages) / u128::from(all.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
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
    // Bytes of what the rules leave in, where it is listed.
    let mut listed = None;
    // A folder that is smaller than the largest message that is taken holds none that is larger.
    let most = engine.to.max_message.filter(|most| {
        folder.messages != Some(0) && folder.bytes.is_none_or(|bytes| bytes > *most)
    });
    // Only with a rule or a limit is the list of messages itself needed.
    if !filter.is_empty() || homes.is_some() || most.is_some() {
        let mut bytes = 0_u64;
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
                    let size = item.size.filter(|_| !out);
                    let too_large = most.is_some_and(|most| size.is_some_and(|size| size > most));
                    planned.too_large += u64::from(too_large);
                    bytes = bytes.saturating_add(size.unwrap_or(0));
                }
            }
        }
        listed = Some(bytes);
        if row.is_some() {
            // Rows that a filter left out are done as well.
            planned.done = planned.done.saturating_sub(planned.filtered);
        }
    }
    let found = planned.found.unwrap_or(0);
    planned.to_do = found
        .saturating_sub(planned.done)
        .saturating_sub(planned.filtered);
    let left_in = found.saturating_sub(planned.filtered);
    planned.to_do_bytes = match listed {
        Some(bytes) => Some(share(bytes, planned.to_do, left_in)),
        None => planned
            .bytes
            .map(|bytes| share(bytes, planned.to_do, found)),
    };
    Ok(())
}
