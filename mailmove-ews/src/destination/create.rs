//! Making folders.

use std::{collections::BTreeMap, sync::Arc};

use mailmove_core::{
    error::{Error, ErrorKind, Result, Scope},
    model::{Folder, FolderPath, FolderSpec, ItemClass, Slot},
};

use mailmove_exchange::{
    token::Tokens,
    tree::{Tree, folded},
};

use super::Inner;
use crate::{
    error::{self, Doing},
    folders,
    generate::Out,
    wire::{self, FolderRef},
};

/// Folders that are made in one request.
const AT_ONCE: usize = 50;

/// Makes what is missing, level by level, and hands out what is there then.
pub(super) async fn run(
    inner: &Arc<Inner>,
    want: Vec<FolderSpec>,
    out: &Out<(Slot, Result<Folder>)>,
) {
    if want.is_empty() {
        return;
    }
    let made = make(inner, &want).await;
    let (tree, refused) = match made {
        Ok(made) => made,
        Err(error) => {
            let all = (0..want.len()).map(|at| (Slot::new(at), Err(error::again(&error))));
            return out.send_all(all).await;
        }
    };
    for (at, spec) in want.iter().enumerate() {
        let path = &spec.path;
        let folder = match find(&tree, path).filter(|folder| folder.class == spec.class) {
            Some(folder) => marked(inner, folder, path).await,
            None => Err(why(&tree, &refused, path)),
        };
        out.send((Slot::new(at), folder)).await;
    }
}

fn find(tree: &Tree, path: &FolderPath) -> Option<Folder> {
    let wanted = folded(path);
    let mut all = tree.folders.iter();
    all.find(|folder| folded(&folder.path) == wanted).cloned()
}

async fn marked(inner: &Inner, mut folder: Folder, path: &FolderPath) -> Result<Folder> {
    folder.mark = Some(inner.mark_of(&folder.id).await?);
    // Names that differ in case are the same to the server: it is the folder that was asked for.
    folder.path = path.clone();
    Ok(folder)
}

/// Why there is no such folder.
fn why(tree: &Tree, refused: &BTreeMap<FolderPath, Error>, path: &FolderPath) -> Error {
    let mut above = Some(path.clone());
    while let Some(one) = above {
        if let Some(error) = refused.get(&folded(&one)) {
            return error::again(error).with_context("folder", path.to_string());
        }
        above = one.parent();
    }
    let error = match tree.taken.contains_key(&folded(path)) {
        true => Error::new(
            ErrorKind::Refused,
            "a folder of that name is made for other things",
        )
        .with_code("ews/other-class")
        .with_remedy("Map the source's folder to another name."),
        false => error::unexpected("a folder that was made is not there"),
    };
    error
        .with_scope(Scope::Folder)
        .with_context("folder", path.to_string())
}

async fn make(inner: &Inner, want: &[FolderSpec]) -> Result<(Tree, BTreeMap<FolderPath, Error>)> {
    // What is above them and not asked for itself holds mail.
    let classes = want.iter().map(|spec| (folded(&spec.path), spec.class));
    let classes: BTreeMap<FolderPath, ItemClass> = classes.collect();
    let paths: Vec<&FolderPath> = want.iter().map(|spec| &spec.path).collect();
    let mut tree = folders::list_as(&inner.pool, Tokens::Any).await?;
    let mut refused = BTreeMap::new();
    let deepest = paths
        .iter()
        .map(|path| path.names().len())
        .max()
        .unwrap_or(0);
    for depth in 1..=deepest {
        // By parent, in one request each; names once, whatever their case.
        let mut missing: BTreeMap<String, BTreeMap<FolderPath, FolderPath>> = BTreeMap::new();
        for path in &paths {
            let path = FolderPath::new(path.names().iter().take(depth).cloned());
            if path.names().len() < depth
                || tree.taken.contains_key(&folded(&path))
                || path.is_inbox()
            {
                continue;
            }
            let parent = match path.parent() {
                None => Some(tree.root.clone()),
                Some(parent) => {
                    let id = tree.taken.get(&folded(&parent));
                    id.map(|id| id.as_str().to_owned())
                }
            };
            // What was refused above is refused here.
            if let Some(parent) = parent {
                missing
                    .entry(parent)
                    .or_default()
                    .insert(folded(&path), path);
            }
        }
        if missing.is_empty() {
            continue;
        }
        for (parent, paths) in missing {
            let paths: Vec<FolderPath> = paths.into_values().collect();
            for paths in paths.chunks(AT_ONCE) {
                create(inner, &parent, paths, &classes, &mut refused).await?;
            }
        }
        // Whoever else makes folders meanwhile, what counts is what is there.
        tree = folders::list_as(&inner.pool, Tokens::Any).await?;
    }
    Ok((tree, refused))
}

async fn create(
    inner: &Inner,
    parent: &str,
    paths: &[FolderPath],
    classes: &BTreeMap<FolderPath, ItemClass>,
    refused: &mut BTreeMap<FolderPath, Error>,
) -> Result<()> {
    let folder = |path: &FolderPath| {
        let class = classes.get(&folded(path)).copied().unwrap_or_default();
        Some((path.last()?.to_owned(), class))
    };
    let folders: Vec<(String, ItemClass)> = paths.iter().filter_map(folder).collect();
    let folders: Vec<(&str, ItemClass)> = folders
        .iter()
        .map(|(name, class)| (name.as_str(), *class))
        .collect();
    let request = wire::create_folders(FolderRef::Id(parent), &folders);
    let answer = inner.pool.call(&request).await?;
    for (path, message) in paths.iter().zip(&answer.messages) {
        match folders::folder_in(Doing::folder("CreateFolder"), message) {
            Ok(_) => {}
            Err(error) if error.code() == "ews/folder-exists" => {}
            Err(error) if error.scope() <= Scope::Folder => {
                refused.insert(folded(path), error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
