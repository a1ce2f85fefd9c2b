//! IMAP source and destination for mailmove.

mod config;
mod connection;
mod cut;
mod destination;
mod distrust;
mod error;
mod folders;
mod gmail;
mod ids;
mod login;
mod metadata;
mod naming;
mod nul;
mod pool;
#[doc(hidden)]
pub mod probe;
mod quirks;
mod rights;
mod session;
mod source;
#[doc(hidden)]
pub mod wire;

use mailmove_core::generate;

pub use config::{ActAs, ImapConfig, Security};
pub use destination::ImapDestination;
pub use quirks::{KnownServer, Quirks};
pub use source::ImapSource;

/// The README's example must compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
