//! How two messages are told to be the same.

mod header;

pub use header::{HEADER_FIELDS, HeaderDigest};
