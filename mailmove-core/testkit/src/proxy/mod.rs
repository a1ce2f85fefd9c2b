//! A TCP proxy that breaks connections where a test tells it to.
//!
//! It stands between a client and a server on loopback and counts the bytes that pass, each way,
//! over all its connections. A [`Trip`] names a count and what happens there, so that a run can be
//! stopped at any byte, and the same byte again.
//!
//! ```
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! use mailmove_testkit::proxy::{Fault, FaultProxy, Trip, Way};
//! use tokio::{io::AsyncReadExt as _, net::{TcpListener, TcpStream}};
//!
//! let server = TcpListener::bind("127.0.0.1:0").await?;
//! let proxy = FaultProxy::start(server.local_addr()?).await?;
//! // The client hears three bytes, and then no more.
//! proxy.arm(Trip::new(Way::ToClient, 3, Fault::Cut));
//! let mut client = TcpStream::connect(proxy.address()).await?;
//! let (mut served, _) = server.accept().await?;
//! tokio::io::AsyncWriteExt::write_all(&mut served, b"* OK ready").await?;
//! let mut heard = Vec::new();
//! client.read_to_end(&mut heard).await?;
//! assert_eq!(heard, b"* O");
//! assert_eq!(proxy.tripped().await.way, Way::ToClient);
//! # Ok::<(), std::io::Error>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod pump;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Way {
    /// What the client sends.
    ToServer,
    /// What the server sends.
    ToClient,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The client is cut off. The server gets all that was passed on before, then the end.
    Cut,
    /// Both sides see a reset; what they did not read yet may be lost.
    Reset,
    /// The server is told that the client sends no more; its answers still arrive.
    HalfClose,
    /// Nothing passes any more, and nobody is told.
    Stall,
    /// The next byte arrives changed. The connection goes on.
    Corrupt,
    /// From here on, each byte arrives in a packet of its own. The connection goes on.
    Trickle,
}

/// A fault, and where it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trip {
    /// In what direction bytes are counted.
    pub way: Way,
    /// After so many bytes, over all connections since the proxy started.
    pub after: u64,
    /// What happens then to the connection that carried the last of them.
    pub fault: Fault,
}

impl Trip {
    /// That fault after so many bytes.
    #[must_use]
    pub fn new(way: Way, after: u64, fault: Fault) -> Self {
        Self { way, after, fault }
    }
}

/// A fault that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tripped {
    /// In what direction its bytes were counted.
    pub way: Way,
    /// What happened.
    pub fault: Fault,
    /// What this connection had carried to the server by then, if that is
    /// [recorded](FaultProxy::record).
    pub sent: Vec<u8>,
}

/// The proxy. Dropping it ends all its connections.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    happened: watch::Sender<Option<Tripped>>,
    /// Set when the proxy is dropped.
    closed: tokio_util::sync::CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    to_server: u64,
    to_client: u64,
    trips: Vec<Trip>,
    happened: u64,
    connections: u64,
    refuse: u64,
    transcript: Option<Vec<(Way, Vec<u8>)>>,
}

impl State {
    fn passed(&mut self, way: Way) -> &mut u64 {
        match way {
            Way::ToServer => &mut self.to_server,
            Way::ToClient => &mut self.to_client,
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultProxy {
    /// Listens on a free port of 127.0.0.1 and passes all on to `server`.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            happened: watch::Sender::new(None),
            closed: tokio_util::sync::CancellationToken::new(),
        });
        let accepting = tokio::spawn(accept(listener, server, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a fault. One whose count is reached already happens with the next byte.
    pub fn arm(&self, trip: Trip) {
        self.shared.state().trips.push(trip);
    }

    /// Forgets the faults that have not happened.
    pub fn disarm(&self) {
        let mut state = self.shared.state();
        state.trips.clear();
        state.refuse = 0;
    }

    /// Closes the next so many connections before a byte has passed.
    pub fn refuse(&self, connections: u64) {
        self.shared.state().refuse = connections;
    }

    /// Bytes that passed that way so far.
    #[must_use]
    pub fn passed(&self, way: Way) -> u64 {
        *self.shared.state().passed(way)
    }

    /// Connections accepted so far, refused ones included.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.state().connections
    }

    /// Faults that happened so far, without refused connections.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.shared.state().happened
    }

    /// Waits for a fault; gives the latest if one happened already.
    pub async fn tripped(&self) -> Tripped {
        let mut happened = self.shared.happened.subscribe();
        loop {
            if let Some(tripped) = happened.borrow_and_update().clone() {
                return tripped;
            }
            if happened.changed().await.is_err() {
                // The sender lives in `self`.
                std::future::pending::<()>().await;
            }
        }
    }

    /// From now on keeps what passes, for [`transcript`](Self::transcript) and [`Tripped::sent`].
    pub fn record(&self) {
        self.shared.state().transcript = Some(Vec::new());
    }

    /// What passed since [`record`](Self::record), chunk by chunk, in the order in which it passed.
    #[must_use]
    pub fn transcript(&self) -> Vec<(Way, Vec<u8>)> {
        self.shared.state().transcript.clone().unwrap_or_default()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.closed.cancel();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let refused = {
            let mut state = shared.state();
            state.connections += 1;
            let refused = state.refuse > 0;
            state.refuse = state.refuse.saturating_sub(1);
            refused
        };
        if refused {
            continue;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(server).await else {
                return;
            };
            pump::connection(client, server, shared).await;
        });
    }
}
