//! Messages whose attachments did not all arrive: made, and not stored.
//!
//! A message is made first, and its attachments follow one by one. Until the last of them is there, its mark says
//! that it is not complete. What a crash or a lost connection leaves behind so is no message to the engine: it is
//! passed over where messages are told. Who sends the same message again goes on with it, if it is known for sure which
//! attachments are there, and removes it before it makes another else. What shows up later than that is swept up: see
//! `sweep`.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use mailmove_core::model::{ContentDigest, FolderId, MessageId};

/// What it is to be, and where.
type Key = (FolderId, ContentDigest);

/// What is known of incomplete messages.
#[derive(Debug, Default)]
pub(super) struct Incomplete {
    state: Mutex<State>,
    makers: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    left: HashMap<Key, Vec<Left>>,
    /// Those that are being filled now, and by whom.
    busy: HashMap<MessageId, (u64, Key)>,
    /// What is being made, by each.
    making: HashMap<u64, HashSet<Key>>,
    /// What was made without an answer, and whether it is stored by now: then whatever shows up of it is nothing but a
    /// rest.
    doubtful: HashMap<Key, bool>,
}

impl State {
    fn leave(&mut self, key: Key, left: Left) {
        self.busy.remove(&left.id);
        let all = self.left.entry(key).or_default();
        all.retain(|one| one.id != left.id);
        all.push(left);
    }

    fn is_being_made(&self, key: &Key) -> bool {
        self.making.values().any(|keys| keys.contains(key))
    }
}

/// One that was left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) id: MessageId,
    /// How many attachments are there for sure, and none beside; `None` if that is not known.
    pub(super) done: Option<usize>,
    /// When this process left it, by the program's clock; `None` if it was found, and may be another's.
    pub(super) since: Option<Duration>,
}

/// One that is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) content: ContentDigest,
    pub(super) left: Left,
    /// What it was to be is stored: there is nothing to wait for.
    pub(super) is_stored: bool,
}

impl Incomplete {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One was seen in a folder.
    pub(super) fn found(&self, folder: &FolderId, content: ContentDigest, id: &MessageId) {
        let mut state = self.state();
        if state.busy.contains_key(id) {
            return;
        }
        let left = state.left.entry((folder.clone(), content)).or_default();
        if left.iter().all(|one| one.id != *id) {
            left.push(Left {
                id: id.clone(),
                done: None,
                since: None,
            });
        }
    }

    /// These contents are made in a folder. Ends with what is returned: what is being filled then was cut off.
    pub(super) fn make(
        &self,
        folder: &FolderId,
        contents: impl Iterator<Item = ContentDigest>,
        now: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Maker<'_> {
        let number = self.makers.fetch_add(1, Ordering::Relaxed);
        let keys = contents.map(|content| (folder.clone(), content)).collect();
        self.state().making.insert(number, keys);
        Maker {
            incomplete: self,
            number,
            folder: folder.clone(),
            now: Box::new(now),
            is_over: false,
        }
    }

    /// It is complete, or gone.
    pub(super) fn end(&self, id: &MessageId) {
        let mut state = self.state();
        state.busy.remove(id);
        state.left.retain(|_, all| {
            all.retain(|one| one.id != *id);
            !all.is_empty()
        });
    }

    /// What is in the way in a folder, and nobody goes on with.
    pub(super) fn rests(&self, folder: &FolderId) -> Vec<Rest> {
        let state = self.state();
        let here = state.left.iter().filter(|(key, _)| key.0 == *folder);
        let free = here.filter(|(key, _)| !state.is_being_made(key));
        free.flat_map(|(key, all)| {
            let is_stored = state.doubtful.get(key).copied().unwrap_or_default();
            all.iter().map(move |left| Rest {
                content: key.1,
                left: left.clone(),
                is_stored,
            })
        })
        .filter(|rest| rest.is_stored || rest.left.done.is_none())
        .collect()
    }

