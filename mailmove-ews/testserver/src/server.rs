//! Listening, accepting, answering HTTP, stopping.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mailmove_testkit::mailbox::Store;
pub(crate) use mailmove_testkit_exchange::listen::Outcome;
use mailmove_testkit_exchange::listen::{Admission, Service, listen};
use mailmove_testkit_exchange::tls::{Tls, TlsError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{self, Login};
use crate::config::{Builder, Config};
use crate::counters::{Counters, Counting};
use crate::faults::{Action, Faults};
use crate::gate::Gate;
use crate::http::{Host, Request, Response};
use crate::mailbox::Mailboxes;
use crate::mime::Mime;
use crate::props::{Key, Known, Props, Value};
use crate::{autodiscover, dates, soap};

/// Why a server didn't start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No port could be bound.
    #[error("cannot listen on 127.0.0.1")]
    Listen(#[from] std::io::Error),
    /// TLS can't be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) counting: Counting,
    pub(crate) faults: Faults,
    pub(crate) gate: Gate,
    pub(crate) tls: Tls,
    /// Until when no operation should come, by the configured clock.
    pub(crate) back_off: Mutex<Duration>,
    pub(crate) plain: SocketAddr,
    pub(crate) secure: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// A running server; dropping it ends all its connections.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
}

impl Server {
    /// Sets up a server over this store.
    pub fn builder(store: Store) -> Builder {
        Builder::new(store)
    }

    pub(crate) async fn start(store: Store, config: Config) -> Result<Self, StartError> {
        let tls = Tls::new(
            &config.certificate_names,
            config.certificate,
            config.other_certificate,
        )?;
        let plain = TcpListener::bind(("127.0.0.1", 0)).await?;
        let secure = TcpListener::bind(("127.0.0.1", 0)).await?;
        let shared = Arc::new(Shared {
            mailboxes: Mailboxes::new(&store, config.language, config.default_folders),
            config,
            store,
            counting: Counting::default(),
            faults: Faults::new(),
            gate: Gate::default(),
            tls,
            back_off: Mutex::default(),
            plain: plain.local_addr()?,
            secure: secure.local_addr()?,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let server = Self { shared };
        let shared = &server.shared;
        shared.tasks.spawn(listen(plain, Arc::clone(shared), false));
        shared.tasks.spawn(listen(secure, Arc::clone(shared), true));
        Ok(server)
    }

    /// Where it listens without TLS.
    #[must_use]
    pub fn plain_address(&self) -> SocketAddr {
        self.shared.plain
    }

    /// Where it listens with TLS.
    #[must_use]
    pub fn tls_address(&self) -> SocketAddr {
        self.shared.secure
    }

    /// The EWS endpoint without TLS.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/EWS/Exchange.asmx", self.shared.plain)
    }

    /// The EWS endpoint with TLS.
    #[must_use]
    pub fn tls_url(&self) -> String {
        format!("https://{}/EWS/Exchange.asmx", self.shared.secure)
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

    /// Sets a folder's class, such as `IPF.Appointment`; `None` for a folder that tells none.
    pub fn set_folder_class(&self, user: &str, path: &[&str], class: Option<&str>) {
        self.shared
            .mailboxes
            .set_class(&self.shared.store, user, path, class);
    }

    /// Hides a folder, as Exchange does with its own.
    pub fn hide_folder(&self, user: &str, path: &[&str]) {
        self.shared.mailboxes.hide(&self.shared.store, user, path);
    }

    /// A property of an item by its tag, such as 0x0039, as text: what was set, or what the server
    /// makes of the message.
    #[must_use]
    pub fn item_property(&self, user: &str, path: &[&str], uid: u32, tag: u16) -> Option<String> {
        let mailbox = self.shared.mailboxes.open(&self.shared.store, user)?;
        let folder = mailbox.account.folder(path).ok()?.id;
        let message = mailbox.account.fetch(folder, &[uid]).ok()?.pop()?;
        let known = Known {
            message: &message,
            props: &mailbox.extra().props(folder, &message),
            mime: &Mime::parse(&message.body),
            fraction_digits: self.shared.config.fraction_digits,
        };
        Some(known.by_tag(tag)?.first().to_owned())
    }

    /// Sets the date that such a property of an item holds, in seconds since 1970; false if there is no
    /// such item.
    pub fn set_item_date(&self, user: &str, path: &[&str], uid: u32, tag: u16, unix: i64) -> bool {
        self.change_item(user, path, uid, |props| {
            let date = Value {
                kind: "SystemTime".to_owned(),
                values: vec![dates::format(unix, 0)],
            };
            props.extended.insert(Key::Tag(tag), date);
        })
    }

    /// Sets an item's class, such as `IPM.Appointment`; false if there is no such item.
    pub fn set_item_class(&self, user: &str, path: &[&str], uid: u32, class: &str) -> bool {
        self.change_item(user, path, uid, |props| {
            props.class = Some(class.to_owned());
        })
    }

    /// Sets how important an item is: `Low`, `Normal` or `High`; false if there is no such item.
    pub fn set_item_importance(
        &self,
        user: &str,
        path: &[&str],
        uid: u32,
        importance: &str,
    ) -> bool {
        self.change_item(user, path, uid, |props| {
            props.importance = Some(importance.to_owned());
        })
    }

    /// An item's class; `None` if there is no such item.
    #[must_use]
    pub fn item_class(&self, user: &str, path: &[&str], uid: u32) -> Option<String> {
        let mut class = None;
        self.change_item(user, path, uid, |props| {
            class = Some(props.class().to_owned());
        });
        class
    }

    fn change_item(
        &self,
        user: &str,
        path: &[&str],
        uid: u32,
        change: impl FnOnce(&mut Props),
    ) -> bool {
        let mailbox = self.shared.mailboxes.open(&self.shared.store, user);
        let found = mailbox.and_then(|mailbox| {
            let folder = mailbox.account.folder(path).ok()?.id;
            let message = mailbox.account.fetch(folder, &[uid]).ok()?.pop()?;
            Some((mailbox, folder, message))
        });
        let Some((mailbox, folder, message)) = found else {
            return false;
        };
        let mut extra = mailbox.extra();
        let mut props = extra.props(folder, &message);
        change(&mut props);
        extra.items.insert((folder, uid), props);
        true
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

    /// From now on it [chokes](Builder::chokes_on) on items with this text.
    pub fn choke_on(&self, text: Option<&str>) {
        let chokes = self.shared.config.chokes_on.lock();
        *chokes.unwrap_or_else(PoisonError::into_inner) = text.map(str::to_owned);
    }

    /// Shapes of requests and replies that were never validated. Where there are any, dropping the
    /// server panics, unless it was built [without the gate](Builder::without_shape_gate).
    #[must_use]
    pub fn unlisted_shapes(&self) -> Vec<String> {
        self.shared.gate.unlisted()
    }

    /// Stops and waits until every connection and every late operation is done.
    /// Not cancel-safe only in that a dropped call doesn't wait.
    pub async fn stop(self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Drop for Server {
    #[expect(clippy::panic, reason = "it is how a test fails")]
    fn drop(&mut self) {
        self.shared.stop.cancel();
        let unlisted = self.shared.gate.unlisted();
        if !unlisted.is_empty() && !std::thread::panicking() {
            panic!(
                "these shapes were never validated; `cargo xtask contracts DIR` does it:\n{}",
                unlisted.join("\n")
            );
        }
    }
}

/// What is known of a connection.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) secure: bool,
    /// Not one connection too many.
    pub(crate) allowed: bool,
    pub(crate) login: Login,
    /// The last token of a login, which goes with the answer.
    pub(crate) farewell: Option<String>,
}

impl Service for Shared {
    type Session = Session;

    fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    fn tls(&self) -> &Tls {
        &self.tls
    }

    fn opened(&self, secure: bool) -> Option<Admission<Session>> {
        let allowed = {
            let mut counters = self.counting.lock();
            counters.connections += 1;
            counters.open += 1;
            counters.peak = counters.peak.max(counters.open);
            counters.open <= self.config.max_connections as u64
        };
        let left = match self.faults.on_connection() {
            Some(Action::CloseInRequest(bytes)) => Some(bytes),
            Some(_) => return None,
            None => None,
        };
        let session = Session {
            secure,
            allowed,
            login: Login::default(),
            farewell: None,
        };
        Some(Admission { session, left })
    }

    fn closed(&self) {
        self.counting.lock().open -= 1;
    }

    fn refused(&self, status: u16) {
        tell(self, status);
    }

    async fn answer(self: &Arc<Self>, session: &mut Session, request: Request) -> Outcome {
        self.counting.lock().requests += 1;
        match answer(self, session, request).await {
            Outcome::Reply(mut response) => {
                if let Some(token) = session.farewell.take() {
                    response = response.header("WWW-Authenticate", token);
                }
                tell(self, response.status);
                Outcome::Reply(response)
            }
            outcome => outcome,
        }
    }
}

pub(crate) fn tell(shared: &Shared, status: u16) {
    *shared.counting.lock().statuses.entry(status).or_default() += 1;
}

async fn answer(shared: &Arc<Shared>, session: &mut Session, request: Request) -> Outcome {
    let path = request.path();
    if let Some(to) = shared.config.redirects.get(&path) {
        return Outcome::Reply(Response::new(302, "").header("Location", to.clone()));
    }
    match path.as_str() {
        "/ews/exchange.asmx" => match auth::check(shared, session, &request) {
            Ok(user) => ews(shared, session, &user, request).await,
            Err(challenge) => Outcome::Reply(challenge),
        },
        "/owa" | "/owa/" => Outcome::Reply(
            Response::new(302, "").header("Location", "/owa/auth/logon.aspx?replaceCurrent=1"),
        ),
        "/owa/auth/logon.aspx" => Outcome::Reply(
            Response::new(200, "<html><title>Outlook</title></html>")
                .header("Content-Type", "text/html"),
        ),
        path if path.starts_with("/autodiscover/autodiscover.json") => {
            Outcome::Reply(autodiscover::json(shared, session, &request))
        }
        "/autodiscover/autodiscover.xml" => match auth::check(shared, session, &request) {
            Ok(_) => Outcome::Reply(autodiscover::pox(shared, session, &request)),
            Err(challenge) => Outcome::Reply(challenge),
        },
        _ => Outcome::Reply(Response::new(404, "no such page")),
    }
}

async fn ews(shared: &Arc<Shared>, session: &Session, user: &str, request: Request) -> Outcome {
    if let Some(page) = &shared.config.forbidden {
        let response = Response::new(403, page.as_str());
        return Outcome::Reply(response.header("Content-Type", "text/html"));
    }
    let cookie = shared.config.cookies.then(|| {
        let own = format!("X-BackEndCookie={user}");
        let brought = request.header("cookie").unwrap_or_default();
        let mut counters = shared.counting.lock();
        for cookie in brought.split("; ").filter(|cookie| !cookie.is_empty()) {
            let is_own = cookie == own;
            counters.own_cookies += u64::from(is_own);
            counters.foreign_cookies += u64::from(!is_own);
        }
        own
    });
    match request.method.as_str() {
        "POST" => match (soap::post(shared, session, user, request).await, cookie) {
            (Outcome::Reply(response), Some(cookie)) => {
                Outcome::Reply(response.header("Set-Cookie", format!("{cookie}; path=/; HttpOnly")))
            }
            (outcome, _) => outcome,
        },
        "GET" => Outcome::Reply(
            Response::new(200, "<html>You have created a service.</html>")
                .header("Content-Type", "text/html"),
        ),
        _ => Outcome::Reply(Response::new(405, "")),
    }
}

impl Host for Shared {
    fn max_body(&self, _: &Request) -> usize {
        self.config.max_request
    }

    fn refuses_chunked(&self) -> bool {
        self.config.refuses_chunked
    }

    fn read(&self, bytes: u64) {
        self.counting.lock().bytes_in += bytes;
    }

    fn sent(&self, bytes: u64) {
        self.counting.lock().bytes_out += bytes;
    }
}

impl Shared {
    /// A back-off begins now.
    pub(crate) fn begin_back_off(&self, time: Duration) {
        let until = self.config.clock.now() + time;
        let mut have = self.back_off.lock().unwrap_or_else(PoisonError::into_inner);
        *have = (*have).max(until);
    }

    pub(crate) fn chokes_on(&self) -> Option<String> {
        let text = self.config.chokes_on.lock();
        text.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn in_back_off(&self) -> bool {
        let until = *self.back_off.lock().unwrap_or_else(PoisonError::into_inner);
        self.config.clock.now() < until
    }
}
