//! Commands on a selected mailbox.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use mailmove_imap_testserver::Server;
use mailmove_testkit::mailbox::{Account, FlagOp, FolderId, InternalDate, NewMessage};
use support::{Client, server};

const MAIL: &str = "From: Ann <a@b.c>\r\nTo: d@e.f\r\nSubject: hello\r\n world\r\n\
    Date: Wed, 17 Jul 1996 02:44:25 -0700\r\nMessage-ID: <1@x>\r\n\r\nbody\r\nline\r\n";

/// A server whose INBOX holds `count` messages.
async fn filled(count: usize) -> (Server, Account, FolderId) {
    let (server, account) = server(|b| b).await;
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    let date = InternalDate::new(837_596_665, -420);
    let message = NewMessage::new(MAIL).with_date(date);
    account.append(inbox, vec![message; count]).unwrap();
    (server, account, inbox)
}

async fn selected(server: &Server) -> Client {
    let mut client = Client::login(server).await;
    client.ok("SELECT INBOX").await;
    client
}

#[tokio::test]
async fn select_describes_the_mailbox() {
    let (server, account, inbox) = filled(3).await;
    account
        .store(inbox, &[1], FlagOp::Add, &["\\Seen", "$Junk"], None)
        .unwrap();
    let mut client = Client::login(&server).await;
    let folder = account.folder(&["INBOX"]).unwrap();
    let answers = client.ok("EXAMINE INBOX").await;
    assert_eq!(
        answers,
        [
            "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Junk)".to_owned(),
            "* OK [PERMANENTFLAGS ()] flags".to_owned(),
            "* 3 EXISTS".to_owned(),
            "* 3 RECENT".to_owned(),
            "* OK [UNSEEN 2] first unseen".to_owned(),
            format!("* OK [UIDVALIDITY {}] UIDs valid", folder.uid_validity),
            "* OK [UIDNEXT 4] next UID".to_owned(),
            "* OK [HIGHESTMODSEQ 3] highest".to_owned(),
            format!("* OK [MAILBOXID ({})] id", folder.id),
            "OK [READ-ONLY] mailbox selected".to_owned(),
        ]
    );
    let answers = client.ok("SELECT INBOX").await;
    assert!(answers[1].contains("$Junk \\*)]"), "{answers:?}");
    assert_eq!(answers.last().unwrap(), "OK [READ-WRITE] mailbox selected");
    // The first session with write access was told: nobody else sees them as recent.
    let answers = Client::login(&server).await.ok("SELECT INBOX").await;
    assert_eq!(answers[3], "* 0 RECENT");
}

