//! COMPRESS=DEFLATE (RFC 4978): opt-in, fewer bytes on the wire, the same mail.

use mailmove_core::{
    Edges, Migration,
    edge::{Credential, StaticCredential, tls::TlsSettings},
    report::Status,
    store::MemoryStore,
};
use mailmove_imap::{ImapDestination, ImapSource, Security};
use mailmove_imap_testserver::{Capability, Counters};
use std::sync::Arc;

use crate::support::*;

/// Small ones, a large one that packs well, and one that hardly does.
fn fill(from: &Side) {
    for number in 0..50 {
        from.put(&["Box"], mail(&format!("m{number}")));
    }
    let lines = "The same line over and over again.\r\n".repeat(40_000);
    from.put(&["Box"], format!("Subject: large\r\n\r\n{lines}"));
    let mut state = 1_u32;
    let noise = (0..600_000).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // No NUL, CR or LF among them.
        (state >> 24) as u8 | 0x80
    });
    let mut body = b"Subject: noise\r\n\r\n".to_vec();
    body.extend(noise);
    from.put(&["Box"], body);
}

async fn moved(
    offered: bool,
    wanted: bool,
    security: Security,
) -> (Side, Side, Counters, Counters) {
    let setup = |server: mailmove_imap_testserver::Builder| match offered {
        true => server,
        false => server.without(Capability::Compress),
    };
    let (from, to) = (Side::new(setup).await, Side::new(setup).await);
    fill(&from);
    let config = |side: &Side| {
        let tls = TlsSettings::new().with_extra_ca_pem(side.server.ca_pem());
        let port = match security {
            Security::Tls => side.server.tls_address().port(),
            _ => side.server.plain_address().port(),
        };
        side.config()
            .with_port(port)
            .with_security(security)
            .with_tls(tls)
            .with_connections(2)
            .with_compression(wanted)
    };
    let credentials = Arc::new(StaticCredential::new(Credential::password(USER, "secret")));
    let source = ImapSource::new(config(&from), credentials.clone(), Edges::new());
    let destination = ImapDestination::new(config(&to), credentials, Edges::new());
    let migration = Migration::builder(source, destination).store(MemoryStore::new());
    let report = migration.build().unwrap().run().await.unwrap();
    assert_eq!(report.status(), Status::Complete);
    assert_eq!(report.total().copied, 52);
    let counters = (from.server.counters(), to.server.counters());
    (from, to, counters.0, counters.1)
}

#[tokio::test]
async fn fewer_bytes_and_the_same_mail() {
    for security in [Security::Plain, Security::StartTls, Security::Tls] {
        let (from, to, read, written) = moved(true, true, security).await;
        assert!(to.bodies(&["Box"]) == from.bodies(&["Box"]));
        for (counters, plain, wire) in [
            (&read, read.bytes_out, read.wire_out),
            (&written, written.bytes_in, written.wire_in),
        ] {
            assert_eq!(counters.command("COMPRESS"), counters.connections);
            assert_eq!(counters.bad, 0);
            // Two MB: one and a half pack to nearly nothing, the rest to seven eighths.
            assert!(plain > 2_000_000 && wire < 700_000, "{plain} as {wire}");
        }
    }
}

#[tokio::test]
async fn not_asked_for_or_not_offered_it_is_not_used() {
    for (offered, wanted) in [(true, false), (false, true)] {
        let (from, to, read, written) = moved(offered, wanted, Security::Plain).await;
        assert!(to.bodies(&["Box"]) == from.bodies(&["Box"]));
        assert_eq!(read.command("COMPRESS") + written.command("COMPRESS"), 0);
        assert_eq!(read.wire_out, read.bytes_out);
        assert_eq!(written.wire_in, written.bytes_in);
    }
}

#[tokio::test]
async fn a_refusal_is_done_without() {
    let (from, to) = (
        Side::new(|server| server).await,
        Side::new(|server| server).await,
    );
    from.put(&["Box"], mail("a"));
    let busy = mailmove_imap_testserver::Action::No("[LIMIT] not now".to_owned());
    to.server.faults().arm_from("COMPRESS", 1, busy);
    let source = from.source(from.config().with_compression(true));
    let destination = to.destination(to.config().with_compression(true));
    let migration = Migration::builder(source, destination).store(MemoryStore::new());
    let report = migration.build().unwrap().run().await.unwrap();
    assert_eq!(report.status(), Status::Complete);
    assert_eq!(to.bodies(&["Box"]), [mail("a").into_bytes()]);
    let written = to.server.counters();
    assert_eq!(written.wire_in, written.bytes_in);
    assert!(written.command("COMPRESS") > 0);
}
