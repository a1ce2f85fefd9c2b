//! One connection.

use std::{fmt, pin::Pin, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{HeaderMap, Method, Request, StatusCode, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use mailmove_core::{
    edge::{self, Bandwidth, ConnectionPermit, Edges},
    error::{Error, ErrorKind, Result},
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_rustls::TlsConnector;

use super::{
    RequestBody, Target,
    body::Progress,
    sniff::{FirstWords, Sniffed},
};
use crate::{error, wire::Piece};

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type Driver = Pin<Box<http1::Connection<TokioIo<Box<dyn Io>>, RequestBody>>>;

/// A request that brought no reply.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// It may have been carried out.
    pub(crate) perhaps_executed: bool,
}

impl Failed {
    pub(crate) fn before(error: Error) -> Self {
        let perhaps_executed = false;
        Self {
            error,
            perhaps_executed,
        }
    }

    pub(crate) fn after(error: Error) -> Self {
        let perhaps_executed = true;
        Self {
            error,
            perhaps_executed,
        }
    }
}

/// What is sent.
pub(crate) struct Outgoing<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) headers: HeaderMap,
    pub(crate) pieces: Vec<Piece>,
}

/// The head of a reply; its body is read from the connection. Its fields hold cookies.
pub(crate) struct Received {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// It came by TLS.
    pub(crate) secure: bool,
    body: Incoming,
}

impl Received {
    /// A field's value, if it is text.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The server ends the connection after this reply.
    pub(crate) fn is_last(&self) -> bool {
        let field = self.field("connection").unwrap_or_default();
        field.to_ascii_lowercase().contains("close")
    }
}

/// A connection to a server, with the certificate that it showed.
pub(crate) struct Connection {
    sender: http1::SendRequest<RequestBody>,
    /// Reads and writes; it is polled while somebody waits for a reply, and so needs no task.
    driver: Option<Driver>,
    authority: String,
    /// The server's certificate (DER), by TLS.
    pub(crate) certificate: Option<Vec<u8>>,
    patience: Duration,
    bandwidth: Bandwidth,
    progress: Progress,
    words: FirstWords,
    last_use: Instant,
    /// Nothing more is sent on it.
    pub(crate) dead: bool,
    _permit: ConnectionPermit,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({}, dead: {})", self.authority, self.dead)
    }
}

/// How to connect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dial<'a> {
    pub(crate) edges: &'a Edges,
    pub(crate) target: &'a Target,
    /// The name that the certificate must have, if it is not the host's.
    pub(crate) name: Option<&'a str>,
    pub(crate) tls: &'a Arc<ClientConfig>,
    pub(crate) patience: Duration,
}

