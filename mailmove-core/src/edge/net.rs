//! The only place that opens sockets.

use std::{fmt::Debug, net::SocketAddr, time::Duration};

use tokio::net::TcpStream;

use super::Edges;
use crate::error::{Error, ErrorKind, Result};

/// Judges resolved addresses before a socket goes there, e.g. to keep a hosted service away from
/// its own network. Asked for every connection anew, also after redirects.
pub trait NetworkPolicy: Debug + Send + Sync + 'static {
    /// May a connection to `host`, which resolved to `address`, be opened? An address of IPv4 that is written as one
    /// of IPv6 (`::ffff:127.0.0.1`) is asked about as what it is.
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
        match judge(edges, host, address) {
            Ok(()) => allowed.push(address),
            Err(error) => last = Some(error),
        }
    }
    match allowed.is_empty() {
        true => Err(last.unwrap_or_else(|| no_address(host))),
        false => Ok(allowed),
    }
}

fn judge(edges: &Edges, host: &str, address: SocketAddr) -> Result<()> {
    let canonical = SocketAddr::new(address.ip().to_canonical(), address.port());
    edges.network.judge(host, canonical)
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
        if let Err(error) = judge(edges, host, address) {
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

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, sync::Arc};

    use super::*;

    #[derive(Debug)]
    struct NotHere;

    impl NetworkPolicy for NotHere {
        fn judge(&self, _host: &str, address: SocketAddr) -> Result<()> {
            match address.ip() {
                IpAddr::V4(ip) if ip.is_loopback() => Err(Error::new(ErrorKind::Denied, "here")),
                _ => Ok(()),
            }
        }
    }

    #[tokio::test]
    async fn an_address_that_is_written_as_another_is_judged_as_what_it_is() {
        let edges = Edges::new().with_network(Arc::new(NotHere));
        for host in ["127.0.0.1", "::ffff:127.0.0.1", "[::ffff:127.0.0.1]"] {
            let error = resolve(&edges, host, 9).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{host}");
            let error = connect(&edges, host, 9, Duration::from_secs(1)).await;
            assert_eq!(error.unwrap_err().kind(), ErrorKind::Denied, "{host}");
        }
    }
}
