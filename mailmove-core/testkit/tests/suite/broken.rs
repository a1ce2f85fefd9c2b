//! An adapter that does one thing wrong.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use mailmove_core::{
    Destination, Edges, Error, ErrorKind, Result, Source,
    destination::{Batch, Existing, FlagChange, NoFence, Outcome, Probe, Receipt, Updater},
    identity::HeaderDigest,
    model::{
        Capabilities, Content, Endpoint, Flags, Folder, FolderId, FolderPath, FolderSpec, Form,
        Mark, MessageId, Slot, Token,
    },
    source::{BoxStream, Change, Coverage, FetchRequest, Fetched, ListRequest, Page},
};
use mailmove_testkit::{
    conformance::{BackDoor, BoxError, Disturbance, Done, Harness, TestAccount},
    corpus::CorpusMessage,
    mailbox::{FlagOp, Store},
    memory::{Fault, MemoryMailbox},
    snapshot::Snapshot,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sin {
    None,
    MarksAsRead,
    TakesRecent,
    HidesFolder,
    ForgetsRoles,
    StuckToken,
    NormalisesLineEnds,
    OtherInline,
    ForgetsAnswer,
    AnswersTwice,
    NeverVanishes,
    IgnoresIdentity,
    RestartsListing,
    CountsNothing,
    ListsNoFlags,
    DigestsWholeMessage,
    ForgetsFlagChanges,
    ForgetsRemovals,
    KeepsInMemory,
    ForgetsFence,
    ClaimsStored,
    IgnoresEpoch,
    LosesKeywords,
    ShiftsDates,
    RunsMail,
    ReversesBatches,
    MixesIds,
    DropsTwins,
    SendsAtOnce,
    MarksTooHigh,
    ShowsNoDigests,
    IgnoresIds,
    SubscribesAll,
    FlattensFolders,
    ExpungesAll,
    ClaimsUpdates,
    MovesWithoutId,
    ReplacesFlags,
    IgnoresForm,
    TellsNothing,
}

/// Gives out accounts whose adapter sins.
#[derive(Debug)]
pub(crate) struct BrokenHarness(pub(crate) Sin);

#[async_trait]
impl Harness for BrokenHarness {
    fn name(&self) -> String {
        format!("broken-{:?}", self.0)
    }

    async fn account(&self) -> std::result::Result<Arc<dyn TestAccount>, BoxError> {
        // Single appends, so that a request can fail and the next one not.
        let mailbox = MemoryMailbox::new(Store::new().add_account("ann"))
            .with_page(250)
            .with_streams()
            .configure(|can| {
                can.max_message = Some(1 << 20);
                can.batching = mailmove_core::model::Batching::new(8, 1 << 20, false);
            });
        match self.0 {
            Sin::LosesKeywords => mailbox.arm(Fault::DropsKeywords),
            Sin::ShiftsDates => mailbox.arm(Fault::ShiftsDates(3600)),
            _ => {}
        }
        let sin = self.0;
        let door = BackDoor::new(mailbox.account().clone());
        Ok(Arc::new(Account(Broken { mailbox, sin }, door)))
    }

    fn huge(&self) -> usize {
        1_000_000
    }
}

#[derive(Debug)]
struct Account(Broken, BackDoor);

#[async_trait]
impl TestAccount for Account {
    async fn source(
        &self,
        edges: &Edges,
    ) -> std::result::Result<Option<Arc<dyn Source>>, BoxError> {
        Ok(Some(Arc::new(self.0.with_edges(edges))))
    }

    async fn destination(
        &self,
        edges: &Edges,
    ) -> std::result::Result<Option<Arc<dyn Destination>>, BoxError> {
        Ok(Some(Arc::new(self.0.with_edges(edges))))
    }

    async fn create(&self, folder: &FolderSpec) -> std::result::Result<Done, BoxError> {
        self.1.create(folder)
    }

    async fn fill(
        &self,
        folder: &FolderPath,
        messages: &[CorpusMessage],
    ) -> std::result::Result<(), BoxError> {
        self.1.fill(folder, messages)
    }

    async fn dump(&self) -> std::result::Result<Snapshot, BoxError> {
        Ok(self.1.dump())
    }

    async fn disturb(
        &self,
        folder: &FolderPath,
        what: Disturbance,
    ) -> std::result::Result<Done, BoxError> {
        self.1.disturb(folder, what)
    }

    fn native(&self, id: &MessageId) -> Option<String> {
        let (uid, _) = id.as_str().split_once('~')?;
        Some(u32::from_str_radix(uid, 16).ok()?.to_string())
    }
}

#[derive(Clone, Debug)]
struct Broken {
    mailbox: MemoryMailbox,
    sin: Sin,
}

impl Broken {
    fn with_edges(&self, edges: &Edges) -> Self {
        // A spool that keeps everything in memory whatever the program said.
        let edges = if self.sin == Sin::KeepsInMemory {
            Edges::new()
        } else {
            edges.clone()
        };
        Self {
            mailbox: self.mailbox.clone().with_edges(edges),
            sin: self.sin,
        }
    }

    fn source(&self) -> &dyn Source {
        &self.mailbox
    }

    fn destination(&self) -> &dyn Destination {
        &self.mailbox
    }

    fn touch(&self) {
        let account = self.mailbox.account();
        for folder in account.folders() {
            let uids = account.uids(folder.id).unwrap();
            match self.sin {
                Sin::MarksAsRead => {
                    drop(account.store(folder.id, &uids, FlagOp::Add, &["\\Seen"], None));
                }
                Sin::TakesRecent => drop(account.recent(folder.id, true)),
                _ => {}
            }
        }
    }

    fn identity(&self, id: &FolderId) -> String {
        let account = self.mailbox.account();
        let mut folders = account.folders().into_iter();
        let found = folders.find(|f| format!("mem:{}", f.path.join("/")) == id.as_str());
        found.map_or_else(String::new, |f| format!("{}!{:x}", f.id, f.uid_validity))
    }

    fn twisted(&self, mut folders: Vec<Folder>) -> Vec<Folder> {
        for folder in &mut folders {
            match self.sin {
                Sin::ForgetsRoles if !folder.path.is_inbox() => folder.role = None,
                Sin::StuckToken => folder.token = Some(Token::new("the same for ever")),
                _ => {}
            }
        }
        if self.sin == Sin::HidesFolder {
            folders.retain(|folder| folder.messages != Some(0));
        }
        folders
    }

    fn page(&self, mut page: Page, resumed: bool) -> Page {
        for change in &mut page.changes {
            let Change::Item(item) = change else { continue };
            match self.sin {
                Sin::TellsNothing => item.header = None,
                Sin::ListsNoFlags => item.flags = Flags::new(),
                Sin::OtherInline => {
                    item.content = item.content.is_some().then(|| Content::from_bytes("other"));
                }
                Sin::DigestsWholeMessage => {
                    item.header = Some(HeaderDigest::of(item.id.as_str().as_bytes()));
                }
                _ => {}
            }
        }
        match self.sin {
            Sin::CountsNothing => page.exists = None,
            Sin::ForgetsFlagChanges => {
                page.changes.retain(|c| !matches!(c, Change::Flags(..)));
            }
            Sin::ForgetsRemovals => page.changes.retain(|c| !matches!(c, Change::Removed(_))),
            Sin::RestartsListing if resumed => page.coverage = Coverage::Rest,
            _ => {}
        }
        page
    }
}

#[async_trait]
impl Source for Broken {
    fn endpoint(&self) -> Endpoint {
        self.source().endpoint()
    }

    async fn capabilities(&self) -> Result<Capabilities> {
        self.source().capabilities().await
    }

    async fn folders(&self) -> Result<Vec<Folder>> {
        Ok(self.twisted(self.source().folders().await?))
    }

    fn list(&self, mut request: ListRequest) -> BoxStream<Result<Page>> {
        self.touch();
        let resumed = request.since.is_some();
        match self.sin {
            Sin::RestartsListing => request.since = None,
            Sin::IgnoresIdentity => {
                request.identity = self.identity(&request.folder);
            }
            _ => {}
        }
        let this = self.clone();
        let pages = self.source().list(request);
        Box::pin(pages.map(move |page| page.map(|page| this.page(page, resumed))))
    }

    fn fetch(&self, mut request: FetchRequest) -> BoxStream<(MessageId, Fetched)> {
        match self.sin {
            Sin::IgnoresIdentity => request.identity = self.identity(&request.folder),
            Sin::IgnoresForm => request.form = Form::Mime,
            _ => {}
        }
        let sin = self.sin;
        let answers = self.source().fetch(request).enumerate();
        Box::pin(answers.flat_map(move |(place, (id, fetched))| {
            let out = match (sin, fetched) {
                (Sin::ForgetsAnswer, _) if place == 3 => vec![],
                (Sin::AnswersTwice, fetched) if place == 3 => {
                    vec![(id.clone(), fetched), (id, Fetched::Vanished)]
                }
                (Sin::NeverVanishes, Fetched::Vanished) => {
                    let error = Error::new(ErrorKind::NotFound, "gone");
                    vec![(id, Fetched::Failed(error))]
                }
                (Sin::NormalisesLineEnds, Fetched::Content(content)) => {
                    let bytes = content.as_bytes().cloned().unwrap_or_default();
                    let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
                    let text = text.replace('\n', "\r\n");
                    vec![(id, Fetched::Content(Content::from_bytes(text)))]
                }
                (_, fetched) => vec![(id, fetched)],
            };
            stream::iter(out)
        }))
    }

    fn describe(&self, id: &MessageId) -> String {
        self.source().describe(id)
    }
}

#[async_trait]
impl Destination for Broken {
    fn endpoint(&self) -> Endpoint {
        self.destination().endpoint()
    }

    async fn capabilities(&self) -> Result<Capabilities> {
        self.destination().capabilities().await
    }

    async fn folders(&self) -> Result<Vec<Folder>> {
        Ok(self.twisted(self.destination().folders().await?))
    }

    fn ensure_folders(&self, mut want: Vec<FolderSpec>) -> BoxStream<(Slot, Result<Folder>)> {
        for spec in &mut want {
            match self.sin {
                Sin::SubscribesAll => spec.subscribe = true,
                Sin::FlattensFolders => {
                    spec.path = FolderPath::new([spec.path.last().unwrap_or("x")]);
                }
                _ => {}
            }
        }
        let sin = self.sin;
        let made = self.destination().ensure_folders(want);
        Box::pin(made.map(move |(slot, mut folder)| {
            if let Ok(folder) = &mut folder {
                folder.mark = folder.mark.take().map(|mark| higher(sin, mark));
            }
            (slot, folder)
        }))
    }

    async fn mark(&self, folder: &FolderId) -> Result<Mark> {
        Ok(higher(self.sin, self.destination().mark(folder).await?))
    }

    fn existing(&self, mut probe: Probe) -> BoxStream<Result<Vec<Existing>>> {
        self.touch();
        match self.sin {
            Sin::IgnoresEpoch => probe.since = None,
            Sin::IgnoresIds => probe.ids = None,
            _ => {}
        }
        let sin = self.sin;
        let pages = self.destination().existing(probe);
        Box::pin(pages.map(move |page| {
            let mut page = page?;
            if sin == Sin::ShowsNoDigests {
                page.iter_mut().for_each(|one| one.digest = None);
            }
            Ok(page)
        }))
    }

    fn append(&self, mut batch: Batch) -> BoxStream<(Slot, Outcome)> {
        let account = self.mailbox.account().clone();
        let sin = self.sin;
        let mut dropped = Vec::new();
        match sin {
            Sin::ForgetsFence => batch.fence = Arc::new(NoFence),
            Sin::IgnoresEpoch => {
                batch.mark = Mark::counted(self.identity(&batch.folder), 1);
            }
            Sin::ReversesBatches => batch.items.reverse(),
            Sin::DropsTwins => {
                let mut seen = HashSet::new();
                let mut kept = Vec::new();
                for (index, item) in std::mem::take(&mut batch.items).into_iter().enumerate() {
                    if seen.insert(item.content.digest()) {
                        kept.push(item);
                    } else {
                        dropped.push(Slot::new(index));
                    }
                }
                batch.items = kept;
            }
            Sin::RunsMail => drop(account.delete(&["Victim"])),
            Sin::SendsAtOnce => {
                let body = batch.items[0].content.as_bytes().unwrap().clone();
                let path = batch.folder.as_str().trim_start_matches("mem:");
                let folder = account.folder(&[path]).unwrap().id;
                let message = mailmove_testkit::mailbox::NewMessage::new(body);
                account.append(folder, vec![message]).unwrap();
            }
            _ => {}
        }
        let answers = self.destination().append(batch);
        let mut last = None;
        let answers = answers.map(move |(slot, outcome)| match (sin, outcome) {
            (Sin::ClaimsStored, Outcome::NotStored(_)) => {
                (slot, Outcome::Stored(Receipt::new(None)))
            }
            (Sin::MixesIds, Outcome::Stored(mut receipt)) => {
                if let Some(before) = last.replace(receipt.id.clone()) {
                    receipt.id = before;
                }
                (slot, Outcome::Stored(receipt))
            }
            (_, outcome) => (slot, outcome),
        });
        if dropped.is_empty() {
            return Box::pin(answers);
        }
        let claimed = dropped
            .into_iter()
            .map(|_| Outcome::Stored(Receipt::new(None)));
        let outcomes = answers.map(|(_, outcome)| outcome);
        let all = outcomes.chain(stream::iter(claimed.collect::<Vec<_>>()));
        Box::pin(
            all.enumerate()
                .map(|(index, outcome)| (Slot::new(index), outcome)),
        )
    }

    fn updater(&self) -> Option<&dyn Updater> {
        Some(self)
    }

    fn describe(&self, id: &MessageId) -> String {
        self.destination().describe(id)
    }
}

fn higher(sin: Sin, mut mark: Mark) -> Mark {
    if sin == Sin::MarksTooHigh {
        mark.next = mark.next.map(|next| next + 1);
    }
    mark
}

impl Broken {
    fn claim(&self, answers: BoxStream<(MessageId, Outcome)>) -> BoxStream<(MessageId, Outcome)> {
        let sin = self.sin;
        Box::pin(answers.map(move |(id, outcome)| match (sin, outcome) {
            (Sin::ClaimsUpdates, Outcome::NotStored(_)) => {
                (id, Outcome::Stored(Receipt::new(None)))
            }
            (Sin::MovesWithoutId, Outcome::Stored(_)) => (id, Outcome::Stored(Receipt::new(None))),
            (_, outcome) => (id, outcome),
        }))
    }
}

impl Updater for Broken {
    fn set_flags(
        &self,
        folder: &FolderId,
        mut changes: Vec<FlagChange>,
    ) -> BoxStream<(MessageId, Outcome)> {
        if self.sin == Sin::ReplacesFlags {
            for change in &mut changes {
                change.remove = Flags::new();
            }
        }
        let updater = self.mailbox.updater().unwrap();
        self.claim(updater.set_flags(folder, changes))
    }

    fn relocate(
        &self,
        from: &FolderId,
        ids: Vec<MessageId>,
        to: &FolderId,
    ) -> BoxStream<(MessageId, Outcome)> {
        let updater = self.mailbox.updater().unwrap();
        self.claim(updater.relocate(from, ids, to))
    }

    fn remove(&self, folder: &FolderId, ids: Vec<MessageId>) -> BoxStream<(MessageId, Outcome)> {
        if self.sin == Sin::ExpungesAll {
            let account = self.mailbox.account();
            for folder in account.folders() {
                account.expunge(folder.id, None).unwrap();
            }
        }
        let updater = self.mailbox.updater().unwrap();
        self.claim(updater.remove(folder, ids))
    }
}
