//! Compares what the ledger says was stored with what the destination holds, and what the source
//! holds with what the ledger knows of.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use futures_util::StreamExt as _;

use super::{
    Engine,
    compare::{Comparison, Sources, What},
    health::{self, LOST},
    meaning, pass, reconcile,
    survey::Seen,
};
use crate::{
    checkpoint::{
        CheckpointStore, FolderNo, FolderRow, FolderState, ItemRow, ItemState, Scan, TargetNo,
        TargetRow,
    },
    destination::{Depth, Destination},
    error::{Error, ErrorKind, Result, Scope},
    identity::Loss,
    map::Verdict,
    migration::MigrationBuilder,
    model::{Folder, FolderPath, JobId, MessageId},
    report::{Difference, MOST_LISTED, Problem, Verification, VerifiedFolder},
    source::Source,
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
    let (source, destination) = pass::look(&engine).await?;
    let known = engine.ledger.folders().await?;
    let targets = engine.ledger.targets().await?;
    let wanted = wanted(&engine, source, &destination, &known, &targets);
    let mut check = Check {
        list: List {
            from: Arc::clone(&engine.source),
            to: Arc::clone(&engine.destination),
            folders: HashMap::new(),
            out: Verification {
                folders: Vec::new(),
                differences: Vec::new(),
                losses: BTreeMap::new(),
            },
        },
        engine,
        depth,
        sources: meaning::sources(wanted.known.iter().filter_map(|(row, folder)| {
            let same = folder.as_ref()?;
            (same.identity.as_str() == row.identity).then_some((row.no, same))
        })),
        seen: Seen::default(),
        compared: HashSet::new(),
    };
    let by_no: HashMap<TargetNo, &TargetRow> = targets.iter().map(|row| (row.no, row)).collect();
    let mut places = Vec::new();
    for (row, folder) in &wanted.known {
        let target = row.target.and_then(|no| by_no.get(&no).copied());
        check.list.add(row, target);
        check.source(row, folder.as_ref()).await?;
        places.extend(target);
    }
    places.sort_by_key(|target| target.no);
    places.dedup_by_key(|target| target.no);
    for target in places {
        if let Err(error) = check.target(target, &destination).await {
            if error.scope() > Scope::Folder {
                return Err(error);
            }
            check.list.problem(&target.path, &error);
        }
    }
    for (row, _) in &wanted.known {
        check.rows(row).await?;
    }
    for folder in wanted.new {
        check.list.new_folder(&folder);
    }
    Ok(check.list.out)
}

/// The folders that are to be verified.
struct Wanted {
    /// Those that the ledger knows, with what they are at the source now.
    known: Vec<(FolderRow, Option<Folder>)>,
    /// Those that it knows nothing of.
    new: Vec<Folder>,
}

fn wanted(
    engine: &Engine,
    source: Vec<Folder>,
    destination: &[Folder],
    known: &[FolderRow],
    targets: &[TargetRow],
) -> Wanted {
    let map = reconcile::known_places(engine, (&source, destination), known, targets);
    let mut excluded: HashSet<FolderPath> = HashSet::new();
    let mut now: Vec<Folder> = Vec::new();
    for (folder, entry) in source.into_iter().zip(map.entries) {
        match entry.verdict {
            Verdict::Excluded(_) => {
                excluded.insert(folder.path);
            }
            Verdict::To { .. } => now.push(folder),
        }
    }
    let mut out = Vec::new();
    for row in known {
        let dealt_with = row.target.is_some() || matches!(row.state, FolderState::Failed(_));
        if row.state == FolderState::Gone || !dealt_with || excluded.contains(&row.path) {
            continue;
        }
        let same = |folder: &Folder| folder.identity.as_str() == row.identity;
        let at = now.iter().position(same);
        let at = at.or_else(|| now.iter().position(|folder| folder.path == row.path));
        out.push((row.clone(), at.map(|at| now.swap_remove(at))));
    }
    let filled = |folder: &Folder| folder.selectable && folder.messages > Some(0);
    now.retain(filled);
    now.sort_by(|a, b| a.path.cmp(&b.path));
    Wanted {
        known: out,
        new: now,
    }
}

