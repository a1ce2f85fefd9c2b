//! Requests that brought no answer.

use std::{error::Error as StdError, io};

use mailmove_core::{
    edge::tls::handshake_failed,
    error::{Error, ErrorKind},
};

use super::{again, lost};
use crate::http::{Failed, Origin};

/// What became of a request that reqwest has no answer to.
pub(crate) fn transport(cause: reqwest::Error, origin: &Origin) -> Failed {
    // The address may hold a token.
    let cause = cause.without_url();
    let connecting = cause.is_connect();
    let located = |error: Error| {
        error
            .with_context("host", origin.host.clone())
            .with_context("port", origin.port.to_string())
    };
    // What this program itself had to say, such as that an address is forbidden.
    if let Some(own) = find::<Error>(&cause) {
        let own = again(own);
        return match connecting {
            true => Failed::before(own),
            false => Failed::after(own),
        };
    }
    if !connecting {
        return Failed::after(located(lost(cause)));
    }
    if let Some(failure) = handshake(&cause, origin.secure) {
        let hung_up = "Check host and port, and that no firewall is in between.";
        return Failed::before(located(handshake_failed(failure, hung_up)));
    }
    let error = match cause.is_timeout() {
        true => Error::new(ErrorKind::Timeout, "the host does not answer").with_code("net/timeout"),
        false => Error::new(ErrorKind::Connect, "cannot connect").with_code("net/connect"),
    };
    let remedy = "Check host and port, and that no firewall is in between.";
    Failed::before(located(error.with_remedy(remedy).with_source(cause)))
}

fn find<T: StdError + 'static>(error: &dyn StdError) -> Option<&T> {
    let mut at = error.source();
    while let Some(error) = at {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        at = error.source();
    }
    None
}

/// The failure of a handshake, if it was one.
fn handshake(cause: &reqwest::Error, secure: bool) -> Option<io::Error> {
    let mut at = cause.source();
    while let Some(error) = at {
        if let Some(tls) = tls_in(error) {
            return Some(io::Error::new(io::ErrorKind::InvalidData, tls.clone()));
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            let hung_up = matches!(
                io.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
            );
            if secure && hung_up {
                return Some(io::Error::from(io.kind()));
            }
        }
        at = error.source();
    }
    None
}

/// What rustls said. One within an [`io::Error`] is no source of it, and they are nested.
fn tls_in<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls);
    }
    let inner = error.downcast_ref::<io::Error>()?.get_ref()?;
    tls_in(inner)
}
