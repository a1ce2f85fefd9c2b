//! A request's body: read and encoded while it is sent.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use mailmove_core::{
    edge::Bandwidth,
    error::{Error, Result},
    source::BoxStream,
};
use mailmove_exchange::base64::Encoder;
use tokio::time::Instant;

use crate::{generate::generate, wire::Piece};

/// Bytes of a content that are encoded together.
const STEP: usize = 48 * 1024;

/// When something last moved on a connection.
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

/// The body. Its length is known, since some servers take no chunks.
pub(crate) struct RequestBody {
    stream: BoxStream<Result<Bytes>>,
    left: u64,
    progress: Progress,
}

impl RequestBody {
    pub(crate) fn new(pieces: Vec<Piece>, bandwidth: Bandwidth, progress: Progress) -> Self {
        Self {
            left: pieces.iter().map(Piece::size).sum(),
            stream: stream(pieces, bandwidth),
            progress,
        }
    }
}

fn stream(pieces: Vec<Piece>, bandwidth: Bandwidth) -> BoxStream<Result<Bytes>> {
    generate(|out| async move {
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    bandwidth.pass(text.len()).await;
                    out.send(Ok(Bytes::from(text))).await;
                }
                Piece::Content(content) => {
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

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            let item = match self.stream.as_mut().poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(item) => item,
            };
            self.progress.note();
            return Poll::Ready(match item {
                // hyper takes an empty frame for the end of something.
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

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use mailmove_core::model::Content;

    use super::*;

    #[tokio::test]
    async fn the_length_is_told_before_and_is_right() {
        for len in [0, 1, 2, 3, 4, 100_000, 49_152] {
            let content = Content::from_bytes(vec![b'x'; len]);
            let pieces = vec![
                Piece::Text("<a>".to_owned()),
                Piece::Content(content),
                Piece::Text("</a>".to_owned()),
            ];
            let body = RequestBody::new(pieces, Bandwidth::unlimited(), Progress::new());
            let told = body.left;
            let bytes = body.collect().await.unwrap().to_bytes();
            assert_eq!(bytes.len() as u64, told, "{len}");
            assert!(bytes.starts_with(b"<a>") && bytes.ends_with(b"</a>"));
        }
    }
}
