//! APPENDs that were begun.

use mailmove_core::error::Error;

use super::prepare::Ready;
use crate::{connection::Sent, wire::Tag};

/// A single APPEND that is under way.
pub(super) struct Pending {
    pub(super) tag: Tag,
    pub(super) message: Ready,
    /// Its literal went without the server's leave.
    pub(super) at_once: bool,
    /// All of it was sent.
    pub(super) whole: bool,
}

/// How far a command went.
pub(super) struct Progress {
    pub(super) sent: Sent,
    /// Cut while it waited for the server's leave to send this message.
    pub(super) waiting_for: Option<usize>,
}

/// Why a message was not launched.
pub(super) enum Launch {
    /// Nothing of it was sent.
    NotBegun(Box<Ready>, Error),
    /// The connection failed while it was sent.
    Broken(Error),
}
