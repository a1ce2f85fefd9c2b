//! Two servers, a proxy before each, and a clock that runs faster.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use mailmove_core::{
    Edges, Migration, Options,
    edge::{Clock, Credential, StaticCredential, tls::TlsSettings},
    observe::{Event, Observer},
    store::MemoryStore,
};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource, Security};
use mailmove_imap_testserver::{Capability, Server};
use mailmove_testkit::{
    clock::FastClock,
    corpus::{Corpus, CorpusFolder},
    mailbox::{Account, Store},
    proxy::FaultProxy,
};

pub(crate) struct Side {
    pub(crate) server: Server,
    pub(crate) account: Account,
    pub(crate) proxy: FaultProxy,
    /// How long an answer may take, in real time.
    patience: Duration,
}

impl Side {
    async fn new(clock: &Arc<FastClock>, patience: Duration, single: bool) -> Self {
        let builder = match single {
            true => Server::builder(Store::new()).without(Capability::MultiAppend),
            false => Server::builder(Store::new()),
        };
        let server = builder
            .user("ann", "secret")
            .clock(Arc::clone(clock) as Arc<dyn Clock>)
            .max_bad_commands(u32::MAX)
            .start()
            .await
            .unwrap();
        let account = server.store().account("ann").unwrap();
        // In TLS, a changed byte is noticed.
        let proxy = FaultProxy::start(server.tls_address()).await.unwrap();
        Self {
            server,
            account,
            proxy,
            patience,
        }
    }

    fn config(&self) -> ImapConfig {
        ImapConfig::new("127.0.0.1")
            .with_port(self.proxy.address().port())
            .with_user("ann")
            .with_security(Security::Tls)
            .with_tls(TlsSettings::new().with_extra_ca_pem(self.server.ca_pem()))
            .with_connections(3)
            .with_timeout(self.patience)
    }
}

/// Counts what the engine did about it.
#[derive(Clone, Debug, Default)]
struct Seen {
    retries: Arc<AtomicU64>,
    doubts: Arc<AtomicU64>,
}

impl Observer for Seen {
    fn on(&self, event: &Event) {
        if std::env::var_os("MAILMOVE_SOAK_TRACE").is_some() {
            println!("{event:?}");
        }
        match event {
            Event::Retrying { .. } => self.retries.fetch_add(1, Ordering::Relaxed),
            Event::Settling { .. } => self.doubts.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

pub(crate) struct World {
    pub(crate) from: Side,
    pub(crate) to: Side,
    seed: u64,
    store: MemoryStore,
    edges: Edges,
    seen: Seen,
}

impl World {
    /// So many seconds of its clock pass in a real one. The destination takes many messages with a
    /// command, or single ones.
    pub(crate) async fn new(seed: u64, faster: u32, single: bool) -> Self {
        let clock = Arc::new(FastClock::new(faster));
        let patience = Duration::from_millis(if faster > 10 { 1500 } else { 3000 });
        Self {
            from: Side::new(&clock, patience, false).await,
            to: Side::new(&clock, patience, single).await,
            seed,
            store: MemoryStore::new(),
            edges: Edges::new().with_clock(clock),
            seen: Seen::default(),
        }
    }

    pub(crate) fn sides(&self) -> [&Side; 2] {
        [&self.from, &self.to]
    }

    /// Ordinary mail in some folders, every tenth message twice.
    pub(crate) fn fill(&self, messages: u64) {
        let messages = usize::try_from(messages).unwrap();
        let names = ["INBOX", "Work", "Letters", "Lists", "2019", "2020", "2021"];
        let folders = names.map(|name| CorpusFolder::new(&[name]));
        let corpus = Corpus::new(self.seed)
            .with_folders(folders.into())
            .with_median(1200)
            .with_largest(60_000)
            .with_special(0);
        let account = &self.from.account;
        corpus.fill(account, messages * 10 / 11).unwrap();
        let twice = corpus.messages(messages * 10 / 11).step_by(10);
        for message in twice.take(messages - account.used_messages() as usize) {
            let folder = account.folder(&message.folder).unwrap();
            account
                .append(folder.id, vec![message.to_new_message()])
                .unwrap();
        }
    }

    pub(crate) fn migration(&self) -> Migration {
        let login = || {
            let password = Credential::password("ann", "secret");
            Arc::new(StaticCredential::new(password))
        };
        Migration::builder(
            ImapSource::new(self.from.config(), login(), self.edges.clone()),
            ImapDestination::new(self.to.config(), login(), self.edges.clone()),
        )
        .store(self.store.clone())
        .options(Options::new())
        .observer(self.seen.clone())
        .edges(self.edges.clone())
        .build()
        .unwrap()
    }

    /// From now on, nothing goes wrong.
    pub(crate) fn calm(&self) {
        for side in self.sides() {
            side.proxy.disarm();
            side.server.faults().clear();
        }
    }

    pub(crate) fn retries(&self) -> u64 {
        self.seen.retries.load(Ordering::Relaxed)
    }

    pub(crate) fn doubts(&self) -> u64 {
        self.seen.doubts.load(Ordering::Relaxed)
    }

    pub(crate) fn happened(&self) -> Happened {
        let mut scripted = BTreeMap::new();
        for side in self.sides() {
            for (name, count) in side.server.faults().mixed() {
                *scripted.entry(name).or_default() += count;
            }
        }
        Happened {
            proxy: self.sides().iter().map(|side| side.proxy.faults()).sum(),
            scripted,
        }
    }
}

/// What went wrong.
pub(crate) struct Happened {
    proxy: u64,
    pub(crate) scripted: BTreeMap<&'static str, u64>,
}

impl Happened {
    pub(crate) fn proxy(&self) -> u64 {
        self.proxy
    }

    pub(crate) fn scripted(&self) -> u64 {
        self.scripted.values().sum()
    }
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} faults of the proxies, {} of the servers (",
            self.proxy,
            self.scripted()
        )?;
        for (at, (name, count)) in self.scripted.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{name} {count}")?;
        }
        f.write_str(")")
    }
}
