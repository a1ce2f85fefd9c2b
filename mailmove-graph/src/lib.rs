//! Microsoft 365 by Microsoft Graph: source and destination for mailmove.
//!
//! [`GraphSource`] and [`GraphDestination`] are made from a [`GraphConfig`], a provider of tokens and the
//! program's edges. A [`Login`] gives tokens, one for all mailboxes of a tenant:
//!
//! ```
//! use std::sync::Arc;
//! use mailmove_core::{Edges, edge::Secret};
//! use mailmove_graph::{GraphConfig, GraphSource, Login, LoginConfig};
//!
//! let edges = Edges::new();
//! let program = "00000000-1111-2222-3333-444444444444";
//! let login = LoginConfig::with_secret("example.com", program, Secret::new("secret"));
//! let login = Arc::new(Login::new(login, edges.clone()));
//! let ann = GraphConfig::new("example.com", "ann@example.com");
//! let source = GraphSource::new(ann, login, edges);
//! # let _ = source;
//! ```

mod auth;
mod config;
mod delta;
mod destination;
pub mod draft;
mod error;
mod folders;
mod http;
mod items;
mod mime;
mod pool;
mod source;
mod wire;

use mailmove_core::generate;

pub use auth::{DevicePrompt, Login, LoginConfig, Prompt};
pub use config::{Cloud, GraphConfig};
pub use destination::{Drafts, GraphDestination, Protected, Writing};
pub use source::GraphSource;
