//! A pass from connecting to the report.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tokio::task::JoinSet;

use super::{
    Engine, Mode, annotate, close, daily, health, labels, lane,
    lane::Lane,
    late, left_open, letters, mend, moves, read_number,
    reconcile::{self, World},
    replace,
    retry::Backoff,
    still, surplus, survey,
    turns::{Turn, Turns},
    undelivered,
};
use crate::{
    checkpoint::{CheckpointStore, Ledger, Record, TargetNo},
    error::{Error, ErrorKind, Result, Scope},
    migration::MigrationBuilder,
    model::{Folder, JobId},
    observe::{Direction, Event},
    report::{Problem, Report},
};

/// Runs one pass.
pub(crate) async fn run(
    migration: &MigrationBuilder,
    store: &Arc<dyn CheckpointStore>,
    job: &JobId,
    mode: Mode,
) -> Result<Report> {
    let ledger = store.open(job).await?;
    remember_job(migration, &*ledger).await?;
    let mut engine = connect(migration, ledger).await?;
    engine.mode = mode;
    carry_out(migration, engine).await
}

/// From the first look to the report.
pub(super) async fn carry_out(migration: &MigrationBuilder, mut engine: Engine) -> Result<Report> {
    engine.pass += 1;
    // An error that ends this pass must not look like the user's order to whoever gave `stop`.
    engine.stop = migration.stop.child();
    let engine = Arc::new(engine);
    let (source, destination) = look(&engine).await?;
    let mut records = vec![Record::Meta("pass".to_owned(), engine.pass.to_string())];
    records.extend(mend::record(&engine, true));
    engine.ledger.commit(records).await?;
    let mut report = Report::new(
        engine.pass,
        engine.source.endpoint().to_string(),
        engine.destination.endpoint().to_string(),
    );
    let order: BTreeMap<_, _> = source
        .iter()
        .enumerate()
        .map(|(index, folder)| (folder.path.clone(), index))
        .collect();
    let mut world = match &engine.mending {
        Some(mending) => mend::folders(&engine, mending, source, destination.clone()).await?,
        None => reconcile::reconcile(&engine, source, destination.clone()).await?,
    };
    letters::found(&engine, &destination).await?;
    labels::assign(&mut world.lanes);
    if engine.mode == Mode::Retry {
        undelivered::only_those(&engine, &mut world, &destination).await?;
    }
    let (lanes, stopped) = work(&engine, world, &destination, &mut report).await;
    report.stopped = stopped.as_ref().map(Problem::from);
    close::close(&engine, lanes, &mut report).await?;
    if let Err(error) = engine.discard_delivered().await {
        // Done again in the next pass.
        report.not_kept.get_or_insert_with(|| Problem::from(&error));
    }
    report
        .folders
        .sort_by_key(|folder| order.get(&folder.source).copied());
    Ok(report)
}

/// The ledger of a digest that is all zeros tells nobody whose it is; this does.
async fn remember_job(migration: &MigrationBuilder, ledger: &dyn Ledger) -> Result<()> {
    if ledger.meta("format").await?.is_none() {
        let meta = |key: &str, value: String| Record::Meta(key.to_owned(), value);
        ledger
            .commit(vec![
                meta("format", "1".to_owned()),
                meta("source", migration.source.endpoint().to_string()),
                meta("destination", migration.destination.endpoint().to_string()),
                meta("digests", "c1 h1".to_owned()),
            ])
            .await?;
    }
    Ok(())
}

/// Connects, again after failures that pass. An address or password that is wrong is told at once.
pub(super) async fn connect(
    migration: &MigrationBuilder,
    ledger: Arc<dyn Ledger>,
) -> Result<Engine> {
    let pass = read_number(&*ledger, "pass").await?;
    let options = &migration.options;
    let mut backoff = Backoff::new(options.attempts, options.longest_wait, u64::from(pass) + 1);
    loop {
        match Engine::open(migration, Arc::clone(&ledger)).await {
            Ok(engine) => return Ok(engine),
            Err(error) => {
                let wait = passes(&error).then(|| backoff.next(&error)).flatten();
                let Some(wait) = wait else { return Err(error) };
                migration.observer.on(&Event::Retrying {
                    folder: None,
                    reason: error.chain(),
                    wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                });
                tokio::select! {
                    () = migration.edges.clock.sleep(wait) => {}
                    () = migration.stop.requested() => return Err(super::cancelled()),
                }
            }
        }
    }
}

fn passes(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Throttled
            | ErrorKind::Capacity
            | ErrorKind::Unavailable
            | ErrorKind::Interrupted
    )
}

