//! HTTP: reqwest, held to the program's edges.

mod address;
mod body;
mod client;
mod received;
mod wait;

use mailmove_core::error::Error;

pub(crate) use address::{Origin, form, parse, segment, value};
pub(crate) use body::Piece;
pub(crate) use client::{Client, Sending};
pub(crate) use received::Received;
pub(crate) use wait::retry_after;

/// A request that brought no answer.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// It may have been carried out.
    pub(crate) perhaps_executed: bool,
}

impl Failed {
    pub(crate) fn before(error: Error) -> Self {
        let perhaps_executed = false;
        Self {
            error,
            perhaps_executed,
        }
    }

    pub(crate) fn after(error: Error) -> Self {
        let perhaps_executed = true;
        Self {
            error,
            perhaps_executed,
        }
    }
}
