//! The tree of mail folders.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use mailmove_core::{
    error::{ErrorKind, Result},
    model::{
        Flags, Folder, FolderId, FolderPath, ItemClass, KeptFlags, Role, SystemFlag, Timestamp,
        Token,
    },
};

use crate::{
    error::{self, Doing},
    items,
    pool::Pool,
    wire::{self, Element, FolderRef, Property, SoapError, parse_date},
};

/// Folders that are asked for at once.
const PAGE: usize = 500;
/// Most folders of a mailbox: what claims more is not one.
const FOLDERS_MAX: usize = 200_000;
/// A look at the roles serves a listing that follows within that time.
const FRESH: Duration = Duration::from_secs(60);
/// Deepest nesting: Exchange allows 300.
const DEPTH_MAX: usize = 512;

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

/// A folder as the server has it.
#[derive(Clone, Debug)]
struct Raw {
    id: String,
    token: Option<Token>,
    parent: Option<String>,
    name: String,
    /// What it is made for, if that is anything of the user's.
    class: Option<ItemClass>,
    hidden: bool,
    count: Option<u64>,
    bytes: Option<u64>,
}

/// All folders, with the root's id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    pub(crate) root: String,
    /// Bytes in all folders, whatever they hold.
    pub(crate) bytes: u64,
    /// Those that hold what is the user's.
    pub(crate) folders: Vec<Folder>,
    /// Every folder that is not hidden, by path with names in lower case: what is there already cannot
    /// be made, be it for calendars.
    pub(crate) taken: HashMap<FolderPath, FolderId>,
}

/// How paths are compared.
pub(crate) fn folded(path: &FolderPath) -> FolderPath {
    FolderPath::new(path.names().iter().map(|name| name.to_lowercase()))
}

fn raw(folder: &Element, now: Option<Timestamp>) -> Option<Raw> {
    let class = class(folder.text_of("FolderClass").unwrap_or_default());
    // Search folders have no items of their own, and show those of others.
    let is_search = &*folder.name == "SearchFolder";
    let hidden = Property::Hidden
        .of(folder)
        .is_some_and(|text| text == "true" || text == "1");
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
    Some(Raw {
        token: token(folder, now),
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

/// What a folder is made for. What programs keep for themselves among contacts (the addresses that were
/// written to, those of a chat) is nothing that moves.
fn class(class: &str) -> Option<ItemClass> {
    let class = class.to_ascii_lowercase();
    let is = |name: &str| {
        class == name
            || class
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('.'))
    };
    let own = [
        ".moc",
        ".recipientcache",
        ".galcontacts",
        ".company",
        ".organizationalcontacts",
        ".peopleicu",
    ];
    if class.is_empty() || is("ipf.note") || is("ipf.imap") {
        Some(ItemClass::Mail)
    } else if is("ipf.appointment") {
        Some(ItemClass::Event)
    } else if is("ipf.contact") && !own.iter().any(|own| class.contains(own)) {
        Some(ItemClass::Contact)
    } else if is("ipf.task") {
        Some(ItemClass::Task)
    } else if is("ipf.stickynote") {
        Some(ItemClass::Note)
    } else if is("ipf.journal") {
        Some(ItemClass::Journal)
    } else {
        None
    }
}

/// What is told of the last change is older than this, or the folder has no token: the server tells
/// it to the second, so that two changes of the same second look alike, and the clocks of its front end
/// and of the mailbox differ a little.
const SETTLED: i64 = 60;

/// What changes with everything that happens in a folder: when something was made or changed last, how
/// many items ever left it, and what it holds. The last two tell of what a server might not take for a
/// change, such as that a message was read. `None` if the server does not tell all that.
fn token(folder: &Element, now: Option<Timestamp>) -> Option<Token> {
    let deleted = Property::DeletedCount.number(folder)?;
    let unread = Property::Unread.number(folder)?;
    let total: u64 = folder.text_of("TotalCount")?.parse().ok()?;
    let bytes = Property::FolderSize.of(folder).unwrap_or_default();
    let last = Property::LastCommit.of(folder).unwrap_or_default().trim();
    match parse_date(last) {
        Some(at) if now?.seconds() - at.seconds() > SETTLED => {}
        // Nothing was ever in it.
        None if last.is_empty() && total == 0 => {}
        _ => return None,
    }
    Some(Token::new(format!(
        "c1 {last} {deleted} {total} {unread} {bytes}"
    )))
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
        mailbox: items::mailbox(&known.root),
        known: Some((pool.access().edges.clock.now(), known)),
    };
    pool.opened(|place| *place = Some(opened.clone()));
    Ok(opened)
}

/// Roles, by folder; the root; and folders of the system's own.
#[derive(Clone, Debug)]
struct Known {
    root: String,
    tokens: bool,
    roles: HashMap<String, Role>,
    system: HashSet<String>,
}

async fn known(pool: &Pool) -> Result<Known> {
    let config = &pool.access().config;
    let roles: &[(&str, Role)] = if config.archive() {
        &ARCHIVE_ROLES
    } else {
        &ROLES
    };
    let system: &[&str] = if config.archive() { &[] } else { &SYSTEM };
    let names: Vec<&str> = [config.root()]
        .into_iter()
        .chain(roles.iter().map(|(name, _)| *name))
        .chain(system.iter().copied())
        .collect();
    let asked: Vec<FolderRef<'_>> = names
        .iter()
        .map(|name| FolderRef::Distinguished(name))
        .collect();
    let answer = pool.call(&wire::get_folders(&asked)).await?;
    let mut out = Known {
        root: String::new(),
        tokens: false,
        roles: HashMap::new(),
        system: HashSet::new(),
    };
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
            out.root = id;
            let has = |property: Property| property.of(folder).is_some();
            out.tokens = has(Property::LastCommit) && has(Property::DeletedCount);
        } else if let Some((_, role)) = roles.iter().find(|(known, _)| known == name) {
            out.roles.insert(id, *role);
        } else {
            out.system.insert(id);
        }
    }
    Ok(out)
}

