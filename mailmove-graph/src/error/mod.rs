//! What refusals, and failures on the way, mean to the engine.
//!
//! Every code here is part of the public interface: `graph/…` for what Graph says, `login/…` for what the
//! place that gives tokens says, `http/…` for what stands in front of either, `tls/…` for certificates and
//! handshakes.

mod graph;
mod login;
mod transport;

use mailmove_core::{
    destination::Outcome,
    error::{Error, ErrorKind, Retry, Scope},
};

pub(crate) use graph::{Doing, Said, refused};
pub(crate) use login::{LoginSaid, refused as login_refused};
pub(crate) use mailmove_core::error::printable;
pub(crate) use transport::transport;

/// Somebody else answers there.
pub(crate) fn not_graph() -> Error {
    Error::new(
        ErrorKind::Protocol,
        "what answers there is not Microsoft Graph",
    )
    .with_code("graph/not-graph")
    .with_remedy("Check the address, and that no proxy or firewall answers in its place.")
}

/// What the protocol does not allow.
pub(crate) fn unexpected(message: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, message).with_code("graph/unexpected")
}

/// An answer that is not what was asked for.
pub(crate) fn malformed(cause: serde_json::Error) -> Error {
    Error::new(ErrorKind::Protocol, "the answer cannot be read")
        .with_code("graph/malformed")
        .with_retry(Retry::Backoff)
        .with_source(cause)
}

/// The same of one that may hold a token, of which the reader's own words may repeat a piece.
pub(crate) fn unreadable(cause: serde_json::Error) -> Error {
    drop(cause);
    Error::new(ErrorKind::Protocol, "the answer cannot be read")
        .with_code("graph/malformed")
        .with_retry(Retry::Backoff)
}

pub(crate) fn too_long() -> Error {
    Error::new(ErrorKind::Protocol, "the answer is larger than any may be")
        .with_code("graph/too-large-answer")
}

/// What was asked for and the answer does not mention.
pub(crate) fn missing() -> Error {
    Error::new(ErrorKind::Protocol, "the answer leaves something out")
        .with_code("graph/left-out")
        .with_scope(Scope::Message)
        .with_retry(Retry::Backoff)
}

/// What was asked for once, and is answered more than once.
pub(crate) fn twice() -> Error {
    Error::new(
        ErrorKind::Protocol,
        "the answer says more than one thing of the same",
    )
    .with_code("graph/answered-twice")
    .with_scope(Scope::Message)
    .with_retry(Retry::Backoff)
}

/// No answer in time.
pub(crate) fn silent() -> Error {
    Error::new(ErrorKind::Timeout, "the server does not answer")
        .with_code("graph/timeout")
        .with_remedy("The server may be overloaded: try again later.")
}

/// The connection ended.
pub(crate) fn lost(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Interrupted, "the connection was lost")
        .with_code("graph/connection-lost")
        .with_source(cause)
}

/// A link that leads away from the server that gave it.
pub(crate) fn foreign_link() -> Error {
    Error::new(
        ErrorKind::Protocol,
        "the server's link leads to another server",
    )
    .with_code("graph/foreign-link")
    .with_remedy("No token was sent there. Check who answers at the address of Graph.")
}

/// A link that leads to itself, or to nothing new for ever.
pub(crate) fn same_link() -> Error {
    Error::new(ErrorKind::Protocol, "the server's links lead nowhere")
        .with_code("graph/endless")
        .with_retry(Retry::Backoff)
}

/// The same error for another item; its source stays with the first.
pub(crate) fn again(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.message().to_owned())
        .with_scope(error.scope())
        .with_retry(error.retry())
        .with_code(error.code().to_owned());
    let copy = match error.remedy() {
        Some(remedy) => copy.with_remedy(remedy.to_owned()),
        None => copy,
    };
    error
        .context()
        .fold(copy, |copy, (name, value)| copy.with_context(name, value))
}

/// The same error for another item of a request.
pub(crate) fn outcome(error: &Error, perhaps_stored: bool) -> Outcome {
    match perhaps_stored {
        true => Outcome::Unknown(again(error)),
        false => Outcome::NotStored(again(error)),
    }
}
