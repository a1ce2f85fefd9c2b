//! What servers of the field say at the beginning of a session, each with its habits.

use super::*;

/// No error, nothing malformed, nothing unknown.
fn clean(lines: &str) -> Vec<Response> {
    let stream = lines.replace('\n', "\r\n");
    let seen = feed(
        &mut Framer::new(Limits::default().with_inline_body(1000)),
        [stream.as_bytes()],
    );
    let response = |seen| match seen {
        Seen::Response(Response::Malformed(bad)) => panic!("{bad}"),
        Seen::Response(Response::Unknown { excerpt }) => panic!("{excerpt}"),
        Seen::Response(response) => response,
        other => panic!("{other:?}"),
    };
    seen.into_iter().map(response).collect()
}

#[test]
fn dovecot() {
    let said = clean(concat!(
        "* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN] Dovecot (Debian) ready.\n",
        "M1 OK [CAPABILITY IMAP4rev1 LITERAL+ UIDPLUS LIST-EXTENDED CONDSTORE QRESYNC LIST-STATUS MULTIAPPEND] Logged in\n",
        "* NAMESPACE ((\"\" \"/\")) NIL NIL\n",
        "* LIST (\\HasNoChildren \\UnMarked \\Trash) \"/\" Trash\n",
        "* STATUS Trash (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 1699999999 HIGHESTMODSEQ 1 SIZE 0)\n",
        "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded)\n",
        "* OK [PERMANENTFLAGS ()] Read-only mailbox.\n",
        "* 172 EXISTS\n* 0 RECENT\n* OK [UNSEEN 1] First unseen.\n* OK [UIDVALIDITY 1699999999] UIDs valid\n",
        "* OK [UIDNEXT 173] Predicted next UID\n* OK [HIGHESTMODSEQ 345] Highest\n* VANISHED (EARLIER) 3:9\n",
        "M2 OK [READ-ONLY] Examine completed (0.001 + 0.000 secs).\n",
        "* 1 FETCH (UID 1 MODSEQ (2) FLAGS (\\Seen) INTERNALDATE \"01-Jan-2020 00:00:00 +0100\" BODY[] {4}\na\nb)\n",
        "* 1 FETCH (FLAGS (\\Seen \\Recent))\n",
        "M3 OK [APPENDUID 1699999999 173:175] Append completed (0.010 + 0.000 secs).\n",
        "* OK [COPYUID 1699999999 1:2 3:4] Moved UIDs.\n* 2 EXPUNGE\n",
        "* BYE Disconnected for inactivity.\n",
    ));
    assert_eq!(said.len(), 21);
    assert!(said[0].is_greeting());
}

#[test]
fn cyrus() {
    let said = clean(concat!(
        "* OK [CAPABILITY IMAP4rev1 LITERAL+ ID ENABLE AUTH=PLAIN SASL-IR] host Cyrus IMAP 3.6.1-Debian server ready\n",
        "* ID (\"name\" \"Cyrus IMAPD\" \"version\" \"3.6.1\" \"vendor\" \"Project Cyrus\" \"os\" \"Linux\")\n",
        "* NAMESPACE ((\"INBOX.\" \".\")) ((\"user.\" \".\")) ((\"\" \".\"))\n",
        "* LIST (\\HasChildren) \".\" \"INBOX.a &- b\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\n",
        "* STATUS INBOX (MESSAGES 3 UIDNEXT 4 UIDVALIDITY 1700000000 MAILBOXID (u1d8f) APPENDLIMIT 2147483647)\n",
        "* OK [MAILBOXID (u1d8f)] Ok\n* OK [ANNOTATIONS 65536] Ok\n* OK [CLOSED] Ok\n* OK [URLMECH INTERNAL] Ok\n",
        "* 1 FETCH (FLAGS () UID 1 INTERNALDATE \" 1-Jan-2020 00:00:00 +0000\" EMAILID (Mabc) THREADID (Tdef) ",
        "SAVEDATE \"02-Jan-2020 00:00:00 +0000\")\n",
        "M4 NO Message contains NUL characters\nM5 NO [OVERQUOTA] Over quota\n",
        "M6 NO [PERMISSIONS] x\nM7 OK [MODIFIED 7,9] done\n",
    ));
    assert_eq!(said.len(), 14);
    let Response::Fetch(fetch) = &said[9] else {
        panic!("{:?}", said[9])
    };
    assert_eq!(
        (fetch.email_id.as_deref(), fetch.thread_id.as_deref()),
        (Some("Mabc"), Some("Tdef"))
    );
    assert!(
        fetch
            .internal_date
            .as_ref()
            .and_then(ServerDate::valid)
            .is_some()
    );
}

