//! What the destination does, seen from the server.

mod attachments;
mod outcomes;
mod support;
