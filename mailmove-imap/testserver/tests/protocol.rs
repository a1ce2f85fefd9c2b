//! The protocol as a strict client sees it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use mailmove_imap_testserver::{Builder, Capability};
use mailmove_testkit::mailbox::{InternalDate, NewMessage};
use support::{Client, server};

const MAIL: &str = "From: a@b.c\r\nSubject: hello\r\nMessage-ID: <1@x>\r\n\r\nbody\r\n";

#[tokio::test]
async fn login_in_every_way() {
    let (server, _) = server(|b| b.admin("root", "r")).await;
    let address = server.plain_address();
    let (mut client, greeting) = Client::connect(address).await;
    assert!(greeting.starts_with("* OK [CAPABILITY IMAP4rev1 ") && greeting.contains("STARTTLS"));
    assert_eq!(client.last("SELECT INBOX").await, "BAD not authenticated");
    assert!(
        client
            .last("LOGIN u wrong")
            .await
            .starts_with("NO [AUTHENTICATIONFAILED]")
    );
    assert!(client.ok("LOGIN \"u\" {1+}\r\np").await[0].contains("LIST-STATUS"));
    assert!(client.last("LOGIN u p").await.starts_with("BAD"));

    // "\0u\0p", "u\0root\0r", "u\0u\0p", "root\0u\0p"
    for (message, expected) in [
        ("AHUAcA==", "OK"),
        ("dQByb290AHI=", "OK"),
        ("dQB1AHA=", "OK"),
        ("cm9vdAB1AHA=", "NO [AUTHORIZATIONFAILED]"),
        ("AHUAeA==", "NO [AUTHENTICATIONFAILED]"),
        ("???", "BAD"),
        ("*", "BAD"),
    ] {
        let (mut client, _) = Client::connect(address).await;
        let answer = client.last(format!("AUTHENTICATE PLAIN {message}")).await;
        assert!(answer.starts_with(expected), "{message}: {answer}");
        let (mut client, _) = Client::connect(address).await;
        client.send("x AUTHENTICATE PLAIN\r\n").await;
        assert_eq!(client.line().await.unwrap(), "+ ");
        client.send(format!("{message}\r\n")).await;
        let answer = client.line().await.unwrap();
        assert!(
            answer.starts_with(&format!("x {expected}")),
            "{message}: {answer}"
        );
    }
}

#[tokio::test]
async fn tls_from_the_start_and_later() {
    let (server, _) = server(Builder::login_needs_tls).await;
    let client = Client::open(server.tls_address()).await;
    let mut client = client.start_tls(server.ca_pem()).await.unwrap();
    assert!(!client.line().await.unwrap().contains("STARTTLS"));
    client.ok("LOGIN u p").await;

    let (mut client, greeting) = Client::connect(server.plain_address()).await;
    assert!(greeting.contains("LOGINDISABLED") && !greeting.contains("AUTH=PLAIN"));
    assert!(
        client
            .last("LOGIN u p")
            .await
            .starts_with("NO [PRIVACYREQUIRED]")
    );
    // What follows STARTTLS in clear text is forgotten, not run.
    client.send("a STARTTLS\r\nb NOOP\r\n").await;
    assert!(client.line().await.unwrap().starts_with("a OK"));
    let mut client = client.start_tls(server.ca_pem()).await.unwrap();
    let answers = client.ok("CAPABILITY").await;
    assert!(
        answers[0].contains("AUTH=PLAIN") && !answers[0].contains("STARTTLS"),
        "{answers:?}"
    );
    assert_eq!(server.counters().command("NOOP"), 0);
    assert!(client.last("STARTTLS").await.starts_with("BAD"));
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let (server, _) = server(Builder::expired_certificate).await;
    let client = Client::open(server.tls_address()).await;
    let error = client.start_tls(server.ca_pem()).await.err().unwrap();
    assert!(error.to_string().contains("xpired"), "{error}");
}

