//! Reaching a server, and what is said when that fails: each failure has one code and a remedy.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, helpers included"
)]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use mailmove_core::{
    Destination as _, Edges, Error, ErrorKind, Retry,
    edge::{
        ConnectionBudget, Credential, NetworkPolicy, Secret, StaticCredential,
        tls::{Fingerprint, TlsSettings},
    },
};
use mailmove_imap::{ImapConfig, ImapDestination, Security};
use mailmove_imap_testserver::{Action, Builder, Capability, Server};
use mailmove_testkit::{
    mailbox::Store,
    proxy::{Fault, FaultProxy, Trip, Way},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const USER: &str = "ann";
const PASSWORD: &str = "s3cret pass\"word\\\u{e4}";

async fn server(setup: impl FnOnce(Builder) -> Builder) -> Server {
    setup(Server::builder(Store::new()).user(USER, PASSWORD))
        .start()
        .await
        .unwrap()
}

fn config(server: &Server, security: Security) -> ImapConfig {
    let address = match security {
        Security::Tls => server.tls_address(),
        _ => server.plain_address(),
    };
    ImapConfig::new("127.0.0.1")
        .with_port(address.port())
        .with_user(USER)
        .with_security(security)
        .with_tls(TlsSettings::new().with_extra_ca_pem(server.ca_pem().as_bytes().to_vec()))
}

fn open(config: ImapConfig) -> ImapDestination {
    open_as(config, Credential::password(USER, PASSWORD), Edges::new())
}

fn open_as(config: ImapConfig, credential: Credential, edges: Edges) -> ImapDestination {
    ImapDestination::new(config, Arc::new(StaticCredential::new(credential)), edges)
}

async fn failure(destination: &ImapDestination) -> Error {
    let error = destination.folders().await.unwrap_err();
    let shown = format!("{error} {error:?} {}", error.chain());
    assert!(!shown.contains("s3cret"), "{shown}");
    error
}

/// A server of a few fixed words, which then listens until the client goes.
async fn fake(words: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = socket.write_all(words).await;
                let mut sink = Vec::new();
                let _ = socket.read_to_end(&mut sink).await;
            });
        }
    });
    address
}

fn at(address: SocketAddr, security: Security) -> ImapDestination {
    open(
        ImapConfig::new(address.ip().to_string())
            .with_port(address.port())
            .with_security(security)
            .with_timeout(Duration::from_millis(500)),
    )
}

#[tokio::test]
async fn every_protection_works_with_every_way_to_log_in() {
    for security in [Security::Tls, Security::StartTls, Security::Plain] {
        for without in [None, Some(Capability::SaslIr), Some(Capability::AuthPlain)] {
            let server = server(|server| match without {
                Some(capability) => server.without(capability),
                None => server,
            })
            .await;
            let folders = open(config(&server, security)).folders().await.unwrap();
            assert_eq!(folders.len(), 1);
            let counters = server.counters();
            let login = if without == Some(Capability::AuthPlain) {
                "LOGIN"
            } else {
                "AUTHENTICATE"
            };
            assert_eq!(counters.command(login), 1, "{security:?} {without:?}");
            assert_eq!(
                counters.command("STARTTLS"),
                u64::from(security == Security::StartTls)
            );
        }
    }
}

#[tokio::test]
async fn one_user_may_open_the_mailbox_of_another() {
    let server = server(|server| server.admin("root", "toor")).await;
    let credential = |authorize_as: Option<&str>| Credential::Password {
        user: "root".to_owned(),
        password: Secret::new("toor"),
        authorize_as: authorize_as.map(str::to_owned),
    };
    let as_ann = open_as(
        config(&server, Security::Tls),
        credential(Some(USER)),
        Edges::new(),
    );
    assert_eq!(as_ann.folders().await.unwrap().len(), 1);
    let as_bob = open_as(
        config(&server, Security::Tls),
        credential(Some("bob")),
        Edges::new(),
    );
    assert_eq!(failure(&as_bob).await.kind(), ErrorKind::Auth);
}

#[tokio::test]
async fn a_wrong_password_is_asked_for_anew_and_not_tried_again() {
    let server = server(|server| server).await;
    let credential = Credential::password(USER, "s3cret wrong");
    let destination = open_as(config(&server, Security::Tls), credential, Edges::new());
    let error = failure(&destination).await;
    assert_eq!(
        (error.kind(), error.code(), error.retry()),
        (ErrorKind::Auth, "imap/login", Retry::Never)
    );
    assert!(error.remedy().is_some());
    assert!(error.to_string().contains("ann"), "{error}");
    // The provider has no other one: the server isn't bothered again, and locks nobody out.
    assert_eq!(failure(&destination).await.kind(), ErrorKind::Auth);
    assert_eq!(server.counters().command("AUTHENTICATE"), 1);
}