impl Connection {
    /// Connects. Cancel safe.
    pub(crate) async fn open(dial: Dial<'_>, permit: ConnectionPermit) -> Result<Self> {
        let Dial {
            edges,
            target,
            patience,
            ..
        } = dial;
        let tcp = edge::connect(edges, &target.host, target.port, patience).await?;
        let mut certificate = None;
        let io: Box<dyn Io> = if target.secure {
            let name = dial.name.unwrap_or(&target.host);
            let name = ServerName::try_from(name.to_owned()).map_err(|cause| {
                Error::new(ErrorKind::Config, "not a host name")
                    .with_code("net/host-name")
                    .with_source(cause)
            })?;
            let connector = TlsConnector::from(Arc::clone(dial.tls));
            let stream = match tokio::time::timeout(patience, connector.connect(name, tcp)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(failure)) => return Err(error::handshake(failure)),
                Err(_) => {
                    let silent = Error::new(ErrorKind::Timeout, "the TLS handshake got no answer");
                    return Err(silent.with_code("tls/timeout"));
                }
            };
            let shown = stream.get_ref().1.peer_certificates();
            certificate = shown.and_then(|all| all.first()).map(|der| der.to_vec());
            Box::new(stream)
        } else {
            Box::new(tcp)
        };
        let words = FirstWords::default();
        let io: Box<dyn Io> = Box::new(Sniffed::new(io, words.clone()));
        let (sender, driver) = http1::Builder::new()
            .max_headers(200)
            .handshake(TokioIo::new(io))
            .await
            .map_err(error::lost)?;
        Ok(Self {
            sender,
            driver: Some(Box::pin(driver)),
            authority: target.authority(),
            certificate,
            patience,
            bandwidth: edges.bandwidth.clone(),
            progress: Progress::new(),
            words,
            last_use: Instant::now(),
            dead: false,
            _permit: permit,
        })
    }

    /// How long it was not used.
    pub(crate) fn idle_for(&self) -> Duration {
        self.last_use.elapsed()
    }

    /// Whether it still stands, as far as this end knows. What came in uncalled ends it.
    pub(crate) async fn is_alive(&mut self) -> bool {
        // Lets hyper see what came in meanwhile.
        let ready = std::future::poll_fn(|context| {
            if let Some(driver) = &mut self.driver
                && driver.as_mut().poll(context).is_ready()
            {
                self.driver = None;
            }
            Poll::Ready(self.driver.is_some())
        });
        let driven = ready.await;
        !self.dead && driven && !self.sender.is_closed()
    }

    /// Sends a request and waits for the head of the reply. The server may be silent for `patience`
    /// after the last byte that moved.
    pub(crate) async fn send(&mut self, outgoing: Outgoing<'_>) -> Result<Received, Failed> {
        if !self.is_alive().await {
            self.dead = true;
            let error = Error::new(ErrorKind::Interrupted, "the server closed the connection");
            let error = error.with_code("ews/closed");
            return Err(Failed::before(self.words.wrong().unwrap_or(error)));
        }
        // Until the reply was read to its end, this connection is of no use to others.
        self.dead = true;
        self.progress.note();
        let bandwidth = self.bandwidth.clone();
        let body = RequestBody::new(outgoing.pieces, bandwidth, self.progress.clone());
        let mut request = Request::new(body);
        *request.method_mut() = outgoing.method;
        *request.uri_mut() = outgoing.path.parse().map_err(|cause| {
            let error = Error::new(ErrorKind::Config, "not a path").with_code("http/address");
            Failed::before(error.with_source(cause))
        })?;
        let headers = request.headers_mut();
        *headers = outgoing.headers;
        if let Ok(host) = self.authority.parse() {
            headers.insert(header::HOST, host);
        }
        let response = self.sender.send_request(request);
        let progress = self.progress.clone();
        let answer = drive(&mut self.driver, response, &progress, self.patience).await;
        match (answer, self.words.wrong()) {
            (None | Some(Err(_)), Some(wrong)) => Err(Failed::after(wrong)),
            (None, None) => Err(Failed::after(error::silent())),
            (Some(Err(cause)), None) => {
                let unsent = cause.is_canceled();
                let error = match own(cause) {
                    Ok(own) => own,
                    Err(cause) => error::lost(cause),
                };
                Err(match unsent {
                    true => Failed::before(error),
                    false => Failed::after(error),
                })
            }
            (Some(Ok(response)), _) => {
                let (parts, body) = response.into_parts();
                Ok(Received {
                    status: parts.status,
                    headers: parts.headers,
                    secure: self.certificate.is_some(),
                    body,
                })
            }
        }
    }

    /// The next piece of a reply's body; `None` at its end.
    pub(crate) async fn piece(&mut self, received: &mut Received) -> Result<Option<Bytes>> {
        loop {
            self.progress.note();
            let progress = self.progress.clone();
            let frame = received.body.frame();
            let frame = drive(&mut self.driver, frame, &progress, self.patience).await;
            match frame {
                None => return Err(error::silent()),
                Some(None) => {
                    self.dead = received.is_last();
                    self.last_use = Instant::now();
                    return Ok(None);
                }
                Some(Some(Err(cause))) => return Err(error::lost(cause)),
                Some(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.bandwidth.pass(bytes.len()).await;
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// Reads a reply to its end, and keeps the first `most` bytes. One that is longer than a page of
    /// an error may be ends the connection.
    pub(crate) async fn text(&mut self, received: &mut Received, most: usize) -> Result<String> {
        let mut text = Vec::new();
        let mut read = 0;
        while let Some(bytes) = self.piece(received).await? {
            let room = most.saturating_sub(text.len()).min(bytes.len());
            text.extend_from_slice(bytes.get(..room).unwrap_or_default());
            read += bytes.len();
            if read > 1 << 20 {
                self.dead = true;
                break;
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// What this program itself had to say, such as that a spooled message cannot be read.
fn own(cause: hyper::Error) -> std::result::Result<Error, hyper::Error> {
    let inner = std::error::Error::source(&cause).and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(inner) => Ok(error::again(inner)),
        None => Err(cause),
    }
}

/// Waits for `future` while the connection is read and written; `None` if nothing moved for too long.
async fn drive<F: Future>(
    driver: &mut Option<Driver>,
    future: F,
    progress: &Progress,
    patience: Duration,
) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    loop {
        let deadline = progress.last() + patience;
        let both = std::future::poll_fn(|context| {
            // The driver first: what it reads is what the future waits for.
            if let Some(connection) = driver
                && connection.as_mut().poll(context).is_ready()
            {
                *driver = None;
            }
            future.as_mut().poll(context)
        });
        if let Ok(output) = tokio::time::timeout_at(deadline, both).await {
            return Some(output);
        }
        if progress.last() + patience <= Instant::now() {
            return None;
        }
    }
}
