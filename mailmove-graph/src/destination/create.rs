//! Making folders.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mailmove_core::{
    error::{Error, ErrorKind, Result, Scope},
    model::{Folder, FolderPath, FolderSpec, ItemClass, Slot},
};
use mailmove_exchange::tree::{self, Tree, folded};
use serde_json::json;

use super::{Inner, update};
use crate::{
    error::{self, Doing},
    folders,
    generate::Out,
    wire::{Path, Request},
};

/// Makes what is missing, level by level, and hands out what is there then.
pub(super) async fn run(
    inner: &Arc<Inner>,
    want: Vec<FolderSpec>,
    out: &Out<(Slot, Result<Folder>)>,
) {
    if want.is_empty() {
        return;
    }
    let (tree, refused) = match make(inner, &want).await {
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
            None => Err(why(&tree, &refused, spec)),
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
    folder.mark = Some(inner.mark(&folder.id).await?);
    // Names that differ in case are the same to the server: it is the folder that was asked for.
    folder.path = path.clone();
    Ok(folder)
}

/// Why there is no such folder.
fn why(tree: &Tree, refused: &BTreeMap<FolderPath, Error>, spec: &FolderSpec) -> Error {
    let path = &spec.path;
    let mut above = Some(path.clone());
    while let Some(one) = above {
        if let Some(error) = refused.get(&folded(&one)) {
            return error::again(error).with_context("folder", path.to_string());
        }
        above = one.parent();
    }
    let error = match tree.taken.contains_key(&folded(path)) {
        // They are told of by the interface for exports, which may not be asked for them.
        false if spec.class != ItemClass::Mail => no_folders(Error::new(
            ErrorKind::Denied,
            "folders for anything but mail cannot be seen",
        )),
        true => Error::new(
            ErrorKind::Refused,
            "a folder of that name is made for other things",
        )
        .with_code("graph/other-class")
        .with_remedy("Map the source's folder to another name."),
        false => error::unexpected("a folder that was made is not there"),
    };
    error
        .with_scope(Scope::Folder)
        .with_context("folder", path.to_string())
}

async fn make(inner: &Inner, want: &[FolderSpec]) -> Result<(Tree, BTreeMap<FolderPath, Error>)> {
    let mut tree = folders::list(&inner.pool).await?;
    let mut refused = BTreeMap::new();
    let classes = want.iter().map(|spec| (folded(&spec.path), spec.class));
    // What is above them and not asked for itself holds mail.
    let classes: BTreeMap<FolderPath, ItemClass> = classes.collect();
    let deepest = want.iter().map(|spec| spec.path.names().len());
    for depth in 1..=deepest.max().unwrap_or(0) {
        let missing = missing(&tree, want, depth, &mut refused);
        if missing.is_empty() {
            continue;
        }
        create(inner, &missing, &classes, &mut refused).await?;
        // Whoever else makes folders meanwhile, what counts is what is there.
        tree = folders::list(&inner.pool).await?;
    }
    inner.classes.note(&tree.folders);
    Ok((tree, refused))
}

/// Whether Exchange can keep it: where it takes other characters it drops them.
fn is_name(name: &str) -> bool {
    let naming = tree::naming();
    let odd = |c: char| naming.separator == Some(c) || naming.forbidden.contains(c);
    !name.is_empty() && !name.contains(odd)
}

fn bad_name() -> Error {
    Error::new(ErrorKind::Refused, "no folder can be called so")
        .with_code("graph/bad-name")
        .with_scope(Scope::Folder)
        .with_remedy("Map the source's folder to another name.")
}

/// Folders of that depth that are not there and whose parents are, each with its parent's id, if that is not the root.
fn missing(
    tree: &Tree,
    want: &[FolderSpec],
    depth: usize,
    refused: &mut BTreeMap<FolderPath, Error>,
) -> Vec<(Option<String>, FolderPath)> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for spec in want {
        let path = FolderPath::new(spec.path.names().iter().take(depth).cloned());
        let is_there = tree.taken.contains_key(&folded(&path)) || path.is_inbox();
        if !is_name(path.last().unwrap_or_default()) {
            refused.entry(folded(&path)).or_insert_with(bad_name);
            continue;
        }
        if spec.path.names().len() < depth || is_there || !seen.insert(folded(&path)) {
            continue;
        }
        match path.parent() {
            None => out.push((None, path)),
            // What was refused above is refused here.
            Some(parent) => {
                if let Some(id) = tree.taken.get(&folded(&parent)) {
                    out.push((Some(id.as_str().to_owned()), path));
                }
            }
        }
    }
    out
}

