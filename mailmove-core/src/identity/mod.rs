//! How two messages are told to be the same.

mod body;
mod header;
mod message;

pub use body::BodyHasher;
pub(crate) use body::body_of;
pub use header::{HEADER_FIELDS, HeaderDigest};
pub(crate) use message::received;
