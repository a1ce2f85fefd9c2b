//! The test server, with its store as the back door.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mailmove_imap_testserver::{Builder, Faults, Server};
use mailmove_testkit::{
    clock::FastClock,
    mailbox::{Account, InternalDate, NewMessage, Store},
    snapshot::Snapshot,
};

use crate::{
    ground::Ground,
    scene::{self, Mail},
};

const PASSWORD: &str = "password";
/// As many destinations; all points take more.
const USERS: usize = 2000;
const USERS_FOR_ALL: usize = 20_000;

#[derive(Debug)]
pub(crate) struct Embedded {
    name: &'static str,
    server: Server,
    next: AtomicUsize,
    clock: Option<Arc<FastClock>>,
    // The server lives in it.
    _runtime: tokio::runtime::Runtime,
}

impl Embedded {
    pub(crate) fn start(name: &'static str, setup: impl Fn(Builder) -> Builder) -> Self {
        let all = std::env::var_os("MAILMOVE_INTERRUPT").is_some_and(|what| what == "all");
        Self::start_with(name, if all { USERS_FOR_ALL } else { USERS }, setup)
    }

    /// With so many users.
    pub(crate) fn start_with(
        name: &'static str,
        users: usize,
        setup: impl Fn(Builder) -> Builder,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut builder = Server::builder(Store::new()).user("source", PASSWORD);
        for n in 0..users {
            builder = builder.user(&format!("d{n}"), PASSWORD);
        }
        let server = runtime.block_on(setup(builder).start()).unwrap();
        fill(&server.store().account("source").unwrap(), scene::source());
        Self {
            name,
            server,
            next: AtomicUsize::new(0),
            clock: None,
            _runtime: runtime,
        }
    }

    /// The migration goes by this clock.
    pub(crate) fn with_clock(mut self, clock: Arc<FastClock>) -> Self {
        self.clock = Some(clock);
        self
    }

    pub(crate) fn faults(&self) -> &Faults {
        self.server.faults()
    }
}

fn fill(account: &Account, mails: Vec<Mail>) {
    for mail in mails {
        let folder = match account.folder(&[mail.folder]) {
            Ok(folder) => folder.id,
            Err(_) => account.create(&[mail.folder]).unwrap(),
        };
        let date = InternalDate::utc(mail.received.seconds());
        let message = NewMessage::new(mail.body)
            .with_flags(mail.flags.iter().copied())
            .with_date(date);
        account.append(folder, vec![message]).unwrap();
    }
}

impl Ground for Embedded {
    fn name(&self) -> String {
        format!("test server, {}", self.name)
    }

    fn source(&self) -> (SocketAddr, String) {
        (self.server.plain_address(), "source".to_owned())
    }

    fn destination(&self) -> (SocketAddr, String) {
        let user = format!("d{}", self.next.fetch_add(1, Ordering::Relaxed));
        fill(
            &self.server.store().account(&user).unwrap(),
            scene::destination(),
        );
        (self.server.plain_address(), user)
    }

    fn password(&self) -> String {
        PASSWORD.to_owned()
    }

    fn clock(&self) -> Arc<FastClock> {
        let own = || Arc::new(FastClock::new(10));
        self.clock.clone().unwrap_or_else(own)
    }

    fn late(&self) -> Option<Duration> {
        // Who goes by another clock has something landing late.
        self.clock.is_none().then_some(Duration::from_secs(2))
    }

    fn snapshot(&self, user: &str, _source: bool) -> Snapshot {
        Snapshot::of(&self.server.store().account(user).unwrap())
    }
}
