use super::*;

fn status(line: &str) -> Status {
    match one(format!("* {line}\r\n").as_bytes()) {
        Response::Status(status) => status,
        other => panic!("{other:?}"),
    }
}

fn code(text: &str) -> Option<Code> {
    status(&format!("OK [{text}] text")).code
}

#[test]
fn tagged_and_untagged_status() {
    let Response::Tagged { tag, status } = one(b"M7 no [OVERQUOTA] Quota exceeded\r\n") else {
        panic!("tagged")
    };
    assert_eq!(
        (&*tag, status.kind, status.code),
        ("M7", StatusKind::No, Some(Code::OverQuota))
    );
    assert_eq!(status.text, "Quota exceeded");
    assert_eq!(Tag::parse(&tag), Some(Tag::new(7)));
    for (line, kind) in [
        ("OK", StatusKind::Ok),
        ("BAD x", StatusKind::Bad),
        ("BYE", StatusKind::Bye),
    ] {
        assert_eq!(self::status(line).kind, kind);
    }
    assert_eq!(one(b"+ idling\r\n"), Response::Continue("idling".into()));
    assert_eq!(one(b"+\r\n"), Response::Continue("".into()));
    assert_eq!(one(b"+ \r\n"), Response::Continue("".into()));
}

#[test]
fn codes_with_arguments() {
    assert_eq!(
        code("UIDVALIDITY 3857529045"),
        Some(Code::UidValidity(3_857_529_045))
    );
    assert_eq!(code("UIDNEXT 4392"), Some(Code::UidNext(4392)));
    assert_eq!(code("UNSEEN 12"), Some(Code::Unseen(12)));
    assert_eq!(
        code("HIGHESTMODSEQ 715194045007"),
        Some(Code::HighestModSeq(715_194_045_007))
    );
    assert_eq!(code("MODIFIED 7,9"), Some(Code::Modified(set("7,9"))));
    assert_eq!(
        code("mailboxid (F2212ea87-6097)"),
        Some(Code::MailboxId("F2212ea87-6097".into()))
    );
    assert_eq!(
        code("BADCHARSET (utf-8 \"x y\")"),
        Some(Code::BadCharset(vec!["utf-8".into(), "x y".into()]))
    );
    assert_eq!(code("BADCHARSET"), Some(Code::BadCharset(vec![])));
    assert_eq!(
        code("APPENDUID 38505 3955:3957"),
        Some(Code::AppendUid {
            validity: 38505,
            uids: set("3955:3957")
        })
    );
    assert_eq!(
        code("COPYUID 38505 304,319:320 3956:3958"),
        Some(Code::CopyUid {
            validity: 38505,
            source: set("304,319:320"),
            destination: set("3956:3958")
        })
    );
    let Some(Code::PermanentFlags(flags)) =
        code("PERMANENTFLAGS (\\Deleted \\Seen $Junk [odd] \\*)")
    else {
        panic!("flags")
    };
    assert!(
        flags.may_create()
            && flags.permits(b"new")
            && flags.permits(b"\\seen")
            && flags.permits(b"[odd]")
    );
    assert!(!flags.permits(b"\\Flagged") && !flags.permits(b"\\X-new"));
    let Some(Code::PermanentFlags(flags)) = code("PERMANENTFLAGS ($Junk)") else {
        panic!("flags")
    };
    assert!(flags.permits(b"$junk") && !flags.permits(b"new"));
    let Some(Code::Capability(set)) = code("CAPABILITY IMAP4rev1 LITERAL- AUTH=PLAIN") else {
        panic!("set")
    };
    assert!(set.auth("plain") && set.literal_mode() == LiteralMode::Small);
}

