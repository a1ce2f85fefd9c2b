//! What a server can do, and to whom it listens.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mailmove_core::edge::{Clock, SystemClock};
use mailmove_testkit::mailbox::{Limits, Store};
use mailmove_testkit_exchange::mailbox::Language;
use mailmove_testkit_exchange::tls::Certificate;

use crate::server::{Server, StartError};

/// How clients may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scheme {
    /// User and password in each request.
    Basic,
    /// NTLMv2; logs in the connection.
    Ntlm,
    /// NTLMv2 inside SPNEGO; logs in the connection.
    Negotiate,
    /// A token.
    Bearer,
}

/// What is asked of channel bindings in NTLM, over TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Binding {
    /// Not looked at.
    Off,
    /// A wrong one is refused; none is fine.
    #[default]
    Allow,
    /// None is refused, too, also without TLS.
    Require,
}

#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) password: String,
    pub(crate) address: String,
    /// May act for anybody by ExchangeImpersonation.
    pub(crate) impersonates: bool,
    /// Other mailboxes that it may open.
    pub(crate) delegate_of: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) tokens: BTreeMap<String, String>,
    pub(crate) domain: String,
    pub(crate) schemes: BTreeSet<Scheme>,
    pub(crate) binding: Binding,
    pub(crate) certificate: Certificate,
    pub(crate) certificate_names: Vec<String>,
    pub(crate) other_certificate: bool,
    pub(crate) language: Language,
    pub(crate) default_folders: bool,
    pub(crate) rebuilds_mime: bool,
    pub(crate) oldest_version: bool,
    pub(crate) version: (u8, u8),
    pub(crate) max_request: usize,
    pub(crate) max_connections: usize,
    pub(crate) max_find: usize,
    pub(crate) max_find_restricted: usize,
    pub(crate) max_sync: usize,
    pub(crate) refuses_chunked: bool,
    pub(crate) no_charset: bool,
    pub(crate) fraction_digits: usize,
    pub(crate) search_lag: usize,
    pub(crate) partial_pages: Option<usize>,
    pub(crate) ghosts: bool,
    pub(crate) no_sync: bool,
    pub(crate) silent_resync: bool,
    pub(crate) no_changes_told: bool,
    pub(crate) last_commit: Option<i64>,
    pub(crate) without: BTreeSet<String>,
    pub(crate) bare_unknown: bool,
    pub(crate) chokes_on: Arc<Mutex<Option<String>>>,
    pub(crate) busy_every: Option<(u64, Duration)>,
    pub(crate) forbidden: Option<String>,
    pub(crate) cookies: bool,
    pub(crate) redirects: BTreeMap<String, String>,
    pub(crate) autodiscover: BTreeMap<String, String>,
    pub(crate) shape_gate: bool,
    pub(crate) transcript: Option<PathBuf>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Sets up a [`Server`]; made by [`Server::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    store: Store,
    config: Config,
}

impl Builder {
    pub(crate) fn new(store: Store) -> Self {
        let config = Config {
            users: BTreeMap::new(),
            tokens: BTreeMap::new(),
            domain: "example.com".to_owned(),
            schemes: BTreeSet::from([Scheme::Basic]),
            binding: Binding::default(),
            certificate: Certificate::default(),
            certificate_names: vec!["localhost".into(), "127.0.0.1".into(), "::1".into()],
            other_certificate: false,
            language: Language::default(),
            default_folders: true,
            rebuilds_mime: false,
            oldest_version: false,
            version: (15, 1),
            max_request: 64 * 1024 * 1024,
            max_connections: usize::MAX,
            max_find: 1000,
            max_find_restricted: 250,
            max_sync: 512,
            refuses_chunked: false,
            no_charset: false,
            fraction_digits: 0,
            search_lag: 0,
            partial_pages: None,
            ghosts: false,
            no_sync: false,
            silent_resync: false,
            no_changes_told: false,
            last_commit: None,
            without: BTreeSet::new(),
            bare_unknown: false,
            chokes_on: Arc::default(),
            busy_every: None,
            forbidden: None,
            cookies: false,
            redirects: BTreeMap::new(),
            autodiscover: BTreeMap::new(),
            shape_gate: true,
            transcript: None,
            clock: Arc::new(SystemClock),
        };
        Self { store, config }
    }

    #[cfg(test)]
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    fn add(&mut self, name: &str, password: &str) -> &mut User {
        let address = match name.contains('@') {
            true => name.to_owned(),
            false => format!("{name}@{}", self.config.domain),
        };
        let user = User {
            password: password.to_owned(),
            address,
            impersonates: false,
            delegate_of: BTreeSet::new(),
        };
        self.config
            .users
            .entry(name.to_owned())
            .insert_entry(user)
            .into_mut()
    }

    /// Lets a user log in, as `name`, `DOMAIN\name`, or by its address, which is `name@example.com` or the
    /// name itself. The account is made if the store doesn't have it.
    pub fn user(mut self, name: &str, password: &str) -> Self {
        let account = self.store.add_account(name);
        account.configure(exchange);
        self.add(name, password);
        self
    }

    /// A login without mailbox that may act for anybody by ExchangeImpersonation.
    pub fn impersonator(mut self, name: &str, password: &str) -> Self {
        self.add(name, password).impersonates = true;
        self
    }

    /// Lets a user open another's mailbox, by naming its address. The user comes first.
    pub fn delegate(mut self, user: &str, mailbox: &str) -> Self {
        if let Some(user) = self.config.users.get_mut(user) {
            user.delegate_of.insert(mailbox.to_owned());
        }
        self
    }

    /// Gives a user an archive mailbox; the store knows it as `name/archive`.
    pub fn archive(self, name: &str) -> Self {
        let account = self.store.add_account(&format!("{name}/archive"));
        account.configure(exchange);
        self
    }

    /// Takes this token for this user.
    pub fn token(mut self, token: &str, user: &str) -> Self {
        self.config.tokens.insert(token.to_owned(), user.to_owned());
        self.config.schemes.insert(Scheme::Bearer);
        self
    }

    /// How clients may log in; by Basic at first.
    pub fn schemes(mut self, schemes: &[Scheme]) -> Self {
        self.config.schemes = schemes.iter().copied().collect();
        self
    }

    /// What is asked of channel bindings.
    pub fn binding(mut self, binding: Binding) -> Self {
        self.config.binding = binding;
        self
    }

    /// How the certificate is signed.
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.config.certificate = certificate;
        self
    }

    /// Host names and addresses in the certificate; `localhost`, `127.0.0.1`, `::1` at first.
    pub fn certificate_names(mut self, names: &[&str]) -> Self {
        self.config.certificate_names = names.iter().map(|&n| n.to_owned()).collect();
        self
    }

    /// The certificate that clients see is not the one that bindings are compared with, as behind a
    /// load balancer that ends TLS.
    pub fn other_certificate(mut self) -> Self {
        self.config.other_certificate = true;
        self
    }

    /// What default folders are called, where they are made and for the inbox.
    pub fn language(mut self, language: Language) -> Self {
        self.config.language = language;
        self
    }

    /// Mailboxes begin with an inbox alone. What the store has with a special use still has its
    /// distinguished id.
    pub fn without_default_folders(mut self) -> Self {
        self.config.default_folders = false;
        self
    }

    /// Rebuilds MIME at each read as Exchange does, with the losses that were measured of gromox.
    pub fn rebuilds_mime(mut self) -> Self {
        self.config.rebuilds_mime = true;
        self
    }

    /// Knows no schema version after Exchange 2010, like that server.
    pub fn exchange_2010(mut self) -> Self {
        self.config.oldest_version = true;
        self.config.version = (14, 3);
        self
    }

    /// Largest request in bytes; 64 MiB at first. A larger one is answered with HTTP 413.
    pub fn max_request(mut self, bytes: usize) -> Self {
        self.config.max_request = bytes;
        self
    }

    /// Connections at a time; on further ones each request fails with `ErrorExceededConnectionCount`.
    pub fn max_connections(mut self, count: usize) -> Self {
        self.config.max_connections = count;
        self
    }

    /// HTTP 400 to chunked requests (gromox).
    pub fn refuses_chunked(mut self) -> Self {
        self.config.refuses_chunked = true;
        self
    }

    /// Replies do not name their charset (gromox).
    pub fn no_charset(mut self) -> Self {
        self.config.no_charset = true;
        self
    }

    /// Dates have so many digits after the second.
    pub fn fraction_digits(mut self, digits: usize) -> Self {
        self.config.fraction_digits = digits;
        self
    }

    /// `FindItem` with a restriction does not know of so many of a folder's newest items.
    pub fn search_lags(mut self, items: usize) -> Self {
        self.config.search_lag = items;
        self
    }

    /// Pages of `FindItem`, `FindFolder` and `SyncFolderItems` hold so many entries at most, whatever
    /// was asked for.
    pub fn partial_pages(mut self, entries: usize) -> Self {
        self.config.partial_pages = Some(entries);
        self
    }

    /// The first page of each first sync names an item that isn't there.
    pub fn ghosts(mut self) -> Self {
        self.config.ghosts = true;
        self
    }

    /// `SyncFolderItems` is refused, as on public folders.
    pub fn without_sync(mut self) -> Self {
        self.config.no_sync = true;
        self
    }

    /// A sync state that is not understood silently starts anew (gromox).
    pub fn silent_resync(mut self) -> Self {
        self.config.silent_resync = true;
        self
    }

    /// Folders do not tell when something in them changed last, nor how much left them.
    pub fn tells_no_changes(mut self) -> Self {
        self.config.no_changes_told = true;
        self
    }

    /// Something in each folder changed last at this second since 1970, whatever happens; at first
    /// each change is a second later than the one before, in 2020.
    pub fn last_commit(mut self, unix: i64) -> Self {
        self.config.last_commit = Some(unix);
        self
    }

    /// This operation is unknown, such as `ExportItems` (gromox).
    pub fn without(mut self, operation: &str) -> Self {
        self.config.without.insert(operation.to_owned());
        self
    }

    /// Unknown operations are answered by a fault that says so in words alone (gromox).
    pub fn bare_faults(mut self) -> Self {
        self.config.bare_unknown = true;
        self
    }

    /// An operation on an item with this text in its content fails as a whole, by a fault with HTTP 500 that
    /// names no code (gromox); nothing of it is run.
    pub fn chokes_on(mut self, text: &str) -> Self {
        self.config.chokes_on = Arc::new(Mutex::new(Some(text.to_owned())));
        self
    }

    /// Each `nth` operation is answered `ErrorServerBusy` with this back-off, by turns as a fault with
    /// HTTP 500 and inside HTTP 200.
    pub fn busy_every(mut self, nth: u64, back_off: Duration) -> Self {
        self.config.busy_every = Some((nth.max(1), back_off));
        self
    }

    /// EWS is switched off for the tenant: HTTP 403.
    pub fn disabled(self) -> Self {
        self.forbids("")
    }

    /// Each user gets a cookie. Requests that bring another's are counted.
    pub fn cookies(mut self) -> Self {
        self.config.cookies = true;
        self
    }

    /// EWS is answered HTTP 403 with this page.
    pub fn forbids(mut self, page: &str) -> Self {
        self.config.forbidden = Some(page.to_owned());
        self
    }

    /// HTTP 302 from this path (in lower case) to this URL.
    pub fn redirect(mut self, path: &str, to: &str) -> Self {
        self.config.redirects.insert(path.to_owned(), to.to_owned());
        self
    }

    /// Autodiscover's answer for this address is: ask for that address instead, or, if it begins with
    /// `https://`, there.
    pub fn autodiscover_redirect(mut self, address: &str, to: &str) -> Self {
        self.config
            .autodiscover
            .insert(address.to_owned(), to.to_owned());
        self
    }

    /// Requests and replies whose shape was never validated don't fail the test: for tests that send
    /// what our adapter never would.
    pub fn without_shape_gate(mut self) -> Self {
        self.config.shape_gate = false;
        self
    }

    /// Appends requests and replies to this file, for debugging.
    pub fn transcript(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.transcript = Some(path.into());
        self
    }

    /// By what clock delays and back-offs go; the system's at first.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.config.clock = clock;
        self
    }

    /// Starts the server on free ports of 127.0.0.1, on the current tokio runtime.
    ///
    /// # Errors
    /// If no port can be bound or no certificate made.
    pub async fn start(self) -> Result<Server, StartError> {
        Server::start(self.store, self.config).await
    }
}

/// Exchange takes sibling names that differ in case alone for the same.
fn exchange(limits: &mut Limits) {
    limits.case_insensitive_names = true;
}