#[tokio::test]
async fn certificates_are_judged_and_the_fault_is_named() {
    let unknown = server(|server| server).await;
    let expired = server(Builder::expired_certificate).await;
    let named = server(|server| server.certificate_names(&["mail.example.com"])).await;
    let strict = config(&unknown, Security::Tls).with_tls(TlsSettings::new());
    for (config, code) in [
        (strict.clone(), "tls/unknown-ca"),
        (
            strict
                .with_security(Security::StartTls)
                .with_port(unknown.plain_address().port()),
            "tls/unknown-ca",
        ),
        (config(&expired, Security::Tls), "tls/expired"),
        (config(&named, Security::Tls), "tls/name"),
    ] {
        let error = failure(&open(config)).await;
        assert_eq!((error.kind(), error.code()), (ErrorKind::Tls, code));
        let remedy = error.remedy().unwrap();
        assert!(remedy.contains("--pin"), "{remedy}");
    }
}

#[tokio::test]
async fn a_pinned_certificate_is_enough_and_no_other_will_do() {
    let expired = server(Builder::expired_certificate).await;
    let pin = Fingerprint::of(expired.certificate_der());
    for (server, fits) in [(expired, true), (server(|server| server).await, false)] {
        let tls = TlsSettings::new().with_pin(pin.clone());
        let destination = open(config(&server, Security::Tls).with_tls(tls));
        match destination.folders().await {
            Ok(_) => assert!(fits),
            Err(error) => assert!(!fits && error.code() == "tls/pin", "{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_wrong_port_is_told_from_a_bad_server() {
    let server = server(|server| server).await;
    // TLS where the server greets in plain.
    let port = server.plain_address().port();
    let error = failure(&open(config(&server, Security::Tls).with_port(port))).await;
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Tls, "tls/not-tls")
    );
    let remedy = error.remedy().unwrap();
    assert!(
        remedy.contains(&format!("imap://127.0.0.1:{port}")),
        "{remedy}"
    );
    // Plain where the server waits for TLS.
    let port = server.tls_address().port();
    for security in [Security::StartTls, Security::Plain] {
        let config = config(&server, security)
            .with_port(port)
            .with_timeout(Duration::from_secs(2));
        let error = failure(&open(config)).await;
        assert_eq!(error.code(), "imap/expects-tls", "{error:?}");
        let remedy = error.remedy().unwrap();
        assert!(
            remedy.contains(&format!("imaps://127.0.0.1:{port}")),
            "{remedy}"
        );
    }
}

#[tokio::test]
async fn what_is_no_imap_server_is_said() {
    for (words, code) in [
        (&b"220 mail.example.com ESMTP\r\n"[..], "imap/is-smtp"),
        (b"SSH-2.0-OpenSSH_9\r\n", "imap/is-ssh"),
        (b"+OK POP3\r\n", "imap/is-pop3"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "imap/is-http"),
        (b"220 FTP server\r\n", "imap/not-imap"),
        (b"\"IMPLEMENTATION\" \"sieve\"\r\n", "imap/not-imap"),
    ] {
        for security in [Security::Plain, Security::StartTls] {
            let error = failure(&at(fake(words).await, security)).await;
            assert_eq!((error.kind(), error.code()), (ErrorKind::Protocol, code));
            assert_eq!(error.retry(), Retry::Never);
            let remedy = error.remedy().unwrap();
            assert!(remedy.contains("imaps://127.0.0.1 (port 993)"), "{remedy}");
        }
        // TLS was wanted: the same is said, but for what is unknown.
        let error = failure(&at(fake(words).await, Security::Tls)).await;
        let code = if code == "imap/not-imap" {
            "tls/not-tls"
        } else {
            code
        };
        assert_eq!(error.code(), code, "{error:?}");
        assert!(error.remedy().unwrap().contains("127.0.0.1"));
    }
    let error = failure(&at(fake(b"").await, Security::Plain)).await;
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Timeout, "imap/no-greeting")
    );
}

