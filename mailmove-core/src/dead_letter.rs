//! Messages that could not be delivered, kept as they came with the reason beside.
//!
//! A dead letter is named after its message, so that one which fails again is kept once. It is taken
//! away when the message was delivered after all, by a later pass or by
//! [`Migration::retry`](crate::Migration::retry).

use std::fmt::Debug;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    checkpoint::FolderNo,
    error::Result,
    model::{Content, ContentDigest, Flags, FolderPath, JobId, MessageId, Timestamp},
};

mod directory;
mod memory;

pub use directory::DeadLetterDirectory;
pub use memory::MemoryDeadLetters;

/// Keeps dead letters. For real: [`DeadLetterDirectory`]; for tests [`MemoryDeadLetters`].
#[async_trait]
pub trait DeadLetters: Debug + Send + Sync + 'static {
    /// Keeps a letter durably, in the place of one of the same name, and says where. Without a content
    /// (it could not be fetched) one that is there already stays.
    ///
    /// # Errors
    /// If it could not be written: an earlier letter about the message stays as it was.
    async fn keep(&self, letter: &DeadLetter, content: Option<&Content>) -> Result<String>;

    /// All letters of a job, with their places.
    ///
    /// # Errors
    /// If they cannot be read.
    async fn list(&self, job: &JobId) -> Result<Vec<(String, DeadLetter)>>;

    /// A letter, and its content if it has one; `None` if there is none in that place.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn open(&self, place: &str) -> Result<Option<(DeadLetter, Option<Content>)>>;

    /// Takes a letter away. One that is not there is no error.
    ///
    /// # Errors
    /// If it is there and stays.
    async fn discard(&self, place: &str) -> Result<()>;

    /// A place as users know it, e.g. a file's path.
    fn describe(&self, place: &str) -> String {
        place.to_owned()
    }
}

/// Why a message could not be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Format of this record: 1.
    pub version: u32,
    /// The job.
    pub job: String,
    /// The source mailbox.
    pub source: String,
    /// The destination mailbox.
    pub destination: String,
    /// The folder at the source.
    pub folder: FolderPath,
    /// Its number in the ledger.
    pub folder_no: FolderNo,
    /// [`Folder::identity`](crate::model::Folder::identity) of the folder, by which it is known
    /// whatever its number is; empty in letters of earlier versions.
    #[serde(default)]
    pub identity: String,
    /// The folder at the destination.
    pub to: FolderPath,
    /// The message's id at the source.
    pub id: MessageId,
    /// As users know it, e.g. `UID 17`.
    pub message: String,
    /// The error's code.
    pub code: String,
    /// What happened, with what the server said.
    pub reason: String,
    /// What the user can do.
    pub remedy: Option<String>,
    /// Digest of the content, once fetched.
    pub digest: Option<ContentDigest>,
    /// Its size in bytes.
    pub size: u64,
    /// When the source received it.
    pub received: Option<Timestamp>,
    /// Its flags.
    pub flags: Flags,
    /// Failed attempts so far.
    pub tries: u32,
    /// The pass in which it failed last.
    pub pass: u32,
    /// Name of the file with its content, beside this one; `None` if it could not be fetched.
    pub content: Option<String>,
}

impl DeadLetter {
    /// A letter about a message of which only the place is known.
    #[must_use]
    pub fn new(job: &JobId, folder: FolderPath, folder_no: FolderNo, id: MessageId) -> Self {
        Self {
            version: 1,
            job: job.as_str().to_owned(),
            source: String::new(),
            destination: String::new(),
            to: folder.clone(),
            folder,
            folder_no,
            identity: String::new(),
            message: id.to_string(),
            id,
            code: String::new(),
            reason: String::new(),
            remedy: None,
            digest: None,
            size: 0,
            received: None,
            flags: Flags::new(),
            tries: 0,
            pass: 0,
            content: None,
        }
    }

    /// A name that fits a file: readable as far as the message's id is, and unique by a digest.
    #[must_use]
    pub fn name(&self) -> String {
        let text = format!("{}\n{}\n{}", self.job, self.folder_no.0, self.id.as_str());
        let digest = blake3::hash(text.as_bytes()).to_hex();
        let readable: String = self
            .id
            .as_str()
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
            .take(40)
            .collect();
        let digest: String = digest.chars().take(16).collect();
        format!("{}-{readable}-{digest}", self.folder_no.0)
    }
}
