//! Exchange Web Services (EWS) source and destination for mailmove: Exchange 2013, 2016, 2019 and SE,
//! hosted or on premises.
//!
//! [`EwsSource`] and [`EwsDestination`] are made from an [`EwsConfig`], a provider of credentials and the
//! program's edges:
//!
//! ```
//! use std::sync::Arc;
//! use mailmove_core::{Edges, edge::{Credential, StaticCredential}};
//! use mailmove_ews::{EwsConfig, EwsSource};
//!
//! let config = EwsConfig::at("https://mail.example.com/owa")?.with_user("ann@example.com");
//! let login = Credential::password("EXAMPLE\\ann", "secret");
//! let source = EwsSource::new(config, Arc::new(StaticCredential::new(login)), Edges::new());
//! # let _ = source;
//! # Ok::<(), mailmove_core::Error>(())
//! ```

mod config;
mod destination;
mod discover;
mod error;
mod find;
mod folders;
mod header;
mod http;
mod items;
mod login;
#[doc(hidden)]
pub mod ntlm;
mod pool;
mod source;
mod sync;
#[doc(hidden)]
pub mod wire;

use mailmove_core::generate;

pub use config::{Auth, EwsConfig};
pub use destination::EwsDestination;
pub use discover::{Discovery, Found, SrvLookup, SrvRecord};
pub use source::EwsSource;