#[tokio::test]
async fn fetch_gives_every_item() {
    let (server, account, _) = filled(1).await;
    let mut client = Client::login(&server).await;
    client.ok("EXAMINE INBOX").await;
    let header = MAIL.find("\r\n\r\n").unwrap() + 4;
    let (head, text) = MAIL.split_at(header);
    let literal = |text: &str| format!("{{{}}}\r\n{text}", text.len());
    for (items, expected) in [
        ("FLAGS", "FLAGS (\\Recent)".to_owned()),
        (
            "INTERNALDATE",
            "INTERNALDATE \"17-Jul-1996 02:44:25 -0700\"".to_owned(),
        ),
        ("RFC822.SIZE", format!("RFC822.SIZE {}", MAIL.len())),
        ("RFC822", format!("RFC822 {}", literal(MAIL))),
        ("RFC822.HEADER", format!("RFC822.HEADER {}", literal(head))),
        ("RFC822.TEXT", format!("RFC822.TEXT {}", literal(text))),
        ("BODY[]", format!("BODY[] {}", literal(MAIL))),
        (
            "BODY.PEEK[HEADER]",
            format!("BODY[HEADER] {}", literal(head)),
        ),
        (
            "BODY.PEEK[TEXT]<6.4>",
            format!("BODY[TEXT]<6> {}", literal("line")),
        ),
        (
            "BODY.PEEK[TEXT]<90.4>",
            format!("BODY[TEXT]<90> {}", literal("")),
        ),
        (
            "BODY.PEEK[HEADER.FIELDS (subject X-No)]",
            format!(
                "BODY[HEADER.FIELDS (subject X-No)] {}",
                literal("Subject: hello\r\n world\r\n\r\n")
            ),
        ),
        (
            "BODY[HEADER.FIELDS.NOT (From To Date Subject)]",
            format!(
                "BODY[HEADER.FIELDS.NOT (From To Date Subject)] {}",
                literal("Message-ID: <1@x>\r\n\r\n")
            ),
        ),
        ("BODY[1]", format!("BODY[1] {}", literal(text))),
        ("BODY[1.MIME]", format!("BODY[1.MIME] {}", literal(head))),
        ("BODY[2]", "BODY[2] NIL".to_owned()),
        ("MODSEQ", "MODSEQ (2)".to_owned()),
        ("THREADID", "THREADID NIL".to_owned()),
        (
            "ENVELOPE",
            "ENVELOPE (\"Wed, 17 Jul 1996 02:44:25 -0700\" \"hello world\" \
             ((\"Ann\" NIL \"a\" \"b.c\")) ((\"Ann\" NIL \"a\" \"b.c\")) \
             ((\"Ann\" NIL \"a\" \"b.c\")) ((NIL NIL \"d\" \"e.f\")) NIL NIL NIL \"<1@x>\")"
                .to_owned(),
        ),
        (
            "BODY",
            "BODY (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 12 2)".to_owned(),
        ),
    ] {
        let answers = client.ok(format!("UID FETCH 1 {items}")).await;
        assert_eq!(
            answers[0],
            format!("* 1 FETCH (UID 1 {expected})"),
            "{items}"
        );
    }
    let fast = client.ok("FETCH 1 FAST").await;
    assert!(
        fast[0].starts_with("* 1 FETCH (FLAGS (\\Recent) INTERNALDATE "),
        "{fast:?}"
    );
    assert!(client.ok("FETCH 1 FULL").await[0].contains(" ENVELOPE ("));
    assert!(client.ok("FETCH 1 ALL").await[0].ends_with("\"<1@x>\"))"));
    // EXAMINE reads without a trace.
    assert!(
        account
            .messages(account.folder(&["INBOX"]).unwrap().id)
            .unwrap()[0]
            .flags
            .is_empty()
    );
    for bad in [
        "0",
        "2",
        "1:x",
        "1 (",
        "1 ()",
        "1 BODY[",
        "1 BODY[MIME]",
        "1 BODY[]<0.0>",
        "1 NOPE",
    ] {
        let answer = client.last(format!("FETCH {bad} FLAGS")).await;
        assert!(answer.starts_with("BAD"), "{bad}: {answer}");
    }
    assert_eq!(client.ok("UID FETCH 2:9 FLAGS").await.len(), 1);
}

#[tokio::test]
async fn reading_marks_as_read_where_it_may() {
    let (server, account, inbox) = filled(2).await;
    let mut client = selected(&server).await;
    assert_eq!(client.ok("UID FETCH 1 BODY.PEEK[]").await.len(), 2);
    assert!(!account.messages(inbox).unwrap()[0].flags.contains("\\Seen"));
    let answers = client.ok("UID FETCH 1 BODY[TEXT]").await;
    assert_eq!(
        answers[0],
        "* 1 FETCH (UID 1 BODY[TEXT] {12}\r\nbody\r\nline\r\n FLAGS (\\Seen \\Recent))"
    );
    assert_eq!(answers.len(), 2);
    assert!(account.messages(inbox).unwrap()[0].flags.contains("\\Seen"));
}

