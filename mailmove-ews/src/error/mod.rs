//! What a server's refusals, and failures on the way to it, mean to the engine.
//!
//! Every code here is part of the public interface: `ews/…` for what EWS says, `http/…` for what stands
//! in front of it, `tls/…` for certificates and handshakes.

mod http;
mod soap;

use std::io;

pub(crate) use mailmove_core::error::printable;
use mailmove_core::{
    destination::Outcome,
    edge::tls::handshake_failed,
    error::{Error, ErrorKind, Retry, Scope},
};

pub(crate) use http::{Refusal, refused as http_refused};
pub(crate) use soap::{Doing, is_bare, refused, was_executed};

use crate::wire::WireError;

/// A handshake that failed.
pub(crate) fn handshake(failure: io::Error) -> Error {
    handshake_failed(
        failure,
        "Check the port: HTTPS is usually on 443. Servers that have too many connections do this too: use \
         fewer.",
    )
}

/// A reply that cannot be read.
pub(crate) fn wire(error: WireError) -> Error {
    let made = match error {
        WireError::Truncated => {
            Error::new(ErrorKind::Interrupted, "the reply was cut off").with_code("ews/truncated")
        }
        // The next connection has no stray replies.
        WireError::OtherOperation => Error::new(
            ErrorKind::Interrupted,
            "the server answered another request",
        )
        .with_code("ews/stray-reply"),
        WireError::DocumentType => Error::new(
            ErrorKind::Protocol,
            "the reply holds a document type definition",
        )
        .with_code("ews/document-type")
        .with_remedy(
            "No Exchange server sends such a thing: check the address, and who answers there.",
        ),
        WireError::TooLarge => {
            Error::new(ErrorKind::Protocol, "the reply is larger than any may be")
                .with_code("ews/too-large-reply")
        }
        WireError::NotSoap => not_ews(),
        WireError::Malformed => Error::new(ErrorKind::Protocol, "the reply is not well-formed XML")
            .with_code("ews/malformed")
            .with_retry(Retry::Backoff),
    };
    made.with_source(error)
}

/// Somebody else answers there.
pub(crate) fn not_ews() -> Error {
    Error::new(
        ErrorKind::Protocol,
        "what answers there is no Exchange Web Services",
    )
    .with_code("ews/not-ews")
    .with_remedy("Give the address of Outlook on the web, such as https://mail.example.com/owa.")
}

/// What the protocol does not allow.
pub(crate) fn unexpected(message: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, message).with_code("ews/unexpected")
}

/// An item that the request asked for and the reply does not mention.
pub(crate) fn missing() -> Error {
    Error::new(ErrorKind::Protocol, "the reply leaves an item out")
        .with_code("ews/item-left-out")
        .with_scope(Scope::Message)
        .with_retry(Retry::Backoff)
}

/// No answer in time.
pub(crate) fn silent() -> Error {
    Error::new(ErrorKind::Timeout, "the server does not answer")
        .with_code("ews/timeout")
        .with_remedy("The server may be overloaded: try again later, or with fewer connections.")
}

/// The connection ended.
pub(crate) fn lost(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Interrupted, "the connection was lost")
        .with_code("ews/connection-lost")
        .with_source(cause)
}

/// One item of several may be what a request failed for, without a word: each half may do.
pub(crate) fn is_halved(error: &Error, items: usize) -> bool {
    items > 1 && error.scope() == Scope::Message && is_bare(error)
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

/// The same error for another item of the request.
pub(crate) fn outcome(error: &Error, perhaps_stored: bool) -> Outcome {
    match perhaps_stored {
        true => Outcome::Unknown(again(error)),
        false => Outcome::NotStored(again(error)),
    }
}
