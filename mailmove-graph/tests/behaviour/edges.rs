//! The program's own edges hold, and no secret leaves by a side door.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use mailmove_core::{
    Edges, Error, ErrorKind, Result, Source as _,
    edge::{ConnectionBudget, NetworkPolicy, tls::TlsSettings},
    source::ListRequest,
};
use mailmove_graph::{GraphConfig, GraphSource};
use mailmove_graph_testserver::{Action, Mangle};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::support::{
    all, config, fetch, fill, ids, inbox, pages, refusal, source, start, token, words,
};

#[derive(Debug, Default)]
struct Noting {
    judged: Mutex<Vec<(String, SocketAddr)>>,
    forbids: bool,
}

impl NetworkPolicy for Noting {
    fn judge(&self, host: &str, address: SocketAddr) -> Result<()> {
        self.judged.lock().unwrap().push((host.to_owned(), address));
        match self.forbids {
            true => Err(Error::new(ErrorKind::Denied, "not there").with_code("test/forbidden")),
            false => Ok(()),
        }
    }
}

#[tokio::test]
async fn each_address_is_judged_by_name_or_by_number() {
    let server = start(|builder| builder).await;
    let port = server.plain_address().port();
    for host in ["127.0.0.1", "localhost"] {
        for forbids in [false, true] {
            let policy = Arc::new(Noting {
                forbids,
                ..Noting::default()
            });
            let edges = Edges::new().with_network(Arc::clone(&policy) as _);
            let config = config(&server)
                .with_base(&format!("http://{host}:{port}/v1.0"))
                .unwrap();
            server.reset_counters();
            let answer = GraphSource::new(config, token(), edges).folders().await;
            match forbids {
                true => {
                    assert_eq!(answer.unwrap_err().code(), "test/forbidden", "{host}");
                    assert_eq!(server.counters().connections, 0, "{host}");
                }
                false => assert!(answer.is_ok(), "{host}: {answer:?}"),
            }
            let judged = policy.judged.lock().unwrap();
            let all = judged
                .iter()
                .all(|(name, address)| name == host && address.port() == port);
            assert!(!judged.is_empty() && all, "{judged:?}");
        }
    }
}

#[tokio::test]
async fn an_address_that_is_written_as_another_is_judged_as_what_it_is() {
    let policy = Arc::new(Noting {
        forbids: true,
        ..Noting::default()
    });
    let edges = Edges::new().with_network(Arc::clone(&policy) as _);
    let config = GraphConfig::new("t", "ann").with_base("http://[::ffff:127.0.0.1]:9/v1.0");
    let source = GraphSource::new(config.unwrap(), token(), edges);
    assert_eq!(refusal(&source).await.code(), "test/forbidden");
    let judged = policy.judged.lock().unwrap();
    assert!(judged.iter().all(|(_, address)| address.is_ipv4()) && !judged.is_empty());
}

#[tokio::test]
async fn connections_keep_to_the_budget() {
    let server = start(|builder| builder.concurrency(50)).await;
    fill(&server, 40);
    let edges = Edges::new().with_connections(ConnectionBudget::new(9, 2));
    let source = GraphSource::new(config(&server), token(), edges);
    let found = ids(&all(&source).await);
    let fetched = fetch(&source, found).await;
    assert_eq!(words(&fetched), vec!["content"; 40]);
    assert!(server.counters().peak <= 2, "{}", server.counters().peak);
}

#[tokio::test]
async fn links_that_lead_away_are_not_followed() {
    let server = start(|builder| builder.max_page(2)).await;
    fill(&server, 5);
    let source = source(config(&server));
    let folder = inbox(&source).await;
    server
        .faults()
        .arm("MessageDelta", 1, Action::Mangle(Mangle::ForeignLink));
    let error = pages(&source, ListRequest::new(&folder)).await.unwrap_err();
    assert_eq!(
        (error.code(), error.kind()),
        ("graph/foreign-link", ErrorKind::Protocol)
    );
    // Nor is one that an earlier run noted.
    for link in [
        "https://evil.example/v1.0/x",
        "http://127.0.0.1:1/v1.0/x",
        "file:///etc/passwd",
        "nonsense",
    ] {
        let cursor = mailmove_core::model::Cursor::format(format_args!("g1:{link}"));
        let request = ListRequest::new(&folder).with_since(Some(cursor));
        let error = pages(&source, request).await.unwrap_err();
        assert_eq!(error.code(), "graph/foreign-link", "{link}");
    }
}

/// Answers one request with these bytes, and gives what came.
async fn answering(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1.0", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = vec![0; 4096];
        let read = stream.read(&mut seen).await.unwrap();
        seen.truncate(read);
        stream.write_all(answer.as_bytes()).await.unwrap();
        let _ = stream.shutdown().await;
        // Nothing else may come.
        assert!(
            tokio::time::timeout(Duration::from_millis(100), listener.accept())
                .await
                .is_err()
        );
        String::from_utf8(seen).unwrap()
    });
    (url, task)
}

#[tokio::test]
async fn redirects_are_not_followed_and_other_servers_are_told() {
    for (answer, code) in [
        (
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            "graph/redirected",
        ),
        (
            "HTTP/1.1 308 Permanent Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
            "graph/redirected",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
            "graph/not-graph",
        ),
        ("* OK IMAP4rev1\r\n", "graph/connection-lost"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"respons",
            "graph/malformed",
        ),
    ] {
        let (url, task) = answering(answer).await;
        let config = GraphConfig::new("t", "ann").with_base(&url).unwrap();
        let error = refusal(&source(config)).await;
        assert_eq!(error.code(), code, "{answer}: {error}");
        task.await.unwrap();
    }
}

#[tokio::test]
async fn no_token_shows_in_errors_or_debug() {
    let server = start(|builder| builder).await;
    server.faults().arm_from("GetFolder", 1, Action::Close);
    let made = source(config(&server));
    let error = refusal(&made).await;
    for shown in [format!("{error:?}"), error.chain(), format!("{made:?}")] {
        assert!(!shown.contains("app-token"), "{shown}");
        // Addresses may hold tokens too: none is repeated as it is.
        assert!(!shown.contains("/v1.0"), "{shown}");
    }
    let (url, task) = answering("HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n").await;
    let config = GraphConfig::new("t", "ann").with_base(&url).unwrap();
    refusal(&source(config)).await;
    // It was sent, though.
    assert!(task.await.unwrap().contains("Bearer app-token"));
}

#[tokio::test]
async fn certificates_are_verified_and_may_be_given() {
    let server = start(|builder| builder).await;
    let config = config(&server).with_base(&server.tls_url()).unwrap();
    let error = refusal(&source(config.clone())).await;
    assert_eq!(error.code(), "tls/unknown-ca", "{}", error.chain());
    let tls = TlsSettings::new().with_extra_ca_pem(server.ca_pem());
    source(config.with_tls(tls)).folders().await.unwrap();
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://{address}/v1.0");
        let config = GraphConfig::new("t", "ann").with_base(&url).unwrap();
        let error = refusal(&source(config)).await;
        assert_eq!(
            (error.code(), error.kind()),
            ("net/connect", ErrorKind::Connect)
        );
    }
}
