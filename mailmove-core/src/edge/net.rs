//! The only place that opens sockets.

use std::{fmt::Debug, net::SocketAddr, time::Duration};

use tokio::net::TcpStream;

use super::Edges;
use crate::error::{Error, ErrorKind, Result};

/// Judges resolved addresses before a socket goes there, e.g. to keep a hosted service away from
/// its own network. Asked for every connection anew, also after redirects.
pub trait NetworkPolicy: Debug + Send + Sync + 'static {
    /// May a connection to `host`, which resolved to `address`, be opened?
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if not.
    fn judge(&self, host: &str, address: SocketAddr) -> Result<()>;
}

/// Every address is fine.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "a unit; it has nothing to grow")]
pub struct AllowAll;

impl NetworkPolicy for AllowAll {
    fn judge(&self, _host: &str, _address: SocketAddr) -> Result<()> {
        Ok(())
    }
}

/// Addresses of `host` (name or IP address) that the policy allows, for a client that connects by itself: to
/// these and no others. Cancel safe.
///
/// # Errors
/// [`ErrorKind::Connect`] if the name is unknown, [`ErrorKind::Denied`] if the policy allows none of its
/// addresses.
pub async fn resolve(edges: &Edges, host: &str, port: u16) -> Result<Vec<SocketAddr>> {
    let mut last = None;
    let mut allowed = Vec::new();
    for address in look_up(host, port).await? {
        match edges.network.judge(host, address) {
            Ok(()) => allowed.push(address),
            Err(error) => last = Some(error),
        }
    }
    match allowed.is_empty() {
        true => Err(last.unwrap_or_else(|| no_address(host))),
        false => Ok(allowed),
    }
}

async fn look_up(host: &str, port: u16) -> Result<impl Iterator<Item = SocketAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = tokio::net::lookup_host((bare.to_owned(), port)).await;
    addresses.map_err(|error| {
        Error::new(ErrorKind::Connect, "cannot find the host's address")
            .with_code("net/unknown-host")
            .with_context("host", host)
            .with_remedy("Check the host name, and that this machine can resolve names.")
            .with_source(error)
    })
}

fn no_address(host: &str) -> Error {
    Error::new(ErrorKind::Connect, "the host has no address")
        .with_code("net/unknown-host")
        .with_context("host", host)
}

/// Opens a TCP connection to `host` (name or IP address): resolves, asks the policy about each
/// address, and connects to exactly one that it allowed. `timeout` holds for each address.
/// Cancel safe.
///
/// # Errors
/// [`ErrorKind::Connect`] if the name is unknown or no address answers, [`ErrorKind::Denied`] if
/// the policy allows none of them.
pub async fn connect(edges: &Edges, host: &str, port: u16, timeout: Duration) -> Result<TcpStream> {
    let mut last = None;
    for address in look_up(host, port).await? {
        if let Err(error) = edges.network.judge(host, address) {
            last = Some(error);
            continue;
        }
        let attempt = tokio::time::timeout(timeout, TcpStream::connect(address)).await;
        match attempt {
            Ok(Ok(stream)) => {
                // Commands are small and answered one by one: Nagle would only add waits.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => {
                last = Some(
                    Error::new(ErrorKind::Connect, "cannot connect")
                        .with_code("net/connect")
                        .with_context("host", host)
                        .with_context("port", port.to_string())
                        .with_remedy("Check host and port, and that no firewall is in between.")
                        .with_source(error),
                );
            }
            Err(_) => {
                last = Some(
                    Error::new(ErrorKind::Timeout, "the host does not answer")
                        .with_code("net/timeout")
                        .with_context("host", host)
                        .with_context("port", port.to_string())
                        .with_remedy("Check host and port, and that no firewall is in between."),
                );
            }
        }
    }
    Err(last.unwrap_or_else(|| no_address(host)))
}
