//! Fetches contents: many with one command, handed on in the order they come.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
};

use mailmove_core::{
    error::{Error, ErrorKind, Result, Scope},
    model::{Content, FolderId, Form, MessageId},
    source::{BoxStream, FetchRequest, Fetched},
};

use super::{
    binary::Doubtful,
    collect::{Collector, Gathered},
    substitute,
    suspects::{Broken, Suspects, given_up},
    told::{Told, told},
};
use crate::{
    cut,
    distrust::Feature,
    error::{self, Doing, again},
    generate::{Out, generate},
    ids,
    pool::{Lease, Pool},
    session::{self, Mode},
    wire::{
        Code, Command, FetchItem, FetchParams, Response, SelectParams, Status, StatusKind, Tag,
        UidSet,
    },
};

/// Commands sent ahead. Some servers take up no more than a few.
pub(super) const AHEAD: usize = 4;
/// Refusals in a row after which the others are not asked for one by one.
const REFUSALS_MOST: u32 = 10;

const CONTENT: &[FetchItem] = &[FetchItem::Uid, FetchItem::Body];

/// See [`Source::fetch`](mailmove_core::source::Source::fetch).
pub(super) fn fetch(
    pool: Arc<Pool>,
    suspects: Arc<Suspects>,
    request: FetchRequest,
) -> BoxStream<(MessageId, Fetched)> {
    generate(|out| async move {
        let mut fetching = Fetching {
            folder: request.folder.clone(),
            validity: 0,
            suspects,
            broken: Broken::default(),
            wanted: BTreeMap::new(),
            silent: Vec::new(),
            apologies: BTreeMap::new(),
            refused: Vec::new(),
            binary: false,
            doubtful: Doubtful::new(),
            out,
        };
        fetching.run(&pool, request).await;
    })
}

pub(super) struct Fetching {
    folder: FolderId,
    validity: u32,
    pub(super) suspects: Arc<Suspects>,
    /// Where connections broke before.
    broken: Broken,
    /// Not answered yet, by UID.
    wanted: BTreeMap<u32, MessageId>,
    /// The server said OK, but nothing of these.
    silent: Vec<u32>,
    /// Of these it sent what may be an apology in their place.
    apologies: BTreeMap<u32, Content>,
    /// Those left when the server refused the whole command.
    refused: Vec<(Vec<u32>, Error)>,
    /// The server has BINARY.
    binary: bool,
    /// Came, and perhaps without the NUL that they hold.
    pub(super) doubtful: Doubtful,
    pub(super) out: Out<(MessageId, Fetched)>,
}

impl Fetching {
    async fn run(&mut self, pool: &Arc<Pool>, request: FetchRequest) {
        if let Err(error) = self.all(pool, request).await {
            let doubtful = std::mem::take(&mut self.doubtful).into_values();
            let wanted = std::mem::take(&mut self.wanted).into_values();
            for id in wanted.chain(doubtful.map(|(id, _)| id)) {
                self.out.send((id, Fetched::Failed(again(&error)))).await;
            }
        }
    }

