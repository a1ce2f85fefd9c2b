//! How two messages are told to be the same.

mod header;
mod message;

pub use header::{HEADER_FIELDS, HeaderDigest};
pub(crate) use message::received;