#[tokio::test]
async fn store_copy_move_expunge() {
    let (server, account, inbox) = filled(5).await;
    let mut client = selected(&server).await;
    let answers = client.ok("STORE 1:2 +FLAGS (\\Deleted $New)").await;
    assert_eq!(
        answers[..2],
        [
            "* 1 FETCH (FLAGS ($New \\Deleted \\Recent))",
            "* 2 FETCH (FLAGS ($New \\Deleted \\Recent))",
        ]
    );
    assert_eq!(
        client.ok("UID STORE 3 FLAGS.SILENT \\Deleted").await,
        ["OK UID STORE done"]
    );
    assert!(
        client
            .last("STORE 1 FLAGS (\\Recent)")
            .await
            .starts_with("BAD")
    );
    assert!(
        client
            .last("STORE 1 FLAGS (\\Odd)")
            .await
            .starts_with("BAD")
    );
    // A UID that doesn't exist is no error.
    assert_eq!(
        client.ok("UID STORE 99 +FLAGS (\\Seen)").await,
        ["OK UID STORE done"]
    );
    assert!(
        client
            .last("UID COPY 1 nowhere")
            .await
            .starts_with("NO [TRYCREATE]")
    );
    account.create(&["t"]).unwrap();
    let validity = account.folder(&["t"]).unwrap().uid_validity;
    let answers = client.ok("UID COPY 2,1 t").await;
    assert_eq!(answers, [format!("OK [COPYUID {validity} 1:2 1:2] copied")]);
    assert_eq!(client.ok("UID COPY 99 t").await, ["OK UID COPY done"]);
    let answers = client.ok("UID MOVE 4:5 t").await;
    assert_eq!(
        answers,
        [
            format!("* OK [COPYUID {validity} 4:5 3:4] copied"),
            "* 5 EXPUNGE".to_owned(),
            "* 4 EXPUNGE".to_owned(),
            "OK UID MOVE done".to_owned(),
        ]
    );
    assert_eq!(
        client.ok("UID EXPUNGE 2:9").await[..2],
        ["* 3 EXPUNGE", "* 2 EXPUNGE"]
    );
    client.ok("CLOSE").await;
    assert_eq!(account.status(inbox).unwrap().messages, 0);
    assert!(client.last("FETCH 1 FLAGS").await.starts_with("BAD"));
    client.ok("EXAMINE t").await;
    assert!(
        client
            .last("STORE 1 FLAGS ()")
            .await
            .starts_with("NO [READ-ONLY]")
    );
    assert!(client.last("EXPUNGE").await.starts_with("NO [READ-ONLY]"));
    client.ok("UNSELECT").await;
}

#[tokio::test]
async fn numbers_hold_while_they_are_used() {
    let (server, account, inbox) = filled(3).await;
    let mut client = selected(&server).await;
    account.remove(inbox, &[1]).unwrap();
    account.append(inbox, vec![NewMessage::new("x")]).unwrap();
    // FETCH must not hear of the removal, but of the arrival it may.
    let answers = client.ok("FETCH 1:3 UID").await;
    assert_eq!(
        answers,
        [
            "* 2 FETCH (UID 2)",
            "* 3 FETCH (UID 3)",
            "* 4 EXISTS",
            "* 4 RECENT",
            "OK FETCH done"
        ]
    );
    assert_eq!(client.ok("NOOP").await, ["* 1 EXPUNGE", "OK NOOP done"]);
    account
        .store(inbox, &[3], FlagOp::Add, &["\\Seen"], None)
        .unwrap();
    assert_eq!(
        client.ok("NOOP").await[0],
        "* 2 FETCH (FLAGS (\\Seen \\Recent))"
    );
    account.bump_uidvalidity(inbox).unwrap();
    assert!(client.command("NOOP").await[0].starts_with("* BYE"));
}