/// One look at both sides, again after failures that pass.
pub(super) async fn look(engine: &Engine) -> Result<(Vec<Folder>, Vec<Folder>)> {
    let mut backoff = Backoff::of(engine);
    loop {
        let both = (engine.source.folders(), engine.destination.folders());
        match futures_util::future::try_join(both.0, both.1).await {
            Ok((source, mut destination)) => {
                // The others are not for what goes this way.
                let classes = &engine.options.folders.classes;
                destination.retain(|folder| classes.contains(&folder.class));
                return Ok((source, destination));
            }
            Err(error) => patience(engine, &mut backoff, error).await?,
        }
    }
}

/// Waits before the next try; gives the error back if there is none.
pub(super) async fn patience(engine: &Engine, backoff: &mut Backoff, error: Error) -> Result<()> {
    let Some(wait) = backoff.next(&error) else {
        return Err(error);
    };
    engine.emit(Event::Retrying {
        folder: None,
        reason: error.chain(),
        wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
    });
    engine.rest(backoff, &error, wait).await
}

pub(super) type Ended = Vec<(Lane, Option<Error>)>;

/// Everything between the first look and the sums. An error that ends the pass is given back beside
/// the lanes as they are by then.
async fn work(
    engine: &Arc<Engine>,
    world: World,
    destination: &[Folder],
    report: &mut Report,
) -> (Ended, Option<Error>) {
    report.folders = world.ended;
    let mut lanes: Ended = world.lanes.into_iter().map(|lane| (lane, None)).collect();
    let mut places: BTreeMap<TargetNo, usize> = BTreeMap::new();
    for (lane, _) in &lanes {
        *places.entry(lane.target.no).or_default() += 1;
    }
    for (lane, _) in &mut lanes {
        lane.shared = places.get(&lane.target.no).is_some_and(|count| *count > 1);
    }
    engine.emit(Event::Mapped {
        folders: lanes.len(),
        messages: lanes
            .iter()
            .filter_map(|(lane, _)| lane.folder.messages)
            .sum(),
        bytes: lanes.iter().map(|(lane, _)| lane.folder.bytes).sum(),
    });
    let outcome = stages(engine, &mut lanes, destination).await;
    (lanes, outcome.err())
}

async fn stages(engine: &Arc<Engine>, lanes: &mut Ended, destination: &[Folder]) -> Result<()> {
    let anew = left_open::close(engine, destination).await?;
    for (lane, _) in lanes.iter_mut() {
        if anew.contains(&lane.row.no) {
            lane.row.cursor = None;
            lane.row.token = None;
        }
    }
    if let Some(mending) = &engine.mending {
        still::look(engine, lanes).await?;
        mend::look(engine, mending, lanes).await?;
        looked_at(engine, lanes).await?;
        each(engine, lanes, |_| true, Work::Copy).await?;
        surplus::last_look(engine, lanes, destination).await?;
        return replaced(engine, lanes).await;
    }
    for (lane, problem) in lanes.iter_mut() {
        let mut backoff = Backoff::on(engine, Direction::Up);
        *problem = loop {
            engine.check_stop()?;
            match health::check(engine, lane).await {
                Err(error) if backoff.may_pass(&error) => {
                    engine.wait_after(&mut backoff, lane, error).await?;
                }
                result => break of_folder(result)?,
            }
        };
    }
    still::look(engine, lanes).await?;
    if engine.mode == Mode::Retry {
        // What could not be read may have moved, and have a copy already.
        moved(engine, lanes).await?;
        each(engine, lanes, |_| true, Work::Copy).await?;
        surplus::last_look(engine, lanes, destination).await?;
        return replaced(engine, lanes).await;
    }
    looked_at(engine, lanes).await?;
    // A first listing that was broken off has rows too; what they stand for may be gone.
    let known = |lane: &Lane| (lane.row.listed || lane.begun) && !lane.quiet;
    each(engine, lanes, known, Work::Survey).await?;
    labels::reconsider(engine, lanes).await?;
    if moves::any_gone(engine).await? {
        // New folders may hold what is gone elsewhere: nothing is copied before that is known.
        each(engine, lanes, |lane| !lane.row.listed, Work::Survey).await?;
        moved(engine, lanes).await?;
    }
    each(engine, lanes, |lane| !lane.quiet, Work::Copy).await?;
    late::look(engine, lanes).await?;
    surplus::last_look(engine, lanes, destination).await?;
    replaced(engine, lanes).await?;
    annotate::copy(engine, lanes).await
}