#[test]
fn codes_without_arguments() {
    let table = [
        ("ALERT", Code::Alert),
        ("READ-ONLY", Code::ReadOnly),
        ("read-write", Code::ReadWrite),
        ("TRYCREATE", Code::TryCreate),
        ("NOMODSEQ", Code::NoModSeq),
        ("CLOSED", Code::Closed),
        ("ALREADYEXISTS", Code::AlreadyExists),
        ("NONEXISTENT", Code::NonExistent),
        ("TOOBIG", Code::TooBig),
        ("LIMIT", Code::Limit),
        ("UNAVAILABLE", Code::Unavailable),
        ("SERVERBUG", Code::ServerBug),
        ("CANNOT", Code::Cannot),
        ("INUSE", Code::InUse),
        ("AUTHENTICATIONFAILED", Code::AuthenticationFailed),
        ("AUTHORIZATIONFAILED", Code::AuthorizationFailed),
        ("EXPIRED", Code::Expired),
        ("PRIVACYREQUIRED", Code::PrivacyRequired),
        ("CONTACTADMIN", Code::ContactAdmin),
        ("NOPERM", Code::NoPerm),
        ("CORRUPTION", Code::Corruption),
        ("EXPUNGEISSUED", Code::ExpungeIssued),
        ("USEATTR", Code::UseAttr),
        ("NOTSAVED", Code::NotSaved),
        ("UNKNOWN-CTE", Code::UnknownCte),
        ("TOOBIG 35651584", Code::TooBig),
    ];
    for (text, expected) in table {
        assert_eq!(code(text), Some(expected), "{text}");
    }
}

#[test]
fn codes_that_make_no_sense_are_kept_as_text() {
    for text in [
        "COPYUID 1 * 2",
        "APPENDUID 0",
        "UIDNEXT -1",
        "UIDVALIDITY 99999999999",
        "PERMANENTFLAGS (\\Seen",
        "X-VENDOR (a b) c",
        "",
        "MAILBOXID F1",
        "MODIFIED 0",
    ] {
        let status = status(&format!("OK [{text}] done"));
        assert_eq!(status.code, Some(Code::Other(text.to_owned())), "{text}");
        assert_eq!(status.text, "done");
    }
    let status = self::status("OK [never closed");
    assert_eq!((status.code, status.text.as_str()), (None, "[never closed"));
}

#[test]
fn list_in_all_its_forms() {
    let list = |line: &str| match one(format!("* LIST {line}\r\n").as_bytes()) {
        Response::List(entry) => entry,
        other => panic!("{line}: {other:?}"),
    };
    let entry = list("(\\Sent \\HasNoChildren) \"/\" \"Gesendete \\\"x\\\" \\\\ \"");
    assert_eq!(&*entry.name, b"Gesendete \"x\" \\ ");
    assert_eq!(entry.special_uses().collect::<Vec<_>>(), [SpecialUse::Sent]);
    assert!(entry.is_selectable() && entry.has("\\hasnochildren"));
    assert_eq!(list("() \"\\\\\" INBOX").delimiter, Some(b'\\'));
    assert_eq!(list("() NIL 2019").delimiter, None);
    assert_eq!(&*list("() NIL 2019").name, b"2019");
    assert_eq!(&*list("() \".\" \"\"").name, b"");
    assert!(!list("(\\NoSelect) \"/\" a").is_selectable());
    assert!(!list("(\\NonExistent) \"/\" a").is_selectable());
    let entry = list(
        "(\\Subscribed) \"/\" Foo (\"CHILDINFO\" (\"SUBSCRIBED\" \"X\") X-TAG ((a) b) \"OLDNAME\" (\"old \\\\ name\"))",
    );
    assert_eq!(&*entry.name, b"Foo");
    assert_eq!(entry.child_info, ["SUBSCRIBED".into(), "X".into()]);
    assert_eq!(entry.old_name.as_deref(), Some(&b"old \\ name"[..]));
    // Names that should have been quoted.
    for bare in ["Sent Items", "Foo(bar)", "Foo (bar)", "a{5}", "x\"y"] {
        assert_eq!(&*list(&format!("() \"/\" {bare}")).name, bare.as_bytes());
    }
    let Response::Lsub(entry) = one(b"* lsub () \"/\" \"caf\xc3\xa9 \xff\"\r\n") else {
        panic!("lsub")
    };
    assert_eq!(&*entry.name, b"caf\xc3\xa9 \xff");
    for bad in [
        "",
        "()",
        "() \"/\"",
        "( \"/\" a",
        "() \"/\" \"a",
        "() \"/\" \"a\" b",
        "x \"/\" a",
    ] {
        assert!(
            matches!(
                one(format!("* LIST {bad}\r\n").as_bytes()),
                Response::Malformed(_)
            ),
            "{bad}"
        );
    }
}

