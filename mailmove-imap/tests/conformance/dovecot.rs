//! Real Dovecots, started by `cargo xtask servers`; the back door is a client of its own, and
//! doveadm where IMAP can't do it.

use std::{
    fmt,
    path::PathBuf,
    process::Command,
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
    conformance::{BoxError, Disturbance, Done, Harness, Keeps, Taken, TestAccount},
    corpus::{CorpusMessage, Kind},
    snapshot::{FolderContents, MessageState, Snapshot},
};
use serde_json::Value;

use crate::client::{Client, decode, quoted};

/// Names the file that describes the running servers.
const VARIABLE: &str = "MAILMOVE_TEST_DOVECOT";

/// One of the servers.
#[derive(Clone, Debug)]
pub(crate) struct Dovecot {
    name: &'static str,
    instance: &'static str,
    security: Security,
}

impl Dovecot {
    /// The instance of that name in the file, reached in that way.
    pub(crate) fn new(name: &'static str, instance: &'static str, security: Security) -> Self {
        Self {
            name,
            instance,
            security,
        }
    }

    fn has_binary(&self) -> bool {
        self.instance != "c"
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
        found
            .as_ref()
            .and_then(Description::read)
            .ok_or_else(|| format!("there is no instance {}", self.instance))
    }
}

#[derive(Clone, Debug)]
struct Description {
    port: u16,
    tls_port: u16,
    ca: PathBuf,
    doveadm: Vec<String>,
    password: String,
    prefix: String,
    separator: String,
}

impl Description {
    fn read(value: &Value) -> Option<Self> {
        let port = |name: &str| u16::try_from(value[name].as_u64()?).ok();
        let text = |name: &str| Some(value[name].as_str()?.to_owned());
        let words = value["doveadm"].as_array()?.iter();
        Some(Self {
            port: port("imap_port")?,
            tls_port: port("imaps_port")?,
            ca: text("ca_pem")?.into(),
            doveadm: words
                .map(|word| word.as_str().map(str::to_owned))
                .collect::<Option<_>>()?,
            password: text("password")?,
            prefix: text("prefix")?,
            separator: text("separator")?,
        })
    }
}

#[async_trait]
impl Harness for Dovecot {
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
        let client = Client::open(description.port, &user, &description.password)?;
        Ok(Arc::new(DovecotAccount {
            binary: self.has_binary(),
            security: self.security,
            description,
            user,
            client: Mutex::new(client),
        }))
    }

    fn keeps(&self, message: &CorpusMessage) -> Keeps {
        match message.kind {
            Kind::Empty => Keeps::refused(),
            Kind::Nul | Kind::NulInHeader if self.has_binary() => Keeps::everything(),
            // It ends lines by CRLF, and has another byte for NUL.
            Kind::Nul | Kind::NulInHeader | Kind::BareLf | Kind::BareCr | Kind::MixedLineEnds => {
                Keeps::other_bytes()
            }
            // A date to come is taken for a mistake.
            Kind::ReceivedIn2100 => Keeps::other_date(),
            // Dates before 1970 are 1901 in the session that stored them, and 2038 in the next.
            Kind::ReceivedBefore1970 | Kind::ReceivedLongAgo => {
                let mut keeps = Keeps::other_date();
                keeps.taken = Taken::Perhaps;
                keeps
            }
            // Keywords longer than 50 bytes are refused: the adapter leaves them out.
            Kind::OddKeywords => {
                let mut keeps = Keeps::everything();
                keeps.taken = Taken::Perhaps;
                keeps
            }
            _ => Keeps::everything(),
        }
    }

    fn huge(&self) -> usize {
        20 << 20
    }
}

struct DovecotAccount {
    /// It offers BINARY.
    binary: bool,
    security: Security,
    description: Description,
    user: String,
    client: Mutex<Client>,
}

impl fmt::Debug for DovecotAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DovecotAccount({})", self.user)
    }
}

impl DovecotAccount {
    fn client(&self) -> std::sync::MutexGuard<'_, Client> {
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
    fn plain_name(&self, path: &FolderPath) -> String {
        if path.is_inbox() {
            return "INBOX".to_owned();
        }
        let Description {
            prefix, separator, ..
        } = &self.description;
        format!("{prefix}{}", path.names().join(separator))
    }

