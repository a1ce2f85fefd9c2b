//! What a server says first: behind a wrong port there may be something else than a web server.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use mailmove_core::error::{Error, ErrorKind, Retry};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::printable;

/// Bytes that are kept.
const KEPT: usize = 64;

/// The first bytes that came on a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct FirstWords(Arc<Mutex<Vec<u8>>>);

impl FirstWords {
    /// Keeps what is new; false once there is enough.
    fn note(&self, bytes: &[u8]) -> bool {
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT.saturating_sub(words.len()).min(bytes.len());
        words.extend_from_slice(bytes.get(..room).unwrap_or_default());
        words.len() < KEPT
    }

    /// What it means that these are no words of a web server; `None` if they are, or nothing was said.
    pub(super) fn wrong(&self) -> Option<Error> {
        let words = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let begins = |any: &[&[u8]]| any.iter().any(|one| words.starts_with(one));
        if words.is_empty() || begins(&[b"HTTP/"]) {
            return None;
        }
        let (code, message) = if begins(&[b"* OK", b"* PREAUTH", b"* BYE"]) {
            (
                "ews/is-imap",
                "what answers there is an IMAP server, no web server",
            )
        } else if begins(&[b"+OK", b"-ERR"]) {
            (
                "ews/is-pop3",
                "what answers there is a POP3 server, no web server",
            )
        } else if begins(&[b"220 ", b"220-", b"421 ", b"554 "]) {
            (
                "ews/is-smtp",
                "what answers there takes mail for sending (SMTP), it is no web server",
            )
        } else if begins(&[b"SSH-"]) {
            (
                "ews/is-ssh",
                "what answers there is an SSH server, no web server",
            )
        } else if begins(&[b"\x15\x03"]) {
            (
                "ews/expects-tls",
                "the server speaks nothing but TLS on this port",
            )
        } else {
            ("ews/not-http", "what answers there is no web server")
        };
        let remedy = match code {
            "ews/expects-tls" => "Give the address with https://.",
            _ => {
                "Give the address of Outlook on the web, such as https://mail.example.com/owa: EWS is \
                 there, on the same port."
            }
        };
        let first = words
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        Some(
            Error::new(ErrorKind::Protocol, message)
                .with_code(code)
                .with_retry(Retry::Never)
                .with_context("says", printable(&String::from_utf8_lossy(first)))
                .with_remedy(remedy),
        )
    }
}

/// A connection whose first words are kept.
#[derive(Debug)]
pub(super) struct Sniffed<T> {
    inner: T,
    words: FirstWords,
    listening: bool,
}

impl<T> Sniffed<T> {
    pub(super) fn new(inner: T, words: FirstWords) -> Self {
        Self {
            inner,
            words,
            listening: true,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Sniffed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        if self.listening {
            let new = buffer.filled().get(before..).unwrap_or_default();
            self.listening = self.words.note(new);
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Sniffed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_words_tell_who_speaks() {
        for (words, code) in [
            (&b"* OK [CAPABILITY IMAP4rev1] ready\r\n"[..], "ews/is-imap"),
            (b"+OK ready\r\n", "ews/is-pop3"),
            (b"220-mail.example.com ESMTP\r\n", "ews/is-smtp"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "ews/is-ssh"),
            (b"\x15\x03\x01\x00\x02\x02\x46", "ews/expects-tls"),
            (b"\0\x01", "ews/not-http"),
        ] {
            let heard = FirstWords::default();
            assert!(heard.wrong().is_none());
            heard.note(words);
            let error = heard.wrong().unwrap();
            assert_eq!((error.code(), error.is_transient()), (code, false));
        }
        let heard = FirstWords::default();
        assert!(heard.note(b"HTTP/1.1 "));
        assert!(!heard.note(&[b'x'; 100]));
        assert!(heard.wrong().is_none());
        assert_eq!(heard.0.lock().unwrap().len(), KEPT);
    }
}
