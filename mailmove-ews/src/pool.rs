//! The connections of one side, and the requests on them. Connections, cookies and tokens belong to one
//! credential and mailbox: a connection is logged in as somebody.

mod read;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::{
    HeaderMap, Method,
    header::{self, HeaderName, HeaderValue},
};
use mailmove_core::{
    destination::Fence,
    edge::{Credential, CredentialRequest},
    error::{Error, ErrorKind, Result, Retry, Scope},
    model::{FolderId, MessageId, Timestamp},
};
use mailmove_exchange::{header::parse_date, sink::Contents};
use rustls::ClientConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use read::read;

use crate::{
    config::Access,
    error::{self, Doing},
    folders::{self, Opened},
    http::{Connection, Dial, Failed, Jar, Outgoing, Received},
    login::{self, PAGE_MAX, Scheme},
    wire::{self, Element, Header, Reply, Request, SoapError, Version},
};

/// A connection that rested longer is not trusted: firewalls forget silent ones.
const RESTED: Duration = Duration::from_secs(90);

/// An item that could not be read so often is passed over.
const UNREAD: u32 = 3;

/// All requests of one side go through here.
pub(crate) struct Pool {
    access: Access,
    /// One for each connection that may be open.
    slots: Arc<Semaphore>,
    state: Mutex<State>,
    jar: Jar,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({})", self.access.config.endpoint())
    }
}

#[derive(Default)]
struct State {
    idle: Vec<Session>,
    tls: Option<Arc<ClientConfig>>,
    scheme: Option<Scheme>,
    version: Version,
    /// What the server says that it is.
    system: Option<String>,
    /// What the first login asked on the way.
    first: Option<Answer<()>>,
    /// The mailbox, once it was looked at.
    opened: Option<Opened>,
    /// Folders for which SyncFolderItems isn't offered.
    unsynced: HashSet<FolderId>,
    /// Items that could not be read, nobody knows why, and how often that was tried.
    unread: HashMap<MessageId, u32>,
    /// This credential was let in before.
    known: bool,
    /// The last one was refused: whoever gives credentials is told so.
    refused: bool,
    /// The server wants no request of this user before that, by the program's clock.
    busy_until: Option<Duration>,
}

/// A connection that is logged in.
struct Session {
    connection: Connection,
    /// Told with each request, but for NTLM.
    authorization: Option<HeaderValue>,
    /// The mailbox that is opened in another's name.
    acting: Option<String>,
    scheme: Scheme,
    /// Its token was given after another one had been refused.
    renewed: bool,
}

/// What answered a request.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    /// The response messages.
    pub(crate) messages: Vec<Element>,
    /// The contents that they speak of, by number.
    pub(crate) contents: Vec<Option<T>>,
    /// When it was, by the server's clock.
    pub(crate) date: Option<Timestamp>,
}

impl<T> Answer<T> {
    /// Takes the content of an element such as `MimeContent`.
    pub(crate) fn take(&mut self, element: &Element) -> Option<T> {
        let number = element.text.trim().strip_prefix('#')?;
        self.contents.get_mut(number.parse::<usize>().ok()?)?.take()
    }
}

/// Contents where none are asked for.
#[derive(Debug)]
pub(crate) struct NoContents;

impl Contents for NoContents {
    type Item = ();
    fn write(&mut self, _: &[u8]) {}
    fn end(&mut self, _: bool) {}
}

