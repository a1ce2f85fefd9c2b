//! IMAP source and destination for mailmove.

mod config;
mod connection;
mod destination;
mod distrust;
mod error;
mod folders;
mod generate;
mod ids;
mod naming;
mod nul;
mod pool;
mod rights;
mod session;
mod source;
#[doc(hidden)]
pub mod wire;

pub use config::{ImapConfig, Security};
pub use destination::ImapDestination;
pub use source::ImapSource;

/// The README's example must compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
