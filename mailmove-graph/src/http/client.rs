//! Connections by reqwest. Each has a client of its own, which has one request at a time: so connections can
//! be counted, judged and closed one by one, although reqwest keeps them to itself.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mailmove_core::{
    edge::{self, ConnectionPermit, Edges, tls::TlsSettings},
    error::{Error, ErrorKind, Result},
};
use reqwest::{
    Method, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::HeaderMap,
};
use rustls::ClientConfig;
use tokio::{sync::Notify, time::Instant};

use super::{
    Failed, Origin, Received,
    body::{Outgoing, Piece, Progress},
};
use crate::error;

/// A connection that rested longer is not trusted: firewalls forget silent ones.
const RESTED: Duration = Duration::from_secs(60);
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(30);

/// A request as it goes out. Its address may hold a secret.
pub(crate) struct Sending {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) pieces: Vec<Piece>,
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        write!(f, "Sending({} {host})", self.method)
    }
}

/// Sends requests, and keeps connections for the next ones.
pub(crate) struct Client {
    edges: Edges,
    tls: TlsSettings,
    patience: Duration,
    state: Mutex<State>,
    /// A connection came back.
    returned: Notify,
}

#[derive(Default)]
struct State {
    tls: Option<ClientConfig>,
    idle: Vec<Seat>,
}

/// A connection, or leave to have one.
pub(super) struct Seat {
    origin: Origin,
    client: reqwest::Client,
    last_use: Instant,
    _permit: ConnectionPermit,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// The server may be silent for `patience` while it owes an answer.
    pub(crate) fn new(edges: Edges, tls: TlsSettings, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            edges,
            tls,
            patience,
            state: Mutex::default(),
            returned: Notify::new(),
        })
    }

    pub(super) fn edges(&self) -> &Edges {
        &self.edges
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request, and waits for the head of its answer. No redirect is followed, nothing is sent
    /// twice. `last_word` is asked last, when there is leave for a connection and all is ready; reqwest may still have
    /// to connect before the first byte leaves.
    ///
    /// # Errors
    /// If there is no answer.
    pub(crate) async fn send(
        self: &Arc<Self>,
        sending: Sending,
        last_word: impl FnOnce() -> Result<()>,
    ) -> Result<Received, Failed> {
        let origin = Origin::of(&sending.url).ok_or_else(|| Failed::before(no_address()))?;
        // A name is judged when it is resolved, which an address is not.
        if let Some(address) = origin.literal() {
            let address = SocketAddr::new(address.to_canonical(), origin.port);
            let judged = self.edges.network.judge(&origin.host, address);
            judged.map_err(Failed::before)?;
        }
        let seat = self.seat(origin).await.map_err(Failed::before)?;
        let progress = Progress::new();
        let bandwidth = self.edges.bandwidth.clone();
        let body = Outgoing::new(sending.pieces, bandwidth, progress.clone());
        let mut request = reqwest::Request::new(sending.method, sending.url);
        *request.headers_mut() = sending.headers;
        *request.body_mut() = Some(body.into());
        last_word().map_err(Failed::before)?;
        let answer = patiently(&progress, self.patience, seat.client.execute(request)).await;
        match answer {
            None => Err(Failed::after(error::silent())),
            Some(Err(cause)) => Err(error::transport(cause, &seat.origin)),
            Some(Ok(response)) => Ok(Received::new(
                response,
                Arc::clone(self),
                seat,
                progress.clone(),
            )),
        }
    }

    /// A connection that rests, or leave to open one.
    async fn seat(self: &Arc<Self>, origin: Origin) -> Result<Seat> {
        loop {
            let returned = self.returned.notified();
            if let Some(seat) = self.rested(&origin) {
                return Ok(seat);
            }
            let permit = tokio::select! {
                permit = self.edges.connections.acquire(&origin.host) => permit,
                () = returned => continue,
            };
            return self.open(origin, permit);
        }
    }

    fn rested(&self, origin: &Origin) -> Option<Seat> {
        let mut state = self.state();
        state.idle.retain(|seat| seat.last_use.elapsed() < RESTED);
        let at = state.idle.iter().rposition(|seat| seat.origin == *origin);
        match at {
            Some(at) => Some(state.idle.swap_remove(at)),
            None => {
                // What rests at other hosts may be what there is no more leave for.
                state.idle.clear();
                None
            }
        }
    }

    /// The connection is free for others.
    pub(super) fn put_back(&self, mut seat: Seat) {
        seat.last_use = Instant::now();
        self.state().idle.push(seat);
        self.returned.notify_one();
    }

    fn open(self: &Arc<Self>, origin: Origin, permit: ConnectionPermit) -> Result<Seat> {
        let resolver = Resolver {
            edges: self.edges.clone(),
            port: origin.port,
        };
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls()?)
            .dns_resolver(Arc::new(resolver))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(self.patience.min(CONNECT))
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(RESTED)
            .build()
            .map_err(|cause| {
                Error::new(ErrorKind::Bug, "the HTTP client cannot be made").with_source(cause)
            })?;
        Ok(Seat {
            origin,
            client,
            last_use: Instant::now(),
            _permit: permit,
        })
    }

    fn tls(&self) -> Result<ClientConfig> {
        let mut state = self.state();
        if let Some(tls) = &state.tls {
            return Ok(tls.clone());
        }
        let mut tls = (*self.tls.client_config()?).clone();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        state.tls = Some(tls.clone());
        Ok(tls)
    }
}

/// Waits for `future`; `None` if nothing moved for too long.
pub(super) async fn patiently<F: Future>(
    progress: &Progress,
    patience: Duration,
    future: F,
) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    loop {
        let deadline = progress.last() + patience;
        if let Ok(output) = tokio::time::timeout_at(deadline, future.as_mut()).await {
            return Some(output);
        }
        if progress.last() + patience <= Instant::now() {
            return None;
        }
    }
}

fn no_address() -> Error {
    Error::new(ErrorKind::Protocol, "not a web address").with_code("graph/address")
}

/// Resolves names to the addresses that the program's policy allows.
struct Resolver {
    edges: Edges,
    port: u16,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (edges, port) = (self.edges.clone(), self.port);
        Box::pin(async move {
            let addresses = edge::resolve(&edges, name.as_str(), port).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
