//! Items whose content changed at the source after they were copied: they are sent again, and the copy of before
//! goes when the new one is there.

use super::{
    Engine,
    lane::Lane,
    mend,
    replace::{self, Replaced},
};
use crate::{
    checkpoint::{ItemRow, ItemState, Record, Stored},
    error::Result,
    model::Listed,
};

/// Code of a row whose message changed at the source, and is to be sent again.
const CHANGED: &str = "source/changed";

/// Copies that are to be replaced since their items changed, and the rows of these.
pub(super) fn replaced(
    engine: &Engine,
    changed: Vec<(Stored, Listed)>,
) -> (Vec<Replaced>, Vec<Record>) {
    let mut replaced = Vec::new();
    let mut rows = Vec::new();
    for (stored, listed) in changed {
        let mut row = stored.row;
        if row.gone {
            rows.push(Record::Gone(row.folder, row.id.clone(), false));
            row.gone = false;
        }
        if let Some(row) = again(engine, row, listed, &mut replaced) {
            rows.push(Record::Item(Box::new(row)));
        }
    }
    (replaced, rows)
}

/// The row as it is sent again; `None` if there is nothing to be done.
fn again(
    engine: &Engine,
    mut row: ItemRow,
    listed: Listed,
    replaced: &mut Vec<Replaced>,
) -> Option<ItemRow> {
    match (row.state, row.target.clone()) {
        (ItemState::Copied | ItemState::AlreadyThere, Some((target, there))) => {
            replaced.push(Replaced::new(&row, target, there));
            row = mend::again(row, CHANGED);
        }
        // It may be what can be sent.
        (ItemState::Failed, _) => {
            row.state = ItemState::Pending;
            row.code = None;
            row.attempts = 0;
        }
        (ItemState::Pending, _) => {}
        // Left out, removed there by somebody, or not at hand: that stays so.
        _ => return None,
    }
    if engine.options.flags && listed.flags_told {
        row.flags = listed.flags;
    }
    row.received = listed.received;
    row.header = listed.header;
    row.size = listed.size.unwrap_or(0);
    Some(row)
}

/// Notes what changed while it was listed and copied for the first time; true if there is anything to send.
pub(super) async fn meanwhile(engine: &Engine, lane: &Lane, changed: Vec<Listed>) -> Result<bool> {
    if changed.is_empty() {
        return Ok(false);
    }
    let ids = changed.iter().map(|listed| listed.id.clone()).collect();
    let known = engine.ledger.items(lane.row.no, ids).await?;
    let pairs = known.into_iter().zip(changed);
    let pairs = pairs.filter_map(|(known, listed)| Some((known?, listed)));
    let (replaced, rows) = replaced(engine, pairs.collect());
    let any = !rows.is_empty();
    replace::commit(engine, replaced, rows).await?;
    Ok(any)
}