    /// Takes one of these, to remove it; false if somebody goes on with it by now.
    pub(super) fn claim(&self, maker: &Maker<'_>, rest: &Rest) -> bool {
        let mut state = self.state();
        let key = (maker.folder.clone(), rest.content);
        let is_being_made = state
            .making
            .iter()
            .any(|(number, keys)| *number != maker.number && keys.contains(&key));
        let all = state.left.get_mut(&key).filter(|_| !is_being_made);
        let Some(all) = all else { return false };
        let before = all.len();
        all.retain(|one| one.id != rest.left.id);
        if all.len() == before {
            return false;
        }
        let id = rest.left.id.clone();
        state.busy.insert(id, (maker.number, key));
        true
    }
}

/// Makes messages of a folder.
pub(super) struct Maker<'a> {
    incomplete: &'a Incomplete,
    number: u64,
    folder: FolderId,
    now: Box<dyn Fn() -> Duration + Send + Sync>,
    is_over: bool,
}

impl Maker<'_> {
    fn key(&self, content: ContentDigest) -> Key {
        (self.folder.clone(), content)
    }

    /// This one is being filled.
    pub(super) fn begin(&self, content: ContentDigest, id: &MessageId) {
        let mut state = self.incomplete.state();
        let key = self.key(content);
        // A look at the folder may have been earlier than the answer.
        if let Some(all) = state.left.get_mut(&key) {
            all.retain(|one| one.id != *id);
        }
        state.busy.insert(id.clone(), (self.number, key));
    }

    /// Takes what there is of a message. It is whoever takes it who fills or removes it.
    pub(super) fn take(&self, content: ContentDigest) -> Vec<Left> {
        let mut state = self.incomplete.state();
        let key = self.key(content);
        let mut taken = state.left.remove(&key).unwrap_or_default();
        taken.retain(|left| !state.busy.contains_key(&left.id));
        for left in &taken {
            let id = left.id.clone();
            state.busy.insert(id, (self.number, key.clone()));
        }
        taken
    }

    /// It is left as it is, and this process knows what it is.
    pub(super) fn leave(&self, content: ContentDigest, id: MessageId, done: Option<usize>) {
        let since = Some((self.now)());
        let left = Left { id, done, since };
        self.put_back(content, left);
    }

    /// It stays what it was.
    pub(super) fn put_back(&self, content: ContentDigest, left: Left) {
        self.incomplete.state().leave(self.key(content), left);
    }

    /// It may have been made, or be made yet: nobody knows.
    pub(super) fn doubt(&self, content: ContentDigest) {
        let key = self.key(content);
        self.incomplete.state().doubtful.insert(key, false);
    }

    /// It is stored.
    pub(super) fn stored(&self, content: ContentDigest) {
        let key = self.key(content);
        if let Some(is_stored) = self.incomplete.state().doubtful.get_mut(&key) {
            *is_stored = true;
        }
    }

    /// All is answered.
    pub(super) fn over(mut self) {
        self.is_over = true;
    }
}

