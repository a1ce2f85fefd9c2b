//! The tree of mail folders.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use mailmove_core::{
    error::{Error, ErrorKind, Result, Retry},
    model::{FolderId, ItemClass, Role, Timestamp},
};
use mailmove_exchange::{
    stamp::mailbox,
    token::{self, Told},
    tree::{self, Raw, Tree, class},
};

use serde::Deserialize;

use crate::{
    error::{self, Doing},
    pool::{self, Pool},
    wire::{self, MailFolder, MailboxFolder, Page, Path, Property, Request, To, property},
};

/// Folders that are asked for at once.
const PAGE: usize = 200;
/// Most folders of a mailbox: what claims more is not one.
const FOLDERS_MAX: usize = 200_000;
/// Pages in a row on which nothing new stands: a server that has more goes round in circles.
const IDLE_MAX: usize = 100;
/// A look at the roles serves a listing that follows within that time.
const FRESH: Duration = Duration::from_secs(60);
/// The folder that all others are in.
pub(crate) const ROOT: &str = "msgfolderroot";
/// Folders with a role, by the names that are the same in all languages.
const ROLES: [(&str, Role); 11] = [
    ("inbox", Role::Inbox),
    ("drafts", Role::Drafts),
    ("sentitems", Role::Sent),
    ("deleteditems", Role::Trash),
    ("junkemail", Role::Junk),
    ("archive", Role::Archive),
    ("calendar", Role::Calendar),
    ("contacts", Role::Contacts),
    ("tasks", Role::Tasks),
    ("notes", Role::Notes),
    ("journal", Role::Journal),
];
/// Folders of the system's own: what is in them is not the user's mail.
const SYSTEM: [&str; 5] = [
    "syncissues",
    "conflicts",
    "localfailures",
    "serverfailures",
    "searchfolders",
];
const SELECT: &str =
    "id,displayName,parentFolderId,childFolderCount,totalItemCount,unreadItemCount,isHidden";
const LIST: Doing = Doing::account("listFolders");

fn properties() -> String {
    property::expand(&[
        property::CONTAINER_CLASS,
        property::LAST_COMMIT,
        property::DELETED_COUNT,
        property::FOLDER_SIZE,
    ])
}

fn raw(folder: MailFolder, now: Option<Timestamp>) -> Raw {
    let all = &folder.single_value_extended_properties;
    let said = Property::find(all, property::CONTAINER_CLASS);
    let is_search = folder.is_search();
    let size = Property::number(all, property::FOLDER_SIZE);
    let bytes = size
        .and_then(|size| u64::try_from(size).ok())
        .or(folder.size_in_bytes);
    Raw {
        token: told(&folder, now),
        // Search folders have no messages of their own, and show those of others.
        class: class(said.unwrap_or_default()).filter(|_| !is_search),
        hidden: folder.is_hidden == Some(true) || is_search,
        bytes: bytes.filter(|_| !is_search),
        count: folder.total_item_count,
        parent: folder.parent_folder_id,
        name: folder.display_name.unwrap_or_default(),
        id: folder.id,
    }
}

/// `None` if the server does not tell all that it takes.
fn told(folder: &MailFolder, now: Option<Timestamp>) -> Option<mailmove_core::model::Token> {
    let all = &folder.single_value_extended_properties;
    let told = Told {
        last: Property::find(all, property::LAST_COMMIT).unwrap_or_default(),
        deleted: Property::number(all, property::DELETED_COUNT)?,
        total: folder.total_item_count?,
        unread: i64::try_from(folder.unread_item_count?).ok()?,
        bytes: Property::find(all, property::FOLDER_SIZE).unwrap_or_default(),
    };
    token::token(told, now, token::Tokens::Settled)
}

/// One folder, by its id or a name that is the same in all languages.
pub(crate) async fn get(pool: &Pool, folder: &str) -> Result<MailFolder> {
    let path = Path::new().at("mailFolders").id(folder);
    let request = Request::get(path.query("$select", SELECT), Doing::folder("getFolder"));
    let answer = pool.call(&request).await;
    let answer = answer.map_err(|error| error.with_context("folder", folder))?;
    wire::read(answer.json)
}

/// A folder at the interface for exports.
pub(crate) fn at(mailbox: &str, folder: &FolderId) -> Path {
    let path = Path::new().at("admin/exchange/mailboxes").id(mailbox);
    path.at("folders").id(folder)
}

