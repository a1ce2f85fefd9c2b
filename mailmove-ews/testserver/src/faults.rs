//! Failures on demand.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailmove_testkit::mailbox::Account;
use tokio::sync::watch;

use crate::mixture::{Mixing, Mixture};

/// What goes wrong when an armed operation comes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Answered with this HTTP status, and not run. 401 comes with the usual challenges, 302 leads to
    /// the generic error page, after 400 the connection is closed.
    Status(u16),
    /// Run, but answered with this HTTP status.
    StatusAfter(u16),
    /// `ErrorServerBusy` as a fault with HTTP 500, with this back-off; not run.
    BusyFault(Duration),
    /// `ErrorServerBusy` in each response message of HTTP 200, with this back-off; not run.
    Busy(Duration),
    /// Each response message has this code; not run.
    Error(String),
    /// The item with this index (0 is the first) has this code and isn't run; the others are.
    ErrorAt(usize, String),
    /// The items before this index are run. It fails with `ErrorTimeoutExpired`, and those after it
    /// with `ErrorBatchProcessingStopped`.
    StopBatch(usize),
    /// A SOAP fault with this HTTP status and response code; not run.
    Fault(u16, String),
    /// A SOAP fault without any detail, with HTTP 200 (gromox); not run.
    BareFault,
    /// A SOAP fault with HTTP 500, and then, unasked, an empty reply with HTTP 200 (gromox); not run.
    FaultTwice,
    /// Run, and answered twice.
    Twice,
    /// Answered with the reply of another operation; not run.
    OtherReply,
    /// The connection is closed; not run.
    Close,
    /// A connection: closed when so many bytes were read from it.
    CloseInRequest(u64),
    /// Run, then the connection is closed without an answer.
    CloseUnanswered,
    /// Run and answered, then the connection is closed without saying so.
    CloseAnswered,
    /// Run, but the connection is closed after this many bytes of the answer.
    CloseInReply(u64),
    /// The connection is closed; the operation is run this much later.
    LandAfter(Duration),
    /// The connection is closed; the operation is run when [`Faults::release`] is called.
    LandOnRelease,
    /// Run after this time.
    Delay(Duration),
    /// Waits until [`Faults::release`] is called.
    Hold,
    /// Something happens to the mailbox, then the operation is run.
    Meanwhile(Script),
    /// Run; the reply is spoilt.
    Mangle(Mangle),
    /// Exported streams end in the mark of a truncation.
    TruncateExport,
}

/// How a reply is spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mangle {
    /// A reference to U+001A at the start of each subject and display name.
    IllegalReference,
    /// A raw U+0001 at the start of each subject and display name.
    IllegalCharacter,
    /// MIME contents lose their padding and gain line ends.
    OddBase64,
    /// MIME contents hold characters that are no base64.
    BrokenBase64,
    /// A DOCTYPE stands before the envelope.
    Doctype,
    /// The document ends in the middle, with a fitting `Content-Length`.
    Truncated,
    /// The last response message is missing.
    MissingMessage,
    /// The text is no XML.
    NoXml,
}

/// What happens to a mailbox meanwhile.
#[derive(Clone)]
pub struct Script(Arc<dyn Fn(&Account) + Send + Sync>);

impl Script {
    /// Does this to the mailbox that the operation is about.
    pub fn new(change: impl Fn(&Account) + Send + Sync + 'static) -> Self {
        Self(Arc::new(change))
    }

    pub(crate) fn run(&self, account: &Account) {
        (self.0)(account);
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script(..)")
    }
}

