//! What is in the mailboxes.

use mailmove_ews_testserver::Server;
use mailmove_testkit::mailbox::{Account, InternalDate, NewMessage};

use crate::ground::Kind;

/// A message in a folder.
#[derive(Clone, Debug)]
struct Mail {
    folder: &'static str,
    body: Vec<u8>,
    flags: &'static [&'static str],
    received: i64,
}

impl Mail {
    fn new(folder: &'static str, subject: &str, text: &str, day: i64) -> Self {
        let body = format!(
            "Received: from a.example by b.example; Mon, 1 Jun 2026 10:00:00 +0000\r\n\
             Message-ID: <{subject}@example.org>\r\nFrom: a@example.org\r\n\
             Subject: {subject}\r\nDate: Mon, 1 Jun 2026 10:00:00 +0000\r\n\r\n{text}\r\n"
        );
        Self {
            folder,
            body: body.into_bytes(),
            flags: &[],
            received: 1_780_000_000 + day * 86_400,
        }
    }

    fn flags(mut self, flags: &'static [&'static str]) -> Self {
        self.flags = flags;
        self
    }
}

/// Source folders that are mapped onto another's place.
pub(crate) const MERGED: (&str, &str) = ("Old", "Work");

/// Fills a source: identical pairs, merged folders, equal Message-IDs with different bodies, drafts, no
/// Message-ID; where exports go, items of each class, too. How many that is.
pub(crate) fn fill_source(server: &Server, user: &'static str, kind: &Kind) -> usize {
    let account = server.store().account(user).unwrap();
    // Exports without a name cannot be told apart: they may be doubled, and are told, by another test.
    let nameless = |mail: &Mail| mail.body.starts_with(b"Subject: nameless");
    let mails = source().into_iter();
    let mut count = fill(
        &account,
        mails
            .filter(|mail| !kind.exports || !nameless(mail))
            .collect(),
    );
    if kind.exports {
        for (folder, class) in CLASSES {
            count += put(server, user, folder, class, 5);
        }
        count += put(server, user, "INBOX", "IPM.Contact", 2);
    }
    count
}

/// What a user has put at the destination before: one of two identical messages, and one that is
/// nobody else's.
pub(crate) fn fill_destination(server: &Server, user: &'static str, kind: &Kind) -> usize {
    let all = vec![
        Mail::new("INBOX", "pair1", "twice the same", 1),
        Mail::new("INBOX", "own", "nobody else's", 5),
    ];
    let count = fill(&server.store().account(user).unwrap(), all);
    match kind.exports {
        true => count + put(server, user, "Tasks", "IPM.Appointment", 1),
        false => count,
    }
}

/// Folders for other things than mail, and what they hold.
const CLASSES: [(&str, &str); 5] = [
    ("Calendar", "IPM.Appointment"),
    ("Contacts", "IPM.Contact"),
    ("Tasks", "IPM.Task"),
    ("Notes", "IPM.StickyNote"),
    ("Journal", "IPM.Activity"),
];

/// Puts items of a class into a folder, of which the first two are the same.
fn put(server: &Server, user: &str, folder: &str, class: &str, count: usize) -> usize {
    let account = server.store().account(user).unwrap();
    let id = account.folder(&[folder]).unwrap().id;
    for number in 0..count {
        let number = number.max(1);
        let text = format!("Subject: {class} {number}\r\n\r\nWhat it is about: {number}.\r\n");
        let date = InternalDate::utc(1_600_000_000 + i64::try_from(number).unwrap());
        let item = NewMessage::new(text)
            .with_flags(["\\Seen", "Work"])
            .with_date(date);
        account.append(id, vec![item]).unwrap();
        let uid = *account.uids(id).unwrap().last().unwrap();
        assert!(server.set_item_class(user, &[folder], uid, class));
    }
    count
}

fn source() -> Vec<Mail> {
    let mut mails = Vec::new();
    for n in 0..8 {
        let mail = Mail::new("INBOX", &format!("pair{}", n / 2), "twice the same", n / 2);
        mails.push(mail.flags(if n % 2 == 0 { &["\\Seen"] } else { &[] }));
    }
    mails.push(Mail::new("INBOX", "same-id", "one body", 20));
    mails.push(Mail::new("INBOX", "same-id", "another body", 20));
    let lines = "a line of a long message\r\n".repeat(1500);
    mails.push(Mail::new("INBOX", "big", &lines, 21));
    mails.push(Mail {
        body: b"Subject: nameless\r\n\r\nno Message-ID\r\n".to_vec(),
        ..Mail::new("INBOX", "", "", 22)
    });
    // With an attachment, so that a server that makes it anew makes other boundaries each time.
    mails.push(Mail {
        body: b"Message-ID: <mixed@example.org>\r\nFrom: a@example.org\r\nSubject: mixed\r\n\
            Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nText.\r\n--x\r\n\
            Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--x--\r\n"
            .to_vec(),
        ..Mail::new("INBOX", "", "", 23)
    });
    for n in 0..6 {
        let mail = Mail::new("Work", &format!("work{n}"), "about work", n);
        mails.push(mail.flags(&["\\Flagged", "Later"]));
    }
    // The same as one in the folder that it is merged with, and some of its own.
    mails.push(Mail::new("Old", "work3", "about work", 3).flags(&["\\Flagged", "Later"]));
    for n in 0..3 {
        mails.push(Mail::new("Old", &format!("old{n}"), "about old work", n));
    }
    // Folders of their own, so that there are many batches.
    for folder in ["Ann", "Bob", "Cat", "Dan"] {
        for n in 0..4 {
            let subject = format!("{folder}{}", n / 2);
            mails.push(Mail::new(folder, &subject, "twice again", n / 2));
        }
    }
    mails.push(Mail::new("Drafts", "draft", "first thoughts", 30).flags(&["\\Draft"]));
    mails.push(Mail::new("Drafts", "draft", "second thought", 31).flags(&["\\Draft"]));
    mails
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
