//! Which source folder goes to which destination folder.

use regex::Regex;

use crate::model::{Folder, FolderPath, Naming, Role};

/// What the user wants of the folder map.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MapRules {
    /// If not empty: only folders whose path one of these matches.
    pub include: Vec<Pattern>,
    /// Not the folders whose path one of these matches.
    pub exclude: Vec<Pattern>,
    /// Explicit places; the first that applies wins.
    pub places: Vec<Place>,
    /// Put everything below this folder at the destination.
    pub root: Option<FolderPath>,
    /// Also take other users' and shared folders.
    pub foreign: bool,
}

impl MapRules {
    /// All personal folders, by role and name.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// Matches folder paths, written with `/` between names (a `/` or `\` within a name is escaped by
/// `\`). Without regard to case.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As the user wrote it.
    pub text: String,
    #[allow(dead_code, reason = "used by the map")]
    regex: Regex,
}

/// An explicit place for a folder and all that is below it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The source folder.
    pub from: FolderPath,
    /// The destination folder.
    pub to: FolderPath,
}

/// The map: a verdict for each source folder.
#[derive(Clone, Debug, Default)]
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

/// What is done with a source folder.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Its messages go there.
    To {
        /// The destination folder.
        path: FolderPath,
        /// Its role, to be set if it is created.
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

impl FolderMap {
    /// Maps the source's folders to a destination.
    #[must_use]
    pub fn new(
        rules: &MapRules,
        source: &[Folder],
        _destination: &[Folder],
        _naming: &Naming,
        _earlier: &[Earlier],
    ) -> Self {
        // interim
        let entry = |folder: &Folder| MapEntry {
            source: folder.path.clone(),
            verdict: if rules
                .exclude
                .iter()
                .any(|p| p.text == folder.path.to_string())
            {
                Verdict::Excluded("x".to_owned())
            } else {
                Verdict::To {
                    path: folder.path.clone(),
                    role: folder.role,
                    renamed: None,
                }
            },
        };
        Self {
            entries: source.iter().map(entry).collect(),
        }
    }
}

impl Pattern {
    /// Interim.
    pub fn new(text: &str) -> crate::Result<Self> {
        Ok(Self {
            text: text.to_owned(),
            regex: Regex::new("x")
                .map_err(|e| crate::Error::new(crate::ErrorKind::Config, "x").with_source(e))?,
        })
    }
}

impl Earlier {
    /// A source folder and where its messages went.
    #[must_use]
    pub fn new(source: FolderPath, target: FolderPath) -> Self {
        Self { source, target }
    }
}
