//! What is in the mailboxes.

use mailmove_core::model::Timestamp;

/// A message in a folder.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) folder: &'static str,
    pub(crate) body: Vec<u8>,
    pub(crate) flags: &'static [&'static str],
    pub(crate) received: Timestamp,
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
            received: Timestamp::new(1_780_000_000 + day * 86_400, 0),
        }
    }

    fn flags(mut self, flags: &'static [&'static str]) -> Self {
        self.flags = flags;
        self
    }
}

/// Source folders that are mapped onto another's place.
pub(crate) const MERGED: (&str, &str) = ("Old", "Work");

/// Identical pairs, merged folders, equal Message-IDs with different bodies, drafts, no Message-ID.
pub(crate) fn source() -> Vec<Mail> {
    let mut mails = Vec::new();
    for n in 0..8 {
        let mail = Mail::new("INBOX", &format!("pair{}", n / 2), "twice the same", n / 2);
        mails.push(mail.flags(if n % 2 == 0 { &["\\Seen"] } else { &[] }));
    }
    mails.push(Mail::new("INBOX", "same-id", "one body", 20));
    mails.push(Mail::new("INBOX", "same-id", "another body", 20));
    mails.push(Mail::new(
        "INBOX",
        "big",
        &"a line of a long message\r\n".repeat(4000),
        21,
    ));
    mails.push(Mail {
        body: b"Subject: nameless\r\n\r\nno Message-ID\r\n".to_vec(),
        ..Mail::new("INBOX", "", "", 22)
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
    for folder in ["Ann", "Bob", "Cat", "Dan", "Eve", "Fay"] {
        for n in 0..4 {
            mails.push(Mail::new(
                folder,
                &format!("{folder}{}", n / 2),
                "twice again",
                n / 2,
            ));
        }
    }
    mails.push(Mail::new("Drafts", "draft", "first thoughts", 30).flags(&["\\Draft"]));
    mails.push(Mail::new("Drafts", "draft", "second thought", 31).flags(&["\\Draft"]));
    mails
}

/// What a user has put at the destination before: one of two identical messages, and one that is
/// nobody else's.
pub(crate) fn destination() -> Vec<Mail> {
    vec![
        Mail::new("INBOX", "pair1", "twice the same", 1),
        Mail::new("INBOX", "own", "nobody else's", 5),
    ]
}
