//! What is in a folder, and what changed in it since.

use mailmove_core::{
    error::{ErrorKind, Result, Scope},
    model::{FolderId, MessageId},
};
use serde_json::Value;

use crate::{
    error::{self, Doing},
    folders,
    items::{self, Meta},
    pool::Pool,
    wire::{self, Path, Request},
};

/// Messages that are asked for at once: Graph may name fewer.
pub(crate) const PAGE: usize = 500;

/// Changes of a page, if it fails as a whole because of one of them: fewer and fewer.
pub(crate) const SMALLER: [usize; 3] = [50, 7, 1];

/// Pages in a row that may bring nothing before a listing is taken for endless.
pub(crate) const IDLE_MAX: usize = 1000;

/// A change.
#[derive(Clone, Debug)]
pub(crate) enum Changed {
    /// Made or altered: Graph does not tell which. It may be told more than once.
    Is(Box<Meta>),
    /// It is not in the folder any more.
    Gone(MessageId),
}

/// A page of changes.
#[derive(Clone, Debug)]
pub(crate) struct Changes {
    pub(crate) changes: Vec<Changed>,
    /// Where to go on: with the next page, or, after the last one, with what changes later.
    pub(crate) state: String,
    pub(crate) is_last: bool,
}

/// Where the changes of a folder's items begin, of whatever class, as the interface for exports tells them: a link like
/// those of the server's own. Ids alone, where nothing else can be had.
pub(crate) fn items(pool: &Pool, mailbox: &str, folder: &FolderId, ids: bool) -> String {
    let path = folders::at(mailbox, folder).at("items/delta");
    let path = match ids {
        true => path.query("$select", "id"),
        false => {
            let path = path.query("$select", items::ITEM_SELECT);
            path.query("$expand", &items::item_expand())
        }
    };
    pool.service_link(&path)
}

/// Where the ids of a folder's messages begin: all that can be had of one that nobody can read.
pub(crate) fn ids(pool: &Pool, folder: &FolderId) -> String {
    let path = Path::new().at("mailFolders").id(folder);
    pool.link(&path.at("messages/delta").query("$select", "id"))
}

/// The next page after `state`, which is a link of the server's; from the beginning without. A smaller one than asked
/// for, if one of its messages spoils it.
///
/// # Errors
/// [`Stale`](ErrorKind::Stale) if the server does not know the state any more. [Poison](is_poison) if one message alone
/// can't be listed.
pub(crate) async fn page(
    pool: &Pool,
    folder: &FolderId,
    state: Option<&str>,
    most: usize,
) -> Result<Changes> {
    page_with(pool, folder, state, most, false).await
}

/// The same, perhaps with what tells items apart that travel as exports. That a link asks for what its first page did
/// is the server's to remember.
///
/// # Errors
/// As above.
pub(crate) async fn page_with(
    pool: &Pool,
    folder: &FolderId,
    state: Option<&str>,
    most: usize,
    exports: bool,
) -> Result<Changes> {
    let doing = Doing::folder("messagesDelta");
    let request = match state {
        Some(link) => Request::follow(link, doing),
        None => {
            let path = Path::new()
                .at("mailFolders")
                .id(folder.as_str())
                .at("messages/delta")
                .query("$select", items::SELECT)
                .query("$expand", &items::expand(exports));
            Request::get(path, doing)
        }
    };
    let mut page = ask(pool, folder, state, request.clone(), most).await;
    for most in SMALLER.into_iter().filter(|fewer| *fewer < most) {
        match page {
            Err(error) if is_poison(&error) => {
                page = ask(pool, folder, state, request.clone(), most).await;
            }
            _ => break,
        }
    }
    page
}

async fn ask(
    pool: &Pool,
    folder: &FolderId,
    state: Option<&str>,
    request: Request,
    most: usize,
) -> Result<Changes> {
    let request = request.prefer(format!("odata.maxpagesize={most}"));
    let answer = pool.call(&request).await;
    let answer = answer.map_err(|error| error.with_context("folder", folder.as_str()))?;
    let page: wire::Page<Value> = wire::read(answer.json)?;
    let (next, is_last) = match (page.next, page.delta) {
        // Whoever follows it goes round in circles.
        (Some(next), _) if Some(next.as_str()) == state => {
            return Err(error::same_link().with_scope(Scope::Folder));
        }
        (Some(next), _) => (next, false),
        (None, Some(delta)) => (delta, true),
        (None, None) => {
            return Err(error::unexpected("a listing without a link to go on from"));
        }
    };
    let changes: Result<Vec<Changed>> = page.value.into_iter().map(changed).collect();
    Ok(Changes {
        changes: changes?,
        state: next,
        is_last,
    })
}

fn changed(message: Value) -> Result<Changed> {
    let removed = message.get("@removed").filter(|reason| !reason.is_null());
    match (removed, items::id(&message)) {
        (Some(_), Some(id)) => Ok(Changed::Gone(id)),
        _ => Ok(Changed::Is(Box::new(Meta::of(message)?))),
    }
}

/// One message is at fault, although all of the page was refused.
pub(crate) fn is_poison(error: &mailmove_core::Error) -> bool {
    matches!(error.code(), "graph/corrupt" | "graph/conversion")
}

/// The server forgot the state: all is to be listed anew.
pub(crate) fn is_forgotten(error: &mailmove_core::Error) -> bool {
    error.kind() == ErrorKind::Stale
}
