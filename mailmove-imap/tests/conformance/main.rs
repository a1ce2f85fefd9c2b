//! The conformance suite on the IMAP adapter.

mod client;
mod embedded;
mod kinds;
mod servers;

use std::sync::Arc;

use embedded::Embedded;
use mailmove_imap::Security;
use mailmove_imap_testserver::Capability;
use mailmove_testkit::conformance::{self, Harness};
use servers::RealServer;

fn main() {
    let harnesses: [Arc<dyn Harness>; 11] = [
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
        Arc::new(RealServer::new("dovecot", "a", Security::Tls)),
        // Maildir, separator `.`.
        Arc::new(RealServer::new("dovecot-maildir", "b", Security::StartTls)),
        // Maildir, separator `/`: names without `.`.
        Arc::new(RealServer::new("dovecot-slash", "c", Security::Plain)),
        // Maildir below `INBOX.`.
        Arc::new(RealServer::new("dovecot-prefix", "d", Security::Plain)),
        // Separator `/`, keeps bytes but those above 127 in headers.
        Arc::new(RealServer::new("cyrus", "cyrus", Security::Tls)),
        // Below `INBOX.`, refuses bytes above 127 in headers.
        Arc::new(RealServer::new(
            "cyrus-dots",
            "cyrus-dots",
            Security::StartTls,
        )),
        // Below `INBOX.`; RFC 3501, UIDPLUS and little else.
        Arc::new(RealServer::new("courier", "courier", Security::Tls)),
    ];
    conformance::main(harnesses);
}
