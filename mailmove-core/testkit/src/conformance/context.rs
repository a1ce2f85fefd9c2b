//! What a trial works with.

use std::{collections::HashMap, fmt, sync::Arc};

use futures_util::{StreamExt as _, TryStreamExt as _};
use mailmove_core::{
    Destination, Edges, Source,
    destination::{Batch, Depth, Existing, NoFence, Outcome, Outgoing, Probe, Receipt},
    model::{
        AlterationKind, Capabilities, Content, ContentDigest, Cursor, Flags, Folder, FolderPath,
        FolderSpec, Listed, MessageId,
    },
    source::{Change, Coverage, FetchRequest, Fetched, ListRequest},
};

use super::{BoxError, Disturbance, Done, Facts, Harness, Keeps, TestAccount};
use crate::{
    corpus::CorpusMessage,
    snapshot::{Compare, MessageState, Snapshot},
};

/// Why a trial ended early. Anything that can be displayed becomes a failure.
#[derive(Debug)]

pub(super) enum Stop {
    /// The adapter does not do what it must.
    Failed(String),
    /// The harness cannot do what the trial needs.
    Ignored(String),
}

impl<E: fmt::Display> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

/// How a trial ends.
pub(super) type Check = Result<(), Stop>;

/// Fails the trial with that message unless the condition holds.
macro_rules! check {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Stop::Failed(format!($($text)+)));
        }
    };
}
pub(super) use check;

/// Fails the trial unless both are equal; says what was looked at.
macro_rules! check_eq {
    ($found:expr, $expected:expr, $($text:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) => if found != expected {
                let what = format!($($text)+);
                return Err($crate::conformance::Stop::Failed(format!(
                    "{what}: found {found:?}, expected {expected:?}"
                )));
            }
        }
    };
}
pub(super) use check_eq;

/// An account, the adapter on it, and what can be expected.
pub(super) struct Context {
    pub(super) harness: Arc<dyn Harness>,
    pub(super) account: Arc<dyn TestAccount>,
    pub(super) edges: Edges,
    facts: Facts,
}

/// All that a listing said.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) items: Vec<Listed>,
    pub(super) flags: Vec<(MessageId, Flags)>,
    pub(super) removed: Vec<MessageId>,
    /// Per page: how many items up to its end, and where to continue.
    pub(super) cursors: Vec<(usize, Cursor)>,
    pub(super) coverage: Vec<Coverage>,
    pub(super) exists: Option<u64>,
}

impl Listing {
    pub(super) fn last(&self) -> Result<Cursor, Stop> {
        let last = self.cursors.last().map(|(_, cursor)| cursor.clone());
        last.ok_or_else(|| "a listing without any page has no cursor".into())
    }

    /// The same for who knows these already: not every server tells what is new from what changed.
    pub(super) fn after(mut self, known: &[MessageId]) -> Self {
        let all = std::mem::take(&mut self.items).into_iter();
        let (again, new) = all.partition(|item| known.contains(&item.id));
        self.items = new;
        let again: Vec<Listed> = again;
        let flags = again.into_iter().map(|item| (item.id, item.flags));
        self.flags.extend(flags);
        self
    }

    pub(super) fn ids(&self) -> Vec<MessageId> {
        self.items.iter().map(|item| item.id.clone()).collect()
    }
}

impl Context {
    pub(super) async fn new(harness: Arc<dyn Harness>, facts: Facts) -> Result<Self, Stop> {
        let account = harness.account().await?;
        Ok(Self {
            harness,
            account,
            edges: Edges::new(),
            facts,
        })
    }

    pub(super) async fn source(&self) -> Result<Arc<dyn Source>, Stop> {
        let source = self.account.source(&self.edges).await?;
        source.ok_or_else(|| "the harness has no source any more".into())
    }

    pub(super) async fn destination(&self) -> Result<Arc<dyn Destination>, Stop> {
        let destination = self.account.destination(&self.edges).await?;
        destination.ok_or_else(|| "the harness has no destination any more".into())
    }

    /// What the destination can do; the source, if there is no destination.
    pub(super) fn can(&self) -> Result<&Capabilities, Stop> {
        let can = self.facts.destination.as_ref();
        can.or(self.facts.source.as_ref())
            .ok_or_else(|| "neither source nor destination".into())
    }

