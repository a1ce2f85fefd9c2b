//! What becomes of contents that arrive: kept for the engine, or only digested.

use std::{fmt, sync::Arc};

use mailmove_core::{
    edge::{Spool, SpoolWriter},
    error::Result,
    identity::{BodyHasher, HeaderDigest, Meaning, MeaningReader},
    model::{Content, ContentDigest},
};

use crate::boundaries::{Ending, Renaming};

/// Where contents go.
pub trait Contents: Send {
    /// What a content becomes.
    type Item: Send;

    /// The next bytes of the present content.
    fn write(&mut self, bytes: &[u8]);

    /// The present content ends; `whole` is false if its Base64 was damaged.
    fn end(&mut self, whole: bool) -> Self::Item;
}

/// Contents up to this size wait in memory until their size is known; larger ones go to a file at once.
const SMALL: usize = 256 << 10;

/// Keeps contents in the spool.
pub struct Keep {
    spool: Spool,
    small: Vec<u8>,
    large: Option<Result<SpoolWriter>>,
    renaming: Option<Renaming>,
    renamed: Vec<u8>,
    ending: Ending,
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keep")
    }
}

impl Keep {
    /// With [renamed boundaries](crate::boundaries), if so said.
    #[must_use]
    pub fn new(spool: &Spool, renames: bool) -> Self {
        Self {
            spool: spool.clone(),
            small: Vec::new(),
            large: None,
            renaming: renames.then(Renaming::default),
            renamed: Vec::new(),
            ending: Ending::default(),
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        match &mut self.large {
            None if self.small.len() + bytes.len() <= SMALL => self.small.extend_from_slice(bytes),
            None => {
                self.spill();
                self.keep(bytes);
            }
            Some(Ok(writer)) => {
                if let Err(error) = writer.write(bytes) {
                    self.large = Some(Err(error));
                }
            }
            // The rest is read, and told as failed at its end.
            Some(Err(_)) => {}
        }
    }

    /// Keeps what was renamed.
    fn keep_renamed(&mut self, renamed: Vec<u8>) {
        self.keep(&renamed);
        self.renamed = renamed;
        self.renamed.clear();
    }

    fn spill(&mut self) {
        let writer = self.spool.writer(u64::MAX).and_then(|mut writer| {
            writer.write(&self.small)?;
            Ok(writer)
        });
        self.small = Vec::new();
        self.large = Some(writer);
    }
}

/// A content that was kept, or why it could not be; and whether it came whole.
#[derive(Debug)]
#[non_exhaustive]
pub struct Kept {
    /// The content.
    pub content: Result<Content>,
    /// Its encoding was not damaged.
    pub whole: bool,
    /// Its boundaries cannot be renamed: it has to be had as it comes.
    pub collided: bool,
    /// It has parts, and its last boundary is missing.
    pub cut: bool,
}

impl Contents for Keep {
    type Item = Kept;

    fn write(&mut self, bytes: &[u8]) {
        self.ending.update(bytes);
        let Some(renaming) = &mut self.renaming else {
            return self.keep(bytes);
        };
        let mut renamed = std::mem::take(&mut self.renamed);
        renaming.update(bytes, &mut renamed);
        self.keep_renamed(renamed);
    }

    fn end(&mut self, whole: bool) -> Kept {
        let mut collided = false;
        if let Some(renaming) = &mut self.renaming {
            let mut renamed = std::mem::take(&mut self.renamed);
            collided = !renaming.finish(&mut renamed);
            self.keep_renamed(renamed);
        }
        let content = match self.large.take() {
            Some(writer) => writer.map(SpoolWriter::finish),
            None => {
                let small = std::mem::take(&mut self.small);
                let writer = self.spool.writer(small.len() as u64);
                writer.and_then(|mut writer| {
                    writer.write(&small)?;
                    Ok(writer.finish())
                })
            }
        };
        Kept {
            content,
            whole,
            collided,
            cut: std::mem::take(&mut self.ending).is_cut(),
        }
    }
}

/// Longest header that is digested.
const HEADER_MAX: usize = 1 << 20;

/// Digests contents, and keeps nothing of them.
pub struct Digest {
    hasher: blake3::Hasher,
    body: BodyHasher,
    header: Vec<u8>,
    in_body: bool,
    size: u64,
    meaning: Option<MeaningReader>,
    renaming: Option<Renaming>,
    renamed: Vec<u8>,
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

impl Digest {
    /// With [renamed boundaries](crate::boundaries), if so said; and reading what contents mean.
    #[must_use]
    pub fn new(renames: bool, meaning: bool) -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            body: BodyHasher::new(),
            header: Vec::new(),
            in_body: false,
            size: 0,
            meaning: meaning.then(MeaningReader::new),
            renaming: renames.then(Renaming::default),
            renamed: Vec::new(),
        }
    }

