//! A part's bytes, decoded as they are read.

use bytes::Bytes;
use mailmove_core::{
    error::Result,
    mime::Decoder,
    model::{Content, ContentReader},
};

use super::Place;

/// Reads a part's bytes from the message, decoded, in pieces of a few hundred kilobytes.
#[derive(Debug)]
pub struct Pieces {
    reader: ContentReader,
    /// Encoded bytes that are left to be read.
    left: u64,
    /// What was read and is not decoded yet.
    raw: Bytes,
    decoder: Option<Decoder>,
}

/// Encoded bytes that are decoded at once: of a message in memory the whole is at hand.
const PIECE: usize = 256 << 10;

impl Pieces {
    pub(super) fn new(message: &Content, place: Place) -> Self {
        Self {
            reader: message.reader_from(place.start),
            left: place.end.saturating_sub(place.start),
            raw: Bytes::new(),
            decoder: Some(Decoder::new(place.encoding)),
        }
    }

    /// The next piece, which may be empty; `None` at the end.
    ///
    /// # Errors
    /// If the message's bytes can't be read.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.raw.is_empty() && self.left > 0 {
            match self.reader.next().await? {
                Some(piece) => {
                    let most = usize::try_from(self.left).unwrap_or(usize::MAX);
                    self.raw = piece.slice(..piece.len().min(most));
                    self.left -= self.raw.len() as u64;
                }
                None => self.left = 0,
            }
        }
        let Some(mut decoder) = self.decoder.take() else {
            return Ok(None);
        };
        let mut out = Vec::new();
        let piece = self.raw.split_to(self.raw.len().min(PIECE));
        decoder.update(&piece, &mut out);
        match self.raw.is_empty() && self.left == 0 {
            true => decoder.finish(&mut out),
            false => self.decoder = Some(decoder),
        }
        Ok(Some(out))
    }
}
