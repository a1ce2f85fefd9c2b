//! Reading MIME as it passes by, for adapters whose servers take messages apart: in pieces of any size, each line once,
//! in bounded memory, and whatever comes. Who reads so with one [`Visitor`] sees the same parts as with another: what a
//! message [means](crate::identity::Meaning) is read in this way too.

mod decode;
mod media;
mod walk;

pub use decode::{Decoder, Encoding};
pub use media::Media;
pub use walk::{Leaf, Visitor, Walker};