#[tokio::test]
async fn condstore_and_qresync() {
    let (server, account, inbox) = filled(4).await;
    let validity = account.folder(&["INBOX"]).unwrap().uid_validity;
    let mut client = Client::login(&server).await;
    assert_eq!(
        client.ok("ENABLE QRESYNC X-NO").await[0],
        "* ENABLED QRESYNC"
    );
    account.remove(inbox, &[2, 3]).unwrap();
    account
        .store(inbox, &[4], FlagOp::Add, &["\\Flagged"], None)
        .unwrap();
    let answers = client
        .ok(format!("SELECT INBOX (QRESYNC ({validity} 2 1:4))"))
        .await;
    let tail = &answers[answers.len() - 3..];
    assert_eq!(
        tail,
        [
            "* VANISHED (EARLIER) 2:3",
            "* 2 FETCH (UID 4 FLAGS (\\Flagged \\Recent) MODSEQ (4))",
            "OK [READ-WRITE] mailbox selected",
        ]
    );
    let answers = client
        .ok("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 2 VANISHED)")
        .await;
    assert_eq!(
        answers[..2],
        [
            "* VANISHED (EARLIER) 2:3",
            "* 2 FETCH (UID 4 FLAGS (\\Flagged \\Recent) MODSEQ (4))",
        ]
    );
    let answers = client
        .ok("UID STORE 1,4 (UNCHANGEDSINCE 3) +FLAGS.SILENT (\\Seen)")
        .await;
    assert_eq!(answers[0], "* 1 FETCH (UID 1 MODSEQ (5))");
    assert!(answers[1].starts_with("OK [MODIFIED 4]"), "{answers:?}");
    assert_eq!(
        client.ok("SEARCH MODSEQ 5").await[0],
        "* SEARCH 1 (MODSEQ 5)"
    );
    account.remove(inbox, &[1]).unwrap();
    assert_eq!(client.ok("NOOP").await[0], "* VANISHED 1");
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    let answers = client.ok("UID EXPUNGE 1:*").await;
    assert_eq!(answers, ["* VANISHED 4", "OK [HIGHESTMODSEQ 8] expunged"]);
    assert_eq!(
        client.ok("SELECT INBOX").await[0],
        "* OK [CLOSED] previous mailbox closed"
    );
    let answers = client.ok("SELECT INBOX (QRESYNC (1 2))").await;
    assert!(
        !answers.iter().any(|line| line.contains("VANISHED")),
        "{answers:?}"
    );
    let status = client.ok("STATUS INBOX (HIGHESTMODSEQ MESSAGES)").await;
    assert_eq!(status[0], "* STATUS \"INBOX\" (HIGHESTMODSEQ 8 MESSAGES 0)");
}

#[tokio::test]
async fn search_keys() {
    let (server, account, inbox) = filled(3).await;
    account
        .store(inbox, &[2], FlagOp::Add, &["\\Seen", "$Junk"], None)
        .unwrap();
    let other = "Subject: \u{dc}bung\r\nX-Empty:\r\n\r\nGR\u{dc}N\r\n";
    account
        .append(
            inbox,
            vec![NewMessage::new(other).with_date(InternalDate::utc(0))],
        )
        .unwrap();
    let mut client = selected(&server).await;
    for (key, expected) in [
        ("ALL", " 1 2 3 4"),
        ("SEEN", " 2"),
        ("UNSEEN", " 1 3 4"),
        ("KEYWORD $junk", " 2"),
        ("UNKEYWORD $junk UNSEEN", " 1 3 4"),
        ("NOT 1:2", " 3 4"),
        ("OR UID 1 4", " 1 4"),
        ("(SEEN UNSEEN)", ""),
        ("SUBJECT HELLO", " 1 2 3"),
        ("SUBJECT \"hello world\"", " 1 2 3"),
        ("HEADER Message-ID <1@x>", " 1 2 3"),
        ("HEADER X-Empty \"\"", " 4"),
        ("CHARSET UTF-8 BODY gr\u{fc}n", ""),
        ("BODY line", " 1 2 3"),
        ("TEXT nothing", ""),
        ("FROM ann TO d@e", " 1 2 3"),
        ("BEFORE 1-Jan-1971", " 4"),
        ("ON 17-Jul-1996", " 1 2 3"),
        ("SINCE 18-Jul-1996", ""),
        ("SENTON 17-Jul-1996", " 1 2 3"),
        ("SENTBEFORE 1-Jan-2000 SENTSINCE 1-Jan-1990", " 1 2 3"),
        ("SMALLER 50", " 4"),
        ("LARGER 50", " 1 2 3"),
        ("RECENT", " 1 2 3 4"),
        ("OLD", ""),
        ("NEW", " 1 3 4"),
        ("*", " 4"),
    ] {
        if key.contains('\u{fc}') {
            // 8-bit text may only come as a string.
            let key = "CHARSET UTF-8 BODY {5+}\r\ngr\u{fc}n";
            assert_eq!(client.ok(format!("SEARCH {key}")).await[0], "* SEARCH 4");
            continue;
        }
        assert_eq!(
            client.ok(format!("SEARCH {key}")).await[0],
            format!("* SEARCH{expected}"),
            "{key}"
        );
    }
    let answer = client
        .ok("UID SEARCH RETURN (MIN MAX COUNT ALL) SUBJECT hello")
        .await;
    let tag = answer[0].split('"').nth(1).unwrap();
    assert_eq!(
        answer[0],
        format!("* ESEARCH (TAG \"{tag}\") UID MIN 1 MAX 3 COUNT 3 ALL 1:3")
    );
    let answer = client.ok("SEARCH RETURN () TEXT nothing").await;
    assert!(answer[0].ends_with("\")"), "{answer:?}");
    assert!(
        client
            .last("SEARCH CHARSET KOI8-R ALL")
            .await
            .starts_with("NO [BADCHARSET")
    );
    let deep = format!("SEARCH {}ALL", "NOT ".repeat(5000));
    assert!(client.last(deep).await.starts_with("BAD nested"));
    let deep = format!("SEARCH {}ALL{}", "(".repeat(5000), ")".repeat(5000));
    assert!(client.last(deep).await.starts_with("BAD nested"));
}