impl Drop for Maker<'_> {
    fn drop(&mut self) {
        let since = Some((self.now)());
        let mut state = self.incomplete.state();
        let keys = state.making.remove(&self.number).unwrap_or_default();
        let mine = state.busy.iter();
        let mine = mine.filter(|(_, (number, _))| *number == self.number);
        let mine: Vec<(MessageId, Key)> = mine
            .map(|(id, (_, key))| (id.clone(), key.clone()))
            .collect();
        for (id, key) in mine {
            let done = None;
            state.leave(key, Left { id, done, since });
        }
        if !self.is_over {
            // What was sent last may have been carried out.
            let keys = keys.into_iter();
            state.doubtful.extend(keys.map(|key| (key, false)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(id: &MessageId, done: Option<usize>, since: Option<u64>) -> Left {
        Left {
            id: id.clone(),
            done,
            since: since.map(Duration::from_secs),
        }
    }

    fn maker<'a>(incomplete: &'a Incomplete, folder: &FolderId) -> Maker<'a> {
        let contents = [ContentDigest::of(b"x")].into_iter();
        incomplete.make(folder, contents, || Duration::from_secs(9))
    }

    #[test]
    fn what_is_being_filled_is_nothing_left_behind() {
        let incomplete = Incomplete::default();
        let (folder, content) = (FolderId::new("f"), ContentDigest::of(b"x"));
        let (one, other) = (MessageId::new("1"), MessageId::new("2"));
        let making = maker(&incomplete, &folder);
        making.begin(content, &one);
        incomplete.found(&folder, content, &one);
        incomplete.found(&folder, content, &other);
        incomplete.found(&folder, content, &other);
        assert_eq!(making.take(content), [left(&other, None, None)]);
        incomplete.found(&folder, content, &other);
        assert!(making.take(content).is_empty());
        making.leave(content, one.clone(), Some(2));
        incomplete.found(&folder, content, &one);
        assert_eq!(making.take(content), [left(&one, Some(2), Some(9))]);
        incomplete.end(&one);
        incomplete.found(&folder, content, &one);
        assert_eq!(making.take(content), [left(&one, None, None)]);
    }

    /// The server shows a message before its answer is there.
    #[test]
    fn what_was_seen_before_its_answer_came_is_nobody_elses() {
        let incomplete = Incomplete::default();
        let (folder, content) = (FolderId::new("f"), ContentDigest::of(b"x"));
        let id = MessageId::new("1");
        let (first, second) = (maker(&incomplete, &folder), maker(&incomplete, &folder));
        incomplete.found(&folder, content, &id);
        first.begin(content, &id);
        assert!(incomplete.state().left.values().all(Vec::is_empty));
        assert!(second.take(content).is_empty());
        assert!(incomplete.rests(&folder).is_empty());
    }

    #[test]
    fn whose_maker_is_gone_is_left_behind() {
        let incomplete = Incomplete::default();
        let (folder, content) = (FolderId::new("f"), ContentDigest::of(b"x"));
        let id = MessageId::new("1");
        let making = maker(&incomplete, &folder);
        making.begin(content, &id);
        drop(making);
        let again = maker(&incomplete, &folder);
        assert_eq!(again.take(content), [left(&id, None, Some(9))]);
        // It was cut off, so that another may land.
        again.stored(content);
        again.over();
        incomplete.end(&id);
        let late = MessageId::new("2");
        incomplete.found(&folder, content, &late);
        let rests = incomplete.rests(&folder);
        assert!(
            rests
                .iter()
                .all(|rest| rest.is_stored && rest.left.id == late)
        );
        assert_eq!(rests.len(), 1);
    }

    #[test]
    fn nobody_sweeps_what_somebody_goes_on_with() {
        let incomplete = Incomplete::default();
        let (folder, content) = (FolderId::new("f"), ContentDigest::of(b"x"));
        let (found, resumable) = (MessageId::new("1"), MessageId::new("2"));
        let making = maker(&incomplete, &folder);
        making.leave(content, resumable.clone(), Some(1));
        incomplete.found(&folder, content, &found);
        assert!(incomplete.rests(&folder).is_empty());
        making.over();
        let rests = incomplete.rests(&folder);
        let ids: Vec<&MessageId> = rests.iter().map(|rest| &rest.left.id).collect();
        assert_eq!(ids, [&found]);
        assert!(incomplete.rests(&FolderId::new("g")).is_empty());
        let again = maker(&incomplete, &folder);
        let sweeper = incomplete.make(&folder, std::iter::empty(), || Duration::ZERO);
        assert!(!incomplete.claim(&sweeper, &rests[0]));
        again.over();
        assert!(incomplete.claim(&sweeper, &rests[0]));
        assert!(!incomplete.claim(&sweeper, &rests[0]));
    }
}
