//! SyncFolderItems: what is in a folder, and what changed in it since a state.

use mailmove_core::{
    error::{Error, ErrorKind, Result, Scope},
    model::{FolderId, MessageId},
};

use crate::{
    error::{self, Doing},
    items::{self, Meta},
    pool::Pool,
    wire::{self, Shape, SoapError},
};

/// Most changes that the schema lets a page have.
pub(crate) const PAGE_MAX: usize = 512;

/// A change.
#[derive(Clone, Debug)]
pub(crate) enum Changed {
    Created(Box<Meta>),
    Updated(Box<Meta>),
    /// Only whether it was read; the rest is to be asked for.
    Read(MessageId),
    Deleted(MessageId),
}

/// A page of changes.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) changes: Vec<Changed>,
    pub(crate) state: String,
    pub(crate) is_last: bool,
}

/// The next page after `state`.
///
/// # Errors
/// [`Stale`](mailmove_core::ErrorKind::Stale) if the server does not know the state any more.
pub(crate) async fn page(
    pool: &Pool,
    folder: &FolderId,
    state: Option<&str>,
    most: usize,
    shape: Shape,
) -> Result<Page> {
    let doing = Doing::folder("SyncFolderItems");
    let request = wire::sync_items(folder.as_str(), state, most, shape);
    if pool.unsynced(|folders| folders.contains(folder)) {
        return Err(not_offered());
    }
    let refuse = |error: Error| {
        if is_not_understood(&error) {
            pool.unsynced(|folders| folders.insert(folder.clone()));
            return not_offered().with_source(error);
        }
        error.with_context("folder", folder.as_str())
    };
    let answer = pool.call(&request).await.map_err(refuse)?;
    let message = answer.messages.first().ok_or_else(error::missing)?;
    if let Some(refused) = SoapError::of(message) {
        let error = error::refused(doing, &refused);
        return Err(match error.code() {
            // The folder's id is all that was asked with.
            "ews/bad-id" | "ews/no-item" => crate::folders::no_folder(),
            _ => refuse(error.with_scope(error_scope(&refused))),
        });
    }
    let state = message
        .text_of("SyncState")
        .filter(|state| !state.is_empty())
        .ok_or_else(|| error::unexpected("a listing without a state to go on from"))?;
    let is_last = message.text_of("IncludesLastItemInRange") != Some("false");
    let changes = message
        .child("Changes")
        .map_or(&[][..], |all| &all.children);
    let changes = changes.iter().filter_map(|change| {
        let item = || change.children.first();
        match &*change.name {
            "Create" => Some(Changed::Created(Box::new(Meta::of(item()?)?))),
            "Update" => Some(Changed::Updated(Box::new(Meta::of(item()?)?))),
            "ReadFlagChange" => Some(Changed::Read(items::id(change)?)),
            "Delete" => Some(Changed::Deleted(items::id(change)?)),
            _ => None,
        }
    });
    Ok(Page {
        changes: changes.collect(),
        state: state.to_owned(),
        is_last,
    })
}

fn not_offered() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "the server does not tell what changed in this folder",
    )
    .with_code("ews/no-sync")
    .with_scope(Scope::Folder)
}

/// The folder has to be looked through instead ([`find`](crate::find)).
pub(crate) fn is_not_offered(error: &Error) -> bool {
    error.code() == "ews/no-sync"
}

/// What servers say where there is no such thing. A request that breaks the schema is another matter.
fn is_not_understood(error: &Error) -> bool {
    let code = error.context().find(|(name, _)| *name == "code");
    let code = code.map_or("", |(_, code)| code);
    matches!(
        code,
        "ErrorInvalidOperation" | "ErrorInvalidRequest" | "ErrorPublicFolderSyncException"
    ) || code.starts_with("ErrorUnsupported")
}

/// Refusals of a listing are about its folder, but for those that are about everybody.
fn error_scope(refused: &SoapError) -> Scope {
    let error = error::refused(Doing::folder("SyncFolderItems"), refused);
    error.scope().max(Scope::Folder)
}
