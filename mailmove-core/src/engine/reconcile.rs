//! Folders: what the source has, what the ledger knows, where each of them goes.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::StreamExt as _;

use super::{Engine, lane::Lane, pass, retry::Backoff, still};
use crate::{
    checkpoint::{FolderRow, FolderState, Record, Scan, TargetNo, TargetRow},
    error::{Error, ErrorKind, Result, Scope},
    map::{Earlier, FolderMap, MapEntry, Verdict, plain},
    model::{Folder, FolderId, FolderPath, FolderSpec, ItemClass, Naming},
    observe::Direction,
    options::Order,
    report::{FolderReport, Problem},
};

/// Everything that is to be worked on, and what is not.
#[derive(Debug, Default)]
pub(super) struct World {
    /// Source folders with a destination.
    pub(super) lanes: Vec<Lane>,
    /// Folders that end here: excluded, or failed.
    pub(super) ended: Vec<FolderReport>,
    /// Source folders of the ledger that exist no more, all of their rows gone now.
    pub(super) gone: Vec<FolderRow>,
    /// What the ledger is to know of all these, in one commit.
    records: Vec<Record>,
}

/// Brings the ledger's folders up to date with both sides and makes what is missing at the
/// destination.
pub(super) async fn reconcile(
    engine: &Engine,
    source: Vec<Folder>,
    destination: Vec<Folder>,
) -> Result<World> {
    let mut known = engine.ledger.folders().await?;
    let targets = engine.ledger.targets().await?;
    let map = map_folders(engine, (&source, &destination), &known, &targets).await?;
    let mut world = World::default();
    let mut wanted = Vec::new();
    let living: HashSet<String> = source
        .iter()
        .map(|folder| folder.identity.as_str().to_owned())
        .collect();
    for (folder, entry) in source.into_iter().zip(map.entries) {
        let row = take_known(&mut known, &folder, &living);
        let row = match row {
            Some(row) if row.identity == folder.identity.as_str() => row,
            Some(row) => renumber(engine, row, folder.identity.as_str()).await?,
            None => FolderRow::new(
                engine.folder_number(),
                folder.id.clone(),
                folder.path.clone(),
                folder.identity.as_str(),
            ),
        };
        let row = FolderRow {
            role: folder.role,
            id: folder.id.clone(),
            path: folder.path.clone(),
            ..row
        };
        match entry.verdict {
            Verdict::Excluded(rule) => {
                exclude(&mut world, row, rule, folder.messages);
            }
            Verdict::To { path, role, .. } => {
                let spec = FolderSpec::new(path)
                    .with_class(folder.class)
                    .with_role(role)
                    .with_subscription(engine.options.subscriptions && folder.subscribed);
                wanted.push((row, folder, spec));
            }
        }
    }
    for row in known {
        if row.state != FolderState::Gone {
            world.gone.push(mark_gone(engine, row).await?);
        }
    }
    lanes(engine, &mut world, wanted, destination, targets).await?;
    Ok(world)
}

/// What a pass that mends works on: the folders that the ledger knows, each where it is, as far as
/// they are at hand. Nothing is learned of the source.
pub(super) async fn known(
    engine: &Engine,
    source: Vec<Folder>,
    destination: Vec<Folder>,
) -> Result<World> {
    let known = engine.ledger.folders().await?;
    let targets = engine.ledger.targets().await?;
    let map = known_places(engine, (&source, &destination), &known, &targets);
    let mut world = World::default();
    let mut wanted = Vec::new();
    for (folder, entry) in source.into_iter().zip(map.entries) {
        let row = known
            .iter()
            .find(|row| row.state != FolderState::Gone && row.identity == folder.identity.as_str());
        let no = row.and_then(|row| row.target);
        let target = targets.iter().find(|target| Some(target.no) == no);
        let (Verdict::To { role, .. }, Some(row), Some(target)) = (entry.verdict, row, target)
        else {
            continue;
        };
        let spec = FolderSpec::new(target.path.clone())
            .with_class(folder.class)
            .with_role(role);
        let row = FolderRow {
            id: folder.id.clone(),
            path: folder.path.clone(),
            ..row.clone()
        };
        wanted.push((row, folder, spec));
    }
    lanes(engine, &mut world, wanted, destination, targets).await?;
    Ok(world)
}

