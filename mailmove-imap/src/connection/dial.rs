//! From a host's name to a greeting: TCP, TLS, and who answers there.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use mailmove_core::{
    edge::{self, ConnectionPermit},
    error::{Error, ErrorKind, Result, Retry},
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Connection, Incoming, Transport};
use crate::{
    config::{Access, Security},
    error,
    wire::{Capabilities, Framer, Limits, Response, Status, StatusKind},
};

/// Longest wait for a greeting before we ask ourselves whether the port is right. Some servers are
/// slow on purpose, so the wait goes on afterwards.
const GREETING: Duration = Duration::from_secs(10);

/// A connection that was greeted.
pub(crate) struct Dialled {
    pub(crate) connection: Connection,
    /// The server takes us for logged in already.
    pub(crate) preauth: bool,
}

/// Connects, makes the TLS handshake where that comes first, and reads the greeting. Cancel safe.
pub(crate) async fn dial(
    access: &Access,
    tls: &Arc<ClientConfig>,
    permit: ConnectionPermit,
) -> Result<Dialled> {
    let config = &access.config;
    let host = config.host();
    let place = |error: Error| located(error, access);
    let tcp = edge::connect(&access.edges, host, config.port(), config.timeout()).await?;
    let transport = match config.security() {
        Security::Tls => handshake(tcp, host, tls, config.timeout())
            .await
            .map_err(place)?,
        Security::StartTls | Security::Plain => Transport::Plain(tcp),
    };
    let mut connection = Connection::new(
        transport,
        config.timeout(),
        access.edges.bandwidth.clone(),
        permit,
    );
    let greeting = greeting(&mut connection, config.timeout())
        .await
        .map_err(place)?;
    match greeting.kind {
        StatusKind::Bye => Err(place(error::closed(Some(&greeting)))),
        kind => Ok(Dialled {
            connection,
            preauth: kind == StatusKind::PreAuth,
        }),
    }
}

/// Adds where it happened.
pub(crate) fn located(error: Error, access: &Access) -> Error {
    error
        .with_context("host", access.config.host())
        .with_context("port", access.config.port().to_string())
}

async fn handshake(
    tcp: TcpStream,
    host: &str,
    tls: &Arc<ClientConfig>,
    patience: Duration,
) -> Result<Transport> {
    let name = ServerName::try_from(host.to_owned()).map_err(|cause| {
        Error::new(ErrorKind::Config, "not a host name")
            .with_code("net/host-name")
            .with_source(cause)
    })?;
    let connector = TlsConnector::from(Arc::clone(tls));
    match tokio::time::timeout(patience, connector.connect(name, tcp)).await {
        Ok(Ok(stream)) => Ok(Transport::Tls(Box::new(stream))),
        Ok(Err(failure)) => Err(error::handshake(failure)),
        Err(_) => Err(
            Error::new(ErrorKind::Timeout, "the TLS handshake got no answer")
                .with_code("tls/timeout")
                .with_remedy("Check the port: TLS is usually on 993, STARTTLS on 143."),
        ),
    }
}

async fn greeting(connection: &mut Connection, patience: Duration) -> Result<Status> {
    let early = (patience / 2).min(GREETING);
    connection.set_patience(early);
    let first = match connection.next().await {
        Err(silent) if silent.kind() == ErrorKind::Timeout => {
            probe(connection, silent, patience.saturating_sub(early)).await?
        }
        other => other?,
    };
    connection.set_patience(patience);
    match first {
        Incoming::Untagged(Response::Status(status)) => Ok(status),
        _ => Err(error::unexpected("the server did not greet")),
    }
}

/// No greeting yet. A server that waits for TLS says so when it gets something that is none: with
/// an alert record, or by closing. One that is only slow ignores empty lines.
async fn probe(connection: &mut Connection, silent: Error, rest: Duration) -> Result<Incoming> {
    if connection.is_tls() || rest.is_zero() {
        return Err(suspect_port(silent, connection));
    }
    connection.dead = false;
    connection.set_patience(rest);
    connection
        .write(Bytes::from_static(b"\r\n\r\n\r\n\r\n"))
        .await?;
    match connection.next().await {
        Ok(incoming) => Ok(incoming),
        // The first octet of a TLS alert record.
        Err(_) if connection.input.first() == Some(&0x15) => Err(expects_tls()),
        Err(error) if error.kind() == ErrorKind::Interrupted => {
            Err(expects_tls().with_source(error))
        }
        Err(error) => Err(suspect_port(error, connection)),
    }
}

fn expects_tls() -> Error {
    Error::new(
        ErrorKind::Connect,
        "the server expects TLS from the start on this port",
    )
    .with_code("imap/expects-tls")
    .with_retry(Retry::Never)
    .with_remedy("Use imaps:// for this port, or port 143 for STARTTLS.")
}

fn suspect_port(error: Error, connection: &Connection) -> Error {
    let error = error.with_code("imap/no-greeting");
    if connection.is_tls() {
        error.with_remedy("Check host and port: what answers there does not speak IMAP.")
    } else {
        error.with_remedy(
            "Check host and port. A port that wants TLS from the start needs imaps://.",
        )
    }
}

/// STARTTLS (RFC 3501 §6.2.1): what was said before counts for nothing afterwards, and what was
/// sent along with the server's OK was put there by somebody else.
pub(crate) async fn start_tls(
    connection: &mut Connection,
    access: &Access,
    tls: &Arc<ClientConfig>,
    offered: &Capabilities,
) -> Result<()> {
    if !offered.has("STARTTLS") {
        return Err(
            Error::new(ErrorKind::Tls, "the server does not offer STARTTLS")
                .with_code("imap/no-starttls")
                .with_remedy(
                    "Use imaps:// (port 993). Only if the way to the server is safe: ?tls=off.",
                ),
        );
    }
    let tag = connection.tag();
    let command = connection.encoder().starttls(tag);
    let status = connection.run(command, |_| {}).await?;
    if status.kind != StatusKind::Ok {
        return Err(error::refused(error::Doing::account("STARTTLS"), &status)
            .with_code("imap/no-starttls")
            .with_remedy("Use imaps:// (port 993)."));
    }
    let smuggled =
        !connection.input.is_empty() || !connection.held.is_empty() || !connection.framer.is_idle();
    if smuggled {
        connection.kill();
        return Err(Error::new(
            ErrorKind::Tls,
            "somebody put answers into the connection before TLS began",
        )
        .with_code("imap/starttls-injection")
        .with_remedy("Use imaps:// (port 993), and check the network in between."));
    }
    connection.forget_announced();
    let Transport::Plain(tcp) = std::mem::replace(&mut connection.transport, Transport::Gone)
    else {
        return Err(error::unexpected("STARTTLS within TLS"));
    };
    connection.transport =
        handshake(tcp, access.config.host(), tls, access.config.timeout()).await?;
    connection.framer = Framer::without_greeting(Limits::default());
    Ok(())
}
