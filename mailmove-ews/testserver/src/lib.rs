//! A loopback EWS server over [`mailmove_testkit::mailbox`].
//!
//! It behaves as Exchange is documented to, says how often it was asked what ([`Counters`]), and fails
//! where it is told to fail ([`Faults`]). It shares no code with the client under test, so that one
//! mistake isn't made twice.
//!
//! How the model's messages appear is what [`mailmove_testkit_exchange`] says, which the Graph test
//! server stands on, too.
//!
//! ```
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! use mailmove_ews_testserver::Server;
//! use mailmove_testkit::mailbox::Store;
//!
//! let server = Server::builder(Store::new())
//!     .user("ann", "secret")
//!     .start()
//!     .await?;
//! assert!(server.url().ends_with("/EWS/Exchange.asmx"));
//! # Ok::<(), mailmove_ews_testserver::StartError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attachments;
mod auth;
mod autodiscover;
mod change;
mod config;
mod convert;
mod counters;
mod create;
mod faults;
mod find;
mod folders;
mod gate;
mod items;
mod mangle;
mod mixture;
mod operations;
mod order;
mod props;
mod restrict;
mod server;
mod soap;
mod streams;
mod sync;
mod xml;

use mailmove_testkit_exchange::{addresses, dates, http, ids, mailbox, mime, rebuild};

pub use config::{Binding, Builder, Scheme};
pub use counters::Counters;
pub use faults::{Action, Faults, Mangle, Script};
pub use mailmove_testkit_exchange::mailbox::Language;
pub use mailmove_testkit_exchange::tls::{Certificate, TlsError};
pub use mixture::Mixture;
pub use server::{Server, StartError};
