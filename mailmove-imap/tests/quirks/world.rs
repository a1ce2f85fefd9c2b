//! Two mailboxes on two test servers, each behind a [`Twist`] if one is wanted, and a migration
//! between them.

use std::{sync::Arc, time::Duration};

use mailmove_core::{
    Edges, Migration, Options, Report, Result,
    checkpoint::Stored,
    destination::Depth,
    edge::{Credential, StaticCredential},
    report::{Status, Verification},
    store::MemoryStore,
};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource, Security};
use mailmove_imap_testserver::{Builder, Server};
use mailmove_testkit::{
    clock::TestClock,
    mailbox::{Account, InternalDate, NewMessage, Store},
    snapshot::Snapshot,
};

use crate::twist::Twist;

/// One mailbox.
pub(crate) struct Side {
    pub(crate) server: Server,
    pub(crate) account: Account,
    pub(crate) config: ImapConfig,
}

impl Side {
    pub(crate) async fn new(setup: impl FnOnce(Builder) -> Builder, twist: Option<Twist>) -> Self {
        let builder = Server::builder(Store::new()).user("ann", "secret");
        let server = setup(builder).start().await.unwrap();
        let account = server.store().account("ann").unwrap();
        let port = server.plain_address().port();
        let port = match twist {
            Some(twist) => twist.before(port).await,
            None => port,
        };
        let config = ImapConfig::new("127.0.0.1")
            .with_user("ann")
            .with_port(port)
            .with_security(Security::Plain)
            .with_timeout(Duration::from_secs(10));
        Self {
            server,
            account,
            config,
        }
    }

    pub(crate) fn add(&self, path: &[&str], messages: Vec<NewMessage>) {
        let id = match self.account.folder(path) {
            Ok(folder) => folder.id,
            Err(_) => self.account.create(path).unwrap(),
        };
        self.account.append(id, messages).unwrap();
    }

    /// The messages in a folder, past IMAP.
    pub(crate) fn bodies(&self, path: &[&str]) -> Vec<Vec<u8>> {
        let Ok(folder) = self.account.folder(path) else {
            return Vec::new();
        };
        let messages = self.account.messages(folder.id).unwrap();
        messages.iter().map(|one| one.body.to_vec()).collect()
    }
}

pub(crate) fn credentials() -> Arc<StaticCredential> {
    Arc::new(StaticCredential::new(Credential::password("ann", "secret")))
}

pub(crate) struct World {
    pub(crate) from: Side,
    pub(crate) to: Side,
    pub(crate) store: MemoryStore,
    pub(crate) clock: TestClock,
    pub(crate) edges: Edges,
    pub(crate) options: Options,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::of(
            Side::new(|it| it, None).await,
            Side::new(|it| it, None).await,
        )
    }

    /// The source says odd things.
    pub(crate) async fn odd_source(twist: Twist) -> Self {
        let from = Side::new(|it| it, Some(twist)).await;
        Self::of(from, Side::new(|it| it, None).await)
    }

    /// The destination says odd things.
    pub(crate) async fn odd_destination(twist: Twist) -> Self {
        let to = Side::new(|it| it, Some(twist)).await;
        Self::of(Side::new(|it| it, None).await, to)
    }

    pub(crate) fn of(from: Side, to: Side) -> Self {
        let clock = TestClock::jumping(Duration::from_secs(1_800_000_000));
        Self {
            from,
            to,
            store: MemoryStore::new(),
            edges: Edges::new().with_clock(Arc::new(clock.clone())),
            clock,
            options: Options::new(),
        }
    }

    pub(crate) fn migration(&self) -> Migration {
        let edges = || self.edges.clone();
        let source = ImapSource::new(self.from.config.clone(), credentials(), edges());
        let destination = ImapDestination::new(self.to.config.clone(), credentials(), edges());
        Migration::builder(source, destination)
            .store(self.store.clone())
            .options(self.options.clone())
            .edges(edges())
            .build()
            .unwrap()
    }

    pub(crate) async fn try_run(&self) -> Result<Report> {
        self.migration().run().await
    }

    /// A pass that must be complete.
    #[track_caller]
    pub(crate) fn run(&self) -> impl Future<Output = Report> + '_ {
        let caller = std::panic::Location::caller();
        async move {
            let report = self.try_run().await.unwrap();
            let problems: Vec<_> = report
                .folders
                .iter()
                .filter_map(|one| one.problem.as_ref())
                .collect();
            let (stopped, failed) = (&report.stopped, &report.failures);
            assert_eq!(
                report.status(),
                Status::Complete,
                "{caller}: {stopped:?} {problems:?} {failed:?} {:?}",
                report.total()
            );
            report
        }
    }

    /// A pass that must be complete and copy nothing.
    pub(crate) async fn run_again(&self) {
        let before = self.to.server.counters().command("APPEND");
        let report = self.run().await;
        assert_eq!(report.total().copied, 0, "{report:#?}");
        assert_eq!(self.to.server.counters().command("APPEND"), before);
    }

    /// The state directory is lost.
    pub(crate) fn forget(&mut self) {
        self.store = MemoryStore::new();
    }

    pub(crate) async fn verify(&self, depth: Depth) -> Verification {
        self.migration().verify(depth).await.unwrap()
    }

    pub(crate) fn rows(&self) -> Vec<Stored> {
        self.store.rows(&self.migration().job())
    }

    /// The destination holds what the source holds.
    #[track_caller]
    pub(crate) fn assert_equal(&self) {
        let expected = Snapshot::of(&self.from.account);
        let found = Snapshot::of(&self.to.account);
        if let Err(difference) = expected.diff(&found).none() {
            panic!("{difference}");
        }
    }
}

/// A message whose body names it, and its date too.
pub(crate) fn mail(n: u32) -> NewMessage {
    NewMessage::new(text(n)).with_date(InternalDate::utc(1_700_000_000 + i64::from(n)))
}

/// A message that came over the network: its header names one transmission.
pub(crate) fn text(n: u32) -> String {
    format!(
        "Received: from a by b with ESMTP id {n}; Wed, 15 Nov 2023 10:00:00 +0000\r\n\
         Message-ID: <{n}@example.org>\r\nFrom: a@example.org\r\nSubject: number {n}\r\n\
         Date: Wed, 15 Nov 2023 10:00:00 +0000\r\n\r\nThis is {n}.\r\n{}",
        "Some more words.\r\n".repeat(n as usize % 5)
    )
}

pub(crate) fn mails(range: std::ops::Range<u32>) -> Vec<NewMessage> {
    range.map(mail).collect()
}

/// Codes of the messages that failed.
pub(crate) fn failures(report: &Report) -> Vec<String> {
    let codes = report.failures.iter().map(|one| one.code.clone());
    let mut codes: Vec<String> = codes.collect();
    codes.sort();
    codes
}
