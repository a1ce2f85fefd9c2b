//! What a pass did: the ledger closed, by folder, in numbers. Beside it what a pass would do, how both
//! sides compare, and what the ledger knows of a message.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    error::{Error, ErrorKind},
    model::{AlterationKind, ContentDigest, FolderPath},
};

mod explanation;
mod plan;
mod verification;

pub use explanation::{Explanation, OpenIntent, Place};
pub use plan::{Plan, PlannedFolder, Warning};
pub use verification::{Difference, Verification, VerifiedFolder};

/// What a pass did.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Number of the pass, from 1.
    pub pass: u32,
    /// The source mailbox.
    pub source: String,
    /// The destination mailbox.
    pub destination: String,
    /// Each folder of the source once, in the source's order.
    pub folders: Vec<FolderReport>,
    /// Messages that could not be moved; at most [`MOST_LISTED`], see [`Tally::failed`] for
    /// their number.
    pub failures: Vec<Failure>,
    /// Messages that arrived in a repaired form in this pass; at most [`MOST_LISTED`].
    pub repaired: Vec<RepairedMessage>,
    /// Why a message that failed could not be kept as a dead letter, if so: the first time.
    pub not_kept: Option<Problem>,
    /// Why the pass ended early, if it did.
    pub stopped: Option<Problem>,
}

/// Code of the error that a folder's ledger does not close.
pub const MISMATCH: &str = "ledger/mismatch";

/// How many failures a report lists one by one.
pub const MOST_LISTED: usize = 1000;

impl Report {
    /// An empty report.
    #[must_use]
    pub fn new(pass: u32, source: impl Into<String>, destination: impl Into<String>) -> Self {
        Self {
            pass,
            source: source.into(),
            destination: destination.into(),
            folders: Vec::new(),
            failures: Vec::new(),
            repaired: Vec::new(),
            not_kept: None,
            stopped: None,
        }
    }

    /// How the pass ended.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.stopped {
            Some(problem) if problem.kind == ErrorKind::Cancelled.as_str() => Status::Cancelled,
            Some(_) => Status::Stopped,
            None if self.folders.iter().any(FolderReport::is_mismatched) => Status::Mismatch,
            None if self.folders.iter().all(FolderReport::is_complete) => Status::Complete,
            None => Status::CompleteWithFailures,
        }
    }

    /// The sums over all folders.
    #[must_use]
    pub fn total(&self) -> Tally {
        let mut sum = Tally::default();
        for folder in &self.folders {
            sum.add(&folder.tally);
        }
        sum
    }
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Status {
    /// Every message is accounted for, none failed.
    Complete,
    /// It came to its end, but messages or folders failed.
    CompleteWithFailures,
    /// It came to its end, but a folder's ledger does not close: its messages with a known end are
    /// not as many as the server counts.
    Mismatch,
    /// An error ended it early; a later run continues.
    Stopped,
    /// It was asked to stop; a later run continues.
    Cancelled,
}

/// What became of one source folder.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct FolderReport {
    /// Where it is at the source.
    pub source: FolderPath,
    /// Where its messages went; `None` if nowhere.
    pub destination: Option<FolderPath>,
    /// The rule that leaves the folder out, if one does; `excluded_by` in JSON, beside the tally's number.
    #[serde(rename = "excluded_by")]
    pub excluded: Option<String>,
    /// Why the folder as a whole failed, if it did.
    pub problem: Option<Problem>,
    /// The numbers.
    #[serde(flatten)]
    pub tally: Tally,
    /// What did not arrive as it left, counted by kind.
    pub altered: BTreeMap<AlterationKind, u64>,
    /// What became of its annotations; `None` if they were not asked for.
    pub annotations: Option<AnnotationReport>,
}

/// What became of a folder's annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AnnotationReport {
    /// Noted at the destination in this pass.
    pub copied: u64,
    /// There already, with the same value.
    pub equal: u64,
    /// The destination has another value, which stands: their names.
    pub kept: Vec<String>,
    /// The destination did not take them.
    pub refused: Vec<RefusedAnnotation>,
    /// There are others, too long or too many to be carried over.
    pub left_out: bool,
}

/// An annotation that a destination did not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RefusedAnnotation {
    /// Its name.
    pub name: String,
    /// The error's code.
    pub code: String,
    /// Why not.
    pub reason: String,
}

impl FolderReport {
    /// A folder of which nothing is known yet.
    #[must_use]
    pub fn new(source: FolderPath) -> Self {
        Self {
            source,
            destination: None,
            excluded: None,
            problem: None,
            tally: Tally::default(),
            altered: BTreeMap::new(),
            annotations: None,
        }
    }

    /// Each message that the server counts has one known end. True for excluded folders too.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.excluded.is_some() || self.problem.is_none() && self.tally.is_closed()
    }

    /// The sums differ from what the server counts, although nothing was left undone.
    #[must_use]
    pub fn is_mismatched(&self) -> bool {
        let code = self.problem.as_ref().map(|problem| problem.code.as_str());
        code == Some(MISMATCH)
    }

    /// Closed, without a failure, nothing in doubt and nothing doubled.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_closed()
            && self.tally.failed == 0
            && self.tally.perhaps_doubled == 0
            && self.tally.doubled == 0
    }
}

