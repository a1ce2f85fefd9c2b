//! Listing a folder.

use std::collections::HashMap;

use mailmove_core::{
    error::{Error, ErrorKind, Result},
    identity::HeaderDigest,
    model::{Content, Cursor, Form, ItemClass, Listed, MessageId},
    source::{Change, Coverage, ListRequest, Page},
};

use super::{Inner, cursor, fetch};
use crate::{
    find::Walk,
    folders,
    generate::Out,
    items::Meta,
    sync::{self, Changed},
    wire::Shape,
};

/// Changes of a page whose contents are read with it.
const PAGE_WITH_CONTENTS: usize = 60;
/// How often it is asked again whether the count that the server gave is that of the last page.
const CONFIRM_MOST: usize = 3;

/// Lists, page by page.
pub(super) async fn run(
    inner: &Inner,
    request: ListRequest,
    out: &Out<Result<Page>>,
) -> Result<()> {
    if request.identity != request.folder.as_str() {
        let error = Error::new(ErrorKind::Stale, "it is another folder by now");
        return Err(error.with_code("ews/other-folder"));
    }
    let mut listing = Listing::new(inner, &request);
    let mut page = match listing.next().await {
        Err(error) if sync::is_not_offered(&error) => return whole(listing, out).await,
        page => page?,
    };
    let mut confirmed = 0;
    loop {
        let mut exists = None;
        let mut next = None;
        if page.is_last {
            // What the server counts belongs to this page only if nothing came or went meanwhile.
            exists = Some(folders::count(&inner.pool, &request.folder).await?);
            listing.state = Some(page.state.clone());
            let further = listing.next().await?;
            confirmed += 1;
            if further.changes.is_empty() && further.is_last {
                page.state.clone_from(&further.state);
            } else if confirmed <= CONFIRM_MOST {
                exists = None;
                next = Some(further);
            }
        }
        let state = page.state.clone();
        let is_last = page.is_last && next.is_none();
        let next_cursor = cursor::write(&page.state);
        let made = listing.page(page.changes, next_cursor).await?;
        let made = made.with_exists(exists);
        listing.begun = true;
        out.send(Ok(made)).await;
        if is_last {
            return Ok(());
        }
        listing.state = Some(state);
        page = match next {
            Some(next) => next,
            None => listing.next().await?,
        };
    }
}

/// Lists a folder of which the server tells no changes: all of it, each time.
async fn whole(mut listing: Listing<'_>, out: &Out<Result<Page>>) -> Result<()> {
    listing.coverage = Coverage::Full;
    let mut walk = Walk::default();
    loop {
        let (pool, folder) = (&listing.inner.pool, &listing.request.folder);
        let page = walk.next(pool, folder, listing.most()).await?;
        // As a sync has them: the newest first.
        let metas = page.items.into_iter().rev();
        let created = metas.map(|(meta, _)| Changed::Created(Box::new(meta)));
        let made = listing.page(created.collect(), cursor::whole()).await?;
        let exists = page.total.filter(|_| page.is_last);
        out.send(Ok(made.with_exists(exists))).await;
        if page.is_last {
            return Ok(());
        }
    }
}

struct Listing<'a> {
    inner: &'a Inner,
    request: &'a ListRequest,
    state: Option<String>,
    coverage: Coverage,
    /// A page was handed on.
    begun: bool,
}

impl<'a> Listing<'a> {
    fn new(inner: &'a Inner, request: &'a ListRequest) -> Self {
        let state = request.since.as_ref().and_then(cursor::read);
        Self {
            inner,
            request,
            state: state.map(str::to_owned),
            coverage: match state {
                Some(_) => Coverage::Delta,
                None => Coverage::Full,
            },
            begun: false,
        }
    }

    /// Entries of a page.
    fn most(&self) -> usize {
        match self.request.headers && self.request.form == Form::Mime {
            true => PAGE_WITH_CONTENTS,
            false => sync::PAGE_MAX,
        }
    }

