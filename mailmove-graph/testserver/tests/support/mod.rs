//! What the tests of the server have in common: HTTP by hand.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "each test file uses its own part, and a panic is how a test fails"
)]

use mailmove_graph_testserver::{Builder, Server};
use mailmove_testkit::mailbox::{FolderId, InternalDate, NewMessage, Store};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The status, which is to be this, and the body.
    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        match self.body.is_empty() {
            true => Value::Null,
            false => self.json(),
        }
    }

    /// The code of the error, with its status.
    #[track_caller]
    pub(crate) fn error(&self) -> (u16, String) {
        let code = self.json()["error"]["code"].as_str().unwrap().to_owned();
        (self.status, code)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (have, value) = line.split_once(": ")?;
            have.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Sends a request as it is; `None` if the connection ends without an answer.
pub(crate) async fn raw(server: &Server, head: &str, body: &[u8]) -> Option<Reply> {
    let mut stream = TcpStream::connect(server.plain_address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    let end = all.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8(all[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = all[end + 4..].to_vec();
    Some(Reply { status, head, body })
}

/// A client with a token.
#[derive(Debug, Clone)]
pub(crate) struct Client<'a> {
    pub(crate) server: &'a Server,
    pub(crate) token: String,
    /// Further fields, each with its line end.
    pub(crate) fields: String,
}

pub(crate) fn client(server: &Server) -> Client<'_> {
    Client {
        server,
        token: "app-token".to_owned(),
        fields: String::new(),
    }
}

impl Client<'_> {
    pub(crate) fn with(mut self, field: &str) -> Self {
        self.fields += &format!("{field}\r\n");
        self
    }

    pub(crate) async fn try_send(&self, method: &str, target: &str, body: &[u8]) -> Option<Reply> {
        let target = target.strip_prefix(&self.server.url()).unwrap_or(target);
        let head = format!(
            "{method} /v1.0{target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             {}Content-Length: {}\r\n\r\n",
            self.server.plain_address(),
            self.token,
            self.fields,
            body.len()
        );
        raw(self.server, &head, body).await
    }

    pub(crate) async fn send(&self, method: &str, target: &str, body: &[u8]) -> Reply {
        self.try_send(method, target, body)
            .await
            .expect("no answer")
    }

    pub(crate) async fn get(&self, target: &str) -> Reply {
        self.send("GET", target, b"").await
    }

    pub(crate) async fn json(&self, method: &str, target: &str, body: &Value) -> Reply {
        let with = self.clone().with("Content-Type: application/json");
        with.send(method, target, body.to_string().as_bytes()).await
    }

    pub(crate) async fn post(&self, target: &str, body: &Value) -> Reply {
        self.json("POST", target, body).await
    }

    /// All pages of a list, and the last link.
    pub(crate) async fn pages(&self, target: &str) -> (Vec<Value>, usize, Option<String>) {
        let (mut found, mut count, mut next) = (Vec::new(), 0, Some(target.to_owned()));
        let mut delta = None;
        while let Some(target) = next {
            let page = self.get(&target).await.ok(200);
            found.extend(page["value"].as_array().unwrap().clone());
            count += 1;
            let link = |name: &str| page[name].as_str().map(str::to_owned);
            next = link("@odata.nextLink");
            delta = link("@odata.deltaLink");
        }
        (found, count, delta)
    }
}

/// A server for ann and bob, whose token is `app-token`.
pub(crate) fn builder() -> Builder {
    Server::builder(Store::new())
        .user("ann")
        .user("bob")
        .app_token("app-token")
}

pub(crate) async fn start() -> Server {
    builder().start().await.unwrap()
}

pub(crate) fn folder(server: &Server, path: &[&str]) -> FolderId {
    let account = server.store().account("ann").unwrap();
    let found = account.folder(path).map(|f| f.id);
    found.unwrap_or_else(|_| account.create(path).unwrap())
}

/// Puts messages into a folder of ann's.
pub(crate) fn fill(server: &Server, path: &[&str], count: u32) {
    let id = folder(server, path);
    let account = server.store().account("ann").unwrap();
    for n in 1..=count {
        let text = format!(
            "From: \"Bob\" <bob@example.com>\r\nTo: ann@example.com\r\nSubject: number {n}\r\n\
             Message-ID: <{n}@example.com>\r\nDate: Thu, 01 Jan 2026 00:00:{n:02} +0000\r\n\r\nbody {n}\r\n"
        );
        let message =
            NewMessage::new(text).with_date(InternalDate::utc(1_767_225_600 + i64::from(n)));
        account.append(id, vec![message]).unwrap();
    }
}

/// Percent signs for a path segment.
pub(crate) fn encode(id: &str) -> String {
    id.replace('%', "%25")
        .replace('/', "%2F")
        .replace('+', "%2B")
        .replace('=', "%3D")
}