async fn mailbox_folder(pool: &Pool, mailbox: &str, folder: &FolderId) -> Result<MailboxFolder> {
    let doing = Doing::folder("getMailboxFolder");
    let request = Request::get(at(mailbox, folder), doing).of_service();
    let answer = pool.call(&request).await;
    let answer = answer.map_err(|error| error.with_context("folder", folder.as_str()))?;
    wire::read(answer.json)
}

/// How many items of any class are in a folder, which must be there.
pub(crate) async fn count_items(pool: &Pool, mailbox: &str, folder: &FolderId) -> Result<u64> {
    let count = mailbox_folder(pool, mailbox, folder)
        .await?
        .total_item_count;
    count.ok_or_else(|| error::unexpected("the server does not count a folder's items"))
}

/// What a folder is made for, which must be there; mail unless it says something else.
pub(crate) async fn class_of(pool: &Pool, mailbox: &str, folder: &FolderId) -> Result<ItemClass> {
    let found = mailbox_folder(pool, mailbox, folder).await?;
    Ok(class(found.class.as_deref().unwrap_or_default()).unwrap_or_default())
}

/// How many items are in a folder, which must be there.
pub(crate) async fn count(pool: &Pool, folder: &FolderId) -> Result<u64> {
    let found = get(pool, folder.as_str()).await?;
    let count = found.total_item_count;
    count.ok_or_else(|| error::unexpected("the server does not count a folder's items"))
}

pub(crate) fn no_folder() -> Error {
    Error::new(ErrorKind::NotFound, "the folder does not exist").with_code("graph/no-folder")
}

/// What a mailbox is, as the first look at it tells.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    /// Its folders have tokens.
    pub(crate) tokens: bool,
    /// Which mailbox it is.
    pub(crate) mailbox: u64,
    /// Its name at the interface for exports, if that may be used.
    pub(crate) exports: Option<String>,
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
        tokens: known.tokens,
        mailbox: mailbox(&known.known.root),
        exports: known.exports.clone(),
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
    exports: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExchangeSettings {
    primary_mailbox_id: Option<String>,
}

/// The mailbox's name at the interface for exports.
///
/// # Errors
/// If that may not be used.
pub(crate) async fn exports(pool: &Pool) -> Result<String> {
    open(pool).await?.exports.ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, "this mailbox exports nothing")
            .with_code("graph/no-export")
            .with_remedy(
                "Exports take the permissions MailboxItem.ImportExport and MailboxFolder.ReadWrite, and the \
                 global cloud.",
            )
    })
}

async fn known(pool: &Pool) -> Result<Known> {
    let names = [ROOT].into_iter();
    let names = names.chain(ROLES.iter().map(|(name, _)| *name));
    let names: Vec<&str> = names.chain(SYSTEM).collect();
    let expand = property::expand(&[property::LAST_COMMIT, property::DELETED_COUNT]);
    let requests: Vec<Request> = names
        .iter()
        .map(|name| {
            let path = Path::new()
                .at("mailFolders")
                .at(name)
                .query("$select", "id");
            Request::get(path.query("$expand", &expand), Doing::account("getFolder"))
        })
        .collect();
    let mut requests = requests;
    if pool.access().config.exports() {
        let path = Path::new().at("settings/exchange");
        requests.push(Request::get(path, Doing::account("getExchangeSettings")));
    }
    let mut answers = pool.batch(&requests, None).await;
    let mut out = Known::default();
    if answers.len() > names.len() {
        match answers.pop() {
            Some(Ok(answer)) => {
                let settings: ExchangeSettings = wire::read(answer.json)?;
                out.exports = settings.primary_mailbox_id.filter(|id| !id.is_empty());
            }
            Some(Err(failed)) if failed.error.is_transient() => return Err(failed.error),
            // Not permitted, or none such in this cloud.
            _ => {}
        }
    }
    for (at, (name, answer)) in names.iter().zip(answers).enumerate() {
        let folder: MailFolder = match answer {
            Ok(answer) => wire::read(answer.json)?,
            // A role that this mailbox has no folder for.
            Err(failed) if at > 0 && is_absent(&failed.error) => continue,
            Err(failed) => return Err(failed.error),
        };
        if folder.id.is_empty() {
            return Err(error::unexpected("a folder without id"));
        }
        if at == 0 {
            let all = &folder.single_value_extended_properties;
            // Where nothing was ever stored the time is not told.
            out.tokens = Property::find(all, property::DELETED_COUNT).is_some();
            out.known.root = folder.id;
        } else if let Some((_, role)) = ROLES.iter().find(|(known, _)| known == name) {
            out.known.roles.insert(folder.id, *role);
        } else {
            out.known.system.insert(folder.id);
        }
    }
    Ok(out)
}