/// Finds or makes the destination folders of these, each of which becomes a lane or fails.
async fn lanes(
    engine: &Engine,
    world: &mut World,
    wanted: Vec<(FolderRow, Folder, FolderSpec)>,
    destination: Vec<Folder>,
    mut targets: Vec<TargetRow>,
) -> Result<()> {
    warm_up(engine, &wanted);
    let Places { places, still } = ensure(engine, &wanted, destination, &targets).await?;
    for (row, folder, spec) in wanted {
        match places.get(&spec.path) {
            Some(Ok(place)) => {
                let target = target_row(&mut targets, place);
                join(engine, world, row, folder, target, place.clone());
                if let Some(lane) = world.lanes.last_mut() {
                    lane.unmarked = still.contains_key(&spec.path);
                    lane.still = still.get(&spec.path) == Some(&true);
                }
            }
            Some(Err(problem)) => fail(world, row, &folder, problem.clone()),
            None => {
                let error = Error::new(
                    ErrorKind::Bug,
                    "the destination did not answer for a folder",
                )
                .with_context("folder", spec.path.to_string());
                fail(world, row, &folder, Problem::from(&error));
            }
        }
    }
    engine
        .ledger
        .commit(std::mem::take(&mut world.records))
        .await
}

/// While folders are made, what is needed to fill them can be opened.
fn warm_up(engine: &Engine, wanted: &[(FolderRow, Folder, FolderSpec)]) {
    let is_new = |row: &FolderRow, folder: &Folder| !row.listed && folder.messages > Some(0);
    let new = wanted.iter().filter(|(row, folder, _)| is_new(row, folder));
    let most = engine.folders_at_once();
    let folders = match engine.options.order {
        Order::Kept => new.count().min(most),
        // One folder may take them all.
        Order::Relaxed => new.count().min(1) * most,
    };
    if folders > 1 {
        engine.warm_up(folders);
    }
}

/// Where the folders of the source go. What names the destination takes is asked only if some folder
/// is neither where it was nor of a name that all take: for the others nothing is to be known.
pub(super) async fn map_folders(
    engine: &Engine,
    (source, destination): (&[Folder], &[Folder]),
    known: &[FolderRow],
    targets: &[TargetRow],
) -> Result<FolderMap> {
    let earlier = earlier(source, known, targets);
    let map = |naming: &Naming| {
        FolderMap::new(
            &engine.options.folders,
            source,
            destination,
            naming,
            &earlier,
        )
    };
    let assumed = map(&engine.to.naming);
    let there: HashSet<&FolderPath> = destination.iter().map(|folder| &folder.path).collect();
    let before: HashSet<(&FolderPath, &FolderPath)> = earlier
        .iter()
        .map(|one| (&one.source, &one.target))
        .collect();
    let is_clear = |entry: &MapEntry| match &entry.verdict {
        Verdict::To { path, .. } if there.contains(path) => before.contains(&(&entry.source, path)),
        Verdict::To { path, .. } => plain::is_plain(path) && plain::is_plain(&entry.source),
        Verdict::Excluded(_) => true,
    };
    let targets = assumed
        .entries
        .iter()
        .filter_map(|entry| match &entry.verdict {
            Verdict::To { path, .. } => Some(path),
            Verdict::Excluded(_) => None,
        });
    let paths = targets.chain(destination.iter().map(|folder| &folder.path));
    if assumed.entries.iter().all(is_clear) && plain::differ_by_more_than_case(paths) {
        return Ok(assumed);
    }
    let mut backoff = Backoff::of(engine);
    loop {
        match engine.destination.naming(destination).await {
            Ok(naming) => return Ok(map(&naming)),
            Err(error) => pass::patience(engine, &mut backoff, error).await?,
        }
    }
}

/// Where the folders of the source are, for whoever makes none.
pub(super) fn known_places(
    engine: &Engine,
    (source, destination): (&[Folder], &[Folder]),
    known: &[FolderRow],
    targets: &[TargetRow],
) -> FolderMap {
    let earlier = earlier(source, known, targets);
    let rules = &engine.options.folders;
    FolderMap::new(rules, source, destination, &engine.to.naming, &earlier)
}

/// The places that the folders have from earlier passes.
fn earlier(source: &[Folder], known: &[FolderRow], targets: &[TargetRow]) -> Vec<Earlier> {
    let place = |no: TargetNo| targets.iter().find(|target| target.no == no);
    known
        .iter()
        // One that failed in the last pass keeps its place too.
        .filter(|row| matches!(row.state, FolderState::Mapped | FolderState::Failed(_)))
        .filter_map(|row| {
            // A folder renamed at the source keeps its place: it is found by its identity.
            let now = source
                .iter()
                .find(|folder| folder.identity.as_str() == row.identity);
            let path = now.map_or(&row.path, |folder| &folder.path);
            Some(Earlier::new(path.clone(), place(row.target?)?.path.clone()))
        })
        .collect()
}

