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
mod schedule;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

pub use schedule::Schedule;

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
    /// Nothing passes this way for so long. The connection goes on.
    Pause(Duration),
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

/// A fault, and the words upon which it happens: so the same place is found in every run, however
/// many bytes come before it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cue {
    /// In what direction the words pass.
    pub way: Way,
    /// The words.
    pub words: Vec<u8>,
    /// Upon which time that they are said, 1 being the next; over all connections.
    pub nth: u64,
    /// So many bytes from the beginning of the words on pass before it happens. 0: none of them.
    pub after: u64,
    /// What happens to the connection that carried them.
    pub fault: Fault,
}

impl Cue {
    /// That fault when these words are said the `nth` time, before any of them passes.
    #[must_use]
    pub fn new(way: Way, words: impl Into<Vec<u8>>, nth: u64, fault: Fault) -> Self {
        Self {
            way,
            words: words.into(),
            nth,
            after: 0,
            fault,
        }
    }

    /// Lets so many bytes pass first, counted from the beginning of the words.
    #[must_use]
    pub fn with_after(mut self, bytes: u64) -> Self {
        self.after = bytes;
        self
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
    trips: Vec<Armed>,
    cues: Vec<Cue>,
    schedule: Option<schedule::Running>,
    happened: u64,
    connections: u64,
    refuse: u64,
    refused: BTreeSet<u64>,
    transcript: Option<Vec<(Way, Vec<u8>)>>,
}

/// A fault that waits for its byte.
#[derive(Clone, Copy, Debug)]
struct Armed {
    trip: Trip,
    /// The connection whose bytes are counted; all of them if `None`.
    on: Option<u64>,
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
        self.shared.state().trips.push(Armed { trip, on: None });
    }

    /// Adds a fault that waits for words.
    pub fn cue(&self, cue: Cue) {
        self.shared.state().cues.push(cue);
    }

    /// From now on, faults happen as this says, until [`disarm`](Self::disarm).
    pub fn schedule(&self, schedule: Schedule) {
        let mut state = self.shared.state();
        let running = schedule.begin(&state);
        state.schedule = Some(running);
    }

    /// Forgets the faults that have not happened.
    pub fn disarm(&self) {
        let mut state = self.shared.state();
        state.trips.clear();
        state.cues.clear();
        state.schedule = None;
        state.refuse = 0;
        state.refused.clear();
    }

    /// Closes the next so many connections before a byte has passed.
    pub fn refuse(&self, connections: u64) {
        self.shared.state().refuse = connections;
    }

    /// Closes the `nth` connection from now on (1 is the next) before a byte has passed.
    pub fn refuse_nth(&self, nth: u64) {
        let mut state = self.shared.state();
        let number = state.connections + nth;
        state.refused.insert(number);
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
        let (refused, number) = {
            let mut state = shared.state();
            state.connections += 1;
            let number = state.connections;
            let refused = state.refuse > 0 || state.refused.remove(&number);
            state.refuse = state.refuse.saturating_sub(1);
            (refused || state.scheduled_refusal(), number)
        };
        if refused {
            continue;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(server).await else {
                return;
            };
            pump::connection(client, server, shared, number).await;
        });
    }
}
