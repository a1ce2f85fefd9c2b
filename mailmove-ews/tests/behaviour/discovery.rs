//! From an e-mail address to EWS.

use std::sync::Arc;

use async_trait::async_trait;
use mailmove_core::{
    Edges, ErrorKind,
    edge::{Credential, StaticCredential, tls::TlsSettings},
};
use mailmove_ews::{Discovery, Found, SrvLookup, SrvRecord};
use mailmove_ews_testserver::{Builder, Scheme, Server};
use mailmove_testkit::mailbox::Store;

use crate::support::PASSWORD;

const ANN: &str = "ann@localhost";

async fn start(change: impl FnOnce(Builder) -> Builder) -> Server {
    let builder = Server::builder(Store::new()).user(ANN, PASSWORD);
    change(builder.schemes(&[Scheme::Ntlm]))
        .start()
        .await
        .unwrap()
}

fn discovery(server: &Server, password: &str) -> Discovery {
    let credential = StaticCredential::new(Credential::password(ANN, password));
    let tls = TlsSettings::new().with_extra_ca_pem(server.ca_pem());
    Discovery::new(Arc::new(credential), Edges::new())
        .with_tls(tls)
        .with_ports(server.tls_address().port(), server.plain_address().port())
}

#[tokio::test]
async fn an_address_leads_to_ews_which_is_tried_out() {
    let server = start(|builder| builder).await;
    let found = discovery(&server, PASSWORD).find(ANN).await.unwrap();
    let Found::Endpoint(config) = found else {
        panic!("{found:?}")
    };
    let port = server.tls_address().port();
    assert_eq!(
        config.url(),
        format!("https://localhost:{port}/EWS/Exchange.asmx")
    );
    assert_eq!(
        server.counters().operation("GetFolder"),
        1,
        "it goes with NTLM's last message"
    );
}

#[tokio::test]
async fn another_domain_is_a_proposal_and_gets_no_password() {
    let other = start(|builder| builder).await;
    let elsewhere = format!(
        "https://127.0.0.1:{}/autodiscover/autodiscover.xml",
        other.tls_address().port()
    );
    let server = start(|builder| builder.autodiscover_redirect(ANN, &elsewhere)).await;
    let found = discovery(&server, PASSWORD).find(ANN).await.unwrap();
    let Found::Confirm { host, url } = found else {
        panic!("{found:?}")
    };
    assert_eq!((host.as_str(), url), ("127.0.0.1", elsewhere));
    assert_eq!(other.counters().requests, 0);
    // Another address is another domain too.
    let server = start(|builder| builder.autodiscover_redirect(ANN, "ann@other.example")).await;
    let found = discovery(&server, "wrong").find("bob@other.invalid").await;
    assert_eq!(found.unwrap_err().code(), "ews/not-found");
}

#[tokio::test]
async fn wrong_passwords_and_nobody() {
    let wrong = start(|builder| builder).await;
    let error = discovery(&wrong, "wrong").find(ANN).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    for address in ["ann", "ann@", "ann@a b"] {
        let error = discovery(&wrong, PASSWORD).find(address).await.unwrap_err();
        assert_eq!(error.code(), "ews/address");
    }
    let nobody = discovery(&wrong, PASSWORD)
        .with_ports(1, 1)
        .find(ANN)
        .await
        .unwrap_err();
    assert_eq!(
        (nobody.kind(), nobody.code()),
        (ErrorKind::Config, "ews/not-found")
    );
}

#[tokio::test]
async fn redirects_within_the_domain_are_followed() {
    let first = start(|builder| builder).await;
    let port = first.tls_address().port();
    let url =
        format!("https://localhost:{port}/autodiscover/autodiscover.json?Email={ANN}&Protocol=Ews");
    let second = start(|builder| builder.autodiscover_redirect(ANN, &url)).await;
    let both = format!("{}{}", first.ca_pem(), second.ca_pem());
    let tls = TlsSettings::new().with_extra_ca_pem(both);
    let found = discovery(&second, PASSWORD)
        .with_tls(tls)
        .find(ANN)
        .await
        .unwrap();
    let Found::Endpoint(config) = found else {
        panic!("{found:?}")
    };
    assert_eq!(
        config.url(),
        format!("https://localhost:{port}/EWS/Exchange.asmx")
    );
}

/// A server that sends everybody back to itself.
#[tokio::test]
async fn a_circle_of_redirects_is_told() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = key.cert.pem();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![key.cert.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let answer = "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let credential = StaticCredential::new(Credential::password(ANN, PASSWORD));
    let discovery = Discovery::new(Arc::new(credential), Edges::new())
        .with_tls(TlsSettings::new().with_extra_ca_pem(pem))
        .with_ports(port, port);
    let error = discovery.find(ANN).await.unwrap_err();
    assert_eq!(error.code(), "ews/redirect-loop", "{error:?}");
    server.abort();
}

/// What somebody's resolver knows of `localhost`.
#[derive(Debug)]
struct Zone(Vec<SrvRecord>);

#[async_trait]
impl SrvLookup for Zone {
    async fn records(&self, name: &str) -> mailmove_core::Result<Vec<SrvRecord>> {
        assert_eq!(name, "_autodiscover._tcp.localhost");
        Ok(self.0.clone())
    }
}

#[tokio::test]
async fn records_of_the_domain_are_the_last_resort() {
    let server = start(|builder| builder).await;
    let port = server.tls_address().port();
    // Nobody is at the usual ports.
    let by = |records: Vec<SrvRecord>| {
        let zone = Arc::new(Zone(records));
        discovery(&server, PASSWORD).with_ports(1, 1).with_srv(zone)
    };
    let better = SrvRecord::new("localhost.", port).with_order(1, 0);
    let worse = SrvRecord::new("localhost", 1).with_order(0, 0);
    let odd = SrvRecord::new("a b", port);
    let found = by(vec![better, odd, worse]).find(ANN).await.unwrap();
    let Found::Endpoint(config) = found else {
        panic!("{found:?}")
    };
    let url = format!("https://localhost:{port}/EWS/Exchange.asmx");
    assert_eq!(config.url(), url);
    // A record is no proof: another domain is a proposal, and gets no password.
    server.reset_counters();
    let away = by(vec![SrvRecord::new("127.0.0.1", port)]);
    let found = away.find(ANN).await.unwrap();
    let Found::Confirm { host, .. } = found else {
        panic!("{found:?}")
    };
    assert_eq!(
        (host.as_str(), server.counters().requests),
        ("127.0.0.1", 0)
    );
    for none in [vec![], vec![SrvRecord::new(".", 0)]] {
        let error = by(none).find(ANN).await.unwrap_err();
        assert_eq!(error.code(), "ews/not-found");
    }
}