struct Check {
    engine: Engine,
    depth: Depth,
    sources: Arc<Sources>,
    /// Rows whose message is there.
    seen: Seen,
    /// Destination folders that were gone through, or are not there.
    compared: HashSet<TargetNo>,
    list: List,
}

impl Check {
    /// Whether the ledger knows of all that is at the source.
    async fn source(&mut self, row: &FolderRow, now: Option<&Folder>) -> Result<()> {
        let problem = match (&row.state, now) {
            (FolderState::Failed(code), _) if row.target.is_none() => {
                let error = not_all("the folder could not be copied", &row.path);
                error.with_context("code", code.clone())
            }
            (_, Some(now)) if now.identity.as_str() != row.identity => {
                let what = "the folder was replaced at the source, or numbered anew";
                not_all(what, &row.path)
            }
            (_, Some(now)) => {
                let counts = self.engine.ledger.counts(row.no).await?;
                let live = counts
                    .iter()
                    .filter(|count| !count.gone && count.state != ItemState::Vanished);
                let known: u64 = live.map(|count| count.messages).sum();
                let there = now.messages.unwrap_or(0);
                if there <= known {
                    return Ok(());
                }
                not_all("the source holds messages that no pass has seen", &row.path)
                    .with_context("at the source", there.to_string())
                    .with_context("known", known.to_string())
            }
            // What is there was copied from it once.
            (_, None) => return Ok(()),
        };
        if let Some(folder) = self.list.folder(row.no) {
            folder.problem = Some(Problem::from(&problem));
        }
        Ok(())
    }

    /// Goes through a destination folder and compares each message with the row that claims it.
    async fn target(&mut self, target: &TargetRow, destination: &[Folder]) -> Result<()> {
        let Some(now) = destination.iter().find(|now| now.path == target.path) else {
            self.compared.insert(target.no);
            let mut claims = self.engine.ledger.scan(Scan::target(target.no));
            return match claims.next().await.transpose()? {
                Some(_) => Err(health::lost(&target.path, None)),
                None => Ok(()),
            };
        };
        if now.identity.as_str() != target.identity {
            return Err(renumbered(&target.path));
        }
        let place = (target.no, now.id.clone());
        let mut comparison = Comparison::new(&self.engine, self.depth, place, &self.sources);
        while let Some(page) = comparison.next().await? {
            for compared in page {
                let (row, id) = (&compared.stored.row, &compared.existing.id);
                if !compared.again {
                    self.seen.insert(compared.stored.number);
                    self.list.checked(row, compared.unread);
                }
                for differs in compared.differs {
                    let found = Found {
                        what: differs.what.as_str(),
                        detail: differs.detail,
                        known: differs.known,
                        is_loss: differs.known && matches!(differs.what, What::Meaning(_)),
                    };
                    self.list.found(row, Some(id), found);
                }
            }
        }
        for (row, id) in comparison.doubled().await? {
            let found = Found {
                what: "doubled",
                detail: "there is one more copy that was made from it".to_owned(),
                known: false,
                is_loss: false,
            };
            self.list.found(&row, Some(&id), found);
        }
        self.compared.insert(target.no);
        Ok(())
    }

    /// Goes through a source folder's rows: what was not met, and what was never copied.
    async fn rows(&mut self, folder: &FolderRow) -> Result<()> {
        let scan = Scan::folder(folder.no).with_gone(false);
        let mut pages = self.engine.ledger.scan(scan);
        while let Some(page) = pages.next().await {
            for stored in page? {
                let row = &stored.row;
                let id = match &row.target {
                    Some((no, _)) if !self.compared.contains(no) => {
                        self.list.not_compared(folder);
                        continue;
                    }
                    Some(_) if self.seen.contains(stored.number) => continue,
                    target => target.as_ref().map(|(_, id)| id),
                };
                if let Some(found) = without_message(row) {
                    self.list.found(row, id, found);
                }
            }
        }
        Ok(())
    }
}

/// One difference.
struct Found {
    what: &'static str,
    detail: String,
    known: bool,
    /// Its detail names a loss that the destination is known for.
    is_loss: bool,
}

