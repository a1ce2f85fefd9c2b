//! Messages that could not be delivered, kept as they came with the reason beside.
//!
//! A dead letter is named after its message, so that one which fails again is kept once. It is taken
//! away when the message was delivered after all, by a later pass or by
//! [`Migration::retry`](crate::Migration::retry).

use std::{
    collections::BTreeMap,
    fmt::Debug,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    checkpoint::FolderNo,
    edge::Spool,
    error::{Error, ErrorKind, Result},
    model::{Content, ContentDigest, Flags, FolderPath, JobId, MessageId, Timestamp},
};

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

/// Dead letters as files of a directory, for this user alone: `NAME.json` with the reason, and
/// `NAME.eml` with the message, byte for byte.
///
/// Each is written under another name, synced, and renamed; the reason comes last. So whatever is
/// found there is whole.
#[derive(Clone, Debug)]
pub struct DeadLetterDirectory {
    directory: PathBuf,
    spool: Spool,
}

impl DeadLetterDirectory {
    /// Letters in that directory, made when the first is kept. Contents are read back into the spool.
    pub fn new(directory: impl Into<PathBuf>, spool: Spool) -> Self {
        Self {
            directory: directory.into(),
            spool,
        }
    }

    fn file(&self, place: &str) -> Result<PathBuf> {
        // Places come from the ledger: a file that somebody may have changed.
        let name = Path::new(place);
        let plain = name
            .file_name()
            .is_some_and(|file| file == name.as_os_str());
        if plain && has_extension(name, "json") {
            return Ok(self.directory.join(name));
        }
        Err(
            Error::new(ErrorKind::Store, "this is no place of a dead letter")
                .with_code("dead-letter/place")
                .with_context("place", place),
        )
    }

    async fn content(&self, path: &Path, size: u64) -> io::Result<Result<Content>> {
        let mut file = tokio::fs::File::open(path).await?;
        let mut writer = match self.spool.writer(size) {
            Ok(writer) => writer,
            Err(error) => return Ok(Err(error)),
        };
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let len = file.read(&mut buffer).await?;
            if len == 0 {
                return Ok(Ok(writer.finish()));
            }
            if let Err(error) = writer.write(buffer.get(..len).unwrap_or_default()) {
                return Ok(Err(error));
            }
        }
    }
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension()
        .is_some_and(|extension| extension == wanted)
}

#[async_trait]
impl DeadLetters for DeadLetterDirectory {
    async fn keep(&self, letter: &DeadLetter, content: Option<&Content>) -> Result<String> {
        let failed = |error| failure(&self.directory, error);
        make_directory(&self.directory).await.map_err(failed)?;
        let name = letter.name();
        let body = self.directory.join(format!("{name}.eml"));
        let mut letter = letter.clone();
        if let Some(content) = content {
            let mut reader = content.reader();
            let mut file = Whole::create(&body).await.map_err(failed)?;
            while let Some(piece) = reader.next().await? {
                file.write(&piece).await.map_err(failed)?;
            }
            file.finish().await.map_err(failed)?;
        }
        let there = content.is_some() || tokio::fs::try_exists(&body).await.map_err(failed)?;
        letter.content = there.then(|| format!("{name}.eml"));
        let place = format!("{name}.json");
        let text =
            serde_json::to_vec_pretty(&letter).map_err(|error| failed(io::Error::other(error)))?;
        let mut file = Whole::create(&self.directory.join(&place))
            .await
            .map_err(failed)?;
        file.write(&text).await.map_err(failed)?;
        file.finish().await.map_err(failed)?;
        Ok(place)
    }

