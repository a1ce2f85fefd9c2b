//! The connections of one side: opened when first needed, kept while they are of use.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mailmove_core::{
    edge::ConnectionPermit,
    error::{Error, ErrorKind, Result, Retry},
    model::FolderId,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    config::{Access, Security},
    connection::Tls,
    distrust::Distrust,
    error,
    session::{Before, Server, Session, Side},
};

/// A connection that rested longer is asked whether it still lives. Routers forget silent
/// connections after some minutes, and then the first word on them is lost.
const RESTED: Duration = Duration::from_secs(120);
/// How long it may take to answer that.
const PING: Duration = Duration::from_secs(10);
/// After so long a place that the server refused is tried again: it may have been busy, or going
/// down, and not at its limit.
const REFUSED: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(crate) struct Pool {
    access: Access,
    side: Side,
    /// One for each connection that may be open.
    slots: Arc<Semaphore>,
    released: Notify,
    state: Mutex<State>,
    distrust: Arc<Distrust>,
    tls: Tls,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Session>,
    /// Open connections, idle ones included.
    open: usize,
    /// Places given up, and when the last one was given up or tried again.
    given_up: usize,
    changed: Option<Instant>,
    /// Places that the server is known not to have, and that are yet to be given up for good.
    excess: usize,
    /// The last login was refused: whoever gives the credentials is told so.
    refused: bool,
    server: Option<Arc<Server>>,
}

impl Pool {
    pub(crate) fn new(access: Access, side: Side) -> Arc<Self> {
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(access.config.connections())),
            released: Notify::new(),
            state: Mutex::default(),
            distrust: Arc::default(),
            tls: Tls::default(),
            access,
            side,
        })
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many connections there may be, as far as is known.
    pub(crate) fn connections(&self) -> usize {
        let most = self.access.config.connections();
        let known = self.state().server.clone();
        let limit = known.and_then(|server| server.quirks.max_connections);
        limit.map_or(most, |limit| most.min(limit.max(1)))
    }

    /// What the server can do; logs in if nobody did yet. Cancel safe.
    pub(crate) async fn server(self: &Arc<Self>) -> Result<Arc<Server>> {
        let known = self.state().server.clone();
        match known {
            Some(server) => Ok(server),
            None => Ok(Arc::clone(&self.lease(None).await?.server)),
        }
    }

    /// Borrows a connection, if possible the one that has `folder` open. Waits while all are in
    /// use. Cancel safe.
    ///
    /// # Errors
    /// If a new one is needed and can't be opened.
    pub(crate) async fn lease(self: &Arc<Self>, folder: Option<&FolderId>) -> Result<Lease> {
        loop {
            self.try_given_up();
            let slot = Arc::clone(&self.slots)
                .acquire_owned()
                .await
                .map_err(|_| shut())?;
            if self.is_excess() {
                slot.forget();
                continue;
            }
            let Some(session) = self.session(folder).await? else {
                // The server takes no more connections than are open: make do with these.
                slot.forget();
                let mut state = self.state();
                state.given_up += 1;
                state.changed = Some(Instant::now());
                drop(state);
                tracing::info!("the server allows fewer connections than configured");
                continue;
            };
            return Ok(Lease {
                session: Some(session),
                pool: Arc::clone(self),
                _slot: slot,
            });
        }
    }

    /// Opens connections until there are so many, idle or in use, as far as places are free. Those that
    /// fail are opened again when they are needed. Cancel safe.
    pub(crate) async fn open_ahead(&self, many: usize) {
        let open = self.state().open;
        let missing = many.min(self.connections()).saturating_sub(open);
        let host = self.access.config.host();
        let free = |_| {
            let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
            Some((slot, self.access.edges.connections.try_acquire(host)?))
        };
        let opening = (0..missing).map_while(free);
        let opening = opening.map(|(slot, permit)| async move {
            // One that is refused is refused again to whoever needs it, and that one draws the conclusion.
            if let Ok(Some(session)) = self.open(permit).await {
                self.state().idle.push(session);
                self.released.notify_one();
            }
            drop(slot);
        });
        futures_util::future::join_all(opening).await;
    }

    /// Takes one of the places away that the server is known not to have.
    fn is_excess(&self) -> bool {
        let mut state = self.state();
        let excess = state.excess > 0;
        state.excess = state.excess.saturating_sub(1);
        excess
    }

    /// Opens one of the given-up places again when it is time.
    fn try_given_up(&self) {
        let mut state = self.state();
        let due = state
            .changed
            .is_some_and(|changed| changed.elapsed() >= REFUSED);
        if due && state.given_up > 0 {
            state.given_up -= 1;
            state.changed = Some(Instant::now());
            self.slots.add_permits(1);
        }
    }

    /// An idle session or a new one; `None` if the server takes no more.
    async fn session(&self, folder: Option<&FolderId>) -> Result<Option<Session>> {
        let host = self.access.config.host();
        loop {
            if let Some(mut session) = self.take_idle(folder) {
                if self.is_usable(&mut session).await {
                    return Ok(Some(session));
                }
                self.gone();
                continue;
            }
            // The process may allow fewer connections than we do; then ours are shared.
            let permit = tokio::select! {
                permit = self.access.edges.connections.acquire(host) => permit,
                () = self.released.notified() => continue,
            };
            return self.open(permit).await;
        }
    }

    async fn is_usable(&self, session: &mut Session) -> bool {
        if !session.revive() {
            return false;
        }
        if session.connection.idle_for() < RESTED {
            return true;
        }
        let patience = self.access.config.timeout();
        session.connection.set_patience(patience.min(PING));
        let answered = session.ping().await.is_ok();
        session.connection.set_patience(patience);
        answered
    }

    fn take_idle(&self, folder: Option<&FolderId>) -> Option<Session> {
        let mut state = self.state();
        let with = |wanted: Option<&FolderId>| {
            state
                .idle
                .iter()
                .position(|session| session.folder() == wanted)
        };
        // One that has the folder open, else one that has none, else the one that rested longest.
        let at = folder
            .and_then(|_| with(folder))
            .or_else(|| with(None))
            .unwrap_or(0);
        (at < state.idle.len()).then(|| state.idle.remove(at))
    }

    fn gone(&self) {
        let mut state = self.state();
        state.open = state.open.saturating_sub(1);
    }

    async fn open(&self, permit: ConnectionPermit) -> Result<Option<Session>> {
        if self.access.config.security() != Security::Plain {
            // A bad CA file is told before anybody is called.
            self.tls.of(&self.access.config)?;
        }
        let (refused, known) = {
            let state = self.state();
            (state.refused, state.server.clone())
        };
        let before = Before {
            refused,
            known,
            distrust: Arc::clone(&self.distrust),
        };
        let opened = Session::open(&self.access, self.side, &self.tls, permit, before).await;
        let mut state = self.state();
        match opened {
            Ok(session) => {
                state.open += 1;
                state.refused = false;
                if state.server.is_none() {
                    let most = self.access.config.connections();
                    let limit = session.server.quirks.max_connections.unwrap_or(most);
                    state.excess = most.saturating_sub(limit.max(1));
                }
                state.server = Some(Arc::clone(&session.server));
                Ok(Some(session))
            }
            Err(error) if state.open > 0 && is_full(&error) => Ok(None),
            Err(error) => {
                state.refused |= matches!(error.code(), "imap/login" | error::TOKEN_REFUSED);
                // A handshake that went well before was disturbed: the next one is verified as
                // strictly, and nothing is said before it is.
                let disturbed = error.kind() == ErrorKind::Tls && state.server.is_some();
                Err(match disturbed {
                    true => error.with_retry(Retry::Backoff),
                    false => error,
                })
            }
        }
    }
}

