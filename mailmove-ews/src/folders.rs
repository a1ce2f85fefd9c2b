//! The tree of mail folders.

use std::{collections::HashSet, time::Duration};

use mailmove_core::{
    error::{ErrorKind, Result},
    model::{FolderId, Role, Timestamp, Token},
};
use mailmove_exchange::{
    stamp::mailbox,
    token::{self, Tokens, Told},
    tree::{self, Raw, Tree, class},
};

use crate::{
    config::EwsConfig,
    error::{self, Doing},
    pool::Pool,
    wire::{self, Element, FolderRef, Property, Request, SoapError},
};

/// Folders that are asked for at once.
const PAGE: usize = 500;
/// Most folders of a mailbox: what claims more is not one.
const FOLDERS_MAX: usize = 200_000;
/// A look at the roles serves a listing that follows within that time.
const FRESH: Duration = Duration::from_secs(60);
/// Folders with a role, by the names that are the same in all languages.
const ROLES: [(&str, Role); 10] = [
    ("inbox", Role::Inbox),
    ("drafts", Role::Drafts),
    ("sentitems", Role::Sent),
    ("deleteditems", Role::Trash),
    ("junkemail", Role::Junk),
    ("calendar", Role::Calendar),
    ("contacts", Role::Contacts),
    ("tasks", Role::Tasks),
    ("notes", Role::Notes),
    ("journal", Role::Journal),
];
const ARCHIVE_ROLES: [(&str, Role); 2] = [
    ("archiveinbox", Role::Inbox),
    ("archivedeleteditems", Role::Trash),
];
/// Folders of the system's own: what is in them is not the user's mail.
const SYSTEM: [&str; 5] = [
    "syncissues",
    "conflicts",
    "localfailures",
    "serverfailures",
    "searchfolders",
];

fn raw(folder: &Element, now: Option<Timestamp>, tokens: Tokens) -> Option<Raw> {
    let class = class(folder.text_of("FolderClass").unwrap_or_default());
    // Search folders have no items of their own, and show those of others.
    let is_search = &*folder.name == "SearchFolder";
    let hidden = Property::Hidden
        .of(folder)
        .is_some_and(|text| text == "true" || text == "1");
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
    Some(Raw {
        token: token(folder, now, tokens),
        id: folder.child("FolderId")?.attribute("Id")?.to_owned(),
        parent: folder
            .child("ParentFolderId")
            .and_then(|parent| parent.attribute("Id"))
            .map(str::to_owned),
        name: folder
            .child("DisplayName")
            .map(|name| name.text.clone())
            .unwrap_or_default(),
        class: class.filter(|_| !is_search),
        hidden: hidden || is_search,
        count: number(folder.text_of("TotalCount")),
        // A search folder shows what others hold.
        bytes: number(Property::FolderSize.of(folder)).filter(|_| !is_search),
    })
}

/// `None` if the server does not tell all that it takes.
fn token(folder: &Element, now: Option<Timestamp>, tokens: Tokens) -> Option<Token> {
    let told = Told {
        last: Property::LastCommit.of(folder).unwrap_or_default(),
        deleted: Property::DeletedCount.number(folder)?,
        total: folder.text_of("TotalCount")?.parse().ok()?,
        unread: Property::Unread.number(folder)?,
        bytes: Property::FolderSize.of(folder).unwrap_or_default(),
    };
    token::token(told, now, tokens)
}

/// The first folder in a response message.
pub(crate) fn folder_in(doing: Doing, message: &Element) -> Result<&Element> {
    if let Some(refused) = SoapError::of(message) {
        return Err(error::refused(doing, &refused));
    }
    let folders = message.child("Folders");
    folders
        .and_then(|folders| folders.children.first())
        .ok_or_else(|| error::unexpected("the server named no folder"))
}

/// How many items are in a folder, which must be there.
pub(crate) async fn count(pool: &Pool, folder: &FolderId) -> Result<u64> {
    let doing = Doing::folder("GetFolder");
    let request = wire::get_folders(&[FolderRef::Id(folder.as_str())]);
    let answer = pool.call(&request).await?;
    let message = answer.messages.first().ok_or_else(error::missing)?;
    let found = folder_in(doing, message).map_err(|error| match error.code() {
        // A folder's id that is unknown is that of a folder that is gone.
        "ews/bad-id" | "ews/no-item" => no_folder(),
        _ => error,
    });
    let found = found.map_err(|error| error.with_context("folder", folder.as_str()))?;
    let count = found
        .text_of("TotalCount")
        .and_then(|count| count.parse().ok());
    count.ok_or_else(|| error::unexpected("the server does not count a folder's items"))
}

pub(crate) fn no_folder() -> mailmove_core::Error {
    mailmove_core::Error::new(ErrorKind::NotFound, "the folder does not exist")
        .with_code("ews/no-folder")
}

/// What a mailbox is, as the first look at it tells.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    /// For people.
    pub(crate) system: String,
    /// Its folders have tokens.
    pub(crate) tokens: bool,
    /// Which mailbox it is.
    pub(crate) mailbox: u64,
    /// What was seen on the way, and when: for the first listing of folders, if that follows at once.
    known: Option<(Duration, Known)>,
}

