"""Python's own IMAP client against the test server.

Arguments: CA file, plain port, TLS port, OAuth token for two logins. Says "all checks passed" at the end.
"""
import imaplib
import ssl
import sys

ca, plain, tls, token = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
context = ssl.create_default_context(cafile=ca)


def check(condition, what):
    if not condition:
        raise SystemExit("failed: %r" % (what,))


def ok(answer):
    check(answer[0] == "OK", answer)
    return answer[1]


# Implicit TLS, LOGIN.
mail = imaplib.IMAP4_SSL("127.0.0.1", tls, ssl_context=context)
check("IMAP4REV1" in mail.capabilities, mail.capabilities)
ok(mail.login("u", "p"))
names = ok(mail.list())
check(any(b'"Sent"' in name and b"\\Sent" in name for name in names), names)
check(int(ok(mail.select("INBOX"))[0]) == 20, "count")
uids = ok(mail.uid("SEARCH", None, "ALL"))[0].split()
check(len(uids) == 20, uids)
for uid in uids:
    parts = ok(mail.uid("FETCH", uid, "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])"))
    head, body = parts[0]
    size = int(head.split(b"RFC822.SIZE ")[1].split()[0])
    check(size == len(body), (uid, size, len(body)))
    check(imaplib.Internaldate2tuple(head) is not None, head)
ok(mail.fetch("1:5", "(FLAGS ENVELOPE BODYSTRUCTURE)"))
check(ok(mail.search(None, "UNSEEN")) == ok(mail.search(None, "NOT", "SEEN")), "search")

# Creating, appending, storing, copying, expunging.
ok(mail.create('"From Python"'))
ok(mail.subscribe('"From Python"'))
check(any(b"From Python" in name for name in ok(mail.lsub())), "lsub")
date = '"17-Jul-1996 02:44:25 -0700"'
ok(mail.append('"From Python"', r"(\Flagged $Label)", date, b"Subject: one\r\n\r\n1\r\n"))
ok(mail.append('"From Python"', None, None, b"Subject: two\r\n\r\n2\r\n"))
ok(mail.append('"From Python"', None, None, b"Subject: three\r\n\r\n3\r\n"))
check(int(ok(mail.select('"From Python"'))[0]) == 3, "appended")
ok(mail.store("3", "+FLAGS.SILENT", r"(\Deleted)"))
ok(mail.copy("2", "Sent"))
check(ok(mail.expunge()) == [b"3"], "expunge")
status = ok(mail.status('"From Python"', "(MESSAGES UIDNEXT UIDVALIDITY)"))[0]
check(b"MESSAGES 2" in status and b"UIDNEXT 4" in status, status)
ok(mail.close())
check(mail.select("nowhere")[0] == "NO", "no such mailbox")
check(mail.logout()[0] == "BYE", "logout")

# STARTTLS, AUTHENTICATE PLAIN.
mail = imaplib.IMAP4("127.0.0.1", plain)
ok(mail.starttls(context))
ok(mail.authenticate("PLAIN", lambda _: b"\0u\0p"))
ok(mail.enable("CONDSTORE"))
ok(mail.noop())
mail.logout()

# A wrong password is refused and the connection still works.
mail = imaplib.IMAP4("127.0.0.1", plain)
try:
    mail.login("u", "wrong")
    raise SystemExit("failed: wrong password accepted")
except imaplib.IMAP4.error:
    pass
ok(mail.login("u", "p"))
mail.logout()
# OAuth tokens: both mechanisms, and a refusal after a challenge that says why.
xoauth2 = "user=u\1auth=Bearer %s\1\1" % token
bearer = "n,a=u,\1host=localhost\1port=%d\1auth=Bearer %s\1\1" % (tls, token)
for mechanism, message, answer in [
    ("XOAUTH2", xoauth2, b""),
    ("OAUTHBEARER", bearer, b"\1"),
]:
    mail = imaplib.IMAP4_SSL("127.0.0.1", tls, ssl_context=context)
    check("AUTH=" + mechanism in mail.capabilities, mail.capabilities)
    ok(mail.authenticate(mechanism, lambda _: message.encode()))
    check(int(ok(mail.select("INBOX"))[0]) == 20, "count by token")
    mail.logout()
    mail = imaplib.IMAP4_SSL("127.0.0.1", tls, ssl_context=context)
    asked = []

    def refused(challenge):
        asked.append(challenge)
        bad = message.replace(token, "bad").encode()
        return bad if len(asked) == 1 else answer

    try:
        mail.authenticate(mechanism, refused)
        raise SystemExit("failed: bad token accepted")
    except imaplib.IMAP4.error as error:
        check("AUTHENTICATIONFAILED" in str(error), error)
    check(len(asked) == 2 and b"invalid_token" in asked[1], asked)
    mail.logout()
print("all checks passed")
