//! The conformance suite on the IMAP adapter.

mod client;
mod dovecot;
mod embedded;

use std::sync::Arc;

use dovecot::Dovecot;
use embedded::Embedded;
use mailmove_imap::Security;
use mailmove_imap_testserver::Capability;
use mailmove_testkit::conformance::{self, Harness};

fn main() {
    let harnesses: [Arc<dyn Harness>; 8] = [
        Arc::new(Embedded::new("embedded", |server| server)),
        // RFC 3501 and nothing else.
        Arc::new(
            Embedded::new("embedded-bare", |server| server.only(&[]))
                .without_roles()
                .connections(1),
        ),
        // As Courier and Cyrus name their folders.
        Arc::new(Embedded::new("embedded-prefix", |server| {
            server
                .separator('.')
                .prefix("INBOX.")
                .without(Capability::ListStatus)
                .without(Capability::ObjectId)
        })),
        // As Gmail: pipelined appends, literals of up to 4096 bytes at once, no QRESYNC.
        Arc::new(Embedded::new("embedded-small-literals", |server| {
            server
                .with(Capability::LiteralMinus)
                .without(Capability::MultiAppend)
                .without(Capability::Qresync)
        })),
        // mdbox, separator `/`.
        Arc::new(Dovecot::new("dovecot", "a", Security::Tls)),
        // Maildir, separator `.`.
        Arc::new(Dovecot::new("dovecot-maildir", "b", Security::StartTls)),
        // Maildir, separator `/`: names without `.`.
        Arc::new(Dovecot::new("dovecot-slash", "c", Security::Plain)),
        // Maildir below `INBOX.`.
        Arc::new(Dovecot::new("dovecot-prefix", "d", Security::Plain)),
    ];
    conformance::main(harnesses);
}
