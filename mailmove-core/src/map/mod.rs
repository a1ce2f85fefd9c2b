//! Which source folder goes to which destination folder.
//!
//! Each source folder gets one verdict, decided by the first of these that applies:
//!
//! 1. It holds no messages, belongs to somebody else, or is excluded: left out, with the reason.
//! 2. An explicit [`Place`] puts it, or a folder above it, somewhere.
//! 3. The inbox goes to the inbox.
//! 4. It had a place in an [earlier](Earlier) pass: it keeps it.
//! 5. It has a [role](Role), and the destination has exactly one folder of that role: there. Where a
//!    server names no folder of a role, a folder with a well-known name is taken for it.
//! 6. Its own name, below wherever its parent went, made to fit the destination's [`Naming`].
//!
//! With a [root](MapRules::root) everything but explicit places goes below that folder by name: rules
//! 3 and 5 do not apply.
//!
//! Two source folders never share a destination folder, unless places say so, or both are the inbox,
//! or the server gave both the same role. The map depends on nothing but its input, and a name only
//! on folders that want the same name: natural names come before rewritten ones, and among equals
//! the order of the names decides.

mod exclude;
mod fit;
mod pattern;
pub(crate) mod plain;
mod resolve;
mod roles;
mod there;

pub use self::pattern::{Pattern, Place};
use crate::model::{Folder, FolderPath, ItemClass, Naming, Role};

/// What the user wants of the folder map.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MapRules {
    /// If not empty: only folders whose path one of these matches. Views ([`Role::is_view`]) are
    /// taken only if one of these matches them, or a place names them.
    pub include: Vec<Pattern>,
    /// Not the folders whose path one of these matches, even if included.
    pub exclude: Vec<Pattern>,
    /// Explicit places; the first that applies wins.
    pub places: Vec<Place>,
    /// Put everything that has no explicit place below this folder at the destination, the inbox
    /// and folders with roles too.
    pub root: Option<FolderPath>,
    /// Also take other users' and shared folders. Without it those are taken whose first name an
    /// [include](Self::include) pattern or a [place](Self::places) gives in letters.
    pub foreign: bool,
    /// If not empty: only folders that are made for items of these classes. A migration leaves out what its
    /// two sides cannot exchange anyhow.
    pub classes: Vec<ItemClass>,
}

impl MapRules {
    /// All personal folders, by role and name.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pattern of folders to take.
    #[must_use]
    pub fn with_include(mut self, pattern: Pattern) -> Self {
        self.include.push(pattern);
        self
    }

    /// Adds a pattern of folders to leave out.
    #[must_use]
    pub fn with_exclude(mut self, pattern: Pattern) -> Self {
        self.exclude.push(pattern);
        self
    }

    /// Adds an explicit place, after those that are there.
    #[must_use]
    pub fn with_place(mut self, place: Place) -> Self {
        self.places.push(place);
        self
    }

    /// Sets the folder that everything goes below.
    #[must_use]
    pub fn with_root(mut self, root: Option<FolderPath>) -> Self {
        self.root = root;
        self
    }

    /// Sets of which classes to take folders; of all if there are none.
    #[must_use]
    pub fn with_classes(mut self, classes: Vec<ItemClass>) -> Self {
        self.classes = classes;
        self
    }

    /// Sets whether to take other users' and shared folders.
    #[must_use]
    pub fn with_foreign(mut self, foreign: bool) -> Self {
        self.foreign = foreign;
        self
    }
}

/// The map: a verdict for each source folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FolderMap {
    /// In the source's order.
    pub entries: Vec<MapEntry>,
}

/// What is done with one source folder.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapEntry {
    /// Where it is at the source.
    pub source: FolderPath,
    /// What is done with it.
    pub verdict: Verdict,
}

impl MapEntry {
    /// That verdict for that folder.
    #[must_use]
    pub fn new(source: FolderPath, verdict: Verdict) -> Self {
        Self { source, verdict }
    }
}

/// What is done with a source folder.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Its messages go there.
    To {
        /// The destination folder.
        path: FolderPath,
        /// Its role, if the source's server gave it one, to be set if it is created. At most one
        /// folder of a role has it, and none if the destination has another folder of that role.
        role: Option<Role>,
        /// Why its name differs from the source's, if the destination forced it.
        renamed: Option<String>,
    },
    /// It is left out; the rule in words.
    Excluded(String),
}

/// A source folder and the place that it was given in an earlier pass.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Earlier {
    /// Where it was at the source.
    pub source: FolderPath,
    /// Where its messages went.
    pub target: FolderPath,
}

impl Earlier {
    /// What was at `source` went to `target`.
    #[must_use]
    pub fn new(source: FolderPath, target: FolderPath) -> Self {
        Self { source, target }
    }
}

impl FolderMap {
    /// Maps the source's folders to a destination whose folders and names are like that. `earlier`
    /// has the folders that were mapped in earlier passes, in any order; a folder that is listed
    /// twice at the source, in the order of that list.
    #[must_use]
    pub fn new(
        rules: &MapRules,
        source: &[Folder],
        destination: &[Folder],
        naming: &Naming,
        earlier: &[Earlier],
    ) -> Self {
        let verdicts = resolve::verdicts(rules, source, destination, naming, earlier);
        let entries = source
            .iter()
            .zip(verdicts)
            .map(|(folder, verdict)| MapEntry::new(folder.path.clone(), verdict))
            .collect();
        Self { entries }
    }

    /// The verdict for a source folder.
    #[must_use]
    pub fn verdict(&self, source: &FolderPath) -> Option<&Verdict> {
        let mut entries = self.entries.iter();
        let entry = entries.find(|entry| entry.source == *source)?;
        Some(&entry.verdict)
    }
}
