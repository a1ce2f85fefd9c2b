//! Where message bodies wait between source and destination.

use std::{
    fmt,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};

use super::{MemoryBudget, MemoryPermit};
use crate::{
    error::{Error, ErrorKind, Result},
    model::{Body, Content, ContentDigest},
};

/// Takes message bodies in: small ones into memory while the budget lasts, all others into files
/// that are unlinked as soon as they are made (mode 0600), so that nothing is left behind.
#[derive(Clone)]
pub struct Spool(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    budget: MemoryBudget,
    largest_in_memory: u64,
}

impl Spool {
    /// Files go into `directory` (created when first needed). The state directory is the right
    /// place: `/tmp` may be memory. A body stays in memory if it is at most an eighth of the
    /// budget's limit and the budget has room.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, budget: MemoryBudget) -> Self {
        let largest_in_memory = budget.limit() / 8;
        Self(Arc::new(Inner {
            directory: directory.into(),
            budget,
            largest_in_memory,
        }))
    }

    /// The budget it uses.
    #[must_use]
    pub fn budget(&self) -> &MemoryBudget {
        &self.0.budget
    }

    /// Where its files go.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// Starts a body that will have `announced` bytes, as far as is known.
    ///
    /// # Errors
    /// If a file is needed and cannot be made.
    pub fn writer(&self, announced: u64) -> Result<SpoolWriter> {
        let permit = (announced <= self.0.largest_in_memory)
            .then(|| self.0.budget.take(announced))
            .flatten();
        let place = match permit {
            Some(permit) => {
                let capacity = usize::try_from(announced).unwrap_or(0);
                Place::Memory {
                    buffer: BytesMut::with_capacity(capacity),
                    permit,
                    announced,
                }
            }
            None => Place::File(self.file()?),
        };
        Ok(SpoolWriter {
            spool: self.clone(),
            place,
            hasher: blake3::Hasher::new(),
            size: 0,
            nul: false,
        })
    }

    fn file(&self) -> Result<File> {
        let directory = &self.0.directory;
        std::fs::create_dir_all(directory)
            .and_then(|()| tempfile::tempfile_in(directory))
            .map_err(|error| {
                Error::new(
                    ErrorKind::Io,
                    "cannot make a spool file for a large message",
                )
                .with_code("spool/create")
                .with_context("directory", directory.display().to_string())
                .with_remedy("Check that the directory is writable and its disk not full.")
                .with_source(error)
            })
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Spool({}, {:?})",
            self.0.directory.display(),
            self.0.budget
        )
    }
}

/// A body on its way in. Dropped before [`finish`](Self::finish), it leaves nothing behind.
pub struct SpoolWriter {
    spool: Spool,
    place: Place,
    hasher: blake3::Hasher,
    size: u64,
    nul: bool,
}

enum Place {
    Memory {
        buffer: BytesMut,
        permit: MemoryPermit,
        announced: u64,
    },
    File(File),
}

impl SpoolWriter {
    /// Appends `bytes`. Files are written in the calling thread: they go to the page cache, and
    /// handing each piece to another thread costs more than it saves.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        self.nul = self.nul || memchr::memchr(0, bytes).is_some();
        if let Place::Memory {
            buffer, announced, ..
        } = &mut self.place
        {
            if self.size <= *announced {
                buffer.extend_from_slice(bytes);
                return Ok(());
            }
            // More than was announced: the budget was asked for less, so it goes to a file.
            let mut file = self.spool.file()?;
            file.write_all(buffer)
                .map_err(|error| failed(&self.spool, error))?;
            self.place = Place::File(file);
        }
        match &mut self.place {
            Place::File(file) => file
                .write_all(bytes)
                .map_err(|error| failed(&self.spool, error)),
            Place::Memory { .. } => Ok(()),
        }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Ends the body.
    #[must_use]
    pub fn finish(self) -> Content {
        let digest = ContentDigest::from_bytes(*self.hasher.finalize().as_bytes());
        match self.place {
            Place::Memory { buffer, permit, .. } => Content::new(
                self.size,
                digest,
                self.nul,
                Body::Memory(Bytes::from(buffer)),
                Some(permit),
            ),
            Place::File(file) => Content::new(
                self.size,
                digest,
                self.nul,
                Body::File(Arc::new(file)),
                None,
            ),
        }
    }
}

fn failed(spool: &Spool, error: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Io,
        "cannot write a large message to its spool file",
    )
    .with_code("spool/write")
    .with_context("directory", spool.directory().display().to_string())
    .with_remedy("Free some space on that disk, then run again.")
    .with_source(error)
}

impl fmt::Debug for SpoolWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpoolWriter({} bytes)", self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_all(content: &Content) -> Vec<u8> {
        let mut out = Vec::new();
        let mut reader = content.reader();
        while let Some(piece) = reader.next().await.unwrap() {
            out.extend_from_slice(&piece);
        }
        out
    }

    #[tokio::test]
    async fn small_stays_in_memory_large_goes_to_a_file_that_has_no_name() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path(), MemoryBudget::new(80));
        for (announced, len, in_memory) in [(5, 5, true), (11, 11, false), (3, 700_000, false)] {
            let bytes: Vec<u8> = (0..len).map(|n: u32| n.to_le_bytes()[0]).collect();
            let mut writer = spool.writer(announced).unwrap();
            for piece in bytes.chunks(4096) {
                writer.write(piece).unwrap();
            }
            let content = writer.finish();
            assert_eq!(content.as_bytes().is_some(), in_memory);
            assert_eq!(content.size(), u64::from(len));
            assert_eq!(content.digest(), ContentDigest::of(&bytes));
            assert!(content.holds_nul());
            assert_eq!(read_all(&content).await, bytes);
            assert_eq!(content.prefix(3).await.unwrap(), bytes[..3]);
            assert_eq!(content.prefix(1 << 20).await.unwrap(), bytes);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(spool.budget().used(), 0);
    }

    #[test]
    fn over_budget_goes_to_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path(), MemoryBudget::new(80));
        let mut kept = Vec::new();
        for _ in 0..20 {
            let mut writer = spool.writer(10).unwrap();
            writer.write(b"0123456789").unwrap();
            kept.push(writer.finish());
        }
        assert_eq!(
            kept.iter()
                .filter(|content| content.as_bytes().is_some())
                .count(),
            8
        );
        assert!(!kept.iter().any(Content::holds_nul));
        assert_eq!(spool.budget().peak(), 80);
    }
}
