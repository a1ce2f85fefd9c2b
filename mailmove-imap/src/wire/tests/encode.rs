use super::*;

const TAG: Tag = Tag::new(1);

fn any() -> Encoder {
    Encoder::new(LiteralMode::Any)
}

fn sync() -> Encoder {
    Encoder::new(LiteralMode::Synchronizing)
}

/// All that goes over the wire; waits as `<+>`, messages as `<index:len>`.
fn wire(command: Command) -> String {
    let part = |segment| match segment {
        Segment::Bytes(bytes) | Segment::Secret(bytes) => bytes.escape_ascii().to_string(),
        Segment::AwaitContinue => "<+>".to_owned(),
        Segment::Message { index, len } => format!("<{index}:{len}>"),
    };
    command.into_segments().into_iter().map(part).collect()
}

fn line(command: Command) -> String {
    let text = wire(command);
    text.strip_prefix("M1 ")
        .and_then(|text| text.strip_suffix("\\r\\n"))
        .expect("a line")
        .to_owned()
}

#[test]
fn simple_commands() {
    let e = any();
    let table = [
        (e.capability(TAG), "CAPABILITY"),
        (e.noop(TAG), "NOOP"),
        (e.logout(TAG), "LOGOUT"),
        (e.starttls(TAG), "STARTTLS"),
        (e.unselect(TAG), "UNSELECT"),
        (e.namespace(TAG), "NAMESPACE"),
        (e.compress(TAG), "COMPRESS DEFLATE"),
    ];
    for (command, expected) in table {
        assert_eq!(command.segments().len(), 1);
        assert_eq!(line(command), expected);
    }
}

#[test]
fn mailbox_names_are_quoted_or_literal() {
    let create = |e: Encoder, text: &[u8]| {
        wire(
            e.create(TAG, &MailboxName::new(text).expect("a name"), None)
                .expect("valid"),
        )
    };
    assert_eq!(
        create(any(), b"a \"b\" \\"),
        r#"M1 CREATE \"a \\\"b\\\" \\\\\"\r\n"#
    );
    assert_eq!(create(any(), b"caf\xe9"), r"M1 CREATE {4+}\r\ncaf\xe9\r\n");
    assert_eq!(
        create(sync(), b"caf\xe9"),
        r"M1 CREATE {4}\r\n<+>caf\xe9\r\n"
    );
    assert_eq!(create(sync(), b"a\tb"), r"M1 CREATE {3}\r\n<+>a\tb\r\n");
    let long = "x".repeat(600);
    assert_eq!(
        create(sync(), long.as_bytes()),
        format!(r"M1 CREATE {{600}}\r\n<+>{long}\r\n")
    );
    for bad in [&b""[..], b"a\rb", b"a\nM2 DELETE INBOX", b"a\0b"] {
        assert_eq!(MailboxName::new(bad), Err(EncodeError::MailboxName));
    }
    assert_eq!(
        MailboxName::from_text("T\u{e4}glich\n"),
        MailboxName::new(&b"T&AOQ-glich&AAo-"[..])
    );
    assert_eq!(
        line(
            any()
                .create(TAG, &name("S"), Some(SpecialUse::Sent))
                .expect("valid")
        ),
        r#"CREATE \"S\" (USE (\\Sent))"#
    );
}

