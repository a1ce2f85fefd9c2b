//! Dead letters in memory, for tests.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{DeadLetter, DeadLetters, directory::failure};
use crate::{
    error::Result,
    model::{Content, JobId},
};

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
