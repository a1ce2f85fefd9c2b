//! Goes through what is in a folder, or changed there, page by page.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
};

use mailmove_core::{
    error::{Result, Scope},
    model::FolderId,
};

use super::Inner;
use crate::{
    delta::{self, Changes},
    error,
};

/// Whether a folder may be listed by ids alone, if one of its messages can't be read: of mail it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByIds {
    /// Whoever looks needs to know all of each.
    Never,
    /// Where all is told. Of what changed it may be the very one that somebody is in doubt about.
    All,
    /// Whoever looks wants to know where it ends.
    Always,
}

/// Where a walk is.
pub(super) struct Walk<'a> {
    inner: &'a Inner,
    folder: &'a FolderId,
    state: Option<String>,
    /// Whether all may be told where the server forgot where to go on.
    may_begin_anew: bool,
    /// Whether all has to be told anyway.
    from_beginning: bool,
    /// One of the messages can't be listed with all that is asked for: ids alone are, if that may be.
    ids: bool,
    may_be_ids: ByIds,
    /// Links that were followed, by a few bytes of each.
    followed: HashSet<u64>,
    /// Pages in a row that brought nothing.
    idle: usize,
    hasher: RandomState,
}

impl<'a> Walk<'a> {
    /// From a state on; from the beginning without. Links end one day: all that there is, is told then, unless it has
    /// to be `exact`.
    pub(super) fn new(
        inner: &'a Inner,
        folder: &'a FolderId,
        state: Option<String>,
        exact: bool,
    ) -> Self {
        Self {
            inner,
            folder,
            may_begin_anew: !exact && state.is_some(),
            from_beginning: state.is_none(),
            ids: false,
            may_be_ids: ByIds::Never,
            state,
            followed: HashSet::new(),
            idle: 0,
            hasher: RandomState::new(),
        }
    }

    /// The same, perhaps by ids alone. Links remember what was asked for: what comes after one of this walk may be
    /// told by its id alone as well.
    pub(super) const fn with_ids(mut self, may_be: ByIds) -> Self {
        self.may_be_ids = may_be;
        self
    }

    fn may_go_by_ids(&self) -> bool {
        let may_be = match self.may_be_ids {
            ByIds::Never => false,
            ByIds::All => self.from_beginning,
            ByIds::Always => true,
        };
        may_be && !self.ids
    }

    /// The next page. Not to be called after the last one.
    ///
    /// # Errors
    /// [`Stale`](mailmove_core::ErrorKind::Stale) if the server forgets again and again where it was, or where it must not.
    pub(super) async fn next(&mut self) -> Result<Changes> {
        let page = loop {
            match self.inner.page(self.folder, self.state.as_deref()).await {
                Err(error) if delta::is_forgotten(&error) && self.may_begin_anew => {
                    self.may_begin_anew = false;
                    self.from_beginning = true;
                    self.followed.clear();
                    self.state = None;
                }
                Err(error) if delta::is_poison(&error) && self.may_go_by_ids() => {
                    tracing::warn!("a message can't be listed; the folder is listed by ids alone");
                    self.ids = true;
                    self.followed.clear();
                    self.state = Some(delta::ids(&self.inner.pool, self.folder));
                }
                page => break page?,
            }
        };
        self.idle = match page.changes.is_empty() {
            true => self.idle + 1,
            false => 0,
        };
        let is_new = page.is_last || self.followed.insert(self.hasher.hash_one(&page.state));
        if !is_new || self.idle > delta::IDLE_MAX {
            return Err(error::same_link().with_scope(Scope::Folder));
        }
        self.state = Some(page.state.clone());
        Ok(page)
    }
}
