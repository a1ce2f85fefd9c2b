//! Bytes in and out of a connection.

use std::io;
use std::io::Write as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::deflate::Deflate;
use crate::server::Shared;

/// Answers are gathered up to this size.
const OUTPUT: usize = 64 * 1024;
/// Bodies from this size on are written from where they lie.
const COPIED: usize = 8 * 1024;
const INPUT: usize = 32 * 1024;

trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// A line of input.
pub(crate) enum Line {
    /// Without its line end.
    Text(Vec<u8>),
    /// Longer than allowed; the connection can't be trusted any more.
    TooLong,
    /// The client is gone.
    End,
    /// The server stops.
    Stop,
}

pub(crate) struct Io {
    stream: Box<dyn Duplex>,
    input: BytesMut,
    output: Vec<u8>,
    shared: Arc<Shared>,
    deflate: Option<Deflate>,
    /// The same socket, to look whether input has come.
    socket: Option<std::net::TcpStream>,
    /// Bytes that may still be sent before an armed fault closes the connection.
    budget: Option<u64>,
    transcript: Option<std::fs::File>,
}

impl Io {
    pub(crate) fn new(stream: TcpStream, shared: Arc<Shared>) -> io::Result<Self> {
        let open = |path| {
            std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .ok()
        };
        let socket = stream.into_std()?;
        let stream = TcpStream::from_std(socket.try_clone()?)?;
        Ok(Self {
            stream: Box::new(stream),
            input: BytesMut::new(),
            output: Vec::new(),
            transcript: shared.config.transcript.as_ref().and_then(open),
            shared,
            deflate: None,
            socket: Some(socket),
            budget: None,
        })
    }

    fn record(&mut self, mark: &str, text: &[u8]) {
        if let Some(file) = &mut self.transcript {
            let text = text.trim_ascii_end().escape_ascii();
            let _ = writeln!(file, "{mark} {text}");
        }
    }

    /// Adds an answer line; the line end is added here.
    pub(crate) fn line(&mut self, text: &str) {
        self.raw(text.as_bytes());
        self.raw(b"\r\n");
    }

    /// Adds bytes to the answer.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// Adds a body; a large one is written at once, from where it lies.
    pub(crate) async fn body(&mut self, body: &Bytes) -> io::Result<()> {
        if body.len() < COPIED {
            self.raw(body);
            return self.relieve().await;
        }
        self.flush().await?;
        self.send(body).await
    }

