//! Destination folders in which nothing happened since the last pass ended.
//!
//! Where the destination names no mark with its folders, one costs a look at each of them. A folder's token
//! comes with the folders, and tells whether anything came or left since: if not, the mark of the last pass
//! will do until there is work in the folder.

use super::{Engine, lane::Lane, pass, retry::Backoff};
use crate::{
    checkpoint::{Record, TargetNo, TargetRow},
    error::{Error, Result, Scope},
    model::{Folder, Mark},
    observe::Direction,
};

/// Key of the token that a destination folder had when the last pass ended.
fn key(target: TargetNo) -> String {
    format!("still/{}", target.0)
}

/// The mark that a folder had when the last pass ended, if nothing happened in it since.
pub(super) async fn mark(
    engine: &Engine,
    target: Option<&TargetRow>,
    folder: &Folder,
) -> Result<Option<Mark>> {
    let (Some(target), Some(token)) = (target, &folder.token) else {
        return Ok(None);
    };
    if target.mark.is_none() {
        return Ok(None);
    }
    let had = engine.ledger.meta(&key(target.no)).await?;
    let same = had.as_deref() == Some(token.as_str());
    Ok(target.mark.clone().filter(|_| same))
}

/// What the next pass compares with.
pub(super) fn record(lane: &Lane, after: &Folder) -> Option<Record> {
    if !(lane.unmarked || after.mark.is_none()) || lane.still && after.token == lane.place.token {
        return None;
    }
    let token = after.token.as_ref()?;
    Some(Record::Meta(key(lane.target.no), token.as_str().to_owned()))
}

/// Where there is work to do, what is stored comes after a mark of now.
pub(super) async fn look(engine: &Engine, lanes: &mut [(Lane, Option<Error>)]) -> Result<()> {
    let at_work = lanes
        .iter_mut()
        .filter(|(lane, problem)| lane.still && !lane.quiet && problem.is_none());
    for (lane, problem) in at_work {
        // Not looked through from its beginning.
        if let Some(earlier) = &lane.place.mark {
            engine.destination.expect(&lane.place.id, earlier).await;
        }
        let mut backoff = Backoff::on(engine, Direction::Up);
        loop {
            match engine.destination.mark(&lane.place.id).await {
                Ok(mark) => {
                    lane.place.mark = Some(mark);
                    break;
                }
                Err(error) if backoff.may_pass(&error) => {
                    pass::patience(engine, &mut backoff, error).await?;
                }
                Err(error) if error.scope() > Scope::Folder => return Err(error),
                Err(error) => {
                    *problem = Some(error);
                    break;
                }
            }
        }
    }
    Ok(())
}