    async fn next(&mut self) -> Result<sync::Page> {
        let most = self.most();
        let (pool, folder) = (&self.inner.pool, &self.request.folder);
        let shape = match self.request.form {
            Form::Mime => Shape::Meta,
            _ => Shape::Identity,
        };
        let page = sync::page(pool, folder, self.state.as_deref(), most, shape).await;
        match page {
            // The server forgot where we were: everything is listed again.
            Err(error)
                if error.kind() == ErrorKind::Stale && self.state.is_some() && !self.begun =>
            {
                self.state = None;
                self.coverage = Coverage::Full;
                sync::page(pool, folder, None, most, shape).await
            }
            page => page,
        }
    }

    async fn page(&self, page: Vec<Changed>, next: Cursor) -> Result<Page> {
        let read = page.iter().filter_map(|change| match change {
            Changed::Read(id) => Some(id.clone()),
            _ => None,
        });
        let read = self.flags(read.collect()).await?;
        let mut changes = Vec::with_capacity(page.len());
        // The newest come first; a page is handed on with the oldest first.
        for change in page.into_iter().rev() {
            match change {
                Changed::Created(meta) => {
                    if let Some(size) = meta.size {
                        self.inner.sizes.note(&meta.id, size);
                    }
                    changes.push(Change::Item(Box::new(listed(*meta))));
                }
                // Nobody tells what of it changed; of mail it can only be what is told of flags.
                Changed::Updated(meta)
                    if self.request.form != Form::Mime && meta.class != ItemClass::Mail =>
                {
                    changes.push(Change::Altered(Box::new(listed(*meta))));
                }
                Changed::Updated(meta) => changes.push(Change::Flags(meta.id, meta.flags)),
                Changed::Deleted(id) => changes.push(Change::Removed(id)),
                Changed::Read(id) => {
                    if let Some(meta) = read.get(&id) {
                        changes.push(Change::Flags(id, meta.flags.clone()));
                    }
                }
            }
        }
        if self.request.headers && self.request.form == Form::Mime {
            self.headers(&mut changes).await?;
        }
        Ok(Page::new(changes, next, self.coverage))
    }

    /// All flags of messages of which only the read state was told.
    async fn flags(&self, ids: Vec<MessageId>) -> Result<HashMap<MessageId, Meta>> {
        let mut out = HashMap::new();
        for ids in ids.chunks(100) {
            let found = fetch::metas(&self.inner.pool, ids).await?;
            out.extend(found.into_iter().map(|meta| (meta.id.clone(), meta)));
        }
        Ok(out)
    }

    /// Reads the messages for their headers, and hands the contents on if they are wanted: they have to
    /// be read as a whole anyway.
    async fn headers(&self, changes: &mut [Change]) -> Result<()> {
        let ids = changes.iter().filter_map(|change| match change {
            Change::Item(item) => Some(item.id.clone()),
            _ => None,
        });
        let inline = self.request.inline == Some(Form::Mime);
        let mut found = headers(self.inner, ids.collect(), inline).await?;
        for change in changes {
            if let Change::Item(item) = change
                && let Some((header, content)) = found.remove(&item.id)
            {
                item.header = Some(header);
                item.content = content;
            }
        }
        Ok(())
    }
}

async fn headers(
    inner: &Inner,
    ids: Vec<MessageId>,
    inline: bool,
) -> Result<HashMap<MessageId, (HeaderDigest, Option<Content>)>> {
    let mut out = HashMap::new();
    for batch in fetch::batches(inner, ids) {
        if inline {
            for (id, fetched) in fetch::contents(inner, &batch).await {
                if let mailmove_core::source::Fetched::Content(content) = fetched {
                    let header = HeaderDigest::of(&content.prefix(1 << 20).await?);
                    out.insert(id, (header, Some(content)));
                }
            }
        } else {
            let found = fetch::digests(&inner.pool, &batch).await?;
            out.extend(
                found
                    .into_iter()
                    .map(|(id, digested)| (id, (digested.header, None))),
            );
        }
    }
    Ok(out)
}

fn listed(meta: Meta) -> Listed {
    let mut out = Listed::new(meta.id);
    out.class = meta.class;
    // Told if contents travel as exports.
    out.header = meta.identity;
    out.flags = meta.flags;
    out.received = meta.received;
    out.size = meta.size;
    out.notes = meta.notes;
    out
}
