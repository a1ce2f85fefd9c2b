"""Works on the test server's mailbox by IMAP, through DavMail. Argument: its port."""

import imaplib
import sys
import time

MAIL = (
    b"Subject: by davmail\r\nFrom: a@example.com\r\nMessage-ID: <d1@example.com>\r\n"
    b"Date: Sat, 3 Feb 2001 05:05:06 +0100\r\n\r\nhi\r\n"
)


def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]


# DavMail takes its time to start.
for attempt in range(600):
    try:
        imap = imaplib.IMAP4("127.0.0.1", int(sys.argv[1]), timeout=60)
        break
    except OSError:
        time.sleep(0.1)
ok(imap.login("u@example.com", "p"))
names = b"\n".join(ok(imap.list()))
for role in (b"\\Sent", b"\\Drafts", b"\\Trash", b"\\Junk"):
    assert role in names, names
ok(imap.create('"Made here"'))
flags, date = r"(\Seen \Flagged \Answered)", '"03-Feb-2001 04:05:07 +0000"'
ok(imap.append('"Made here"', flags, date, MAIL))
assert ok(imap.select('"Made here"')) == [b"1"]
told, mail = ok(imap.fetch("1", "(FLAGS INTERNALDATE BODY.PEEK[])"))[0]
for what in (b"\\Seen", b"\\Flagged", b"\\Answered", b"2001 04:05:07 +0000"):
    assert what in told, told
assert b"\\Draft" not in told, told
assert mail == MAIL, mail
ok(imap.copy("1", "INBOX"))
ok(imap.store("1", "+FLAGS", r"(\Deleted)"))
ok(imap.expunge())
assert ok(imap.select('"Made here"')) == [b"0"]
assert ok(imap.select("INBOX")) == [b"1"]
imap.logout()
print("all checks passed")