#[tokio::test]
async fn a_web_server_is_known_by_what_it_answers() {
    // Says nothing before it is asked, and answers nonsense with an error.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut line = [0; 64];
                if socket.read(&mut line).await.unwrap_or(0) > 0 {
                    let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                }
                let _ = socket.read(&mut line).await;
            });
        }
    });
    for security in [Security::Plain, Security::StartTls, Security::Tls] {
        let error = failure(&at(address, security)).await;
        assert_eq!(error.code(), "imap/is-http", "{security:?} {error:?}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_without_a_word_may_have_too_many_connections() {
    let server = server(|server| server.max_connections(0)).await;
    for (security, code) in [
        (Security::Plain, "imap/hung-up"),
        (Security::StartTls, "imap/hung-up"),
        (Security::Tls, "tls/closed"),
    ] {
        let error = failure(&open(config(&server, security))).await;
        assert_eq!((error.code(), error.retry()), (code, Retry::Backoff));
        let remedy = error.remedy().unwrap();
        assert!(remedy.contains("other mail programs"), "{remedy}");
    }
}

#[tokio::test]
async fn a_slow_greeting_within_tls_is_waited_for() {
    let server = server(|server| server).await;
    let slow = Action::Delay(Duration::from_millis(350));
    server.faults().arm_connection(1, slow);
    let config = config(&server, Security::Tls).with_timeout(Duration::from_millis(600));
    assert!(open(config).folders().await.is_ok());
}

#[tokio::test]
async fn nobody_there_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = failure(&at(address, Security::Tls)).await;
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Connect, "net/connect")
    );
}

#[tokio::test]
async fn starttls_cannot_be_talked_away() {
    // Not offered.
    let plain = server(|server| server.without(Capability::StartTls)).await;
    let error = failure(&open(config(&plain, Security::StartTls))).await;
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Tls, "imap/no-starttls")
    );
    let remedy = error.remedy().unwrap();
    assert!(remedy.contains("imaps://127.0.0.1 (port 993)"), "{remedy}");
    // "You are logged in already."
    let preauth = server(|server| server.preauth(USER)).await;
    let error = failure(&open(config(&preauth, Security::StartTls))).await;
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Tls, "imap/preauth")
    );
    for server in [plain, preauth] {
        assert_eq!(
            server.counters().command("LOGIN") + server.counters().command("AUTHENTICATE"),
            0
        );
    }
    // Answers put behind the OK, to be believed after the handshake.
    let words = b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\nM1 OK go\r\n* CAPABILITY IMAP4rev1\r\nM2 OK\r\n";
    let error = failure(&at(fake(words).await, Security::StartTls)).await;
    assert!(
        matches!(error.code(), "imap/starttls-injection" | "imap/protocol"),
        "{error:?}"
    );
    let words = b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n";
    let error = failure(&at(slow_injection(words).await, Security::StartTls)).await;
    assert_eq!(error.code(), "imap/starttls-injection");
}

/// Greets, and answers the first command with OK and more than OK.
async fn slow_injection(greeting: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(greeting).await.unwrap();
        let mut line = [0; 64];
        let read = socket.read(&mut line).await.unwrap();
        let tag = String::from_utf8_lossy(&line[..read]);
        let tag = tag.split(' ').next().unwrap_or_default();
        let words = format!("{tag} OK begin\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n");
        socket.write_all(words.as_bytes()).await.unwrap();
        let mut sink = Vec::new();
        let _ = socket.read_to_end(&mut sink).await;
    });
    address
}

#[tokio::test]
async fn a_password_never_goes_where_the_server_forbids_it() {
    let server = server(|server| server.login_needs_tls().without(Capability::AuthPlain)).await;
    let error = failure(&open(config(&server, Security::Plain))).await;
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Auth, "imap/login-disabled")
    );
    assert_eq!(server.counters().command("LOGIN"), 0);
    assert!(
        open(config(&server, Security::StartTls))
            .folders()
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_greeting_of_good_bye_is_repeated() {
    let server = server(|server| server).await;
    server
        .faults()
        .arm_connection(1, Action::Bye("Too many connections for you".to_owned()));
    let destination = open(config(&server, Security::Plain));
    let error = failure(&destination).await;
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Capacity, "imap/too-many-connections")
    );
    server.faults().arm_connection(1, Action::Close);
    let error = failure(&destination).await;
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Interrupted, Retry::Backoff)
    );
    assert!(destination.folders().await.is_ok());
}

#[tokio::test]
async fn a_server_that_allows_fewer_connections_is_made_do_with() {
    for security in [Security::Plain, Security::Tls] {
        made_do(security).await;
    }
}

async fn made_do(security: Security) {
    let server = server(|server| server.max_connections(2)).await;
    let destination = Arc::new(open(config(&server, security).with_connections(6)));
    destination.folders().await.unwrap();
    server.faults().arm("STATUS", 1, Action::Hold);
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let destination = Arc::clone(&destination);
            tokio::spawn(async move {
                destination
                    .mark(&mailmove_core::model::FolderId::new("INBOX"))
                    .await
            })
        })
        .collect();
    while server.faults().struck() == 0 {
        tokio::task::yield_now().await;
    }
    server.faults().release();
    for task in tasks {
        assert!(task.await.unwrap().is_ok());
    }
    // Each place that the server refused was tried once.
    assert_eq!(server.counters().command("AUTHENTICATE"), 2);
    assert!(server.counters().connections <= 6);
}