fn is_passing(error: &mailmove_core::Error) -> bool {
    error.is_transient()
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
    let mut all: Vec<Raw> = Vec::new();
    let mut seen = HashSet::new();
    loop {
        // Pages are counted from the start, and may be shorter than asked for.
        let root = FolderRef::Id(&known.root);
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
        for folder in folders.iter().filter_map(|folder| raw(folder, now)) {
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
    Ok(tree(known, all))
}

fn tree(known: Known, all: Vec<Raw>) -> Tree {
    let by_id: HashMap<&str, &Raw> = all.iter().map(|raw| (raw.id.as_str(), raw)).collect();
    let mut paths = Paths {
        known: &known,
        by_id: &by_id,
    };
    let mut out = Tree {
        root: known.root.clone(),
        bytes: all.iter().filter_map(|raw| raw.bytes).sum(),
        ..Tree::default()
    };
    let mut used = BTreeSet::new();
    for raw in &all {
        let Some(mut path) = paths.path(raw) else {
            continue;
        };
        // Two siblings whose names are told apart by nothing that we know of.
        while !used.insert(folded(&path)) {
            let name = format!("{}_", path.last().unwrap_or_default());
            let parent = path
                .parent()
                .unwrap_or_else(|| FolderPath::new(Vec::<String>::new()));
            path = parent.child(name);
        }
        let id = FolderId::new(&raw.id);
        out.taken.insert(folded(&path), id.clone());
        let Some(class) = raw.class else { continue };
        let mut folder = Folder::new(id, path, &raw.id);
        folder.class = class;
        folder.role = known.roles.get(&raw.id).copied();
        folder.subscribed = true;
        folder.messages = raw.count;
        folder.bytes = raw.bytes;
        folder.token.clone_from(&raw.token);
        folder.keeps = Some(kept());
        out.folders.push(folder);
    }
    out
}

/// Every flag, and any keyword.
pub(crate) fn kept() -> KeptFlags {
    let all = SystemFlag::ALL.into_iter().fold(Flags::new(), Flags::with);
    KeptFlags::new(all, true)
}

struct Paths<'a> {
    known: &'a Known,
    by_id: &'a HashMap<&'a str, &'a Raw>,
}

impl Paths<'_> {
    /// Where a folder is; `None` for what is hidden or the system's, and what is below such.
    fn path(&mut self, folder: &Raw) -> Option<FolderPath> {
        let mut names = Vec::new();
        let mut at = folder;
        loop {
            if at.hidden || self.known.system.contains(&at.id) || names.len() >= DEPTH_MAX {
                return None;
            }
            if self.known.roles.get(&at.id) == Some(&Role::Inbox) {
                names.push("INBOX".to_owned());
                break;
            }
            let parent = at.parent.as_deref();
            let is_top = parent.is_none_or(|parent| parent == self.known.root);
            // In some language it may be called as the inbox is here.
            let name = match is_top && at.name.eq_ignore_ascii_case("INBOX") {
                true => format!("{}_", at.name),
                false => at.name.clone(),
            };
            names.push(name);
            match parent.and_then(|parent| self.by_id.get(parent)) {
                Some(parent) if !is_top => at = parent,
                _ => break,
            }
        }
        names.reverse();
        Some(FolderPath::new(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(id: &str, parent: &str, name: &str) -> Raw {
        Raw {
            id: id.to_owned(),
            token: None,
            parent: Some(parent.to_owned()),
            name: name.to_owned(),
            class: Some(ItemClass::Mail),
            hidden: false,
            count: None,
            bytes: None,
        }
    }

    #[test]
    fn paths_come_from_parents_and_the_inbox_from_its_role() {
        let known = Known {
            root: "R".to_owned(),
            tokens: false,
            roles: HashMap::from([("I".to_owned(), Role::Inbox), ("S".to_owned(), Role::Sent)]),
            system: HashSet::from(["Y".to_owned()]),
        };
        let mut hidden = folder("H", "R", "PersonMetadata");
        hidden.hidden = true;
        let mut calendar = folder("C", "R", "Kalender");
        calendar.class = None;
        let all = vec![
            folder("I", "R", "Posteingang"),
            folder("S", "R", "Gesendete Elemente"),
            folder("A", "I", "a/b"),
            folder("N", "R", "Inbox"),
            folder("Y", "R", "Synchronisierungsprobleme"),
            folder("Z", "Y", "Konflikte"),
            hidden,
            calendar,
            folder("M", "C", "Mail"),
            folder("L1", "L2", "loop"),
            folder("L2", "L1", "loop"),
        ];
        let tree = tree(known, all);
        let paths: Vec<String> = tree.folders.iter().map(|f| f.path.escaped()).collect();
        assert_eq!(
            paths,
            [
                "INBOX",
                "Gesendete Elemente",
                "INBOX/a\\/b",
                "Inbox_",
                "Kalender/Mail"
            ]
        );
        assert_eq!(tree.folders[1].role, Some(Role::Sent));
        assert!(tree.taken.contains_key(&FolderPath::new(["kalender"])));
    }
}
