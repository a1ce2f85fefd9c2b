//! A loopback server of Microsoft Graph's mail over [`mailmove_testkit::mailbox`].
//!
//! It behaves as Exchange Online is documented and reported to, traps included, says how often it was
//! asked what ([`Counters`]), and fails where it is told to fail ([`Faults`]). It shares no code with the
//! client under test, so that one mistake isn't made twice. What is Exchange's whatever the protocol is in
//! [`mailmove_testkit_exchange`], which the EWS test server stands on, too.
//!
//! ```
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! use mailmove_graph_testserver::Server;
//! use mailmove_testkit::mailbox::Store;
//!
//! let server = Server::builder(Store::new())
//!     .user("ann")
//!     .client("app", "secret")
//!     .start()
//!     .await?;
//! assert!(server.url().ends_with("/v1.0"));
//! # Ok::<(), mailmove_graph_testserver::StartError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod attachments;
mod auth;
mod batch;
mod call;
mod config;
mod counters;
mod create;
mod delta;
mod exports;
mod faults;
pub mod fixture;
mod folders;
mod gate;
mod identity;
mod items;
mod letter;
mod limits;
mod list;
mod mangle;
mod mixture;
mod odata;
mod props;
mod render;
mod reply;
mod route;
mod server;
mod sessions;
mod uploads;

pub use config::Builder;
pub use counters::Counters;
pub use faults::{Action, Faults, Mangle, Script};
pub use mailmove_testkit_exchange::mailbox::Language;
pub use mailmove_testkit_exchange::tls::TlsError;
pub use mixture::Mixture;
pub use server::{Server, StartError};
