//! Refusals, stray replies, and replies that are none.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;

use mailmove_core::{
    Destination as _, Edges, ErrorKind, Retry, Source as _,
    destination::Depth,
    edge::{Credential, CredentialProvider, CredentialRequest, tls::TlsSettings},
    model::ContentDigest,
    source::{Coverage, Fetched, ListRequest},
};
use mailmove_ews::{Auth, EwsConfig, EwsSource};
use mailmove_ews_testserver::{Action, Builder, Mangle};
use tokio::sync::Notify;

use crate::support::{
    PASSWORD, USER, append, config, count, coverage, destination, existing, fetch, fill, ids,
    inbox, letter, made, pages, secure, source, start, words,
};

const BUSY: Duration = Duration::from_millis(1500);

#[tokio::test]
async fn a_busy_server_is_left_alone_for_as_long_as_it_says() {
    let server = start(|builder| builder).await;
    fill(&server, 2);
    for action in [Action::BusyFault(BUSY), Action::Busy(BUSY)] {
        let source = source(config(&server));
        let folder = inbox(&source).await;
        server.faults().arm("SyncFolderItems", 1, action);
        let error = pages(&source, ListRequest::new(&folder)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Throttled, Retry::After(BUSY))
        );
        // It holds for all that is asked of it, and no request leaves.
        let asked = server.counters().requests;
        let error = source.folders().await.unwrap_err();
        let waits = matches!(error.retry(), Retry::After(rest) if rest <= BUSY);
        assert!(waits, "{error:?}");
        assert_eq!(server.counters().requests, asked);
    }
    for action in [Action::BusyFault(BUSY), Action::Busy(BUSY)] {
        let destination = destination(&server);
        let folder = made(&destination).await;
        server.faults().arm("CreateItem", 1, action);
        let outcomes = append(&destination, &folder, 2).await;
        assert_eq!(words(&outcomes), ["not stored: ews/busy"; 2]);
    }
    assert_eq!(count(&server), 2);
}

#[tokio::test]
async fn an_append_whose_answer_is_lost_is_unknown_and_found_by_what_is_noted_at_it() {
    for (action, landed) in [
        (Action::CloseUnanswered, 3),
        (Action::StatusAfter(503), 3),
        (Action::CloseInReply(100), 3),
        (Action::Mangle(Mangle::Truncated), 3),
        (Action::Close, 0),
        (Action::OtherReply, 0),
    ] {
        let server = start(Builder::rebuilds_mime).await;
        let destination = destination(&server);
        let folder = made(&destination).await;
        server.faults().arm("CreateItem", 1, action.clone());
        let outcomes = append(&destination, &folder, 3).await;
        let unknown = words(&outcomes)
            .iter()
            .all(|word| word.starts_with("unknown"));
        assert!(unknown, "{action:?}: {outcomes:?}");
        let found = existing(&destination, &folder, Depth::Content).await;
        assert_eq!(found.len(), landed, "{action:?}");
        for (number, found) in found.iter().enumerate() {
            let given = ContentDigest::of(letter(number).as_bytes());
            assert_eq!(found.given, Some(given));
            assert_ne!(found.digest, Some(given), "the server makes other bytes");
        }
    }
}

#[tokio::test]
async fn each_item_has_its_own_outcome() {
    let server = start(|builder| builder).await;
    let destination = destination(&server);
    let folder = made(&destination).await;
    let code = "ErrorMimeContentConversionFailed".to_owned();
    server
        .faults()
        .arm("CreateItem", 1, Action::ErrorAt(1, code));
    let outcomes = append(&destination, &folder, 3).await;
    assert_eq!(
        words(&outcomes),
        ["stored", "not stored: ews/conversion", "stored"]
    );
    server.faults().arm("CreateItem", 1, Action::StopBatch(1));
    let outcomes = append(&destination, &folder, 3).await;
    let expected = [
        "stored",
        "unknown: ews/timeout-expired",
        "not stored: ews/batch-stopped",
    ];
    assert_eq!(words(&outcomes), expected);
    server
        .faults()
        .arm("CreateItem", 1, Action::Mangle(Mangle::MissingMessage));
    let outcomes = append(&destination, &folder, 2).await;
    assert_eq!(words(&outcomes), ["stored", "unknown: ews/item-left-out"]);
    server.faults().arm(
        "CreateItem",
        1,
        Action::Error("ErrorQuotaExceeded".to_owned()),
    );
    let outcomes = append(&destination, &folder, 2).await;
    assert_eq!(words(&outcomes), ["not stored: ews/quota"; 2]);
    assert_eq!(count(&server), 2 + 1 + 2);
}

