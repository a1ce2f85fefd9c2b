//! The bytes of a message: cheap to clone, exact in size, digested once, readable again.

use std::{fmt, fs::File, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Form;
use crate::{
    edge::MemoryPermit,
    error::{Error, ErrorKind, Result},
};

/// BLAKE3 of a message's exact bytes. Written as 64 hexadecimal digits.
///
/// This is a file format (design: identity): version `c1` is plain BLAKE3-256 without key or
/// context, over the bytes as the source sent them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentDigest([u8; 32]);

impl ContentDigest {
    /// Digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// From its 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}
impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentDigest({self})")
    }
}
impl Serialize for ContentDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for ContentDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hash = blake3::Hash::from_hex(text).map_err(serde::de::Error::custom)?;
        Ok(Self(*hash.as_bytes()))
    }
}

/// The bytes of an item. Made by a [`Spool`](crate::edge::Spool), which decides whether they stay
/// in memory (under the process's budget) or in an unlinked file of the state directory.
#[derive(Clone)]
pub struct Content {
    inner: Arc<Inner>,
    form: Form,
}

struct Inner {
    body: Body,
    size: u64,
    digest: ContentDigest,
    nul: bool,
    // Gives the bytes back to the budget when the last clone goes.
    _permit: Option<MemoryPermit>,
}

pub(crate) enum Body {
    Memory(Bytes),
    File(Arc<File>),
}

impl Content {
    /// Content that is in memory already, outside of any budget. For tests and small items.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let digest = ContentDigest::of(&bytes);
        let nul = memchr::memchr(0, &bytes).is_some();
        Self::new(bytes.len() as u64, digest, nul, Body::Memory(bytes), None)
    }

    pub(crate) fn new(
        size: u64,
        digest: ContentDigest,
        nul: bool,
        body: Body,
        permit: Option<MemoryPermit>,
    ) -> Self {
        let inner = Inner {
            body,
            size,
            digest,
            nul,
            _permit: permit,
        };
        Self {
            inner: Arc::new(inner),
            form: Form::Mime,
        }
    }

    /// The same bytes, said to be of that form; MIME otherwise.
    #[must_use]
    pub fn with_form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// What its bytes are.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// Exact number of bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.inner.size
    }

    /// Digest of the bytes.
    #[must_use]
    pub fn digest(&self) -> ContentDigest {
        self.inner.digest
    }

    /// It holds NUL, which some systems take in a way of its own or not at all.
    #[must_use]
    pub fn holds_nul(&self) -> bool {
        self.inner.nul
    }

    /// The bytes, if they are in memory.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match &self.inner.body {
            Body::Memory(bytes) => Some(bytes),
            Body::File(_) => None,
        }
    }

    /// Reads from the start; any number of readers may read at once.
    #[must_use]
    pub fn reader(&self) -> ContentReader {
        ContentReader {
            content: self.clone(),
            at: 0,
        }
    }

    /// Reads from there on.
    #[must_use]
    pub fn reader_from(&self, at: u64) -> ContentReader {
        ContentReader {
            content: self.clone(),
            at,
        }
    }

    /// Up to `len` bytes from the start: enough for a header. Reads a file at most once.
    ///
    /// # Errors
    /// If the spool file cannot be read.
    pub async fn prefix(&self, len: usize) -> Result<Bytes> {
        match &self.inner.body {
            Body::Memory(bytes) => Ok(bytes.slice(..len.min(bytes.len()))),
            Body::File(file) => {
                let len = usize::try_from(self.inner.size)
                    .unwrap_or(usize::MAX)
                    .min(len);
                read_at(file, 0, len).await
            }
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the mail itself.
        let place = if self.as_bytes().is_some() {
            "memory"
        } else {
            "file"
        };
        write!(
            f,
            "Content({} bytes in {place}, {})",
            self.inner.size, self.inner.digest
        )
    }
}

/// Reads a [`Content`] from start to end in pieces.
#[derive(Debug)]
pub struct ContentReader {
    content: Content,
    at: u64,
}

/// Size of the pieces read from a spool file.
const PIECE: u64 = 256 * 1024;

impl ContentReader {
    /// The next piece; `None` at the end. Content in memory comes in one piece, without a copy.
    /// Cancel safe: a piece not returned is read again.
    ///
    /// # Errors
    /// If the spool file cannot be read.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let inner = &self.content.inner;
        if self.at >= inner.size {
            return Ok(None);
        }
        let piece = match &inner.body {
            // Less than the size, which is the length of these bytes.
            Body::Memory(bytes) => bytes.slice(usize::try_from(self.at).unwrap_or(bytes.len())..),
            Body::File(file) => {
                let len = usize::try_from(PIECE.min(inner.size - self.at)).unwrap_or(usize::MAX);
                read_at(file, self.at, len).await?
            }
        };
        self.at += piece.len() as u64;
        Ok(Some(piece))
    }
}

async fn read_at(file: &Arc<File>, at: u64, len: usize) -> Result<Bytes> {
    let file = Arc::clone(file);
    let read = move || {
        let mut buffer = vec![0; len];
        read_exact_at(&file, &mut buffer, at).map(|()| Bytes::from(buffer))
    };
    let failed = |message| Error::new(ErrorKind::Io, message);
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| failed("reading a spooled message was interrupted").with_source(error))?
        .map_err(|error| failed("cannot read back a spooled message").with_source(error))
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut at: u64) -> std::io::Result<()> {
    use std::os::windows::fs::FileExt as _;
    while !buffer.is_empty() {
        match file.seek_read(buffer, at)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => {
                buffer = &mut buffer[n..];
                at += n as u64;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_c1_is_plain_blake3() {
        // Test vectors of the file format: the empty input is BLAKE3's own published vector.
        assert_eq!(
            ContentDigest::of(b"").to_string(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
        let json = serde_json::to_string(&ContentDigest::of(b"abc")).unwrap();
        assert_eq!(
            json,
            "\"6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85\""
        );
        assert_eq!(
            serde_json::from_str::<ContentDigest>(&json).unwrap(),
            ContentDigest::of(b"abc")
        );
    }

    #[tokio::test]
    async fn memory_is_read_in_one_piece_and_again() {
        let content = Content::from_bytes("hello");
        for _ in 0..2 {
            let mut reader = content.reader();
            assert_eq!(reader.next().await.unwrap().unwrap(), "hello");
            assert!(reader.next().await.unwrap().is_none());
        }
        assert_eq!(content.prefix(2).await.unwrap(), "he");
        let rest = content.reader_from(2).next().await.unwrap();
        assert_eq!(rest.unwrap(), "llo");
        assert!(content.reader_from(9).next().await.unwrap().is_none());
        assert_eq!(content.size(), 5);
        assert_eq!(content.digest(), ContentDigest::of(b"hello"));
        assert_eq!(content.as_bytes().unwrap(), "hello");
        assert!(!content.holds_nul() && Content::from_bytes("a\0").holds_nul());
    }

    #[test]
    fn what_is_shown_of_it_is_no_mail() {
        let digest = ContentDigest::of(b"hello");
        let shown = format!("{:?}", Content::from_bytes("hello"));
        let expected = format!("Content(5 bytes in memory, {digest})");
        assert_eq!(shown, expected);
        assert_eq!(format!("{digest:?}"), format!("ContentDigest({digest})"));
    }
}
