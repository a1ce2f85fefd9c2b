//! A strict mailbox in memory, as source and as destination.
//!
//! It stands on the [mailbox model](crate::mailbox) and does nothing that the contracts of
//! [`Source`] and [`Destination`] don't promise: answers come in an order that
//! nobody should count on, ids and cursors look like no protocol's, and what a caller must not do
//! is refused with [`ErrorKind::Bug`] and remembered in [`MemoryMailbox::violations`]. What it can
//! do is set by [`Capabilities`]; what goes wrong, by [`Fault`]s.
//!
//! Clones are the same mailbox: to play a process that died and came back, drop one and use
//! another.
//!
//! ```
//! use mailmove_testkit::{mailbox::Store, memory::{AppendFault, Fault, Landing, MemoryMailbox}};
//!
//! let account = Store::new().add_account("ann");
//! let mailbox = MemoryMailbox::new(account).configure(|can| can.returns_ids = false);
//! // The fourth message from now on: its answer is lost, and it lands ten operations later.
//! mailbox.arm(Fault::Append(3, AppendFault::Unknown(Landing::AfterOperations(10))));
//! ```

mod annotations;
mod append;
mod copy;
mod destination;
mod existing;
mod fault;
mod ids;
mod list;
mod source;
mod state;
mod streams;
#[cfg(test)]
mod tests;
mod update;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mailmove_core::{
    Destination, Edges, Error, ErrorKind, Result, Source,
    model::{Batching, Capabilities, Content, Endpoint, FolderId, Form, KeptFlags, MessageId},
};

use crate::mailbox::{Account, FolderInfo, Keywords};
pub use fault::{AppendFault, Counters, Fault, Landing, Predicate, UpdateFault};
use state::State;

/// A mailbox in memory. See the [module](self).
#[derive(Clone)]
pub struct MemoryMailbox {
    options: Arc<Options>,
    server: Arc<Server>,
}

/// What every clone shares, whatever its options: the server's side.
struct Server {
    account: Account,
    state: Mutex<State>,
}

#[derive(Clone, Debug)]
struct Options {
    capabilities: Capabilities,
    edges: Edges,
    page: usize,
    inline: Option<u64>,
    counted: bool,
    names_marks: bool,
    merges: bool,
    merges_late: bool,
    latency: Duration,
}

impl MemoryMailbox {
    /// A mailbox over this account that can do everything, atomic batches included, but that does
    /// not name contents: with [`content_ids`](Capabilities::content_ids), messages copied in the
    /// account share theirs, and the folder with `\All` knows where else each message is.
    #[must_use]
    pub fn new(account: Account) -> Self {
        let mut can = Capabilities::new("memory");
        can.concurrency = 4;
        can.keeps_bytes = true;
        can.keeps_received = true;
        can.keeps_keywords = true;
        can.returns_ids = true;
        can.change_tokens = true;
        can.deltas = true;
        can.sets_flags = true;
        can.moves = true;
        can.removes = true;
        can.copies = true;
        can.batching = Batching::new(16, 1 << 20, true);
        let options = Options {
            capabilities: can,
            edges: Edges::new(),
            page: 100,
            inline: Some(u64::MAX),
            counted: true,
            names_marks: true,
            merges: false,
            merges_late: false,
            latency: Duration::ZERO,
        };
        let state = Mutex::new(State::default());
        Self {
            options: Arc::new(options),
            server: Arc::new(Server { account, state }),
        }
        .apply_rules()
    }

