//! How large listed items are said to be, for the sake of batches.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, PoisonError},
};

use mailmove_core::model::MessageId;

/// Most sizes that are remembered: some 4 MiB.
const SIZES_MAX: usize = 200_000;
/// An item of unknown size is taken for one of this.
const USUAL: u64 = 64 << 10;

/// Sizes by id. A hint that may be lost.
#[derive(Debug, Default)]
pub struct Sizes {
    hasher: RandomState,
    known: Mutex<HashMap<u64, u32>>,
}

impl Sizes {
    /// Remembers a size.
    pub fn note(&self, id: &MessageId, size: u64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= SIZES_MAX {
            known.clear();
        }
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        known.insert(self.hasher.hash_one(id), size);
    }

    /// What was said, or is usual.
    #[must_use]
    pub fn of(&self, id: &MessageId) -> u64 {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let size = known.get(&self.hasher.hash_one(id)).copied();
        size.map_or(USUAL, u64::from)
    }

    /// Cuts ids by number and bytes; what is larger goes alone.
    #[must_use]
    pub fn batches(&self, ids: Vec<MessageId>, items: usize, most: u64) -> Vec<Vec<MessageId>> {
        let mut out: Vec<Vec<MessageId>> = Vec::new();
        let mut bytes = 0;
        for id in ids {
            let size = self.of(&id);
            match out.last_mut() {
                Some(batch) if batch.len() < items && bytes + size <= most => {
                    bytes += size;
                    batch.push(id);
                }
                _ => {
                    bytes = size;
                    out.push(vec![id]);
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_have_so_many_items_and_bytes() {
        let sizes = Sizes::default();
        let ids: Vec<MessageId> = (0..6).map(|n| MessageId::new(n.to_string())).collect();
        for (id, size) in ids.iter().zip([10, 10, 500, 90, 10, 1]) {
            sizes.note(id, size);
        }
        let lens = |items| -> Vec<usize> {
            let batches = sizes.batches(ids.clone(), items, 100);
            batches.iter().map(Vec::len).collect()
        };
        assert_eq!(lens(20), [2, 1, 2, 1]);
        assert_eq!(lens(1), [1; 6]);
    }
}
