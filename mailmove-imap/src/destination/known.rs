//! What this destination has learned about its server and folders.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mailmove_core::model::{Folder, FolderId, Keyword, Mark, Naming};
use tokio::{sync::OwnedMutexGuard, time::Instant};

use super::is_other_epoch;
use crate::{folders::Listing, naming::Names, nul::Breaks, wire};

/// How long a server's word about a folder is trusted before it is asked anew.
const FRESH: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Known {
    state: Mutex<State>,
    binary: Breaks,
}

/// Whether the server takes the item UTF8 of APPEND, which goes with an enabled UTF8=ACCEPT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Utf8 {
    #[default]
    Untried,
    Taken,
    /// Enabled, but refused (Cyrus behind its proxy); or not enabled.
    Refused,
}

#[derive(Debug, Default)]
struct State {
    names: Option<Names>,
    naming: Option<Naming>,
    /// The last look at all folders, for whoever makes some right after it.
    listed: Option<(Listing, Instant)>,
    folders: HashMap<FolderId, FolderState>,
    synchronising: bool,
    /// Messages of this mailbox have keywords.
    keywords: bool,
    /// Keywords that the server took in any folder.
    accepted: HashSet<Keyword>,
    utf8: Utf8,
    inbox_opened: bool,
    dates_refused: bool,
}

#[derive(Debug, Default)]
struct FolderState {
    permanent: Option<wire::Flags>,
    /// Keywords that the server took in an APPEND or lists as permanent.
    accepted: HashSet<Keyword>,
    /// Keywords that the server refused.
    refused: HashSet<Keyword>,
    confirmed: Option<(u32, Instant)>,
    /// Its own largest message, once it was asked; within, `None` is no limit.
    limit: Option<Option<u64>>,
    /// Held by whoever asks about the folder before an append.
    looking: Arc<tokio::sync::Mutex<()>>,
}

impl Known {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn binary(&self) -> &Breaks {
        &self.binary
    }

    pub(super) fn names(&self) -> Option<Names> {
        self.state().names.clone()
    }

    pub(super) fn set_names(&self, names: Names) {
        self.state().names = Some(names);
    }

    /// The inbox has a number that lasts, as far as we can give it one.
    pub(super) fn inbox_opened(&self) -> bool {
        self.state().inbox_opened
    }

    pub(super) fn set_inbox_opened(&self) {
        self.state().inbox_opened = true;
    }

    /// The server refused a message for its date: others like it go with another from now on.
    pub(super) fn refuse_dates(&self) {
        self.state().dates_refused = true;
    }

    pub(super) fn refuses_dates(&self) -> bool {
        self.state().dates_refused
    }

    pub(super) fn naming(&self) -> Option<Naming> {
        self.state().naming.clone()
    }

    pub(super) fn set_naming(&self, naming: Naming) {
        self.state().naming = Some(naming);
    }

    pub(super) fn set_listed(&self, listing: Listing) {
        self.state().listed = Some((listing, Instant::now()));
    }

    /// The last look at all folders, if it was just now. Given once.
    pub(super) fn take_listed(&self) -> Option<Listing> {
        let (listing, at) = self.state().listed.take()?;
        (at.elapsed() < FRESH).then_some(listing)
    }

    /// The server was seen to answer BAD to an APPEND: it may not skip the literal after a refusal,
    /// and then runs the mail's lines as commands. From now on we wait for its leave each time.
    pub(super) fn wait_for_leave(&self) {
        self.state().synchronising = true;
    }

    pub(super) fn waits_for_leave(&self) -> bool {
        self.state().synchronising
    }

    pub(super) fn utf8(&self) -> Utf8 {
        self.state().utf8
    }

    pub(super) fn set_utf8(&self, utf8: Utf8) {
        self.state().utf8 = utf8;
    }

    /// PERMANENTFLAGS of a folder, if it was asked.
    pub(super) fn permanent(&self, folder: &FolderId) -> Option<wire::Flags> {
        self.state().folders.get(folder)?.permanent.clone()
    }

    pub(super) fn set_permanent(&self, folder: &FolderId, flags: &wire::Flags) {
        let mut state = self.state();
        let known = state.folders.entry(folder.clone()).or_default();
        let words = flags
            .others()
            .filter_map(|flag| std::str::from_utf8(flag).ok());
        known
            .accepted
            .extend(words.filter_map(|word| Keyword::new(word).ok()));
        known.permanent = Some(flags.clone());
    }

