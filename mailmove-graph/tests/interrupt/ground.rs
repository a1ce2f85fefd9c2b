//! A mailbox in memory, a Graph server, and the clock that all go by.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mailmove_core::model::ContentDigest;
use mailmove_graph_testserver::{Builder, Server};
use mailmove_testkit::{
    clock::FastClock,
    mailbox::{Account, InternalDate, NewMessage, Store},
    memory::MemoryMailbox,
    snapshot::Snapshot,
};

pub(crate) const USER: &str = "bob";
/// The property in which we note what a message was made from.
const MARK: &str = "String {6f1d7a52-3c0e-4b6b-9d5a-8e0c2f4b7a91} Name mailmove";
/// Where drafts are made that go as MIME.
const ASIDE: &str = "mailmove drafts in the making";
/// Seconds of the migration's clock in a real one: the wait for what may land late is short, and yet real.
const FASTER: u32 = 40;

/// How the server of a test is set up, and what there is to move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// One message has an attachment that goes in parts.
    pub(crate) large: bool,
    /// From another Graph server, as exports.
    pub(crate) exports: bool,
    /// Nothing but drafts, as MIME.
    pub(crate) drafts: bool,
    pub(crate) setup: fn(Builder) -> Builder,
}

/// Of each folder, what each message in it was made from and is.
pub(crate) type Held = BTreeMap<Vec<String>, Vec<String>>;

pub(crate) fn count(held: &Held) -> usize {
    held.values().map(Vec::len).sum()
}

/// A source, a fresh destination with what somebody put there before, and the clock that both go by.
pub(crate) struct Ground {
    pub(crate) kind: Kind,
    pub(crate) source: MemoryMailbox,
    /// The same mailbox behind a Graph server.
    pub(crate) from: Server,
    pub(crate) server: Server,
    account: Account,
    pub(crate) clock: Arc<FastClock>,
    /// Messages that there are in the end.
    pub(crate) messages: usize,
    /// How long a pass waits for what may land late, if something was sent twice; as the adapter knows
    /// if `None`.
    pub(crate) late: Option<Duration>,
}

impl Ground {
    pub(crate) async fn new(kind: Kind, late: Option<Duration>) -> Self {
        let clock = Arc::new(FastClock::new(FASTER));
        let store = Store::new();
        let ann = store.add_account("ann");
        let from = Server::builder(store)
            .user("ann")
            .without_default_folders()
            .app_token("token")
            .clock(Arc::clone(&clock) as _)
            .without_shape_gate();
        let from = from.start().await.unwrap();
        let mut mails = source(kind.large);
        // Exports without a name cannot be told apart: they may be doubled, and are told.
        mails.retain(|mail| !kind.exports || !mail.body.starts_with(b"Subject: nameless"));
        if kind.drafts {
            mails.retain(|mail| ["Cat", "Drafts", "Work"].contains(&mail.folder));
            for mail in &mut mails {
                mail.flags = &["\\Draft", "\\Flagged", "Later"];
            }
        }
        let mut messages = fill(&ann, mails);
        if kind.exports {
            messages += events(&from, &ann);
        }
        // Which request is refused, and so the shape of the refusal, is another in each attempt.
        let builder = Server::builder(Store::new())
            .user(USER)
            .app_token("token")
            .clock(Arc::clone(&clock) as _)
            .without_shape_gate();
        let server = (kind.setup)(builder).start().await.unwrap();
        let account = server.store().account(USER).unwrap();
        messages += fill(&account, own());
        Self {
            kind,
            source: MemoryMailbox::new(ann),
            from,
            server,
            account,
            clock,
            messages,
            late,
        }
    }

    /// The source as it is.
    pub(crate) fn before(&self) -> Snapshot {
        Snapshot::of(self.source.account())
    }

    /// What is at the destination.
    pub(crate) fn held(&self) -> Held {
        let mut out = Held::new();
        for folder in self.account.folders() {
            // What is not moved from there is stored nowhere.
            if folder.path == [ASIDE] {
                continue;
            }
            let path: Vec<&str> = folder.path.iter().map(String::as_str).collect();
            let messages = self.account.messages(folder.id).unwrap_or_default();
            let mut lines: Vec<String> = messages
                .iter()
                .map(|message| {
                    let mark = self.server.item_property(USER, &path, message.uid, MARK);
                    // Which mailbox it is says the last word.
                    let made = mark.map_or_else(
                        || "own".to_owned(),
                        |mark| mark[..60.min(mark.len())].to_owned(),
                    );
                    let text = String::from_utf8_lossy(&message.body);
                    // An export is what it was, whether it could be marked or not.
                    let made = match self.kind.exports {
                        true => ContentDigest::of(&message.body).to_string(),
                        false => made,
                    };
                    let files = text.matches("filename").count();
                    format!(
                        "{made} {:?} {:?} {files} files",
                        message.flags, message.date
                    )
                })
                .collect();
            lines.sort();
            if !lines.is_empty() {
                out.insert(folder.path.clone(), lines);
            }
        }
        out
    }