#[test]
fn status_with_any_items() {
    let Response::MailboxStatus(status) = one(
        b"* STATUS \"a b\" (MESSAGES 17 RECENT 1 UIDNEXT 44292 UIDVALIDITY 1 UNSEEN 2 HIGHESTMODSEQ 7011231777 \
          SIZE 5000000000 APPENDLIMIT NIL MAILBOXID (F1) DELETED 3 X-NEW (1 (2 \"x\")) X-OLD 7) \r\n",
    ) else {
        panic!("status")
    };
    assert_eq!(&*status.name, b"a b");
    assert_eq!(
        (
            status.messages,
            status.recent,
            status.unseen,
            status.deleted
        ),
        (Some(17), Some(1), Some(2), Some(3))
    );
    assert_eq!(
        (status.uid_next, status.uid_validity),
        (Some(44292), Some(1))
    );
    assert_eq!(
        (status.highest_modseq, status.size),
        (Some(7_011_231_777), Some(5_000_000_000))
    );
    assert_eq!(
        (status.append_limit, status.mailbox_id.as_deref()),
        (None, Some("F1"))
    );
    let Response::MailboxStatus(status) = one(b"* STATUS x (MESSAGES -1 UIDNEXT 5)\r\n") else {
        panic!("status")
    };
    assert_eq!((status.messages, status.uid_next), (None, Some(5)));
    for bad in [
        "x",
        "x (",
        "x (MESSAGES",
        "x (MESSAGES)",
        "(MESSAGES 1)",
        "x (MESSAGES 1) y",
    ] {
        assert!(
            matches!(
                one(format!("* STATUS {bad}\r\n").as_bytes()),
                Response::Malformed(_)
            ),
            "{bad}"
        );
    }
}

#[test]
fn namespaces() {
    // RFC 2342 §5, examples 5.1, 5.4 and 5.9.
    let read = |line: &str| match one(format!("* NAMESPACE {line}\r\n").as_bytes()) {
        Response::Namespace(spaces) => spaces,
        other => panic!("{other:?}"),
    };
    let spaces = read("((\"\" \"/\")) NIL NIL");
    assert_eq!(
        (
            spaces.personal.len(),
            spaces.others.len(),
            spaces.shared.len()
        ),
        (1, 0, 0)
    );
    let spaces = read(
        "((\"\" \"/\")) ((\"~\" \"/\")) ((\"#shared/\" \"/\")(\"#public/\" \"\\\\\") (\"#ftp/\" NIL))",
    );
    assert_eq!(&*spaces.others[0].prefix, b"~");
    let delimiters: Vec<_> = spaces.shared.iter().map(|space| space.delimiter).collect();
    assert_eq!(delimiters, [Some(b'/'), Some(b'\\'), None]);
    let spaces = read(
        "((\"\" \"/\" \"TRANSLATION\" (\"x\"))(\"#mh/\" \"/\" \"X-PARAM\" (\"FLAG1\" \"FLAG2\"))) NIL NIL",
    );
    assert_eq!(&*spaces.personal[1].prefix, b"#mh/");
    assert!(matches!(
        one(b"* NAMESPACE ((\"\" \"/\")) NIL\r\n"),
        Response::Malformed(_)
    ));
}