    fn name(&self, path: &FolderPath) -> String {
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

    fn doveadm(&self, arguments: &[&str]) -> Result<(), BoxError> {
        let (program, first) = self.description.doveadm.split_first().ok_or("no doveadm")?;
        let output = Command::new(program).args(first).args(arguments).output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(format!("doveadm {}: {said}", arguments.join(" ")).into())
    }

    /// Sessions remember rights for a while: ends all that are open.
    fn end_sessions(&self) -> Result<(), BoxError> {
        self.doveadm(&["kick", &self.user])?;
        // Its own session is one of them: when that is gone, so are the others.
        while self.client().command("NOOP").is_ok() {}
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
        let recent = told.iter().find_map(|line| {
            let line = std::str::from_utf8(line).ok()?.trim_end();
            line.strip_prefix("* ")?
                .strip_suffix(" RECENT")?
                .parse()
                .ok()
        });
        contents.recent = recent;
        for mut one in client.fetch_all()? {
            if self.binary && one.body.contains(&0x80) {
                client.unmask(&mut one)?;
            }
            let flags = Flags::parse(&one.flags);
            let state = MessageState::new(&one.body, flags, one.received);
            contents.messages.push(state.with_id(one.uid.to_string()));
        }
        // Whoever deletes or renames the folder must not find it open here.
        client.ok("UNSELECT")?;
        Ok(contents)
    }
}

#[async_trait]
impl TestAccount for DovecotAccount {
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
        let answer = self.client().command(&format!("CREATE {name}"))?;
        if answer.status.starts_with("NO [CANNOT]") {
            return Ok(Done::Unsupported(answer.status));
        }
        if !answer.status.starts_with("OK") && !answer.status.contains("ALREADYEXISTS") {
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
            let has = |name: &str| one.attributes.split(' ').any(|word| word == name);
            if has("\\Noselect") || has("\\NonExistent") {
                continue;
            }
            let path = self.path(&one.name).ok_or("an undecodable name")?;
            let mut contents = self.folder(&one.name)?;
            contents.subscribed = has("\\Subscribed");
            let mut roles = one.attributes.split(' ').filter_map(Role::from_special_use);
            contents.role = roles.next();
            if path.is_inbox() {
                contents.role = Some(Role::Inbox);
            }
            snapshot.folders.insert(path, contents);
        }
        Ok(snapshot)
    }

    async fn disturb(&self, folder: &FolderPath, what: Disturbance) -> Result<Done, BoxError> {
        let (name, plain) = (self.name(folder), self.plain_name(folder));
        match what {
            Disturbance::SetFlags { message, flags } => {
                let uid = self.uid(folder, message)?;
                self.client()
                    .ok(&format!("UID STORE {uid} FLAGS ({flags})"))?;
                self.client().ok("UNSELECT")?;
            }
            Disturbance::Expunge { message } => {
                let uid = self.uid(folder, message)?;
                self.client()
                    .ok(&format!("UID STORE {uid} +FLAGS (\\Deleted)"))?;
                self.client().ok(&format!("UID EXPUNGE {uid}"))?;
                self.client().ok("UNSELECT")?;
            }
            Disturbance::Rename { to } => {
                let to = self.name(&to);
                self.client().ok(&format!("RENAME {name} {to}"))?;
            }
            Disturbance::Delete => {
                self.client().ok(&format!("DELETE {name}"))?;
            }
            Disturbance::Renumber => {
                let set = ["--uid-validity", "2000000000", &plain];
                self.doveadm(&[&["mailbox", "update", "-u", &self.user], &set[..]].concat())?;
            }
            Disturbance::ReadOnly => {
                let who = format!("user={}", self.user);
                self.doveadm(&[
                    "acl", "set", "-u", &self.user, &plain, &who, "lookup", "read",
                ])?;
                self.end_sessions()?;
            }
            Disturbance::Full => {
                let why = "its quota follows the user's name, and cannot be changed later";
                return Ok(Done::Unsupported(why.to_owned()));
            }
            other => return Ok(Done::Unsupported(format!("{other:?}"))),
        }
        Ok(Done::Yes)
    }

    fn native(&self, id: &MessageId) -> Option<String> {
        let (_, uid) = id.as_str().split_once('-')?;
        Some(uid.parse::<u32>().ok()?.to_string())
    }
}
