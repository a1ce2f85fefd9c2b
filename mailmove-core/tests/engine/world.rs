//! Two mailboxes, a store and a clock, and short words for what tests do with them.

use std::{sync::Arc, time::Duration};

use mailmove_core::{
    Edges, Migration, Options, Report, Result, Stop,
    checkpoint::Stored,
    dead_letter::MemoryDeadLetters,
    destination::Depth,
    model::JobId,
    report::{FolderReport, Status, Verification},
    store::MemoryStore,
};
use mailmove_testkit::{
    clock::TestClock,
    corpus::Corpus,
    mailbox::{Account, FlagOp, InternalDate, NewMessage, Store},
    memory::MemoryMailbox,
    snapshot::Snapshot,
};

/// A source, a destination, a store.
pub(crate) struct World {
    pub(crate) source: MemoryMailbox,
    pub(crate) destination: MemoryMailbox,
    pub(crate) store: MemoryStore,
    pub(crate) edges: Edges,
    pub(crate) options: Options,
    pub(crate) stop: Stop,
    pub(crate) letters: MemoryDeadLetters,
}

/// A moment in 2026, in seconds.
pub(crate) const NOW: i64 = 1_790_000_000;

impl World {
    /// Both sides empty.
    pub(crate) fn new() -> Self {
        Self::with_clock(TestClock::jumping(Duration::from_secs(NOW.unsigned_abs())))
    }

    /// Both sides empty, and all go by this clock.
    pub(crate) fn with_clock(clock: TestClock) -> Self {
        let edges = Edges::new().with_clock(Arc::new(clock));
        let side = |user: &str| {
            let store = Store::new();
            store.fix_clock(InternalDate::utc(NOW));
            MemoryMailbox::new(store.add_account(user)).with_edges(edges.clone())
        };
        Self {
            source: side("ann"),
            destination: side("bob"),
            store: MemoryStore::new(),
            edges: edges.clone(),
            options: Options::new(),
            stop: Stop::new(),
            letters: MemoryDeadLetters::new(),
        }
    }

    /// Both sides, and a source with each kind of ugly message and some ordinary ones.
    pub(crate) fn with_corpus(messages: usize) -> Self {
        let world = Self::new();
        for message in Corpus::ugly().chain(Corpus::new(7).messages(messages)) {
            add(
                world.source.account(),
                &message.folder,
                message.to_new_message(),
            );
        }
        world
    }

    pub(crate) fn migration(&self) -> Migration {
        Migration::builder(self.source.clone(), self.destination.clone())
            .store(self.store.clone())
            .options(self.options.clone())
            .edges(self.edges.clone())
            .stop(self.stop.clone())
            .dead_letters(self.letters.clone())
            .build()
            .unwrap()
    }

    pub(crate) fn job(&self) -> JobId {
        self.migration().job()
    }

    pub(crate) fn rows(&self) -> Vec<Stored> {
        self.store.rows(&self.job())
    }

    /// One pass, whatever comes of it.
    pub(crate) async fn try_run(&self) -> Result<Report> {
        self.migration().run().await
    }

    /// One pass that must be complete.
    pub(crate) async fn run(&self) -> Report {
        let report = self.try_run().await.unwrap();
        assert_eq!(report.status(), Status::Complete, "{report:#?}");
        self.no_violations();
        report
    }

    /// Runs until one comes to its end, which must be complete; each run is a new "process".
    pub(crate) async fn until_done(&self) {
        self.until(async || self.try_run().await).await;
    }

    /// The same for passes of any kind. What ends one early is a kill or an order of the test.
    pub(crate) async fn until(&self, pass: impl AsyncFn() -> Result<Report>) {
        for _ in 0..20 {
            match pass().await {
                Ok(report) if report.stopped.is_none() => {
                    assert_eq!(report.status(), Status::Complete, "{report:#?}");
                    return;
                }
                _ => {}
            }
        }
        panic!("no pass of 20 came to its end");
    }

    /// Runs until one is complete, where folders fail on the way.
    pub(crate) async fn until_complete(&self) {
        for _ in 0..20 {
            let done = self.try_run().await;
            if done.is_ok_and(|report| report.status() == Status::Complete) {
                return;
            }
        }
        panic!("not complete after 20 runs");
    }

    pub(crate) async fn verify(&self) -> Verification {
        self.migration().verify(Depth::Content).await.unwrap()
    }

    /// The destination holds what the source holds: bytes, flags, dates, multiplicity.
    #[track_caller]
    pub(crate) fn assert_equal(&self) {
        let expected = Snapshot::of(self.source.account());
        let found = Snapshot::of(self.destination.account());
        if let Err(difference) = expected.diff(&found).none() {
            panic!("{difference}");
        }
    }

    #[track_caller]
    pub(crate) fn no_violations(&self) {
        assert_eq!(self.source.violations(), Vec::<String>::new());
        assert_eq!(self.destination.violations(), Vec::<String>::new());
    }
}

/// Adds a message, and its folder if need be.
pub(crate) fn add<S: AsRef<str>>(account: &Account, folder: &[S], message: NewMessage) -> u32 {
    let id = match account.folder(folder) {
        Ok(folder) => folder.id,
        Err(_) => account.create(folder).unwrap(),
    };
    account.append(id, vec![message]).unwrap().uids[0]
}

/// A small message with that subject, received `age` days before now.
pub(crate) fn mail(subject: &str, age: i64) -> NewMessage {
    let body = format!(
        "Message-ID: <{subject}@example.org>\r\nFrom: a@example.org\r\nSubject: {subject}\r\n\
         Date: Mon, 1 Jun 2026 10:00:00 +0000\r\n\r\nBody of {subject}.\r\n"
    );
    NewMessage::new(body).with_date(InternalDate::utc(NOW - age * 86_400))
}

/// Changes flags of one message.
pub(crate) fn flag(account: &Account, folder: &str, uid: u32, op: FlagOp, flags: &[&str]) {
    let id = account.folder(&[folder]).unwrap().id;
    account.store(id, &[uid], op, flags, None).unwrap();
}

/// The report's line for a folder.
pub(crate) fn of<'a>(report: &'a Report, folder: &str) -> &'a FolderReport {
    report
        .folders
        .iter()
        .find(|line| line.source.to_string() == folder)
        .unwrap()
}

/// Subjects in a folder, sorted, with flags.
pub(crate) fn subjects(account: &Account, folder: &str) -> Vec<String> {
    let Ok(folder) = account.folder(&[folder]) else {
        return Vec::new();
    };
    let mut out: Vec<String> = account
        .messages(folder.id)
        .unwrap()
        .iter()
        .map(|message| {
            let text = String::from_utf8_lossy(&message.body);
            let subject = text.lines().find_map(|line| line.strip_prefix("Subject: "));
            let flags: Vec<&str> = message.flags.iter().collect();
            format!("{} {}", subject.unwrap_or("?"), flags.join(" "))
                .trim()
                .to_owned()
        })
        .collect();
    out.sort();
    out
}