    pub(super) fn keeps(&self, message: &CorpusMessage) -> Keeps {
        self.harness.keeps(message)
    }

    /// The separator of names, of whichever side there is.
    pub(super) fn separator(&self) -> Option<char> {
        self.can().ok().and_then(|can| can.naming.separator)
    }

    pub(super) async fn create(&self, path: &FolderPath) -> Check {
        let spec = FolderSpec::new(path.clone());
        possible(self.account.create(&spec).await)
    }

    pub(super) async fn fill(&self, path: &FolderPath, messages: &[CorpusMessage]) -> Check {
        Ok(self.account.fill(path, messages).await?)
    }

    pub(super) async fn disturb(&self, path: &FolderPath, what: Disturbance) -> Check {
        possible(self.account.disturb(path, what).await)
    }

    pub(super) async fn dump(&self) -> Result<Snapshot, Stop> {
        Ok(self.account.dump().await?)
    }
}

fn possible(done: Result<Done, BoxError>) -> Check {
    match done? {
        Done::Yes => Ok(()),
        Done::Unsupported(why) => Err(Stop::Ignored(format!("the back door can't: {why}"))),
    }
}

/// A small letter, told apart by its number.
pub(super) fn letter(number: usize) -> CorpusMessage {
    CorpusMessage::new(format!(
        "Message-ID: <{number}@conformance.example>\r\nFrom: ann@example.org\r\nSubject: number \
         {number}\r\n\r\nThis is letter number {number}.\r\n"
    ))
}

/// Letters with numbers from 0 up.
pub(super) fn letters(count: usize) -> Vec<CorpusMessage> {
    (0..count).map(letter).collect()
}

/// The message as a destination takes it.
pub(super) fn outgoing(message: &CorpusMessage) -> Outgoing {
    Outgoing::new(Content::from_bytes(message.body.clone()))
        .with_flags(message.core_flags())
        .with_received(Some(message.received))
}

/// The source's folder at that path.
pub(super) async fn source_folder(source: &dyn Source, path: &FolderPath) -> Result<Folder, Stop> {
    let all = source.folders().await?;
    let found = all.into_iter().find(|folder| &folder.path == path);
    found.ok_or_else(|| format!("folders() does not name {path:?}").into())
}

/// The destination's folder at that path, made if need be.
pub(super) async fn made(destination: &dyn Destination, path: &FolderPath) -> Result<Folder, Stop> {
    let want = vec![FolderSpec::new(path.clone())];
    let mut made: Vec<_> = destination.ensure_folders(want).collect().await;
    let (slot, folder) = made.pop().ok_or("ensure_folders answers nothing")?;
    check!(
        slot.index() == 0 && made.is_empty(),
        "one folder was asked for: one slot must come back"
    );
    let folder = folder?;
    check!(folder.mark.is_some(), "ensure_folders must set the mark");
    Ok(folder)
}

/// Runs a listing to its end, and checks what every listing keeps to.
pub(super) async fn list(source: &dyn Source, request: ListRequest) -> Result<Listing, Stop> {
    let mut out = Listing::default();
    let mut pages = source.list(request);
    while let Some(page) = pages.next().await {
        let page = page?;
        check!(
            out.exists.is_none(),
            "only the last page may say how many messages exist"
        );
        out.exists = page.exists;
        out.coverage.push(page.coverage);
        for change in page.changes {
            match change {
                Change::Item(item) => out.items.push(*item),
                Change::Flags(id, flags) => out.flags.push((id, flags)),
                Change::Removed(id) => out.removed.push(id),
                _ => {}
            }
        }
        out.cursors.push((out.items.len(), page.next));
    }
    let first = out.coverage.first();
    check!(
        first.is_some_and(|first| out.coverage.iter().all(|c| c == first)),
        "all pages of a listing have the same coverage, and there is at least one: {:?}",
        out.coverage
    );
    let mut ids = out.ids();
    ids.sort_unstable();
    ids.dedup();
    check_eq!(ids.len(), out.items.len(), "each message is listed once");
    Ok(out)
}

