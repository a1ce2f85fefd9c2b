//! How a server is set up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use mailmove_core::edge::{Clock, SystemClock};
use mailmove_testkit::mailbox::Store;

use crate::{Capability, Server, StartError, Tokens};

/// Everything that is fixed when the server starts.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) capabilities: BTreeSet<Capability>,
    pub(crate) passwords: BTreeMap<String, String>,
    pub(crate) admins: BTreeMap<String, String>,
    pub(crate) tokens: Tokens,
    pub(crate) master_separator: Option<char>,
    pub(crate) exchange_logins: bool,
    pub(crate) proxyauth: bool,
    pub(crate) id: Vec<(String, String)>,
    pub(crate) advertised: Vec<String>,
    pub(crate) other_users: Vec<String>,
    pub(crate) shared: Vec<String>,
    pub(crate) forgets_flagged: bool,
    pub(crate) final_newline: bool,
    pub(crate) leaves_out: Option<String>,
    pub(crate) max_body_line: Option<usize>,
    pub(crate) separator: char,
    pub(crate) prefix: String,
    pub(crate) greeting: String,
    pub(crate) preauth: Option<String>,
    pub(crate) login_needs_tls: bool,
    pub(crate) run_refused_literals: bool,
    pub(crate) nul_by_binary_alone: bool,
    pub(crate) utf8_by_enable_alone: bool,
    pub(crate) utf8_item: bool,
    pub(crate) message_limit: usize,
    pub(crate) metadata_options: bool,
    pub(crate) longest_annotation: usize,
    pub(crate) refused_annotations: Vec<String>,
    pub(crate) hides_limit: bool,
    pub(crate) shows_newest: Option<usize>,
    pub(crate) expired_certificate: bool,
    pub(crate) certificate_names: Vec<String>,
    pub(crate) max_line: usize,
    pub(crate) max_command: usize,
    pub(crate) max_literal: u64,
    pub(crate) folder_limits: BTreeMap<Vec<String>, u64>,
    pub(crate) rights: BTreeMap<Vec<String>, String>,
    pub(crate) max_bad_commands: u32,
    pub(crate) max_connections: usize,
    pub(crate) transcript: Option<PathBuf>,
    pub(crate) search_lag: usize,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Config {
    pub(crate) fn has(&self, capability: Capability) -> bool {
        let also = match capability {
            Capability::Qresync => [Capability::Condstore, Capability::Enable].as_slice(),
            Capability::ListStatus => [Capability::ListExtended].as_slice(),
            Capability::UidOnly => [Capability::Enable].as_slice(),
            Capability::ListMyRights => [Capability::Acl, Capability::ListExtended].as_slice(),
            _ => [].as_slice(),
        };
        self.capabilities.contains(&capability)
            && also.iter().all(|needed| self.capabilities.contains(needed))
    }
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
        let mut capabilities: BTreeSet<_> = Capability::ALL.into_iter().collect();
        for off in [
            Capability::LiteralMinus,
            Capability::AuthXoauth2,
            Capability::AuthOauthBearer,
            Capability::GmailExt,
            Capability::Utf8Only,
            Capability::MessageLimit,
            Capability::UidOnly,
        ] {
            capabilities.remove(&off);
        }
        let config = Config {
            capabilities,
            passwords: BTreeMap::new(),
            admins: BTreeMap::new(),
            tokens: Tokens::default(),
            master_separator: None,
            exchange_logins: false,
            proxyauth: false,
            id: vec![("name".to_owned(), "mailmove test server".to_owned())],
            advertised: Vec::new(),
            other_users: Vec::new(),
            shared: Vec::new(),
            forgets_flagged: false,
            final_newline: false,
            leaves_out: None,
            max_body_line: None,
            separator: '/',
            prefix: String::new(),
            greeting: "mailmove test server ready".to_owned(),
            preauth: None,
            login_needs_tls: false,
            run_refused_literals: false,
            nul_by_binary_alone: false,
            utf8_by_enable_alone: false,
            utf8_item: true,
            message_limit: 1000,
            metadata_options: true,
            longest_annotation: 1 << 20,
            refused_annotations: Vec::new(),
            hides_limit: false,
            shows_newest: None,
            expired_certificate: false,
            certificate_names: vec!["localhost".into(), "127.0.0.1".into(), "::1".into()],
            max_line: 64 * 1024,
            max_command: 1024 * 1024,
            max_literal: 256 * 1024 * 1024,
            folder_limits: BTreeMap::new(),
            rights: BTreeMap::new(),
            max_bad_commands: 50,
            max_connections: usize::MAX,
            transcript: None,
            search_lag: 0,
            clock: Arc::new(SystemClock),
        };
        Self { store, config }
    }

    /// Lets a user log in; the account is made if the store doesn't have it.
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.store.add_account(name);
        self.config
            .passwords
            .insert(name.to_owned(), password.to_owned());
        self
    }

    /// A login without mailbox that may act as any user by AUTHENTICATE PLAIN (RFC 4616 authzid).
    pub fn admin(mut self, name: &str, password: &str) -> Self {
        self.config
            .admins
            .insert(name.to_owned(), password.to_owned());
        self
    }

    /// Takes these OAuth tokens, by XOAUTH2 and OAUTHBEARER.
    pub fn tokens(mut self, tokens: &Tokens) -> Self {
        self.config.tokens = tokens.clone();
        self.with(Capability::AuthXoauth2)
            .with(Capability::AuthOauthBearer)
    }

    /// An [`admin`](Self::admin) may also log in as `mailbox*admin`, with this separator (Dovecot).
    pub fn master_logins(mut self, separator: char) -> Self {
        self.config.master_separator = Some(separator);
        self
    }

    /// An [`admin`](Self::admin) may also log in as `admin\\mailbox` or `DOMAIN\\admin\\mailbox`
    /// (Exchange).
    pub fn exchange_logins(mut self) -> Self {
        self.config.exchange_logins = true;
        self
    }

    /// An [`admin`](Self::admin) may log in, and then become a user by PROXYAUTH (Sun).
    pub fn proxyauth(mut self) -> Self {
        self.config.proxyauth = true;
        self
    }

    /// What ID answers.
    pub fn id_reply(mut self, fields: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.config.id = fields.iter().map(owned).collect();
        self
    }

    /// Names something in CAPABILITY that the server doesn't know.
    pub fn advertise(mut self, name: &str) -> Self {
        self.config.advertised.push(name.to_owned());
        self
    }

    /// NAMESPACE says that what begins so belongs to other users. The folders themselves are the
    /// account's own.
    pub fn other_users(mut self, prefix: &str) -> Self {
        self.config.other_users.push(prefix.to_owned());
        self
    }

    /// NAMESPACE says that what begins so is shared.
    pub fn shared(mut self, prefix: &str) -> Self {
        self.config.shared.push(prefix.to_owned());
        self
    }

    /// APPEND loses `\\Flagged`, STORE keeps it (as Exchange's other programs see it).
    pub fn forgets_flagged(mut self) -> Self {
        self.config.forgets_flagged = true;
        self
    }

    /// BAD to a message whose last line has no end (Yahoo).
    pub fn needs_final_newline(mut self) -> Self {
        self.config.final_newline = true;
        self
    }

    /// FETCH leaves out messages that hold this text, although they are counted.
    pub fn leaves_out(mut self, text: &str) -> Self {
        self.config.leaves_out = Some(text.to_owned());
        self
    }

    /// BAD to a message with a longer line (Exchange).
    pub fn max_body_line(mut self, bytes: usize) -> Self {
        self.config.max_body_line = Some(bytes);
        self
    }

    /// Switches an extension off.
    pub fn without(mut self, capability: Capability) -> Self {
        self.config.capabilities.remove(&capability);
        self
    }

    /// Switches an extension on; LITERAL+ and LITERAL- replace each other.
    pub fn with(mut self, capability: Capability) -> Self {
        match capability {
            Capability::LiteralPlus => self = self.without(Capability::LiteralMinus),
            Capability::LiteralMinus => self = self.without(Capability::LiteralPlus),
            _ => {}
        }
        self.config.capabilities.insert(capability);
        self
    }

    /// Switches every extension off but these.
    pub fn only(mut self, capabilities: &[Capability]) -> Self {
        self.config.capabilities = capabilities.iter().copied().collect();
        self
    }

    /// Makes it as Gmail is: its extensions, its folders below `[Gmail]`, labels as folders over one
    /// store of messages, and identical messages folded into one. Users come first.
    pub fn gmail(self) -> Self {
        for user in self.config.passwords.keys() {
            // What cannot be made now is missed by the test that needs it.
            let _ = crate::Gmail::new(&self.store.add_account(user));
        }
        self.only(&crate::gmail::CAPABILITIES)
    }

    /// Hierarchy separator; `/` at first.
    pub fn separator(mut self, separator: char) -> Self {
        self.config.separator = separator;
        self
    }

    /// Prefix of the personal namespace, such as `INBOX.`; none at first.
    pub fn prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.config.prefix);
        self
    }

    /// Text of the greeting.
    pub fn greeting(mut self, text: &str) -> Self {
        text.clone_into(&mut self.config.greeting);
        self
    }

    /// Greets with PREAUTH as this user, on every connection.
    pub fn preauth(mut self, user: &str) -> Self {
        self.config.preauth = Some(user.to_owned());
        self
    }

    /// Refuses logins before TLS and says LOGINDISABLED.
    pub fn login_needs_tls(mut self) -> Self {
        self.config.login_needs_tls = true;
        self
    }

    /// After BAD to an APPEND's arguments the non-synchronising literal isn't skipped: its lines are
    /// run as commands, as Dovecot does.
    pub fn run_refused_literals(mut self) -> Self {
        self.config.run_refused_literals = true;
        self
    }

    /// NUL comes in by `~{n}` alone, as at Cyrus, and goes out by `BINARY[]` alone: `BODY[]` shows
    /// 0x80 in its place, as Dovecot's does.
    pub fn nul_by_binary_alone(mut self) -> Self {
        self.config.nul_by_binary_alone = true;
        self
    }

    /// Before `ENABLE UTF8=ACCEPT` a message whose header holds UTF-8 is refused (RFC 6855 section 4), and
    /// comes out with its header downgraded.
    pub fn utf8_by_enable_alone(mut self) -> Self {
        self.config.utf8_by_enable_alone = true;
        self
    }

    /// BAD to the item UTF8 of APPEND, and takes headers in UTF-8 without it (Cyrus 3.12 behind its proxy).
    pub fn without_utf8_item(mut self) -> Self {
        self.config.utf8_item = false;
        self
    }

    /// Offers MESSAGELIMIT with this number, and keeps to it.
    pub fn message_limit(mut self, messages: usize) -> Self {
        self.config.message_limit = messages;
        self.with(Capability::MessageLimit)
    }

    /// BAD to GETMETADATA with options.
    pub fn without_metadata_options(mut self) -> Self {
        self.config.metadata_options = false;
        self
    }

    /// Longest annotation in bytes that SETMETADATA takes.
    pub fn longest_annotation(mut self, bytes: usize) -> Self {
        self.config.longest_annotation = bytes;
        self
    }

    /// NO to annotations of this name.
    pub fn refuse_annotation(mut self, name: &str) -> Self {
        self.config.refused_annotations.push(name.to_owned());
        self
    }

    /// Keeps to the limit of messages, but does not offer MESSAGELIMIT.
    pub fn hides_limit(mut self) -> Self {
        self.config.hides_limit = true;
        self
    }

    /// Folders show only so many messages, the newest, until `ENABLE UIDONLY` (Yahoo).
    pub fn shows_newest(mut self, messages: usize) -> Self {
        self.config.shows_newest = Some(messages);
        self
    }

    /// Presents a certificate that expired years ago.
    pub fn expired_certificate(mut self) -> Self {
        self.config.expired_certificate = true;
        self
    }

    /// Host names and addresses in the certificate; `localhost`, `127.0.0.1`, `::1` at first.
    pub fn certificate_names(mut self, names: &[&str]) -> Self {
        self.config.certificate_names = names.iter().map(|&n| n.to_owned()).collect();
        self
    }

    /// Longest line in bytes; a longer one ends the connection.
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.config.max_line = bytes;
        self
    }

    /// Largest command without an APPEND's messages, in bytes.
    pub fn max_command(mut self, bytes: usize) -> Self {
        self.config.max_command = bytes;
        self
    }

    /// Largest message literal in bytes; larger ones are refused.
    pub fn max_literal(mut self, bytes: u64) -> Self {
        self.config.max_literal = bytes;
        self
    }

    /// Largest message that this folder takes. APPENDLIMIT is then offered without a number: STATUS
    /// alone tells it (RFC 7889).
    pub fn folder_append_limit(mut self, path: &[&str], bytes: u64) -> Self {
        let path = path.iter().map(|&name| name.to_owned()).collect();
        self.config.folder_limits.insert(path, bytes);
        self
    }

    /// The rights that users have to this folder (RFC 4314), such as `lr`; all of them at first.
    pub fn folder_rights(mut self, path: &[&str], rights: &str) -> Self {
        let path = path.iter().map(|&name| name.to_owned()).collect();
        self.config.rights.insert(path, rights.to_owned());
        self
    }

    /// BAD answers after which a connection ends.
    pub fn max_bad_commands(mut self, count: u32) -> Self {
        self.config.max_bad_commands = count;
        self
    }

    /// Connections at a time; further ones are closed without a word.
    pub fn max_connections(mut self, count: usize) -> Self {
        self.config.max_connections = count;
        self
    }

    /// Appends what clients send and get to this file, for debugging; literals are left out.
    pub fn transcript(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.transcript = Some(path.into());
        self
    }

    /// SEARCH does not know of so many of a mailbox's newest messages: its index lags behind.
    pub fn search_lags(mut self, messages: usize) -> Self {
        self.config.search_lag = messages;
        self
    }

    /// By what clock [delays](crate::Action) go; the system's at first.
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
