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

/// Where a walk is.
pub(super) struct Walk<'a> {
    inner: &'a Inner,
    folder: &'a FolderId,
    state: Option<String>,
    /// Whether all may be told where the server forgot where to go on.
    may_begin_anew: bool,
    /// Whether all may be told by ids alone where one of the messages can't be read.
    may_go_by_ids: bool,
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
            may_go_by_ids: false,
            state,
            followed: HashSet::new(),
            idle: 0,
            hasher: RandomState::new(),
        }
    }

    /// The same; where one of the messages, which are mail, can't be read, all that there is, is told by ids alone. Links
    /// remember what was asked for: what is told after such a walk's last one is as bare.
    pub(super) const fn or_by_ids(mut self) -> Self {
        self.may_go_by_ids = true;
        self
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
                    self.followed.clear();
                    self.state = None;
                }
                Err(error) if delta::is_poison(&error) && self.may_go_by_ids => {
                    tracing::warn!("a message can't be listed; the folder is listed by ids alone");
                    self.may_go_by_ids = false;
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
