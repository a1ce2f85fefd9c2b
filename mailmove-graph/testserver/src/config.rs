//! What a server can do, and to whom it listens.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mailmove_core::edge::{Clock, SystemClock};
use mailmove_testkit::mailbox::{Limits, Store};
use mailmove_testkit_exchange::mailbox::Language;

use crate::server::{Server, StartError};

/// An app that was registered.
#[derive(Debug, Clone, Default)]
pub(crate) struct App {
    pub(crate) secret: Option<String>,
    /// As DER.
    pub(crate) certificates: Vec<Vec<u8>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Name of the account, and its address.
    pub(crate) users: BTreeMap<String, String>,
    pub(crate) apps: BTreeMap<String, App>,
    /// Tokens of users.
    pub(crate) tokens: BTreeMap<String, String>,
    pub(crate) app_tokens: BTreeSet<String>,
    pub(crate) tenant: String,
    pub(crate) domain: String,
    pub(crate) token_lifetime: Duration,
    pub(crate) language: Language,
    pub(crate) default_folders: bool,
    pub(crate) rebuilds_mime: bool,
    pub(crate) tells_sizes: bool,
    pub(crate) url_safe_ids: bool,
    pub(crate) smime_fails: bool,
    pub(crate) search_lag: usize,
    pub(crate) max_page: usize,
    pub(crate) replays: bool,
    pub(crate) max_body: usize,
    pub(crate) max_mime: usize,
    pub(crate) mime_goes_to_drafts: bool,
    pub(crate) drafts_keep_dates: bool,
    pub(crate) nothing_hidden: bool,
    pub(crate) attachment_limit: usize,
    pub(crate) session_lifetime: Duration,
    pub(crate) sessions_lose_ids: bool,
    pub(crate) concurrency: usize,
    pub(crate) latency: Duration,
    pub(crate) requests_per_window: usize,
    pub(crate) request_window: Duration,
    pub(crate) upload_per_window: u64,
    pub(crate) upload_window: Duration,
    pub(crate) throttle_wait: Duration,
    pub(crate) tells_no_wait: bool,
    pub(crate) not_enabled: BTreeSet<String>,
    pub(crate) denied: BTreeSet<String>,
    pub(crate) no_consent: bool,
    pub(crate) without: BTreeSet<String>,
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
            apps: BTreeMap::new(),
            tokens: BTreeMap::new(),
            app_tokens: BTreeSet::new(),
            tenant: "contoso.example".to_owned(),
            domain: "example.com".to_owned(),
            token_lifetime: Duration::from_secs(3599),
            language: Language::default(),
            default_folders: true,
            rebuilds_mime: false,
            tells_sizes: false,
            url_safe_ids: false,
            smime_fails: false,
            search_lag: 0,
            max_page: 1000,
            replays: false,
            max_body: 4 * 1024 * 1024,
            max_mime: 2_240_000,
            mime_goes_to_drafts: false,
            drafts_keep_dates: false,
            nothing_hidden: false,
            attachment_limit: 3 * 1024 * 1024,
            session_lifetime: Duration::from_secs(3600),
            sessions_lose_ids: false,
            concurrency: 4,
            latency: Duration::ZERO,
            requests_per_window: 10_000,
            request_window: Duration::from_secs(600),
            upload_per_window: 150 * 1024 * 1024,
            upload_window: Duration::from_secs(300),
            throttle_wait: Duration::from_secs(1),
            tells_no_wait: false,
            not_enabled: BTreeSet::new(),
            denied: BTreeSet::new(),
            no_consent: false,
            without: BTreeSet::new(),
            shape_gate: true,
            transcript: None,
            clock: Arc::new(SystemClock),
        };
        Self { store, config }
    }

    /// A user with a mailbox, known as `name` and by its address, which is `name@example.com` or the name
    /// itself. The account is made if the store doesn't have it.
    pub fn user(mut self, name: &str) -> Self {
        let account = self.store.add_account(name);
        account.configure(exchange);
        let address = match name.contains('@') {
            true => name.to_owned(),
            false => format!("{name}@{}", self.config.domain),
        };
        self.config.users.insert(name.to_owned(), address);
        self
    }

    /// An app that logs in with a secret, and may then reach all mailboxes.
    pub fn client(mut self, id: &str, secret: &str) -> Self {
        let app = self.config.apps.entry(id.to_owned()).or_default();
        app.secret = Some(secret.to_owned());
        self
    }

    /// An app that logs in with an assertion signed by the key of this certificate (DER, RSA).
    pub fn client_certificate(mut self, id: &str, der: &[u8]) -> Self {
        let app = self.config.apps.entry(id.to_owned()).or_default();
        app.certificates.push(der.to_owned());
        self
    }

    /// An app through which users log in by themselves (device code); it has neither secret nor certificate.
    pub fn public_client(mut self, id: &str) -> Self {
        self.config.apps.entry(id.to_owned()).or_default();
        self
    }

    /// Takes this token for this user, who reaches the own mailbox alone.
    pub fn token(mut self, token: &str, user: &str) -> Self {
        self.config.tokens.insert(token.to_owned(), user.to_owned());
        self
    }

    /// Takes this token for an app, which reaches all mailboxes.
    pub fn app_token(mut self, token: &str) -> Self {
        self.config.app_tokens.insert(token.to_owned());
        self
    }

    /// The tenant's name in URLs; `contoso.example` at first.
    pub fn tenant(mut self, tenant: &str) -> Self {
        tenant.clone_into(&mut self.config.tenant);
        self
    }

    /// How long tokens are good for; 3,599 s at first.
    pub fn token_lifetime(mut self, time: Duration) -> Self {
        self.config.token_lifetime = time;
        self
    }

    /// What default folders are called, where they are made and for the inbox.
    pub fn language(mut self, language: Language) -> Self {
        self.config.language = language;
        self
    }

    /// Mailboxes begin with an inbox alone. What the store has with a special use still is well known.
    pub fn without_default_folders(mut self) -> Self {
        self.config.default_folders = false;
        self
    }

    /// Rebuilds MIME at each read as Exchange does, with the losses that were measured of gromox.
    pub fn rebuilds_mime(mut self) -> Self {
        self.config.rebuilds_mime = true;
        self
    }

    /// Folders tell `sizeInBytes`, which the published schema doesn't have, and recorded answers do.
    pub fn tells_sizes(mut self) -> Self {
        self.config.tells_sizes = true;
        self
    }

    /// Ids have `-` and `_` in place of `+` and `/`, as those of Graph mostly have; what was seen of the others
    /// breaks clients that put ids into URLs as they are.
    pub fn url_safe_ids(mut self) -> Self {
        self.config.url_safe_ids = true;
        self
    }

    /// The MIME of signed and encrypted messages is answered with 500 `ErrorMimeContentConversionFailed`.
    pub fn smime_fails(mut self) -> Self {
        self.config.smime_fails = true;
        self
    }

    /// Lists with a filter do not know of so many of a folder's newest items.
    pub fn search_lags(mut self, items: usize) -> Self {
        self.config.search_lag = items;
        self
    }

    /// Pages hold so many entries at most, whatever was asked for; 1,000 at first.
    pub fn max_page(mut self, entries: usize) -> Self {
        self.config.max_page = entries.max(1);
        self
    }

    /// Each page of changes after the first begins with the last entry of the one before.
    pub fn replays(mut self) -> Self {
        self.config.replays = true;
        self
    }

    /// Longest body of a request in bytes; 4 MiB at first. A longer one is answered with 413.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.config.max_body = bytes;
        self
    }

    /// Longest message that is made from MIME, in bytes; 2,240,000 at first. For a longer one the answer is
    /// 200, and nothing is made.
    pub fn max_mime(mut self, bytes: usize) -> Self {
        self.config.max_mime = bytes;
        self
    }

    /// What is made from MIME lies among the drafts, whatever folder was named: some say that it is so.
    pub fn mime_goes_to_drafts(mut self) -> Self {
        self.config.mime_goes_to_drafts = true;
        self
    }

    /// When a draft was received can't be changed; nobody is told.
    pub fn drafts_keep_dates(mut self) -> Self {
        self.config.drafts_keep_dates = true;
        self
    }

    /// Folders that are to be hidden are not.
    pub fn hides_nothing(mut self) -> Self {
        self.config.nothing_hidden = true;
        self
    }

    /// How many bytes attachments that are added at once may have, and those of upload sessions must have;
    /// 3 MiB at first.
    pub fn attachment_limit(mut self, bytes: usize) -> Self {
        self.config.attachment_limit = bytes;
        self
    }

    /// How long the URLs of uploads and imports are good for; an hour at first.
    pub fn session_lifetime(mut self, time: Duration) -> Self {
        self.config.session_lifetime = time;
        self
    }

    /// Attachments of upload sessions lose their Content-ID and that they are inline.
    pub fn sessions_lose_content_ids(mut self) -> Self {
        self.config.sessions_lose_ids = true;
        self
    }

    /// Requests that a mailbox serves at a time; 4 at first. Further ones are answered with 429.
    pub fn concurrency(mut self, places: usize) -> Self {
        self.config.concurrency = places.max(1);
        self
    }

    /// How long each request takes, by the clock; nothing at first.
    pub fn latency(mut self, time: Duration) -> Self {
        self.config.latency = time;
        self
    }

    /// So many requests in such a time are answered per mailbox; 10,000 in ten minutes at first.
    pub fn request_budget(mut self, requests: usize, window: Duration) -> Self {
        self.config.requests_per_window = requests;
        self.config.request_window = window;
        self
    }

    /// So many bytes in such a time are taken per mailbox; 150 MiB in five minutes at first.
    pub fn upload_budget(mut self, bytes: u64, window: Duration) -> Self {
        self.config.upload_per_window = bytes;
        self.config.upload_window = window;
        self
    }

    /// What `Retry-After` says where all places are taken; a second at first.
    pub fn throttle_wait(mut self, time: Duration) -> Self {
        self.config.throttle_wait = time;
        self
    }

    /// 429 comes without `Retry-After`.
    pub fn tells_no_wait(mut self) -> Self {
        self.config.tells_no_wait = true;
        self
    }

    /// This mailbox is on-premises or without licence: `MailboxNotEnabledForRESTAPI`.
    pub fn not_enabled(mut self, user: &str) -> Self {
        self.config.not_enabled.insert(user.to_owned());
        self
    }

    /// A policy keeps apps from this mailbox: `ErrorAccessDenied`.
    pub fn denied(mut self, user: &str) -> Self {
        self.config.denied.insert(user.to_owned());
        self
    }

    /// The app lacks the permission: `Authorization_RequestDenied`.
    pub fn without_consent(mut self) -> Self {
        self.config.no_consent = true;
        self
    }

    /// This operation is unknown, such as `ExportItems`.
    pub fn without(mut self, operation: &str) -> Self {
        self.config.without.insert(operation.to_owned());
        self
    }

    /// Requests and replies whose shape was never validated don't fail the test: for tests that send what
    /// our adapter never would.
    pub fn without_shape_gate(mut self) -> Self {
        self.config.shape_gate = false;
        self
    }

    /// Appends requests and replies to this file, for debugging.
    pub fn transcript(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.transcript = Some(path.into());
        self
    }

    /// By what clock tokens, delays, back-offs and budgets go; the system's at first.
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
