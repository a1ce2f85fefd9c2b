//! Listening, what all requests share, and the way in from behind.

use std::net::SocketAddr;
use std::sync::Arc;

use mailmove_testkit::mailbox::{Message, Store};
use mailmove_testkit_exchange::dates;
use mailmove_testkit_exchange::http::{Host, Request};
use mailmove_testkit_exchange::listen::{Admission, Outcome, Service, listen};
use mailmove_testkit_exchange::mailbox::{Mailbox, Mailboxes};
use mailmove_testkit_exchange::mime::Mime;
use mailmove_testkit_exchange::props::{Key, Known, Props, Value};
use mailmove_testkit_exchange::tls::{Certificate, Tls, TlsError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answer;
use crate::auth::{Said, Tokens};
use crate::call::Poison;
use crate::config::{Builder, Config};
use crate::counters::{Counters, Counting};
use crate::delta::Walks;
use crate::faults::{Action, Faults};
use crate::gate::Gate;
use crate::identity::Identities;
use crate::limits::Limits;
use crate::props;
use crate::sessions::Sessions;

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
    pub(crate) identities: Identities,
    pub(crate) walks: Walks,
    pub(crate) tokens: Tokens,
    pub(crate) sessions: Sessions,
    pub(crate) limits: Limits,
    pub(crate) counting: Counting,
    pub(crate) faults: Faults,
    pub(crate) poison: Poison,
    pub(crate) gate: Gate,
    pub(crate) tls: Tls,
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
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let tls = Tls::new(&names, Certificate::default(), false)?;
        let plain = TcpListener::bind(("127.0.0.1", 0)).await?;
        let secure = TcpListener::bind(("127.0.0.1", 0)).await?;
        let shared = Arc::new(Shared {
            mailboxes: Mailboxes::new(&store, config.language, config.default_folders),
            identities: Identities::new(config.url_safe_ids),
            walks: Walks::default(),
            tokens: Tokens::default(),
            sessions: Sessions::default(),
            limits: Limits::default(),
            config,
            store,
            counting: Counting::default(),
            faults: Faults::new(),
            poison: Poison::default(),
            gate: Gate::default(),
            tls,
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

    /// The base of all requests, `http://…/v1.0`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1.0", self.shared.plain)
    }

    /// The base of all requests with TLS.
    #[must_use]
    pub fn tls_url(&self) -> String {
        format!("https://{}/v1.0", self.shared.secure)
    }

    /// The authority that gives tokens; the tenant and `/oauth2/v2.0/token` follow.
    #[must_use]
    pub fn login_url(&self) -> String {
        format!("http://{}", self.shared.plain)
    }

    /// The authority that gives tokens, with TLS.
    #[must_use]
    pub fn tls_login_url(&self) -> String {
        format!("https://{}", self.shared.secure)
    }

    /// The tenant's name.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.shared.config.tenant
    }

    /// Certificate of the authority that signed the server's, as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.shared.tls.ca_pem
    }

    /// The mailboxes behind it.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// All tokens given out so far are no longer taken.
    pub fn revoke_tokens(&self) {
        self.shared.tokens.revoke();
    }

    /// No login that was given so far can be renewed.
    pub fn revoke_refresh_tokens(&self) {
        self.shared.tokens.revoke_renewals();
    }

    /// The user enters the code that a device shows, and agrees; false if there is no such code.
    #[must_use]
    pub fn approve_device(&self, user_code: &str, user: &str) -> bool {
        let said = Said::Yes(user.to_owned());
        self.shared.tokens.say(user_code, &said)
    }

    /// The user enters the code that a device shows, and refuses; false if there is no such code.
    #[must_use]
    pub fn decline_device(&self, user_code: &str) -> bool {
        self.shared.tokens.say(user_code, &Said::No)
    }

    /// What clients got so far to go on with changes is no longer known: 410.
    pub fn forget_deltas(&self) {
        self.shared.walks.forget();
    }

    /// Sets a folder's class, such as `IPF.Appointment`; `None` for a folder that tells none.
    pub fn set_folder_class(&self, user: &str, path: &[&str], class: Option<&str>) {
        let shared = &self.shared;
        shared.mailboxes.set_class(&shared.store, user, path, class);
    }

    /// Hides a folder, as Exchange does with its own.
    pub fn hide_folder(&self, user: &str, path: &[&str]) {
        self.shared.mailboxes.hide(&self.shared.store, user, path);
    }

    /// Makes a folder a search, which is listed as one.
    pub fn set_search_folder(&self, user: &str, path: &[&str]) {
        let shared = &self.shared;
        let change = |folder: &mut mailmove_testkit_exchange::mailbox::FolderExtra| {
            folder.search = true;
        };
        shared.mailboxes.change(&shared.store, user, path, change);
    }

    /// Reading this item fails with 500 and this code, and so does each page of a list with it, unless
    /// ids alone are asked for.
    /// False if there is no such item.
    pub fn poison_item(&self, user: &str, path: &[&str], uid: u32, code: &str) -> bool {
        let Some((mailbox, message)) = self.item(user, path, uid) else {
            return false;
        };
        let shared = &self.shared;
        shared.poison.add(&mailbox, &message, "*", code);
        true
    }

    /// This operation on this item fails with 500 and this code, such as `GetMime`.
    /// False if there is no such item.
    pub fn poison_operation(
        &self,
        user: &str,
        path: &[&str],
        uid: u32,
        operation: &str,
        code: &str,
    ) -> bool {
        let Some((mailbox, message)) = self.item(user, path, uid) else {
            return false;
        };
        let shared = &self.shared;
        shared.poison.add(&mailbox, &message, operation, code);
        true
    }

    fn item(&self, user: &str, path: &[&str], uid: u32) -> Option<(Mailbox, Message)> {
        let mailbox = self.shared.mailboxes.open(&self.shared.store, user)?;
        let folder = mailbox.account.folder(path).ok()?.id;
        let message = mailbox.account.fetch(folder, &[uid]).ok()?.pop()?;
        Some((mailbox, message))
    }

    /// The id of an item, as answers have it.
    #[must_use]
    pub fn item_id(&self, user: &str, path: &[&str], uid: u32, immutable: bool) -> Option<String> {
        let (mailbox, message) = self.item(user, path, uid)?;
        let folder = mailbox.account.folder(path).ok()?;
        let ids = &self.shared.identities;
        Some(ids.id(&mailbox, &folder, &message, immutable))
    }

    /// A property of an item by its id, such as `Integer 0x0E07`, as text: what was set, or what the server
    /// makes of the message.
    #[must_use]
    pub fn item_property(&self, user: &str, path: &[&str], uid: u32, id: &str) -> Option<String> {
        let (mailbox, message) = self.item(user, path, uid)?;
        let folder = mailbox.account.folder(path).ok()?.id;
        let (key, kind) = props::key(id)?;
        let known = Known {
            message: &message,
            props: &mailbox.extra().props(folder, &message),
            mime: &Mime::parse(&message.body),
            fraction_digits: 0,
        };
        Some(known.extended(&key, &kind)?.first().to_owned())
    }

    /// Sets the date that a property of an item holds, in seconds since 1970; false if there is no
    /// such item.
    pub fn set_item_date(&self, user: &str, path: &[&str], uid: u32, tag: u16, unix: i64) -> bool {
        self.change_item(user, path, uid, |props| {
            let date = Value::one("SystemTime", dates::format(unix, 0));
            props.extended.insert(Key::Tag(tag), date);
        })
    }

    /// Sets a property of an item by its id, such as `String 0x0037`; false if there is no such item.
    pub fn set_item_property(
        &self,
        user: &str,
        path: &[&str],
        uid: u32,
        id: &str,
        value: &str,
    ) -> bool {
        let Some((key, kind)) = props::key(id) else {
            return false;
        };
        self.change_item(user, path, uid, |props| {
            props.extended.insert(key, Value::one(&kind, value));
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

    /// Sets an item's class, such as `IPM.Appointment`; false if there is no such item.
    pub fn set_item_class(&self, user: &str, path: &[&str], uid: u32, class: &str) -> bool {
        self.change_item(user, path, uid, |props| {
            props.class = Some(class.to_owned());
        })
    }

    /// An item's class; `None` if there is no such item.
    #[must_use]
    pub fn item_class(&self, user: &str, path: &[&str], uid: u32) -> Option<String> {
        let (mailbox, message) = self.item(user, path, uid)?;
        let folder = mailbox.account.folder(path).ok()?.id;
        let props = mailbox.extra().props(folder, &message);
        Some(props.class().to_owned())
    }

    fn change_item(
        &self,
        user: &str,
        path: &[&str],
        uid: u32,
        change: impl FnOnce(&mut Props),
    ) -> bool {
        let Some((mailbox, message)) = self.item(user, path, uid) else {
            return false;
        };
        let Ok(folder) = mailbox.account.folder(path) else {
            return false;
        };
        let mut extra = mailbox.extra();
        let mut props = extra.props(folder.id, &message);
        change(&mut props);
        extra.items.insert((folder.id, uid), props);
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

    /// Shapes of requests and answers that were never validated. Where there are any, dropping the server
    /// panics, unless it was built [without the gate](Builder::without_shape_gate).
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
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    pub(crate) secure: bool,
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
        {
            let mut counters = self.counting.lock();
            counters.connections += 1;
            counters.open += 1;
            counters.peak = counters.peak.max(counters.open);
        }
        let left = match self.faults.on_connection() {
            Some(Action::CloseInRequest(bytes)) => Some(bytes),
            Some(_) => return None,
            None => None,
        };
        let session = Session { secure };
        Some(Admission { session, left })
    }

    fn closed(&self) {
        self.counting.lock().open -= 1;
    }

    fn refused(&self, status: u16) {
        self.tell(status);
    }

    async fn answer(self: &Arc<Self>, session: &mut Session, request: Request) -> Outcome {
        self.counting.lock().requests += 1;
        let outcome = answer::answer(self, *session, request).await;
        if let Outcome::Reply(response) = &outcome {
            self.tell(response.status);
        }
        outcome
    }
}

impl Shared {
    fn tell(&self, status: u16) {
        *self.counting.lock().statuses.entry(status).or_default() += 1;
    }
}

impl Host for Shared {
    fn max_body(&self, _: &Request) -> usize {
        self.config.max_body
    }

    fn read(&self, bytes: u64) {
        self.counting.lock().bytes_in += bytes;
    }

    fn sent(&self, bytes: u64) {
        self.counting.lock().bytes_out += bytes;
    }
}