/// The ledger's row of a folder: by identity, else by place (it was renumbered or replaced, and
/// what was there is not merely elsewhere now).
fn take_known(
    known: &mut Vec<FolderRow>,
    folder: &Folder,
    living: &HashSet<String>,
) -> Option<FolderRow> {
    let live = |row: &FolderRow| row.state != FolderState::Gone;
    let at = known
        .iter()
        .position(|row| live(row) && row.identity == folder.identity.as_str())
        .or_else(|| {
            known.iter().position(|row| {
                live(row) && row.path == folder.path && !living.contains(&row.identity)
            })
        })?;
    Some(known.swap_remove(at))
}

/// A folder whose numbering changed: all its old rows are gone, and it starts anew under another
/// number. What is listed next is matched with the old rows like mail that moved, never copied
/// blindly.
pub(super) async fn renumber(engine: &Engine, old: FolderRow, identity: &str) -> Result<FolderRow> {
    let no = engine.folder_number();
    let mut new = FolderRow::new(no, old.id.clone(), old.path.clone(), identity);
    new.role = old.role;
    new.target = old.target;
    new.rules.clone_from(&old.rules);
    let old = all_gone(engine, old).await?;
    let both = [old, new.clone()].map(|row| Record::Folder(Box::new(row)));
    engine.ledger.commit(both.into()).await?;
    Ok(new)
}

async fn mark_gone(engine: &Engine, row: FolderRow) -> Result<FolderRow> {
    let row = all_gone(engine, row).await?;
    let record = Record::Folder(Box::new(row.clone()));
    engine.ledger.commit(vec![record]).await?;
    Ok(row)
}

/// Marks all rows of a folder as gone; the folder itself still has to be recorded.
async fn all_gone(engine: &Engine, mut row: FolderRow) -> Result<FolderRow> {
    engine
        .each_page(Scan::folder(row.no).with_gone(false), |page| {
            let gone = |stored: crate::checkpoint::Stored| {
                Record::Gone(stored.row.folder, stored.row.id, true)
            };
            Ok(page.into_iter().map(gone).collect())
        })
        .await?;
    row.state = FolderState::Gone;
    Ok(row)
}

fn exclude(world: &mut World, mut row: FolderRow, rule: String, messages: Option<u64>) {
    let mut report = FolderReport::new(row.path.clone());
    report.excluded = Some(rule.clone());
    report.tally.found = messages.unwrap_or(0);
    report.tally.excluded = report.tally.found;
    world.ended.push(report);
    row.state = FolderState::Excluded(rule);
    // Listed from the start if it ever comes back.
    row.cursor = None;
    row.token = None;
    world.records.push(Record::Folder(Box::new(row)));
}

fn fail(world: &mut World, mut row: FolderRow, folder: &Folder, problem: Problem) {
    let mut report = FolderReport::new(row.path.clone());
    report.tally.found = folder.messages.unwrap_or(0);
    report.tally.open = report.tally.found;
    row.state = FolderState::Failed(problem.code.clone());
    report.problem = Some(problem);
    world.ended.push(report);
    world.records.push(Record::Folder(Box::new(row)));
}

/// Destination folders, or why there are none.
#[derive(Debug)]
struct Places {
    places: HashMap<FolderPath, Result<Folder, Problem>>,
    /// Of those that came without a mark, whether nothing happened in them since the last pass.
    still: HashMap<FolderPath, bool>,
}

/// Finds or makes the destination folders. A folder that the ledger filled and that is gone now is
/// not made anew: that would hide the loss.
async fn ensure(
    engine: &Engine,
    wanted: &[(FolderRow, Folder, FolderSpec)],
    destination: Vec<Folder>,
    targets: &[TargetRow],
) -> Result<Places> {
    let mut present: HashMap<FolderPath, Folder> = destination
        .into_iter()
        .map(|folder| (folder.path.clone(), folder))
        .collect();
    let mut places = HashMap::new();
    let mut still = HashMap::new();
    let mut missing: BTreeMap<FolderPath, FolderSpec> = BTreeMap::new();
    for (row, _, spec) in wanted {
        if places.contains_key(&spec.path) {
            continue;
        }
        let own = |target: &&TargetRow| target.path == spec.path && row.target == Some(target.no);
        let had_mail = targets
            .iter()
            .any(|target| own(&target) && target.messages > Some(0));
        if let Some(folder) = present.get_mut(&spec.path) {
            let same = |target: &&TargetRow| target.identity == folder.identity.as_str();
            let target = targets.iter().find(|target| own(target) && same(target));
            as_left(engine, target, folder, &mut still).await?;
        }
        match present.get(&spec.path) {
            Some(folder) if folder.class != spec.class => {
                let error = other_class(&spec.path, folder.class, spec.class);
                places.insert(spec.path.clone(), Err(Problem::from(&error)));
            }
            Some(folder) if folder.selectable && folder.mark.is_some() => {
                if spec.subscribe && !folder.subscribed {
                    missing.insert(spec.path.clone(), spec.clone());
                } else if let Some(folder) = present.remove(&spec.path) {
                    places.insert(spec.path.clone(), Ok(folder));
                }
            }
            None if had_mail && !engine.options.accept_lost && engine.mending.is_none() => {
                let error = super::health::lost(&spec.path, None);
                places.insert(spec.path.clone(), Err(Problem::from(&error)));
            }
            _ => {
                missing
                    .entry(spec.path.clone())
                    .or_insert_with(|| spec.clone());
            }
        }
    }
    let specs: Vec<FolderSpec> = missing.into_values().collect();
    let mut backoff = Backoff::on(engine, Direction::Up);
    while !specs.is_empty() {
        match make(engine, &specs).await {
            Ok(made) => {
                places.extend(made);
                break;
            }
            Err(error) => pass::patience(engine, &mut backoff, error).await?,
        }
    }
    Ok(Places { places, still })
}