/// Moves at the destination what moved at the source.
async fn moved(engine: &Arc<Engine>, lanes: &mut Ended) -> Result<()> {
    let mut theres = HashMap::new();
    for (lane, problem) in lanes.iter_mut() {
        if lane.surveyed && problem.is_none() {
            *problem = of_folder(moves::run(engine, lane, &mut theres).await)?;
        }
    }
    Ok(())
}

/// All that is missing is known and to be sent again, unless a folder could not be looked at.
async fn looked_at(engine: &Engine, lanes: &Ended) -> Result<()> {
    match mend::record(engine, false) {
        Some(record) if lanes.iter().all(|(_, problem)| problem.is_none()) => {
            engine.ledger.commit(vec![record]).await
        }
        _ => Ok(()),
    }
}

/// Ends what a pass that mends began. What one folder does not let us do, a later pass does.
async fn replaced(engine: &Engine, lanes: &Ended) -> Result<()> {
    let mut backoff = Backoff::of(engine);
    loop {
        let error = match replace::finish(engine, lanes).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match backoff.next(&error) {
            Some(wait) => engine.pause(wait).await?,
            None if error.scope() <= Scope::Folder => {
                engine.emit(Event::Note {
                    folder: None,
                    text: format!("replaced messages are still there: {}", error.chain()),
                });
                return Ok(());
            }
            None => return Err(error),
        }
    }
}

/// Keeps a folder's own error, and gives back one that ends the pass.
pub(super) fn of_folder(result: Result<()>) -> Result<Option<Error>> {
    match result {
        Ok(()) => Ok(None),
        Err(error) if error.scope() <= Scope::Folder => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

#[derive(Clone, Copy)]
enum Work {
    Survey,
    Copy,
}

/// Does the work for all lanes that want it, several at once. Lanes with the same destination
/// folder follow each other, so that no two of them look for the same message there.
async fn each(
    engine: &Arc<Engine>,
    lanes: &mut Ended,
    wants: impl Fn(&Lane) -> bool,
    work: Work,
) -> Result<()> {
    let mut groups: BTreeMap<TargetNo, Vec<(usize, Lane)>> = BTreeMap::new();
    for (index, (lane, problem)) in lanes.iter().enumerate() {
        if problem.is_none() && wants(lane) {
            groups
                .entry(lane.target.no)
                .or_default()
                .push((index, lane.clone()));
        }
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    // The largest first: the last one to end decides how long it takes.
    let size = |group: &Vec<(usize, Lane)>| {
        group
            .iter()
            .filter_map(|(_, lane)| lane.folder.messages)
            .sum::<u64>()
    };
    groups.sort_by_key(|group| std::cmp::Reverse(size(group)));
    let turns = Turns::new(engine.folders_at_once());
    let mut tasks = JoinSet::new();
    for group in groups {
        let (engine, turns) = (Arc::clone(engine), turns.clone());
        tasks.spawn(async move {
            let turn = turns.next().await;
            one_group(&engine, group, work, turn).await
        });
    }
    let mut fatal: Option<Error> = None;
    while let Some(ended) = tasks.join_next().await {
        let group = ended.map_err(|error| {
            Error::new(ErrorKind::Bug, "a task of the engine ended").with_source(error)
        })?;
        for (index, lane, result) in group {
            let Some(place) = lanes.get_mut(index) else {
                continue;
            };
            place.0 = lane;
            match of_folder(result) {
                Ok(problem) => place.1 = problem,
                Err(error) => {
                    // The others end in order; the first cause is the one to tell. Where just the
                    // day's bytes are used up, what they have fetched is worth being sent.
                    if !daily::is_used_up(&error) {
                        engine.stop.request();
                    }
                    let first = fatal
                        .as_ref()
                        .is_none_or(|f| f.kind() == ErrorKind::Cancelled);
                    if first {
                        fatal = Some(error);
                    }
                }
            }
        }
    }
    fatal.map_or(Ok(()), Err)
}

async fn one_group(
    engine: &Arc<Engine>,
    group: Vec<(usize, Lane)>,
    work: Work,
    mut turn: Turn,
) -> Vec<(usize, Lane, Result<()>)> {
    let mut out: Vec<(usize, Lane, Result<()>)> = Vec::with_capacity(group.len());
    for (index, mut lane) in group {
        // What the lane before it learned of the common destination folder.
        if let Some((_, before, _)) = out.last() {
            lane.target = before.target.clone();
        }
        let result = match work {
            Work::Survey => survey::survey(engine, &mut lane).await,
            Work::Copy => {
                turn.take().await;
                lane::run(engine, &mut lane, &mut turn).await
            }
        };
        out.push((index, lane, result));
    }
    out
}
