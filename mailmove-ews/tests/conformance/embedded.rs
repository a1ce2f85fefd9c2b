//! The test server of this crate, with its store as the back door.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use mailmove_core::{
    Destination, Edges, Source,
    edge::{Credential, StaticCredential, tls::TlsSettings},
    model::{FolderPath, FolderSpec, Keyword},
};
use mailmove_ews::{Auth, EwsConfig, EwsDestination, EwsSource};
use mailmove_ews_testserver::{Builder, Server};
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
    tls: Option<Auth>,
    deltas: bool,
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
            tls: None,
            deltas: true,
        }
    }

    /// Its folders do not tell what changed.
    pub(crate) fn without_deltas(mut self) -> Self {
        self.deltas = false;
        self
    }

    /// It is reached by TLS, and logged in to in this way.
    pub(crate) fn by_tls(mut self, auth: Auth) -> Self {
        self.tls = Some(auth);
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
        let server = (self.setup)(Server::builder(Store::new()).user("ann", "secret"));
        let server = server.start().await?;
        let account = server.store().account("ann");
        let account = account.ok_or("the account is missing")?;
        let door = BackDoor::new(account.clone());
        let tls = self.tls;
        Ok(Arc::new(EmbeddedAccount {
            server,
            account,
            door,
            tls,
        }))
    }

    fn keeps(&self, message: &CorpusMessage) -> Keeps {
        let mut keeps = Keeps::everything();
        // Lines get CRLF, and a message without any byte an empty line.
        let kinds = [Kind::BareLf, Kind::MixedLineEnds, Kind::Empty];
        keeps.bytes = !kinds.contains(&message.kind);
        keeps
    }

    fn skips(&self, trial: &str) -> Option<String> {
        let why = match trial {
            "destination::ensure_subscriptions" => "Exchange knows no subscriptions",
            "destination::ensure_finds_existing" => "Exchange has no role for an archive folder",
            "source::list_delta"
            | "source::list_delta_of_nothing"
            | "source::list_delta_repeats"
            | "source::list_moves"
            | "source::list_rest_then_delta"
                if !self.deltas =>
            {
                "FindItem lists a folder as a whole each time"
            }
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
    tls: Option<Auth>,
}

impl fmt::Debug for EmbeddedAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmbeddedAccount({})", self.server.url())
    }
}

impl EmbeddedAccount {
    fn config(&self) -> Result<EwsConfig, BoxError> {
        let config = match self.tls {
            None => EwsConfig::at(&self.server.url())?,
            Some(auth) => {
                let tls = TlsSettings::new().with_extra_ca_pem(self.server.ca_pem());
                EwsConfig::at(&self.server.tls_url())?
                    .with_tls(tls)
                    .with_auth(auth)
            }
        };
        // What the suite compares is bytes, and this server keeps them.
        let config = config.with_renamed_boundaries(false);
        Ok(config.with_user("ann@example.com"))
    }
}

fn credentials() -> Arc<StaticCredential> {
    Arc::new(StaticCredential::new(Credential::password("ann", "secret")))
}

#[async_trait]
impl TestAccount for EmbeddedAccount {
    async fn source(&self, edges: &Edges) -> Result<Option<Arc<dyn Source>>, BoxError> {
        let source = EwsSource::new(self.config()?, credentials(), edges.clone());
        Ok(Some(Arc::new(source)))
    }

    async fn destination(&self, edges: &Edges) -> Result<Option<Arc<dyn Destination>>, BoxError> {
        let destination = EwsDestination::new(self.config()?, credentials(), edges.clone());
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
