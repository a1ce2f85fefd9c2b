//! Compares what messages mean, at a destination that makes them anew at each read: with what the source
//! holds, since the ledger knows bytes alone.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use futures_util::StreamExt as _;

use super::{
    Engine,
    compare::{Compared, Differs, Sources, What},
    retry::Backoff,
};
use crate::{
    checkpoint::{FolderNo, ItemRow},
    error::{Error, Result, Scope},
    identity::{Meaning, MeaningReader},
    model::{Content, MessageId},
    observe::Direction,
    source::{FetchRequest, Fetched},
};

/// Messages that are fetched together.
const FETCH_MOST: usize = 200;

/// Adds what differs. What the source does not give any more is marked as unread.
pub(super) async fn compare(
    engine: &Engine,
    sources: &Sources,
    page: &mut [Compared],
) -> Result<()> {
    let mut by_folder: BTreeMap<FolderNo, Vec<&mut Compared>> = BTreeMap::new();
    for compared in page.iter_mut().filter(|one| one.existing.meaning.is_some()) {
        let folder = compared.stored.row.folder;
        by_folder.entry(folder).or_default().push(compared);
    }
    for (folder, mut all) in by_folder {
        for some in all.chunks_mut(FETCH_MOST) {
            let rows = some.iter().map(|one| one.stored.row.clone()).collect();
            let mut meanings = match sources.get(&folder) {
                Some(source) => read(engine, source, rows).await?,
                None => HashMap::new(),
            };
            for compared in some {
                let there = compared.existing.meaning.clone();
                let given = meanings.remove(&compared.stored.row.id);
                let Some((given, there)) = given.zip(there) else {
                    compared.unread = true;
                    continue;
                };
                compared.differs.extend(differs(&given, &there));
            }
        }
    }
    Ok(())
}

fn differs(given: &Meaning, there: &Meaning) -> Vec<Differs> {
    let deviations = given.deviations(there).into_iter();
    let differs = |one: crate::identity::Deviation| Differs {
        what: What::Meaning(one.aspect),
        detail: match one.loss {
            Some(loss) => loss.as_str().to_owned(),
            None => "it is another one than at the source".to_owned(),
        },
        known: one.loss.is_some(),
    };
    deviations.map(differs).collect()
}

/// What messages of a source folder mean, as far as it gives them.
async fn read(
    engine: &Engine,
    (folder, identity): &(crate::model::FolderId, String),
    mut wanted: Vec<ItemRow>,
) -> Result<HashMap<MessageId, Meaning>> {
    let mut out = HashMap::with_capacity(wanted.len());
    wanted.retain(|row| !row.gone);
    let mut backoff = Backoff::on(engine, Direction::Down);
    while !wanted.is_empty() {
        engine.check_stop()?;
        engine.ready(Direction::Down).await?;
        let ids = wanted.iter().map(|row| row.id.clone()).collect();
        let request = FetchRequest::new(folder.clone(), identity.as_str(), ids);
        let mut answers = engine.source.fetch(request);
        let mut again: Option<Error> = None;
        let mut failed = Vec::new();
        while let Some((id, fetched)) = answers.next().await {
            let Some(at) = wanted.iter().position(|row| row.id == id) else {
                continue;
            };
            let row = wanted.swap_remove(at);
            match fetched {
                Fetched::Content(content) => {
                    out.insert(id, meaning(engine, &row, content).await?);
                }
                Fetched::Failed(error) if error.is_transient() => {
                    again = Some(error);
                    failed.push(row);
                }
                Fetched::Failed(error) if error.scope() > Scope::Folder => return Err(error),
                Fetched::Vanished | Fetched::Failed(_) => {}
            }
        }
        failed.append(&mut wanted);
        let Some(error) = again else { break };
        match backoff.next(&error) {
            Some(wait) => engine.rest(&backoff, &error, wait).await?,
            None => return Err(error),
        }
        wanted = failed;
    }
    Ok(out)
}

/// Of what was sent: the repaired form, where there is one.
async fn meaning(engine: &Engine, row: &ItemRow, content: Content) -> Result<Meaning> {
    let sent = match row.original {
        Some(_) => engine.mended(row, &content, "").await?,
        None => None,
    };
    let content = sent.map_or(content, |(_, repaired)| repaired);
    let mut reader = MeaningReader::new();
    let mut pieces = content.reader();
    while let Some(piece) = pieces.next().await? {
        reader.update(&piece);
    }
    Ok(reader.finish())
}

/// The source's folders that are at hand.
pub(super) fn sources<'a>(
    folders: impl Iterator<Item = (FolderNo, &'a crate::model::Folder)>,
) -> Arc<Sources> {
    let source =
        |folder: &crate::model::Folder| (folder.id.clone(), folder.identity.as_str().to_owned());
    Arc::new(folders.map(|(no, folder)| (no, source(folder))).collect())
}