#[tokio::test]
async fn a_second_reply_is_never_taken_for_the_next_requests() {
    let server = start(|builder| builder).await;
    fill(&server, 5);
    let source = source(config(&server).with_connections(1));
    let folder = inbox(&source).await;
    for action in [
        Action::FaultTwice,
        Action::Twice,
        Action::BareFault,
        Action::CloseAnswered,
    ] {
        server.faults().arm("GetFolder", 1, action);
        let _ = source.folders().await;
        let listed = pages(&source, ListRequest::new(&folder)).await.unwrap();
        assert_eq!(ids(&listed).len(), 5);
    }
}

#[tokio::test]
async fn hostile_and_broken_replies_are_errors() {
    let server = start(|builder| builder).await;
    fill(&server, 1);
    let source = source(config(&server));
    let folder = inbox(&source).await;
    for (mangle, kind) in [
        (Mangle::Doctype, ErrorKind::Protocol),
        (Mangle::NoXml, ErrorKind::Protocol),
        (Mangle::Truncated, ErrorKind::Interrupted),
    ] {
        server
            .faults()
            .arm("SyncFolderItems", 1, Action::Mangle(mangle));
        let error = pages(&source, ListRequest::new(&folder)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{mangle:?}: {error:?}");
    }
    for status in [401, 503, 302, 400] {
        server
            .faults()
            .arm("SyncFolderItems", 1, Action::Status(status));
        let error = pages(&source, ListRequest::new(&folder)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.is_transient()),
            (ErrorKind::Unavailable, true),
            "{status}"
        );
    }
}

#[tokio::test]
async fn odd_base64_is_read_and_broken_base64_is_told() {
    let server = start(|builder| builder).await;
    fill(&server, 3);
    let source = source(config(&server));
    let listed = pages(&source, ListRequest::new(&inbox(&source).await))
        .await
        .unwrap();
    server
        .faults()
        .arm("GetItem", 1, Action::Mangle(Mangle::OddBase64));
    for (_, fetched) in fetch(&source, ids(&listed)).await {
        let Fetched::Content(content) = fetched else {
            panic!("{fetched:?}")
        };
        let known = (0..3).map(|number| ContentDigest::of(letter(number).as_bytes()));
        assert!(known.into_iter().any(|digest| digest == content.digest()));
    }
    server
        .faults()
        .arm("GetItem", 1, Action::Mangle(Mangle::BrokenBase64));
    for (_, fetched) in fetch(&source, ids(&listed)).await {
        let Fetched::Failed(error) = fetched else {
            panic!("{fetched:?}")
        };
        assert_eq!(
            (error.code(), error.is_transient()),
            ("ews/broken-base64", true)
        );
    }
    // A character that XML does not have costs nothing but itself.
    for mangle in [Mangle::IllegalReference, Mangle::IllegalCharacter] {
        server.faults().arm("FindFolder", 1, Action::Mangle(mangle));
        assert!(inbox(&source).await.path.is_inbox());
    }
}

#[tokio::test]
async fn a_server_that_takes_too_long_is_asked_for_less() {
    let server = start(|builder| builder).await;
    fill(&server, 20);
    let source = source(config(&server));
    let listed = pages(&source, ListRequest::new(&inbox(&source).await))
        .await
        .unwrap();
    server.faults().arm(
        "GetItem",
        1,
        Action::Error("ErrorTimeoutExpired".to_owned()),
    );
    let failed = fetch(&source, ids(&listed)).await;
    assert!(
        failed
            .iter()
            .all(|(_, one)| matches!(one, Fetched::Failed(error) if error.is_transient()))
    );
    let before = server.counters().operation("GetItem");
    let fetched = fetch(&source, ids(&listed)).await;
    assert!(
        fetched
            .iter()
            .all(|(_, one)| matches!(one, Fetched::Content(_)))
    );
    assert_eq!(server.counters().operation("GetItem") - before, 2);
}

#[tokio::test]
async fn a_listing_whose_place_is_forgotten_begins_anew() {
    let server = start(|builder| builder).await;
    fill(&server, 3);
    let source = source(config(&server));
    let folder = inbox(&source).await;
    let first = pages(&source, ListRequest::new(&folder)).await.unwrap();
    let since = first.last().map(|page| page.next.clone());
    let request = ListRequest::new(&folder).with_since(since);
    assert_eq!(
        coverage(&pages(&source, request.clone()).await.unwrap()),
        Coverage::Delta
    );
    let code = "ErrorInvalidSyncStateData".to_owned();
    server
        .faults()
        .arm("SyncFolderItems", 1, Action::Error(code.clone()));
    let again = pages(&source, request).await.unwrap();
    assert_eq!((coverage(&again), ids(&again).len()), (Coverage::Full, 3));
    // At the destination nothing can be proven from there any more.
    let destination = destination(&server);
    let folder = made(&destination).await;
    server
        .faults()
        .arm("SyncFolderItems", 1, Action::Error(code));
    let probe = mailmove_core::destination::Probe::new(folder.id.clone(), Depth::Ids)
        .with_since(folder.mark.clone());
    let mut looked = destination.existing(probe);
    let first = futures_util::StreamExt::next(&mut looked).await.unwrap();
    assert_eq!(first.unwrap_err().kind(), ErrorKind::Stale);
}