async fn create(
    inner: &Inner,
    missing: &[(Option<String>, FolderPath)],
    classes: &BTreeMap<FolderPath, ItemClass>,
    refused: &mut BTreeMap<FolderPath, Error>,
) -> Result<()> {
    let mut asked = Vec::with_capacity(missing.len());
    let mut requests = Vec::with_capacity(missing.len());
    for (parent, path) in missing {
        let class = classes.get(&folded(path)).copied().unwrap_or_default();
        let name = path.last().unwrap_or_default();
        match request(inner, parent.as_deref(), name, class).await {
            Ok(request) => {
                asked.push((path, class));
                requests.push(request);
            }
            Err(error) if error.scope() <= Scope::Folder => {
                refused.insert(folded(path), error);
            }
            Err(error) => return Err(error),
        }
    }
    for ((path, class), answer) in asked.into_iter().zip(update::send(inner, &requests).await) {
        let Err(failed) = answer else { continue };
        let error = refusal(failed.error, class);
        match error.scope() {
            // An answer that was lost before, or somebody else: it is there, and will be found.
            _ if error.code() == "graph/folder-exists" => {}
            Scope::Message | Scope::Folder => {
                refused.insert(folded(path), error);
            }
            _ => return Err(error),
        }
    }
    Ok(())
}

/// Makes a folder. One that holds no mail is made by the interface for exports: among those of mail there is none.
async fn request(
    inner: &Inner,
    parent: Option<&str>,
    name: &str,
    class: ItemClass,
) -> Result<Request> {
    const CREATE: Doing = Doing::folder("createFolder");
    let below = |place: Path| match parent {
        Some(parent) => place.id(parent).at("childFolders"),
        None => place,
    };
    if class == ItemClass::Mail {
        let place = below(Path::new().at("mailFolders"));
        return Ok(Request::post(place, CREATE).json(&json!({ "displayName": name })));
    }
    let mailbox = folders::exports(&inner.pool).await;
    // All else of the mailbox goes on.
    let mailbox = mailbox.map_err(|error| match error.is_transient() {
        true => error,
        false => error.with_scope(Scope::Folder),
    })?;
    let place = Path::new().at("admin/exchange/mailboxes").id(mailbox);
    let body = json!({ "displayName": name, "type": container(class) });
    let request = Request::post(below(place.at("folders")), CREATE).of_service();
    Ok(request.json(&body))
}

/// What Exchange calls folders for these.
const fn container(class: ItemClass) -> &'static str {
    match class {
        ItemClass::Event => "IPF.Appointment",
        ItemClass::Contact => "IPF.Contact",
        ItemClass::Task => "IPF.Task",
        ItemClass::Note => "IPF.StickyNote",
        ItemClass::Journal => "IPF.Journal",
        _ => "IPF.Note",
    }
}

/// Folders that hold no mail take a permission of their own: without it mail goes on.
fn refusal(error: Error, class: ItemClass) -> Error {
    if class == ItemClass::Mail || error.kind() != ErrorKind::Denied {
        return error;
    }
    no_folders(error)
}

fn no_folders(error: Error) -> Error {
    error
        .with_code("graph/no-folders")
        .with_scope(Scope::Folder)
        .with_remedy(
            "Grant the permission MailboxFolder.ReadWrite(.All), by which folders for anything but mail are seen and \
             made.",
        )
}
