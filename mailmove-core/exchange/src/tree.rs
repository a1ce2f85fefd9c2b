//! The tree of folders.

use std::collections::{BTreeSet, HashMap, HashSet};

use mailmove_core::model::{
    Flags, Folder, FolderId, FolderPath, ItemClass, KeptFlags, Naming, Role, SystemFlag, Token,
};

/// Deepest nesting: Exchange allows 300.
const DEPTH_MAX: usize = 512;

/// A folder as the server has it.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs, reason = "made by adapters alone")]
pub struct Raw {
    /// The server's name for it.
    pub id: String,
    /// What changes with all that happens in it.
    pub token: Option<Token>,
    /// Its parent's.
    pub parent: Option<String>,
    /// What people call it.
    pub name: String,
    /// What it is made for, if that is anything of the user's.
    pub class: Option<ItemClass>,
    /// Nobody is to see it.
    pub hidden: bool,
    /// Items in it.
    pub count: Option<u64>,
    /// Bytes in it.
    pub bytes: Option<u64>,
}

/// Which folders are which.
#[derive(Clone, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "made by adapters alone")]
pub struct Known {
    /// The folder that all others are in.
    pub root: String,
    /// Roles, by folder.
    pub roles: HashMap<String, Role>,
    /// Folders of the system's own.
    pub system: HashSet<String>,
}

/// All folders, with the root's id.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Tree {
    /// Id of the folder that all others are in.
    pub root: String,
    /// Bytes in all folders, whatever they hold.
    pub bytes: u64,
    /// Those that hold what is the user's.
    pub folders: Vec<Folder>,
    /// Every folder that is not hidden, by path with names in lower case: what is there already cannot
    /// be made, be it for calendars.
    pub taken: HashMap<FolderPath, FolderId>,
}

/// How paths are compared.
#[must_use]
pub fn folded(path: &FolderPath) -> FolderPath {
    FolderPath::new(path.names().iter().map(|name| name.to_lowercase()))
}

/// What a folder is made for. What programs keep for themselves among contacts (the addresses that were
/// written to, those of a chat) is nothing that moves.
#[must_use]
pub fn class(class: &str) -> Option<ItemClass> {
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

/// Of what class an item is; in mail folders there may be others than mail.
#[must_use]
pub fn item_class(class: &str) -> ItemClass {
    let is = |prefix: &str| class.to_ascii_lowercase().starts_with(prefix);
    if is("ipm.appointment") {
        ItemClass::Event
    } else if is("ipm.contact") || is("ipm.distlist") {
        ItemClass::Contact
    } else if is("ipm.task") && !is("ipm.taskrequest") {
        ItemClass::Task
    } else if is("ipm.stickynote") {
        ItemClass::Note
    } else if is("ipm.activity") {
        ItemClass::Journal
    } else {
        ItemClass::Mail
    }
}

/// Puts folders together.
#[must_use]
pub fn tree(known: &Known, all: &[Raw]) -> Tree {
    let by_id: HashMap<&str, &Raw> = all.iter().map(|raw| (raw.id.as_str(), raw)).collect();
    let mut paths = Paths {
        known,
        by_id: &by_id,
    };
    let mut out = Tree {
        root: known.root.clone(),
        bytes: all.iter().filter_map(|raw| raw.bytes).sum(),
        ..Tree::default()
    };
    let mut used = BTreeSet::new();
    for raw in all {
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
#[must_use]
pub fn kept() -> KeptFlags {
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

/// What folders may be called. The separator is a character that neither XML nor JSON has: any other may stand
/// in a name.
#[must_use]
pub fn naming() -> Naming {
    let mut naming = Naming::default();
    naming.separator = Some('\u{fffe}');
    naming.forbidden = ('\0'..' ').chain(['\u{7f}', '\u{ffff}']).collect();
    naming.case_insensitive = true;
    naming.trims_blanks = true;
    naming.max_depth = 100;
    naming.max_name = 250;
    naming.max_path = 8000;
    naming.length_of = |name| name.encode_utf16().count();
    naming
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
        let tree = tree(&known, &all);
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
