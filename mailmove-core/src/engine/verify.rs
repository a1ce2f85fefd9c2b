//! Compares what the ledger says was stored with what the destination holds.

use std::{collections::HashMap, sync::Arc};

use futures_util::StreamExt as _;

use super::{Engine, pass, survey::Seen};
use crate::{
    checkpoint::{
        CheckpointStore, FolderNo, FolderRow, FolderState, ItemRow, ItemState, Scan, TargetRow,
    },
    destination::{Depth, Existing, Probe},
    error::{Result, Scope},
    migration::MigrationBuilder,
    model::{JobId, MessageId},
    report::{Difference, MOST_LISTED, Problem, Verification, VerifiedFolder},
};

/// Verifies a job at that depth. Reads only.
pub(crate) async fn verify(
    migration: &MigrationBuilder,
    store: &Arc<dyn CheckpointStore>,
    job: &JobId,
    depth: Depth,
) -> Result<Verification> {
    let ledger = store.open(job).await?;
    let engine = pass::connect(migration, ledger).await?;
    let targets: HashMap<_, _> = engine
        .ledger
        .targets()
        .await?
        .into_iter()
        .map(|target| (target.no, target))
        .collect();
    let mut check = Check {
        engine,
        depth,
        seen: Seen::default(),
        folders: HashMap::new(),
        guessed: Vec::new(),
        out: Verification {
            folders: Vec::new(),
            differences: Vec::new(),
        },
    };
    let rows = check.engine.ledger.folders().await?;
    let mapped = |row: &&FolderRow| row.state != FolderState::Gone && row.target.is_some();
    for row in rows.iter().filter(mapped) {
        check.add(row, row.target.and_then(|no| targets.get(&no)));
    }
    for target in targets.values() {
        if let Err(error) = check.target(target).await {
            if error.scope() > Scope::Folder {
                return Err(error);
            }
            check.problem(target, &Problem::from(&error));
        }
    }
    for row in rows.iter().filter(mapped) {
        check.rows(row).await?;
    }
    Ok(check.out)
}

struct Check {
    engine: Engine,
    depth: Depth,
    seen: Seen,
    // Where a source folder stands in the outcome.
    folders: HashMap<FolderNo, usize>,
    // Announced with another size than expected: servers guess sizes, so only the content can tell.
    guessed: Vec<(ItemRow, MessageId)>,
    out: Verification,
}

impl Check {
    fn add(&mut self, row: &FolderRow, target: Option<&TargetRow>) {
        self.folders.insert(row.no, self.out.folders.len());
        self.out.folders.push(VerifiedFolder {
            source: row.path.clone(),
            destination: target.map(|target| target.path.clone()),
            checked: 0,
            differences: 0,
            problem: None,
        });
    }

    fn problem(&mut self, target: &TargetRow, problem: &Problem) {
        for folder in &mut self.out.folders {
            if folder.destination.as_ref() == Some(&target.path) {
                folder.problem = Some(problem.clone());
            }
        }
    }

    /// Goes through a destination folder and compares each message with the row that claims it.
    async fn target(&mut self, target: &TargetRow) -> Result<()> {
        let probe = Probe::new(target.id.clone(), self.depth);
        let mut pages = self.engine.destination.existing(probe);
        while let Some(page) = pages.next().await {
            self.engine.check_stop()?;
            let page = page?;
            let ids: Vec<MessageId> = page.iter().map(|existing| existing.id.clone()).collect();
            let claims = self.engine.ledger.claims(target.no, ids).await?;
            for (existing, claim) in page.iter().zip(claims) {
                let Some((folder, id)) = claim else { continue };
                let found = self.engine.ledger.items(folder, vec![id]).await?;
                for stored in found.into_iter().flatten() {
                    self.seen.insert(stored.number);
                    self.compare(&stored.row, existing);
                }
            }
        }
        drop(pages);
        self.look_closer(target).await
    }

