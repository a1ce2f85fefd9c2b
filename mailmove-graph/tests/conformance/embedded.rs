//! The test server of this crate, with its store as the back door.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use mailmove_core::{
    Destination, Edges, Source,
    edge::{Credential, CredentialProvider, Secret, StaticCredential, tls::TlsSettings},
    model::{FolderPath, FolderSpec, Keyword},
};
use mailmove_graph::{
    Drafts, GraphConfig, GraphDestination, GraphSource, Login, LoginConfig, Protected, Writing,
};
use mailmove_graph_testserver::{Builder, Server};
use mailmove_testkit::{
    conformance::{BackDoor, BoxError, Disturbance, Done, Harness, Keeps, TestAccount},
    corpus::{CorpusMessage, Kind},
    mailbox::{Account, Store},
    snapshot::Snapshot,
};

/// A keyword as IMAP has it, and the category that it is in Outlook.
const TAG: &str = "sch&APY-n";
const CATEGORY: &str = "schön";

type Setup = Arc<dyn Fn(Builder) -> Builder + Send + Sync>;

/// A server per account.
pub(crate) struct Embedded {
    name: &'static str,
    setup: Setup,
    tls: bool,
    filled: bool,
    drafts: Drafts,
}

impl Embedded {
    pub(crate) fn new(
        name: &'static str,
        setup: impl Fn(Builder) -> Builder + Send + Sync + 'static,
    ) -> Self {
        let setup = Arc::new(setup);
        Self {
            name,
            setup,
            tls: false,
            filled: false,
            drafts: Drafts::AsFields,
        }
    }

    /// It is a destination, and no source.
    pub(crate) fn filled(mut self) -> Self {
        self.filled = true;
        self
    }

    /// Drafts are written as MIME.
    pub(crate) fn with_mime_drafts(mut self) -> Self {
        self.drafts = Drafts::AsMime;
        self
    }

    /// It is reached by TLS, as a program with a secret.
    pub(crate) fn by_tls(mut self) -> Self {
        self.tls = true;
        self
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Embedded({})", self.name)
    }
}

#[async_trait]
impl Harness for Embedded {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    async fn account(&self) -> Result<Arc<dyn TestAccount>, BoxError> {
        let builder = Server::builder(Store::new()).user("ann").app_token("token");
        let server = (self.setup)(builder).start().await?;
        let account = server.store().account("ann");
        let account = account.ok_or("the account is missing")?;
        let door = BackDoor::new(account.clone());
        let (tls, filled, drafts) = (self.tls, self.filled, self.drafts);
        Ok(Arc::new(EmbeddedAccount {
            server,
            account,
            door,
            tls,
            filled,
            drafts,
        }))
    }

    fn keeps(&self, message: &CorpusMessage) -> Keeps {
        if self.filled {
            return Keeps::other_bytes();
        }
        let mut keeps = Keeps::everything();
        // Lines get CRLF, and a message without any byte an empty line.
        let kinds = [Kind::BareLf, Kind::MixedLineEnds, Kind::Empty];
        keeps.bytes = !kinds.contains(&message.kind);
        keeps
    }

    fn skips(&self, trial: &str) -> Option<String> {
        let why = match trial {
            "destination::ensure_subscriptions" => "Exchange knows no subscriptions",
            _ => return None,
        };
        Some(why.to_owned())
    }

    fn huge(&self) -> usize {
        // Some times the budget of memory; the rest is a matter of patience.
        12 << 20
    }
}

struct EmbeddedAccount {
    server: Server,
    account: Account,
    door: BackDoor,
    tls: bool,
    filled: bool,
    drafts: Drafts,
}

impl fmt::Debug for EmbeddedAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmbeddedAccount({})", self.server.url())
    }
}

impl EmbeddedAccount {
    fn tls(&self) -> TlsSettings {
        TlsSettings::new().with_extra_ca_pem(self.server.ca_pem())
    }

    fn config(&self) -> Result<GraphConfig, BoxError> {
        let config = GraphConfig::new(self.server.tenant(), "ann@example.com");
        let config = match self.tls {
            true => config
                .with_base(&self.server.tls_url())?
                .with_tls(self.tls()),
            false => config.with_base(&self.server.url())?,
        };
        // What the suite compares is bytes, and this server keeps them.
        Ok(config
            .with_renamed_boundaries(false)
            .with_upload_host("127.0.0.1"))
    }

    fn credentials(&self, edges: &Edges) -> Result<Arc<dyn CredentialProvider>, BoxError> {
        if !self.tls {
            let token = Credential::BearerToken {
                user: "ann".to_owned(),
                token: Secret::new("token"),
            };
            return Ok(Arc::new(StaticCredential::new(token)));
        }
        let secret = Secret::new("hush");
        let login = LoginConfig::with_secret(self.server.tenant(), "program", secret)
            .with_authority(&self.server.tls_login_url())?
            .with_tls(self.tls());
        Ok(Arc::new(Login::new(login, edges.clone())))
    }
}

#[async_trait]
impl TestAccount for EmbeddedAccount {
    async fn source(&self, edges: &Edges) -> Result<Option<Arc<dyn Source>>, BoxError> {
        if self.filled {
            return Ok(None);
        }
        let credentials = self.credentials(edges)?;
        let source = GraphSource::new(self.config()?, credentials, edges.clone());
        Ok(Some(Arc::new(source)))
    }

    async fn destination(&self, edges: &Edges) -> Result<Option<Arc<dyn Destination>>, BoxError> {
        if !self.filled {
            return Ok(None);
        }
        let credentials = self.credentials(edges)?;
        let writing = Writing::new()
            .with_protected(Protected::Store)
            .with_drafts(self.drafts);
        let config = self.config()?;
        let destination = GraphDestination::with(config, writing, credentials, edges.clone());
        Ok(Some(Arc::new(destination)))
    }

    async fn create(&self, folder: &FolderSpec) -> Result<Done, BoxError> {
        self.door.create(folder)
    }

    async fn fill(&self, folder: &FolderPath, messages: &[CorpusMessage]) -> Result<(), BoxError> {
        let id = self.account.folder(folder.names())?.id;
        let messages = messages.iter().map(|message| {
            let mut new = message.to_new_message();
            for flag in &mut new.flags {
                if flag.eq_ignore_ascii_case(TAG) {
                    CATEGORY.clone_into(flag);
                }
            }
            new
        });
        self.account.append(id, messages.collect())?;
        Ok(())
    }

    async fn dump(&self) -> Result<Snapshot, BoxError> {
        let mut dump = self.door.dump();
        for (path, folder) in &mut dump.folders {
            // Whoever opens the mailbox sees all folders.
            folder.subscribed = true;
            let id = self.account.folder(path.names())?.id;
            for (message, there) in folder.messages.iter_mut().zip(self.account.messages(id)?) {
                if there.flags.contains(CATEGORY) {
                    message.flags.insert_keyword(Keyword::new(TAG)?);
                }
            }
        }
        Ok(dump)
    }

    async fn disturb(&self, folder: &FolderPath, what: Disturbance) -> Result<Done, BoxError> {
        match what {
            Disturbance::Renumber => Ok(Done::Unsupported(
                "Exchange's folders are never numbered anew".to_owned(),
            )),
            what => self.door.disturb(folder, what),
        }
    }
}