#[tokio::test]
async fn append_stores_what_it_got() {
    let (server, account) = server(|b| b).await;
    let mut client = Client::login(&server).await;
    let options = "(\\Seen $Junk) \"17-Jul-1996 02:44:25 -0700\" ";
    let validity = account.folder(&["INBOX"]).unwrap().uid_validity;
    let answer = client.append("INBOX", options, MAIL).await;
    assert_eq!(answer, format!("OK [APPENDUID {validity} 1] appended"));
    client
        .send(format!("s APPEND inbox {{{}}}\r\n", MAIL.len()))
        .await;
    assert!(client.line().await.unwrap().starts_with("+ "));
    client.send(format!("{MAIL}\r\n")).await;
    assert!(
        client
            .line()
            .await
            .unwrap()
            .starts_with(&format!("s OK [APPENDUID {validity} 2]"))
    );
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    let messages = account.messages(inbox).unwrap();
    assert_eq!(messages[0].body, MAIL);
    assert_eq!(messages[0].date, InternalDate::new(837_596_665, -420));
    assert_eq!(
        messages[0].flags.iter().collect::<Vec<_>>(),
        ["$Junk", "\\Seen"]
    );
    let counters = server.counters();
    assert_eq!(
        (
            counters.literals_synchronising,
            counters.literals_non_synchronising
        ),
        (1, 1)
    );
    assert_eq!(
        (counters.messages_appended, counters.command("append")),
        (2, 2)
    );
}

#[tokio::test]
async fn multiappend_is_atomic() {
    let (server, account) = server(|b| b).await;
    let mut client = Client::login(&server).await;
    let two = "APPEND INBOX {1+}\r\na (\\Seen) {2+}\r\nbb";
    assert!(client.last(two).await.contains(" 1:2]"));
    account.configure(|limits| limits.refuse_nul = true);
    let answer = client
        .last("APPEND INBOX {1+}\r\na {2+}\r\n\0b {1+}\r\nc")
        .await;
    assert!(answer.starts_with("NO"), "{answer}");
    let answer = client
        .last("APPEND INBOX {1+}\r\na (\\Bogus) {2+}\r\nbb {1+}\r\nc")
        .await;
    assert!(answer.starts_with("BAD"), "{answer}");
    client.ok("NOOP").await;
    assert_eq!(account.used_messages(), 2);
}

#[tokio::test]
async fn a_refused_body_is_never_run() {
    let (server, account) = server(|b| b).await;
    let mut client = Client::login(&server).await;
    let evil = "x CREATE evil\r\n";
    for options in [
        "INBOX (\\Recent) ",
        "INBOX (\\Odd) ",
        "INBOX \"bad date\" ",
        "nowhere ",
        "INBOX (\\Seen \u{e4}) ",
        "INBOX () extra ",
        "\"unfinished ",
    ] {
        let answer = client.append(options.trim_end(), "", evil).await;
        assert!(!answer.starts_with("OK"), "{options}: {answer}");
        assert_eq!(client.last("NOOP").await, "OK NOOP done", "{options}");
    }
    assert_eq!(
        client.append("nowhere", "", evil).await,
        "NO [TRYCREATE] no such mailbox"
    );
    assert!(account.folder(&["evil"]).is_err());
    assert_eq!(account.used_messages(), 0);
}

#[tokio::test]
async fn a_refused_body_is_run_where_that_is_asked_for() {
    let (server, account) = server(Builder::run_refused_literals).await;
    let mut client = Client::login(&server).await;
    let evil = "x CREATE evil\r\n";
    // NO skips the body even then; only BAD doesn't.
    assert!(client.append("nowhere", "", evil).await.starts_with("NO"));
    assert!(account.folder(&["evil"]).is_err());
    assert!(
        client
            .append("INBOX", "(\\Recent) ", evil)
            .await
            .starts_with("BAD")
    );
    assert!(client.line().await.unwrap().starts_with("x OK"));
    assert!(account.folder(&["evil"]).is_ok());
}

