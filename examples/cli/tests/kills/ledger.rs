//! What a killed run left in its ledger.

use std::{collections::HashMap, path::Path};

use mailmove_testkit::snapshot::Snapshot;
use serde_json::Value;

/// The open intents, each with its messages' digests, and how often a digest is claimed.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) intents: Vec<Vec<String>>,
    claimed: HashMap<String, usize>,
}

impl Left {
    pub(crate) fn read(state: &Path) -> Self {
        let files = std::fs::read_dir(state).into_iter().flatten();
        let mut paths = files.map(|file| file.unwrap().path());
        let file = paths.find(|path| path.extension().is_some_and(|end| end == "sqlite3"));
        let store = file.and_then(|file| rusqlite::Connection::open(file).ok());
        // Killed before there was one.
        store.map_or_else(Self::default, |store| Self::of(&store).unwrap_or_default())
    }

    fn of(store: &rusqlite::Connection) -> rusqlite::Result<Self> {
        let mut left = Self::default();
        let mut all = store.prepare("SELECT items FROM intent")?;
        for items in all.query_map([], |row| row.get::<_, String>(0))? {
            let items: Vec<Value> = serde_json::from_str(&items?).unwrap_or_default();
            let digest = |item: &Value| item["digest"].as_str().map(bare);
            left.intents.push(items.iter().filter_map(digest).collect());
        }
        let claims = "SELECT hex(digest) FROM item WHERE target IS NOT NULL AND digest IS NOT NULL";
        let mut all = store.prepare(claims)?;
        for digest in all.query_map([], |row| row.get::<_, String>(0))? {
            *left.claimed.entry(bare(&digest?)).or_default() += 1;
        }
        Ok(left)
    }

    /// Intents all of whose messages are there, unclaimed.
    pub(crate) fn landed(&self, there: &Snapshot) -> usize {
        let mut free: HashMap<String, usize> = HashMap::new();
        for message in there.folders.values().flat_map(|folder| &folder.messages) {
            *free.entry(bare(&message.digest.to_string())).or_default() += 1;
        }
        for (digest, count) in &self.claimed {
            if let Some(there) = free.get_mut(digest) {
                *there = there.saturating_sub(*count);
            }
        }
        let landed = |intent: &&Vec<String>| {
            let mut free = free.clone();
            !intent.is_empty()
                && intent.iter().all(|digest| {
                    let left = free.get_mut(digest).filter(|left| **left > 0);
                    left.is_some_and(|left| {
                        *left -= 1;
                        true
                    })
                })
        };
        self.intents.iter().filter(landed).count()
    }
}

/// The hexadecimal digits alone, whatever names the kind of digest.
fn bare(digest: &str) -> String {
    let digits = digest.rsplit([':', '-', ' ']).next().unwrap_or(digest);
    digits.to_ascii_lowercase()
}