    /// How many messages are there without all of their attachments.
    pub(crate) fn incomplete(&self) -> usize {
        let all = self.held();
        let lines = all.values().flatten();
        lines.filter(|line| line.starts_with("open")).count()
    }
}

/// A message in a folder.
struct Mail {
    folder: &'static str,
    body: Vec<u8>,
    flags: &'static [&'static str],
    received: i64,
}

fn mail(folder: &'static str, subject: &str, text: &str, day: i64) -> Mail {
    let body = format!(
        "Received: from a.example by b.example; Mon, 1 Jun 2026 10:00:00 +0000\r\n\
         Message-ID: <{subject}@example.org>\r\nFrom: a@example.org\r\n\
         Subject: {subject}\r\nDate: Mon, 1 Jun 2026 10:00:00 +0000\r\n\r\n{text}\r\n"
    );
    Mail {
        folder,
        body: body.into_bytes(),
        flags: &[],
        received: 1_780_000_000 + day * 86_400,
    }
}

/// With attachments of these sizes.
fn parcel(folder: &'static str, subject: &str, sizes: &[usize], day: i64) -> Mail {
    let mut body = format!(
        "Message-ID: <{subject}@example.org>\r\nFrom: a@example.org\r\nSubject: {subject}\r\n\
         Date: Mon, 1 Jun 2026 10:00:00 +0000\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\ntext\r\n"
    );
    for (at, size) in sizes.iter().enumerate() {
        body.push_str(&format!(
            "--x\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename={at}.bin\r\n\r\n"
        ));
        let line = format!("{}\r\n", "0123456789".repeat(99));
        body.extend(std::iter::repeat_n(line.as_str(), size / line.len() + 1));
    }
    body.push_str(
        "--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nwithin\r\n--x--\r\n",
    );
    Mail {
        body: body.into_bytes(),
        ..mail(folder, subject, "", day)
    }
}

/// Identical pairs, equal Message-IDs with different bodies, drafts, attachments, no Message-ID.
fn source(large: bool) -> Vec<Mail> {
    let mut mails = Vec::new();
    for n in 0..6 {
        let mail = mail("INBOX", &format!("pair{}", n / 2), "twice the same", n / 2);
        mails.push(Mail {
            flags: if n % 2 == 0 { &["\\Seen"] } else { &[] },
            ..mail
        });
    }
    mails.push(mail("INBOX", "same-id", "one body", 20));
    mails.push(mail("INBOX", "same-id", "another body", 20));
    mails.push(Mail {
        body: b"Subject: nameless\r\n\r\nno Message-ID\r\n".to_vec(),
        ..mail("INBOX", "", "", 22)
    });
    mails.push(parcel("INBOX", "parcel", &[100, 3000], 23));
    // Twice the same.
    mails.push(parcel("Work", "work-parcel", &[500], 24));
    mails.push(parcel("Work", "work-parcel", &[500], 24));
    for n in 0..4 {
        mails.push(Mail {
            flags: &["\\Flagged", "\\Answered", "Later"],
            ..mail("Work", &format!("work{n}"), "about work", n)
        });
    }
    if large {
        mails.push(parcel("Large", "large", &[100, 4_000_000], 25));
    }
    for folder in ["Cat", "Dan"] {
        for n in 0..3 {
            let subject = format!("{folder}{}", n / 2);
            mails.push(mail(folder, &subject, "twice again", n / 2));
        }
    }
    for (text, day) in [("first thoughts", 30), ("second thoughts", 31)] {
        mails.push(Mail {
            flags: &["\\Draft"],
            ..mail("Drafts", "draft", text, day)
        });
    }
    mails
}

/// Events in a calendar, which is to be made at the destination. Two of them are there twice.
fn events(server: &Server, account: &Account) -> usize {
    let path = ["Dates"];
    let all = (0..5).map(|n| mail("Dates", &format!("event{}", n / 2), "when and where", n / 2));
    let count = fill(account, all.collect());
    server.set_folder_class("ann", &path, Some("IPF.Appointment"));
    let folder = account.folder(&path).unwrap().id;
    for uid in account.uids(folder).unwrap() {
        assert!(server.set_item_class("ann", &path, uid, "IPM.Appointment"));
    }
    count
}

/// What a user has put at the destination before.
fn own() -> Vec<Mail> {
    vec![mail("INBOX", "own", "nobody else's", 5)]
}

fn fill(account: &Account, mails: Vec<Mail>) -> usize {
    let count = mails.len();
    for mail in mails {
        let folder = match account.folder(&[mail.folder]) {
            Ok(folder) => folder.id,
            Err(_) => account.create(&[mail.folder]).unwrap(),
        };
        let message = NewMessage::new(mail.body)
            .with_flags(mail.flags.iter().copied())
            .with_date(InternalDate::utc(mail.received));
        account.append(folder, vec![message]).unwrap();
    }
    count
}