/// A folder in which nothing happened since the last pass has the mark of then. Another one is to be looked at
/// from there on.
async fn as_left(
    engine: &Engine,
    target: Option<&TargetRow>,
    folder: &mut Folder,
    still: &mut HashMap<FolderPath, bool>,
) -> Result<()> {
    if folder.mark.is_some() {
        return Ok(());
    }
    let of_then = still::mark(engine, target, folder).await?;
    still.insert(folder.path.clone(), of_then.is_some());
    if of_then.is_some() {
        folder.mark = of_then;
    } else if let Some(mark) = target.and_then(|target| target.mark.as_ref()) {
        engine.destination.expect(&folder.id, mark).await;
    }
    Ok(())
}

/// What is at its place holds other things: nobody looks for mail among notes.
fn other_class(path: &FolderPath, there: ItemClass, wanted: ItemClass) -> Error {
    let what = format!(
        "the folder of that name is made for {}, and not for {}",
        there.plural(),
        wanted.plural()
    );
    Error::new(ErrorKind::Refused, what)
        .with_code("destination/other-class")
        .with_scope(Scope::Folder)
        .with_context("folder", path.to_string())
        .with_remedy("Map the source's folder to another name.")
}

/// Asks for all of these once. After an error that reaches beyond a folder all are to be asked for
/// again, since nobody knows how far the destination came.
async fn make(
    engine: &Engine,
    specs: &[FolderSpec],
) -> Result<HashMap<FolderPath, Result<Folder, Problem>>> {
    let mut places = HashMap::new();
    let mut made = engine.destination.ensure_folders(specs.to_vec());
    while let Some((slot, result)) = made.next().await {
        let Some(spec) = specs.get(slot.index()) else {
            continue;
        };
        let place = match result {
            Ok(folder) => Ok(folder),
            Err(error) if error.scope() <= Scope::Folder => Err(Problem::from(&error)),
            Err(error) => return Err(error),
        };
        places.insert(spec.path.clone(), place);
    }
    Ok(places)
}

/// The ledger's row of a destination folder. One that was renumbered gets a new row: claims on the
/// old one are void, and are carried over one by one.
pub(super) fn target_row(targets: &mut Vec<TargetRow>, place: &Folder) -> TargetRow {
    let same = targets
        .iter_mut()
        .filter(|target| target.path == place.path);
    if let Some(known) = same.max_by_key(|target| target.no)
        && known.identity == place.identity.as_str()
    {
        known.id = place.id.clone();
        return known.clone();
    }
    let no = TargetNo(
        targets
            .iter()
            .map(|target| target.no.0 + 1)
            .max()
            .unwrap_or(0),
    );
    let row = TargetRow::new(
        no,
        place.id.clone(),
        place.path.clone(),
        place.identity.as_str(),
    );
    targets.push(row.clone());
    row
}

fn join(
    engine: &Engine,
    world: &mut World,
    mut row: FolderRow,
    folder: Folder,
    target: TargetRow,
    place: Folder,
) {
    let rules = rules_digest(engine, &target.id);
    if row.rules != rules {
        // Other filters, other place: what was left out may be wanted now.
        row.cursor = None;
        row.token = None;
        row.rules = rules;
    }
    row.state = FolderState::Mapped;
    row.target = Some(target.no);
    world.records.extend([
        Record::Folder(Box::new(row.clone())),
        Record::Target(Box::new(target.clone())),
    ]);
    world.lanes.push(Lane::new(row, folder, target, place));
}

/// Digest of all that decides what a listing leaves out or where it goes.
fn rules_digest(engine: &Engine, target: &FolderId) -> String {
    let text = format!("v1\n{:?}\n{}", engine.options.filter, target.as_str());
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}