    fn digest(&mut self, bytes: &[u8]) {
        if let Some(meaning) = &mut self.meaning {
            meaning.update(bytes);
        }
        self.hasher.update(bytes);
        self.body.update(bytes);
        self.size += bytes.len() as u64;
        if !self.in_body {
            // The empty line may lie across two pieces; what follows it does no harm.
            let room = HEADER_MAX
                .saturating_sub(self.header.len())
                .min(bytes.len());
            self.header
                .extend_from_slice(bytes.get(..room).unwrap_or_default());
            self.in_body = room < bytes.len() || self.body.finish().is_some();
        }
    }
}

/// What was digested.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Digested {
    /// The beginning of the content, with its header.
    pub start: Vec<u8>,
    /// Of its bytes.
    pub content: ContentDigest,
    /// Of its header.
    pub header: HeaderDigest,
    /// Of what follows the header.
    pub body: Option<ContentDigest>,
    /// How many bytes.
    pub size: u64,
    /// Its encoding was not damaged.
    pub whole: bool,
    /// What it means, if that was asked for.
    pub meaning: Option<Arc<Meaning>>,
}

impl Contents for Digest {
    type Item = Digested;

    fn write(&mut self, bytes: &[u8]) {
        let Some(renaming) = &mut self.renaming else {
            return self.digest(bytes);
        };
        let mut renamed = std::mem::take(&mut self.renamed);
        renaming.update(bytes, &mut renamed);
        self.digest(&renamed);
        renamed.clear();
        self.renamed = renamed;
    }

    fn end(&mut self, whole: bool) -> Digested {
        if let Some(renaming) = &mut self.renaming {
            let mut renamed = std::mem::take(&mut self.renamed);
            renaming.finish(&mut renamed);
            self.digest(&renamed);
        }
        let next = Self::new(self.renaming.is_some(), self.meaning.is_some());
        let done = std::mem::replace(self, next);
        Digested {
            meaning: done.meaning.map(|meaning| Arc::new(meaning.finish())),
            content: ContentDigest::from_bytes(*done.hasher.finalize().as_bytes()),
            header: HeaderDigest::of(&done.header),
            start: done.header,
            body: done.body.finish(),
            size: done.size,
            whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use mailmove_core::edge::MemoryBudget;

    use super::*;

    #[tokio::test]
    async fn contents_of_any_size_are_kept_as_they_come() {
        let spool = Spool::new(std::env::temp_dir(), MemoryBudget::new(8 << 20));
        let mut keep = Keep::new(&spool, true);
        let mut digest = Digest::new(true, false);
        for len in [0, 5, SMALL, SMALL + 1, 3 * SMALL] {
            let mut bytes = b"Subject: x\r\n\r\n".to_vec();
            bytes.resize(len.max(14), b'x');
            for piece in bytes.chunks(6000) {
                keep.write(piece);
                digest.write(piece);
            }
            let kept = keep.end(true).content.unwrap();
            let digested = digest.end(true);
            assert_eq!(kept.size(), bytes.len() as u64);
            assert_eq!(kept.digest(), ContentDigest::of(&bytes));
            assert_eq!(
                (digested.content, digested.size),
                (kept.digest(), kept.size())
            );
            assert_eq!(digested.header, HeaderDigest::of(&bytes));
            assert_eq!(kept.as_bytes().is_some(), bytes.len() <= SMALL);
        }
    }
}