impl PartialEq for Script {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Script {}

#[derive(Debug)]
struct Rule {
    /// The operation, `*` for any.
    name: String,
    /// How many matching operations still pass.
    skip: u64,
    /// After how many passed ones it strikes again; once if 0.
    every: u64,
    action: Action,
}

#[derive(Debug, Default)]
struct Rules {
    operations: Vec<Rule>,
    connections: Vec<Rule>,
    mixture: Option<Mixing>,
    struck: u64,
}

/// The failures a server was told to show. Clones share them.
#[derive(Debug, Clone)]
pub struct Faults {
    rules: Arc<Mutex<Rules>>,
    released: watch::Sender<u64>,
}

impl Faults {
    pub(crate) fn new() -> Self {
        Self {
            rules: Arc::default(),
            released: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Arms an action for the `nth` operation (1 is the next) of this name from now on, such as
    /// `CreateItem`, on whatever connection; `*` is any. It strikes once.
    pub fn arm(&self, operation: &str, nth: u64, action: Action) {
        self.add(operation, nth, 0, action);
    }

    /// Arms an action for every operation of this name from the `nth` on.
    pub fn arm_from(&self, operation: &str, nth: u64, action: Action) {
        self.add(operation, nth, 1, action);
    }

    /// Arms an action for each `nth` operation of this name.
    pub fn arm_every(&self, operation: &str, nth: u64, action: Action) {
        self.add(operation, nth, nth.max(1), action);
    }

    fn add(&self, operation: &str, nth: u64, every: u64, action: Action) {
        self.lock().operations.push(Rule {
            name: operation.to_owned(),
            skip: nth.saturating_sub(1),
            every,
            action,
        });
    }

    /// Arms an action for the `nth` connection from now on: [`Action::Close`] closes it at once,
    /// [`Action::CloseInRequest`] later.
    pub fn arm_connection(&self, nth: u64, action: Action) {
        self.lock().connections.push(Rule {
            name: "*".to_owned(),
            skip: nth.saturating_sub(1),
            every: 0,
            action,
        });
    }

    /// From now on operations fail as this says, until [`clear`](Self::clear). What is armed besides
    /// comes first.
    pub fn mix(&self, mixture: Mixture) {
        self.lock().mixture = Some(mixture.begin());
    }

    /// What a mixture did so far, by name.
    #[must_use]
    pub fn mixed(&self) -> Vec<(&'static str, u64)> {
        let rules = self.lock();
        rules.mixture.as_ref().map(Mixing::told).unwrap_or_default()
    }

    /// Disarms everything, and ends a mixture.
    pub fn clear(&self) {
        let mut rules = self.lock();
        if let Some(mixture) = &mut rules.mixture {
            mixture.stop();
        }
        rules.operations.clear();
        rules.connections.clear();
    }

    /// How many times an action struck.
    #[must_use]
    pub fn struck(&self) -> u64 {
        self.lock().struck
    }

    /// Lets held and late operations go on.
    pub fn release(&self) {
        self.released.send_modify(|count| *count += 1);
    }

    pub(crate) fn on_operation(&self, name: &str) -> Option<Action> {
        let mut rules = self.lock();
        let action = strike(&mut rules.operations, name);
        let action = action.or_else(|| rules.mixture.as_mut()?.on_operation(name));
        rules.struck += u64::from(action.is_some());
        action
    }

    pub(crate) fn on_connection(&self) -> Option<Action> {
        let mut rules = self.lock();
        let action = strike(&mut rules.connections, "*");
        rules.struck += u64::from(action.is_some());
        action
    }

    /// Resolves at the next release after this call.
    pub(crate) fn released(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut receiver = self.released.subscribe();
        async move {
            // The sender lives as long as the server; when it is gone nobody waits any more.
            let _ = receiver.changed().await;
        }
    }
}

/// Counts a match for every rule; the first whose turn it is strikes.
fn strike(rules: &mut Vec<Rule>, name: &str) -> Option<Action> {
    let mut action = None;
    rules.retain_mut(|rule| {
        if rule.name != "*" && rule.name != name {
            return true;
        }
        if rule.skip > 0 {
            rule.skip -= 1;
            return true;
        }
        if action.is_some() {
            return true;
        }
        action = Some(rule.action.clone());
        rule.skip = rule.every.saturating_sub(1);
        rule.every > 0
    });
    action
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_struck_once_or_each_nth_time() {
        let faults = Faults::new();
        faults.arm("CreateItem", 2, Action::Close);
        faults.arm_every("GetItem", 3, Action::Twice);
        assert_eq!(faults.on_operation("CreateItem"), None);
        assert_eq!(faults.on_operation("CreateItem"), Some(Action::Close));
        assert_eq!(faults.on_operation("CreateItem"), None);
        let struck: Vec<_> = (0..6)
            .map(|_| faults.on_operation("GetItem").is_some())
            .collect();
        assert_eq!(struck, [false, false, true, false, false, true]);
        assert_eq!(faults.struck(), 3);
    }
}