impl Pool {
    pub(crate) fn new(access: Access) -> Arc<Self> {
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(access.config.connections())),
            state: Mutex::default(),
            jar: Jar::default(),
            access,
        })
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// What is known of the mailbox since it was looked at first.
    pub(crate) fn opened<T>(&self, look: impl FnOnce(&mut Option<Opened>) -> T) -> T {
        look(&mut self.state().opened)
    }

    /// Folders for which SyncFolderItems was refused.
    pub(crate) fn unsynced<T>(&self, look: impl FnOnce(&mut HashSet<FolderId>) -> T) -> T {
        look(&mut self.state().unsynced)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The schema that is spoken.
    pub(crate) fn version(&self) -> Version {
        self.state().version
    }

    /// What the server says that it is, once it answered.
    pub(crate) fn system(&self) -> Option<String> {
        self.state().system.clone()
    }

    /// Connects, if nobody did yet: the [roles](folders::roles) of folders, if the login asked for them on the
    /// way.
    pub(crate) async fn first(&self) -> Result<Option<Answer<()>>> {
        if self.state().known {
            return Ok(None);
        }
        let _slot = self.slot().await.map_err(|failed| failed.error)?;
        self.leave_alone().map_err(|failed| failed.error)?;
        let session = self.session().await?;
        let mut state = self.state();
        state.idle.push(session);
        Ok(state.first.take())
    }

    /// A request that changes nothing, and has no contents in its answer.
    pub(crate) async fn call(&self, request: &Request) -> Result<Answer<()>> {
        let answer = self.send(request, || NoContents, None).await;
        answer.map_err(|failed| failed.error)
    }

    /// A request about items failed. Where it failed without a reason, another one tells whether that was for
    /// the server's sake, which passes, or for the items': then it costs no more than these.
    pub(crate) async fn blame(&self, error: Error) -> Error {
        if !error::is_bare(&error) {
            return error;
        }
        let root = wire::FolderRef::Distinguished(self.access.config.root());
        match self.call(&wire::get_folders(&[root])).await {
            Ok(_) => error.with_scope(Scope::Message),
            Err(_) => error.with_scope(Scope::Account),
        }
    }

    /// A single item could not be read, and this is why. What may pass is to be tried again; what fails for no
    /// reason each time is no reason to stop at.
    ///
    /// # Errors
    /// That very error, while it may pass.
    pub(crate) fn unread(&self, id: &MessageId, error: Error) -> Result<()> {
        if error.scope() > Scope::Message || !error::is_bare(&error) {
            return Err(error);
        }
        let mut state = self.state();
        let tries = state.unread.entry(id.clone()).or_default();
        *tries += 1;
        match *tries < UNREAD {
            true => Err(error),
            false => Ok(()),
        }
    }

    /// Whether it was tried so often that it is passed over now.
    pub(crate) fn is_unread(&self, id: &MessageId) -> bool {
        let state = self.state();
        state.unread.get(id).is_some_and(|tries| *tries >= UNREAD)
    }

    /// Sends a request and reads its answer. The fence is asked right before the first byte leaves.
    ///
    /// # Errors
    /// If there is no answer, or it refuses the request as a whole.
    pub(crate) async fn send<C: Contents>(
        &self,
        request: &Request,
        sink: impl Fn() -> C,
        fence: Option<&dyn Fence>,
    ) -> Result<Answer<C::Item>, Failed> {
        let _slot = self.slot().await?;
        let mut renewed = false;
        loop {
            self.leave_alone()?;
            let mut session = self.session().await.map_err(Failed::before)?;
            // Others may have been told while this one connected.
            if let Err(busy) = self.leave_alone() {
                self.state().idle.push(session);
                return Err(busy);
            }
            if let Some(fence) = fence {
                fence.check().map_err(Failed::before)?;
            }
            let answer = self.exchange(&mut session, request, sink()).await;
            let renewable = session.scheme == Scheme::Bearer && !session.renewed && !renewed;
            if !session.connection.dead {
                self.state().idle.push(session);
            }
            match answer {
                // Neither was carried out.
                Err(failed) if failed.error.code() == "ews/version" && self.is_older() => {}
                Err(failed) if is_unauthorized(&failed.error) && renewable => {
                    self.state().refused = true;
                    renewed = true;
                }
                answer => return answer,
            }
        }
    }

    /// What one request was told holds for all of them: none leaves before the time is over. The engine
    /// waits, and is told how long.
    fn leave_alone(&self) -> Result<(), Failed> {
        let now = self.access.edges.clock.now();
        let mut state = self.state();
        match state.busy_until {
            Some(until) if until > now => {
                let error = Error::new(ErrorKind::Throttled, "the server asks to slow down");
                let error = error
                    .with_code("ews/busy")
                    .with_retry(Retry::After(until - now));
                Err(Failed::before(error))
            }
            _ => {
                state.busy_until = None;
                Ok(())
            }
        }
    }

    /// Notes how long the server wants to be left alone.
    fn heed(&self, said: &SoapError) {
        if said.code == "ErrorServerBusy"
            && let Some(wait) = said.back_off
        {
            let until = self.access.edges.clock.now().saturating_add(wait);
            let mut state = self.state();
            state.busy_until = state.busy_until.max(Some(until));
        }
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, Failed> {
        let shut = |_| {
            Failed::before(Error::new(
                ErrorKind::Bug,
                "the pool of connections is closed",
            ))
        };
        Arc::clone(&self.slots).acquire_owned().await.map_err(shut)
    }

    /// Speaks an older schema from now on, if there is one.
    fn is_older(&self) -> bool {
        let mut state = self.state();
        match state.version.older() {
            Some(older) => {
                tracing::info!("speaking {} with the server", older.as_str());
                state.version = older;
                true
            }
            None => false,
        }
    }

    async fn session(&self) -> Result<Session> {
        loop {
            let idle = self.state().idle.pop();
            let Some(mut session) = idle else { break };
            if session.connection.idle_for() < RESTED && session.connection.is_alive().await {
                return Ok(session);
            }
        }
        self.open().await
    }

    async fn open(&self) -> Result<Session> {
        let config = &self.access.config;
        let target = config.target();
        let tls = self.tls()?;
        let dial = Dial {
            edges: &self.access.edges,
            target,
            name: config.tls_name(),
            tls: &tls,
            patience: config.timeout(),
        };
        let (refused, known_scheme) = {
            let state = self.state();
            (state.refused, state.scheme)
        };
        let located = |error: Error| {
            self.passing(error)
                .with_context("host", target.host.clone())
                .with_context("port", target.port.to_string())
        };
        let request = CredentialRequest::new(config.endpoint());
        let request = if refused {
            request.after_refusal()
        } else {
            request
        };
        let credential = self.access.credentials.credential(request).await?;
        let permit = self.access.edges.connections.acquire(&target.host).await;
        let mut connection = Connection::open(dial, permit).await.map_err(located)?;
        let scheme = match Scheme::set(config.auth(), &credential).or(known_scheme) {
            Some(scheme) => scheme,
            None => {
                let headers = self.headers(None);
                let scheme = login::ask(&mut connection, &target.path, &headers).await;
                let scheme = scheme.map_err(located)?;
                if connection.dead {
                    let permit = self.access.edges.connections.acquire(&target.host).await;
                    connection = Connection::open(dial, permit).await.map_err(located)?;
                }
                scheme
            }
        };
        // Remembered, so that nobody can talk us into less later on.
        self.state().scheme = Some(scheme);
        let mut session = Session {
            connection,
            authorization: None,
            acting: None,
            scheme,
            renewed: refused,
        };
        self.log_in(&mut session, credential)
            .await
            .map_err(located)?;
        self.state().refused = false;
        Ok(session)
    }

    fn tls(&self) -> Result<Arc<ClientConfig>> {
        let mut state = self.state();
        let tls = match &state.tls {
            Some(tls) => Arc::clone(tls),
            None => self.access.config.tls().client_config()?,
        };
        state.tls = Some(Arc::clone(&tls));
        Ok(tls)
    }

    async fn log_in(&self, session: &mut Session, credential: Credential) -> Result<()> {
        let target = self.access.config.target();
        let (user, password) = match credential {
            Credential::BearerToken { token, .. } => {
                let text = zeroize::Zeroizing::new(format!("Bearer {}", token.expose()));
                session.authorization = Some(login::secret_field(&text)?);
                return Ok(());
            }
            Credential::Password {
                user,
                password,
                authorize_as,
            } => {
                session.acting = authorize_as;
                (user, password)
            }
            _ => {
                let error = Error::new(ErrorKind::Config, "EWS takes passwords and tokens only");
                return Err(error.with_code("ews/credential"));
            }
        };
        let Scheme::Ntlm(wrap) = session.scheme else {
            session.authorization = Some(login::basic(&user, &password)?);
            return Ok(());
        };
        let headers = self.headers(session.acting.as_deref());
        let host = self.access.config.tls_name().unwrap_or(&target.host);
        let who = (user.as_str(), &password, host);
        let third = login::ntlm(&mut session.connection, &target.path, &headers, wrap, who).await?;
        // A request that any user may make carries the last message, so that no other has to be sent
        // twice if it is refused.
        let is_first = !self.state().known;
        let request = match is_first {
            true => folders::roles(&self.access.config),
            false => {
                wire::get_folders(&[wire::FolderRef::Distinguished(self.access.config.root())])
            }
        };
        session.authorization = Some(third);
        let answer = self.exchange(session, &request, NoContents).await;
        session.authorization = None;
        match answer {
            Err(failed)
                if failed.error.kind() == ErrorKind::Auth && failed.error.code() == "ews/login" =>
            {
                Err(login::ntlm_refused(target.secure))
            }
            Err(failed) if failed.error.code() == "ews/version" => Ok(()),
            Err(failed) => Err(failed.error),
            Ok(answer) => {
                self.state().first = Some(answer).filter(|_| is_first);
                Ok(())
            }
        }
    }

    fn headers(&self, acting: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let agent = concat!("mailmove/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/xml"));
        let kind = HeaderValue::from_static("text/xml; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, kind);
        let mailbox = acting.unwrap_or(self.access.config.user());
        if mailbox.contains('@')
            && let Ok(mailbox) = HeaderValue::from_str(mailbox)
        {
            headers.insert(HeaderName::from_static("x-anchormailbox"), mailbox);
        }
        if let Some(cookies) = self.jar.field()
            && let Ok(mut cookies) = HeaderValue::from_str(&cookies)
        {
            cookies.set_sensitive(true);
            headers.insert(header::COOKIE, cookies);
        }
        headers
    }

    async fn exchange<C: Contents>(
        &self,
        session: &mut Session,
        request: &Request,
        sink: C,
    ) -> Result<Answer<C::Item>, Failed> {
        let acting = session.acting.as_deref();
        let version = self.version();
        let pieces = request.pieces(Header {
            version,
            impersonate: acting,
        });
        let sent = login::len(&pieces);
        let mut headers = self.headers(acting);
        if let Some(authorization) = &session.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        let path = &self.access.config.target().path;
        let outgoing = Outgoing {
            method: Method::POST,
            path,
            headers,
            pieces,
        };
        let sent_to = session.connection.send(outgoing).await;
        let mut received = sent_to.map_err(|failed| Failed {
            error: self.passing(failed.error),
            ..failed
        })?;
        for cookie in received.headers.get_all(header::SET_COOKIE) {
            if let Ok(cookie) = cookie.to_str() {
                self.jar.set(cookie);
            }
        }
        let kind = received.field("content-type").unwrap_or_default();
        let status = received.status.as_u16();
        if !matches!(status, 200 | 500) || !kind.to_ascii_lowercase().contains("xml") {
            return Err(self.refused(session, &mut received, sent).await);
        }
        let read = read(&mut session.connection, &mut received, request, sink).await?;
        let mut state = self.state();
        state.known = true;
        if let Some(system) = &read.system {
            state.system = Some(system.clone());
        }
        drop(state);
        let messages = self.judge(session, request, read.reply)?;
        Ok(Answer {
            messages,
            contents: read.contents.into_iter().map(Some).collect(),
            date: received.field("date").and_then(parse_date),
        })
    }

    /// What a reply says of the request.
    fn judge(
        &self,
        session: &mut Session,
        request: &Request,
        reply: Reply,
    ) -> Result<Vec<Element>, Failed> {
        match reply {
            Reply::Messages(messages) => {
                messages
                    .iter()
                    .filter_map(SoapError::of)
                    .for_each(|said| self.heed(&said));
                Ok(messages)
            }
            Reply::Fault(fault) => {
                // Some servers send a second reply after a fault.
                session.connection.dead = true;
                self.heed(&fault);
                Err(Failed {
                    error: error::refused(Doing::of(request.operation), &fault),
                    perhaps_executed: error::was_executed(&fault),
                })
            }
        }
    }

    /// Where EWS was before, anything else that answers will pass: a proxy, a server that starts.
    fn passing(&self, error: Error) -> Error {
        let is_other = error.kind() == ErrorKind::Protocol && self.state().known;
        match is_other {
            true => error.with_retry(Retry::Backoff),
            false => error,
        }
    }

    async fn refused(&self, session: &mut Session, received: &mut Received, sent: u64) -> Failed {
        let text = session
            .connection
            .text(received, PAGE_MAX)
            .await
            .unwrap_or_default();
        // Whatever it was, the next request begins anew.
        session.connection.dead = true;
        let known = {
            let mut state = self.state();
            let unauthorized = received.status.as_u16() == 401;
            state.refused |= unauthorized && !state.known;
            state.known
        };
        let (error, perhaps_executed) =
            error::http_refused(&login::refusal(received, text, sent, known));
        Failed {
            error,
            perhaps_executed,
        }
    }
}

fn is_unauthorized(error: &Error) -> bool {
    matches!(error.code(), "ews/login" | "http/unauthorized-now")
}
