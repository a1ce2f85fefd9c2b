//! Failures on demand.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mailmove_testkit::mailbox::Account;
use tokio::sync::watch;

/// Failures that are drawn, of a server whose failures are `A`.
pub trait Mix<A>: fmt::Debug + Send {
    /// What goes wrong with this operation.
    fn on_operation(&mut self, operation: &str) -> Option<A>;
    /// What it did so far, by name.
    fn told(&self) -> Vec<(&'static str, u64)>;
    /// From now on nothing goes wrong.
    fn stop(&mut self);
}

/// The beginning of such a mixture.
pub trait Mixture<A> {
    /// From its seed.
    fn begin(self) -> Box<dyn Mix<A>>;
}

/// What happens to a mailbox meanwhile.
#[derive(Clone)]
pub struct Script(Arc<dyn Fn(&Account) + Send + Sync>);

impl Script {
    /// Does this to the mailbox that the operation is about.
    pub fn new(change: impl Fn(&Account) + Send + Sync + 'static) -> Self {
        Self(Arc::new(change))
    }

    /// Does it.
    pub fn run(&self, account: &Account) {
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
struct Rule<A> {
    /// The operation, `*` for any.
    name: String,
    /// How many matching operations still pass.
    skip: u64,
    /// After how many passed ones it strikes again; once if 0.
    every: u64,
    action: A,
}

#[derive(Debug)]
struct Rules<A> {
    operations: Vec<Rule<A>>,
    connections: Vec<Rule<A>>,
    mixture: Option<Box<dyn Mix<A>>>,
    struck: u64,
}

/// The failures a server was told to show. Clones share them.
#[derive(Debug, Clone)]
pub struct Faults<A> {
    rules: Arc<Mutex<Rules<A>>>,
    released: watch::Sender<u64>,
}

impl<A: Clone + fmt::Debug> Default for Faults<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Clone + fmt::Debug> Faults<A> {
    /// None so far.
    #[must_use]
    pub fn new() -> Self {
        let rules = Rules {
            operations: Vec::new(),
            connections: Vec::new(),
            mixture: None,
            struck: 0,
        };
        Self {
            rules: Arc::new(Mutex::new(rules)),
            released: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rules<A>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Arms an action for the `nth` operation (1 is the next) of this name from now on, such as
    /// `CreateItem`, on whatever connection; `*` is any. It strikes once.
    pub fn arm(&self, operation: &str, nth: u64, action: A) {
        self.add(operation, nth, 0, action);
    }

    /// Arms an action for every operation of this name from the `nth` on.
    pub fn arm_from(&self, operation: &str, nth: u64, action: A) {
        self.add(operation, nth, 1, action);
    }

    /// Arms an action for each `nth` operation of this name.
    pub fn arm_every(&self, operation: &str, nth: u64, action: A) {
        self.add(operation, nth, nth.max(1), action);
    }

    fn add(&self, operation: &str, nth: u64, every: u64, action: A) {
        self.lock().operations.push(Rule {
            name: operation.to_owned(),
            skip: nth.saturating_sub(1),
            every,
            action,
        });
    }

    /// Arms an action for the `nth` connection from now on: it is closed at once, or, where the action
    /// says so, later.
    pub fn arm_connection(&self, nth: u64, action: A) {
        self.lock().connections.push(Rule {
            name: "*".to_owned(),
            skip: nth.saturating_sub(1),
            every: 0,
            action,
        });
    }

    /// From now on operations fail as this says, until [`clear`](Self::clear). What is armed besides
    /// comes first.
    pub fn mix(&self, mixture: impl Mixture<A>) {
        self.lock().mixture = Some(mixture.begin());
    }

    /// What a mixture did so far, by name.
    #[must_use]
    pub fn mixed(&self) -> Vec<(&'static str, u64)> {
        let rules = self.lock();
        rules.mixture.as_ref().map(|m| m.told()).unwrap_or_default()
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

    /// What goes wrong with an operation that came.
    #[must_use]
    pub fn on_operation(&self, name: &str) -> Option<A> {
        let mut rules = self.lock();
        let action = strike(&mut rules.operations, name);
        let action = action.or_else(|| rules.mixture.as_mut()?.on_operation(name));
        rules.struck += u64::from(action.is_some());
        action
    }

    /// What goes wrong with a connection that came.
    #[must_use]
    pub fn on_connection(&self) -> Option<A> {
        let mut rules = self.lock();
        let action = strike(&mut rules.connections, "*");
        rules.struck += u64::from(action.is_some());
        action
    }

    /// Resolves at the next release after this call.
    pub fn released(&self) -> impl Future<Output = ()> + Send + use<A> {
        let mut receiver = self.released.subscribe();
        async move {
            // The sender lives as long as the server; when it is gone nobody waits any more.
            let _ = receiver.changed().await;
        }
    }
}

/// Counts a match for every rule; the first whose turn it is strikes.
fn strike<A: Clone>(rules: &mut Vec<Rule<A>>, name: &str) -> Option<A> {
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
        faults.arm("CreateItem", 2, 'c');
        faults.arm_every("GetItem", 3, 't');
        assert_eq!(faults.on_operation("CreateItem"), None);
        assert_eq!(faults.on_operation("CreateItem"), Some('c'));
        assert_eq!(faults.on_operation("CreateItem"), None);
        let struck: Vec<_> = (0..6)
            .map(|_| faults.on_operation("GetItem").is_some())
            .collect();
        assert_eq!(struck, [false, false, true, false, false, true]);
        assert_eq!(faults.struck(), 3);
    }
}
