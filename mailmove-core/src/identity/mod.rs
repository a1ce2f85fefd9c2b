//! How two messages are told to be the same.

mod body;
mod header;
mod meaning;
mod message;

pub use body::BodyHasher;
pub(crate) use body::body_of;
pub use header::{HEADER_FIELDS, HeaderDigest};
pub use meaning::{Aspect, Deviation, Loss, Meaning, MeaningReader};
pub(crate) use message::received;
