//! Work in progress.

#[doc(hidden)]
pub mod wire;
