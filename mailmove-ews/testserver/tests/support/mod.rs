//! A client that knows nothing but HTTP and text.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses its own part, and a panic is how a test fails"
)]

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailmove_ews_testserver::{Builder, Server};
use mailmove_testkit::mailbox::{Account, Store};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A server with user `u`, password `p`.
pub(crate) async fn server(set_up: impl FnOnce(Builder) -> Builder) -> (Server, Account) {
    let store = Store::new();
    let server = set_up(Server::builder(store.clone()).user("u", "p"))
        .start()
        .await
        .unwrap();
    (server, store.account("u").unwrap())
}

pub(crate) struct Client {
    stream: Box<dyn Duplex>,
    input: Vec<u8>,
    pub(crate) authorization: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    /// The texts of all elements of this name, with its prefix.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let parts = self.body.split(&open).skip(1);
        parts
            .filter_map(|part| Some(part.split_once(&close)?.0.to_owned()))
            .collect()
    }

    pub(crate) fn one(&self, name: &str) -> String {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name} in {}", self.body);
        all.into_iter().next().unwrap()
    }

    /// The values of an attribute of all elements of this name.
    pub(crate) fn attributes(&self, name: &str, attribute: &str) -> Vec<String> {
        let open = format!("<{name} ");
        let parts = self.body.split(&open).skip(1);
        parts
            .filter_map(|part| {
                let tag = part.split('>').next()?;
                let value = format!(" {tag}");
                let (_, rest) = value.split_once(&format!(" {attribute}=\""))?;
                Some(rest.split('"').next()?.to_owned())
            })
            .collect()
    }

    pub(crate) fn codes(&self) -> Vec<String> {
        self.all("m:ResponseCode")
    }
}

