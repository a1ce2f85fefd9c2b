//! Notes about folders, after their messages: nothing of the ledger depends on them. Each pass compares
//! both sides, so that it needs no memory of its own and may be broken off anywhere.

use std::collections::HashMap;

use super::{
    Engine,
    pass::{Ended, patience},
    retry::Backoff,
};
use crate::{
    error::{Error, Result, Scope},
    model::{Annotation, Annotations, FolderId},
    report::{AnnotationReport, RefusedAnnotation},
};

/// Folders asked about at a time: their notes are in memory meanwhile.
const FOLDERS: usize = 50;

/// Carries over what is noted about the folders that did not fail, if that is wanted.
pub(super) async fn copy(engine: &Engine, lanes: &Ended) -> Result<()> {
    if !engine.options.annotations {
        return Ok(());
    }
    let well: Vec<_> = lanes
        .iter()
        .filter_map(|(lane, problem)| problem.is_none().then_some(lane))
        .collect();
    for lanes in well.chunks(FOLDERS) {
        let here: Vec<FolderId> = lanes.iter().map(|lane| lane.folder.id.clone()).collect();
        // Several folders may become one.
        let mut there: Vec<FolderId> = lanes.iter().map(|lane| lane.place.id.clone()).collect();
        there.sort_unstable();
        there.dedup();
        let (found, known) = look(engine, &here, &there).await?;
        let mut known: HashMap<FolderId, Annotations> = there.into_iter().zip(known).collect();
        for (lane, found) in lanes.iter().zip(found) {
            engine.check_stop()?;
            let known = known.entry(lane.place.id.clone()).or_default();
            let report = one(engine, &lane.place.id, found, known).await?;
            let mut notes = engine.notes();
            notes.folders.entry(lane.row.no).or_default().annotations = Some(report);
        }
    }
    Ok(())
}

async fn look(
    engine: &Engine,
    here: &[FolderId],
    there: &[FolderId],
) -> Result<(Vec<Annotations>, Vec<Annotations>)> {
    let mut backoff = Backoff::of(engine);
    loop {
        let both = futures_util::future::try_join(
            engine.source.annotations(here),
            engine.destination.annotations(there),
        );
        match both.await {
            Ok(found) => return Ok(found),
            Err(error) => patience(engine, &mut backoff, error).await?,
        }
    }
}

/// Notes at the destination what it has not noted yet. `known`: what it has, brought up to date.
async fn one(
    engine: &Engine,
    place: &FolderId,
    found: Annotations,
    known: &mut Annotations,
) -> Result<AnnotationReport> {
    let mut report = AnnotationReport {
        left_out: found.left_out,
        ..AnnotationReport::default()
    };
    let mut missing: Vec<Annotation> = Vec::new();
    for annotation in found.found {
        match known.value(&annotation.name) {
            Some(value) if *value == annotation.value => report.equal += 1,
            Some(_) => report.kept.push(annotation.name),
            None => missing.push(annotation),
        }
    }
    if missing.is_empty() {
        return Ok(report);
    }
    let noted = send(engine, place, &missing).await?;
    for (annotation, noted) in missing.into_iter().zip(noted) {
        match noted {
            Ok(()) => {
                report.copied += 1;
                known.add(annotation);
            }
            Err(error) => report.refused.push(refused(annotation.name, &error)),
        }
    }
    Ok(report)
}

/// Sends them until the destination answers: to note something twice does no harm.
async fn send(
    engine: &Engine,
    place: &FolderId,
    missing: &[Annotation],
) -> Result<Vec<Result<()>>> {
    let mut backoff = Backoff::of(engine);
    loop {
        let error = match engine.destination.annotate(place, missing.to_vec()).await {
            Ok(noted) => return Ok(noted),
            Err(error) => error,
        };
        if error.scope() <= Scope::Folder && !backoff.may_pass(&error) {
            return Ok(missing.iter().map(|_| Err(again(&error))).collect());
        }
        patience(engine, &mut backoff, error).await?;
    }
}

fn again(error: &Error) -> Error {
    Error::new(error.kind(), error.chain()).with_code(error.code().to_owned())
}

fn refused(name: String, error: &Error) -> RefusedAnnotation {
    RefusedAnnotation {
        name,
        code: error.code().to_owned(),
        reason: error.chain(),
    }
}
