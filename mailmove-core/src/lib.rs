//! Moves mailboxes between mail systems: nothing lost, nothing doubled, every item accounted for.
//!
//! This crate knows no protocol. Adapters (`mailmove-imap`, …) implement [`Source`] and
//! [`Destination`]; the engine moves the mail and keeps the ledger.

pub mod checkpoint;
pub mod destination;
pub mod edge;
mod engine;
pub mod error;
pub mod identity;
pub mod map;
mod migration;
pub mod model;
pub mod observe;
pub mod options;
pub mod report;
pub mod source;
pub mod store;

pub use checkpoint::{CheckpointStore, Ledger};
pub use destination::Destination;
pub use edge::Edges;
pub use error::{Error, ErrorKind, Result, Retry, Scope};
pub use migration::{Migration, MigrationBuilder, Stop};
pub use observe::{Event, Observer};
pub use options::{Filter, Options};
pub use report::Report;
pub use source::Source;
