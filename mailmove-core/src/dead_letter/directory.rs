//! Dead letters as files.

use std::{
    io,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{DeadLetter, DeadLetters};
use crate::{
    edge::Spool,
    error::{Error, ErrorKind, Result},
    model::{Content, JobId},
};

/// Dead letters as files of a directory, for this user alone: `NAME.json` with the reason, and
/// `NAME.eml` with the message, byte for byte.
///
/// Each is written under another name, synced, and renamed: whatever is found there is whole. No
/// message is ever there without a reason that says whose it is: that of a new letter comes first, and
/// once more when the message is there.
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

    async fn write_reason(&self, place: &str, letter: &DeadLetter) -> Result<()> {
        let failed = |error| failure(&self.directory, error);
        let text =
            serde_json::to_vec_pretty(letter).map_err(|error| failed(io::Error::other(error)))?;
        let path = self.directory.join(place);
        let mut file = Whole::create(&path).await.map_err(failed)?;
        file.write(&text).await.map_err(failed)?;
        file.finish().await.map_err(failed)
    }

    async fn write_content(&self, path: &Path, content: &Content) -> Result<()> {
        let failed = |error| failure(&self.directory, error);
        let mut reader = content.reader();
        let mut file = Whole::create(path).await.map_err(failed)?;
        while let Some(piece) = reader.next().await? {
            file.write(&piece).await.map_err(failed)?;
        }
        file.finish().await.map_err(failed)
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
        let place = format!("{name}.json");
        if let Some(content) = content {
            let reason = self.directory.join(&place);
            let first = !tokio::fs::try_exists(&reason).await.map_err(failed)?;
            if first {
                letter.content = None;
                self.write_reason(&place, &letter).await?;
            }
            if let Err(error) = self.write_content(&body, content).await {
                if first {
                    let _ = tokio::fs::remove_file(&reason).await;
                }
                return Err(error);
            }
        }
        let there = content.is_some() || tokio::fs::try_exists(&body).await.map_err(failed)?;
        letter.content = there.then(|| format!("{name}.eml"));
        self.write_reason(&place, &letter).await?;
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

pub(super) fn failure(directory: &Path, error: io::Error) -> Error {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        checkpoint::FolderNo,
        edge::MemoryBudget,
        model::{FolderPath, MessageId},
    };

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

    #[tokio::test]
    async fn at_no_time_is_a_message_there_without_its_reason() {
        use std::task::{Context, Poll, Waker};
        let temp = tempfile::tempdir().unwrap();
        let letters = directory(temp.path());
        let (content, job) = (Content::from_bytes("hello"), JobId::new("job"));
        // Steps that end at once are not seen one by one, so that it may take several letters.
        let mut seen = false;
        for n in 0..100 {
            let letter = letter(&n.to_string());
            let body = temp.path().join("state/dead").join(letter.name());
            let body = body.with_extension("eml");
            let mut keeping = letters.keep(&letter, Some(&content));
            // As if it were killed after each step.
            loop {
                let mut context = Context::from_waker(Waker::noop());
                let polled = keeping.as_mut().poll(&mut context);
                if body.exists() {
                    assert_eq!(letters.list(&job).await.unwrap().len(), n + 1);
                    seen |= polled.is_pending();
                }
                match polled {
                    Poll::Ready(place) => break assert!(place.is_ok()),
                    Poll::Pending => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
                }
            }
            if seen {
                return;
            }
        }
        panic!("never seen before the end");
    }

    #[tokio::test]
    async fn what_was_never_kept_leaves_no_reason() {
        let temp = tempfile::tempdir().unwrap();
        let letters = directory(temp.path());
        let in_the_way = format!("state/dead/{}.eml.tmp", letter("1").name());
        std::fs::create_dir_all(temp.path().join(in_the_way)).unwrap();
        let content = Content::from_bytes("hello");
        letters
            .keep(&letter("1"), Some(&content))
            .await
            .unwrap_err();
        assert!(letters.list(&JobId::new("job")).await.unwrap().is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_has_a_code_of_its_own() {
        let error = failure(Path::new("x"), io::Error::from_raw_os_error(28));
        assert_eq!(error.code(), "dead-letter/full");
    }
}
