//! Listing a folder.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
};

use futures_util::{StreamExt as _, stream};
use mailmove_core::{
    error::{Error, ErrorKind, Result, Retry, Scope},
    identity::HeaderDigest,
    model::{Content, Cursor, Flags, Form, Listed, MessageId},
    source::{Change, Coverage, ListRequest, Page},
};

use mailmove_exchange::tree;

use super::{Inner, cursor, fetch};
use crate::{
    delta::{self, Changed, Changes},
    error::Doing,
    folders,
    generate::Out,
    items::{self, Meta},
    pool::Pool,
    wire::{Path, Request},
};

/// Changes of a page whose contents are read with it.
const PAGE_WITH_CONTENTS: usize = 60;
/// Changes of a page, if it fails as a whole because of one of them: fewer and fewer.
const SMALLER: [usize; 3] = [50, 7, 1];
/// How often it is asked again whether the count that the server gave is that of the last page.
const CONFIRM_MOST: usize = 3;

/// Lists, page by page.
pub(super) async fn run(
    inner: &Inner,
    request: ListRequest,
    out: &Out<Result<Page>>,
) -> Result<()> {
    if request.identity != request.folder.as_str() {
        return Err(other_folder());
    }
    let mut listing = Listing::new(inner, &request);
    if request.form == Form::ExchangeStream {
        listing.mailbox = Some(folders::exports(&inner.pool).await?);
    }
    let mut page = listing.next().await?;
    let mut confirmed = 0;
    loop {
        let mut exists = None;
        let mut next = None;
        if page.is_last {
            // What the server counts belongs to this page only if nothing came or went meanwhile.
            exists = Some(listing.count().await?);
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
        listing.begun = true;
        out.send(Ok(made.with_exists(exists))).await;
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

pub(super) fn other_folder() -> Error {
    Error::new(ErrorKind::Stale, "it is another folder by now").with_code("graph/other-folder")
}

struct Listing<'a> {
    inner: &'a Inner,
    request: &'a ListRequest,
    /// The server's link to go on from.
    state: Option<String>,
    coverage: Coverage,
    /// A page was handed on.
    begun: bool,
    /// One of the messages can't be listed with all that is asked for: ids alone are.
    ids: bool,
    told: Seen,
    /// Items of all classes are listed, by the interface for exports: the mailbox's name there.
    mailbox: Option<String>,
}

/// What was told of in this listing already: digests of ids, and of the flags that were told.
#[derive(Default)]
struct Seen {
    hashers: (RandomState, RandomState),
    all: HashMap<(u64, u64), u64>,
}

enum Telling {
    First,
    Changed,
    Same,
}

impl Seen {
    fn key(&self, id: &MessageId) -> (u64, u64) {
        (self.hashers.0.hash_one(id), self.hashers.1.hash_one(id))
    }

    fn tell(&mut self, id: &MessageId, flags: &Flags) -> Telling {
        let (key, flags) = (self.key(id), self.hashers.0.hash_one(flags.to_string()));
        match self.all.insert(key, flags) {
            None => Telling::First,
            Some(before) if before == flags => Telling::Same,
            Some(_) => Telling::Changed,
        }
    }

    fn forget(&mut self, id: &MessageId) {
        let key = self.key(id);
        self.all.remove(&key);
    }
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
            ids: false,
            told: Seen::default(),
            mailbox: None,
        }
    }

    /// Entries of a page.
    fn most(&self) -> usize {
        match self.request.headers {
            true => PAGE_WITH_CONTENTS,
            false => delta::PAGE,
        }
    }

    async fn next(&mut self) -> Result<Changes> {
        let page = self.around().await;
        match page {
            // The server forgot where we were: everything is listed again. That is told as such, so that
            // nobody takes what is not listed for gone before all was.
            Err(error) if delta::is_forgotten(&error) && self.state.is_some() && !self.begun => {
                self.anew();
                self.around().await
            }
            // A message that spoils each page that it is in can't be passed over by the link that leads there.
            Err(error) if is_poison(&error) && !self.ids && !self.begun => {
                tracing::warn!("a message can't be listed; the folder is listed by ids alone");
                self.anew();
                self.ids = true;
                self.around().await
            }
            Err(error) if is_poison(&error) && !self.ids && self.coverage == Coverage::Full => {
                self.state = None;
                self.ids = true;
                self.around().await
            }
            // Pages of changes were handed on: the next listing begins with the one that fails.
            Err(error) if is_poison(&error) => Err(match self.ids {
                true => error.with_scope(Scope::Folder),
                false => error
                    .with_scope(Scope::Folder)
                    .with_retry(Retry::Backoff)
                    .with_code("graph/poison"),
            }),
            page => page,
        }
    }

    fn anew(&mut self) {
        self.state = None;
        self.coverage = Coverage::Full;
    }

    /// Where a listing begins that is not that of messages.
    fn begin(&self) -> Option<String> {
        let (pool, folder) = (&self.inner.pool, &self.request.folder);
        let path = match &self.mailbox {
            Some(mailbox) => {
                let path = Path::new().at("admin/exchange/mailboxes").id(mailbox);
                path.at("folders").id(folder).at("items/delta")
            }
            None => Path::new()
                .at("mailFolders")
                .id(folder)
                .at("messages/delta"),
        };
        let path = match (&self.mailbox, self.ids) {
            (_, true) => path.query("$select", "id"),
            (Some(_), false) => {
                let path = path.query("$select", items::ITEM_SELECT);
                path.query("$expand", &items::item_expand())
            }
            (None, false) => return None,
        };
        Some(match self.mailbox {
            Some(_) => pool.service_link(&path),
            None => pool.link(&path),
        })
    }

    async fn count(&self) -> Result<u64> {
        let (pool, folder) = (&self.inner.pool, &self.request.folder);
        match &self.mailbox {
            Some(mailbox) => folders::count_items(pool, mailbox, folder).await,
            None => folders::count(pool, folder).await,
        }
    }

    /// The next page; a smaller one, if that is all that can be had.
    async fn around(&self) -> Result<Changes> {
        let (pool, folder) = (&self.inner.pool, &self.request.folder);
        let begin = self.begin();
        let state = self.state.as_deref().or(begin.as_deref());
        let mut page = delta::page(pool, folder, state, self.most()).await;
        for most in SMALLER {
            match page {
                Err(error) if is_poison(&error) => {
                    page = delta::page(pool, folder, state, most).await;
                }
                page => return page,
            }
        }
        page
    }

    async fn page(&mut self, page: Vec<Changed>, next: Cursor) -> Result<Page> {
        // Of some changes the server tells no more than what changed.
        let partial = page.iter().filter_map(|change| match change {
            Changed::Is(meta) if meta.received.is_none() && self.mailbox.is_none() => {
                Some(meta.id.clone())
            }
            _ => None,
        });
        let mut told = metas(&self.inner.pool, &partial.collect::<Vec<_>>()).await?;
        let mut changes = Vec::with_capacity(page.len());
        let mut in_page = HashSet::new();
        // The newest come first; a page is handed on with the oldest first. What is told twice is what it was
        // told last.
        for change in page.into_iter().rev() {
            let id = match &change {
                Changed::Is(meta) => &meta.id,
                Changed::Gone(id) => id,
            };
            if !in_page.insert(id.clone()) {
                continue;
            }
            match change {
                Changed::Is(meta) => {
                    let meta = match told.remove(&meta.id) {
                        Some(Told::Is(meta)) => meta,
                        Some(Told::Gone) => continue,
                        None => meta,
                    };
                    // Pages may overlap, and an item that is told twice would be copied twice.
                    match self.told.tell(&meta.id, &meta.flags) {
                        Telling::First => {
                            if let Some(size) = meta.size {
                                self.inner.sizes.note(&meta.id, size);
                            }
                            changes.push(Change::Item(Box::new(listed(*meta))));
                        }
                        Telling::Changed => changes.push(Change::Flags(meta.id, meta.flags)),
                        Telling::Same => {}
                    }
                }
                Changed::Gone(id) => {
                    self.told.forget(&id);
                    changes.push(Change::Removed(id));
                }
            }
        }
        if self.request.headers && self.request.form == Form::Mime {
            self.headers(&mut changes).await?;
        }
        Ok(Page::new(changes, next, self.coverage))
    }

    /// Reads the messages for their headers, and hands the contents on if they are wanted: they have to
    /// be read as a whole anyway.
    async fn headers(&self, changes: &mut [Change]) -> Result<()> {
        let ids = changes.iter().filter_map(|change| match change {
            Change::Item(item) => Some(item.id.clone()),
            _ => None,
        });
        let inline = self.request.inline == Some(Form::Mime);
        let pool = &self.inner.pool;
        let most = pool.access().config.concurrency();
        let reads: Vec<_> = ids.map(|id| header(pool, id, inline)).collect();
        let mut reads = stream::iter(reads).buffer_unordered(most);
        let mut found: HashMap<MessageId, (HeaderDigest, Option<Content>)> = HashMap::new();
        while let Some(read) = reads.next().await {
            found.extend(read?);
        }
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

type Header = (MessageId, (HeaderDigest, Option<Content>));

async fn header(pool: &Pool, id: MessageId, inline: bool) -> Result<Option<Header>> {
    if inline {
        return match fetch::content(pool, &id).await {
            Ok(content) => {
                let header = HeaderDigest::of(&content.prefix(1 << 20).await?);
                Ok(Some((id, (header, Some(content)))))
            }
            Err(error) if error.scope() == Scope::Message => Ok(None),
            Err(error) => Err(error),
        };
    }
    let digested = fetch::digest(pool, &id).await?;
    Ok(digested.map(|digested| (id, (digested.header, None))))
}

/// One message is at fault, although all of the page was refused.
fn is_poison(error: &Error) -> bool {
    matches!(error.code(), "graph/corrupt" | "graph/conversion")
}

enum Told {
    Is(Box<Meta>),
    Gone,
}

/// What is known of these messages, each asked for by itself. One that can't be read is as good as its id:
/// fetching it will tell why.
async fn metas(pool: &Pool, ids: &[MessageId]) -> Result<HashMap<MessageId, Told>> {
    let requests: Vec<Request> = ids
        .iter()
        .map(|id| {
            let path = Path::new()
                .at("messages")
                .id(id)
                .query("$select", items::SELECT);
            let path = path.query("$expand", &items::expand(pool.access().config.exports()));
            Request::get(path, Doing::message("getMessage"))
        })
        .collect();
    let mut out = HashMap::new();
    let answers = pool.batch(&requests, None).await;
    for (id, answer) in ids.iter().zip(answers) {
        let told = match answer {
            Ok(answer) => match Meta::of(answer.json)? {
                meta if meta.id == *id => Told::Is(Box::new(meta)),
                _ => return Err(items::other_item()),
            },
            Err(failed) if items::is_gone(&failed.error) => Told::Gone,
            Err(failed) if is_poison(&failed.error) => continue,
            Err(failed) => return Err(failed.error),
        };
        out.insert(id.clone(), told);
    }
    Ok(out)
}

fn listed(meta: Meta) -> Listed {
    let mut out = Listed::new(meta.id);
    out.class = tree::item_class(&meta.class);
    // Told if contents travel as exports.
    out.header = meta.identity;
    out.flags = meta.flags;
    out.received = meta.received;
    out.size = meta.size;
    out.notes = meta.notes;
    out
}
