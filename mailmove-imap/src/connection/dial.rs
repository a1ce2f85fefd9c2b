//! From a host's name to a greeting: TCP, TLS, and who answers there.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use mailmove_core::{
    edge::{self, ConnectionPermit},
    error::{Error, ErrorKind, Result},
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Connection, Incoming, Transport, suspect};
use crate::{
    config::{Access, ImapConfig, Security},
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
    /// The greeting's text.
    pub(crate) greeting: String,
}

/// How TLS is spoken, for all connections of a pool. Made when it is needed: the platform's certificates
/// are many.
#[derive(Debug, Default)]
pub(crate) struct Tls(OnceLock<Arc<ClientConfig>>);

impl Tls {
    pub(crate) fn of(&self, config: &ImapConfig) -> Result<&Arc<ClientConfig>> {
        if let Some(made) = self.0.get() {
            return Ok(made);
        }
        let made = config.tls().client_config()?;
        Ok(self.0.get_or_init(|| made))
    }
}

/// Connects, makes the TLS handshake where that comes first, and reads the greeting. Cancel safe.
pub(crate) async fn dial(access: &Access, tls: &Tls, permit: ConnectionPermit) -> Result<Dialled> {
    match greeted(access, tls, permit).await {
        Ok(dialled) => Ok(dialled),
        Err(error) => Err(located(suspect::explain(error, access).await, access)),
    }
}

async fn greeted(access: &Access, tls: &Tls, permit: ConnectionPermit) -> Result<Dialled> {
    let config = &access.config;
    let host = config.host();
    let tcp = edge::connect(&access.edges, host, config.port(), config.timeout()).await?;
    let transport = match config.security() {
        Security::Tls => handshake(tcp, host, tls.of(config)?, config.timeout()).await?,
        Security::StartTls | Security::Plain => Transport::Plain(tcp),
    };
    let mut connection = Connection::new(
        transport,
        config.timeout(),
        access.edges.bandwidth.clone(),
        permit,
    );
    let greeting = greeting(&mut connection, config.timeout()).await?;
    match greeting.kind {
        StatusKind::Bye => Err(error::closed(Some(&greeting))),
        kind => Ok(Dialled {
            connection,
            preauth: kind == StatusKind::PreAuth,
            greeting: greeting.text,
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
        Err(gone) if gone.kind() == ErrorKind::Interrupted && connection.input.is_empty() => {
            return Err(suspect::hung_up(gone));
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
/// an alert record, or by closing. A web server says who it is. One that is only slow ignores empty
/// lines, and the wait goes on.
async fn probe(connection: &mut Connection, silent: Error, rest: Duration) -> Result<Incoming> {
    let nobody = |error: Error| error.with_code("imap/no-greeting");
    if rest.is_zero() {
        return Err(nobody(silent));
    }
    connection.dead = false;
    connection.set_patience(rest);
    connection.write(Bytes::from_static(suspect::NUDGE)).await?;
    match connection.next().await {
        Ok(incoming) => Ok(incoming),
        Err(error) if error.code() == "imap/not-imap" => Err(error),
        Err(error) if connection.is_tls() => Err(nobody(error)),
        // The first octet of a TLS alert record.
        Err(_) if connection.input.first() == Some(&0x15) => Err(suspect::expects_tls()),
        Err(error) if error.kind() == ErrorKind::Interrupted => {
            Err(suspect::expects_tls().with_source(error))
        }
        Err(error) => Err(nobody(error)),
    }
}

/// STARTTLS (RFC 3501 §6.2.1): what was said before counts for nothing afterwards, and what was
/// sent along with the server's OK was put there by somebody else.
pub(crate) async fn start_tls(
    connection: &mut Connection,
    access: &Access,
    tls: &Tls,
    offered: &Capabilities,
) -> Result<()> {
    if !offered.has("STARTTLS") {
        let error = Error::new(ErrorKind::Tls, "the server does not offer STARTTLS");
        return Err(suspect::explain(error.with_code("imap/no-starttls"), access).await);
    }
    let tag = connection.tag();
    let command = connection.encoder().starttls(tag);
    let status = connection.run(command, |_| {}).await?;
    if status.kind != StatusKind::Ok {
        let error = error::refused(error::Doing::account("STARTTLS"), &status);
        return Err(suspect::explain(error.with_code("imap/no-starttls"), access).await);
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
    let (config, host) = (&access.config, access.config.host());
    connection.transport = handshake(tcp, host, tls.of(config)?, config.timeout()).await?;
    connection.framer = Framer::without_greeting(Limits::default());
    Ok(())
}