#[test]
fn searches() {
    let search = |line: &str| match one(format!("* SEARCH{line}\r\n").as_bytes()) {
        Response::Search(search) => (search.ids, search.modseq),
        other => panic!("{other:?}"),
    };
    assert_eq!(search(""), (vec![], None));
    assert_eq!(search(" 2  84 882 "), (vec![2, 84, 882], None));
    assert_eq!(
        search(" 2 5 6 (MODSEQ 917162500)"),
        (vec![2, 5, 6], Some(917_162_500))
    );
    assert!(matches!(one(b"* SEARCH 1 x\r\n"), Response::Malformed(_)));
    let esearch = |line: &str| match one(format!("* {line}\r\n").as_bytes()) {
        Response::Esearch(found) => *found,
        other => panic!("{other:?}"),
    };
    let found = esearch(
        "ESEARCH (TAG \"A282\") UID MIN 2 MAX 47 COUNT 25 ALL 4,17:47 MODSEQ 9 PARTIAL (1:100 2,3)",
    );
    assert_eq!((found.tag.as_deref(), found.uid), (Some("A282"), true));
    assert_eq!(
        (found.min, found.max, found.count, found.modseq),
        (Some(2), Some(47), Some(25), Some(9))
    );
    assert_eq!(found.all, Some(set("4,17:47")));
    let found = esearch("esearch (tag M1) uid modseq (9) all 1");
    assert_eq!(
        (found.tag.as_deref(), found.modseq, found.all),
        (Some("M1"), Some(9), Some(set("1")))
    );
    assert_eq!(esearch("ESEARCH"), Esearch::default());
    let vanished = |line: &str| match one(format!("* {line}\r\n").as_bytes()) {
        Response::Vanished(vanished) => (vanished.earlier, vanished.uids.to_string()),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        vanished("VANISHED (EARLIER) 41,43:116,118"),
        (true, "41,43:116,118".to_owned())
    );
    assert_eq!(
        vanished("VANISHED 300:310,405"),
        (false, "300:310,405".to_owned())
    );
    assert!(matches!(
        one(b"* VANISHED (EARLIER) 1:*\r\n"),
        Response::Malformed(_)
    ));
}

#[test]
fn the_rest() {
    assert_eq!(one(b"* 18 EXISTS\r\n"), Response::Exists(18));
    assert_eq!(one(b"* 2 recent\r\n"), Response::Recent(2));
    assert_eq!(one(b"* 44 EXPUNGE\r\n"), Response::Expunge(44));
    assert!(matches!(
        one(b"* 4294967296 EXISTS\r\n"),
        Response::Malformed(_)
    ));
    assert!(matches!(
        one(b"* 3 X-WHATEVER\r\n"),
        Response::Unknown { .. }
    ));
    assert!(matches!(
        one(b"* XLIST () NIL a\r\n"),
        Response::Unknown { .. }
    ));
    let Response::Flags(flags) = one(b"* FLAGS (\\Answered $Label1 \"a b\")\r\n") else {
        panic!("flags")
    };
    assert_eq!(flags.others().count(), 2);
    let Response::Id(id) = one(b"* ID (\"name\" \"Cyrus\" \"os\" NIL \"x\" {1}\r\n\")\r\n") else {
        panic!("id")
    };
    assert_eq!(id[0], ("name".into(), Some("Cyrus".into())));
    assert_eq!((&id[1].1, &id[2].1), (&None, &Some("\"".into())));
    assert_eq!(one(b"* ID NIL\r\n"), Response::Id(vec![]));
}

#[test]
fn what_imap_proto_reads_and_what_it_can_not() {
    // The left line goes through imap-proto, the right one needs our own reader; both must say the same.
    let pairs = [
        (
            "CAPABILITY IMAP4rev1 AUTH=PLAIN LITERAL+",
            "CAPABILITY IMAP4rev1  AUTH=PLAIN LITERAL+ \u{1}",
        ),
        ("ENABLED QRESYNC CONDSTORE", "ENABLED QRESYNC  CONDSTORE"),
        (
            "QUOTA \"\" (STORAGE 10 512 X-ANNOTATION 1 2)",
            "QUOTA {0}\r\n (storage 10 512  x-annotation 1 2 )",
        ),
        (
            "QUOTAROOT INBOX \"\" \"b\"",
            "QUOTAROOT {5}\r\nINBOX \"\" \"b\"",
        ),
    ];
    for (easy, hard) in pairs {
        assert!(
            proto::parse(format!("* {easy}").as_bytes()).is_some(),
            "{easy}"
        );
        assert!(
            proto::parse(format!("* {hard}").as_bytes()).is_none(),
            "{hard}"
        );
        let easy = one(format!("* {easy}\r\n").as_bytes());
        let hard = one(format!("* {}\r\n", hard.replace(" \u{1}", "")).as_bytes());
        assert_eq!(easy, hard);
    }
    let Response::Capability(set) = one(b"* CAPABILITY IMAP4rev2 AUTH=X\r\n") else {
        panic!("set")
    };
    assert!(set.is_imap4() && !set.has("IMAP4rev1") && set.has("uidplus") && !set.has("QRESYNC"));
    assert_eq!(set.literal_mode(), LiteralMode::Small);
    let Response::Capability(set) =
        one(b"* CAPABILITY IMAP4rev1 IMAP4rev2 APPENDLIMIT=35651584 QRESYNC\r\n")
    else {
        panic!("set")
    };
    assert!(!set.has("UIDPLUS") && set.condstore() && set.append_limit() == Some(35_651_584));
    let Response::Quota(quota) = one(b"* QUOTA \"a\\\"b\" (STORAGE 1 2)\r\n") else {
        panic!("quota")
    };
    assert_eq!(&*quota.root, b"a\"b");
}

