//! What a failed handshake means.

use std::io;

use crate::error::{Error, ErrorKind, Retry};

/// A failed handshake, with a code that says why and a remedy. `hung_up` is what to do about a server that
/// just closes: most often it is the wrong port, and which ones are right depends on the protocol.
#[must_use]
pub fn handshake_failed(error: io::Error, hung_up: &'static str) -> Error {
    use rustls::Error as Tls;
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Tls>());
    let meaning = match inner {
        Some(Tls::InvalidCertificate(reason)) => certificate(reason),
        Some(Tls::General(text)) if text.contains("fingerprint") => {
            tls("tls/pin", "the server shows another certificate than the pinned one").with_remedy(
                "If the server's certificate was renewed, check the new fingerprint and give it to --pin.",
            )
        }
        Some(Tls::InvalidMessage(_) | Tls::InappropriateMessage { .. }) => not_tls(),
        Some(Tls::AlertReceived(_) | Tls::PeerIncompatible(_)) => {
            tls("tls/incompatible", "the server speaks no TLS that is still safe").with_remedy(
                "Ask the administrator to enable TLS 1.2 or 1.3 on the server.",
            )
        }
        None if error.kind() == io::ErrorKind::UnexpectedEof
            || error.kind() == io::ErrorKind::ConnectionReset =>
        {
            tls("tls/closed", "the server closed the connection during the TLS handshake")
                .with_retry(Retry::Backoff)
                .with_remedy(hung_up)
        }
        _ => tls("tls/handshake", "the TLS handshake failed"),
    };
    meaning.with_source(error)
}

fn tls(code: &'static str, message: &'static str) -> Error {
    Error::new(ErrorKind::Tls, message).with_code(code)
}

fn not_tls() -> Error {
    tls("tls/not-tls", "the server answers without TLS on this port")
}

fn certificate(reason: &rustls::CertificateError) -> Error {
    use rustls::CertificateError as Bad;
    const PIN: &str = "If you know it to be the right server, pin its certificate: --pin with the \
        SHA-256 fingerprint that `openssl x509 -fingerprint -sha256` prints.";
    match reason {
        Bad::Expired | Bad::ExpiredContext { .. } => {
            tls("tls/expired", "the server's certificate has expired")
                .with_remedy(format!("Ask the administrator to renew it. {PIN}"))
        }
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => tls(
            "tls/not-yet-valid",
            "the server's certificate is not valid yet",
        )
        .with_remedy("Check this machine's clock."),
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => tls(
            "tls/name",
            "the server's certificate is for another host name",
        )
        .with_remedy(format!(
            "Use the host name that the certificate is made for. {PIN}"
        )),
        Bad::UnknownIssuer | Bad::InvalidPurpose => tls(
            "tls/unknown-ca",
            "the server's certificate comes from an unknown issuer",
        )
        .with_remedy(format!(
            "Give the issuer's certificate with --ca-file. {PIN}"
        )),
        Bad::Revoked => tls("tls/revoked", "the server's certificate was revoked")
            .with_remedy("Ask the administrator for a new one; do not go on with this one."),
        _ => tls("tls/certificate", "the server's certificate is not valid").with_remedy(PIN),
    }
}
