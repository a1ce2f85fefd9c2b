//! What was sent twice may arrive twice: the first copy may land after its absence was believed. It is
//! looked for at the end of the pass, when nothing lands any more.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use super::{
    Engine,
    lane::Lane,
    pass::{Ended, of_folder},
    retry::Backoff,
    settle::{self, Doubt, Place, Since, Verdict},
    still,
};
use crate::{
    checkpoint::{FolderNo, ItemRow, ItemState, Record, Scan, TargetNo},
    destination::{Depth, Existing, Outcome},
    error::{Error, ErrorKind, Result, Scope},
    model::{ContentDigest, Folder, Mark, MessageId},
    observe::{Direction, Event},
};

/// What the ledger remembers of a folder of which something was sent twice, or is about to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Resent {
    /// The first of the passes that followed each other at once. Whatever came in since `mark`, and
    /// equals what one of them sent twice, is taken for ours.
    from: u32,
    /// The last pass that sent something twice.
    pass: u32,
    /// When, in milliseconds since 1970.
    at: u64,
    /// First copies came in after this.
    mark: Option<Mark>,
    /// Nothing of it lands any more, and what had landed was dealt with.
    ended: bool,
}

impl Resent {
    /// Ledgers of earlier versions have the number of the pass alone.
    fn read(text: &str) -> Result<Option<Self>> {
        if text.is_empty() {
            return Ok(None);
        }
        if let Ok(pass) = text.parse() {
            return Ok(Some(Self {
                from: pass,
                pass,
                at: 0,
                mark: None,
                ended: true,
            }));
        }
        serde_json::from_str(text).map(Some).map_err(|error| {
            Error::new(
                ErrorKind::Store,
                "what was sent twice cannot be read from the ledger",
            )
            .with_code("store/corrupt")
            .with_source(error)
        })
    }

    fn record(&self, folder: FolderNo) -> Result<Record> {
        let text = serde_json::to_string(self).map_err(|error| {
            Error::new(
                ErrorKind::Bug,
                "what was sent twice cannot be written to the ledger",
            )
            .with_source(error)
        })?;
        Ok(Record::Meta(key(folder), text))
    }

    /// Until when a first copy may land.
    fn until(&self, engine: &Engine) -> u64 {
        let late = engine.options.late.unwrap_or(engine.to.late);
        self.at + u64::try_from(late.as_millis()).unwrap_or(u64::MAX / 2)
    }

    /// The mark, if the folder has the same numbers still.
    fn mark_of(&self, lane: &Lane) -> Result<Option<&Mark>> {
        let now = lane.mark()?;
        Ok(self.mark.as_ref().filter(|mark| mark.epoch == now.epoch))
    }

    /// What came in since the mark came while this pass was at work, or one that it followed at once.
    /// Else it may be the user's.
    fn goes_on(&self, engine: &Engine) -> bool {
        !self.ended && (self.pass == engine.pass || engine.begun <= self.until(engine))
    }
}

fn key(folder: FolderNo) -> String {
    format!("resent/{}", folder.0)
}

async fn remembered(engine: &Engine, folder: FolderNo) -> Result<Option<Resent>> {
    let text = engine.ledger.meta(&key(folder)).await?;
    Resent::read(text.as_deref().unwrap_or_default())
}

/// Something of the folder was sent twice and is not looked into yet.
pub(super) async fn is_open(engine: &Engine, lane: &Lane) -> Result<bool> {
    Ok(remembered(engine, lane.row.no).await?.is_some())
}

/// Says that something of this folder is sent twice, in this pass. First copies came in after `mark`.
pub(super) async fn remember(engine: &Engine, folder: FolderNo, mark: &Mark) -> Result<Record> {
    let before = remembered(engine, folder).await?;
    let before = before.filter(|before| before.goes_on(engine));
    let mut resent = before.unwrap_or(Resent {
        from: engine.pass,
        pass: engine.pass,
        at: 0,
        mark: None,
        ended: false,
    });
    resent.pass = engine.pass;
    resent.at = engine.now_ms();
    let same = resent
        .mark
        .take_if(|earlier| earlier.epoch == mark.epoch && earlier.next <= mark.next);
    resent.mark = Some(same.unwrap_or_else(|| mark.clone()));
    resent.record(folder)
}

/// The same for all folders that one of these rows is of.
pub(super) async fn remember_all<'a>(
    engine: &Engine,
    rows: impl IntoIterator<Item = &'a ItemRow>,
    mark: &Mark,
) -> Result<Vec<Record>> {
    let resent = rows.into_iter().filter(|row| row.resent);
    let folders: BTreeSet<FolderNo> = resent.map(|row| row.folder).collect();
    let mut records = Vec::with_capacity(folders.len());
    for folder in folders {
        records.push(remember(engine, folder, mark).await?);
    }
    Ok(records)
}

