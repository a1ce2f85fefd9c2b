//! Failures on demand.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailmove_testkit::mailbox::Account;
use tokio::sync::watch;

use crate::mixture::{Mixing, Mixture};

/// What goes wrong when an armed command comes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Answered NO with this text (a response code may lead it). An APPEND's body is read first.
    No(String),
    /// Answered BAD with this text. An APPEND's body is read first.
    Bad(String),
    /// `* BYE` with this text, then closed; the command isn't run.
    Bye(String),
    /// Closed before the command is run; an APPEND's body isn't read.
    Close,
    /// APPEND: closed after this many bytes of its first message.
    CloseInLiteral(u64),
    /// The command is run, then the connection closed before its tagged answer.
    CloseUnanswered,
    /// The command is run and answered, then the connection is closed.
    CloseAnswered,
    /// The command is run, but the connection closed after this many bytes of its answer.
    CloseInReply(u64),
    /// APPEND: read to the end, then the connection is closed; the messages land this much later.
    LandAfter(Duration),
    /// APPEND: read to the end, then the connection is closed; the messages land when
    /// [`Faults::release`] is called.
    LandOnRelease,
    /// The command is run after this time.
    Delay(Duration),
    /// The command waits until [`Faults::release`] is called.
    Hold,
    /// Something happens to the mailbox, then the command is run: mail arrives or goes, flags change,
    /// folders are made, renamed, deleted or numbered anew.
    Meanwhile(Script),
}

/// What happens to a mailbox meanwhile.
#[derive(Clone)]
pub struct Script(Arc<dyn Fn(&Account) + Send + Sync>);

impl Script {
    /// Does this to the account of whoever sent the command.
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
    /// Upper-case command name, `*` for any.
    name: String,
    /// How many matching commands still pass.
    skip: u64,
    /// How many times it strikes; `None` is always.
    times: Option<u64>,
    action: Action,
}

#[derive(Debug, Default)]
struct Rules {
    commands: Vec<Rule>,
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

    /// Arms an action for the `nth` command (1 is the next) of this name from now on, on whatever
    /// connection. UID commands are named `UID FETCH`, `*` is any command. It strikes once.
    pub fn arm(&self, command: &str, nth: u64, action: Action) {
        self.add(command, nth, Some(1), action);
    }

    /// Arms an action for every command of this name from the `nth` on.
    pub fn arm_from(&self, command: &str, nth: u64, action: Action) {
        self.add(command, nth, None, action);
    }

    fn add(&self, command: &str, nth: u64, times: Option<u64>, action: Action) {
        self.lock().commands.push(Rule {
            name: command.to_ascii_uppercase(),
            skip: nth.saturating_sub(1),
            times,
            action,
        });
    }

    /// Arms an action for the `nth` connection from now on: [`Action::Close`] closes it before the
    /// greeting, [`Action::Bye`] greets with BYE, [`Action::Delay`] greets late.
    pub fn arm_connection(&self, nth: u64, action: Action) {
        self.lock().connections.push(Rule {
            name: String::new(),
            skip: nth.saturating_sub(1),
            times: Some(1),
            action,
        });
    }

    /// From now on commands and connections fail as this says, until [`clear`](Self::clear). What is
    /// armed besides comes first.
    pub fn mix(&self, mixture: Mixture) {
        self.lock().mixture = Some(mixture.begin());
    }

    /// What a mixture did so far, by name.
    #[must_use]
    pub fn mixed(&self) -> Vec<(&'static str, u64)> {
        let rules = self.lock();
        rules.mixture.as_ref().map(Mixing::told).unwrap_or_default()
    }

    /// Disarms everything that didn't strike, and ends a mixture.
    pub fn clear(&self) {
        let mut rules = self.lock();
        if let Some(mixture) = &mut rules.mixture {
            mixture.stop();
        }
        rules.commands.clear();
        rules.connections.clear();
    }

    /// How many times an action struck.
    #[must_use]
    pub fn struck(&self) -> u64 {
        self.lock().struck
    }

    /// Lets held commands and appends go on.
    pub fn release(&self) {
        self.released.send_modify(|count| *count += 1);
    }

    pub(crate) fn on_command(&self, name: &str) -> Option<Action> {
        let mut rules = self.lock();
        let action = strike(&mut rules.commands, |rule| {
            rule.name == "*" || rule.name == name
        });
        let action = action.or_else(|| rules.mixture.as_mut()?.on_command(name));
        rules.struck += u64::from(action.is_some());
        action
    }

    pub(crate) fn on_connection(&self) -> Option<Action> {
        let mut rules = self.lock();
        let action = strike(&mut rules.connections, |_| true);
        let action = action.or_else(|| rules.mixture.as_mut()?.on_connection());
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
fn strike(rules: &mut Vec<Rule>, matches: impl Fn(&Rule) -> bool) -> Option<Action> {
    let mut action = None;
    rules.retain_mut(|rule| {
        if !matches(rule) {
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
        match &mut rule.times {
            Some(times) => {
                *times -= 1;
                *times > 0
            }
            None => true,
        }
    });
    action
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_command_is_struck_once() {
        let faults = Faults::new();
        faults.arm("append", 2, Action::Close);
        assert_eq!(faults.on_command("NOOP"), None);
        assert_eq!(faults.on_command("APPEND"), None);
        assert_eq!(faults.on_command("APPEND"), Some(Action::Close));
        assert_eq!(faults.on_command("APPEND"), None);
        assert_eq!(faults.struck(), 1);
    }
}