/// Speaks as this to whoever comes, and refuses what it is told.
async fn other_server(tls: Option<tokio_rustls::TlsAcceptor>, greeting: &'static str) -> u16 {
    use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
    async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, greeting: &str) {
        let _ = stream.write_all(greeting.as_bytes()).await;
        let mut bytes = [0; 4096];
        while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {
            let _ = stream.write_all(b"POST BAD no such command\r\n").await;
        }
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                match tls {
                    None => talk(stream, greeting).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            talk(stream, greeting).await;
                        }
                    }
                }
            });
        }
    });
    port
}

const IMAP: &str = "* OK [CAPABILITY IMAP4rev1 SASL-IR] ready.\r\n";

/// Who is no web server is told apart at once, and not asked again and again for minutes.
#[tokio::test]
async fn a_port_of_something_else_is_told_soon() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let trust = TlsSettings::new().with_extra_ca_pem(key.cert.pem());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private.unwrap())
        .unwrap();
    let tls = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    for (scheme, acceptor, greeting, code) in [
        ("https", Some(&tls), IMAP, "ews/is-imap"),
        ("http", None, IMAP, "ews/is-imap"),
        (
            "http",
            None,
            "220 mail.example.com ESMTP\r\n",
            "ews/is-smtp",
        ),
        ("http", None, "+OK ready\r\n", "ews/is-pop3"),
        ("https", None, IMAP, "tls/not-tls"),
        ("http", Some(&tls), IMAP, "ews/expects-tls"),
    ] {
        let port = other_server(acceptor.cloned(), greeting).await;
        let url = format!("{scheme}://localhost:{port}/EWS/Exchange.asmx");
        let config = EwsConfig::at(&url).unwrap().with_tls(trust.clone());
        let source = source(config);
        let asked = tokio::time::timeout(Duration::from_secs(10), source.capabilities());
        let error = asked.await.unwrap().unwrap_err();
        assert_eq!(
            (error.code(), error.is_transient()),
            (code, false),
            "{error:?}"
        );
    }
}

/// Not each HTTP 403 means that EWS is switched off.
#[tokio::test]
async fn who_forbids_it_is_told() {
    for (page, code) in [
        ("", "ews/disabled"),
        (
            "<h2>HTTP Error 403.4 - Forbidden</h2>",
            "ews/https-required",
        ),
        (
            "<e:ResponseCode>ErrorAccessDenied</e:ResponseCode>",
            "ews/denied",
        ),
        ("<title>Blocked</title>", "ews/forbidden"),
    ] {
        let server = start(|builder| builder.forbids(page)).await;
        let error = source(secure(&server)).capabilities().await.unwrap_err();
        assert_eq!(
            (error.code(), error.is_transient()),
            (code, false),
            "{error:?}"
        );
    }
    let server = start(|builder| builder.forbids("")).await;
    let error = source(config(&server)).capabilities().await.unwrap_err();
    assert_eq!(error.code(), "ews/https-required");
}

/// Lets a login wait.
#[derive(Debug, Default)]
struct Doorman {
    asked: AtomicUsize,
    arrived: Notify,
    go: Notify,
}

#[async_trait]
impl CredentialProvider for Doorman {
    async fn credential(&self, _: CredentialRequest) -> mailmove_core::Result<Credential> {
        if self.asked.fetch_add(1, Ordering::Relaxed) > 0 {
            self.arrived.notify_one();
            self.go.notified().await;
        }
        Ok(Credential::password(USER, PASSWORD))
    }
}

/// Who is still logging in when another is told that the server is busy holds back as well.
#[tokio::test]
async fn a_back_off_holds_for_who_is_just_connecting() {
    let server = start(|builder| builder).await;
    fill(&server, 1);
    let door = Arc::new(Doorman::default());
    let provider: Arc<dyn CredentialProvider> = Arc::clone(&door) as _;
    let config = config(&server).with_connections(2).with_auth(Auth::Basic);
    let source = EwsSource::new(config, provider, Edges::new());
    let folder = inbox(&source).await;
    // One holds the only connection, and will be told.
    server.faults().arm("GetFolder", 1, Action::Hold);
    server
        .faults()
        .arm("FindFolder", 1, Action::BusyFault(BUSY));
    let told = tokio::spawn({
        let source = source.clone();
        async move { source.folders().await }
    });
    while server.counters().operation("GetFolder") < 2 {
        tokio::task::yield_now().await;
    }
    let other = tokio::spawn({
        let source = source.clone();
        async move { pages(&source, ListRequest::new(&folder)).await }
    });
    door.arrived.notified().await;
    server.faults().release();
    assert_eq!(told.await.unwrap().unwrap_err().code(), "ews/busy");
    door.go.notify_one();
    let error = other.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert_eq!(server.counters().operation("SyncFolderItems"), 0);
}