    /// Sends what is gathered if it is much.
    pub(crate) async fn relieve(&mut self) -> io::Result<()> {
        if self.output.len() >= OUTPUT {
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends what is gathered.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let output = std::mem::take(&mut self.output);
        self.record("S", &output);
        let result = self.send(&output).await;
        self.output = output;
        self.output.clear();
        result
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let allowed = self.budget.map_or(bytes.len(), |budget| {
            usize::try_from(budget)
                .unwrap_or(usize::MAX)
                .min(bytes.len())
        });
        let part = bytes.get(..allowed).unwrap_or(bytes);
        let packed = match &mut self.deflate {
            Some(deflate) => Some(deflate.pack(part)?),
            None => None,
        };
        let wire = packed.as_deref().unwrap_or(part);
        self.stream.write_all(wire).await?;
        self.stream.flush().await?;
        let mut counters = self.shared.counting.lock();
        counters.bytes_out += part.len() as u64;
        counters.wire_out += wire.len() as u64;
        drop(counters);
        if let Some(budget) = &mut self.budget {
            *budget -= part.len() as u64;
            if part.len() < bytes.len() {
                return Err(io::Error::other("closed within the answer, as armed"));
            }
        }
        Ok(())
    }

    /// Drops what was gathered and not sent.
    pub(crate) fn forget(&mut self) {
        self.output.clear();
    }

    /// Lets only this many more bytes out, then fails.
    pub(crate) fn limit_output(&mut self, bytes: u64) {
        self.budget = Some(bytes);
    }

    /// Sends the rest and closes.
    pub(crate) async fn close(&mut self) {
        if self.flush().await.is_ok() {
            let _ = self.stream.shutdown().await;
        }
    }

    /// Begins TLS. Input that came too early is forgotten: nothing may follow STARTTLS in clear text
    /// (RFC 3501 section 6.2.1).
    pub(crate) async fn start_tls(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.input.clear();
        let stream = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let acceptor = self.shared.tls.acceptor.clone();
        self.stream = Box::new(acceptor.accept(stream).await?);
        Ok(())
    }

    pub(crate) fn is_deflated(&self) -> bool {
        self.deflate.is_some()
    }

    /// Packs all that follows. Input that came already was packed by a client that didn't wait.
    pub(crate) async fn start_deflate(&mut self) -> io::Result<()> {
        self.flush().await?;
        let mut deflate = Deflate::new();
        let early = self.input.split();
        deflate.unpack(&early, &mut self.input)?;
        self.deflate = Some(deflate);
        Ok(())
    }

    /// Sends what is gathered before waiting for input; counts a round trip unless the client has
    /// already sent more.
    pub(crate) async fn settle(&mut self) -> io::Result<()> {
        if !self.output.is_empty() && self.input.is_empty() {
            let mut byte = [0];
            let silent = |socket: &std::net::TcpStream| socket.peek(&mut byte).is_err();
            if self.socket.as_ref().is_some_and(silent) {
                self.shared.counting.lock().round_trips += 1;
            }
        }
        self.flush().await
    }

    /// Reads more input; 0 at the end. Cancel-safe if nothing waits to be sent.
    async fn fill(&mut self) -> io::Result<usize> {
        self.settle().await?;
        let before = self.input.len();
        let got = if let Some(deflate) = &mut self.deflate {
            let mut packed = BytesMut::with_capacity(INPUT);
            let got = self.stream.read_buf(&mut packed).await?;
            deflate.unpack(&packed, &mut self.input)?;
            got
        } else {
            self.input.reserve(INPUT);
            self.stream.read_buf(&mut self.input).await?
        };
        let mut counters = self.shared.counting.lock();
        counters.bytes_in += (self.input.len() - before) as u64;
        counters.wire_in += got as u64;
        Ok(got)
    }

    /// Reads a line. Cancel-safe if nothing waits to be sent.
    pub(crate) async fn read_line(&mut self, limit: usize) -> io::Result<Line> {
        let mut searched = 0;
        loop {
            let fresh = self.input.get(searched..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', fresh) {
                let end = searched + at;
                if end > limit {
                    return Ok(Line::TooLong);
                }
                let line = self.input.split_to(end + 1);
                let text = line.get(..end).unwrap_or_default();
                let text = text.strip_suffix(b"\r").unwrap_or(text).to_vec();
                self.record("C", &text);
                return Ok(Line::Text(text));
            }
            searched = self.input.len();
            if searched > limit {
                return Ok(Line::TooLong);
            }
            let stop = self.shared.stop.clone();
            self.settle().await?;
            let got = tokio::select! {
                () = stop.cancelled() => return Ok(Line::Stop),
                got = self.fill() => got?,
            };
            if got == 0 {
                return Ok(Line::End);
            }
        }
    }

    /// Reads exactly `size` bytes into one buffer of that size.
    pub(crate) async fn read_exact(&mut self, size: usize) -> io::Result<Bytes> {
        let mut buffer = BytesMut::with_capacity(size);
        let ready = self.input.len().min(size);
        buffer.extend_from_slice(&self.input.split_to(ready));
        while buffer.len() < size && self.deflate.is_some() {
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let ready = self.input.len().min(size - buffer.len());
            buffer.extend_from_slice(&self.input.split_to(ready));
        }
        while buffer.len() < size {
            self.settle().await?;
            let missing = (size - buffer.len()) as u64;
            let got = (&mut self.stream)
                .take(missing)
                .read_buf(&mut buffer)
                .await?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut counters = self.shared.counting.lock();
            counters.bytes_in += got as u64;
            counters.wire_in += got as u64;
        }
        Ok(buffer.freeze())
    }

    /// Reads `size` bytes and forgets them.
    pub(crate) async fn skip(&mut self, size: u64) -> io::Result<()> {
        let mut missing = size;
        loop {
            let ready = usize::try_from(missing)
                .unwrap_or(usize::MAX)
                .min(self.input.len());
            drop(self.input.split_to(ready));
            missing -= ready as u64;
            if missing == 0 {
                return Ok(());
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