/// Whether a connection that could not be had means that there are too many, where others are open.
/// Some servers say so; others hang up, before the greeting or after the login, have their firewall
/// refuse the connection, or say that they cannot check passwords just now.
fn is_full(error: &Error) -> bool {
    let kinds = [
        ErrorKind::Capacity,
        ErrorKind::Interrupted,
        ErrorKind::Connect,
        ErrorKind::Unavailable,
    ];
    kinds.contains(&error.kind()) || error.code() == "tls/closed"
}

fn shut() -> Error {
    Error::new(ErrorKind::Bug, "the pool of connections is closed")
}

impl Drop for Pool {
    fn drop(&mut self) {
        for session in &mut self.state().idle {
            session.connection.say_goodbye();
        }
    }
}

/// A borrowed session. Goes back to the pool when dropped, unless a command is still under way or
/// the connection failed: then it is closed.
#[derive(Debug)]
pub(crate) struct Lease {
    session: Option<Session>,
    pool: Arc<Pool>,
    _slot: OwnedSemaphorePermit,
}

impl Lease {
    /// Closes the connection, and takes another one in its place. If that fails, the lease is of
    /// no use any more.
    pub(crate) async fn renew(&mut self) -> Result<()> {
        if self.session.take().is_some() {
            self.pool.gone();
        }
        let session = self.pool.session(None).await?;
        self.session = Some(session.ok_or_else(error::too_many)?);
        Ok(())
    }
}

impl Deref for Lease {
    type Target = Session;

    #[allow(clippy::expect_used, reason = "the session is taken by drop alone")]
    fn deref(&self) -> &Session {
        self.session
            .as_ref()
            .expect("a lease holds a session until it is dropped")
    }
}

impl DerefMut for Lease {
    #[allow(clippy::expect_used, reason = "the session is taken by drop alone")]
    fn deref_mut(&mut self) -> &mut Session {
        self.session
            .as_mut()
            .expect("a lease holds a session until it is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else {
            return;
        };
        if session.connection.is_clean() {
            self.pool.state().idle.push(session);
        } else {
            self.pool.gone();
        }
        self.pool.released.notify_one();
    }
}
