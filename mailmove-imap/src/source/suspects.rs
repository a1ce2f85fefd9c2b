//! Messages at which connections broke.
//!
//! Some servers hang up in the midst of a message that they cannot read, and would do so again and
//! again: one damaged message would cost its folder. So it is remembered where connections broke.
//! A listing leaves out contents around such a place, a fetch asks for such a message last and alone,
//! and one that breaks connections even then is given up.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use mailmove_core::{
    error::{Error, ErrorKind, Retry, Scope},
    model::FolderId,
};

use crate::{nul::Breaks, wire::UidRange};

/// UIDs from the broken one on whose contents a listing leaves out: which of them it was is not
/// always known.
const AROUND: u32 = 100;
/// Connections broken by a message that was asked for alone, after which it is given up.
const GIVE_UP: u32 = 2;
/// Places remembered in a folder. With more of them it is the network that is broken.
const MOST: usize = 100;

type Folders = HashMap<(FolderId, u32), BTreeMap<u32, u32>>;

/// How often connections broke at a message asked for alone, by folder, UIDVALIDITY and UID. One
/// that is named with 0 is merely under suspicion.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    folders: Mutex<Folders>,
    /// Of the whole server.
    pub(super) binary: Breaks,
}

impl Suspects {
    fn folders(&self) -> MutexGuard<'_, Folders> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection broke while this message was coming or about to come; `alone` if nothing else
    /// was asked for.
    pub(super) fn note(
        &self,
        folder: &FolderId,
        validity: u32,
        uid: u32,
        alone: bool,
        error: &Error,
    ) {
        let kinds = [
            ErrorKind::Interrupted,
            ErrorKind::Timeout,
            ErrorKind::Protocol,
        ];
        if !kinds.contains(&error.kind()) {
            return;
        }
        let mut folders = self.folders();
        let broken = folders.entry((folder.clone(), validity)).or_default();
        if broken.len() < MOST || broken.contains_key(&uid) {
            *broken.entry(uid).or_default() += u32::from(alone);
        }
    }

    /// What is remembered of a folder.
    pub(super) fn of(&self, folder: &FolderId, validity: u32) -> Broken {
        let folders = self.folders();
        Broken(
            folders
                .get(&(folder.clone(), validity))
                .cloned()
                .unwrap_or_default(),
        )
    }

    /// The message came after all.
    pub(super) fn clear(&self, folder: &FolderId, validity: u32, uid: u32) {
        if let Some(broken) = self.folders().get_mut(&(folder.clone(), validity)) {
            broken.remove(&uid);
        }
    }
}

/// Where connections broke in a folder.
#[derive(Debug, Default)]
pub(super) struct Broken(BTreeMap<u32, u32>);

impl Broken {
    /// The message is under suspicion.
    pub(super) fn has(&self, uid: u32) -> bool {
        self.0.contains_key(&uid)
    }

    /// Nothing more is to be tried with it.
    pub(super) fn is_given_up(&self, uid: u32) -> bool {
        self.0.get(&uid).is_some_and(|times| *times >= GIVE_UP)
    }

    /// Contents of this range should be left out; true for whole windows between
    /// [`borders`](Self::borders).
    pub(super) fn covers(&self, range: UidRange) -> bool {
        let before = self.0.range(..=range.start()).next_back();
        before.is_some_and(|(uid, _)| range.start() - uid < AROUND)
    }

    /// Contents of this range may be asked for.
    pub(super) fn spares(&self, range: UidRange) -> bool {
        let first = range.start().saturating_sub(AROUND);
        self.0.range(first..=range.end()).next().is_none()
    }

    /// Where windows should begin.
    pub(super) fn borders(&self) -> impl Iterator<Item = u32> + '_ {
        self.0
            .keys()
            .flat_map(|uid| [*uid, uid.saturating_add(AROUND)])
    }
}

/// Why a message is given up.
pub(super) fn given_up() -> Error {
    Error::new(
        ErrorKind::Interrupted,
        "the connection breaks whenever this message is asked for",
    )
    .with_code("imap/breaks-connection")
    .with_scope(Scope::Message)
    .with_retry(Retry::Never)
    .with_remedy("Open the message in webmail: it may be damaged on the server.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_broken_connections_count() {
        let (suspects, folder) = (Suspects::default(), FolderId::new("x"));
        let refused = Error::new(ErrorKind::Refused, "no");
        let broken = Error::new(ErrorKind::Interrupted, "gone");
        suspects.note(&folder, 1, 7, true, &refused);
        assert!(!suspects.of(&folder, 1).has(7));
        suspects.note(&folder, 1, 7, false, &broken);
        for _ in 0..GIVE_UP {
            assert!(!suspects.of(&folder, 1).is_given_up(7));
            suspects.note(&folder, 1, 7, true, &broken);
        }
        assert!(suspects.of(&folder, 1).is_given_up(7));
        assert!(!suspects.of(&folder, 2).has(7));
        suspects.clear(&folder, 1, 7);
        assert!(!suspects.of(&folder, 1).has(7));
    }

    #[test]
    fn windows_around_a_broken_place() {
        let broken = Broken(BTreeMap::from([(500, 1), (550, 1)]));
        let covers = |start, end| broken.covers(UidRange::new(start, end).unwrap());
        assert_eq!(broken.borders().collect::<Vec<_>>(), [500, 600, 550, 650]);
        assert!(!covers(400, 499));
        assert!(covers(500, 549) && covers(550, 599) && covers(600, 649));
        assert!(!covers(650, 700));
        let spares = |start, end| broken.spares(UidRange::new(start, end).unwrap());
        assert!(spares(1, 499) && !spares(1, 500) && !spares(620, 640) && spares(651, 700));
    }
}
