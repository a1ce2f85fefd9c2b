//! Real servers, started by `cargo xtask servers`; the back door is a client of its own, and what
//! is particular to [a kind](crate::kinds) where IMAP can't do it.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use mailmove_core::{
    Destination, Edges, Source,
    edge::{Credential, StaticCredential, tls::TlsSettings},
    model::{Flags, FolderPath, FolderSpec, MessageId, Role},
};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource, Security};
use mailmove_testkit::{
    conformance::{BoxError, Disturbance, Done, Harness, Keeps, TestAccount},
    corpus::CorpusMessage,
    snapshot::{FolderContents, MessageState, Snapshot},
};
use serde_json::Value;

use crate::{
    client::{Client, decode, quoted},
    kinds::{self, Kind},
};

/// Names the file that describes the running servers.
const VARIABLE: &str = "MAILMOVE_TEST_DOVECOT";

/// One of the servers.
#[derive(Clone, Debug)]
pub(crate) struct RealServer {
    name: &'static str,
    instance: &'static str,
    security: Security,
}

impl RealServer {
    /// The instance of that name in the file, reached in that way.
    pub(crate) fn new(name: &'static str, instance: &'static str, security: Security) -> Self {
        Self {
            name,
            instance,
            security,
        }
    }

    fn has_binary(&self) -> bool {
        matches!(self.instance, "a" | "b" | "d")
    }

    fn description(&self) -> Result<Description, String> {
        let path = std::env::var_os(VARIABLE)
            .map(PathBuf::from)
            .ok_or_else(|| format!("{VARIABLE} is not set; see `cargo xtask servers`"))?;
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let all: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let instances = all["instances"].as_array().cloned().unwrap_or_default();
        let found = instances
            .into_iter()
            .find(|one| one["name"] == self.instance);
        found.as_ref().and_then(Description::read).ok_or_else(|| {
            let (kind, _) = self.instance.split_once('-').unwrap_or((self.instance, ""));
            let why = all["absent"][kind].as_str().unwrap_or_default();
            format!("there is no instance {}: {why}", self.instance)
        })
    }
}

/// What the file says of an instance.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    pub(crate) kind: Kind,
    pub(crate) port: u16,
    tls_port: u16,
    ca: PathBuf,
    /// Dovecot's tool for its administrator, and first arguments.
    pub(crate) doveadm: Vec<String>,
    /// Where Courier has its mail.
    pub(crate) mail: PathBuf,
    pub(crate) password: String,
    pub(crate) prefix: String,
    pub(crate) separator: String,
}

impl Description {
    fn read(value: &Value) -> Option<Self> {
        let port = |name: &str| u16::try_from(value[name].as_u64()?).ok();
        let text = |name: &str| Some(value[name].as_str()?.to_owned());
        let words = value["doveadm"].as_array().into_iter().flatten();
        Some(Self {
            kind: Kind::named(value["kind"].as_str()?)?,
            port: port("imap_port")?,
            tls_port: port("imaps_port")?,
            ca: text("ca_pem")?.into(),
            doveadm: words
                .map(|word| word.as_str().map(str::to_owned))
                .collect::<Option<_>>()?,
            mail: text("mail").unwrap_or_default().into(),
            password: text("password")?,
            prefix: text("prefix")?,
            separator: text("separator")?,
        })
    }
}

#[async_trait]
impl Harness for RealServer {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    async fn available(&self) -> Result<(), String> {
        let description = self.description()?;
        let client = Client::open(description.port, "nobody", &description.password);
        client.map(drop).map_err(|error| error.to_string())
    }

    async fn account(&self) -> Result<Arc<dyn TestAccount>, BoxError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let description = self.description()?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let user = format!("conformance-{}-{number}", std::process::id());
        let mut client = Client::open(description.port, &user, &description.password)?;
        // Courier numbers a new mailbox twice if its first two visitors come at once.
        client.ok("SELECT INBOX")?;
        client.ok("CLOSE")?;
        Ok(Arc::new(RealAccount {
            binary: self.has_binary(),
            security: self.security,
            description,
            user,
            client: Mutex::new(client),
        }))
    }

    fn keeps(&self, message: &CorpusMessage) -> Keeps {
        kinds::keeps(self.name, message)
    }

    fn skips(&self, trial: &str) -> Option<String> {
        kinds::skips(self.name, trial)
    }

    fn huge(&self) -> usize {
        20 << 20
    }
}