/// Fetches, and checks that each id comes back exactly once.
pub(super) async fn fetch(
    source: &dyn Source,
    folder: &Folder,
    ids: &[MessageId],
) -> Result<HashMap<MessageId, Fetched>, Stop> {
    let identity = folder.identity.as_str();
    let mut out = HashMap::new();
    for ids in ids.chunks(500) {
        let request = FetchRequest::new(folder.id.clone(), identity, ids.to_vec());
        let mut answers = source.fetch(request);
        while let Some((id, fetched)) = answers.next().await {
            check!(
                ids.contains(&id),
                "fetch answers {id:?}, which was not asked for"
            );
            let before = out.insert(id.clone(), fetched);
            check!(before.is_none(), "fetch answers {id:?} twice");
        }
    }
    check_eq!(
        out.len(),
        ids.len(),
        "number of messages that fetch answers"
    );
    Ok(out)
}

/// The whole content.
pub(super) async fn read(content: &Content) -> Result<Vec<u8>, Stop> {
    let mut out = Vec::new();
    let mut reader = content.reader();
    while let Some(piece) = reader.next().await? {
        out.extend_from_slice(&piece);
    }
    check_eq!(out.len() as u64, content.size(), "size of a content");
    check_eq!(
        ContentDigest::of(&out),
        content.digest(),
        "digest of a content"
    );
    Ok(out)
}

/// The content of a fetched message.
pub(super) fn content(fetched: Option<&Fetched>) -> Result<&Content, Stop> {
    match fetched {
        Some(Fetched::Content(content)) => Ok(content),
        other => Err(format!("a content was expected, not {other:?}").into()),
    }
}

/// A folder as the source shows it: listed, and fetched.
pub(super) async fn seen(source: &dyn Source, folder: &Folder) -> Result<Snapshot, Stop> {
    let listing = list(source, ListRequest::new(folder)).await?;
    let fetched = fetch(source, folder, &listing.ids()).await?;
    let mut out = Snapshot::new();
    for item in &listing.items {
        let body = read(content(fetched.get(&item.id))?).await?;
        let received = item
            .received
            .ok_or("a listed message has no received date")?;
        let message = MessageState::new(&body, item.flags.clone(), received);
        out.folder_mut(&folder.path).messages.push(message);
    }
    Ok(out)
}

/// What was stored, by slot.
pub(super) async fn append(
    destination: &dyn Destination,
    folder: &Folder,
    items: Vec<Outgoing>,
) -> Result<Vec<Outcome>, Stop> {
    let mark = folder.mark.clone().ok_or("the folder has no mark")?;
    let batch = Batch::new(folder.id.clone(), mark, items, Arc::new(NoFence));
    append_batch(destination, batch).await
}

/// Sends a batch, and checks that each slot comes back exactly once.
pub(super) async fn append_batch(
    destination: &dyn Destination,
    batch: Batch,
) -> Result<Vec<Outcome>, Stop> {
    let count = batch.items.len();
    let mut slots: Vec<Option<Outcome>> = (0..count).map(|_| None).collect();
    let mut answers = destination.append(batch);
    while let Some((slot, outcome)) = answers.next().await {
        let place = slots.get_mut(slot.index());
        let place = place.ok_or_else(|| format!("append answers {slot:?} of {count}"))?;
        check!(place.is_none(), "append answers {slot:?} twice");
        *place = Some(outcome);
    }
    let all: Option<Vec<Outcome>> = slots.into_iter().collect();
    all.ok_or_else(|| "append leaves slots unanswered".into())
}

/// The receipt of a message that must have been stored.
pub(super) fn receipt<'a>(outcome: &'a Outcome, what: &str) -> Result<&'a Receipt, Stop> {
    match outcome {
        Outcome::Stored(receipt) => Ok(receipt),
        other => Err(format!("{what} must be stored: {other:?}").into()),
    }
}

