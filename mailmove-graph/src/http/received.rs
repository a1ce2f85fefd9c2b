//! Answers.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use mailmove_core::error::Result;
use reqwest::{
    StatusCode, Version,
    header::{self, HeaderMap},
};
use tokio::time::Instant;

use super::{
    Client,
    body::Progress,
    client::{Seat, patiently},
};
use crate::error;

/// How many times the server's patience an answer may take that is read as a whole: it can be kept waiting for ever
/// by a byte at a time.
const WHOLE: u32 = 8;

/// An answer; its body is still to be read. Dropped before its end, it closes the connection.
pub(crate) struct Received {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    response: reqwest::Response,
    client: Arc<Client>,
    seat: Option<Seat>,
    progress: Progress,
    /// Time that the server took so far.
    taken: Duration,
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Received({})", self.status)
    }
}

impl Received {
    pub(super) fn new(
        mut response: reqwest::Response,
        client: Arc<Client>,
        seat: Seat,
        progress: Progress,
    ) -> Self {
        Self {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            response,
            client,
            seat: Some(seat),
            progress,
            taken: Duration::ZERO,
        }
    }

    /// It is said how long the body is, or where it ends. Else it ends with the connection, whyever that ends.
    pub(crate) fn has_end(&self) -> bool {
        self.response.version() >= Version::HTTP_2
            || self.headers.contains_key(header::CONTENT_LENGTH)
            || self.is_chunked()
    }

    fn is_chunked(&self) -> bool {
        let mut codings = self.headers.get_all(header::TRANSFER_ENCODING).iter();
        let last = codings
            .next_back()
            .and_then(|codings| codings.to_str().ok());
        let last = last.and_then(|codings| codings.rsplit(',').next());
        last.is_some_and(|coding| coding.trim().eq_ignore_ascii_case("chunked"))
    }

    /// A field's value, if it is text.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// If the connection was lost before it.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>> {
        self.progress.note();
        let patience = self.client.patience();
        let before = Instant::now();
        let chunk = patiently(&self.progress, patience, self.response.chunk()).await;
        self.taken += before.elapsed();
        match chunk {
            None => {
                self.seat = None;
                Err(error::silent())
            }
            Some(Err(cause)) => {
                self.seat = None;
                Err(error::lost(cause.without_url()))
            }
            Some(Ok(None)) => {
                if let Some(seat) = self.seat.take() {
                    self.client.put_back(seat);
                }
                Ok(None)
            }
            Some(Ok(Some(bytes))) => {
                self.client.edges().bandwidth.pass(bytes.len()).await;
                Ok(Some(bytes))
            }
        }
    }

    /// It takes longer than a body may that is read as a whole.
    fn is_slow(&self) -> bool {
        self.taken > self.client.patience().saturating_mul(WHOLE)
    }

    /// The whole body, which must not be longer than `most`.
    ///
    /// # Errors
    /// If it is, or the connection was lost.
    pub(crate) async fn bytes(&mut self, most: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        while let Some(bytes) = self.piece().await? {
            if out.len() + bytes.len() > most {
                self.seat = None;
                return Err(error::too_long());
            }
            if self.is_slow() {
                self.seat = None;
                return Err(error::silent());
            }
            out.extend_from_slice(&bytes);
        }
        Ok(out)
    }

    /// The beginning of the body. One that is longer than a page of an error may be ends the connection.
    pub(crate) async fn beginning(&mut self, most: usize) -> Vec<u8> {
        let mut out: Vec<u8> = Vec::new();
        let mut read = 0;
        while let Ok(Some(bytes)) = self.piece().await {
            let room = most.saturating_sub(out.len()).min(bytes.len());
            out.extend_from_slice(bytes.get(..room).unwrap_or_default());
            read += bytes.len();
            if read > 1 << 20 || self.is_slow() {
                self.seat = None;
                break;
            }
        }
        out
    }
}
