//! The contract of a checkpoint store, once, for each store that we have.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a panic is how a test fails; the measurement prints"
)]

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
#[path = "stores/torn.rs"]
#[cfg(feature = "sqlite")]
mod torn;
#[path = "stores/util.rs"]
mod util;