/// Numbers of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tally {
    /// In the folder, as the *server* counts.
    pub found: u64,
    /// Copied in this pass.
    pub copied: u64,
    /// Copied, or found to be there, in earlier passes.
    pub earlier: u64,
    /// Found to be there in this pass.
    pub already_there: u64,
    /// Left out by a rule.
    pub excluded: u64,
    /// Gone from the source before they could be fetched.
    pub vanished: u64,
    /// Could not be moved.
    pub failed: u64,
    /// Copied once, and since then removed at the destination by somebody else.
    pub removed_there: u64,
    /// Not dealt with, because the pass or the folder ended early.
    pub open: u64,
    /// Beside the sum: moved at the destination in this pass, as they were at the source.
    pub moved: u64,
    /// Beside the sum: of those copied in this pass, the ones that the destination copied from
    /// another of its folders, since they were there already.
    pub by_reference: u64,
    /// Beside the sum: messages whose flags changed in this pass.
    pub flags_changed: u64,
    /// Beside the sum: copies of our own that were removed: damaged ones when a good one had been sent,
    /// and those of which another one landed late.
    pub replaced: u64,
    /// Beside the sum: gone from the source since an earlier pass; kept at the destination.
    pub gone: u64,
    /// Beside the sum: gone from the source, and delivered from their dead letters.
    pub rescued: u64,
    /// Beside the sum: sent again although the first copy could not be proven absent.
    pub perhaps_doubled: u64,
    /// Beside the sum: surplus copies that were seen and could not be removed.
    pub doubled: u64,
    /// Bytes copied in this pass.
    pub bytes: u64,
}

impl Tally {
    /// The ends add up to what the server counts, and none is open.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.open == 0 && self.found == self.accounted()
    }

    /// Messages with a known end.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        self.copied
            + self.earlier
            + self.already_there
            + self.excluded
            + self.vanished
            + self.failed
            + self.removed_there
    }

    /// Adds another tally.
    pub fn add(&mut self, other: &Self) {
        self.found += other.found;
        self.copied += other.copied;
        self.earlier += other.earlier;
        self.already_there += other.already_there;
        self.excluded += other.excluded;
        self.vanished += other.vanished;
        self.failed += other.failed;
        self.removed_there += other.removed_there;
        self.open += other.open;
        self.moved += other.moved;
        self.by_reference += other.by_reference;
        self.flags_changed += other.flags_changed;
        self.replaced += other.replaced;
        self.gone += other.gone;
        self.rescued += other.rescued;
        self.perhaps_doubled += other.perhaps_doubled;
        self.doubled += other.doubled;
        self.bytes += other.bytes;
    }
}

/// A message that could not be moved. Names it without showing its subject.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Failure {
    /// Its folder at the source.
    pub folder: FolderPath,
    /// Its name there, e.g. `UID 17`.
    pub message: String,
    /// When the source received it.
    pub received: Option<String>,
    /// Its size in bytes.
    pub size: u64,
    /// The error's code.
    pub code: String,
    /// What happened, in words.
    pub reason: String,
    /// What the user can do.
    pub remedy: Option<String>,
    /// Where the message is kept, if it is.
    pub dead_letter: Option<String>,
}

/// A message that arrived in a repaired form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RepairedMessage {
    /// Its folder at the source.
    pub folder: FolderPath,
    /// Its name there, e.g. `UID 17`.
    pub message: String,
    /// What was repaired, and why.
    pub what: String,
    /// Digest of the message at the source.
    pub original: ContentDigest,
    /// Digest of what was sent.
    pub sent: Option<ContentDigest>,
}

/// An error as a report tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// [`ErrorKind::as_str`].
    pub kind: &'static str,
    /// The error's code.
    pub code: String,
    /// What happened, with its causes.
    pub reason: String,
    /// What the user can do.
    pub remedy: Option<String>,
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        Self {
            kind: error.kind().as_str(),
            code: error.code().to_owned(),
            reason: error.chain(),
            remedy: error.remedy().map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_and_the_number_of_what_it_leaves_out_are_both_in_json() {
        let mut folder = FolderReport::new(FolderPath::inbox());
        folder.excluded = Some("it is shared".to_owned());
        folder.tally.excluded = 3;
        let json = serde_json::to_string(&folder).unwrap();
        assert_eq!(json.matches("\"excluded\"").count(), 1, "{json}");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["excluded_by"], "it is shared");
        assert_eq!(json["excluded"], 3);
    }

    #[test]
    fn a_folder_closes_when_the_sums_equal_the_servers_count() {
        let mut folder = FolderReport::new(FolderPath::inbox());
        folder.tally.found = 3;
        folder.tally.copied = 1;
        folder.tally.earlier = 1;
        assert!(!folder.is_closed());
        folder.tally.vanished = 1;
        assert!(folder.is_closed() && folder.is_complete());
        folder.tally.vanished = 0;
        folder.tally.failed = 1;
        assert!(folder.is_closed() && !folder.is_complete());
        folder.tally.failed = 0;
        folder.tally.copied = 2;
        folder.tally.perhaps_doubled = 1;
        assert!(!folder.is_complete(), "perhaps doubled is never complete");
    }
}
