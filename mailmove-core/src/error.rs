//! One error type for everything: what failed, how far the damage reaches, whether and when it is
//! worth trying again, and what the user can do.
//!
//! An adapter *classifies*; it never retries. The engine alone reads [`Error::retry`] and
//! [`Error::scope`] and decides.

use std::{borrow::Cow, error::Error as StdError, fmt, time::Duration};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's input is wrong: an address, an option, a rule.
    Config,
    /// The host could not be resolved or reached.
    Connect,
    /// The TLS handshake or the verification of the certificate failed.
    Tls,
    /// The server refused the credentials, or wants another way to log in.
    Auth,
    /// The program's [`NetworkPolicy`](crate::edge::NetworkPolicy) or the server's rights forbid it.
    Denied,
    /// The server cannot do what was asked.
    Unsupported,
    /// The folder or message is not there.
    NotFound,
    /// What we remember no longer describes the folder (UIDVALIDITY changed, delta token expired).
    Stale,
    /// The server refused this very content or command, and will refuse it again.
    Refused,
    /// The message is larger than the destination takes.
    TooLarge,
    /// The mailbox is full.
    Quota,
    /// The server asks to slow down.
    Throttled,
    /// Too many connections.
    Capacity,
    /// The server has a temporary problem.
    Unavailable,
    /// The server said something the protocol does not allow.
    Protocol,
    /// The connection was lost.
    Interrupted,
    /// No answer in time.
    Timeout,
    /// The checkpoint store failed.
    Store,
    /// Another process holds the job.
    Locked,
    /// A destination message is already claimed by another source message.
    Conflict,
    /// A local file could not be read or written.
    Io,
    /// The migration was asked to stop.
    Cancelled,
    /// The provider of credentials waits for the user.
    WaitingForUser,
    /// Sums that must be equal are not: the ledger does not close.
    Mismatch,
    /// A defect of mailmove itself; please report it.
    Bug,
}

impl ErrorKind {
    /// A stable lower-case name, used as the default error code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
            Self::NotFound => "not-found",
            Self::Stale => "stale",
            Self::Refused => "refused",
            Self::TooLarge => "too-large",
            Self::Quota => "quota",
            Self::Throttled => "throttled",
            Self::Capacity => "capacity",
            Self::Unavailable => "unavailable",
            Self::Protocol => "protocol",
            Self::Interrupted => "interrupted",
            Self::Timeout => "timeout",
            Self::Store => "store",
            Self::Locked => "locked",
            Self::Conflict => "conflict",
            Self::Io => "io",
            Self::Cancelled => "cancelled",
            Self::WaitingForUser => "waiting-for-user",
            Self::Mismatch => "mismatch",
            Self::Bug => "bug",
        }
    }
}

/// How far the damage reaches. The engine stops only that much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scope {
    /// One message; its neighbours are fine.
    Message,
    /// One folder.
    Folder,
    /// The whole account on that side.
    Account,
    /// The migration as such (store, configuration).
    Job,
}

/// Whether trying again can help, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retry {
    /// The same request will fail again.
    Never,
    /// Try again after a delay that the engine chooses.
    Backoff,
    /// Try again after this delay, which the server named.
    After(Duration),
}

/// An error with its meaning. Cheap to move; see the [module](self) for who decides what.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    scope: Scope,
    retry: Retry,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    remedy: Option<Cow<'static, str>>,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of that kind. Scope, retry and code start with the kind's usual value.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        let (scope, retry) = usual(kind);
        Self(Box::new(Inner {
            kind,
            scope,
            retry,
            code: Cow::Borrowed(kind.as_str()),
            message: message.into(),
            remedy: None,
            context: Vec::new(),
            source: None,
        }))
    }

    /// Sets how far the damage reaches.
    #[must_use]
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.0.scope = scope;
        self
    }

    /// Sets whether trying again can help.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// As [`with_retry`](Self::with_retry), in place.
    pub(crate) fn set_retry(&mut self, retry: Retry) {
        self.0.retry = retry;
    }

    /// Sets the stable code, e.g. `imap/overquota`. Codes are part of the public interface.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.0.code = code.into();
        self
    }

    /// Sets what the user can do about it, as a sentence.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.0.remedy = Some(remedy.into());
        self
    }

    /// Adds where it happened: `host`, `folder`, `message`, `command`. Never a secret.
    #[must_use]
    pub fn with_context(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.context.push((name, value.into()));
        self
    }

    /// Keeps the cause. [`Display`](fmt::Display) does not repeat it; walk [`StdError::source`].
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of thing went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// How far the damage reaches.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.0.scope
    }

    /// Whether trying again can help.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The bare message, without context.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the user can do, if anything is known.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        self.0.remedy.as_deref()
    }

    /// Where it happened, in the order it was added.
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0
            .context
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
    }

    /// True if it happened before anything was sent, or trying again is safe and may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.0.retry != Retry::Never
    }

    /// The message with its causes, on one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = StdError::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// Scope and retry that a kind has unless the adapter knows better.
const fn usual(kind: ErrorKind) -> (Scope, Retry) {
    match kind {
        ErrorKind::Refused | ErrorKind::TooLarge | ErrorKind::Conflict => {
            (Scope::Message, Retry::Never)
        }
        ErrorKind::NotFound | ErrorKind::Mismatch => (Scope::Folder, Retry::Never),
        ErrorKind::Stale => (Scope::Folder, Retry::Backoff),
        ErrorKind::Connect
        | ErrorKind::Throttled
        | ErrorKind::Capacity
        | ErrorKind::Unavailable
        | ErrorKind::Interrupted
        | ErrorKind::Timeout => (Scope::Account, Retry::Backoff),
        ErrorKind::Tls
        | ErrorKind::Auth
        | ErrorKind::Denied
        | ErrorKind::Unsupported
        | ErrorKind::Quota
        | ErrorKind::Protocol
        | ErrorKind::WaitingForUser => (Scope::Account, Retry::Never),
        ErrorKind::Config
        | ErrorKind::Store
        | ErrorKind::Locked
        | ErrorKind::Io
        | ErrorKind::Cancelled
        | ErrorKind::Bug => (Scope::Job, Retry::Never),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (index, (name, value)) in self.0.context.iter().enumerate() {
            let lead = if index == 0 { " (" } else { ", " };
            write!(f, "{lead}{name} {value}")?;
        }
        if self.0.context.is_empty() {
            Ok(())
        } else {
            f.write_str(")")
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("scope", &self.0.scope)
            .field("retry", &self.0.retry)
            .field("code", &self.0.code)
            .field("message", &self.to_string())
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

/// Longest piece of a server's text that an error repeats, in characters.
const TEXT_MAX: usize = 200;

/// A server's words for people: one line, without control characters, at most 200 characters.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::new();
    for (count, character) in text.trim().chars().enumerate() {
        if count == TEXT_MAX {
            out.push('…');
            break;
        }
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_the_place_and_not_the_cause() {
        let error = Error::new(ErrorKind::Connect, "cannot connect")
            .with_context("host", "mail.example.com")
            .with_context("port", "993")
            .with_source(std::io::Error::other("refused"));
        assert_eq!(
            error.to_string(),
            "cannot connect (host mail.example.com, port 993)"
        );
        assert_eq!(
            error.chain(),
            "cannot connect (host mail.example.com, port 993): refused"
        );
        assert!(error.is_transient());
    }
}
