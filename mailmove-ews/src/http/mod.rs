//! HTTP/1.1 over sockets that core opens.
//!
//! hyper's connection is used by itself, without a client's pool around it: NTLM logs in a connection
//! and not a request, channel binding wants the certificate that was shown on it, and who may be reached
//! is judged where the socket is opened. No redirect is followed.

mod body;
mod connection;
mod cookies;
mod sniff;
mod target;

pub(crate) use body::RequestBody;
pub(crate) use connection::{Connection, Dial, Failed, Outgoing, Received};
pub(crate) use cookies::Jar;
pub(crate) use target::Target;