    /// The same mailbox with other capabilities. It behaves as they say: without `deltas` it lists
    /// everything, without `returns_ids` receipts hold none, without `keeps_keywords` or
    /// `keeps_received` those are lost and reported. Its naming becomes rules of the account.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Capabilities)) -> Self {
        change(&mut Arc::make_mut(&mut self.options).capabilities);
        self.apply_rules()
    }

    /// Uses these edges: the clock for late messages and latency, the spool for contents.
    #[must_use]
    pub fn with_edges(mut self, edges: Edges) -> Self {
        Arc::make_mut(&mut self.options).edges = edges;
        self
    }

    /// Sets how many entries a page has (at least 1).
    #[must_use]
    pub fn with_page(mut self, entries: usize) -> Self {
        Arc::make_mut(&mut self.options).page = entries.max(1);
        self
    }

    /// Brings contents along in listings up to this size; never if `None`.
    #[must_use]
    pub fn with_inline(mut self, largest: Option<u64>) -> Self {
        Arc::make_mut(&mut self.options).inline = largest;
        self
    }

    /// Gives out marks that only this adapter can read, as systems do that don't count their ids.
    #[must_use]
    pub fn with_opaque_marks(mut self) -> Self {
        Arc::make_mut(&mut self.options).counted = false;
        self
    }

    /// Names no marks with its folders as a destination, as systems do where each costs a request.
    #[must_use]
    pub fn with_marks_on_demand(mut self) -> Self {
        Arc::make_mut(&mut self.options).names_marks = false;
        self
    }

    /// Hands on messages in a form of its own, too.
    #[must_use]
    pub fn with_streams(self) -> Self {
        self.configure(|can| can.forms.push(Form::ExchangeStream))
    }

    /// Folds identical messages of a folder into one, as Gmail does:
    /// [`AlreadyThere`](mailmove_core::destination::Outcome::AlreadyThere).
    #[must_use]
    pub fn with_merging(mut self) -> Self {
        let options = Arc::make_mut(&mut self.options);
        options.merges = true;
        options.capabilities.merges = true;
        self
    }

    /// Folds identical messages of a folder some time after it confirmed each of them under an id of
    /// its own: before it tells next what exists, or which folders there are.
    #[must_use]
    pub fn with_late_merging(mut self) -> Self {
        let options = Arc::make_mut(&mut self.options);
        options.merges_late = true;
        options.capabilities.merges = true;
        self
    }

    /// Keeps the first of identical messages.
    fn merge_late(&self) {
        if !self.options.merges_late {
            return;
        }
        let account = &self.server.account;
        for folder in account.folders() {
            let mut bodies = std::collections::BTreeSet::new();
            let messages = account.messages(folder.id).unwrap_or_default();
            let twins = messages
                .into_iter()
                .filter(|m| !bodies.insert(m.body.clone()));
            let twins: Vec<u32> = twins.map(|m| m.uid).collect();
            // The folder was there a moment ago.
            let _ = account.remove(folder.id, &twins);
        }
    }

    /// Waits so long before each operation, on the injected clock.
    #[must_use]
    pub fn with_latency(mut self, latency: Duration) -> Self {
        Arc::make_mut(&mut self.options).latency = latency;
        self
    }

    /// The account behind it: the back door.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.server.account
    }

    /// This mailbox as a source.
    #[must_use]
    pub fn source(&self) -> Arc<dyn Source> {
        Arc::new(self.clone())
    }

    /// This mailbox as a destination.
    #[must_use]
    pub fn destination(&self) -> Arc<dyn Destination> {
        Arc::new(self.clone())
    }

    /// Lets something go wrong.
    pub fn arm(&self, fault: Fault) {
        self.state().arm(fault);
    }

    /// Takes away all faults that did not go off yet; returns how many those were.
    pub fn disarm(&self) -> usize {
        self.state().disarm()
    }

    /// How often it was asked so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.state().counters
    }

    /// What callers did that the contracts forbid, in words. A test ends by asserting that there is
    /// nothing.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// Lets all messages land that are still on their way; returns how many those were.
    pub fn land(&self) -> usize {
        let late = self.state().take_late(|_| true);
        self.deliver(late)
    }

    /// From now on the server does not know any more what marks stand for: whoever asks what came in since is told all
    /// that there is, or [`Stale`](mailmove_core::ErrorKind::Stale) if it has to be exact.
    pub fn forget_marks(&self) {
        self.state().forgot_marks = true;
    }

    /// From now on, or no more, the server can tell no message's flags.
    pub fn tell_no_flags(&self, none: bool) {
        self.state().no_flags = none;
    }

    /// Messages that are still on their way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.state().late()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = &self.server.state;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn can(&self) -> &Capabilities {
        &self.options.capabilities
    }

    /// What the capabilities say of names and sizes becomes a rule of the account.
    fn apply_rules(self) -> Self {
        let can = self.can();
        self.server.account.configure(|limits| {
            let naming = &can.naming;
            limits.case_insensitive_names = naming.case_insensitive;
            limits.refuse_excess_blanks = naming.trims_blanks || naming.squeezes_blanks;
            limits.reserved_names.clone_from(&naming.reserved);
            limits.max_depth = Some(naming.separator.map_or(1, |_| naming.max_depth));
            limits.max_component_length = Some(naming.max_name);
            limits.forbidden_chars = naming.forbidden.chars().chain(naming.separator).collect();
            limits.max_message_size = can.max_message;
        });
        self
    }

    /// Begins an operation: it is counted, late messages land, and armed faults go off.
    async fn operation(&self, count: fn(&mut Counters)) -> Result<()> {
        if self.options.latency.is_zero() {
            // Calls that run at once take turns as they do on a network.
            tokio::task::yield_now().await;
        } else {
            self.options.edges.clock.sleep(self.options.latency).await;
        }
        let now = self.options.edges.clock.now();
        let (late, renumber, failure) = {
            let mut state = self.state();
            count(&mut state.counters);
            let (renumber, failure) = state.begin();
            let operations = state.counters.operations;
            let due = |landing: &Landing| match landing {
                Landing::AfterOperations(at) => *at <= operations,
                Landing::At(time) => *time <= now,
                Landing::Stored | Landing::Lost => true,
            };
            (state.take_late(due), renumber, failure)
        };
        self.deliver(late);
        for path in renumber {
            if let Ok(info) = self.server.account.folder(path.names()) {
                // It was there a moment ago.
                let _ = self.server.account.bump_uidvalidity(info.id);
            }
        }
        failure.map_or(Ok(()), |kind| Err(failed(kind)))
    }

    fn deliver(&self, late: Vec<state::Late>) -> usize {
        let count = late.len();
        for late in late {
            // Its folder may be gone by now, or full: then it is lost.
            let _ = self.server.account.append(late.folder, vec![late.message]);
        }
        count
    }

    /// Refuses what the contract forbids, and remembers it.
    fn violation(&self, what: impl Into<String>) -> Error {
        let what = what.into();
        self.state().violations.push(what.clone());
        Error::new(ErrorKind::Bug, what).with_code("memory/contract")
    }

    /// The folder that an id names now.
    fn resolve(&self, id: &FolderId) -> Result<FolderInfo> {
        if ids::folder_path(id).is_none() {
            return Err(self.violation(format!("{id:?} is no folder id of this adapter")));
        }
        ids::resolve(&self.server.account, id).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "there is no such folder")
                .with_context("folder", id.as_str())
        })
    }

    /// The same, if it still is what the caller knew.
    fn resolve_as(&self, id: &FolderId, identity: &str) -> Result<FolderInfo> {
        let info = self.resolve(id)?;
        if ids::epoch(&info) == identity {
            Ok(info)
        } else {
            Err(stale("the folder is another one, or numbered anew"))
        }
    }

    /// The number of a message in the folder's present epoch.
    fn uid(&self, id: &MessageId, epoch: &str) -> Result<u32> {
        match ids::Id::read(id) {
            None => Err(self.violation(format!("{id:?} is no message id of this adapter"))),
            Some(known) if known.epoch == epoch => Ok(known.uid),
            Some(_) => Err(
                stale("the id is of another folder or numbering").with_scope(
                    // One such id says nothing about the others.
                    mailmove_core::Scope::Message,
                ),
            ),
        }
    }

    /// The flags that folders keep for good.
    fn kept(&self) -> KeptFlags {
        let system = mailmove_core::model::Flags::parse(&crate::mailbox::SYSTEM_FLAGS.join(" "));
        if !self.can().keeps_keywords {
            return KeptFlags::new(system, false);
        }
        match self.server.account.limits().keywords {
            Keywords::Any => KeptFlags::new(system, true),
            Keywords::Only(list) | Keywords::OnlyStrict(list) => {
                let known = mailmove_core::model::Flags::parse(&list.join(" "));
                KeptFlags::new(system.union(&known), false)
            }
        }
    }

    /// A body as content, under the memory budget.
    fn content(&self, body: &[u8]) -> Result<Content> {
        let mut writer = self.options.edges.spool.writer(body.len() as u64)?;
        for piece in body.chunks(1 << 20) {
            writer.write(piece)?;
        }
        Ok(writer.finish())
    }

    fn named(&self) -> Endpoint {
        Endpoint::new("memory", "memory.invalid", None, self.server.account.user())
    }

    fn described(&self, id: &MessageId) -> String {
        ids::Id::read(id).map_or_else(|| id.to_string(), |id| format!("message {}", id.uid))
    }
}

impl fmt::Debug for MemoryMailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryMailbox({})", self.server.account.user())
    }
}

fn stale(message: &'static str) -> Error {
    Error::new(ErrorKind::Stale, message)
}

/// An error that a fault asked for.
fn failed(kind: ErrorKind) -> Error {
    Error::new(kind, "this was armed to fail").with_code("memory/fault")
}
