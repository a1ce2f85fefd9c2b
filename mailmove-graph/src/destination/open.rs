//! Messages whose attachments did not all arrive: made, and not stored.
//!
//! A message is made first, and its attachments follow one by one. Until the last of them is there, its mark says
//! that it is not complete. What a crash or a lost connection leaves behind so is no message to the engine: it is
//! passed over where messages are told. Who sends the same message again goes on with it, if it is known for sure which
//! attachments are there, and removes it before it makes another else.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use mailmove_core::model::{ContentDigest, FolderId, MessageId};

/// What is known of incomplete messages.
#[derive(Debug, Default)]
pub(super) struct Incomplete(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    left: HashMap<(FolderId, ContentDigest), Vec<Left>>,
    /// Those that are being filled now.
    busy: HashSet<MessageId>,
}

/// One that was left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) id: MessageId,
    /// How many attachments are there for sure, and none beside; `None` if that is not known.
    pub(super) done: Option<usize>,
}

impl Incomplete {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One was seen in a folder.
    pub(super) fn found(&self, folder: &FolderId, content: ContentDigest, id: &MessageId) {
        let mut state = self.state();
        if state.busy.contains(id) {
            return;
        }
        let left = state.left.entry((folder.clone(), content)).or_default();
        if left.iter().all(|one| one.id != *id) {
            let id = id.clone();
            left.push(Left { id, done: None });
        }
    }

    /// This one is being filled.
    pub(super) fn begin(&self, id: &MessageId) {
        self.state().busy.insert(id.clone());
    }

    /// It is complete, or gone.
    pub(super) fn end(&self, id: &MessageId) {
        self.state().busy.remove(id);
    }

    /// It is left as it is.
    pub(super) fn leave(&self, folder: &FolderId, content: ContentDigest, left: Left) {
        let mut state = self.state();
        state.busy.remove(&left.id);
        let all = state.left.entry((folder.clone(), content)).or_default();
        all.retain(|one| one.id != left.id);
        all.push(left);
    }

    /// Takes what there is of a message. It is whoever takes it who fills or removes it.
    pub(super) fn take(&self, folder: &FolderId, content: ContentDigest) -> Vec<Left> {
        let mut state = self.state();
        let taken = state.left.remove(&(folder.clone(), content));
        let taken = taken.unwrap_or_default();
        for left in &taken {
            state.busy.insert(left.id.clone());
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_filled_is_nothing_left_behind() {
        let incomplete = Incomplete::default();
        let (folder, content) = (FolderId::new("f"), ContentDigest::of(b"x"));
        let (one, other) = (MessageId::new("1"), MessageId::new("2"));
        incomplete.begin(&one);
        incomplete.found(&folder, content, &one);
        incomplete.found(&folder, content, &other);
        incomplete.found(&folder, content, &other);
        let left = |id: &MessageId, done| Left {
            id: id.clone(),
            done,
        };
        assert_eq!(incomplete.take(&folder, content), [left(&other, None)]);
        incomplete.found(&folder, content, &other);
        assert!(incomplete.take(&folder, content).is_empty());
        incomplete.leave(&folder, content, left(&one, Some(2)));
        incomplete.found(&folder, content, &one);
        assert_eq!(incomplete.take(&folder, content), [left(&one, Some(2))]);
        incomplete.end(&one);
        incomplete.found(&folder, content, &one);
        assert_eq!(incomplete.take(&folder, content), [left(&one, None)]);
    }
}
