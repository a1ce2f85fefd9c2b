//! What goes wrong on demand.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use mailmove_ews_testserver::{Action, Mangle, Script};
use mailmove_testkit::clock::TestClock;
use mailmove_testkit::mailbox::NewMessage;
use support::*;

const MAIL: &str = "Subject: hello\r\nMessage-ID: <1@example.com>\r\n\r\nhi\r\n";

#[tokio::test]
async fn a_busy_server_says_how_long_in_both_ways() {
    let clock = TestClock::new(Duration::from_secs(1000));
    let (server, account) = server(|b| {
        b.busy_every(2, Duration::from_secs(3))
            .clock(Arc::new(clock.clone()))
    })
    .await;
    let mut client = Client::login(&server).await;
    assert_eq!(client.soap(&get_folder("inbox")).await.codes(), ["NoError"]);
    let create = create_item("inbox", MAIL, "");
    let fault = client.try_soap("", &create).await.unwrap();
    assert_eq!(fault.status, 500);
    assert!(fault.body.contains("ErrorServerBusy"));
    assert!(
        fault
            .body
            .contains("<t:Value Name=\"BackOffMilliseconds\">3000</t:Value>")
    );
    client.soap(&get_folder("inbox")).await;
    let inside = client.soap(&create).await;
    assert_eq!(inside.codes(), ["ErrorServerBusy"]);
    assert!(
        inside
            .body
            .contains("<t:Value Name=\"BackOffMilliseconds\">3000</t:Value>")
    );
    assert_eq!(account.used_messages(), 0);
    assert_eq!(server.counters().during_backoff, 2);
    clock.advance(Duration::from_secs(4));
    assert_eq!(client.soap(&create).await.codes(), ["NoError"]);
    assert_eq!(server.counters().during_backoff, 2);
}

#[tokio::test]
async fn creates_land_after_their_connection_died() {
    let clock = TestClock::new(Duration::from_secs(1000));
    let (server, account) = server(|b| b.clock(Arc::new(clock.clone()))).await;
    server
        .faults()
        .arm("CreateItem", 1, Action::LandAfter(Duration::from_secs(30)));
    let mut client = Client::login(&server).await;
    let create = create_item("inbox", MAIL, "");
    assert!(client.try_soap("", &create).await.is_none());
    clock.advance(Duration::from_secs(29));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(account.used_messages(), 0);
    let mut changes = account.watch();
    clock.advance(Duration::from_secs(100));
    changes.changed().await.unwrap();
    assert_eq!(account.used_messages(), 1);
    server.faults().arm("CreateItem", 1, Action::LandOnRelease);
    let mut client = Client::login(&server).await;
    assert!(client.try_soap("", &create).await.is_none());
    server.faults().release();
    changes.changed().await.unwrap();
    assert_eq!(account.used_messages(), 2);
}

#[tokio::test]
async fn batches_stop_and_items_fail() {
    let (server, account) = server(|b| b).await;
    let mut client = Client::login(&server).await;
    let three = create_items(
        "inbox",
        &[item(MAIL, ""), item(MAIL, ""), item(MAIL, "")].concat(),
    );
    server.faults().arm("CreateItem", 1, Action::StopBatch(1));
    let reply = client.soap(&three).await;
    assert_eq!(
        reply.codes(),
        [
            "NoError",
            "ErrorTimeoutExpired",
            "ErrorBatchProcessingStopped"
        ]
    );
    assert_eq!(account.used_messages(), 1);
    server.faults().arm(
        "CreateItem",
        1,
        Action::ErrorAt(1, "ErrorItemCorrupt".to_owned()),
    );
    let reply = client.soap(&three).await;
    assert_eq!(reply.codes(), ["NoError", "ErrorItemCorrupt", "NoError"]);
    assert_eq!(account.used_messages(), 3);
    server
        .faults()
        .arm("CreateItem", 1, Action::Mangle(Mangle::MissingMessage));
    assert_eq!(client.soap(&three).await.codes().len(), 2);
    assert_eq!(account.used_messages(), 6);
}