#[test]
fn courier() {
    let said = clean(concat!(
        "* OK [CAPABILITY IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=REFERENCES SORT QUOTA IDLE ACL] Courier-IMAP ready.\n",
        "* LIST (\\Unmarked \\HasNoChildren) \".\" \"INBOX.Sent\"\n",
        "* OK [MYRIGHTS \"acdilrsw\"] ACL\n",
        "* OK [PERMANENTFLAGS ($MDNSent \\* \\Draft \\Answered \\Flagged \\Deleted \\Seen)] Limited\n",
        "* 1 FETCH (UID 1 BODY[HEADER.FIELDS (\"Date\" \"From\")] {2}\n\n)\n",
        "* QUOTAROOT \"INBOX\" \"ROOT\"\n* QUOTA \"ROOT\" (STORAGE 1 2 MESSAGE 3 4)\n",
    ));
    let Response::Fetch(fetch) = &said[4] else {
        panic!("{:?}", said[4])
    };
    assert_eq!(
        fetch.sections[0].section,
        Section::HeaderFields(b"(Date From)".as_slice().into())
    );
}

#[test]
fn gmail() {
    let said = clean(concat!(
        "* OK Gimap ready for requests from 192.0.2.1 x12mb1234567\n",
        "* CAPABILITY IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID XLIST CHILDREN X-GM-EXT-1 UIDPLUS COMPRESS=DEFLATE ",
        "ENABLE MOVE CONDSTORE ESEARCH UTF8=ACCEPT LIST-EXTENDED LIST-STATUS LITERAL- SPECIAL-USE APPENDLIMIT=35651584\n",
        "* LIST (\\HasNoChildren \\Important) \"/\" \"[Gmail]/Wichtig\"\n",
        "* LIST (\\All \\HasNoChildren) \"/\" \"[Gmail]/Alle Nachrichten\"\n",
        "* 5 FETCH (X-GM-THRID 1 X-GM-MSGID 2 X-GM-LABELS (\"\\\\Inbox\" \"\\\\Sent\" foo) UID 9 FLAGS (\\Seen $NotPhishing))\n",
        "M9 NO [CANNOT] Folder contains excess whitespace\n",
        "* BYE Session expired, please login again.\n",
    ));
    let Response::Capability(set) = &said[1] else {
        panic!("{:?}", said[1])
    };
    assert!(set.gmail() && set.list_status() && set.literal_mode() == LiteralMode::Small);
    assert_eq!(set.append_limit(), Some(35_651_584));
    let Response::List(entry) = &said[3] else {
        panic!("{:?}", said[3])
    };
    assert_eq!(entry.special_uses().collect::<Vec<_>>(), [SpecialUse::All]);
}

#[test]
fn exchange() {
    let said = clean(concat!(
        "* OK The Microsoft Exchange IMAP4 service is ready. [QQBBAA==]\n",
        "* CAPABILITY IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+\n",
        "* LIST (\\HasNoChildren \\Trash) \"/\" \"Deleted Items\"\n",
        "* STATUS INBOX (MESSAGES 245 UIDNEXT 1000) \n",
        "* OK [PERMANENTFLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft $MDNSent)] Permanent flags\n",
        "* 1 FETCH (BODY[] NIL UID 7)\n",
        "* 2 FETCH (UID 8 RFC822.SIZE 0 FLAGS (\\Seen))\n",
        "M3 BAD Command Argument Error. 11\n",
        "M4 NO Request is throttled. Suggested Backoff Time: 299 milliseconds\n",
        "* BYE Connection is closed. 13\n",
    ));
    let Response::Fetch(fetch) = &said[5] else {
        panic!("{:?}", said[5])
    };
    assert_eq!(fetch.full_body(), Some(&BodyContent::Nil));
}

#[test]
fn icloud_and_yahoo() {
    let said = clean(concat!(
        "* OK [CAPABILITY XAPPLEPUSHSERVICE IMAP4 IMAP4rev1 SASL-IR AUTH=ATOKEN AUTH=PLAIN] iSCREAM ready to rumble (1P15:b)\n",
        "* 1 FETCH (RFC822 \"\" UID 5)\n",
        "* SEARCH\n",
        "M2 BAD Parse Error (\"RETURN\" unexpected)\n",
        "M3 NO [LIMIT] UID FETCH Rate limit hit.\n",
    ));
    let Response::Fetch(fetch) = &said[1] else {
        panic!("{:?}", said[1])
    };
    assert_eq!(fetch.full_body(), Some(&BodyContent::Inline("".into())));
}