#[tokio::test]
async fn extensions_can_be_missing() {
    let (server, _) = server(|b| b.only(&[])).await;
    let (mut client, greeting) = Client::connect(server.plain_address()).await;
    assert!(greeting.contains("[CAPABILITY IMAP4rev1]"), "{greeting}");
    client.ok("LOGIN u p").await;
    for command in [
        "ID NIL",
        "ENABLE CONDSTORE",
        "NAMESPACE",
        "LIST (SUBSCRIBED) \"\" *",
        "LIST \"\" * RETURN (CHILDREN)",
        "CREATE x (USE (\\Sent))",
        "STATUS INBOX (SIZE)",
        "STATUS INBOX (HIGHESTMODSEQ)",
        "STATUS INBOX (MAILBOXID)",
        "SELECT INBOX (CONDSTORE)",
        "GETQUOTA \"\"",
        "IDLE",
        "STARTTLS",
        "APPEND INBOX {3+}\r\nabc",
    ] {
        assert!(client.last(command).await.starts_with("BAD"), "{command}");
    }
    let selected = client.ok("SELECT INBOX").await.join("\n");
    assert!(
        !selected.contains("MODSEQ") && !selected.contains("MAILBOXID"),
        "{selected}"
    );
    for command in [
        "UID MOVE 1 INBOX",
        "UID EXPUNGE 1",
        "UNSELECT",
        "UID FETCH 1 (MODSEQ)",
        "UID FETCH 1 (EMAILID)",
        "UID FETCH 1 (UID) (CHANGEDSINCE 1)",
        "UID STORE 1 (UNCHANGEDSINCE 1) FLAGS (\\Seen)",
        "UID SEARCH RETURN (MIN) ALL",
    ] {
        assert!(client.last(command).await.starts_with("BAD"), "{command}");
    }
}

#[tokio::test]
async fn every_extension_disappears_from_the_list() {
    for capability in Capability::ALL {
        let (server, _) = server(|b| b.without(capability)).await;
        let (mut client, greeting) = Client::connect(server.plain_address()).await;
        let words =
            |text: &str| -> Vec<String> { text.split([' ', ']']).map(str::to_owned).collect() };
        client.ok("LOGIN u p").await;
        let later = client.ok("CAPABILITY").await[0].clone();
        for text in [greeting, later] {
            let shown = words(&text).iter().any(|word| {
                word == capability.name() || word.starts_with(&format!("{}=", capability.name()))
            });
            // ID and QUOTA are whole words of their own.
            assert!(!shown, "{capability:?}: {text}");
        }
    }
}

#[tokio::test]
async fn small_literals_only() {
    let (server, account) = server(|b| b.with(Capability::LiteralMinus)).await;
    let (mut client, greeting) = Client::connect(server.plain_address()).await;
    assert!(
        greeting.contains(" LITERAL- ") && !greeting.contains("LITERAL+"),
        "{greeting}"
    );
    client.ok("LOGIN u p").await;
    assert!(
        client
            .append("INBOX", "", &"x".repeat(4096))
            .await
            .starts_with("OK")
    );
    assert!(
        client
            .append("INBOX", "", &"x".repeat(4097))
            .await
            .starts_with("BAD")
    );
    client.ok("NOOP").await;
    assert_eq!(account.used_messages(), 1);
}

#[tokio::test]
async fn names_with_separator_prefix_and_other_letters() {
    let (server, account) = server(|b| b.separator('.').prefix("INBOX.")).await;
    account.create(&["Entwürfe & Co", "Tief"]).unwrap();
    let mut client = Client::login(&server).await;
    assert_eq!(
        client.ok("NAMESPACE").await[0],
        "* NAMESPACE ((\"INBOX.\" \".\")) NIL NIL"
    );
    let listed = client.ok("LIST \"\" *").await;
    assert_eq!(
        listed[..3],
        [
            "* LIST (\\HasChildren) \".\" \"INBOX\"",
            "* LIST (\\HasChildren) \".\" \"INBOX.Entw&APw-rfe &- Co\"",
            "* LIST (\\HasNoChildren) \".\" \"INBOX.Entw&APw-rfe &- Co.Tief\"",
        ]
    );
    client.ok("CREATE INBOX.x.y.").await;
    assert!(account.folder(&["x", "y"]).is_ok());
    assert!(client.last("CREATE other").await.starts_with("NO [CANNOT]"));
    assert!(
        client
            .last("CREATE \"INBOX.bad&\"")
            .await
            .starts_with("NO [CANNOT]")
    );
    let listed = client.ok("LIST \"\" INBOX.%").await;
    assert_eq!(listed.len(), 3, "{listed:?}");
    client.ok("SELECT \"INBOX.Entw&APw-rfe &- Co.Tief\"").await;
}

