//! Requests and answers as Graph has them.

mod folder;
mod page;
mod path;
pub(crate) mod property;
mod request;
mod split;

pub(crate) use folder::{MailFolder, MailboxFolder};
pub(crate) use page::{Page, read};
pub(crate) use path::Path;
pub(crate) use property::Property;
pub(crate) use request::{Body, Request, To};
pub(crate) use split::Splitter;