/// At a folder's end, looks for surplus copies of what earlier passes sent twice. This one did not
/// follow them at once: the copies may be the user's, and are reported, once.
pub(super) async fn report(engine: &Engine, lane: &Lane) -> Result<()> {
    let Some(resent) = remembered(engine, lane.row.no).await? else {
        return Ok(());
    };
    let goes_on = resent.goes_on(engine);
    let Rows { others, open, .. } = rows(engine, lane, goes_on.then_some(resent.from)).await?;
    if !others.is_empty() {
        let since = resent.mark_of(lane)?;
        let since = since.filter(|_| !resent.ended && !goes_on);
        let now = lane.mark()?;
        let looked = lane.looked.as_ref();
        let since = since.or(looked.filter(|mark| mark.epoch == now.epoch));
        let place = Place::of(lane);
        let (copies, _) = settle::unclaimed_equals(engine, &place, since, &others).await?;
        engine.note(lane.row.no, |notes| notes.doubled += copies.len() as u64);
    }
    let told = others.into_iter().map(|row| ItemRow {
        resent: false,
        ..row
    });
    let mut records: Vec<Record> = told.map(|row| Record::Item(Box::new(row))).collect();
    if !goes_on && !open {
        records.push(forget(lane));
    }
    engine.ledger.commit(records).await
}

fn forget(lane: &Lane) -> Record {
    Record::Meta(key(lane.row.no), String::new())
}

/// The rows of what was sent twice.
#[derive(Default)]
struct Rows {
    /// Those that ended in the passes that a look is about.
    ours: Vec<ItemRow>,
    /// Those that ended before them.
    others: Vec<ItemRow>,
    /// Some are still to be sent.
    open: bool,
    /// They were to be sent, but went from the source.
    gone: Vec<ItemRow>,
}

async fn rows(engine: &Engine, lane: &Lane, from: Option<u32>) -> Result<Rows> {
    let mut out = Rows::default();
    let states = [
        ItemState::Copied,
        ItemState::AlreadyThere,
        ItemState::Pending,
        // Given up, or to be sent from its letter: what was sent of it may land all the same.
        ItemState::Failed,
    ];
    engine
        .each_page(Scan::folder(lane.row.no).with_states(&states), |page| {
            let rows = page.into_iter().map(|stored| stored.row);
            for row in rows.filter(|row| row.resent) {
                let open = !row.state.is_final();
                if open && row.gone {
                    out.gone.push(row);
                } else if open {
                    out.open = true;
                } else if from.is_some_and(|from| row.pass >= from) {
                    out.ours.push(row);
                } else {
                    out.others.push(row);
                }
            }
            Ok(Vec::new())
        })
        .await?;
    Ok(out)
}

/// What an earlier pass meant to send again may have landed since: what is found is not sent.
pub(super) async fn landed(engine: &Engine, place: &Place, folder: FolderNo) -> Result<()> {
    let Some(resent) = remembered(engine, folder).await? else {
        return Ok(());
    };
    let mut open = Vec::new();
    engine
        .each_page(
            Scan::folder(folder).with_states(&[ItemState::Pending]),
            |page| {
                let rows = page.into_iter().map(|stored| stored.row);
                open.extend(rows.filter(|row| row.resent));
                Ok(Vec::new())
            },
        )
        .await?;
    if open.is_empty() {
        return Ok(());
    }
    let doubt = Doubt {
        rows: open,
        mark: resent.mark.as_ref(),
        since: resent.at,
        taken: HashSet::new(),
    };
    let settled = settle::settle(engine, place, doubt).await?;
    let found = settled
        .into_iter()
        .filter(|(_, verdict)| *verdict == Verdict::Found);
    let records: Vec<Record> = found.map(|(row, _)| Record::Item(Box::new(row))).collect();
    engine.note(folder, |notes| notes.settled += records.len() as u64);
    engine.ledger.commit(records).await
}

/// What is there too often and stays.
struct Left {
    /// Equal to what was sent twice.
    doubled: u64,
    /// Perhaps one of it, changed as it was stored.
    alike: u64,
}

