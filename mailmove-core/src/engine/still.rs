//! Destination folders in which nothing happened since the last pass ended.
//!
//! Where the destination names no mark with its folders, one costs a look at each of them. A folder's token
//! comes with the folders, and tells whether anything came or left since: if not, the mark of the last pass
//! will do until there is work in the folder.

use super::{Engine, lane::Lane, pass, retry::Backoff};
use crate::{
    checkpoint::{Record, TargetNo, TargetRow},
    error::{Error, Result, Scope},
    model::{Folder, Mark, Token},
    observe::{Direction, Event},
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

/// What the next pass compares with: the token that the folder had before it was looked through, or the one of now
/// if nothing came in or left but the `stored` messages of this pass. Else nothing: the next pass looks.
pub(super) fn record(lane: &Lane, after: &Folder, stored: Option<u64>) -> Option<Record> {
    if !lane.unmarked && after.mark.is_some() {
        return None;
    }
    let token = match stored {
        // It is recorded.
        Some(0) if lane.still && lane.quiet => return None,
        // Others may have stored something there.
        Some(0) if lane.shared && !lane.quiet => None,
        Some(0) => lane.place.token.as_ref(),
        Some(stored) => {
            let expected = lane.place.messages.map(|had| had + stored);
            let only_ours = expected.is_some() && after.messages == expected && !lane.shared;
            after.token.as_ref().filter(|_| only_ours)
        }
        None => None,
    };
    let token = token.map_or("", Token::as_str).to_owned();
    Some(Record::Meta(key(lane.target.no), token))
}

/// Where there is work to do, what is stored comes after a mark of now. The tokens are forgotten until the pass has
/// come to its end: a server may be set back to what was before.
pub(super) async fn look(engine: &Engine, lanes: &mut [(Lane, Option<Error>)]) -> Result<()> {
    let at_work = |(lane, problem): &&mut (Lane, Option<Error>)| {
        lane.unmarked && !lane.quiet && problem.is_none()
    };
    let mut forget = Vec::new();
    for (lane, problem) in lanes.iter_mut().filter(at_work) {
        forget.push(Record::Meta(key(lane.target.no), String::new()));
        if lane.still {
            // Not looked through from its beginning.
            match mark_of_now(engine, &lane.place, lane.place.mark.as_ref()).await? {
                Ok(mark) => lane.place.mark = Some(mark),
                Err(error) => *problem = Some(error),
            }
        }
    }
    match forget.is_empty() {
        true => Ok(()),
        false => engine.ledger.commit(forget).await,
    }
}

/// The place of a folder that the source has no more, with a mark of now; `None` if nothing can be stored there.
pub(super) async fn left(engine: &Engine, mut lane: Lane) -> Result<Option<Lane>> {
    if lane.place.mark.is_some() || !lane.place.selectable {
        return Ok(Some(lane).filter(|lane| lane.place.mark.is_some()));
    }
    match mark_of_now(engine, &lane.place, lane.target.mark.as_ref()).await? {
        Ok(mark) => {
            lane.place.mark = Some(mark);
            Ok(Some(lane))
        }
        Err(error) => {
            engine.emit(Event::Note {
                folder: Some(lane.place.path),
                text: format!(
                    "what is left of it waits for another pass: {}",
                    error.chain()
                ),
            });
            Ok(None)
        }
    }
}

/// Asks for a mark; within, what is wrong with that folder alone.
async fn mark_of_now(
    engine: &Engine,
    place: &Folder,
    earlier: Option<&Mark>,
) -> Result<Result<Mark, Error>> {
    if let Some(earlier) = earlier {
        engine.destination.expect(&place.id, earlier).await;
    }
    let mut backoff = Backoff::on(engine, Direction::Up);
    loop {
        match engine.destination.mark(&place.id).await {
            Err(error) if backoff.may_pass(&error) => {
                pass::patience(engine, &mut backoff, error).await?;
            }
            Err(error) if error.scope() > Scope::Folder => return Err(error),
            answer => return Ok(answer),
        }
    }
}
