//! Listing a folder.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{StreamExt as _, stream};
use mailmove_core::{
    error::{Error, ErrorKind, Result, Retry, Scope},
    identity::HeaderDigest,
    model::{Content, Cursor, FolderId, Form, ItemClass, Listed, MessageId},
    source::{Change, Coverage, ListRequest, Page},
};

use mailmove_exchange::tree;

use super::{Inner, cursor, fetch};
use crate::{
    delta::{self, Changed, Changes, SMALLER, is_poison},
    error::{self, Doing},
    folders,
    generate::Out,
    items::{self, Meta},
    pool::Pool,
    wire::{Path, Request},
};

/// Changes of a page whose contents are read with it.
const PAGE_WITH_CONTENTS: usize = 60;
/// Pages in a row on which nothing stands that was not told before: a server that has more goes round in circles.
const IDLE_MAX: usize = delta::IDLE_MAX;
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
    let mailbox = match request.form {
        Form::ExchangeStream => Some(folders::exports(&inner.pool).await?),
        _ => None,
    };
    let mut listing = Listing::new(inner, &request, mailbox);
    let mut idle = 0;
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
        let next_cursor = cursor::write(&page.state, listing.mailbox.is_some());
        let made = listing.page(page.changes, next_cursor).await?;
        match made.changes.is_empty() {
            true => idle += 1,
            false => idle = 0,
        }
        // What was told already may come once more from the beginning.
        if idle > IDLE_MAX + listing.told.all.len() {
            return Err(error::same_link().with_scope(Scope::Folder));
        }
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
    /// Digests of the links to pages of this listing.
    links: HashSet<u64>,
    /// Items of all classes are listed, by the interface for exports: the mailbox's name there.
    mailbox: Option<String>,
}

/// How often listings of a folder failed without a reason: pages that the server does not get done in time are asked
/// for in smaller pieces when the engine comes again, up to the last one: those behind them may be as heavy.
#[derive(Debug, Default)]
pub(super) struct Stumbles(Mutex<HashMap<FolderId, usize>>);

impl Stumbles {
    /// Most folders that are remembered.
    const MOST: usize = 1000;

    fn all(&self) -> MutexGuard<'_, HashMap<FolderId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, folder: &FolderId) -> usize {
        self.all().get(folder).copied().unwrap_or_default()
    }

    fn note(&self, folder: &FolderId) {
        let mut all = self.all();
        if all.len() >= Self::MOST {
            all.clear();
        }
        *all.entry(folder.clone()).or_default() += 1;
    }

    fn forget(&self, folder: &FolderId) {
        self.all().remove(folder);
    }
}

/// What was told of in this listing already: digests of ids, and of what was told of each; [`GONE`] if that it went.
#[derive(Default)]
struct Seen {
    hashers: (RandomState, RandomState),
    all: HashMap<(u64, u64), u64>,
}

/// What stands for a message that went.
const GONE: u64 = 0;

enum Telling {
    First,
    Changed,
    Same,
}

impl Seen {
    fn key(&self, id: &MessageId) -> (u64, u64) {
        (self.hashers.0.hash_one(id), self.hashers.1.hash_one(id))
    }

    fn tell(&mut self, meta: &Meta, is_mail: bool) -> Telling {
        // Of mail nothing changes but flags.
        let content = (!is_mail).then_some((meta.size, meta.received, meta.identity));
        let what = (meta.flags.to_string(), format!("{content:?}"));
        let what = self.hashers.0.hash_one(what);
        match self.all.insert(self.key(&meta.id), what) {
            None | Some(GONE) => Telling::First,
            Some(before) if before == what => Telling::Same,
            Some(_) => Telling::Changed,
        }
    }

    /// False if that was told already.
    fn tell_gone(&mut self, id: &MessageId) -> bool {
        let key = self.key(id);
        self.all.insert(key, GONE) != Some(GONE)
    }
}

impl<'a> Listing<'a> {
    fn new(inner: &'a Inner, request: &'a ListRequest, mailbox: Option<String>) -> Self {
        let since = request.since.as_ref();
        let state = since.and_then(|since| cursor::read(since, mailbox.is_some()));
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
            links: HashSet::new(),
            mailbox,
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
        let page = self.next_page().await?;
        let link = self.told.hashers.0.hash_one(&page.state);
        match page.is_last || self.links.insert(link) {
            true => Ok(page),
            false => Err(error::same_link().with_scope(Scope::Folder)),
        }
    }

    async fn next_page(&mut self) -> Result<Changes> {
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
                self.anew();
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
        self.links.clear();
        self.state = None;
        self.coverage = Coverage::Full;
    }

    /// Where a listing begins.
    fn begin(&self) -> String {
        let (pool, folder) = (&self.inner.pool, &self.request.folder);
        if let Some(mailbox) = &self.mailbox {
            return delta::items(pool, mailbox, folder, self.ids);
        }
        if self.ids {
            return delta::ids(pool, folder);
        }
        let path = Path::new().at("mailFolders").id(folder);
        let path = path.at("messages/delta").query("$select", items::SELECT);
        pool.link(&path.query("$expand", &items::expand(false)))
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
        let link = self.state.as_deref().unwrap_or(&begin);
        let stumbles = &self.inner.stumbles;
        // The second failure may be about how much was asked for.
        let smaller = stumbles.count(folder).checked_sub(2);
        let first = match smaller.map(|at| SMALLER.get(at).or(SMALLER.last())) {
            Some(Some(most)) => self.most().min(*most),
            _ => self.most(),
        };
        let page = delta::page(pool, folder, Some(link), first).await;
        match &page {
            Ok(page) if page.is_last => stumbles.forget(folder),
            Err(error) if is_plain(error) => stumbles.note(folder),
            _ => {}
        }
        page
    }

