//! The contents of messages that may have moved.

use std::collections::HashMap;

use futures_util::StreamExt as _;

use crate::{
    checkpoint::{ItemRow, Record},
    engine::{Engine, lane::Lane, retry::Backoff},
    error::{Error, ErrorKind, Result, Scope},
    identity::HeaderDigest,
    model::{Content, Form, MessageId},
    observe::Direction,
    source::{FetchRequest, Fetched},
};

/// Reads the candidates: equal size and date are a hint, equal content is the proof. What cannot be
/// read now must not be copied in this pass: it may have a copy already. What is known of a content
/// by its name need not be read.
pub(super) async fn with_digests(
    engine: &Engine,
    lane: &Lane,
    rows: Vec<ItemRow>,
) -> Result<Vec<ItemRow>> {
    let (mut out, rows) = known_contents(engine, rows).await?;
    if rows.is_empty() {
        return Ok(out);
    }
    let mut backoff = Backoff::on(engine, Direction::Down);
    let mut by_id: HashMap<MessageId, ItemRow> =
        rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    loop {
        let bytes = by_id.values().map(|row| row.size).sum();
        engine.spend(Direction::Down, bytes).await?;
        let mut ids: Vec<MessageId> = by_id.keys().cloned().collect();
        ids.sort_unstable();
        let identity = lane.folder.identity.as_str();
        let request = FetchRequest::new(lane.folder.id.clone(), identity, ids);
        let request = request.with_form(engine.form);
        let mut answers = engine.source.fetch(request);
        let mut again = None;
        while let Some((id, fetched)) = answers.next().await {
            let Some(mut row) = by_id.remove(&id) else {
                continue;
            };
            match fetched {
                Fetched::Content(content) => {
                    digest(&mut row, &content).await?;
                    out.push(row);
                }
                // The copier accounts for it.
                Fetched::Vanished => {}
                Fetched::Failed(error)
                    if error.scope() > Scope::Message || error.is_transient() =>
                {
                    again = Some(error);
                    by_id.insert(id, row);
                }
                // It goes in another form then, as a new one.
                Fetched::Failed(_) if engine.form != Form::Mime => out.push(row),
                Fetched::Failed(error) => {
                    engine.give_up(lane, &mut row, &error, None).await;
                    let record = Record::Item(Box::new(row));
                    engine.ledger.commit(vec![record]).await?;
                }
            }
        }
        if by_id.is_empty() {
            return Ok(out);
        }
        let error = again.unwrap_or_else(|| {
            let what = "the source left out messages it was asked for";
            Error::new(ErrorKind::Interrupted, what)
        });
        match backoff.next(&error) {
            Some(wait) => engine.rest(&backoff, &error, wait).await?,
            None => return Err(error),
        }
    }
}

/// Rows whose content another row has, with its digests; and the others.
async fn known_contents(
    engine: &Engine,
    rows: Vec<ItemRow>,
) -> Result<(Vec<ItemRow>, Vec<ItemRow>)> {
    let contents: Vec<_> = rows
        .iter()
        .filter_map(|row| row.content_id.clone())
        .collect();
    let mut sharing = match contents.is_empty() {
        true => Vec::new(),
        false => engine.ledger.sharing(contents).await?,
    }
    .into_iter();
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for mut row in rows {
        let rows = row.content_id.is_some().then(|| sharing.next()).flatten();
        let mut others = rows.into_iter().flatten().map(|stored| stored.row);
        match others.find(|other| other.digest.is_some()) {
            Some(other) => {
                row.size = other.size;
                row.digest = other.digest;
                row.header = other.header;
                row.original = other.original;
                known.push(row);
            }
            None => unknown.push(row),
        }
    }
    Ok((known, unknown))
}

async fn digest(row: &mut ItemRow, content: &Content) -> Result<()> {
    row.restore();
    row.size = content.size();
    row.digest = Some(content.digest());
    // Of an export, the listing tells more.
    if content.form() == Form::Mime {
        row.header = Some(HeaderDigest::of(&content.prefix(256 * 1024).await?));
    }
    Ok(())
}