pub(crate) struct RealAccount {
    /// It offers BINARY.
    binary: bool,
    security: Security,
    pub(crate) description: Description,
    pub(crate) user: String,
    client: Mutex<Client>,
}

impl fmt::Debug for RealAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RealAccount({})", self.user)
    }
}

impl RealAccount {
    pub(crate) fn client(&self) -> std::sync::MutexGuard<'_, Client> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn config(&self) -> Result<ImapConfig, BoxError> {
        let port = match self.security {
            Security::Tls => self.description.tls_port,
            _ => self.description.port,
        };
        let ca = std::fs::read(&self.description.ca)?;
        Ok(ImapConfig::new("127.0.0.1")
            .with_port(port)
            .with_user(self.user.clone())
            .with_security(self.security)
            .with_tls(TlsSettings::new().with_extra_ca_pem(ca)))
    }

    fn credentials(&self) -> Arc<StaticCredential> {
        let password = self.description.password.clone();
        Arc::new(StaticCredential::new(Credential::password(
            self.user.clone(),
            password,
        )))
    }

    /// In Unicode, as doveadm takes it.
    pub(crate) fn plain_name(&self, path: &FolderPath) -> String {
        if path.is_inbox() {
            return "INBOX".to_owned();
        }
        let Description {
            prefix, separator, ..
        } = &self.description;
        format!("{prefix}{}", path.names().join(separator))
    }

    pub(crate) fn name(&self, path: &FolderPath) -> String {
        quoted(&self.plain_name(path))
    }

    fn path(&self, name: &str) -> Option<FolderPath> {
        let Description {
            prefix, separator, ..
        } = &self.description;
        if name == "INBOX" {
            return Some(FolderPath::inbox());
        }
        let name = name.strip_prefix(prefix.as_str()).unwrap_or(name);
        let names: Option<Vec<String>> = name.split(separator.as_str()).map(decode).collect();
        Some(FolderPath::new(names?))
    }

    /// Ends all sessions' memory of what they have seen, its own included.
    pub(crate) fn open_again(&self) -> Result<(), BoxError> {
        let Description { port, password, .. } = &self.description;
        *self.client() = Client::open(*port, &self.user, password)?;
        Ok(())
    }

    /// Opens a folder to change it; the UID of the message at that place.
    fn uid(&self, folder: &FolderPath, place: usize) -> Result<u32, BoxError> {
        let mut client = self.client();
        client.ok(&format!("SELECT {}", self.name(folder)))?;
        let messages = client.fetch_all()?;
        let message = messages.get(place).ok_or("there is no such message")?;
        Ok(message.uid)
    }

    fn folder(&self, name: &str) -> Result<FolderContents, BoxError> {
        let mut client = self.client();
        let mut contents = FolderContents::default();
        let told = client.ok(&format!(
            "EXAMINE \"{}\"",
            name.replace('\\', "\\\\").replace('"', "\\\"")
        ))?;
        contents.recent = told.iter().find_map(|line| {
            let line = std::str::from_utf8(line).ok()?.trim_end();
            line.strip_prefix("* ")?
                .strip_suffix(" RECENT")?
                .parse()
                .ok()
        });
        for mut one in client.fetch_all()? {
            if self.binary && one.body.contains(&0x80) {
                client.unmask(&mut one)?;
            }
            let flags = Flags::parse(&one.flags);
            let state = MessageState::new(&one.body, flags, one.received);
            contents.messages.push(state.with_id(one.uid.to_string()));
        }
        // Whoever deletes or renames the folder must not find it open here.
        client.unselect()?;
        Ok(contents)
    }
}

#[async_trait]
impl TestAccount for RealAccount {
    async fn source(&self, edges: &Edges) -> Result<Option<Arc<dyn Source>>, BoxError> {
        let source = ImapSource::new(self.config()?, self.credentials(), edges.clone());
        Ok(Some(Arc::new(source)))
    }

