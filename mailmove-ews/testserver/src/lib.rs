//! A loopback EWS server over [`mailmove_testkit::mailbox`].
//!
//! It behaves as Exchange is documented to, says how often it was asked what ([`Counters`]), and fails
//! where it is told to fail ([`Faults`]). It shares no code with the client under test, so that one
//! mistake isn't made twice.
//!
//! How the model's messages appear: `\Seen` is the read flag, `\Flagged` the follow-up flag, `\Answered`
//! and `$Forwarded` the last verb, `\Draft` the unsent bit of the message flags, `\Deleted` what IMAP
//! gateways keep under 0x8570, and all other keywords are categories. The received date is
//! PidTagMessageDeliveryTime.
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

mod addresses;
mod attachments;
mod auth;
mod autodiscover;
mod change;
mod config;
mod convert;
mod counters;
mod create;
mod dates;
mod faults;
mod find;
mod folders;
mod gate;
mod http;
mod ids;
mod items;
mod mailbox;
mod mangle;
mod mime;
mod mixture;
mod operations;
mod order;
mod props;
mod rebuild;
mod restrict;
mod server;
mod soap;
mod streams;
mod sync;
mod tls;
mod xml;

pub use config::{Binding, Builder, Certificate, Language, Scheme};
pub use counters::Counters;
pub use faults::{Action, Faults, Mangle, Script};
pub use mixture::Mixture;
pub use server::{Server, StartError};
