//! How source, ledger and destination compare.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Problem;
use crate::model::FolderPath;

/// What comparing source, ledger and destination showed.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Verification {
    /// Each mapped folder once.
    pub folders: Vec<VerifiedFolder>,
    /// Differences one by one, at most [`MOST_LISTED`](super::MOST_LISTED).
    pub differences: Vec<Difference>,
    /// Where the destination makes messages anew: how often it lost what it is known to lose, by the
    /// names of [`Loss`](crate::identity::Loss).
    pub losses: BTreeMap<String, u64>,
}

impl Verification {
    /// Nothing differs but what is [known](Difference::known), and all folders could be compared.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.folders
            .iter()
            .all(|folder| folder.differences == 0 && folder.problem.is_none())
    }
}

/// How one folder compares.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct VerifiedFolder {
    /// Where it is at the source.
    pub source: FolderPath,
    /// Where its messages are.
    pub destination: Option<FolderPath>,
    /// Messages that were compared.
    pub checked: u64,
    /// Messages that differ or are missing.
    pub differences: u64,
    /// Beside these: messages that differ as a report has told before, and those that somebody
    /// removed at the destination.
    pub known: u64,
    /// Of those that were compared: how many not by content, since the source does not hold them any more.
    pub unread: u64,
    /// Why it could not be compared as a whole, if so: for example since the source holds messages
    /// that no pass has seen.
    pub problem: Option<Problem>,
}

impl VerifiedFolder {
    /// A folder of which nothing was compared yet.
    #[must_use]
    pub fn new(source: FolderPath) -> Self {
        Self {
            source,
            destination: None,
            checked: 0,
            differences: 0,
            known: 0,
            unread: 0,
            problem: None,
        }
    }
}

/// One message that is not as it should be.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// Its folder at the source.
    pub folder: FolderPath,
    /// Its name there.
    pub message: String,
    /// Its name at the destination.
    pub destination: Option<String>,
    /// `missing`, `size`, `content`, `flags`, `received`, `not-copied`, `removed-there`, or `doubled`; where
    /// the destination makes messages anew, an [`Aspect`](crate::identity::Aspect), too.
    pub what: &'static str,
    /// Expected and found, in words.
    pub detail: String,
    /// A report has told of it: the destination changed the message as it stored it, or somebody
    /// removed it there. It does not count as different.
    pub known: bool,
}