    async fn page(&mut self, page: Vec<Changed>, next: Cursor) -> Result<Page> {
        // Of some changes the server tells no more than what changed.
        let partial = page.iter().filter_map(|change| match change {
            Changed::Is(meta) if !meta.flagged || meta.received.is_none() && self.is_mail(meta) => {
                Some(meta.id.clone())
            }
            _ => None,
        });
        let mut told = self.metas(&partial.collect::<Vec<_>>()).await?;
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
                    let (meta, is_read) = match told.remove(&meta.id) {
                        Some(Told::Is(meta)) => (meta, true),
                        // That it went is a change of its own, which comes after this page.
                        Some(Told::Gone) => continue,
                        // Nobody knows its flags, which are not taken away from one that is known. One that
                        // is new is missed when the folder is counted, and comes with all the others.
                        Some(Told::Unread) if self.coverage == Coverage::Delta => continue,
                        Some(Told::Unread) => (meta, false),
                        None => (meta, true),
                    };
                    changes.extend(self.change(*meta, is_read));
                }
                Changed::Gone(id) if self.told.tell_gone(&id) => {
                    changes.push(Change::Removed(id));
                }
                Changed::Gone(_) => {}
            }
        }
        if self.request.headers && self.request.form == Form::Mime {
            self.headers(&mut changes).await?;
        }
        Ok(Page::new(changes, next, self.coverage))
    }

    /// What is to be told of a message, if that is anything new.
    fn change(&mut self, meta: Meta, is_read: bool) -> Option<Change> {
        let is_mail = self.is_mail(&meta);
        // Pages may overlap, and an item that is told twice would be copied twice.
        match self.told.tell(&meta, is_mail) {
            Telling::First => {
                if let Some(size) = meta.size {
                    self.inner.sizes.note(&meta.id, size);
                }
                // Nobody tells what is new from what was altered, but for the engine, which knows what it has.
                let altered = self.coverage == Coverage::Delta && !is_mail;
                let mut listed = Box::new(self.listed(meta));
                listed.flags_told = is_read;
                Some(match altered {
                    true => Change::Altered(listed),
                    false => Change::Item(listed),
                })
            }
            Telling::Changed if !is_mail => Some(Change::Altered(Box::new(self.listed(meta)))),
            Telling::Changed if is_read => Some(Change::Flags(meta.id, meta.flags)),
            Telling::Changed | Telling::Same => None,
        }
    }

    /// Whether it is mail, which alone is listed where there are no exports.
    fn is_mail(&self, meta: &Meta) -> bool {
        self.mailbox.is_none() || tree::item_class(&meta.class) == ItemClass::Mail
    }

    fn listed(&self, meta: Meta) -> Listed {
        let mut out = Listed::new(meta.id);
        out.class = tree::item_class(&meta.class);
        // Where contents travel as exports it is the listing that tells items apart.
        out.header = meta.identity.filter(|_| self.mailbox.is_some());
        out.flags = meta.flags;
        out.received = meta.received;
        out.size = meta.size;
        out.notes = meta.notes;
        out
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
        // A server may put more on a page than was asked for.
        let reads = ids.enumerate();
        let reads: Vec<_> = reads
            .map(|(at, id)| header(pool, id, inline && at < PAGE_WITH_CONTENTS))
            .collect();
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

/// The server has a problem, and does not say which.
fn is_plain(error: &Error) -> bool {
    matches!(error.code(), "graph/unavailable" | "http/unavailable")
        && error
            .context()
            .any(|(name, value)| name == "status" && matches!(value, "500" | "504"))
}

enum Told {
    Is(Box<Meta>),
    Gone,
    /// It can't be read, and is as good as its id: fetching it will tell why.
    Unread,
}

impl Listing<'_> {
    /// What is known of these messages, each asked for by itself.
    async fn metas(&self, ids: &[MessageId]) -> Result<HashMap<MessageId, Told>> {
        let requests: Vec<Request> = ids.iter().map(|id| self.meta(id)).collect();
        let mut out = HashMap::new();
        let answers = self.inner.pool.batch(&requests, None).await;
        for (id, answer) in ids.iter().zip(answers) {
            let told = match answer {
                Ok(answer) => match Meta::of(answer.json)? {
                    meta if meta.id == *id => Told::Is(Box::new(meta)),
                    _ => return Err(items::other_item()),
                },
                Err(failed) if items::is_gone(&failed.error) => Told::Gone,
                Err(failed) if is_unread(&failed.error) => Told::Unread,
                Err(failed) => return Err(failed.error),
            };
            out.insert(id.clone(), told);
        }
        Ok(out)
    }

    fn meta(&self, id: &MessageId) -> Request {
        let Some(mailbox) = &self.mailbox else {
            let path = Path::new().at("messages").id(id);
            let path = path.query("$select", items::SELECT);
            let path = path.query("$expand", &items::expand(false));
            return Request::get(path, Doing::message("getMessage"));
        };
        items::get(folders::at(mailbox, &self.request.folder), id)
    }
}

/// It is there, and can't be read.
fn is_unread(error: &Error) -> bool {
    // A refusal that is about more than one message has another scope.
    let denied = error.code() == "graph/denied" && error.scope() == Scope::Message;
    is_poison(error) || denied || error.code() == "graph/bad-id"
}