fn is_absent(error: &Error) -> bool {
    matches!(
        error.code(),
        "graph/not-found" | "graph/bad-id" | "graph/refused"
    )
}

/// All folders of the mailbox.
pub(crate) async fn list(pool: &Pool) -> Result<Tree> {
    // Roles come and go: each listing has its own look at them.
    let seen = pool.opened(|opened| opened.as_mut().and_then(|opened| opened.known.take()));
    let now = pool.access().edges.clock.now();
    let known = match seen {
        Some((at, known)) if now.saturating_sub(at) < FRESH => known,
        _ => known(pool).await?,
    };
    let mut known = known.known;
    let mut all = mail_folders(pool, &known).await?;
    if let Some(mailbox) = open(pool).await?.exports {
        other_folders(pool, &mailbox, &mut known, &mut all).await?;
    }
    tree::tree(&known, &all)
}

/// Pages of folders that are still to be asked for.
struct Walk {
    asked: VecDeque<Request>,
    /// Pages in a row that led on and named nothing new.
    idle: usize,
}

impl Walk {
    fn new(first: Request) -> Self {
        Self {
            asked: VecDeque::from([first]),
            idle: 0,
        }
    }

    /// As many as go at once: there may be very many in all.
    fn some(&mut self) -> Vec<Request> {
        let most = self.asked.len().min(pool::BATCH_ITEMS);
        self.asked.drain(..most).collect()
    }

    fn push(&mut self, request: Request) {
        self.asked.push_back(request);
    }

    /// Goes on with the link on a page, unless that leads in circles.
    fn follow(&mut self, from: &Request, link: Option<String>, is_new: bool) -> Result<()> {
        let Some(link) = link else { return Ok(()) };
        self.idle = if is_new { 0 } else { self.idle + 1 };
        if from.to == To::Link(link.clone()) || self.idle > IDLE_MAX {
            return Err(error::same_link());
        }
        self.push(Request::follow(&link, LIST));
        Ok(())
    }
}

/// A further page that is not there is no folder that was removed meanwhile: its folders are unknown. Whoever asks
/// again begins anew.
fn lost_page(from: &Request, error: Error) -> Result<Error> {
    match from.to {
        To::Link(_) => Err(error.with_retry(Retry::Backoff)),
        _ => Ok(error),
    }
}

async fn mail_folders(pool: &Pool, known: &tree::Known) -> Result<Vec<Raw>> {
    let mut walk = Walk::new(page_of(Path::new().at("mailFolders")));
    let mut all: Vec<Raw> = Vec::new();
    let mut seen = HashSet::new();
    // Many folders are asked for their children at once.
    loop {
        let asked = walk.some();
        if asked.is_empty() {
            return Ok(all);
        }
        let answers = pool.batch(&asked, None).await;
        for (from, answer) in asked.iter().zip(answers) {
            let answer = match answer {
                Ok(answer) => answer,
                // It was removed meanwhile.
                Err(failed) if failed.error.code() == "graph/not-found" && !all.is_empty() => {
                    lost_page(from, failed.error)?;
                    continue;
                }
                Err(failed) => return Err(failed.error),
            };
            let now = answer.date;
            let page: Page<MailFolder> = wire::read(answer.json)?;
            let before = all.len();
            for folder in page.value {
                if folder.id.is_empty() || !seen.insert(folder.id.clone()) {
                    continue;
                }
                let has_children = folder.child_folder_count != Some(0);
                let raw = raw(folder, now);
                if has_children && !raw.hidden && !known.system.contains(&raw.id) {
                    let path = Path::new().at("mailFolders").id(&raw.id);
                    walk.push(page_of(path.at("childFolders")));
                }
                all.push(raw);
            }
            walk.follow(from, page.next, all.len() > before)?;
            few(all.len())?;
        }
    }
}

