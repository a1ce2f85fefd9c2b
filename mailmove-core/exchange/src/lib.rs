//! What is true of Exchange's store, by whatever protocol it is reached: for the adapters of mailmove, and of no
//! use without them. No protocol is in here.

pub mod base64;
pub mod boundaries;
pub mod date;
pub mod export;
pub mod header;
pub mod identity;
pub mod ids;
pub mod keywords;
pub mod marks;
pub mod original;
pub mod sink;
pub mod sizes;
pub mod stamp;
pub mod token;
pub mod tree;
