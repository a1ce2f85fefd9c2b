//! COMPRESS=DEFLATE (RFC 4978): raw deflate (RFC 1951) in both directions, above TLS.
//!
//! Memory stays bounded whatever comes: a piece of the wire is unpacked straight into the reader's
//! own buffer, no further than that has room, and no more is read before. So a small piece that
//! unpacks to gigabytes meets the same limits as gigabytes sent plainly.

use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// Read from the wire at a time.
const READ: usize = 32 << 10;
/// Unpacked at a time.
const UNPACK: usize = 64 << 10;
/// Packed at a time.
const PACK: usize = 16 << 10;
/// Packed bytes that may wait for the socket.
const WAITING: usize = 64 << 10;

/// A transport whose bytes are packed on the wire.
pub(crate) struct Deflate<S> {
    inner: S,
    packer: Compress,
    unpacker: Decompress,
    /// Read, and not unpacked yet.
    packed: BytesMut,
    /// Packed, and not written yet.
    waiting: BytesMut,
    /// The unpacker may have more than the reader's buffer had room for.
    more: bool,
    /// The packer may keep something back until it is flushed.
    held_back: bool,
    /// The server ended its stream.
    ended: bool,
    /// Bytes that passed the wire since somebody asked.
    passed: usize,
}

impl<S> Deflate<S> {
    /// `early`: what was read behind the server's OK, which is packed already.
    pub(crate) fn new(inner: S, early: BytesMut) -> Self {
        Self {
            inner,
            // Mail is moved once; what better levels gain is not worth their time.
            packer: Compress::new(Compression::fast(), false),
            unpacker: Decompress::new(false),
            packed: early,
            waiting: BytesMut::new(),
            more: false,
            held_back: false,
            ended: false,
            passed: 0,
        }
    }

    pub(crate) fn inner(&self) -> &S {
        &self.inner
    }

    /// Bytes that passed the wire since the last call.
    pub(crate) fn take_passed(&mut self) -> usize {
        std::mem::take(&mut self.passed)
    }

    /// Unpacks into the reader's buffer; how many bytes that gave.
    fn unpack(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<usize> {
        let room = buffer.remaining().min(UNPACK);
        let (taken, made) = (self.unpacker.total_in(), self.unpacker.total_out());
        let status = self.unpacker.decompress(
            &self.packed,
            buffer.initialize_unfilled_to(room),
            FlushDecompress::None,
        );
        let status = status.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let taken = since(self.unpacker.total_in(), taken);
        let made = since(self.unpacker.total_out(), made);
        self.ended = status == Status::StreamEnd;
        self.more = made == room;
        self.packed.advance(taken.min(self.packed.len()));
        buffer.advance(made);
        if taken == 0 && made == 0 && !self.packed.is_empty() && !self.ended {
            let why = "the compressed stream does not go on";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(made)
    }

    /// Packs all of `bytes`.
    fn pack(&mut self, mut bytes: &[u8], flush: FlushCompress) -> io::Result<()> {
        let mut piece = [0; PACK];
        loop {
            let (taken, made) = (self.packer.total_in(), self.packer.total_out());
            self.packer
                .compress(bytes, &mut piece, flush)
                .map_err(io::Error::other)?;
            let taken = since(self.packer.total_in(), taken);
            let made = since(self.packer.total_out(), made);
            bytes = bytes.get(taken..).unwrap_or_default();
            self.waiting
                .extend_from_slice(piece.get(..made).unwrap_or_default());
            // A full piece: there may be more to come.
            if made < PACK && (bytes.is_empty() || taken == 0) {
                return Ok(());
            }
        }
    }

    /// Writes what is packed. Ready when all of it is.
    fn drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        while !self.waiting.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_write(context, &self.waiting))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => {
                    self.waiting.advance(count);
                    self.passed += count;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn since(now: u64, before: u64) -> usize {
    usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX)
}

impl<S: AsyncRead + Unpin> AsyncRead for Deflate<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.ended || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if this.more || !this.packed.is_empty() {
                let made = this.unpack(buffer)?;
                if made > 0 {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            this.packed.reserve(READ);
            match ready!(pin!(this.inner.read_buf(&mut this.packed)).poll(context))? {
                0 => return Poll::Ready(Ok(())),
                count => this.passed += count,
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Deflate<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.waiting.len() >= WAITING {
            ready!(this.drain(context))?;
        }
        let taken = bytes.get(..WAITING).unwrap_or(bytes);
        this.pack(taken, FlushCompress::None)?;
        this.held_back = true;
        // As far as the socket takes it now; whoever writes or flushes next goes on.
        if let Poll::Ready(drained) = this.drain(context) {
            drained?;
        }
        Poll::Ready(Ok(taken.len()))
    }

    /// Ready when the server can unpack all that was written.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if std::mem::take(&mut this.held_back) {
            this.pack(&[], FlushCompress::Sync)?;
        }
        ready!(this.drain(context))?;
        Pin::new(&mut this.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncWriteExt as _,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    fn deflate(tcp: TcpStream) -> Deflate<TcpStream> {
        Deflate::new(tcp, BytesMut::new())
    }

    /// Bytes that do not pack well, from a seed.
    fn noise(count: usize) -> Vec<u8> {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut step = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        };
        (0..count).map(|_| step()).collect()
    }

    #[tokio::test]
    async fn what_is_flushed_arrives_whole_without_anything_behind_it() {
        let (near, far) = pair().await;
        let (mut near, mut far) = (deflate(near), deflate(far));
        for size in [1, 5, 1000, 16 << 10, 100_000, 1 << 20] {
            for bytes in [vec![b'x'; size], noise(size)] {
                let sent = async {
                    near.write_all(&bytes).await.unwrap();
                    near.flush().await.unwrap();
                };
                let mut got = vec![0; size];
                let ((), read) = tokio::join!(sent, far.read_exact(&mut got));
                assert_eq!(read.unwrap(), size);
                assert!(got == bytes, "{size} bytes differ");
            }
        }
        assert!(near.take_passed() < 5 << 20);
    }

    #[tokio::test]
    async fn a_bomb_is_unpacked_no_further_than_somebody_reads() {
        let mut packer = Compress::new(Compression::best(), false);
        // 1 GiB of zeros would be a MiB; a part of that shows the same.
        let mut bomb = Vec::with_capacity(1 << 20);
        let zeros = vec![0; 64 << 20];
        packer
            .compress_vec(&zeros, &mut bomb, FlushCompress::Sync)
            .unwrap();
        let (near, mut far) = pair().await;
        let mut near = deflate(near);
        far.write_all(&bomb).await.unwrap();
        let mut buffer = BytesMut::with_capacity(4096);
        let mut got = 0;
        for _ in 0..100 {
            buffer.clear();
            got += near.read_buf(&mut buffer).await.unwrap();
            assert!(buffer.capacity() <= 8192 && near.packed.len() <= 2 * READ);
        }
        assert!(got > 0 && got <= 100 * 8192);
    }

    #[tokio::test]
    async fn what_is_no_deflate_is_an_error() {
        let (near, mut far) = pair().await;
        let mut near = deflate(near);
        // No block has this type.
        far.write_all(&[0xff; 100]).await.unwrap();
        let error = near.read_buf(&mut BytesMut::with_capacity(100)).await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
