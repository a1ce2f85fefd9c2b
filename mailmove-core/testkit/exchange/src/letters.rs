//! What tests put into mailboxes of Exchange: letters, for what becomes of a message's parts, and items of all classes.

use mailmove_testkit::mailbox::{Account, InternalDate, NewMessage, Store};

/// When they were sent, in seconds since 1970.
pub const SENT: i64 = 1_057_049_557;

/// A message that has something of all that Exchange keeps of one.
#[must_use]
pub fn letter(number: usize) -> String {
    format!(
        "Message-ID: <{number}@example.com>\r\nDate: Tue, 1 Jul 2003 10:52:37 +0200\r\n\
        From: Ann <ann@example.com>\r\nSender: Bo <bo@example.com>\r\nReply-To: cy@example.com\r\n\
        To: di@example.com, Ed <ed@example.com>\r\nCc: flo@example.com\r\nBcc: gil@example.com\r\n\
        Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= {number}\r\nIn-Reply-To: <a@example.com>\r\nX-Priority: 2 (High)\r\n\
        References: <b@example.com> <a@example.com>\r\nX-Own: 1\r\n\
        Content-Type: multipart/mixed; boundary=\"outer\"\r\n\r\n--outer\r\n\
        Content-Type: multipart/alternative; boundary=\"inner\"\r\n\r\n--inner\r\n\
        Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        Gr=FC=DFe aus K=F6ln,\r\nheute um acht.\r\n--inner\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
        <p>Gr\u{fc}\u{df}e aus <b>K\u{f6}ln</b>, heute um acht.</p>\r\n--inner--\r\n--outer\r\n\
        Content-Type: image/png; name=\"a.png\"\r\nContent-Disposition: attachment; filename=\"a.png\"\r\n\
        Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--outer\r\n\
        Content-Type: application/pdf; name=\"b.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n\
        JVBERi0xLjQ=\r\n--outer\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: within\r\nMessage-ID: <w{number}@example.com>\r\nFrom: hal@example.com\r\n\r\n\
        The message within.\r\n--outer--\r\n"
    )
}

/// A mailbox with so many of them in its inbox.
///
/// # Panics
/// Never: a mailbox has an inbox, and takes what is put into it.
#[must_use]
#[allow(clippy::expect_used, reason = "a panic is how a test fails")]
pub fn filled(count: usize) -> Account {
    let account = Store::new().add_account("ann");
    let inbox = account.folder(&["INBOX"]).expect("an inbox").id;
    let mail = (0..count).map(|number| {
        let mail = NewMessage::new(letter(number)).with_flags(["\\Seen", "Work"]);
        mail.with_date(InternalDate::utc(SENT))
    });
    account.append(inbox, mail.collect()).expect("room");
    account
}

/// Puts items of a class into a folder; `set` makes what has that UID one of it.
///
/// # Panics
/// If there is no such folder, or `set` finds no such item.
#[allow(clippy::expect_used, reason = "a panic is how a test fails")]
pub fn put(
    account: &Account,
    path: &[&str],
    class: &str,
    count: usize,
    set: impl Fn(u32, &str) -> bool,
) {
    let folder = account.folder(path).expect("a folder").id;
    for number in 0..count {
        let text = format!("Subject: {class} {number}\r\n\r\nWhat it is about: {number}.\r\n");
        let item = NewMessage::new(text).with_flags(["\\Seen", "Work"]);
        let date = InternalDate::utc(1_600_000_000 + i64::try_from(number).unwrap_or(0));
        let stored = account.append(folder, vec![item.with_date(date)]);
        stored.expect("room");
        let uids = account.uids(folder).expect("a folder");
        let uid = uids.last().copied().unwrap_or_default();
        assert!(set(uid, class), "no item {uid}");
    }
}
