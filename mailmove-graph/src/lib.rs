//! Microsoft 365 by Microsoft Graph: source and destination for mailmove.

#![allow(
    dead_code,
    reason = "source and destination, which use all of it, are being built"
)]

mod auth;
mod config;
mod delta;
mod destination;
pub mod draft;
mod error;
mod folders;
mod http;
mod items;
mod pool;
mod source;
mod wire;

use mailmove_core::generate;

pub use auth::{DevicePrompt, Login, LoginConfig, Prompt};
pub use config::{Cloud, GraphConfig};
pub use destination::{GraphDestination, Protected, Writing};
pub use source::GraphSource;
