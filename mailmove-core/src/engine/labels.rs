//! The folder with all messages, where its listing says what other folders show (Gmail's labels):
//! it keeps what no other mapped folder has, and the rest is left out by the rule `label`.
//!
//! Where else a message is, its listing tells; later the ledger knows, since each of those places
//! has a row. So a message that lost its last label is wanted again without being listed again.

use std::{collections::HashSet, sync::Arc};

use futures_util::StreamExt as _;

use super::{Engine, lane::Lane, pass::Ended};
use crate::{
    checkpoint::{FolderNo, ItemRow, ItemState, Record, Scan, Stored},
    error::Result,
    model::{FolderId, Role},
};

/// Code of messages that another mapped folder has.
pub(super) const LABEL: &str = "rule/label";
/// Key of the folders that counted as others in the last pass.
const HOMES: &str = "label-homes";

fn is_home(lane: &Lane) -> bool {
    !lane.folder.role.is_some_and(Role::is_view)
}

fn knows_others(lane: &Lane) -> bool {
    lane.folder.knows_others && lane.folder.role == Some(Role::All)
}

/// Tells the lane with all messages which folders the others are.
pub(super) fn assign(lanes: &mut [Lane]) {
    let others = lanes.iter().filter(|lane| is_home(lane));
    let homes: HashSet<FolderId> = others.map(|lane| lane.folder.id.clone()).collect();
    let homes = Arc::new(homes);
    for lane in lanes.iter_mut().filter(|lane| knows_others(lane)) {
        lane.homes = Some(Arc::clone(&homes));
    }
}

impl Lane {
    /// Another mapped folder shows it, and this one is there for those that none has.
    pub(super) fn leaves_to_others(&self, also_in: &[FolderId]) -> bool {
        let homes = self.homes.as_ref();
        homes.is_some_and(|homes| also_in.iter().any(|id| homes.contains(id)))
    }
}

/// The row of a message that another mapped folder has.
pub(super) fn labelled(engine: &Engine, mut row: ItemRow) -> ItemRow {
    row.state = ItemState::Excluded;
    row.code = Some(LABEL.to_owned());
    row.pass = engine.pass;
    row
}

/// A row that a rule left out, and that is listed and wanted now.
pub(super) fn wanted_again(
    engine: &Engine,
    lane: &Lane,
    row: &ItemRow,
    also_in: &[FolderId],
) -> bool {
    let filter = &engine.options.filter;
    row.state == ItemState::Excluded
        && filter
            .excludes(row.received, Some(row.source_size()))
            .is_none()
        && !lane.leaves_to_others(also_in)
}

/// After all folders are known: messages that no other folder has any more are wanted again.
pub(super) async fn reconsider(engine: &Engine, lanes: &mut Ended) -> Result<()> {
    let Some(at) = lanes
        .iter()
        .position(|(lane, problem)| lane.homes.is_some() && lane.row.listed && problem.is_none())
    else {
        return Ok(());
    };
    let others = lanes.iter().filter(|(lane, _)| is_home(lane));
    if others
        .clone()
        .any(|(lane, problem)| !lane.row.listed || problem.is_some())
    {
        // What it holds is not known: the next pass will tell.
        return Ok(());
    }
    let all_quiet = others.clone().all(|(lane, _)| lane.quiet);
    let mut homes: Vec<FolderNo> = others.map(|(lane, _)| lane.row.no).collect();
    homes.sort_unstable();
    let known = serde_json::to_string(&homes).unwrap_or_default();
    if all_quiet && engine.ledger.meta(HOMES).await?.as_deref() == Some(&known) {
        return Ok(());
    }
    let Some((lane, _)) = lanes.get_mut(at) else {
        return Ok(());
    };
    if take_back(engine, lane, &homes).await? && lane.quiet {
        lane.quiet = false;
        // Nothing is new in it.
        lane.surveyed = true;
    }
    let known = Record::Meta(HOMES.to_owned(), known);
    engine.ledger.commit(vec![known]).await
}

/// True if something is wanted again.
async fn take_back(engine: &Engine, lane: &Lane, homes: &[FolderNo]) -> Result<bool> {
    let mut some = false;
    let scan = Scan::folder(lane.row.no)
        .with_states(&[ItemState::Excluded])
        .with_gone(false);
    let mut pages = engine.ledger.scan(scan);
    while let Some(page) = pages.next().await {
        engine.check_stop()?;
        let ours = |stored: Stored| {
            let row = stored.row;
            (row.code.as_deref() == Some(LABEL) && row.content_id.is_some()).then_some(row)
        };
        let rows: Vec<ItemRow> = page?.into_iter().filter_map(ours).collect();
        let contents = rows.iter().filter_map(|row| row.content_id.clone());
        let sharing = engine.ledger.sharing(contents.collect()).await?;
        let mut records = Vec::new();
        for (mut row, sharing) in rows.into_iter().zip(sharing) {
            let is_home = |stored: &Stored| {
                !stored.row.gone && homes.binary_search(&stored.row.folder).is_ok()
            };
            if !sharing.iter().any(is_home) {
                row.state = ItemState::Pending;
                row.code = None;
                records.push(Record::Item(Box::new(row)));
            }
        }
        some |= !records.is_empty();
        engine.ledger.commit(records).await?;
    }
    Ok(some)
}
