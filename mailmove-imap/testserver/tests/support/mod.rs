//! A client that knows nothing but lines and literals.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses its own part, and a panic is how a test fails"
)]

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use mailmove_imap_testserver::{Builder, Server};
use mailmove_testkit::mailbox::{Account, Store};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

pub(crate) struct Client {
    stream: Box<dyn Duplex>,
    input: Vec<u8>,
    next: u32,
}

/// A server with user `u`, password `p`.
pub(crate) async fn server(set_up: impl FnOnce(Builder) -> Builder) -> (Server, Account) {
    let store = Store::new();
    let server = set_up(Server::builder(store.clone()).user("u", "p"))
        .start()
        .await
        .unwrap();
    (server, store.account("u").unwrap())
}

pub(crate) fn tls_connector(ca_pem: &str) -> tokio_rustls::TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config).into()
}

impl Client {
    /// Connects without TLS and reads the greeting.
    pub(crate) async fn connect(address: SocketAddr) -> (Self, String) {
        let mut client = Self::open(address).await;
        let greeting = client.line().await.unwrap();
        (client, greeting)
    }

    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: Box::new(stream),
            input: Vec::new(),
            next: 0,
        }
    }

    /// Connects and logs in as `u`.
    pub(crate) async fn login(server: &Server) -> Self {
        let (mut client, _) = Self::connect(server.plain_address()).await;
        client.ok("LOGIN u p").await;
        client
    }

    pub(crate) async fn start_tls(mut self, ca_pem: &str) -> Result<Self, std::io::Error> {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        self.stream = Box::new(tls_connector(ca_pem).connect(name, self.stream).await?);
        Ok(self)
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The server may have closed already; reading will show it.
        let _ = self.stream.write_all(bytes.as_ref()).await;
        let _ = self.stream.flush().await;
    }

    /// A response with its literals, without the last line end; `None` at the end.
    pub(crate) async fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = self.input.windows(2).position(|w| w == b"\r\n") {
                    break at + 2;
                }
                self.fill().await?;
            };
            line.extend(self.input.drain(..end));
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches("\r\n");
            let announced = text
                .strip_suffix('}')
                .and_then(|text| text.rsplit_once('{'))
                .and_then(|(_, digits)| digits.parse::<usize>().ok());
            let Some(size) = announced else {
                return Some(text.to_owned());
            };
            while self.input.len() < size {
                self.fill().await?;
            }
            line.extend(self.input.drain(..size));
        }
    }

    async fn fill(&mut self) -> Option<()> {
        let mut buffer = vec![0; 16 * 1024];
        let got = self
            .stream
            .read(&mut buffer)
            .await
            .ok()
            .filter(|got| *got > 0)?;
        self.input.extend_from_slice(buffer.get(..got)?);
        Some(())
    }

    /// Sends a command and returns its answers, the tagged one (without tag) last.
    pub(crate) async fn command(&mut self, text: impl AsRef<[u8]>) -> Vec<String> {
        self.next += 1;
        let tag = format!("t{}", self.next);
        let mut bytes = format!("{tag} ").into_bytes();
        bytes.extend_from_slice(text.as_ref());
        bytes.extend_from_slice(b"\r\n");
        self.send(bytes).await;
        self.answers(&tag).await
    }

    pub(crate) async fn answers(&mut self, tag: &str) -> Vec<String> {
        let mut answers = Vec::new();
        while let Some(line) = self.line().await {
            if let Some(text) = line.strip_prefix(&format!("{tag} ")) {
                answers.push(text.to_owned());
                return answers;
            }
            answers.push(line);
        }
        answers.push("END".to_owned());
        answers
    }

    /// Sends a command that must be answered OK.
    pub(crate) async fn ok(&mut self, text: impl AsRef<[u8]>) -> Vec<String> {
        let answers = self.command(text.as_ref()).await;
        let shown = String::from_utf8_lossy(text.as_ref());
        assert!(
            answers.last().unwrap().starts_with("OK"),
            "{shown}: {answers:#?}"
        );
        answers
    }

    /// Sends a command; returns the tagged answer.
    pub(crate) async fn last(&mut self, text: impl AsRef<[u8]>) -> String {
        self.command(text).await.pop().unwrap()
    }

    /// Appends a message to a mailbox with a non-synchronising literal.
    pub(crate) async fn append(&mut self, mailbox: &str, options: &str, body: &str) -> String {
        let size = body.len();
        self.last(format!("APPEND {mailbox} {options}{{{size}+}}\r\n{body}"))
            .await
    }

    /// Whether the connection is closed, perhaps after further lines.
    pub(crate) async fn is_closed(&mut self) -> bool {
        while self.line().await.is_some() {}
        true
    }
}

/// Whether an external program is there; skipping is loud, and a failure where it is required.
pub(crate) fn external(
    variable: &str,
    fallback: Option<&str>,
    requirement: &str,
) -> Option<String> {
    let found = std::env::var(variable)
        .ok()
        .filter(|value| !value.is_empty());
    let usable = |program: &&str| {
        std::process::Command::new(program)
            .arg("--version")
            .output()
            .is_ok_and(|o| o.status.success())
    };
    let found = found.or_else(|| fallback.filter(usable).map(str::to_owned));
    if found.is_none() {
        let required = std::env::var("MAILMOVE_REQUIRE").unwrap_or_default();
        let required = required.split([',', ' ']).any(|word| word == requirement);
        assert!(
            !required,
            "{variable} isn't set, but MAILMOVE_REQUIRE asks for {requirement}"
        );
        // The test harness hides what the print macros write in a test that passes.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: needs {requirement}; set {variable}"
        );
    }
    found
}