/// Looks at the mailbox, if nobody did yet.
///
/// # Errors
/// If there is none, or it may not be opened.
pub(crate) async fn open(pool: &Pool) -> Result<Opened> {
    if let Some(opened) = pool.opened(|opened| opened.clone()) {
        return Ok(opened);
    }
    let known = known(pool).await?;
    let opened = Opened {
        system: pool.system().unwrap_or_else(|| "EWS".to_owned()),
        tokens: known.tokens,
        mailbox: mailbox(&known.known.root),
        known: Some((pool.access().edges.clock.now(), known)),
    };
    pool.opened(|place| *place = Some(opened.clone()));
    Ok(opened)
}

/// Which folders are which, and whether they have tokens.
#[derive(Clone, Debug, Default)]
struct Known {
    known: tree::Known,
    tokens: bool,
}

fn with_roles(config: &EwsConfig) -> &'static [(&'static str, Role)] {
    match config.archive() {
        true => &ARCHIVE_ROLES,
        false => &ROLES,
    }
}

/// The folder that all others are in, those with a role, and the system's.
fn names(config: &EwsConfig) -> Vec<&'static str> {
    let system: &[&str] = if config.archive() { &[] } else { &SYSTEM };
    [config.root()]
        .into_iter()
        .chain(with_roles(config).iter().map(|(name, _)| *name))
        .chain(system.iter().copied())
        .collect()
}

/// Asks which folder has which role.
pub(crate) fn roles(config: &EwsConfig) -> Request {
    let names = names(config).into_iter();
    let asked: Vec<FolderRef<'_>> = names.map(FolderRef::Distinguished).collect();
    wire::get_folders(&asked)
}

async fn known(pool: &Pool) -> Result<Known> {
    let config = &pool.access().config;
    let (names, roles) = (names(config), with_roles(config));
    let answer = match pool.first().await? {
        Some(answer) => answer,
        None => pool.call(&self::roles(config)).await?,
    };
    let mut out = Known::default();
    for (at, name) in names.iter().enumerate() {
        let message = answer.messages.get(at).ok_or_else(error::missing)?;
        let folder = match folder_in(Doing::account("GetFolder"), message) {
            Ok(folder) => folder,
            // A role that this mailbox has no folder for.
            Err(error) if at > 0 && !is_passing(&error) => continue,
            Err(error) if at == 0 && config.archive() && !is_passing(&error) => {
                return Err(
                    error.with_remedy("The mailbox has no archive, or none that is reached here.")
                );
            }
            Err(error) => return Err(error),
        };
        let id = folder.child("FolderId").and_then(|id| id.attribute("Id"));
        let id = id
            .ok_or_else(|| error::unexpected("a folder without id"))?
            .to_owned();
        if at == 0 {
            out.known.root = id;
            let has = |property: Property| property.of(folder).is_some();
            out.tokens = has(Property::LastCommit) && has(Property::DeletedCount);
        } else if let Some((_, role)) = roles.iter().find(|(known, _)| known == name) {
            out.known.roles.insert(id, *role);
        } else {
            out.known.system.insert(id);
        }
    }
    Ok(out)
}

fn is_passing(error: &mailmove_core::Error) -> bool {
    error.is_transient()
}

/// All folders of the mailbox.
pub(crate) async fn list(pool: &Pool) -> Result<Tree> {
    list_as(pool, Tokens::Settled).await
}

/// The same, with these tokens.
pub(crate) async fn list_as(pool: &Pool, tokens: Tokens) -> Result<Tree> {
    // Roles come and go: each listing has its own look at them.
    let seen = pool.opened(|opened| opened.as_mut().and_then(|opened| opened.known.take()));
    let now = pool.access().edges.clock.now();
    let known = match seen {
        Some((at, known)) if now.saturating_sub(at) < FRESH => known,
        _ => known(pool).await?,
    };
    let mut all: Vec<Raw> = Vec::new();
    let mut seen = HashSet::new();
    loop {
        // Pages are counted from the start, and may be shorter than asked for.
        let root = FolderRef::Id(&known.known.root);
        let answer = pool
            .call(&wire::find_folders(root, all.len(), PAGE))
            .await?;
        let (message, now) = (answer.messages.first(), answer.date);
        let message = message.ok_or_else(error::missing)?;
        if let Some(refused) = SoapError::of(message) {
            return Err(error::refused(Doing::account("FindFolder"), &refused));
        }
        let page = message.child("RootFolder").ok_or_else(error::missing)?;
        let folders = page
            .child("Folders")
            .map_or(&[][..], |folders| &folders.children);
        let before = seen.len();
        for folder in folders.iter().filter_map(|folder| raw(folder, now, tokens)) {
            if seen.insert(folder.id.clone()) {
                all.push(folder);
            }
        }
        let is_last = page.attribute("IncludesLastItemInRange") != Some("false");
        if is_last || seen.len() == before {
            break;
        }
        if all.len() > FOLDERS_MAX {
            return Err(error::unexpected(
                "the server names more folders than a mailbox can have",
            ));
        }
    }
    tree::tree(&known.known, &all)
}
