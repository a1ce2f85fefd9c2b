//! Folders that hold no mail. What is in them is reached by the interface for exports alone: among messages there are
//! no events, contacts, tasks or notes.
//!
//! There nothing can be noted at an item, nor be changed in it. So items are told apart by what their exports keep,
//! and one that changed at the source is imported anew.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use mailmove_core::{
    destination::{Depth, Existing, FlagChange, Outcome, Probe, Receipt},
    error::{Error, ErrorKind, Result, Scope},
    model::{Folder, FolderId, ItemClass, MessageId},
};

use super::{
    Inner,
    append::not_there,
    look,
    update::{self, Changes, Metas, gone},
};
use crate::{
    delta,
    error::{self, Doing},
    folders,
    http::Failed,
    items::{self, Meta},
    wire::{Path, Request},
};

const REMOVE: Doing = Doing::message("deleteMailboxItem");
/// Items in one request.
const AT_ONCE: usize = 20;

/// What folders are made for, as far as they were seen.
#[derive(Debug, Default)]
pub(super) struct Classes(Mutex<HashMap<FolderId, ItemClass>>);

impl Classes {
    /// These were seen.
    pub(super) fn note(&self, folders: &[Folder]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(folders.iter().map(|one| (one.id.clone(), one.class)));
    }

    fn get(&self, folder: &FolderId) -> Option<ItemClass> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(folder).copied()
    }

    fn set(&self, folder: &FolderId, class: ItemClass) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(folder.clone(), class);
    }
}

/// A folder that holds no mail.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The mailbox's name at the interface for exports.
    mailbox: String,
    folder: FolderId,
}

/// The folder, if it holds no mail. One that nobody has listed is asked what it is for.
///
/// # Errors
/// If that could not be asked.
pub(super) async fn place_of(inner: &Inner, folder: &FolderId) -> Result<Option<Place>> {
    let Some(mailbox) = folders::open(&inner.pool).await?.exports else {
        return Ok(None);
    };
    let class = match inner.classes.get(folder) {
        Some(class) => class,
        None => match folders::class_of(&inner.pool, &mailbox, folder).await {
            Ok(class) => {
                inner.classes.set(folder, class);
                class
            }
            Err(error) if error.is_transient() => return Err(error),
            // It may not be asked, or is not there: whoever goes on finds that out.
            Err(_) => ItemClass::Mail,
        },
    };
    let folder = folder.clone();
    Ok((class != ItemClass::Mail).then_some(Place { mailbox, folder }))
}

impl Place {
    fn path(&self) -> Path {
        folders::at(&self.mailbox, &self.folder)
    }

    /// Where its changes begin.
    pub(super) fn begin(&self, inner: &Inner) -> String {
        delta::items(&inner.pool, &self.mailbox, &self.folder, false)
    }

    /// How many items are in it.
    ///
    /// # Errors
    /// If it is not there, or the server does not tell.
    pub(super) async fn count(&self, inner: &Inner) -> Result<u64> {
        folders::count_items(&inner.pool, &self.mailbox, &self.folder).await
    }

    /// What is known of these items; those that are not in it are left out.
    ///
    /// # Errors
    /// If that could not be asked.
    pub(super) async fn metas(&self, inner: &Inner, ids: &[MessageId]) -> Result<Metas> {
        let mut out = Metas::with_capacity(ids.len());
        for ids in ids.chunks(AT_ONCE) {
            let requests = ids.iter().map(|id| items::get(self.path(), id));
            let requests: Vec<Request> = requests.collect();
            for (id, answer) in ids.iter().zip(update::send(inner, &requests).await) {
                match answer {
                    Ok(answer) => {
                        out.insert(id.clone(), update::meta_of(id, answer)?);
                    }
                    Err(failed) if items::is_gone(&failed.error) => {}
                    Err(failed) => return Err(failed.error),
                }
            }
        }
        Ok(out)
    }

    /// What is there, as closely as is asked. Nobody reads such items: what tells them apart is all that there is to see.
    ///
    /// # Errors
    /// If the server does not answer.
    pub(super) async fn deepen(
        &self,
        inner: &Inner,
        metas: Vec<Meta>,
        probe: &Probe,
    ) -> Result<Vec<Existing>> {
        // Microsoft does not say that a page tells properties: what it leaves out is asked for one by one.
        let less = |meta: &&Meta| probe.depth > Depth::Ids && !meta.flagged;
        let ids: Vec<MessageId> = metas.iter().filter(less).map(|it| it.id.clone()).collect();
        let mut whole = self.metas(inner, &ids).await?;
        let told = metas.into_iter().filter_map(|meta| match less(&&meta) {
            true => whole.remove(&meta.id),
            false => Some(meta),
        });
        Ok(told.map(|meta| look::existing(&meta, probe)).collect())
    }