/// Removes surplus copies of `rows`.
async fn remove(engine: &Engine, lane: &Lane, resent: &Resent, rows: &[ItemRow]) -> Result<Left> {
    let start = lane.mark()?;
    let mark = resent.mark_of(lane)?;
    let place = Place::of(lane);
    let look = |since| settle::unclaimed_equals(engine, &place, since, rows);
    // Of what came in before the folder was numbered anew nobody can tell any more when: it stays.
    let since = Since {
        mark: Some(mark.unwrap_or(&start)),
        exact: true,
    };
    let (surplus, alike) = match settle::equals_among(engine, &place, since, rows).await {
        // So it is where the destination forgot what the mark stands for.
        Err(error) if error.kind() == ErrorKind::Stale => {
            let (left, alike) = look(None).await?;
            let doubled = left.len() as u64;
            return Ok(Left { doubled, alike });
        }
        looked => looked?,
    };
    if surplus.is_empty() && mark.is_some() {
        return Ok(Left { doubled: 0, alike });
    }
    let count = surplus.len();
    let again = {
        let notes = engine.notes();
        let notes = notes.folders.get(&lane.row.no);
        notes.map(|of| of.again.clone()).unwrap_or_default()
    };
    let others = with_another(engine, &place, rows).await?;
    let more = others.iter().flat_map(|row| {
        let times = again.get(&row.id).map_or(0, |times| *times as usize);
        std::iter::repeat_n(row, times)
    });
    let sent: Vec<&ItemRow> = others.iter().chain(more).collect();
    let surplus = proven(engine.to.keeps_received, surplus, &sent);
    remove_all(engine, lane, surplus).await?;
    let (left, alike) = look(mark).await?;
    if count > 0 {
        engine.emit(Event::Note {
            folder: Some(lane.folder.path.clone()),
            text: format!(
                "{count} surplus copies of our own found, {} removed",
                count.saturating_sub(left.len())
            ),
        });
    }
    Ok(Left {
        doubled: left.len() as u64,
        alike,
    })
}

/// Those whose other copy is there: the one that they claim. Where somebody removed that one, the
/// surplus copy is the message. What moved took its copy along.
async fn with_another(engine: &Engine, place: &Place, rows: &[ItemRow]) -> Result<Vec<ItemRow>> {
    let here = |row: &ItemRow| {
        let target = row.target.as_ref().filter(|(no, _)| *no == place.no);
        target.map(|(_, id)| id.clone())
    };
    let claimed: Vec<MessageId> = rows.iter().filter_map(here).collect();
    let mut there = HashSet::new();
    for ids in claimed.chunks(500) {
        let probe = engine.probe(&place.id, Depth::Ids).with_ids(ids.to_vec());
        let mut pages = engine.destination.existing(probe);
        while let Some(page) = pages.next().await {
            there.extend(page?.into_iter().map(|existing| existing.id));
        }
    }
    let has = |row: &&ItemRow| match here(row) {
        Some(id) => there.contains(&id),
        None => row.gone && row.target.is_none() && !row.merged(),
    };
    Ok(rows.iter().filter(has).cloned().collect())
}