/// The folder of that name among those that are in no other one, hidden ones too.
///
/// # Errors
/// If that could not be asked.
pub(crate) async fn find_at_top(pool: &Pool, name: &str) -> Result<Option<MailFolder>> {
    let mut walk = Walk::new(page_of(Path::new().at("mailFolders")));
    let mut seen = HashSet::new();
    loop {
        let asked = walk.some();
        let Some(from) = asked.first() else {
            return Ok(None);
        };
        let page: Page<MailFolder> = wire::read(pool.call(from).await?.json)?;
        let before = seen.len();
        for folder in page.value {
            let found = folder.display_name.as_deref().unwrap_or_default();
            // As the server compares them.
            if found.to_lowercase() == name.to_lowercase() && !folder.id.is_empty() {
                return Ok(Some(folder));
            }
            seen.insert(folder.id);
        }
        walk.follow(from, page.next, seen.len() > before)?;
        few(seen.len())?;
    }
}

fn few(count: usize) -> Result<()> {
    match count > FOLDERS_MAX {
        true => Err(error::unexpected(
            "the server names more folders than a mailbox can have",
        )),
        false => Ok(()),
    }
}

/// Folders that are for no mail, which are told of by the interface for exports alone.
async fn other_folders(
    pool: &Pool,
    mailbox: &str,
    known: &mut tree::Known,
    all: &mut Vec<Raw>,
) -> Result<()> {
    let top = || Path::new().at("admin/exchange/mailboxes").id(mailbox);
    let page = |path: Path| {
        let path = path.query("$top", &PAGE.to_string());
        Request::get(path, LIST).of_service()
    };
    let mail: HashSet<String> = all.iter().map(|raw| raw.id.clone()).collect();
    let hidden: HashSet<String> = all
        .iter()
        .filter(|raw| raw.hidden || known.system.contains(&raw.id))
        .map(|raw| raw.id.clone())
        .collect();
    let mut seen = HashSet::new();
    let mut walk = Walk::new(page(top().at("folders")));
    loop {
        let asked = walk.some();
        if asked.is_empty() {
            return Ok(());
        }
        let answers = pool.batch(&asked, None).await;
        for (from, answer) in asked.iter().zip(answers) {
            let answer = match answer {
                Ok(answer) => answer,
                Err(failed) if failed.error.is_transient() => return Err(failed.error),
                // What is mail is known already; the rest is not to be had.
                Err(failed) => {
                    let error = lost_page(from, failed.error)?;
                    tracing::warn!("folders without mail can't be listed: {error}");
                    continue;
                }
            };
            let page_of: Page<MailboxFolder> = wire::read(answer.json)?;
            let before = seen.len();
            for folder in page_of.value {
                if folder.id.is_empty() || !seen.insert(folder.id.clone()) {
                    continue;
                }
                if folder.child_folder_count != Some(0) && !hidden.contains(&folder.id) {
                    let path = top().at("folders").id(&folder.id);
                    walk.push(page(path.at("childFolders")));
                }
                if !mail.contains(&folder.id) {
                    if let Some(role) = role(&folder) {
                        known.roles.entry(folder.id.clone()).or_insert(role);
                    }
                    all.push(other(folder));
                }
            }
            walk.follow(from, page_of.next, seen.len() > before)?;
            few(seen.len())?;
        }
    }
}

/// What a folder says that it is in all languages.
fn role(folder: &MailboxFolder) -> Option<Role> {
    let name = folder.well_known_name.as_deref()?;
    let role = |(known, _): &&(&str, Role)| known.eq_ignore_ascii_case(name);
    ROLES.iter().find(role).map(|(_, role)| *role)
}

fn other(folder: MailboxFolder) -> Raw {
    // What is for mail and not listed as such is hidden, or a search.
    let class = class(folder.class.as_deref().unwrap_or_default());
    let class = class.filter(|class| *class != ItemClass::Mail);
    Raw {
        id: folder.id,
        token: None,
        parent: folder.parent_folder_id,
        name: folder.display_name.unwrap_or_default(),
        hidden: class.is_none(),
        class,
        count: folder.total_item_count,
        bytes: None,
    }
}

fn page_of(path: Path) -> Request {
    let path = path
        .query("includeHiddenFolders", "true")
        .query("$top", &PAGE.to_string())
        .query("$select", SELECT)
        .query("$expand", &properties());
    Request::get(path, LIST)
}