    async fn destination(&self, edges: &Edges) -> Result<Option<Arc<dyn Destination>>, BoxError> {
        let destination = ImapDestination::new(self.config()?, self.credentials(), edges.clone());
        Ok(Some(Arc::new(destination)))
    }

    async fn create(&self, folder: &FolderSpec) -> Result<Done, BoxError> {
        let name = self.name(&folder.path);
        let separator = &self.description.separator;
        if folder
            .path
            .names()
            .iter()
            .any(|name| name.contains(separator.as_str()))
        {
            return Ok(Done::Unsupported(format!("{separator} separates levels")));
        }
        if let Some(why) = kinds::has_no_name(self.description.kind, &folder.path) {
            return Ok(Done::Unsupported(why.to_owned()));
        }
        let answer = self.client().command(&format!("CREATE {name}"))?;
        let refusals = ["NO [CANNOT]", "NO Invalid mailbox name"];
        if refusals.iter().any(|text| answer.status.starts_with(text)) {
            return Ok(Done::Unsupported(answer.status));
        }
        let exists = [
            "ALREADYEXISTS",
            "Mailbox already exists",
            "INBOX already exists",
        ];
        if !answer.status.starts_with("OK")
            && !exists.iter().any(|text| answer.status.contains(text))
        {
            return Err(format!("CREATE {name}: {}", answer.status).into());
        }
        let verb = if folder.subscribe {
            "SUBSCRIBE"
        } else {
            "UNSUBSCRIBE"
        };
        self.client().ok(&format!("{verb} {name}"))?;
        Ok(Done::Yes)
    }

    async fn fill(&self, folder: &FolderPath, messages: &[CorpusMessage]) -> Result<(), BoxError> {
        let name = self.name(folder);
        for one in messages {
            self.client()
                .append(&name, &one.flags, one.received, &one.body)?;
        }
        Ok(())
    }

    async fn dump(&self) -> Result<Snapshot, BoxError> {
        let mut snapshot = Snapshot::new();
        let listed = self.client().list()?;
        for one in listed {
            let words = one.attributes.split(' ');
            let has = |name: &str| words.clone().any(|word| word.eq_ignore_ascii_case(name));
            if has("\\Noselect") || has("\\NonExistent") {
                continue;
            }
            let path = self.path(&one.name).ok_or("an undecodable name")?;
            let mut contents = self.folder(&one.name)?;
            contents.subscribed = has("\\Subscribed");
            let mut roles = words.filter_map(Role::from_special_use);
            contents.role = roles.next();
            if path.is_inbox() {
                contents.role = Some(Role::Inbox);
            }
            snapshot.folders.insert(path, contents);
        }
        Ok(snapshot)
    }

    async fn disturb(&self, folder: &FolderPath, what: Disturbance) -> Result<Done, BoxError> {
        let name = self.name(folder);
        match what {
            Disturbance::SetFlags { message, flags } => {
                let uid = self.uid(folder, message)?;
                self.client()
                    .ok(&format!("UID STORE {uid} FLAGS ({flags})"))?;
                self.client().unselect()?;
            }
            Disturbance::Expunge { message } => {
                let uid = self.uid(folder, message)?;
                self.client()
                    .ok(&format!("UID STORE {uid} +FLAGS (\\Deleted)"))?;
                self.client().ok(&format!("UID EXPUNGE {uid}"))?;
                self.client().unselect()?;
            }
            Disturbance::Rename { to } => {
                let to = self.name(&to);
                self.client().ok(&format!("RENAME {name} {to}"))?;
            }
            Disturbance::Delete => {
                self.client().ok(&format!("DELETE {name}"))?;
            }
            other => return kinds::disturb(self, folder, &other),
        }
        Ok(Done::Yes)
    }

    fn native(&self, id: &MessageId) -> Option<String> {
        let (_, uid) = id.as_str().split_once('-')?;
        Some(uid.parse::<u32>().ok()?.to_string())
    }
}