/// Stores messages in batches as large as allowed; all must be stored.
pub(super) async fn store(
    context: &Context,
    destination: &dyn Destination,
    folder: &Folder,
    messages: &[CorpusMessage],
) -> Result<Vec<Receipt>, Stop> {
    let limits = context.can()?.batching;
    let mut receipts = Vec::new();
    let mut left = messages;
    while !left.is_empty() {
        let mut bytes = 0;
        let fits = |message: &&CorpusMessage| {
            bytes += message.body.len() as u64;
            bytes <= limits.max_bytes
        };
        let count = left.iter().take(limits.max_items).take_while(fits).count();
        let (now, later) = left.split_at(count.max(1));
        let outcomes = append(destination, folder, now.iter().map(outgoing).collect()).await?;
        for (message, outcome) in now.iter().zip(&outcomes) {
            receipts.push(receipt(outcome, message.kind.name())?.clone());
        }
        left = later;
    }
    Ok(receipts)
}

/// All pages of an enumeration.
pub(super) async fn existing(
    destination: &dyn Destination,
    probe: Probe,
) -> Result<Vec<Existing>, Stop> {
    let pages: Vec<Vec<Existing>> = destination.existing(probe).try_collect().await?;
    let all: Vec<Existing> = pages.into_iter().flatten().collect();
    let mut ids: Vec<&MessageId> = all.iter().map(|one| &one.id).collect();
    ids.sort_unstable();
    ids.dedup();
    check_eq!(ids.len(), all.len(), "each message exists once");
    Ok(all)
}

/// The digest of what a message was made from, where that is noted at it; else of what it is.
pub(super) fn made_from(existing: &Existing) -> Option<ContentDigest> {
    existing.given.or(existing.digest)
}

/// The whole folder by content.
pub(super) async fn contents(
    destination: &dyn Destination,
    folder: &Folder,
) -> Result<Vec<Existing>, Stop> {
    existing(destination, Probe::new(folder.id.clone(), Depth::Content)).await
}

/// Compares messages with what is found, one by one in order, each by what can be expected of it.
pub(super) fn same_in_order(
    context: &Context,
    wanted: &[(&CorpusMessage, Option<&Receipt>)],
    found: &[MessageState],
) -> Check {
    let mut lines = Vec::new();
    if wanted.len() != found.len() {
        lines.push(format!("{} messages, not {}", found.len(), wanted.len()));
    }
    for ((message, receipt), found) in wanted.iter().zip(found) {
        let keeps = context.keeps(message);
        let mut flags = message.core_flags();
        let mut dated = keeps.received;
        for alteration in receipt.iter().flat_map(|r| &r.altered) {
            match alteration.kind {
                AlterationKind::FlagDropped => flags = without(&flags, &alteration.detail),
                AlterationKind::DateReplaced => dated = false,
                _ => {}
            }
        }
        let expected = MessageState::new(&message.body, flags, message.received)
            .with_label(message.kind.name());
        let compare = Compare::messages()
            .with_bytes(keeps.bytes)
            .with_system_flags(keeps.flags)
            .with_keywords(keeps.flags)
            .with_received(dated);
        let folder = FolderPath::inbox();
        let (mut left, mut right) = (Snapshot::new(), Snapshot::new());
        left.folder_mut(&folder).messages.push(expected);
        right.folder_mut(&folder).messages.push(found.clone());
        lines.extend(compare.diff(&left, &right).lines);
    }
    check!(lines.is_empty(), "{}", lines.join("\n  "));
    Ok(())
}

/// The flags without those that the text names, quoted or not.
fn without(flags: &Flags, text: &str) -> Flags {
    let mut named = Flags::parse(text);
    for word in text.split_ascii_whitespace() {
        let word = word.trim_matches([',', '.', ':', '"', '`', '\'']);
        named = named.union(&Flags::parse(word));
    }
    flags.difference(&named)
}

/// Calls messages of a snapshot by their kinds.
pub(super) fn label(snapshot: &mut Snapshot, messages: &[CorpusMessage]) {
    let kinds: HashMap<ContentDigest, &str> = messages
        .iter()
        .map(|m| (ContentDigest::of(&m.body), m.kind.name()))
        .collect();
    for message in snapshot.folders.values_mut().flat_map(|f| &mut f.messages) {
        if let Some(kind) = kinds.get(&message.digest) {
            (*kind).clone_into(&mut message.label);
        }
    }
}
