//! FindItem: what is in a folder, where SyncFolderItems isn't offered (public folders, groups).
//!
//! Pages are counted from the start, so that what is removed meanwhile would make the next one pass
//! something over. They are therefore in the order in which items came into the folder (new ones come at
//! the end), each page begins with the last item of the one before, and at the end there must be as many
//! as the server counts. What does not fit is listed anew.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
};

use mailmove_core::{
    error::{Error, ErrorKind, Result, Retry, Scope},
    model::{FolderId, Mark, MessageId},
};

use crate::{
    error::{self, Doing},
    items::Meta,
    pool::Pool,
    wire::{self, Element, Property, Shape, SoapError},
};

/// Items that are asked for at once: Exchange gives 1,000 at most.
const PAGE: usize = 500;
/// Begins the text of a mark that is a number, and no sync state (which is base64).
const NUMBER: &str = "find:";

const FIND: Doing = Doing::folder("FindItem");

/// An item, and its number in the order of coming, if the server has such.
pub(crate) type Numbered = (Meta, Option<i64>);

/// A page of a folder.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Numbered>,
    pub(crate) is_last: bool,
    /// So many items there are in the folder.
    pub(crate) total: Option<u64>,
}

/// A walk through a folder.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    hasher: RandomState,
    /// Digests of the ids that were told.
    seen: HashSet<u64>,
    last: Option<MessageId>,
}

/// Something moved while the pages were read.
fn moved() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the folder changed while it was listed",
    )
    .with_code("ews/list-moved")
    .with_scope(Scope::Folder)
    .with_retry(Retry::Backoff)
}

impl Walk {
    /// The next page.
    ///
    /// # Errors
    /// If something was removed meanwhile, which makes pages useless: walk anew.
    pub(crate) async fn next(
        &mut self,
        pool: &Pool,
        folder: &FolderId,
        most: usize,
        shape: Shape,
    ) -> Result<Page> {
        let overlap = usize::from(self.last.is_some());
        let offset = self.seen.len() - overlap.min(self.seen.len());
        let most = most.clamp(1, PAGE) + overlap;
        let request = wire::find_items(folder.as_str(), offset, most, true, shape);
        let (items, is_last, total) = ask(pool, folder, &request).await?;
        let mut items = items.into_iter();
        if self.last.is_some() && items.next().map(|(meta, _)| meta.id) != self.last {
            return Err(moved());
        }
        let items: Vec<Numbered> = items.collect();
        for (meta, _) in &items {
            if !self.seen.insert(self.hasher.hash_one(&meta.id)) {
                return Err(moved());
            }
        }
        if let Some((meta, _)) = items.last() {
            self.last = Some(meta.id.clone());
        }
        let short = total.is_some_and(|total| total != self.seen.len() as u64);
        if (is_last && short) || (!is_last && items.is_empty()) {
            return Err(moved());
        }
        Ok(Page {
            items,
            is_last,
            total,
        })
    }
}

async fn ask(
    pool: &Pool,
    folder: &FolderId,
    request: &wire::Request,
) -> Result<(Vec<Numbered>, bool, Option<u64>)> {
    let located = |error: Error| error.with_context("folder", folder.as_str());
    let answer = pool.call(request).await.map_err(located)?;
    let message = answer.messages.first().ok_or_else(error::missing)?;
    if let Some(refused) = SoapError::of(message) {
        let error = error::refused(FIND, &refused);
        return Err(match error.code() {
            // The folder's id is all that was asked with.
            "ews/bad-id" | "ews/no-item" => crate::folders::no_folder(),
            _ => located(error),
        });
    }
    let page = message.child("RootFolder").ok_or_else(error::missing)?;
    let items = page.child("Items").map_or(&[][..], |items| &items.children);
    let items = items.iter().filter_map(numbered).collect();
    let is_last = page.attribute("IncludesLastItemInRange") != Some("false");
    let total = page.attribute("TotalItemsInView");
    Ok((items, is_last, total.and_then(|total| total.parse().ok())))
}

fn numbered(item: &Element) -> Option<Numbered> {
    Some((Meta::of(item)?, Property::ArticleNumber.number(item)))
}

/// The number of the item that came last, as a mark: what comes in later has a higher one. Where items
/// have none, the mark is that of an empty folder: all that is there counts as new.
pub(crate) async fn mark(pool: &Pool, folder: &FolderId) -> Result<Mark> {
    let request = wire::find_items(folder.as_str(), 0, 1, false, Shape::Meta);
    let (items, ..) = ask(pool, folder, &request).await?;
    let number = items.first().and_then(|(_, number)| *number).unwrap_or(0);
    Ok(Mark::opaque(folder.as_str(), format!("{NUMBER}{number}")))
}

/// The number that a mark tells; `None` if it is a sync state.
pub(crate) fn number(mark: &str) -> Option<i64> {
    mark.strip_prefix(NUMBER)?.parse().ok()
}