    async fn list(&self, job: &JobId) -> Result<Vec<(String, DeadLetter)>> {
        let failed = |error| failure(&self.directory, error);
        let mut entries = match tokio::fs::read_dir(&self.directory).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut out = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(failed)? {
            let name = entry.file_name();
            let Some(place) = name
                .to_str()
                .filter(|_| has_extension(Path::new(&name), "json"))
            else {
                continue;
            };
            let text = match tokio::fs::read(entry.path()).await {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            // What is no letter is not ours.
            if let Ok(letter) = serde_json::from_slice::<DeadLetter>(&text)
                && letter.job == job.as_str()
                && format!("{}.json", letter.name()) == place
            {
                out.push((place.to_owned(), letter));
            }
        }
        out.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(out)
    }

    async fn open(&self, place: &str) -> Result<Option<(DeadLetter, Option<Content>)>> {
        let failed = |error| failure(&self.directory, error);
        let path = self.file(place)?;
        let text = match tokio::fs::read(&path).await {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let letter: DeadLetter = serde_json::from_slice(&text)
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        let content = match self.content(&path.with_extension("eml"), letter.size).await {
            Ok(content) => Some(content?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        Ok(Some((letter, content)))
    }

    async fn discard(&self, place: &str) -> Result<()> {
        let path = self.file(place)?;
        // The reason last: as long as it is there, this is done again.
        for path in [path.with_extension("eml"), path] {
            match tokio::fs::remove_file(&path).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failure(&self.directory, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn describe(&self, place: &str) -> String {
        self.directory.join(place).display().to_string()
    }
}

/// A file that is there as a whole, or not at all.
struct Whole {
    file: tokio::fs::File,
    temporary: PathBuf,
    path: PathBuf,
}

impl Whole {
    async fn create(path: &Path) -> io::Result<Self> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let mut options = tokio::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        options.mode(0o600);
        let file = options.open(&temporary).await?;
        Ok(Self {
            file,
            temporary: temporary.into(),
            path: path.to_owned(),
        })
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(bytes).await;
        self.or_remove(written).await
    }

    async fn finish(mut self) -> io::Result<()> {
        let synced = match self.file.flush().await {
            Ok(()) => self.file.sync_all().await,
            failed => failed,
        };
        self.or_remove(synced).await?;
        tokio::fs::rename(&self.temporary, &self.path).await?;
        #[cfg(unix)]
        if let Some(directory) = self.path.parent() {
            tokio::fs::File::open(directory).await?.sync_all().await?;
        }
        Ok(())
    }

    /// A full disk is not filled further by what is of no use.
    async fn or_remove(&self, result: io::Result<()>) -> io::Result<()> {
        if result.is_err() {
            let _ = tokio::fs::remove_file(&self.temporary).await;
        }
        result
    }
}

async fn make_directory(path: &Path) -> io::Result<()> {
    let mut builder = tokio::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    builder.mode(0o700);
    builder.create(path).await
}

fn failure(directory: &Path, error: io::Error) -> Error {
    let full = matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    );
    let (code, message, remedy) = if full {
        (
            "dead-letter/full",
            "the disk is full: a dead letter cannot be kept",
            "Free some space and run again; the message is still at the source.",
        )
    } else {
        (
            "dead-letter/io",
            "a dead letter cannot be read or written",
            "Check that the directory is writable; the message is still at the source.",
        )
    };
    Error::new(ErrorKind::Io, message)
        .with_code(code)
        .with_context("directory", directory.display().to_string())
        .with_remedy(remedy)
        .with_source(error)
}

/// Dead letters in memory, for tests. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryDeadLetters(Arc<Mutex<InMemory>>);

#[derive(Debug, Default)]
struct InMemory {
    letters: BTreeMap<String, (DeadLetter, Option<Bytes>)>,
    full: bool,
}

impl MemoryDeadLetters {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, InMemory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on there is no room for any, or there is again.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// All letters with their contents, by name.
    #[must_use]
    pub fn all(&self) -> Vec<(DeadLetter, Option<Bytes>)> {
        self.lock().letters.values().cloned().collect()
    }
}

#[async_trait]
impl DeadLetters for MemoryDeadLetters {
    async fn keep(&self, letter: &DeadLetter, content: Option<&Content>) -> Result<String> {
        let mut bytes = Vec::new();
        if let Some(content) = content {
            let mut reader = content.reader();
            while let Some(piece) = reader.next().await? {
                bytes.extend_from_slice(&piece);
            }
        }
        let mut inner = self.lock();
        if inner.full {
            let error = io::Error::from(io::ErrorKind::StorageFull);
            return Err(failure(Path::new("memory"), error));
        }
        let name = letter.name();
        let before = inner.letters.remove(&name).and_then(|(_, bytes)| bytes);
        let bytes = content.map(|_| Bytes::from(bytes)).or(before);
        let mut letter = letter.clone();
        letter.content = bytes.as_ref().map(|_| format!("{name}.eml"));
        inner.letters.insert(name.clone(), (letter, bytes));
        Ok(name)
    }

    async fn list(&self, job: &JobId) -> Result<Vec<(String, DeadLetter)>> {
        let inner = self.lock();
        let all = inner.letters.iter();
        let ours = all.filter(|(_, (letter, _))| letter.job == job.as_str());
        Ok(ours
            .map(|(place, (letter, _))| (place.clone(), letter.clone()))
            .collect())
    }

    async fn open(&self, place: &str) -> Result<Option<(DeadLetter, Option<Content>)>> {
        let found = self.lock().letters.get(place).cloned();
        Ok(found.map(|(letter, bytes)| (letter, bytes.map(Content::from_bytes))))
    }

    async fn discard(&self, place: &str) -> Result<()> {
        self.lock().letters.remove(place);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::MemoryBudget;

    fn letter(id: &str) -> DeadLetter {
        let mut letter = DeadLetter::new(
            &JobId::new("job"),
            FolderPath::inbox(),
            FolderNo(3),
            MessageId::new(id),
        );
        letter.code = "imap/no".to_owned();
        letter.size = 5;
        letter
    }

    fn directory(at: &Path) -> DeadLetterDirectory {
        let spool = Spool::new(at.join("spool"), MemoryBudget::new(1 << 20));
        DeadLetterDirectory::new(at.join("state/dead"), spool)
    }

    #[tokio::test]
    async fn kept_once_for_this_user_alone_and_read_back() {
        let temp = tempfile::tempdir().unwrap();
        let letters = directory(temp.path());
        let job = JobId::new("job");
        assert!(letters.list(&job).await.unwrap().is_empty());
        let content = Content::from_bytes("a\0b\nc");
        let place = letters
            .keep(&letter("../17/x"), Some(&content))
            .await
            .unwrap();
        let mut again = letter("../17/x");
        again.tries = 2;
        assert_eq!(letters.keep(&again, None).await.unwrap(), place);
        let other = letters.keep(&letter("18"), None).await.unwrap();
        assert_ne!(place, other);
        let directory = temp.path().join("state/dead");
        let files: Vec<_> = std::fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap())
            .collect();
        assert_eq!(files.len(), 3, "{files:?}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&directory), 0o700);
            assert!(files.iter().all(|file| mode(&file.path()) == 0o600));
        }
        let (found, content) = letters.open(&place).await.unwrap().unwrap();
        assert_eq!(
            (found.tries, content.unwrap().as_bytes().unwrap().as_ref()),
            (2, &b"a\0b\nc"[..])
        );
        let (found, content) = letters.open(&other).await.unwrap().unwrap();
        assert!(found.content.is_none() && content.is_none());
        assert_eq!(letters.list(&job).await.unwrap().len(), 2);
        assert!(letters.list(&JobId::new("other")).await.unwrap().is_empty());
        letters.discard(&place).await.unwrap();
        letters.discard(&place).await.unwrap();
        assert!(letters.open(&place).await.unwrap().is_none());
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn nothing_outside_of_the_directory_is_a_place() {
        let temp = tempfile::tempdir().unwrap();
        let letters = directory(temp.path());
        for place in [
            "../x.json",
            "/etc/passwd",
            "x",
            "a/b.json",
            "",
            "..",
            "x.json/",
        ] {
            let error = letters.open(place).await.unwrap_err();
            assert_eq!(error.code(), "dead-letter/place", "{place}");
            assert!(letters.discard(place).await.is_err());
        }
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_told_and_leaves_what_was() {
        let temp = tempfile::tempdir().unwrap();
        let letters = directory(temp.path());
        let content = Content::from_bytes("hello");
        let place = letters.keep(&letter("1"), Some(&content)).await.unwrap();
        // Something stands in the way of the temporary file.
        let path = temp.path().join("state/dead").join(&place);
        let in_the_way = path.with_extension("eml.tmp");
        std::fs::create_dir(&in_the_way).unwrap();
        let mut again = letter("1");
        again.tries = 9;
        let error = letters.keep(&again, Some(&content)).await.unwrap_err();
        assert_eq!(error.code(), "dead-letter/io");
        assert!(error.remedy().is_some());
        let (found, _) = letters.open(&place).await.unwrap().unwrap();
        assert_eq!(found.tries, 0);
        std::fs::write(&path, "no letter").unwrap();
        assert!(letters.open(&place).await.is_err());
        assert!(letters.list(&JobId::new("job")).await.unwrap().is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_has_a_code_of_its_own() {
        let error = failure(Path::new("x"), io::Error::from_raw_os_error(28));
        assert_eq!(error.code(), "dead-letter/full");
    }
}