#[tokio::test]
async fn idle_tells_what_happens() {
    let (server, account, inbox) = filled(1).await;
    let mut client = selected(&server).await;
    client.send("i IDLE\r\n").await;
    assert_eq!(client.line().await.unwrap(), "+ idling");
    account.append(inbox, vec![NewMessage::new("x")]).unwrap();
    assert_eq!(client.line().await.unwrap(), "* 2 EXISTS");
    assert_eq!(client.line().await.unwrap(), "* 2 RECENT");
    account.remove(inbox, &[1]).unwrap();
    assert_eq!(client.line().await.unwrap(), "* 1 EXPUNGE");
    client.send("DONE\r\n").await;
    assert_eq!(client.line().await.unwrap(), "i OK IDLE done");
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order() {
    let (server, account, _) = filled(200).await;
    let mut client = Client::login(&server).await;
    let mut text = String::from("a SELECT INBOX\r\n");
    for n in 1..=200 {
        text.push_str(&format!("f{n} UID FETCH {n} (UID BODY.PEEK[])\r\n"));
        text.push_str(&format!("p{n} APPEND INBOX {{3+}}\r\n{n:03}\r\n"));
    }
    server.reset_counters();
    client.send(text).await;
    let mut tags = Vec::new();
    while tags.len() < 401 {
        let line = client.line().await.unwrap();
        if !line.starts_with('*') {
            assert!(line.contains(" OK"), "{line}");
            tags.push(line.split(' ').next().unwrap().to_owned());
        }
    }
    let expected: Vec<String> = std::iter::once("a".to_owned())
        .chain((1..=200).flat_map(|n| [format!("f{n}"), format!("p{n}")]))
        .collect();
    assert_eq!(tags, expected);
    assert_eq!(account.used_messages(), 400);
}

#[tokio::test]
async fn waiting_for_each_answer_is_counted() {
    let (server, _, _) = filled(1).await;
    let mut client = Client::login(&server).await;
    server.reset_counters();
    for _ in 0..10 {
        client.ok("NOOP").await;
    }
    client.send("s APPEND INBOX {3}\r\n").await;
    client.line().await.unwrap();
    client.send("abc\r\n").await;
    client.answers("s").await;
    let counters = server.counters();
    // Each command once, and once the continuation.
    assert_eq!(counters.round_trips, 12);
    assert_eq!(counters.command("NOOP"), 10);
    assert_eq!(counters.total_commands(), 11);
    assert_eq!(counters.bytes_in, 8 * 9 + 2 * 10 + 20 + 5);
}
