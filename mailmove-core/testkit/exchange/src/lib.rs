//! What Exchange makes of a mailbox, over [`mailmove_testkit::mailbox`].
//!
//! Two protocols show the same store, and two test servers stand on this: that of EWS and that of Graph.
//! Here is what both have in common: properties and what follows from them, which folders there are,
//! MIME taken apart and made anew, ids, export streams; and what any loopback server needs: HTTP, TLS,
//! faults to arm. It shares no code with the adapters, which the servers are to check.
//!
//! How the model's messages appear: `\Seen` is the read flag, `\Flagged` the follow-up flag, `\Answered`
//! and `$Forwarded` the last verb, `\Draft` the unsent bit of the message flags, `\Deleted` what IMAP
//! gateways keep under 0x8570, and all other keywords are categories. The received date is
//! PidTagMessageDeliveryTime.

#![allow(
    clippy::exhaustive_structs,
    clippy::exhaustive_enums,
    reason = "nobody but the servers of this workspace sees them"
)]

pub mod addresses;
pub mod dates;
pub mod draft;
pub mod faults;
pub mod http;
pub mod ids;
pub mod letters;
pub mod listen;
pub mod mailbox;
pub mod mime;
pub mod mixture;
pub mod props;
pub mod rebuild;
pub mod streams;
pub mod tls;
pub mod walk;
