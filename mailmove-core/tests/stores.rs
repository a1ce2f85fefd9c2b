//! The contract of a checkpoint store, once, for each store that we have.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "stores/contract.rs"]
mod contract;
#[path = "stores/kill.rs"]
#[cfg(all(feature = "sqlite", unix))]
mod kill;
#[path = "stores/measure.rs"]
mod measure;
#[path = "stores/same.rs"]
#[cfg(feature = "sqlite")]
mod same;
#[path = "stores/util.rs"]
mod util;