#[test]
fn the_killers_of_imap_proto_do_no_harm() {
    let deep = format!("* 1 FETCH (BODYSTRUCTURE {})\r\n", "(".repeat(400));
    assert!(matches!(
        &see(deep.as_bytes())[..],
        [Seen::Error(WireError::TooDeep { .. })]
    ));
    assert_eq!(
        one_fetch(b"* 1 FETCH (INTERNALDATE NIL)\r\n").internal_date,
        Some(ServerDate::Nil)
    );
    let Response::Tagged { status, .. } = one("a OK [READ-WRITE]\u{e9}\r\n".as_bytes()) else {
        panic!("tagged")
    };
    assert_eq!(
        (status.code, status.text.as_str()),
        (Some(Code::ReadWrite), "\u{e9}")
    );
    let metadata = one(b"* METADATA \"\" (/shared/\xff {2}\r\n\xff\xfe)\r\n");
    let Response::Metadata(metadata) = metadata else {
        panic!("{metadata:?}")
    };
    let value = (&*metadata.entries[0].0, metadata.entries[0].1.as_deref());
    assert_eq!(value, ("/shared/\u{fffd}", Some(&b"\xff\xfe"[..])));
    assert_eq!(
        one_fetch(b"* 1 FETCH (RFC822.SIZE 4294967297)\r\n").size,
        Some(4_294_967_297)
    );
}

#[test]
fn metadata_with_and_without_values() {
    let read = |text: &[u8]| match one(text) {
        Response::Metadata(metadata) => metadata.entries,
        other => panic!("{other:?}"),
    };
    let entry = |name: &str, value: Option<&[u8]>| (name.into(), value.map(Into::into));
    assert_eq!(
        read(b"* METADATA INBOX (/private/comment \"a\" /shared/b NIL /c \"NIL\" /d ~{2}\r\n\0x)\r\n"),
        [
            entry("/private/comment", Some(b"a")),
            entry("/shared/b", None),
            entry("/c", Some(b"NIL")),
            entry("/d", Some(b"\0x")),
        ]
    );
    assert_eq!(read(b"* METADATA \"\" ()\r\n"), []);
    // News without values (RFC 5464 section 4.4.2).
    let news = one(b"* METADATA \"INBOX\" /shared/comment /private/comment\r\n");
    assert!(matches!(news, Response::Unknown { .. }));
    let broken = one(b"* METADATA INBOX (/private/comment)\r\n");
    assert!(matches!(broken, Response::Malformed(_)));
}

#[test]
fn what_a_limit_left_out() {
    let code = |line: &[u8]| match one(line) {
        Response::Tagged { status, .. } => status.code,
        other => panic!("{other:?}"),
    };
    let limit = |limit, lowest| Some(Code::MessageLimit { limit, lowest });
    assert_eq!(
        code(b"a OK [MESSAGELIMIT 1000 23221] in part\r\n"),
        limit(1000, Some(23_221))
    );
    assert_eq!(code(b"a NO [messagelimit 1000] no\r\n"), limit(1000, None));
    let odd = Some(Code::Other("MESSAGELIMIT x".to_owned()));
    assert_eq!(code(b"a NO [MESSAGELIMIT x] no\r\n"), odd);
}
