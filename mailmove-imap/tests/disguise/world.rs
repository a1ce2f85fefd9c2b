//! Disguises, and migrations between such servers.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mailmove_core::{
    Edges, Event, Migration, Observer, Options, Report,
    edge::{Credential, StaticCredential},
    store::MemoryStore,
};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource, Security};
use mailmove_imap_testserver::{Builder, Capability, Server};
use mailmove_testkit::{clock::TestClock, mailbox::Account};

use crate::support::{PASSWORD, USER};

/// As public transcripts show Exchange and Microsoft 365.
pub(crate) fn exchange(server: Builder) -> Builder {
    use Capability::{
        AuthPlain, Children, Id, Idle, LiteralPlus, Move, Namespace, SaslIr, UidPlus, Unselect,
    };
    server
        .only(&[
            AuthPlain,
            SaslIr,
            UidPlus,
            Move,
            Id,
            Unselect,
            Children,
            Idle,
            Namespace,
            LiteralPlus,
        ])
        .greeting("The Microsoft Exchange IMAP4 service is ready. [QQBNADIA]")
        .id_reply(&[
            ("name", "Microsoft.Exchange.Imap4.Imap4Server"),
            ("version", "15.20"),
        ])
        .max_bad_commands(10)
        .forgets_flagged()
        .max_body_line(9_900)
}

/// As Gmail greets.
pub(crate) fn gmail(server: Builder) -> Builder {
    server
        .greeting("Gimap ready for requests from 192.0.2.1 a1b2mb12345")
        .id_reply(&[("name", "GImap"), ("vendor", "Google, Inc.")])
        .without(Capability::MultiAppend)
}

/// As Yahoo greets, and what it minds.
pub(crate) fn yahoo(server: Builder) -> Builder {
    server
        .greeting("IMAP4rev1 imapgate-1.8.1_01.20166 imap1015.mail.example.com")
        .id_reply(&[("vendor", "Yahoo! Inc."), ("name", "Y!IMAP")])
        .advertise("XYMHIGHESTMODSEQ")
        .without(Capability::MultiAppend)
        .needs_final_newline()
}

/// Offers LIST-STATUS, and answers BAD where it is used.
pub(crate) fn icloud(server: Builder) -> Builder {
    server
        .greeting("(2109B29-d3afe4d5aba6) pv33p00im-iscream021.me.com")
        .id_reply(&[])
        .without(Capability::ListExtended)
        .without(Capability::ListStatus)
        .advertise("LIST-STATUS")
}

pub(crate) fn config(server: &Server) -> ImapConfig {
    ImapConfig::new("127.0.0.1")
        .with_port(server.plain_address().port())
        .with_user(USER)
        .with_security(Security::Plain)
}

pub(crate) fn account(server: &Server) -> Account {
    server.store().account(USER).unwrap()
}

/// What was told, in words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<String>>>);

impl Observer for Told {
    fn on(&self, event: &Event) {
        let line = match event {
            Event::Note { text, .. } => format!("note {text}"),
            Event::Retrying { wait_ms, .. } => format!("wait {wait_ms}"),
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

impl Told {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A migration between two such servers, whose waits take no time.
pub(crate) struct Move {
    pub(crate) told: Told,
    migration: Migration,
}

impl Move {
    pub(crate) fn new(from: ImapConfig, to: ImapConfig, options: Options) -> Self {
        let clock = TestClock::jumping(Duration::from_secs(1_700_000_000));
        let edges = Edges::new().with_clock(Arc::new(clock));
        let login = || Arc::new(StaticCredential::new(Credential::password(USER, PASSWORD)));
        let told = Told::default();
        let migration = Migration::builder(
            ImapSource::new(from, login(), edges.clone()),
            ImapDestination::new(to, login(), edges.clone()),
        )
        .store(MemoryStore::new())
        .edges(edges)
        .options(options)
        .observer(told.clone())
        .build()
        .unwrap();
        Self { told, migration }
    }

    pub(crate) async fn run(&self) -> Report {
        self.migration.run().await.unwrap()
    }
}
