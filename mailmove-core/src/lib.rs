//! Moves mailboxes between mail systems: nothing lost, nothing doubled, every item accounted for.
//!
//! This crate knows no protocol. Adapters (`mailmove-imap`, …) implement [`Source`] and
//! [`Destination`]; the engine behind [`Migration`] moves the mail and keeps the ledger.
//!
//! # Using it
//!
//! A [`Migration`] needs a source, a destination and a [`CheckpointStore`]:
//!
//! ```
//! use mailmove_core::{Destination, Migration, Report, Result, Source, store::MemoryStore};
//!
//! async fn migrate(source: impl Source, destination: impl Destination) -> Result<Report> {
//!     let migration = Migration::builder(source, destination)
//!         .store(MemoryStore::new()) // for real: store::SqliteStore
//!         .build()?;
//!     migration.run().await
//! }
//! ```
//!
//! Each [`run`](Migration::run) is a pass: the first copies everything, later ones bring what is
//! new. Its [`Report`] accounts for every message by folder: what the *server* counts equals the
//! sum of what became of them ([`report::Tally`]). [`plan`](Migration::plan) says what a pass would
//! do, [`verify`](Migration::verify) compares the ledger with the destination,
//! [`mend`](Migration::mend) sends again what is missing there, [`Stop`] ends a pass in order, and an
//! [`Observer`] is told what happens.
//!
//! A process that is killed at any moment may be started again at once: what was in doubt is settled
//! at the destination before anything is sent again.
//!
//! # What the program decides
//!
//! [`Options`] say what is moved and what is left out; [`Edges`] are how a migration meets the
//! world: which addresses it may reach, how much memory, bandwidth and how many connections all
//! migrations of the process share, what time it is. Give the same edges to adapters and migration.
//!
//! # Defaults, and why
//!
//! | Default | Why |
//! |---|---|
//! | flags and subscriptions follow | people miss them first |
//! | deletions do not | the new mailbox must not lose what the old one loses |
//! | other users' and shared folders are left out | they are somebody else's to move |
//! | views (`\All`, `\Flagged`, `\Important`) are left out | their messages are elsewhere too; Gmail's `\All` keeps those that are not |
//! | 24 MiB of message bodies in memory | beyond it they wait in unlinked files |
//! | a refused message is tried again, [repaired](repair) | it arrives, with a note, rather than not at all |
//! | five tries, at most a minute apart | longer outages are for the next run |
//!
//! # Writing an adapter
//!
//! Read the contracts of [`Source`] and [`Destination`] first; `mailmove-testkit` holds the suite
//! that every adapter passes. An adapter classifies failures ([`ErrorKind`], [`Scope`], [`Retry`]);
//! it never retries.
//!
//! # Features
//!
//! - `sqlite` (default): the embedded checkpoint store.
//! - `tls`: TLS client settings, for adapters.

pub mod checkpoint;
pub mod dead_letter;
pub mod destination;
pub mod edge;
mod engine;
pub mod error;
pub mod generate;
pub mod identity;
pub mod map;
mod migration;
pub mod mime;
pub mod model;
pub mod observe;
pub mod options;
pub mod repair;
pub mod report;
pub mod source;
pub mod store;

pub use checkpoint::{CheckpointStore, Ledger};
pub use dead_letter::DeadLetters;
pub use destination::Destination;
pub use edge::Edges;
pub use error::{Error, ErrorKind, Result, Retry, Scope};
pub use migration::{Migration, MigrationBuilder, Stop};
pub use observe::{Event, Observer};
pub use options::{Filter, Mend, Options, Order, RepairPolicy};
pub use report::Report;
pub use source::Source;