#[tokio::test]
async fn http_fails_before_and_after_the_operation() {
    let (server, account) = server(|b| b).await;
    let create = create_item("inbox", MAIL, "");
    for (action, status, landed) in [
        (Action::Status(503), Some(503), 0),
        (Action::Status(401), Some(401), 0),
        (Action::Status(302), Some(302), 0),
        (Action::StatusAfter(503), Some(503), 1),
        (Action::Close, None, 1),
        (Action::CloseUnanswered, None, 2),
        (Action::CloseInReply(150), None, 3),
        (Action::CloseAnswered, Some(200), 4),
        (
            Action::Fault(500, "ErrorInternalServerTransientError".to_owned()),
            Some(500),
            4,
        ),
        (Action::BareFault, Some(200), 4),
        (Action::OtherReply, Some(200), 4),
    ] {
        server.faults().arm("CreateItem", 1, action.clone());
        let mut client = Client::login(&server).await;
        let reply = client.try_soap("", &create).await;
        assert_eq!(reply.map(|reply| reply.status), status, "{action:?}");
        assert_eq!(account.used_messages(), landed, "{action:?}");
    }
    server
        .faults()
        .arm_connection(1, Action::CloseInRequest(400));
    let mut client = Client::login(&server).await;
    assert!(client.try_soap("", &create).await.is_none());
    assert_eq!(account.used_messages(), 4);
    assert_eq!(server.faults().struck(), 12);
}

#[tokio::test]
async fn one_request_may_get_two_replies() {
    let (server, _account) = server(|b| b).await;
    let mut client = Client::login(&server).await;
    server.faults().arm("GetFolder", 1, Action::FaultTwice);
    let first = client.try_soap("", &get_folder("inbox")).await.unwrap();
    assert_eq!(first.status, 500);
    let second = client.reply().await.unwrap();
    assert_eq!(second.status, 200);
    assert!(second.body.contains("<m:GetFolderResponse/>"));
    server.faults().arm("GetFolder", 1, Action::Twice);
    client.soap(&get_folder("inbox")).await;
    assert_eq!(client.reply().await.unwrap().codes(), ["NoError"]);
}

#[tokio::test]
async fn replies_are_spoilt_as_asked() {
    let (server, account) = server(|b| b.no_charset().fraction_digits(9)).await;
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    account.append(inbox, vec![NewMessage::new(MAIL)]).unwrap();
    let mut client = Client::login(&server).await;
    let folder = client.folder("inbox").await;
    let id = client
        .soap(&sync(&folder, "", 10))
        .await
        .attributes("t:ItemId", "Id")
        .remove(0);
    let get = get_item(
        &id,
        "<t:FieldURI FieldURI=\"item:Subject\"/><t:FieldURI FieldURI=\"item:DateTimeReceived\"/>",
    );
    let good = client.soap(&get).await;
    assert!(good.head.contains("Content-Type: text/xml\r\n"));
    assert!(good.one("t:DateTimeReceived").ends_with(".000000000Z"));
    for (how, mark) in [
        (Mangle::IllegalReference, "<t:Subject>&#x1A;hello"),
        (Mangle::IllegalCharacter, "<t:Subject>\u{1}hello"),
        (Mangle::OddBase64, "\r\n "),
        (Mangle::BrokenBase64, "CharacterSet=\"UTF-8\">*"),
        (Mangle::Doctype, "<!DOCTYPE"),
        (Mangle::NoXml, "Runtime Error"),
    ] {
        server.faults().arm("GetItem", 1, Action::Mangle(how));
        let reply = client.soap(&get).await;
        assert!(reply.body.contains(mark), "{how:?}: {}", reply.body);
    }
    server
        .faults()
        .arm("GetItem", 1, Action::Mangle(Mangle::Truncated));
    assert!(!client.soap(&get).await.body.contains("</s:Envelope>"));
}

#[tokio::test]
async fn listings_have_ghosts_and_short_pages_and_searches_lag() {
    let (server, account) = server(|b| b.ghosts().partial_pages(2).search_lags(1)).await;
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    for _ in 0..3 {
        account.append(inbox, vec![NewMessage::new(MAIL)]).unwrap();
    }
    let mut client = Client::login(&server).await;
    let folder = client.folder("inbox").await;
    let reply = client.soap(&sync(&folder, "", 512)).await;
    let ids = reply.attributes("t:ItemId", "Id");
    assert_eq!(
        (ids.len(), reply.one("m:IncludesLastItemInRange").as_str()),
        (3, "false")
    );
    assert_eq!(
        client
            .soap(&get_item(&ids[0], &tag("0x0E07", "Integer")))
            .await
            .codes(),
        ["ErrorItemNotFound"]
    );
    let find = |restriction: &str| {
        format!(
            "<m:FindItem Traversal=\"Shallow\"><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape>\
             <m:IndexedPageItemView MaxEntriesReturned=\"100\" Offset=\"0\" BasePoint=\"Beginning\"/>{restriction}\
             <m:ParentFolderIds><t:DistinguishedFolderId Id=\"inbox\"/></m:ParentFolderIds></m:FindItem>"
        )
    };
    let reply = client.soap(&find("")).await;
    assert_eq!(reply.attributes("m:RootFolder", "TotalItemsInView"), ["3"]);
    assert_eq!(reply.attributes("t:ItemId", "Id").len(), 2);
    let by_id = "<m:Restriction><t:IsEqualTo><t:FieldURI FieldURI=\"message:InternetMessageId\"/><t:FieldURIOrConstant>\
                 <t:Constant Value=\"&lt;1@example.com&gt;\"/></t:FieldURIOrConstant></t:IsEqualTo></m:Restriction>";
    let reply = client.soap(&find(by_id)).await;
    assert_eq!(reply.attributes("m:RootFolder", "TotalItemsInView"), ["2"]);
}