#[test]
fn credentials_are_sent_but_never_shown() {
    let login = any().login(TAG, "me@example.org", "p\"w\\").expect("valid");
    assert_eq!(format!("{login:?}"), r"M1 LOGIN <secret> <secret>\r\n");
    assert_eq!(line(login), r#"LOGIN \"me@example.org\" \"p\\\"w\\\\\""#);
    let login = any().login(TAG, "m\u{fc}", "a\r\nM2 NOOP").expect("valid");
    // A line break never goes ahead of the server's consent.
    assert_eq!(
        wire(login.clone()),
        r"M1 LOGIN {3+}\r\nm\xc3\xbc {10}\r\n<+>a\r\nM2 NOOP\r\n"
    );
    assert!(login.waits() && !format!("{login:?}").contains("NOOP"));
    assert_eq!(any().login(TAG, "a", "b\0"), Err(EncodeError::Nul));
    let plain = any()
        .authenticate_plain(TAG, "", "tim", "tanstaaftanstaaf", true)
        .expect("valid");
    assert_eq!(format!("{plain}"), r"M1 AUTHENTICATE PLAIN <secret>\r\n");
    assert_eq!(
        line(plain),
        "AUTHENTICATE PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm"
    );
    let plain = any()
        .authenticate_plain(TAG, "Ursel", "Kurt", "xipj3plmq", false)
        .expect("valid");
    assert_eq!(
        wire(plain),
        r"M1 AUTHENTICATE PLAIN\r\n<+>VXJzZWwAS3VydAB4aXBqM3BsbXE=\r\n"
    );
    assert_eq!(
        any().authenticate_plain(TAG, "a\0b", "c", "d", true),
        Err(EncodeError::Nul)
    );
    assert_eq!(
        any().authenticate(TAG, "X Y", b"", true),
        Err(EncodeError::Atom)
    );
    assert_eq!(
        line(
            any()
                .authenticate(TAG, "EXTERNAL", b"", true)
                .expect("valid")
        ),
        "AUTHENTICATE EXTERNAL ="
    );
}

#[test]
fn session_commands() {
    let e = any();
    assert_eq!(
        line(
            e.id(TAG, &[("name", "mailmove"), ("version", "0.1")])
                .expect("valid")
        ),
        r#"ID (\"name\" \"mailmove\" \"version\" \"0.1\")"#
    );
    assert_eq!(line(e.id(TAG, &[]).expect("valid")), "ID NIL");
    assert_eq!(
        line(e.enable(TAG, &["QRESYNC", "CONDSTORE"]).expect("valid")),
        "ENABLE QRESYNC CONDSTORE"
    );
    assert_eq!(e.enable(TAG, &[]), Err(EncodeError::Empty));
    assert_eq!(e.enable(TAG, &["A\r\nB"]), Err(EncodeError::Atom));
    assert_eq!(
        line(e.list(TAG, b"", b"*", None).expect("valid")),
        r#"LIST \"\" \"*\""#
    );
    let returns = ListReturn {
        subscribed: true,
        special_use: true,
        status: vec![StatusItem::Messages, StatusItem::Size],
        ..ListReturn::default()
    };
    assert_eq!(
        line(e.list(TAG, b"", b"INBOX.*", Some(&returns)).expect("valid")),
        r#"LIST \"\" \"INBOX.*\" RETURN (SUBSCRIBED SPECIAL-USE STATUS (MESSAGES SIZE))"#
    );
    assert_eq!(
        line(
            e.list(TAG, b"", b"%", Some(&ListReturn::default()))
                .expect("valid")
        ),
        r#"LIST \"\" \"%\" RETURN ()"#
    );
    assert_eq!(
        e.list(TAG, b"", b"a\nb", None),
        Err(EncodeError::MailboxName)
    );
    assert_eq!(
        line(e.lsub(TAG, b"", b"*").expect("valid")),
        r#"LSUB \"\" \"*\""#
    );
    assert_eq!(
        line(e.subscribe(TAG, &name("a")).expect("valid")),
        r#"SUBSCRIBE \"a\""#
    );
    assert_eq!(
        line(e.get_quota_root(TAG, &MailboxName::inbox()).expect("valid")),
        r#"GETQUOTAROOT \"INBOX\""#
    );
    let all = [
        StatusItem::UidNext,
        StatusItem::UidValidity,
        StatusItem::HighestModSeq,
        StatusItem::MailboxId,
    ];
    assert_eq!(
        line(e.status(TAG, &name("a"), &all).expect("valid")),
        r#"STATUS \"a\" (UIDNEXT UIDVALIDITY HIGHESTMODSEQ MAILBOXID)"#
    );
    assert_eq!(e.status(TAG, &name("a"), &[]), Err(EncodeError::Empty));
    assert_eq!(
        line(
            e.select(TAG, &name("a"), &SelectParams::Plain)
                .expect("valid")
        ),
        r#"SELECT \"a\""#
    );
    assert_eq!(
        line(
            e.examine(TAG, &name("a"), &SelectParams::Condstore)
                .expect("valid")
        ),
        r#"EXAMINE \"a\" (CONDSTORE)"#
    );
    let qresync = |known| SelectParams::Qresync {
        validity: 67_890_007,
        modseq: 20_050_715_194_045_000,
        known,
    };
    assert_eq!(
        line(
            e.select(TAG, &name("a"), &qresync(Some(set("41,43:211"))))
                .expect("valid")
        ),
        r#"SELECT \"a\" (QRESYNC (67890007 20050715194045000 41,43:211))"#
    );
    assert_eq!(
        line(e.select(TAG, &name("a"), &qresync(None)).expect("valid")),
        r#"SELECT \"a\" (QRESYNC (67890007 20050715194045000))"#
    );
}

#[test]
fn message_commands() {
    let e = any();
    let fields = ["Date", "Message-ID"].map(|field| FieldName::new(field).expect("a field"));
    let items = [
        FetchItem::Uid,
        FetchItem::Flags,
        FetchItem::HeaderFields(fields.to_vec()),
        FetchItem::Body,
    ];
    assert_eq!(
        line(
            e.uid_fetch(TAG, &set("1:3,7"), &items, FetchParams::default())
                .expect("valid")
        ),
        "UID FETCH 1:3,7 (UID FLAGS BODY.PEEK[HEADER.FIELDS (Date Message-ID)] BODY.PEEK[])"
    );
    let items = [FetchItem::BodyPart { start: 0, len: 99 }, FetchItem::Binary];
    assert_eq!(
        line(
            e.uid_fetch(
                TAG,
                &UidSet::from_start(9),
                &items,
                FetchParams::changed_since(5, true)
            )
            .expect("valid")
        ),
        "UID FETCH 9:* (BODY.PEEK[]<0.99> BINARY.PEEK[]) (CHANGEDSINCE 5 VANISHED)"
    );
    assert_eq!(
        e.uid_fetch(TAG, &set("1"), &[], FetchParams::default()),
        Err(EncodeError::Empty)
    );
    assert_eq!(
        e.uid_fetch(TAG, &UidSet::default(), &items, FetchParams::default()),
        Err(EncodeError::Empty)
    );
    let field = FieldName::new("Message-ID").expect("a field");
    let keys = [
        SearchKey::Uid(set("5:9")),
        SearchKey::Not(Box::new(SearchKey::Deleted)),
        SearchKey::Or(
            Box::new(SearchKey::ModSeq(7)),
            Box::new(SearchKey::Larger(9)),
        ),
        SearchKey::Since(SearchDate::from_unix(0).expect("a day")),
        SearchKey::Header(field.clone(), b"<a@b>".as_slice().into()),
    ];
    assert_eq!(
        line(e.uid_search(TAG, &keys, true).expect("valid")),
        r#"UID SEARCH RETURN (ALL) UID 5:9 NOT DELETED OR MODSEQ 7 LARGER 9 SINCE 1-Jan-1970 HEADER Message-ID \"<a@b>\""#
    );
    let eight = SearchKey::Not(Box::new(SearchKey::Header(
        field,
        "\u{e9}".as_bytes().into(),
    )));
    assert_eq!(
        wire(sync().uid_search(TAG, &[eight], false).expect("valid")),
        r"M1 UID SEARCH CHARSET UTF-8 NOT HEADER Message-ID {2}\r\n<+>\xc3\xa9\r\n"
    );
    let mut flags = FlagSet::new();
    flags.insert(SystemFlag::Seen);
    flags.insert(SystemFlag::Recent);
    flags.insert_keyword(Keyword::new(b"$Forwarded").expect("a keyword"));
    assert_eq!(
        line(
            e.uid_store(TAG, &set("4"), StoreMode::Add, &flags, true, Some(12))
                .expect("valid")
        ),
        r"UID STORE 4 (UNCHANGEDSINCE 12) +FLAGS.SILENT (\\Seen $Forwarded)"
    );
    assert_eq!(
        line(
            e.uid_store(TAG, &set("4"), StoreMode::Remove, &flags, false, None)
                .expect("valid")
        ),
        r"UID STORE 4 -FLAGS (\\Seen $Forwarded)"
    );
    assert_eq!(
        line(e.uid_copy(TAG, &set("4"), &name("a")).expect("valid")),
        r#"UID COPY 4 \"a\""#
    );
    assert_eq!(
        line(e.uid_move(TAG, &set("4"), &name("a")).expect("valid")),
        r#"UID MOVE 4 \"a\""#
    );
    assert_eq!(
        line(e.uid_expunge(TAG, &set("4:6")).expect("valid")),
        "UID EXPUNGE 4:6"
    );
}

#[test]
fn append_in_all_literal_modes() {
    let date = InternalDate::new(0, 60).expect("a date");
    let mut flags = FlagSet::new();
    flags.insert(SystemFlag::Flagged);
    let messages = [
        AppendMessage::new(4096).with_flags(flags).with_date(date),
        AppendMessage::new(4097),
    ];
    let append = |mode| {
        wire(
            Encoder::new(mode)
                .append(TAG, &name("a"), &messages)
                .expect("valid"),
        )
    };
    let head = r#"M1 APPEND \"a\" (\\Flagged) \"01-Jan-1970 01:00:00 +0100\" "#;
    assert_eq!(
        append(LiteralMode::Any),
        format!(r"{head}{{4096+}}\r\n<0:4096> {{4097+}}\r\n<1:4097>\r\n")
    );
    assert_eq!(
        append(LiteralMode::Small),
        format!(r"{head}{{4096+}}\r\n<0:4096> {{4097}}\r\n<+><1:4097>\r\n")
    );
    assert_eq!(
        append(LiteralMode::Synchronizing),
        format!(r"{head}{{4096}}\r\n<+><0:4096> {{4097}}\r\n<+><1:4097>\r\n")
    );
    let careful = [AppendMessage::new(3)
        .with_synchronizing(true)
        .with_binary(true)];
    let command = any().append(TAG, &name("a"), &careful).expect("valid");
    assert_eq!(
        command.wire_len(),
        b"M1 APPEND \"a\" ~{3}\r\n123\r\n".len() as u64
    );
    assert_eq!(wire(command), r#"M1 APPEND \"a\" ~{3}\r\n<+><0:3>\r\n"#);
    assert_eq!(any().append(TAG, &name("a"), &[]), Err(EncodeError::Empty));
    assert_eq!(
        any().append(TAG, &name("a"), &[AppendMessage::new(0)]),
        Err(EncodeError::EmptyMessage)
    );
}

#[test]
fn only_clean_flags_pass() {
    let received: Flags = [
        &b"\\Seen"[..],
        b"\\Recent",
        b"\\X-Odd",
        b"Work",
        b"caf\xe9",
        b"two words",
        b"a]",
        b"$Junk",
    ]
    .into_iter()
    .collect();
    let (mut flags, refused) = FlagSet::from_received(&received);
    assert_eq!(flags.to_string(), "(\\Seen Work $Junk)");
    let refused: Vec<&[u8]> = refused.iter().map(|flag| &**flag).collect();
    assert_eq!(refused, [&b"\\X-Odd"[..], b"caf\xe9", b"two words", b"a]"]);
    flags.retain(|flag| flag != "\\Seen" && flag != "Work");
    assert_eq!(flags.to_string(), "($Junk)");
    for bad in [
        "",
        "\\Seen",
        "a b",
        "a(",
        "a\r\nb",
        "%",
        "*",
        "a\"",
        &"x".repeat(129),
    ] {
        assert_eq!(
            Keyword::new(bad.as_bytes()),
            Err(EncodeError::Keyword),
            "{bad}"
        );
    }
    assert!(Keyword::new(b"a/b").is_ok_and(|keyword| !keyword.is_plain()));
    assert!(Keyword::new("x".repeat(128).as_bytes()).is_ok_and(|keyword| keyword.is_plain()));
    for bad in ["", "a:b", "a b", "a)", "x\r"] {
        assert_eq!(FieldName::new(bad), Err(EncodeError::Atom));
    }
}

#[test]
fn sets_are_compressed_and_split() {
    let uids: UidSet = [9, 3, 4, 5, 0, 5, 7].into_iter().collect();
    assert_eq!(uids.to_string(), "3:5,7,9");
    assert_eq!(
        (uids.count(), uids.iter().collect::<Vec<_>>()),
        (5, vec![3, 4, 5, 7, 9])
    );
    assert!(uids.contains(4) && !uids.contains(6));
    let odd: UidSet = (0..20_000).map(|uid| uid * 2 + 1).collect();
    assert!(matches!(
        any().uid_expunge(TAG, &odd),
        Err(EncodeError::SetTooLong(_))
    ));
    let parts = odd.split(MAX_SET);
    for part in &parts {
        assert_eq!(part.text_len(), part.to_string().len());
        assert!(part.text_len() <= MAX_SET);
        assert!(
            any()
                .uid_expunge(TAG, part)
                .expect("short enough")
                .wire_len()
                < 8192
        );
    }
    assert_eq!(
        parts.iter().flat_map(UidSet::iter).collect::<Vec<_>>(),
        odd.iter().collect::<Vec<_>>()
    );
    assert!(parts.len() < odd.text_len() / (MAX_SET - 10) + 2);
    for bad in [
        "",
        "0",
        "1:",
        ":2",
        "1,",
        "*",
        "1:*",
        "4294967296",
        "1 2",
        "a",
    ] {
        assert_eq!(UidSet::parse(bad.as_bytes()), None, "{bad}");
    }
    assert_eq!(set("9:7").to_string(), "7:9");
}

/// `*` is the last message whatever its UID: to expunge or move that would hit another one.
#[test]
fn the_highest_possible_uid_is_not_the_last_message() {
    for (uids, text) in [
        (vec![u32::MAX], "4294967295"),
        (vec![3, u32::MAX - 1, u32::MAX], "3,4294967294:4294967295"),
    ] {
        let uids: UidSet = uids.into_iter().collect();
        assert_eq!(uids.to_string(), text);
        assert_eq!(uids.text_len(), text.len());
        assert_eq!(uids, set(text));
    }
    assert_eq!(UidSet::from_start(u32::MAX).to_string(), "4294967295:*");
}

#[test]
fn tags() {
    for number in [0, 1, 42, u32::MAX] {
        assert_eq!(
            Tag::parse(&Tag::new(number).to_string()),
            Some(Tag::new(number))
        );
    }
    for bad in ["", "M", "M01", "M-1", "N1", "M4294967296", "M1 "] {
        assert_eq!(Tag::parse(bad), None, "{bad}");
    }
}

#[test]
fn metadata() {
    let get = |longest| any().get_metadata(TAG, &name("a"), &["/private", "/shared"], longest);
    assert_eq!(
        line(get(Some(9)).expect("valid")),
        r#"GETMETADATA (MAXSIZE 9 DEPTH infinity) \"a\" (\"/private\" \"/shared\")"#
    );
    assert_eq!(
        line(get(None).expect("valid")),
        r#"GETMETADATA \"a\" (\"/private\" \"/shared\")"#
    );
    assert!(any().get_metadata(TAG, &name("a"), &[], None).is_err());
    let set = |value| {
        let command = any().set_metadata(TAG, &name("a"), "/p/c", value);
        line(command.expect("valid"))
    };
    let head = r#"SETMETADATA \"a\" (\"/p/c\" "#;
    assert_eq!(set(b"x y"), format!(r#"{head}\"x y\")"#));
    assert_eq!(set(b"\xff"), format!(r"{head}{{1+}}\r\n\xff)"));
    // What may look like a command, and what only some understand, waits for leave.
    assert_eq!(set(b"a\r\nb"), format!(r"{head}{{4}}\r\n<+>a\r\nb)"));
    assert_eq!(set(b"a\0"), format!(r"{head}~{{2}}\r\n<+>a\x00)"));
}

#[test]
fn append_of_headers_in_utf8() {
    let date = InternalDate::new(0, 0).expect("a date");
    let append = |message: AppendMessage| {
        let messages = [message.with_utf8(true)];
        let command = any().append(TAG, &name("a"), &messages);
        line(command.expect("valid"))
    };
    assert_eq!(
        append(AppendMessage::new(3).with_date(date)),
        r#"APPEND \"a\" \"01-Jan-1970 00:00:00 +0000\" UTF8 (~{3+}\r\n<0:3>)"#
    );
    assert_eq!(
        append(AppendMessage::new(3)),
        r#"APPEND \"a\" () UTF8 (~{3+}\r\n<0:3>)"#
    );
}