/// What there is to tell of a row whose message is not there.
fn without_message(row: &ItemRow) -> Option<Found> {
    let (what, detail, known) = match row.state {
        _ if row.target.is_some() || row.code.as_deref() == Some(LOST) => {
            ("missing", "it was stored, and is not there now", false)
        }
        ItemState::RemovedThere => {
            let detail = "it was stored, and somebody removed it";
            ("removed-there", detail, true)
        }
        ItemState::Pending | ItemState::Failed | ItemState::Unnamed => {
            let code = row.code.as_deref();
            ("not-copied", code.unwrap_or("not dealt with yet"), false)
        }
        _ => return None,
    };
    Some(Found {
        what,
        detail: detail.to_owned(),
        known,
        is_loss: false,
    })
}

/// The outcome, as it grows.
struct List {
    from: Arc<dyn Source>,
    to: Arc<dyn Destination>,
    // Where a source folder stands in the outcome.
    folders: HashMap<FolderNo, usize>,
    out: Verification,
}

impl List {
    fn add(&mut self, row: &FolderRow, target: Option<&TargetRow>) {
        self.folders.insert(row.no, self.out.folders.len());
        let mut folder = VerifiedFolder::new(row.path.clone());
        folder.destination = target.map(|target| target.path.clone());
        self.out.folders.push(folder);
    }

    /// A folder with mail that no pass has seen.
    fn new_folder(&mut self, folder: &Folder) {
        let mut verified = VerifiedFolder::new(folder.path.clone());
        let error = not_all("the folder is new at the source", &folder.path)
            .with_context("messages", folder.messages.unwrap_or(0).to_string());
        verified.problem = Some(Problem::from(&error));
        self.out.folders.push(verified);
    }

    fn folder(&mut self, no: FolderNo) -> Option<&mut VerifiedFolder> {
        let at = *self.folders.get(&no)?;
        self.out.folders.get_mut(at)
    }

    fn checked(&mut self, row: &ItemRow, unread: bool) {
        if let Some(folder) = self.folder(row.folder) {
            folder.checked += 1;
            folder.unread += u64::from(unread);
        }
    }

    fn problem(&mut self, target: &FolderPath, error: &Error) {
        for folder in &mut self.out.folders {
            if folder.destination.as_ref() == Some(target) {
                folder.problem = Some(Problem::from(error));
            }
        }
    }

    /// Some of its messages are claimed in a folder that was renumbered since.
    fn not_compared(&mut self, row: &FolderRow) {
        if let Some(folder) = self.folder(row.no)
            && folder.problem.is_none()
        {
            folder.problem = Some(Problem::from(&renumbered(&row.path)));
        }
    }

    fn found(&mut self, row: &ItemRow, there: Option<&MessageId>, found: Found) {
        if found.is_loss {
            *self.out.losses.entry(found.detail.clone()).or_default() += 1;
            // Of nearly every message, and nothing is lost.
            if found.detail == Loss::AlternativeMade.as_str() {
                return;
            }
        }
        let Some(folder) = self.folder(row.folder) else {
            return;
        };
        if found.known {
            folder.known += 1;
        } else {
            folder.differences += 1;
        }
        let path = folder.source.clone();
        // What is known gives way to what is not.
        let listed = &mut self.out.differences;
        if listed.len() >= MOST_LISTED && !found.known {
            let known = listed.iter().rposition(|one| one.known);
            known.map(|at| listed.swap_remove(at));
        }
        if listed.len() < MOST_LISTED {
            listed.push(Difference {
                folder: path,
                message: self.from.describe(&row.id),
                destination: there.map(|id| self.to.describe(id)),
                what: found.what,
                detail: found.detail,
                known: found.known,
            });
        }
    }
}

/// The ledger does not know all that is to be compared.
fn not_all(what: &'static str, folder: &FolderPath) -> Error {
    Error::new(ErrorKind::Mismatch, what)
        .with_scope(Scope::Folder)
        .with_code("verify/behind")
        .with_context("folder", folder.to_string())
        .with_remedy("Run the migration again, which brings what is new, and verify then.")
}

fn renumbered(folder: &FolderPath) -> Error {
    let what = "the folder was replaced at the destination, or numbered anew";
    not_all(what, folder)
        .with_remedy("Run the migration again, which looks for its messages anew, and verify then.")
}