    /// Reads the messages whose announced size is another one than expected.
    async fn look_closer(&mut self, target: &TargetRow) -> Result<()> {
        let mut guessed: HashMap<MessageId, ItemRow> = std::mem::take(&mut self.guessed)
            .into_iter()
            .map(|(row, id)| (id, row))
            .collect();
        let mut ids: Vec<MessageId> = guessed.keys().cloned().collect();
        ids.sort();
        for ids in ids.chunks(200) {
            let probe = Probe::new(target.id.clone(), Depth::Content).with_ids(ids.to_vec());
            let mut pages = self.engine.destination.existing(probe);
            while let Some(page) = pages.next().await {
                self.engine.check_stop()?;
                for existing in page? {
                    if let Some(row) = guessed.remove(&existing.id) {
                        self.compare_content(&row, &existing);
                    }
                }
            }
        }
        Ok(())
    }

    fn compare(&mut self, row: &ItemRow, existing: &Existing) {
        let there = Some(&existing.id);
        if let Some(place) = self.folder(row.folder) {
            place.checked += 1;
        }
        let other_size = existing.size.is_some_and(|size| size != row.size);
        if other_size && self.depth < Depth::Content && self.engine.keeps_bytes() {
            self.guessed.push((row.clone(), existing.id.clone()));
        } else {
            self.compare_content(row, existing);
        }
        let flags = row.accepted.as_ref().unwrap_or(&row.flags);
        if self.engine.options.flags && *flags != existing.flags {
            let detail = format!("({flags}) expected, ({}) found", existing.flags);
            self.differs(row, there, "flags", detail);
        }
        let adopted = row.state == ItemState::AlreadyThere;
        if let (Some(had), Some(has), false) = (row.received, existing.received, adopted)
            && had != has
            && self.engine.to.keeps_received
        {
            self.differs(
                row,
                there,
                "received",
                format!("{had} expected, {has} found"),
            );
        }
    }

    fn compare_content(&mut self, row: &ItemRow, existing: &Existing) {
        let there = Some(&existing.id);
        let keeps = self.engine.keeps_bytes();
        if let Some(size) = existing.size.filter(|size| keeps && *size != row.size) {
            let detail = format!("{} bytes expected, {size} found", row.size);
            self.differs(row, there, "size", detail);
        } else if let (Some(had), Some(has), true) = (row.digest, existing.digest, keeps)
            && had != has
        {
            self.differs(
                row,
                there,
                "content",
                format!("{had} expected, {has} found"),
            );
        }
    }

    /// Goes through a source folder's rows: what was not met, and what was never copied.
    async fn rows(&mut self, folder: &FolderRow) -> Result<()> {
        let mut pages = self
            .engine
            .ledger
            .scan(Scan::folder(folder.no).with_gone(false));
        while let Some(page) = pages.next().await {
            for stored in page? {
                match (stored.row.state, &stored.row.target) {
                    (_, Some((_, id))) if !self.seen.contains(stored.number) => {
                        let (row, id) = (stored.row.clone(), id.clone());
                        let detail = "it was stored, and is not there now".to_owned();
                        self.differs(&row, Some(&id), "missing", detail);
                    }
                    (ItemState::Pending | ItemState::Failed | ItemState::Unnamed, None) => {
                        let detail = stored.row.code.clone();
                        let detail = detail.unwrap_or_else(|| "not dealt with yet".to_owned());
                        self.differs(&stored.row, None, "not-copied", detail);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn folder(&mut self, no: FolderNo) -> Option<&mut VerifiedFolder> {
        self.folders
            .get(&no)
            .and_then(|at| self.out.folders.get_mut(*at))
    }

    fn differs(
        &mut self,
        row: &ItemRow,
        there: Option<&MessageId>,
        what: &'static str,
        detail: String,
    ) {
        let Some(folder) = self.folder(row.folder) else {
            return;
        };
        folder.differences += 1;
        let path = folder.source.clone();
        if self.out.differences.len() < MOST_LISTED {
            self.out.differences.push(Difference {
                folder: path,
                message: self.engine.source.describe(&row.id),
                destination: there.map(|id| self.engine.destination.describe(id)),
                what,
                detail,
            });
        }
    }
}
