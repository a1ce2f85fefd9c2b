//! The folder map: what goes where, and that it stays so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

#[path = "map/laws.rs"]
mod laws;
#[path = "map/rules.rs"]
mod rules;

use mailmove_core::{
    map::{Earlier, FolderMap, MapRules, Verdict},
    model::{Folder, FolderId, FolderPath, Naming, Role},
};

/// A folder by its path, as `FolderPath::parse` reads it.
fn folder(path: &str) -> Folder {
    Folder::new(FolderId::new(path), FolderPath::parse(path), "1")
}

fn folders(paths: &[&str]) -> Vec<Folder> {
    paths.iter().map(|path| folder(path)).collect()
}

fn with_role(path: &str, role: Role) -> Folder {
    let mut folder = folder(path);
    folder.role = Some(role);
    folder
}

/// The targets, escaped; `-` and the reason for what is left out.
fn targets(map: &FolderMap) -> Vec<String> {
    let text = |verdict: &Verdict| match verdict {
        Verdict::To { path, .. } => path.escaped(),
        Verdict::Excluded(reason) => format!("-{reason}"),
        other => panic!("{other:?}"),
    };
    map.entries
        .iter()
        .map(|entry| text(&entry.verdict))
        .collect()
}

/// What a later pass is told of this one.
fn earlier(map: &FolderMap) -> Vec<Earlier> {
    let entries = map.entries.iter();
    entries
        .filter_map(|entry| match &entry.verdict {
            Verdict::To { path, .. } => Some(Earlier::new(entry.source.clone(), path.clone())),
            _ => None,
        })
        .collect()
}

fn map(rules: &MapRules, source: &[Folder], destination: &[Folder]) -> Vec<String> {
    let naming = Naming::default();
    targets(&FolderMap::new(rules, source, destination, &naming, &[]))
}