#[tokio::test]
async fn list_with_options() {
    let (server, account) = server(|b| b).await;
    account.create_special(&["Sent"], &["\\Sent"]).unwrap();
    account.create(&["a", "b"]).unwrap();
    account.delete(&["a"]).unwrap();
    account.subscribe(&["a", "b"], true);
    account.subscribe(&["gone"], true);
    let mut client = Client::login(&server).await;
    let mut list = async |text: &str| {
        let mut answers = client.ok(text).await;
        answers.pop();
        answers
            .into_iter()
            .map(|line| line.replace("* LIST ", ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        list("LIST \"\" *").await,
        [
            "(\\HasNoChildren) \"/\" \"INBOX\"",
            "(\\HasNoChildren \\Sent) \"/\" \"Sent\"",
            "(\\Noselect \\HasChildren) \"/\" \"a\"",
            "(\\HasNoChildren) \"/\" \"a/b\"",
        ]
    );
    assert_eq!(
        list("LIST (SUBSCRIBED) \"\" * RETURN (CHILDREN)").await,
        [
            "(\\HasNoChildren \\Subscribed) \"/\" \"a/b\"",
            "(\\NonExistent \\HasNoChildren \\Subscribed) \"/\" \"gone\"",
        ]
    );
    assert_eq!(
        list("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %").await[0],
        "(\\NonExistent \\HasChildren) \"/\" \"a\" (CHILDINFO (\"SUBSCRIBED\"))",
    );
    assert_eq!(
        list("LIST (SPECIAL-USE) \"\" *").await,
        ["(\\HasNoChildren \\Sent) \"/\" \"Sent\""]
    );
    let answers = list("LIST \"\" (INBOX S%) RETURN (STATUS (MESSAGES SIZE))").await;
    assert_eq!(
        answers,
        [
            "(\\HasNoChildren) \"/\" \"INBOX\"",
            "* STATUS \"INBOX\" (MESSAGES 0 SIZE 0)",
            "(\\HasNoChildren) \"/\" \"Sent\"",
            "* STATUS \"Sent\" (MESSAGES 0 SIZE 0)",
        ]
    );
    assert_eq!(list("LIST \"\" \"\"").await, ["(\\Noselect) \"/\" \"\""]);
    let lsub = list("LSUB \"\" %").await;
    assert_eq!(
        lsub,
        [
            "* LSUB (\\Noselect) \"/\" \"a\"",
            "* LSUB () \"/\" \"gone\""
        ]
    );
}

#[tokio::test]
async fn folders_and_their_refusals() {
    let (server, account) = server(|b| b).await;
    let mut client = Client::login(&server).await;
    assert!(client.ok("CREATE s (USE (\\sent))").await[0].starts_with("OK [MAILBOXID (F"));
    assert_eq!(account.folder(&["s"]).unwrap().special_use, ["\\Sent"]);
    assert!(
        client
            .last("CREATE t (USE (\\Nope))")
            .await
            .starts_with("NO [USEATTR]")
    );
    assert!(
        client
            .last("CREATE s")
            .await
            .starts_with("NO [ALREADYEXISTS]")
    );
    assert!(
        client
            .last("SELECT none")
            .await
            .starts_with("NO [NONEXISTENT]")
    );
    assert!(client.last("DELETE inbox").await.starts_with("NO [CANNOT]"));
    client.ok("RENAME s x/y").await;
    client.ok("SUBSCRIBE x/y").await;
    assert!(account.folder(&["x", "y"]).unwrap().subscribed);
    client.ok("UNSUBSCRIBE x/y").await;
    client.ok("DELETE x/y").await;
    account.configure(|limits| limits.quota_bytes = Some(10 * 1024));
    let answers = client.ok("GETQUOTAROOT INBOX").await;
    assert_eq!(
        answers[..2],
        ["* QUOTAROOT \"INBOX\" \"\"", "* QUOTA \"\" (STORAGE 0 10)"]
    );
    let big = "x".repeat(11 * 1024);
    assert!(
        client
            .append("INBOX", "", &big)
            .await
            .starts_with("NO [OVERQUOTA]")
    );
    account.configure(|limits| limits.max_message_size = Some(100));
    assert!(
        client
            .append("INBOX", "", &big)
            .await
            .starts_with("NO [TOOBIG]")
    );
    assert!(client.ok("CAPABILITY").await[0].contains(" APPENDLIMIT=100"));
    let status = client.ok("STATUS INBOX (APPENDLIMIT UIDNEXT)").await;
    assert_eq!(status[0], "* STATUS \"INBOX\" (APPENDLIMIT 100 UIDNEXT 1)");
    account
        .set_read_only(account.folder(&["INBOX"]).unwrap().id, true)
        .unwrap();
    assert!(
        client
            .append("INBOX", "", "x")
            .await
            .starts_with("NO [NOPERM]")
    );
    assert!(
        client
            .ok("SELECT INBOX")
            .await
            .last()
            .unwrap()
            .contains("READ-ONLY")
    );
}

#[tokio::test]
async fn stopping_says_goodbye() {
    let (server, _) = server(|b| b).await;
    let mut client = Client::login(&server).await;
    server.stop().await;
    assert!(client.line().await.unwrap().starts_with("* BYE"));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn too_many_connections_and_preauth() {
    let (server, _) = server(|b| b.max_connections(1).preauth("u")).await;
    let (mut client, greeting) = Client::connect(server.plain_address()).await;
    assert!(greeting.starts_with("* PREAUTH"));
    client.ok("SELECT INBOX").await;
    assert!(Client::open(server.plain_address()).await.is_closed().await);
    let counters = server.counters();
    assert_eq!((counters.connections, counters.peak), (2, 2));
}

#[tokio::test]
async fn garbage_ends_in_bad_or_goodbye() {
    let (server, account) =
        server(|b| b.max_line(1000).max_command(5000).max_bad_commands(5)).await;
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    account.append(inbox, vec![NewMessage::new(MAIL)]).unwrap();
    let mut client = Client::login(&server).await;
    client.send("x".repeat(2000)).await;
    assert_eq!(client.line().await.unwrap(), "* BYE line too long");
    let mut client = Client::login(&server).await;
    assert!(
        client
            .last(format!("CREATE {{6000+}}\r\n{}", "x".repeat(6000)))
            .await
            .starts_with("BAD")
    );
    assert!(client.last("CREATE {6000}").await.starts_with("BAD"));
    assert!(client.last("CREATE ~{1+}\r\nx").await.starts_with("BAD"));
    client.ok("NOOP").await;
    client.send("\r\n\u{1}\r\n").await;
    assert!(client.line().await.unwrap().starts_with("* BAD"));
    assert!(client.line().await.unwrap().starts_with("* BAD"));
    assert!(client.line().await.unwrap().starts_with("* BYE"));

    // A small generator: no randomness that a failure couldn't repeat.
    let mut state = 12_345_u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };
    let words = [
        "UID ",
        "FETCH ",
        "SEARCH ",
        "STORE ",
        "LIST ",
        "SELECT ",
        "(",
        ")",
        "\"",
        "{3+}\r\n",
        "{3}\r\n",
        "1:*",
        "*",
        " ",
        "BODY[",
        "]",
        "HEADER.FIELDS",
        "<0.1>",
        "INBOX",
        "NOT ",
        "\\",
        "\r\n",
        "RETURN ",
        "9999999999",
        "é",
        "\0",
        "APPEND ",
        "a ",
        "STATUS ",
        "ENABLE QRESYNC",
        "(QRESYNC (1 1))",
    ];
    for _ in 0..1000 {
        let mut client = Client::login(&server).await;
        client.ok("SELECT INBOX").await;
        let mut text = String::from("g ");
        for _ in 0..next(12) {
            text.push_str(words[next(words.len())]);
        }
        client.send(&text).await;
        client
            .send("\r\nq LOGOUT\r\nq LOGOUT\r\nq LOGOUT\r\nq LOGOUT\r\nq LOGOUT\r\n")
            .await;
        // A session that died of it would close without a word.
        let mut goodbye = false;
        while let Some(line) = client.line().await {
            goodbye |= line.starts_with("* BYE");
        }
        assert!(goodbye, "{text:?}");
    }
    Client::login(&server).await.ok("NOOP").await;
}