    /// What became of items that were stored: their exports have all in them that they had.
    pub(super) async fn seen(
        &self,
        inner: &Inner,
        ids: &[MessageId],
    ) -> HashMap<MessageId, Outcome> {
        let mut out = HashMap::with_capacity(ids.len());
        for some in ids.chunks(AT_ONCE) {
            let found = self.metas(inner, some).await;
            out.extend(some.iter().map(|id| {
                let receipt = Receipt::new(Some(id.clone()));
                let outcome = match &found {
                    Ok(found) => match found.get(id) {
                        Some(meta) => Outcome::Stored(receipt.with_flags(meta.flags.clone())),
                        None => Outcome::Unknown(not_there()),
                    },
                    // What was stored is stored, whether it can be read back or not.
                    Err(_) => Outcome::Stored(receipt),
                };
                (id.clone(), outcome)
            }));
        }
        out
    }

    /// Removes items, so that their users may still bring them back.
    async fn remove(&self, inner: &Inner, ids: Vec<MessageId>, out: &Changes) {
        for ids in ids.chunks(AT_ONCE) {
            let request = |id: &MessageId| {
                let path = self.path().at("items").id(id);
                // For good it is refused where anything is on hold.
                let path = path.query("disposalType", "softDelete");
                Request::delete(path, REMOVE).of_service()
            };
            let requests: Vec<Request> = ids.iter().map(request).collect();
            for (id, answer) in ids.iter().zip(update::send(inner, &requests).await) {
                let outcome = match answer {
                    Ok(_) => Outcome::Stored(Receipt::new(Some(id.clone()))),
                    Err(failed) => not_removed(failed),
                };
                out.send((id.clone(), outcome)).await;
            }
        }
    }

    /// Flags come along with an export, and are changed by nothing else.
    async fn set_flags(&self, inner: &Inner, changes: Vec<FlagChange>, out: &Changes) {
        let ids: Vec<MessageId> = changes.iter().map(|change| change.id.clone()).collect();
        let found = self.metas(inner, &ids).await;
        for change in changes {
            let outcome = match &found {
                Err(error) => error::outcome(error, false),
                Ok(found) => match found.get(&change.id) {
                    None => gone(),
                    Some(meta) if is_so(meta, &change) => {
                        let receipt = Receipt::new(Some(change.id.clone()));
                        Outcome::Stored(receipt.with_flags(meta.flags.clone()))
                    }
                    Some(_) => Outcome::NotStored(unsupported("flags", "changed")),
                },
            };
            out.send((change.id, outcome)).await;
        }
    }
}

fn is_so(meta: &Meta, change: &FlagChange) -> bool {
    let wanted = meta.flags.difference(&change.remove).union(&change.add);
    wanted == meta.flags
}

fn not_removed(failed: Failed) -> Outcome {
    if items::is_gone(&failed.error) {
        return gone();
    }
    let error = match failed.error.kind() {
        // That takes a permission of its own, without which all else goes on.
        ErrorKind::Denied => failed
            .error
            .with_code("graph/no-removal")
            .with_scope(Scope::Message)
            .with_remedy(
                "Removing what is no mail takes the permission MailboxItem.ReadWrite(.All): what was replaced stays \
                 beside what replaced it.",
            ),
        _ => failed.error,
    };
    error::outcome(&error, failed.perhaps_executed)
}

fn unsupported(what: &str, how: &str) -> Error {
    let text = format!("{what} of what is no mail cannot be {how} by Graph");
    Error::new(ErrorKind::Unsupported, text)
        .with_code("graph/not-mail")
        .with_scope(Scope::Message)
}

/// A change to what is in a folder.
pub(super) enum Change {
    Flags(Vec<FlagChange>),
    /// Into another folder, by `move` or `copy`.
    Carry(Vec<MessageId>, FolderId, &'static str),
    Remove(Vec<MessageId>),
}

/// Changes what is in a folder, and gives the change back if the folder holds mail: then it is made otherwise.
pub(super) async fn change(
    inner: &Inner,
    folder: &FolderId,
    change: Change,
    out: &Changes,
) -> Option<Change> {
    let place = match (place_of(inner, folder).await, &change) {
        // Mail that is to lie among events.
        (Ok(None), Change::Carry(_, to, _)) => place_of(inner, to).await,
        (place, _) => place,
    };
    match (place, change) {
        (Ok(None), change) => return Some(change),
        (Ok(Some(place)), Change::Flags(changes)) => place.set_flags(inner, changes, out).await,
        (Ok(Some(place)), Change::Remove(ids)) => place.remove(inner, ids, out).await,
        (Ok(Some(_)), Change::Carry(ids, ..)) => {
            let refuse = |id| (id, Outcome::NotStored(unsupported("folders", "changed")));
            out.send_all(ids.into_iter().map(refuse)).await;
        }
        (Err(error), Change::Flags(changes)) => {
            let failed = changes.into_iter().map(|change| change.id);
            let failed = failed.map(|id| (id, error::outcome(&error, false)));
            out.send_all(failed).await;
        }
        (Err(error), Change::Carry(ids, ..) | Change::Remove(ids)) => {
            let failed = ids
                .into_iter()
                .map(|id| (id, error::outcome(&error, false)));
            out.send_all(failed).await;
        }
    }
    None
}
