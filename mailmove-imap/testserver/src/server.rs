//! Listening, accepting, stopping.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mailmove_testkit::mailbox::{FolderId, Store};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Builder, Config};
use crate::counters::{Counters, Counting};
use crate::faults::{Action, Faults};
use crate::io::Io;
use crate::metadata::Annotations;
use crate::session::Session;
use crate::tls::Tls;

/// How long a session may take to say goodbye when the server stops.
const FAREWELL: Duration = Duration::from_millis(500);

/// Why a server didn't start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No port could be bound.
    #[error("cannot listen on 127.0.0.1")]
    Listen(#[from] std::io::Error),
    /// No certificate could be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The made key isn't understood.
    #[error("cannot use the certificate's key: {0}")]
    Key(&'static str),
    /// TLS can't be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
}

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) annotations: Annotations,
    pub(crate) counting: Counting,
    pub(crate) faults: Faults,
    pub(crate) tls: Tls,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// A running server; dropping it ends all its connections.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    plain: SocketAddr,
    tls: SocketAddr,
}

impl Server {
    /// Sets up a server over this store.
    pub fn builder(store: Store) -> Builder {
        Builder::new(store)
    }

    pub(crate) async fn start(store: Store, config: Config) -> Result<Self, StartError> {
        let tls = Tls::new(&config.certificate_names, config.expired_certificate)?;
        let plain_listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let tls_listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let server = Self {
            plain: plain_listener.local_addr()?,
            tls: tls_listener.local_addr()?,
            shared: Arc::new(Shared {
                config,
                store,
                annotations: Annotations::default(),
                counting: Counting::default(),
                faults: Faults::new(),
                tls,
                stop: CancellationToken::new(),
                tasks: TaskTracker::new(),
            }),
        };
        let shared = &server.shared;
        shared
            .tasks
            .spawn(listen(plain_listener, Arc::clone(shared), false));
        shared
            .tasks
            .spawn(listen(tls_listener, Arc::clone(shared), true));
        Ok(server)
    }

    /// Where it listens without TLS (STARTTLS is offered there).
    #[must_use]
    pub fn plain_address(&self) -> SocketAddr {
        self.plain
    }

    /// Where it listens with TLS from the first byte.
    #[must_use]
    pub fn tls_address(&self) -> SocketAddr {
        self.tls
    }

    /// Certificate of the authority that signed the server's, as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.shared.tls.ca_pem
    }

    /// The server's own certificate, as DER.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        &self.shared.tls.certificate
    }

    /// The mailboxes behind it.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// What is noted about a user's folder, by name in lower case.
    #[must_use]
    pub fn annotations(&self, user: &str, path: &[&str]) -> BTreeMap<String, Vec<u8>> {
        let folder = self.folder_of(user, path);
        folder.map_or_else(BTreeMap::new, |folder| {
            self.shared.annotations.of(user, folder)
        })
    }

    /// Notes something about a user's folder. One that is not there is no place to note anything.
    pub fn annotate(&self, user: &str, path: &[&str], name: &str, value: &[u8]) {
        if let Some(folder) = self.folder_of(user, path) {
            let annotations = &self.shared.annotations;
            annotations.set(user, folder, name, Some(value.to_vec()));
        }
    }

    fn folder_of(&self, user: &str, path: &[&str]) -> Option<FolderId> {
        let account = self.shared.store.account(user)?;
        account.folder(path).ok().map(|folder| folder.id)
    }

    /// What clients did so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.counting.lock().clone()
    }

    /// Counts from zero again; open connections stay counted as open.
    pub fn reset_counters(&self) {
        self.shared.counting.reset();
    }

    /// Failures to arm.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Stops and waits until every connection and every late append is done.
    /// Not cancel-safe only in that a dropped call doesn't wait.
    pub async fn stop(self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>, implicit_tls: bool) {
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // Out of file descriptors, say: the next one may do better.
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let open = Open::new(&shared);
        let shared = Arc::clone(&shared);
        let tasks = shared.tasks.clone();
        tasks.spawn(async move {
            let stop = shared.stop.clone();
            let overdue = async {
                stop.cancelled().await;
                tokio::time::sleep(FAREWELL).await;
            };
            tokio::select! {
                () = overdue => {}
                () = serve(stream, shared, implicit_tls, open.allowed) => {}
            }
            drop(open);
        });
    }
}

/// Counts a connection while it lives.
struct Open {
    shared: Arc<Shared>,
    allowed: bool,
}

impl Open {
    fn new(shared: &Arc<Shared>) -> Self {
        let mut counters = shared.counting.lock();
        counters.connections += 1;
        counters.open += 1;
        counters.peak = counters.peak.max(counters.open);
        let allowed = counters.open <= shared.config.max_connections as u64;
        drop(counters);
        Self {
            shared: Arc::clone(shared),
            allowed,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.counting.lock().open -= 1;
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>, implicit_tls: bool, allowed: bool) {
    let fault = shared.faults.on_connection();
    if !allowed || fault == Some(Action::Close) {
        return;
    }
    // Answers are gathered and flushed by the session, so waiting for more gains nothing.
    let _ = stream.set_nodelay(true);
    let Ok(mut io) = Io::new(stream, Arc::clone(&shared)) else {
        return;
    };
    if implicit_tls && io.start_tls().await.is_err() {
        return;
    }
    match fault {
        Some(Action::Bye(text)) => {
            io.line(&format!("* BYE {text}"));
            io.close().await;
            return;
        }
        Some(Action::Delay(time)) => shared.config.clock.sleep(time).await,
        _ => {}
    }
    Session::new(io, shared, implicit_tls).run().await;
}
