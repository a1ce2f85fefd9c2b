//! The tree of folders.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use mailmove_core::{
    error::{Error, ErrorKind, Result},
    model::{
        Flags, Folder, FolderId, FolderPath, ItemClass, KeptFlags, Naming, Role, SystemFlag, Token,
    },
};

/// Deepest nesting: Exchange allows 300.
const DEPTH_MAX: usize = 512;
/// Longest name, in characters: Exchange allows 255. What a longer one has beyond that is left out.
const NAME_MAX: usize = 1000;
/// Most bytes of all paths, with what a name takes beside its text: several times what the largest mailboxes have.
const PATHS_MAX: usize = 256 << 20;

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
///
/// # Errors
/// If their paths are longer, all together, than those of any mailbox.
pub fn tree(known: &Known, all: &[Raw]) -> Result<Tree> {
    tree_within(PATHS_MAX, known, all)
}

fn tree_within(most: usize, known: &Known, all: &[Raw]) -> Result<Tree> {
    let by_id: HashMap<&str, &Raw> = all.iter().map(|raw| (raw.id.as_str(), raw)).collect();
    let mut paths = Paths {
        known,
        by_id: &by_id,
        left: most,
        again: HashMap::new(),
    };
    let bytes = all.iter().filter_map(|raw| raw.bytes);
    let mut out = Tree {
        root: known.root.clone(),
        bytes: bytes.fold(0, u64::saturating_add),
        ..Tree::default()
    };
    for raw in all {
        let Some(path) = paths.path(raw)? else {
            continue;
        };
        let id = FolderId::new(&raw.id);
        let path = paths.take(path, &id, &mut out.taken)?;
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
    Ok(out)
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
    /// Bytes that paths may still have.
    left: usize,
    /// How often a path was wanted that was taken.
    again: HashMap<FolderPath, usize>,
}

impl Paths<'_> {
    /// Where a folder is; `None` for what is hidden or the system's, and what is below such.
    fn path(&mut self, folder: &Raw) -> Result<Option<FolderPath>> {
        let mut names = Vec::new();
        let mut at = folder;
        loop {
            if at.hidden || self.known.system.contains(&at.id) || names.len() >= DEPTH_MAX {
                return Ok(None);
            }
            if self.known.roles.get(&at.id) == Some(&Role::Inbox) {
                names.push("INBOX".to_owned());
                break;
            }
            let parent = at.parent.as_deref();
            let is_top = parent.is_none_or(|parent| parent == self.known.root);
            let end = at.name.char_indices().nth(NAME_MAX);
            let name = end.and_then(|(end, _)| at.name.get(..end));
            let name = name.unwrap_or(&at.name);
            self.spend(name.len())?;
            // In some language it may be called as the inbox is here.
            let name = match is_top && name.eq_ignore_ascii_case("INBOX") {
                true => format!("{name}_"),
                false => name.to_owned(),
            };
            names.push(name);
            match parent.and_then(|parent| self.by_id.get(parent)) {
                Some(parent) if !is_top => at = parent,
                _ => break,
            }
        }
        names.reverse();
        Ok(Some(FolderPath::new(names)))
    }

    fn spend(&mut self, name: usize) -> Result<()> {
        let left = self.left.checked_sub(name + size_of::<String>());
        self.left = left.ok_or_else(|| {
            Error::new(
                ErrorKind::Protocol,
                "the folders' paths are longer than those of a mailbox",
            )
            .with_code("exchange/folder-paths")
        })?;
        Ok(())
    }

    /// Takes a path, or one that is like it: there may be siblings whose names are told apart by nothing that we
    /// know of. They are counted, so that many of one name are no more work than any others.
    fn take(
        &mut self,
        path: FolderPath,
        id: &FolderId,
        taken: &mut HashMap<FolderPath, FolderId>,
    ) -> Result<FolderPath> {
        let wanted = folded(&path);
        let mut now = path.clone();
        loop {
            let place = match taken.entry(folded(&now)) {
                Entry::Vacant(place) => place,
                Entry::Occupied(_) => {
                    let name = path.last().unwrap_or_default();
                    let again = self.again.entry(wanted.clone()).or_default();
                    *again += 1;
                    let name = match *again {
                        1 => format!("{name}_"),
                        count => format!("{name}_{count}"),
                    };
                    let parent = path.parent();
                    now = match parent {
                        Some(parent) => parent.child(name),
                        None => FolderPath::new([name]),
                    };
                    continue;
                }
            };
            place.insert(id.clone());
            return Ok(now);
        }
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
        let tree = tree(&known, &all).unwrap();
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

    fn named(tree: &Tree) -> Vec<String> {
        tree.folders.iter().map(|f| f.path.escaped()).collect()
    }

    #[test]
    fn many_of_one_name_are_told_apart_at_once() {
        let known = Known::default();
        let mut all = vec![folder("g", "", "x_2"), folder("h", "", "X")];
        all.extend((0..20_000).map(|number| folder(&number.to_string(), "", "x")));
        let tree = tree(&known, &all).unwrap();
        assert_eq!(
            named(&tree)[..5],
            ["x_2", "X", "x_", "x_3", "x_4"].map(str::to_owned)
        );
        assert_eq!(tree.folders.last().unwrap().path.escaped(), "x_20001");
        assert_eq!((tree.folders.len(), tree.taken.len()), (20_002, 20_002));
    }

    #[test]
    fn what_no_mailbox_has_is_bounded() {
        let known = Known::default();
        let mut all = vec![
            folder("0", "", &"\u{e4}".repeat(5000)),
            folder("1", "", &"\u{e4}".repeat(6000)),
        ];
        for raw in &mut all {
            raw.bytes = Some(u64::MAX - 1);
        }
        let made = tree(&known, &all).unwrap();
        let name = "\u{e4}".repeat(NAME_MAX);
        assert_eq!(named(&made), [name.clone(), format!("{name}_")]);
        assert_eq!(made.bytes, u64::MAX);
        // Each has all the names above it.
        let chain = |len: usize| -> Vec<Raw> {
            let one = |number: usize| folder(&number.to_string(), &(number + 1).to_string(), &name);
            (0..len).map(one).collect()
        };
        assert_eq!(
            tree_within(100_000, &known, &chain(9))
                .unwrap()
                .folders
                .len(),
            9
        );
        let error = tree_within(100_000, &known, &chain(10)).unwrap_err();
        assert_eq!(error.code(), "exchange/folder-paths");
    }
}
