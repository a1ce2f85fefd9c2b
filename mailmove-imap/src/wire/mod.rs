//! The client's side of the IMAP wire, without any I/O: no socket, no clock, no task.
//!
//! - [`Framer`] turns the server's bytes into [`Event`]s: complete [`Response`]s, and bodies as they pass by.
//! - [`Encoder`] turns validated arguments into [`Command`]s: bytes to send, and the places where to wait for the server.
//!
//! Nothing here can panic on what a server sends, and nothing grows beyond [`Limits`].

mod args;
mod capability;
mod command;
mod date;
mod encode;
mod error;
mod fetch;
mod flags;
mod frame;
mod items;
mod lex;
mod mailbox;
mod proto;
mod response;
mod search;
mod status;
mod uidset;
pub mod utf7;
mod utf8;

pub use args::{EncodeError, FieldName, FlagSet, Keyword, MailboxName, Tag};
pub use capability::{Capabilities, LiteralMode};
pub use command::{Command, MAX_SET, Segment};
pub use date::{DateError, InternalDate, SearchDate};
pub use encode::Encoder;
pub use error::{Excerpt, WireError};
pub use fetch::{BodyContent, BodySection, Fetch, Section, ServerDate};
pub use flags::{Flags, SystemFlag};
pub use frame::{BodyStart, Event, Framer, Limits};
pub use items::{
    AppendMessage, FetchItem, FetchParams, ListReturn, SearchKey, SelectParams, StatusItem,
    StoreMode,
};
pub use lex::MAX_DEPTH;
pub use mailbox::{
    ListEntry, MailboxStatus, Metadata, MetadataEntry, MyRights, Namespace, Namespaces, Quota,
    QuotaResource, QuotaRoot, SpecialUse,
};
pub use response::{IdField, Malformed, Response};
pub use search::{Esearch, Search, Vanished};
pub use status::{Code, Status, StatusKind};
pub use uidset::{UidRange, UidSet};

#[cfg(test)]
mod tests;