/// Removes these messages, as far as the destination does that. To remove one twice is no harm: ids
/// are not used again.
async fn remove_all(engine: &Engine, lane: &Lane, ids: Vec<MessageId>) -> Result<()> {
    let Some(updater) = engine.destination.updater().filter(|_| engine.to.removes) else {
        return Ok(());
    };
    let mut backoff = Backoff::on(engine, Direction::Up);
    let mut left = ids;
    loop {
        let mut why = Error::new(ErrorKind::Interrupted, "no answer for this message")
            .with_scope(Scope::Message);
        let mut answers = updater.remove(&lane.place.id, left.clone());
        while let Some((id, outcome)) = answers.next().await {
            match outcome {
                Outcome::NotStored(error) | Outcome::Unknown(error) if error.is_transient() => {
                    why = error;
                }
                // Done, or refused for good.
                _ => left.retain(|one| *one != id),
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        let Some(wait) = backoff.next(&why) else {
            return Ok(());
        };
        engine.rest(&backoff, &why, wait).await?;
    }
}

/// As many copies of each as it was sent too often; equal bytes and an equal date prove it. Of several, it
/// is rather the one with the flags that it was sent with.
fn proven(dated: bool, surplus: Vec<Existing>, resent: &[&ItemRow]) -> Vec<MessageId> {
    let mut rows: HashMap<ContentDigest, Vec<&ItemRow>> = HashMap::new();
    for row in resent.iter().copied() {
        if let Some(digest) = row.digest {
            rows.entry(digest).or_default().push(row);
        }
    }
    let mut left = surplus;
    let mut out = Vec::new();
    for as_sent in [true, false] {
        left.retain(|there| {
            // Where messages are made anew, they say what they were made from.
            let digest = there.given.or(there.digest);
            let rows = digest.and_then(|digest| rows.get_mut(&digest));
            let Some(rows) = rows else { return false };
            let fits = |row: &&ItemRow| {
                let date = !dated || row.received.is_none() || row.received == there.received;
                date && (!as_sent || row.flags == there.flags)
            };
            let Some(at) = rows.iter().position(fits) else {
                return true;
            };
            rows.swap_remove(at);
            out.push(there.id.clone());
            false
        });
    }
    out
}

/// At a pass's end: waits until nothing lands any more of what was sent twice, and looks for the
/// last time. Cancel safe: what is not done yet, a pass that follows at once does.
pub(super) async fn last_look(
    engine: &Arc<Engine>,
    lanes: &mut Ended,
    destination: &[Folder],
) -> Result<()> {
    let mut without = without_lane(engine, lanes, destination).await?;
    for (lane, _) in &without {
        of_folder(report(engine, lane).await)?;
    }
    let (mut open, mut until) = (Vec::new(), 0);
    for (lane, _) in lanes.iter().chain(&without) {
        let resent = remembered(engine, lane.row.no).await?;
        let resent = resent.filter(|resent| resent.goes_on(engine));
        until = until.max(resent.as_ref().map_or(0, |resent| resent.until(engine)));
        open.push(resent);
    }
    if open.iter().all(Option::is_none) {
        return Ok(());
    }
    let wait = until.saturating_sub(engine.now_ms());
    if wait > 0 {
        engine.emit(Event::Note {
            folder: None,
            text: format!(
                "something was sent twice: waiting {} s for what may still land, to remove surplus copies",
                wait.div_ceil(1000)
            ),
        });
        engine.pause(Duration::from_millis(wait)).await?;
    }
    let doubtful = doubtful(engine, lanes).await?;
    for ((lane, problem), resent) in lanes.iter_mut().chain(&mut without).zip(open) {
        let Some(resent) = resent.filter(|_| !doubtful.contains(&lane.target.no)) else {
            continue;
        };
        let mut backoff = Backoff::on(engine, Direction::Up);
        let ended = loop {
            match end(engine, lane, &resent).await {
                Err(error) if backoff.may_pass(&error) => {
                    engine.wait_after(&mut backoff, lane, error).await?;
                }
                result => break of_folder(result)?,
            }
        };
        if problem.is_none() {
            *problem = ended;
        }
    }
    Ok(())
}

/// Folders of which something was sent twice, and which have no lane: the source has them no more, at
/// least not under these numbers.
async fn without_lane(engine: &Engine, lanes: &Ended, destination: &[Folder]) -> Result<Ended> {
    let mut out = Vec::new();
    let mut targets = None;
    for row in engine.ledger.folders().await? {
        let has_lane = lanes.iter().any(|(lane, _)| lane.row.no == row.no);
        if has_lane || remembered(engine, row.no).await?.is_none() {
            continue;
        }
        let targets = match &mut targets {
            Some(targets) => targets,
            None => targets.insert(engine.ledger.targets().await?),
        };
        if let Some(lane) = Lane::left(row, targets, destination) {
            let lane = still::left(engine, lane).await?;
            out.extend(lane.map(|lane| (lane, None)));
        }
    }
    Ok(out)
}

/// Folders at the destination that hold what is ours and not claimed yet.
async fn doubtful(engine: &Engine, lanes: &Ended) -> Result<HashSet<TargetNo>> {
    let intents = engine.ledger.intents().await?.into_iter();
    let sent = intents.filter(|intent| !intent.changes_flags());
    let mut out: HashSet<TargetNo> = sent.map(|intent| intent.target).collect();
    for (lane, _) in lanes {
        let counts = engine.ledger.counts(lane.row.no).await?;
        if counts.iter().any(|of| of.state == ItemState::Unnamed) {
            out.insert(lane.target.no);
        }
    }
    Ok(out)
}

/// The next pass looks once more, and reports what it finds.
async fn end(engine: &Engine, lane: &Lane, resent: &Resent) -> Result<()> {
    let rows = rows(engine, lane, Some(resent.from)).await?;
    let Left { mut doubled, alike } = remove(engine, lane, resent, &rows.ours).await?;
    if !rows.gone.is_empty() {
        // Perhaps nobody has it any more but this folder: it stays.
        let place = Place::of(lane);
        let (copies, _) = settle::unclaimed_equals(engine, &place, None, &rows.gone).await?;
        doubled += copies.len() as u64;
    }
    let comparable =
        |row: &&ItemRow| engine.keeps_bytes() || row.header.is_some_and(|header| !header.is_void());
    let unproven = rows.ours.len() - rows.ours.iter().filter(comparable).count();
    engine.note(lane.row.no, |notes| {
        // What a server changed as it stored it is not proven ours, and stays.
        notes.perhaps_doubled = notes.perhaps_doubled.min(alike).max(unproven as u64);
        notes.doubled += doubled;
    });
    let record = if rows.ours.is_empty() && !rows.open {
        forget(lane)
    } else {
        let ended = Resent {
            ended: true,
            ..resent.clone()
        };
        ended.record(lane.row.no)?
    };
    let mut records = vec![record];
    let told = rows.gone.into_iter().map(|row| ItemRow {
        resent: false,
        ..row
    });
    records.extend(told.map(|row| Record::Item(Box::new(row))));
    engine.ledger.commit(records).await
}
