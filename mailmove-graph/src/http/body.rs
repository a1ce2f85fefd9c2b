//! A request's body: read and encoded while it is sent.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use mailmove_core::{
    edge::Bandwidth,
    error::{Error, Result},
    model::Content,
    source::BoxStream,
};
use mailmove_exchange::base64::{self, Encoder};
use tokio::time::Instant;

use crate::generate::generate;

/// Bytes that are sent together.
const STEP: usize = 48 * 1024;

/// A piece of a request's body.
#[derive(Clone)]
pub(crate) enum Piece {
    /// As they are.
    Bytes(Bytes),
    /// A content, to be sent as Base64.
    Base64(Content),
}

impl Piece {
    /// Bytes on the wire.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Base64(content) => base64::encoded_len(content.size()),
        }
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // May hold mail, and secrets.
        write!(f, "Piece({} bytes)", self.size())
    }
}

/// When something last moved.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Arc<Mutex<Instant>>);

impl Progress {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    pub(crate) fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub(crate) fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body. Its length is told before.
pub(crate) struct Outgoing {
    stream: Mutex<BoxStream<Result<Bytes>>>,
    left: u64,
    progress: Progress,
}

impl Outgoing {
    pub(crate) fn new(pieces: Vec<Piece>, bandwidth: Bandwidth, progress: Progress) -> Self {
        Self {
            left: pieces.iter().map(Piece::size).sum(),
            stream: Mutex::new(stream(pieces, bandwidth)),
            progress,
        }
    }
}

fn stream(pieces: Vec<Piece>, bandwidth: Bandwidth) -> BoxStream<Result<Bytes>> {
    generate(|out| async move {
        for piece in pieces {
            match piece {
                Piece::Bytes(mut bytes) => {
                    while !bytes.is_empty() {
                        let step = bytes.split_to(bytes.len().min(STEP));
                        bandwidth.pass(step.len()).await;
                        out.send(Ok(step)).await;
                    }
                }
                Piece::Base64(content) => {
                    let (mut reader, mut encoder) = (content.reader(), Encoder::default());
                    loop {
                        let bytes = match reader.next().await {
                            Ok(Some(bytes)) => bytes,
                            Ok(None) => break,
                            Err(error) => return out.send(Err(error)).await,
                        };
                        for step in bytes.chunks(STEP) {
                            let mut text = String::with_capacity(STEP / 3 * 4 + 8);
                            encoder.push(step, &mut text);
                            bandwidth.pass(text.len()).await;
                            out.send(Ok(Bytes::from(text))).await;
                        }
                    }
                    let mut text = String::new();
                    encoder.finish(&mut text);
                    out.send(Ok(Bytes::from(text))).await;
                }
            }
        }
    })
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            let stream = self
                .stream
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner);
            let item = match stream.as_mut().poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(item) => item,
            };
            self.progress.note();
            return Poll::Ready(match item {
                // An empty frame may be taken for the end.
                Some(Ok(bytes)) if bytes.is_empty() => continue,
                Some(Ok(bytes)) => {
                    self.left = self.left.saturating_sub(bytes.len() as u64);
                    Some(Ok(Frame::data(bytes)))
                }
                Some(Err(error)) => Some(Err(error)),
                None => None,
            });
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}

impl From<Outgoing> for reqwest::Body {
    fn from(body: Outgoing) -> Self {
        match body.is_end_stream() {
            true => Self::from(""),
            false => Self::wrap(body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_length_is_told_before_and_is_right() {
        for len in [0, 1, 2, 3, 4, 100_000, 49_152] {
            let content = Content::from_bytes(vec![b'x'; len]);
            let pieces = vec![
                Piece::Bytes(Bytes::from_static(b"<")),
                Piece::Base64(content),
                Piece::Bytes(Bytes::from_static(b">")),
            ];
            let mut body = Outgoing::new(pieces, Bandwidth::unlimited(), Progress::new());
            let told = body.left;
            let mut sent = Vec::new();
            while let Some(frame) =
                std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
            {
                sent.extend_from_slice(&frame.unwrap().into_data().unwrap());
            }
            assert_eq!(sent.len() as u64, told, "{len}");
            assert!(sent.starts_with(b"<") && sent.ends_with(b">"));
        }
    }
}