    /// An error ends it for all that are left.
    async fn all(&mut self, pool: &Arc<Pool>, request: FetchRequest) -> Result<()> {
        self.sort(&request).await;
        self.give_up().await;
        if self.wanted.is_empty() {
            return Ok(());
        }
        if request.form != Form::Mime {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "IMAP messages come as MIME alone",
            ));
        }
        let mut lease = pool.lease(Some(&request.folder)).await?;
        self.binary = lease.offers("BINARY", Feature::Binary) && self.suspects.binary.may_ask();
        let mut collector = Collector::new(pool.access().edges.spool.clone());
        let (odd, rest): (Vec<u32>, Vec<u32>) =
            self.wanted.keys().partition(|uid| self.broken.has(**uid));
        let mut sets = lease.parts(&UidSet::from_iter(rest));
        sets.extend(odd.into_iter().map(|uid| UidSet::from_iter([uid])));
        let mut asking = Asking::new(sets);
        self.open(&mut lease, &request, &mut asking).await?;
        self.contents(&mut lease, &mut collector, asking).await?;
        self.one_by_one(&mut lease, &mut collector).await?;
        if !self.doubtful.is_empty() {
            self.binaries(&mut lease, &mut collector).await?;
        }
        self.verify(&mut lease).await
    }

    /// Opens the folder, even if it is open: it may be another one by now. The first commands go
    /// right behind, so that this costs no time.
    async fn open(
        &self,
        lease: &mut Lease,
        request: &FetchRequest,
        asking: &mut Asking,
    ) -> Result<()> {
        let mut behind = Vec::new();
        while let Some(set) = asking.next() {
            let command = command(lease, &set, CONTENT)?;
            asking.in_flight.push_back((command.tag(), set));
            behind.push(command);
        }
        let folder = &request.folder;
        let opened = lease
            .open_folder_and(folder, Mode::Read, &SelectParams::Plain, behind, |_| {})
            .await;
        let opened = match opened {
            Err(error) if error.scope() <= Scope::Folder => {
                // Without a folder they are refused, and the connection is still of use.
                for (tag, _) in asking.in_flight.drain(..) {
                    lease.connection.complete(tag, |_| {}).await?;
                }
                return Err(error);
            }
            opened => opened?,
        };
        lease.check_identity(folder, &opened, &request.identity)?;
        if self.validity != opened.validity {
            return Err(session::stale(folder));
        }
        Ok(())
    }

    /// Sorts the request by UID. Answers what it can without asking. All that is left has the same
    /// UIDVALIDITY, that of the first.
    async fn sort(&mut self, request: &FetchRequest) {
        let mut first = None;
        for id in &request.ids {
            let answer = match ids::parse_message_id(id) {
                Some((validity, uid)) if *first.get_or_insert(validity) == validity => {
                    self.wanted.insert(uid, id.clone());
                    continue;
                }
                Some(_) => session::stale(&request.folder),
                None => ids::foreign_id(id),
            };
            self.out.send((id.clone(), Fetched::Failed(answer))).await;
        }
        self.validity = first.unwrap_or_default();
    }

    /// Leaves alone what broke one connection after the other.
    async fn give_up(&mut self) {
        self.broken = self.suspects.of(&self.folder, self.validity);
        let wanted = self.wanted.keys().copied();
        let lost: Vec<u32> = wanted.filter(|uid| self.broken.is_given_up(*uid)).collect();
        for uid in lost {
            self.answer(uid, Fetched::Failed(given_up())).await;
        }
    }

    /// Takes contents in, a few commands ahead.
    async fn contents(
        &mut self,
        lease: &mut Lease,
        collector: &mut Collector,
        mut asking: Asking,
    ) -> Result<()> {
        loop {
            while let Some(set) = asking.next() {
                let tag = ask(lease, &set, CONTENT).await?;
                asking.in_flight.push_back((tag, set));
            }
            if asking.in_flight.is_empty() {
                return Ok(());
            }
            let wanted = &self.wanted;
            let keep = |uid: Option<u32>| uid.is_none_or(|uid| wanted.contains_key(&uid));
            let told = told(&mut lease.connection, collector, keep).await;
            let told = told.inspect_err(|error| {
                self.blame(collector, &asking, error);
            })?;
            match told {
                Told::Message(gathered) => self.message(gathered).await?,
                Told::Unreadable { .. } => {}
                // A listing that goes on later on this connection must not count on the numbers.
                Told::Expunged(_) | Told::Vanished(_) => lease.forget_folder(),
                Told::Done(tag, status) => {
                    let at = asking.in_flight.iter().position(|(sent, _)| *sent == tag);
                    if let Some((_, set)) = at.and_then(|at| asking.in_flight.remove(at)) {
                        let left = cut::left(&set, &status)?;
                        if left.is_empty() {
                            self.done(&set, &status)?;
                        } else {
                            // The rest tells which of them the server said nothing about.
                            let done = |uid: &u32| !left.iter().any(|part| part.contains(*uid));
                            let uids = self.wanted.keys().copied();
                            let silent = uids.filter(|uid| set.contains(*uid)).filter(done);
                            self.silent.extend(silent);
                            asking.again(left);
                        }
                    }
                }
            }
        }
    }

    /// The connection broke: perhaps because of the message that was to come.
    fn blame(&self, collector: &Collector, asking: &Asking, error: &Error) {
        let mut left = self.wanted.keys().copied();
        let next = match asking.in_flight.front() {
            Some((_, set)) => left.find(|uid| set.contains(*uid)),
            None => None,
        };
        if let Some(uid) = collector.incomplete().or(next) {
            // Suspects are asked for last, one by one.
            let alone = self.broken.has(uid);
            self.suspects
                .note(&self.folder, self.validity, uid, alone, error);
        }
    }

    async fn message(&mut self, gathered: Gathered) -> Result<()> {
        // An empty one may be a message that the server cannot read: its size will tell.
        let content = gathered.content.filter(|content| content.size() > 0);
        if let (Some(uid), Some(content)) = (gathered.fetch.uid, content) {
            if self.broken.has(uid) {
                self.suspects.clear(&self.folder, self.validity, uid);
            }
            if self.wanted.contains_key(&uid) && substitute::is_suspect(&content).await? {
                self.apologies.insert(uid, content);
                return Ok(());
            }
            if gathered.doubtful && self.binary {
                if let Some(id) = self.wanted.remove(&uid) {
                    self.doubtful.insert(uid, (id, content));
                }
            } else {
                self.answer(uid, Fetched::Content(content)).await;
            }
        }
        Ok(())
    }

    async fn answer(&mut self, uid: u32, fetched: Fetched) {
        if let Some(id) = self.wanted.remove(&uid) {
            self.out.send((id, fetched)).await;
        }
    }

    fn done(&mut self, set: &UidSet, status: &Status) -> Result<()> {
        let left = self.wanted.keys().filter(|uid| set.contains(**uid));
        let left: Vec<u32> = left.copied().collect();
        if status.kind == StatusKind::Ok || status.code == Some(Code::ExpungeIssued) {
            self.silent.extend(left);
            return Ok(());
        }
        let error = error::refused(Doing::message("UID FETCH"), status);
        if error.scope() > Scope::Message {
            return Err(error);
        }
        self.refused.push((left, error));
        Ok(())
    }

    /// A refusal of many may be about one of them.
    async fn one_by_one(&mut self, lease: &mut Lease, collector: &mut Collector) -> Result<()> {
        let mut refusals = 0;
        for (uids, error) in std::mem::take(&mut self.refused) {
            let alone = uids.len() == 1;
            for uid in uids {
                let refusal = if alone || refusals >= REFUSALS_MOST {
                    Some(again(&error))
                } else {
                    let alone = Asking::new(vec![UidSet::from_iter([uid])]);
                    self.contents(lease, collector, alone).await?;
                    self.refused.pop().map(|(_, error)| error)
                };
                match refusal {
                    Some(error) => {
                        refusals += 1;
                        self.answer(uid, Fetched::Failed(error)).await;
                    }
                    None => refusals = 0,
                }
            }
        }
        Ok(())
    }

    /// OK without a word about a message: it is gone, or (Exchange) the server could not read it.
    async fn verify(&mut self, lease: &mut Lease) -> Result<()> {
        let silent = std::mem::take(&mut self.silent);
        let mut sizes: BTreeMap<u32, Option<u64>> = BTreeMap::new();
        let set: UidSet = silent.iter().copied().collect();
        let mut parts = lease.parts(&set);
        while let Some(part) = parts.pop() {
            let tag = ask(lease, &part, &[FetchItem::Uid, FetchItem::Size]).await?;
            let mut moved = false;
            let note = |response| match response {
                Response::Fetch(fetch) => {
                    if let Some(uid) = fetch.uid {
                        sizes.insert(uid, fetch.size);
                    }
                }
                Response::Expunge(_) | Response::Vanished(_) => moved = true,
                _ => {}
            };
            let status = lease.connection.complete(tag, note).await?;
            if moved {
                lease.forget_folder();
            }
            let left = cut::left(&part, &status)?;
            if !left.is_empty() {
                parts.extend(left);
                continue;
            }
            if status.kind != StatusKind::Ok && status.code != Some(Code::ExpungeIssued) {
                return Err(error::refused(Doing::folder("UID FETCH"), &status));
            }
        }
        let name = lease.server.name.as_deref().unwrap_or_default();
        let exchange = name.to_ascii_lowercase().contains("exchange");
        let mut asked = HashSet::new();
        for uid in silent.into_iter().filter(|uid| asked.insert(*uid)) {
            let apology = self.apologies.remove(&uid);
            let fetched = match sizes.get(&uid) {
                None => Fetched::Vanished,
                Some(size) if apology.is_some() => judge(apology, *size, exchange),
                Some(Some(0)) => Fetched::Content(Content::from_bytes("")),
                Some(_) => Fetched::Failed(empty()),
            };
            self.answer(uid, fetched).await;
        }
        Ok(())
    }
}

