//! A loopback IMAP server over [`mailmove_testkit::mailbox`].
//!
//! It is strict where tests need strictness, says how often it was asked what ([`Counters`]), fails
//! where it is told to fail ([`Faults`]), and can leave out each extension ([`Capability`]). It shares
//! no code with the client under test, so that one mistake isn't made twice.
//!
//! ```
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! use mailmove_imap_testserver::{Capability, Server};
//! use mailmove_testkit::mailbox::Store;
//!
//! let server = Server::builder(Store::new())
//!     .user("ann", "secret")
//!     .without(Capability::MultiAppend)
//!     .start()
//!     .await?;
//! let port = server.plain_address().port();
//! # assert_ne!(port, 0);
//! # Ok::<(), mailmove_imap_testserver::StartError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod append;
mod auth;
mod capability;
mod config;
mod counters;
mod date;
mod deflate;
mod envelope;
mod faults;
mod fetch;
mod fetch_args;
mod folders;
mod gmail;
mod idle;
mod io;
mod limit;
mod list;
mod metadata;
mod mime;
mod mixture;
mod names;
mod parser;
mod reply;
mod rights;
mod search;
mod search_keys;
mod select;
mod sequence;
mod server;
mod session;
mod store;
mod structure;
mod tls;
mod tokens;
mod view;

pub use capability::Capability;
pub use config::Builder;
pub use counters::Counters;
pub use faults::{Action, Faults, Script};
pub use gmail::Gmail;
pub use mixture::Mixture;
pub use server::{Server, StartError};
pub use tokens::Tokens;
