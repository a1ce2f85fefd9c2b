//! COMPRESS=DEFLATE (RFC 4978): packs and unpacks whole pieces in memory.

use std::io;

use bytes::BytesMut;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Room made for output at a time.
const STEP: usize = 64 * 1024;

pub(crate) struct Deflate {
    out: Compress,
    back: Decompress,
}

impl Deflate {
    pub(crate) fn new() -> Self {
        Self {
            out: Compress::new(Compression::default(), false),
            back: Decompress::new(false),
        }
    }

    /// Packs these bytes so that the client can unpack them all at once.
    pub(crate) fn pack(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut packed = Vec::new();
        let begun = self.out.total_in();
        loop {
            packed.reserve(STEP);
            let done = usize::try_from(self.out.total_in() - begun).unwrap_or(usize::MAX);
            let rest = bytes.get(done..).unwrap_or_default();
            self.out
                .compress_vec(rest, &mut packed, FlushCompress::Sync)
                .map_err(io::Error::other)?;
            let all = self.out.total_in() - begun == bytes.len() as u64;
            if all && packed.len() < packed.capacity() {
                return Ok(packed);
            }
        }
    }

    /// Unpacks what came; `packed` is empty afterwards.
    pub(crate) fn unpack(&mut self, packed: &[u8], into: &mut BytesMut) -> io::Result<()> {
        let begun = self.back.total_in();
        let mut piece = Vec::with_capacity(STEP);
        loop {
            piece.clear();
            let done = usize::try_from(self.back.total_in() - begun).unwrap_or(usize::MAX);
            let rest = packed.get(done..).unwrap_or_default();
            let before = self.back.total_in();
            let status = self
                .back
                .decompress_vec(rest, &mut piece, FlushDecompress::None)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            into.extend_from_slice(&piece);
            let stuck = piece.is_empty() && self.back.total_in() == before;
            if stuck || status == Status::StreamEnd {
                return Ok(());
            }
        }
    }
}
