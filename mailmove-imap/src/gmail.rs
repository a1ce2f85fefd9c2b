//! What is special about Gmail, on both sides.

use crate::{config::ImapConfig, wire::Capabilities};

/// Bytes a day that Gmail lets out by IMAP, and takes in; beyond that it locks the account out of
/// IMAP for hours.
const DAILY: (u64, u64) = (2_500_000_000, 500_000_000);

/// Gmail's limits of bytes a day, (down, up), for its servers.
pub(crate) fn daily(config: &ImapConfig, can: &Capabilities) -> Option<(u64, u64)> {
    let named = ["imap.gmail.com", "imap.googlemail.com"];
    let host = config.host();
    let gmail = named.iter().any(|name| host.eq_ignore_ascii_case(name));
    (gmail || can.gmail()).then_some(DAILY)
}

/// The name above Gmail's own folders, which holds nothing itself.
pub(crate) fn is_container(wire: &[u8]) -> bool {
    wire.eq_ignore_ascii_case(b"[Gmail]") || wire.eq_ignore_ascii_case(b"[Google Mail]")
}