    /// A message has keywords: others will, too, and their folders are asked which they keep.
    pub(super) fn expect_keywords(&self) {
        self.state().keywords = true;
    }

    pub(super) fn expects_keywords(&self) -> bool {
        self.state().keywords
    }

    /// The keywords that need no leave in a folder: those that it has taken before, and where it takes any, those
    /// that another one has. A server's parser is the same in all of them.
    pub(super) fn harmless(&self, folder: &FolderId) -> HashSet<Keyword> {
        let state = self.state();
        let Some(known) = state.folders.get(folder) else {
            return HashSet::new();
        };
        let mut harmless = known.accepted.clone();
        if known
            .permanent
            .as_ref()
            .is_some_and(wire::Flags::may_create)
        {
            harmless.extend(state.accepted.iter().cloned());
        }
        harmless
    }

    /// The keywords that the folder has taken before.
    pub(super) fn accepted(&self, folder: &FolderId) -> HashSet<Keyword> {
        let state = self.state();
        state
            .folders
            .get(folder)
            .map(|known| known.accepted.clone())
            .unwrap_or_default()
    }

    pub(super) fn accept(&self, folder: &FolderId, keywords: impl IntoIterator<Item = Keyword>) {
        let mut state = self.state();
        let State {
            folders, accepted, ..
        } = &mut *state;
        let known = folders.entry(folder.clone()).or_default();
        for keyword in keywords {
            if known.accepted.insert(keyword.clone()) {
                accepted.insert(keyword);
            }
        }
    }

    /// The keywords that the folder has refused.
    pub(super) fn refused(&self, folder: &FolderId) -> HashSet<Keyword> {
        let state = self.state();
        let known = state.folders.get(folder);
        known.map(|known| known.refused.clone()).unwrap_or_default()
    }

    pub(super) fn refuse(&self, folder: &FolderId, keywords: impl IntoIterator<Item = Keyword>) {
        let mut state = self.state();
        state
            .folders
            .entry(folder.clone())
            .or_default()
            .refused
            .extend(keywords);
    }

    /// The folder's own largest message, if it was asked; within, `None` is no limit.
    pub(super) fn limit(&self, folder: &FolderId) -> Option<Option<u64>> {
        self.state().folders.get(folder)?.limit
    }

    pub(super) fn set_limit(&self, folder: &FolderId, limit: Option<u64>) {
        let mut state = self.state();
        state.folders.entry(folder.clone()).or_default().limit = Some(limit);
    }

    /// To be held while the folder is asked about before an append, so that it is asked about once; and
    /// taken before a connection is, of which there may be just one.
    pub(super) async fn looking(&self, folder: &FolderId) -> OwnedMutexGuard<()> {
        let looking = {
            let mut state = self.state();
            let known = state.folders.entry(folder.clone()).or_default();
            Arc::clone(&known.looking)
        };
        looking.lock_owned().await
    }

    /// An APPENDUID or a STATUS named this UIDVALIDITY just now.
    pub(super) fn confirm(&self, folder: &FolderId, validity: u32) {
        let mut state = self.state();
        let known = state.folders.entry(folder.clone()).or_default();
        known.confirmed = Some((validity, Instant::now()));
    }

    /// LIST or STATUS described the folder so just now. An inbox may be another at the next look (Courier).
    pub(super) fn confirm_seen(&self, folder: &Folder) {
        let mark = folder.mark.as_ref().filter(|_| !folder.path.is_inbox());
        if let Some(validity) = mark.and_then(|mark| mark.epoch.as_str().parse().ok()) {
            self.confirm(&folder.id, validity);
        }
    }

    /// The folder was seen in the mark's state of numbering so recently that asking is no gain.
    pub(super) fn is_confirmed(&self, folder: &FolderId, mark: &Mark) -> bool {
        let state = self.state();
        let confirmed = state.folders.get(folder).and_then(|known| known.confirmed);
        confirmed.is_some_and(|(now, at)| !is_other_epoch(mark, now) && at.elapsed() < FRESH)
    }

    /// Nothing is sure about this folder any more.
    pub(super) fn forget(&self, folder: &FolderId) {
        self.state().folders.remove(folder);
    }
}