#[tokio::test]
async fn the_process_may_allow_fewer_connections_than_the_configuration() {
    let server = server(|server| server).await;
    let edges = Edges::new().with_connections(ConnectionBudget::new(1, 1));
    let credential = Credential::password(USER, PASSWORD);
    let destination = Arc::new(open_as(config(&server, Security::Plain), credential, edges));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let destination = Arc::clone(&destination);
            tokio::spawn(async move { destination.folders().await })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap().is_ok());
    }
    assert_eq!(server.counters().connections, 1);
}

#[derive(Debug)]
struct Nowhere;

impl NetworkPolicy for Nowhere {
    fn judge(&self, _host: &str, _address: SocketAddr) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Denied, "not there"))
    }
}

#[tokio::test]
async fn no_socket_goes_where_the_policy_forbids_it() {
    let server = server(|server| server).await;
    let edges = Edges::new().with_network(Arc::new(Nowhere));
    let credential = Credential::password(USER, PASSWORD);
    let destination = open_as(config(&server, Security::Plain), credential, edges);
    assert_eq!(failure(&destination).await.kind(), ErrorKind::Denied);
    assert_eq!(server.counters().connections, 0);
}

/// Moves tokio's clock on, without letting anything wait for it.
async fn later(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_connection_that_rested_is_asked_whether_it_lives() {
    let server = server(|server| server).await;
    let destination = open(config(&server, Security::Plain).with_connections(1));
    destination.folders().await.unwrap();
    destination.folders().await.unwrap();
    assert_eq!(server.counters().command("NOOP"), 0);
    later(200).await;
    destination.folders().await.unwrap();
    assert_eq!(
        (
            server.counters().command("NOOP"),
            server.counters().connections
        ),
        (1, 1)
    );
    // One that died meanwhile is replaced, and nobody hears of it.
    server.faults().arm("NOOP", 1, Action::Close);
    later(200).await;
    destination.folders().await.unwrap();
    assert_eq!(server.counters().connections, 2);
}

#[tokio::test]
async fn a_place_that_was_refused_is_tried_again_later() {
    let server = server(|server| server).await;
    let destination = Arc::new(open(config(&server, Security::Plain).with_connections(2)));
    destination.folders().await.unwrap();
    // One request holds the first connection, while another one looks for a second.
    let both = async || {
        let struck = server.faults().struck();
        server.faults().arm("STATUS", 1, Action::Hold);
        let ask = || {
            let destination = Arc::clone(&destination);
            let inbox = mailmove_core::model::FolderId::new("INBOX");
            tokio::spawn(async move { destination.mark(&inbox).await })
        };
        let first = ask();
        while server.faults().struck() == struck {
            tokio::task::yield_now().await;
        }
        let before = server.counters().connections;
        let second = ask();
        while server.counters().connections == before {
            tokio::task::yield_now().await;
        }
        server.faults().release();
        first.await.unwrap().unwrap();
        second.await.unwrap().unwrap();
    };
    server.faults().arm_connection(1, Action::Close);
    both().await;
    assert_eq!(server.counters().command("AUTHENTICATE"), 1);
    later(400).await;
    // Without a second connection it would never end.
    let tried = tokio::time::timeout(Duration::from_secs(30), both()).await;
    assert!(tried.is_ok(), "a second connection is not tried again");
    assert_eq!(server.counters().command("AUTHENTICATE"), 2);
}

#[tokio::test]
async fn a_handshake_that_is_disturbed_later_is_tried_again() {
    let server = server(|server| server).await;
    let proxy = FaultProxy::start(server.tls_address()).await.unwrap();
    let port = proxy.address().port();
    let config = config(&server, Security::Tls).with_port(port);
    let new = || open(config.clone().with_connections(1));
    let disturb = |proxy: &FaultProxy| {
        let passed = proxy.passed(Way::ToClient);
        proxy.arm(Trip::new(Way::ToClient, passed, Fault::Corrupt));
    };
    // At first it may be the wrong port: nobody waits for that to pass.
    disturb(&proxy);
    let error = new().folders().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_transient()),
        (ErrorKind::Tls, false)
    );
    // Later it is known to be the right one.
    let destination = new();
    destination.folders().await.unwrap();
    let passed = proxy.passed(Way::ToClient);
    proxy.arm(Trip::new(Way::ToClient, passed, Fault::Cut));
    destination.folders().await.unwrap_err();
    disturb(&proxy);
    let error = destination.folders().await.unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Tls, true));
    destination.folders().await.unwrap();
    // And a byte that changes within is noticed, as a connection that broke.
    disturb(&proxy);
    let error = destination.folders().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{}", error.chain());
    destination.folders().await.unwrap();
}
