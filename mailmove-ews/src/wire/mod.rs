//! The messages of EWS: SOAP 1.1 over the types of Exchange 2013 SP1's schema.
//!
//! Requests keep to the schema in the order of elements, since Exchange refuses others. Replies are read
//! leniently: real servers leave elements out, add some, and write characters that XML does not have.

mod property;
mod reply;
mod request;
mod split;
mod tree;
mod version;
mod write;

pub use property::Property;
pub use reply::{Reply, SoapError, messages};
pub use request::{
    Change, Field, FolderRef, Header, NewItem, Request, Shape, copy_items, create_folders,
    create_items, delete_items, export_items, find_folders, find_items, get_folders, get_items,
    get_store, mail_tips, move_items, stamp_items, sync_items, update_items, upload_items,
};
pub use split::Splitter;
pub use tree::{Element, parse};
pub use version::Version;
pub use write::Piece;

/// A reply that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// It holds a document type, which SOAP forbids and attacks are made of.
    #[error("the reply holds a document type definition")]
    DocumentType,
    /// It is no XML.
    #[error("the reply is not well-formed XML")]
    Malformed,
    /// It ends before its end.
    #[error("the reply is cut off")]
    Truncated,
    /// It is larger, deeper or has more parts than any reply may have.
    #[error("the reply is larger than any may be")]
    TooLarge,
    /// It is XML, but no SOAP reply.
    #[error("the reply is no SOAP message")]
    NotSoap,
    /// It answers another operation.
    #[error("the reply answers another request")]
    OtherOperation,
}
