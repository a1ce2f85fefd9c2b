//! HTTP/1.1 as far as clients of the test servers speak it.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// What a server says of requests, and is told of traffic.
pub trait Host: Send + Sync {
    /// How many bytes the body of this request may have.
    fn max_body(&self, request: &Request) -> usize;
    /// Chunked requests are answered with HTTP 400.
    fn refuses_chunked(&self) -> bool {
        false
    }
    /// So many bytes were read.
    fn read(&self, bytes: u64);
    /// So many bytes were sent.
    fn sent(&self, bytes: u64);
}

/// Longest head of a request.
const MAX_HEAD: usize = 64 * 1024;

/// A connection, with TLS or without.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What is asked.
#[derive(Debug, Default, Clone)]
pub struct Request {
    /// As it came, in capitals.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Without its framing.
    pub body: Vec<u8>,
    /// The connection ends with it.
    pub close: bool,
    /// Came in chunks.
    pub chunked: bool,
}

impl Request {
    /// A field of the header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(have, _)| have == name).map(|(_, v)| v.as_str())
    }

    /// The path in lower case, without the query.
    #[must_use]
    pub fn path(&self) -> String {
        let path = self.target.split('?').next().unwrap_or_default();
        path.to_ascii_lowercase()
    }

    /// A parameter of the query, decoded.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            key.eq_ignore_ascii_case(name).then(|| decode(value))
        })
    }
}

/// Undoes percent signs.
#[must_use]
pub fn decode(value: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        let pair = |c: Option<u8>| char::from(c?).to_digit(16);
        if byte != b'%' {
            out.push(byte);
        } else if let (Some(high), Some(low)) = (pair(bytes.next()), pair(bytes.next())) {
            out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct Response {
    /// Of HTTP.
    pub status: u16,
    /// In this order.
    pub headers: Vec<(String, String)>,
    /// May be empty.
    pub body: Vec<u8>,
    /// The connection ends with it.
    pub close: bool,
}

impl Response {
    /// An answer without fields.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            close: false,
        }
    }

    /// With one more field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// As it is sent.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if self.close {
            head += "Connection: close\r\n";
        }
        head += &format!("Content-Length: {}\r\n\r\n", self.body.len());
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        413 => "Request Entity Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

/// Why a request could not be read.
#[derive(Debug)]
pub enum Bad {
    /// The connection ended, orderly or not.
    Gone,
    /// Answered with this status, and closed.
    Refused(u16, &'static str),
}

impl From<io::Error> for Bad {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

/// One connection.
pub struct Connection {
    stream: Box<dyn Stream>,
    input: Vec<u8>,
    host: Arc<dyn Host>,
    /// How many more bytes are read before the connection is dropped.
    left: Option<u64>,
}

impl Connection {
    /// A new one, that may be read so far only.
    #[must_use]
    pub fn new(stream: Box<dyn Stream>, host: Arc<dyn Host>, left: Option<u64>) -> Self {
        Self {
            stream,
            input: Vec::new(),
            host,
            left,
        }
    }

    async fn fill(&mut self) -> Result<(), Bad> {
        let mut chunk = vec![0; 64 * 1024];
        if let Some(left) = self.left {
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len()));
        }
        let count = self.stream.read(&mut chunk).await?;
        if count == 0 {
            return Err(Bad::Gone);
        }
        if let Some(left) = &mut self.left {
            *left -= count as u64;
        }
        self.host.read(count as u64);
        self.input.extend(chunk.iter().take(count));
        Ok(())
    }

    async fn line(&mut self, most: usize) -> Result<String, Bad> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.input) {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                let line = String::from_utf8(line).map_err(|_| Bad::Refused(400, "not UTF-8"))?;
                return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.input.len() > most {
                return Err(Bad::Refused(400, "a line is too long"));
            }
            self.fill().await?;
        }
    }

    async fn exact(&mut self, count: usize, into: &mut Vec<u8>) -> Result<(), Bad> {
        while self.input.len() < count {
            self.fill().await?;
        }
        into.extend(self.input.drain(..count));
        Ok(())
    }

    /// The next request.
    ///
    /// # Errors
    /// If the connection ends, or what comes is none.
    pub async fn request(&mut self) -> Result<Request, Bad> {
        let mut request = self.head().await?;
        let most = self.host.max_body(&request);
        if request.header("expect").is_some() {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        if request.chunked {
            if self.host.refuses_chunked() {
                return Err(Bad::Refused(400, "chunked requests are not taken"));
            }
            loop {
                let line = self.line(100).await?;
                let size = line.split(';').next().unwrap_or_default().trim();
                let size =
                    usize::from_str_radix(size, 16).map_err(|_| Bad::Refused(400, "bad chunk"))?;
                if request.body.len() + size > most {
                    return Err(Bad::Refused(413, "too large"));
                }
                self.exact(size, &mut request.body).await?;
                self.line(MAX_HEAD).await?;
                if size == 0 {
                    break;
                }
            }
        } else if let Some(length) = request.header("content-length") {
            let length: usize = length
                .parse()
                .map_err(|_| Bad::Refused(400, "bad Content-Length"))?;
            if length > most {
                return Err(Bad::Refused(413, "too large"));
            }
            self.exact(length, &mut request.body).await?;
        }
        Ok(request)
    }

    async fn head(&mut self) -> Result<Request, Bad> {
        let line = self.line(MAX_HEAD).await?;
        let mut words = line.split(' ');
        let mut request = Request::default();
        let (Some(method), Some(target), Some(version)) =
            (words.next(), words.next(), words.next())
        else {
            return Err(Bad::Refused(400, "no request line"));
        };
        request.method = method.to_owned();
        request.target = target.to_owned();
        request.close = version == "HTTP/1.0";
        loop {
            let line = self.line(MAX_HEAD).await?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line
                .split_once(':')
                .ok_or(Bad::Refused(400, "bad header"))?;
            let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
            match name.as_str() {
                "connection" => request.close |= value.eq_ignore_ascii_case("close"),
                "transfer-encoding" => request.chunked = value.eq_ignore_ascii_case("chunked"),
                _ => {}
            }
            request.headers.push((name, value));
            if request.headers.len() > 200 {
                return Err(Bad::Refused(400, "too many headers"));
            }
        }
        Ok(request)
    }

    /// Sends as it is.
    ///
    /// # Errors
    /// If the connection broke.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.host.sent(bytes.len() as u64);
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Ends a connection on which somebody is still sending: he shall be able to read what he was told.
    pub async fn linger(mut self) {
        let _ = self.stream.shutdown().await;
        let rest = async {
            let mut bytes = vec![0; 64 << 10];
            while self
                .stream
                .read(&mut bytes)
                .await
                .is_ok_and(|count| count > 0)
            {}
        };
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), rest).await;
    }

    /// Ends the connection in order, so that what was sent arrives.
    pub async fn close(mut self) {
        let _ = self.stream.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let request = Request {
            target: "/Autodiscover/Autodiscover.json?Email=a%40b.c&Protocol=Ews".to_owned(),
            ..Request::default()
        };
        assert_eq!(request.path(), "/autodiscover/autodiscover.json");
        assert_eq!(request.query("email").as_deref(), Some("a@b.c"));
        assert_eq!(request.query("protocol").as_deref(), Some("Ews"));
    }
}
