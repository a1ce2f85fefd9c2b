//! The test server, with its store as the back door.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use mailmove_imap_testserver::{Builder, Server};
use mailmove_testkit::{
    mailbox::{Account, InternalDate, NewMessage, Store},
    snapshot::Snapshot,
};

use crate::{
    ground::Ground,
    scene::{self, Mail},
};

const PASSWORD: &str = "password";
const USERS: usize = 2000;

#[derive(Debug)]
pub(crate) struct Embedded {
    name: &'static str,
    server: Server,
    next: AtomicUsize,
    // The server lives in it.
    _runtime: tokio::runtime::Runtime,
}

impl Embedded {
    pub(crate) fn start(name: &'static str, setup: impl Fn(Builder) -> Builder) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut builder = Server::builder(Store::new()).user("source", PASSWORD);
        for n in 0..USERS {
            builder = builder.user(&format!("d{n}"), PASSWORD);
        }
        let server = runtime.block_on(setup(builder).start()).unwrap();
        fill(&server.store().account("source").unwrap(), scene::source());
        Self {
            name,
            server,
            next: AtomicUsize::new(0),
            _runtime: runtime,
        }
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

    fn snapshot(&self, user: &str, _source: bool) -> Snapshot {
        Snapshot::of(&self.server.store().account(user).unwrap())
    }
}