#[tokio::test]
async fn connections_and_chunks_are_limited() {
    let (server, _account) = server(|b| b.max_connections(1).refuses_chunked()).await;
    let mut first = Client::login(&server).await;
    first.folder("inbox").await;
    let mut second = Client::login(&server).await;
    let reply = second.try_soap("", &get_folder("inbox")).await.unwrap();
    assert!(reply.body.contains("ErrorExceededConnectionCount"));
    first
        .send("POST /EWS/Exchange.asmx HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        .await;
    assert_eq!(first.reply().await.unwrap().status, 400);
    assert_eq!(server.counters().peak, 2);
}

#[tokio::test]
async fn things_happen_meanwhile() {
    let (server, account) = server(|b| b).await;
    let mut client = Client::login(&server).await;
    let script = Script::new(|account| {
        let inbox = account.folder(&["INBOX"]).unwrap().id;
        account.append(inbox, vec![NewMessage::new(MAIL)]).unwrap();
    });
    server.faults().arm("*", 1, Action::Meanwhile(script));
    client.folder("inbox").await;
    assert_eq!(account.used_messages(), 1);
}

#[tokio::test]
async fn mime_is_rebuilt_with_losses() {
    let (server, account) = server(mailmove_ews_testserver::Builder::rebuilds_mime).await;
    let mail = "Received: from x\r\nDKIM-Signature: v=1\r\nX-Own: y\r\nFrom: a@example.com\r\nTo: b@example.com\r\n\
                Subject: hello\r\nDate: Sat, 3 Feb 2001 05:05:06 +0100\r\nMessage-ID: <1@example.com>\r\n\
                Content-Type: multipart/mixed; boundary=xx\r\n\r\npreamble\r\n--xx\r\n\r\nbefore\0after\r\n--xx\r\n\
                Content-Type: image/png; name=p.png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--xx\r\n\
                Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nX-Own: z\r\n\r\ninner text\r\n--xx--\r\nepilogue\r\n";
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    account.append(inbox, vec![NewMessage::new(mail)]).unwrap();
    let mut client = Client::login(&server).await;
    let folder = client.folder("inbox").await;
    let id = client
        .soap(&sync(&folder, "", 10))
        .await
        .attributes("t:ItemId", "Id")
        .remove(0);
    let mime = |reply: &Reply| {
        use base64::Engine as _;
        let text = reply
            .body
            .split("CharacterSet=\"UTF-8\">")
            .nth(1)
            .unwrap()
            .to_owned();
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(text.split('<').next().unwrap());
        String::from_utf8(bytes.unwrap()).unwrap()
    };
    let first = client.soap(&get_item(&id, &tag("0x007D", "String"))).await;
    let second = client.soap(&get_item(&id, &tag("0x007D", "String"))).await;
    let text = mime(&first);
    for lost in [
        "Received:",
        "DKIM-Signature:",
        "X-Own:",
        "preamble",
        "epilogue",
        "xx",
        "+0100",
    ] {
        assert!(!text.contains(lost), "{lost} in {text}");
    }
    for kept in [
        "Date: Sat, 03 Feb 2001 04:05:06 +0000",
        "From: \"a@example.com\" <a@example.com>",
        "Message-ID: <1@example.com>",
        "Content-Type: text/html",
        "YmVmb3Jl\r\n",
        "AAEC",
        "Subject: inner\r\n",
        "name=\"p.png\"",
    ] {
        assert!(text.contains(kept), "{kept} not in {text}");
    }
    assert_ne!(text, mime(&second));
    let header = first.one("t:Value");
    assert!(header.starts_with("Received: from x\nDKIM-Signature: v=1\nX-Own: y\n"));
}