/// What reads like an apology is one, unless its size is just the message's and the server does not
/// call itself Exchange.
fn judge(content: Option<Content>, size: Option<u64>, exchange: bool) -> Fetched {
    match content.filter(|content| size == Some(content.size()) && !exchange) {
        Some(content) => Fetched::Content(content),
        None => Fetched::Failed(substitute::substituted()),
    }
}

/// Commands to send, and those sent.
struct Asking {
    later: VecDeque<UidSet>,
    in_flight: VecDeque<(Tag, UidSet)>,
}

impl Asking {
    fn new(sets: Vec<UidSet>) -> Self {
        Self {
            later: sets.into(),
            in_flight: VecDeque::new(),
        }
    }

    /// Asks for these before all others.
    fn again(&mut self, sets: Vec<UidSet>) {
        sets.into_iter()
            .rev()
            .for_each(|set| self.later.push_front(set));
    }

    /// The next set, if it may be asked for now.
    fn next(&mut self) -> Option<UidSet> {
        let may = self.in_flight.len() < AHEAD;
        may.then(|| self.later.pop_front()).flatten()
    }
}

fn command(lease: &mut Lease, set: &UidSet, items: &[FetchItem]) -> Result<Command> {
    let tag = lease.connection.tag();
    let encoder = lease.connection.encoder();
    encoder
        .uid_fetch(tag, set, items, FetchParams::default())
        .map_err(session::encode)
}

pub(super) async fn ask(lease: &mut Lease, set: &UidSet, items: &[FetchItem]) -> Result<Tag> {
    let command = command(lease, set, items)?;
    let tag = command.tag();
    lease.connection.send(command).await?;
    Ok(tag)
}

fn empty() -> Error {
    Error::new(
        ErrorKind::Refused,
        "the server says that the message exists, but sends no content",
    )
    .with_code("imap/empty-fetch")
    .with_retry(mailmove_core::Retry::Backoff)
    .with_remedy("Open the message in webmail: it may be damaged on the server.")
}
