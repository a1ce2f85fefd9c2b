//! `ImapSource` against the embedded server, and against scripts: what it says, and what it costs.

mod ahead;
mod changes;
mod fetching;
mod listing;
mod odd;
mod support;
