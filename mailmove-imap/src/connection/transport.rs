//! A socket, with or without TLS, with or without compression.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use super::deflate::Deflate;

pub(crate) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Over one of the others.
    Deflate(Box<Deflate<Self>>),
    /// Taken away to be wrapped.
    Gone,
}

impl Transport {
    pub(crate) fn is_tls(&self) -> bool {
        match self {
            Self::Tls(_) => true,
            Self::Deflate(deflate) => deflate.inner().is_tls(),
            Self::Plain(_) | Self::Gone => false,
        }
    }

    /// How many bytes passed the wire since the last call, where `moved` bytes were read and written.
    pub(crate) fn take_passed(&mut self, moved: usize) -> usize {
        match self {
            Self::Deflate(deflate) => deflate.take_passed(),
            _ => moved,
        }
    }

    fn gone<T>() -> Poll<io::Result<T>> {
        Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Deflate(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Gone => Self::gone(),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Deflate(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Gone => Self::gone(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Deflate(stream) => Pin::new(stream).poll_flush(context),
            Self::Gone => Self::gone(),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Deflate(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Gone => Self::gone(),
        }
    }
}