impl Client {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: Box::new(stream),
            input: Vec::new(),
            authorization: None,
        }
    }

    /// Over TLS.
    pub(crate) async fn secure(server: &Server) -> Self {
        let mut client = Self::open(server.tls_address()).await;
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(server.ca_pem().as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector: tokio_rustls::TlsConnector = Arc::new(config).into();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        client.stream = Box::new(connector.connect(name, client.stream).await.unwrap());
        client
    }

    /// As `u`.
    pub(crate) async fn login(server: &Server) -> Self {
        Self::login_as(server, "u", "p").await
    }

    pub(crate) async fn login_as(server: &Server, user: &str, password: &str) -> Self {
        let mut client = Self::open(server.plain_address()).await;
        client.authorization = Some(format!(
            "Basic {}",
            STANDARD.encode(format!("{user}:{password}"))
        ));
        client
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The server may have closed already; reading will show it.
        let _ = self.stream.write_all(bytes.as_ref()).await;
        let _ = self.stream.flush().await;
    }

    /// A request with whatever authorization is set.
    pub(crate) async fn http(&mut self, method: &str, path: &str, body: &str) -> Option<Reply> {
        let authorization = match &self.authorization {
            Some(value) => format!("Authorization: {value}\r\n"),
            None => String::new(),
        };
        self.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\n{authorization}Content-Type: text/xml; charset=utf-8\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
        self.reply().await
    }

    /// The next reply; `None` if the connection ended before its end.
    pub(crate) async fn reply(&mut self) -> Option<Reply> {
        let end = loop {
            if let Some(at) = self.input.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill().await?;
        };
        let head: Vec<u8> = self.input.drain(..end).collect();
        let head = String::from_utf8(head).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .unwrap()
            .parse::<usize>()
            .unwrap();
        while self.input.len() < length {
            self.fill().await?;
        }
        let body: Vec<u8> = self.input.drain(..length).collect();
        Some(Reply {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    async fn fill(&mut self) -> Option<()> {
        let mut chunk = [0; 4096];
        let count = self.stream.read(&mut chunk).await.unwrap_or(0);
        self.input.extend(&chunk[..count]);
        (count > 0).then_some(())
    }

    /// An operation in an envelope, whatever comes back.
    pub(crate) async fn try_soap(&mut self, header: &str, operation: &str) -> Option<Reply> {
        let envelope = envelope(header, operation);
        self.http("POST", "/EWS/Exchange.asmx", &envelope).await
    }

    /// An operation that is answered with HTTP 200.
    pub(crate) async fn soap(&mut self, operation: &str) -> Reply {
        let reply = self.try_soap("", operation).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply
    }

    /// The id of a distinguished folder.
    pub(crate) async fn folder(&mut self, name: &str) -> String {
        let reply = self.soap(&get_folder(name)).await;
        reply.attributes("t:FolderId", "Id").remove(0)
    }

    /// Creates a message in the inbox by the recipe; its id.
    pub(crate) async fn create(&mut self, mime: &str, more: &str) -> String {
        let reply = self.soap(&create_item("inbox", mime, more)).await;
        assert_eq!(reply.codes(), ["NoError"], "{}", reply.body);
        reply.attributes("t:ItemId", "Id").remove(0)
    }
}

pub(crate) fn envelope(header: &str, operation: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
         <s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:m=\"http://schemas.microsoft.com/exchange/services/2006/messages\" \
         xmlns:t=\"http://schemas.microsoft.com/exchange/services/2006/types\"><s:Header>\
         <t:RequestServerVersion Version=\"Exchange2013_SP1\"/>{header}</s:Header><s:Body>{operation}</s:Body></s:Envelope>"
    )
}

pub(crate) fn get_folder(name: &str) -> String {
    format!(
        "<m:GetFolder><m:FolderShape><t:BaseShape>Default</t:BaseShape></m:FolderShape>\
         <m:FolderIds><t:DistinguishedFolderId Id=\"{name}\"/></m:FolderIds></m:GetFolder>"
    )
}

pub(crate) fn item(mime: &str, more: &str) -> String {
    format!(
        "<t:Message><t:MimeContent>{}</t:MimeContent>{more}</t:Message>",
        STANDARD.encode(mime)
    )
}

pub(crate) fn create_item(folder: &str, mime: &str, more: &str) -> String {
    create_items(folder, &item(mime, more))
}

pub(crate) fn create_items(folder: &str, items: &str) -> String {
    format!(
        "<m:CreateItem MessageDisposition=\"SaveOnly\"><m:SavedItemFolderId>\
         <t:DistinguishedFolderId Id=\"{folder}\"/></m:SavedItemFolderId><m:Items>{items}</m:Items></m:CreateItem>"
    )
}

pub(crate) fn property(tag: &str, kind: &str, value: &str) -> String {
    format!(
        "<t:ExtendedProperty><t:ExtendedFieldURI PropertyTag=\"{tag}\" PropertyType=\"{kind}\"/>\
         <t:Value>{value}</t:Value></t:ExtendedProperty>"
    )
}

/// GetItem with MIME and these additional properties.
pub(crate) fn get_item(id: &str, more: &str) -> String {
    format!(
        "<m:GetItem><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape><t:IncludeMimeContent>true</t:IncludeMimeContent>\
         <t:AdditionalProperties>{more}</t:AdditionalProperties></m:ItemShape>\
         <m:ItemIds><t:ItemId Id=\"{id}\"/></m:ItemIds></m:GetItem>"
    )
}

pub(crate) fn tag(tag: &str, kind: &str) -> String {
    format!("<t:ExtendedFieldURI PropertyTag=\"{tag}\" PropertyType=\"{kind}\"/>")
}

pub(crate) fn sync(folder: &str, state: &str, most: u32) -> String {
    let state = match state {
        "" => String::new(),
        state => format!("<m:SyncState>{state}</m:SyncState>"),
    };
    format!(
        "<m:SyncFolderItems><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape>\
         <m:SyncFolderId><t:FolderId Id=\"{folder}\"/></m:SyncFolderId>{state}\
         <m:MaxChangesReturned>{most}</m:MaxChangesReturned></m:SyncFolderItems>"
    )
}
