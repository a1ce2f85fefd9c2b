//! What may be wrong when no IMAP server answers as expected: another protocol, TLS where none was
//! expected or the other way round, too many connections. Each has its code and a remedy that names
//! the address to try instead.

use std::time::Duration;

use mailmove_core::{
    edge,
    error::{Error, ErrorKind, Retry},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::config::{Access, Security};

/// How long a port is given to say who it is, twice.
const LOOK: Duration = Duration::from_millis(1500);
/// Empty lines: whoever waits for TLS or for a request answers something, and IMAP ignores them.
pub(super) const NUDGE: &[u8] = b"\r\n\r\n\r\n\r\n";

/// Who answers, by its first words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Imap,
    Smtp,
    Pop3,
    Http,
    Ssh,
}

impl Protocol {
    fn of(words: &str) -> Option<Self> {
        const HEADS: [(&str, Protocol); 8] = [
            ("* OK", Protocol::Imap),
            ("* PREAUTH", Protocol::Imap),
            ("* BYE", Protocol::Imap),
            ("220 ", Protocol::Smtp),
            ("220-", Protocol::Smtp),
            ("+OK", Protocol::Pop3),
            ("HTTP/", Protocol::Http),
            ("SSH-", Protocol::Ssh),
        ];
        let mut heads = HEADS.iter();
        let found = heads.find(|(head, _)| words.starts_with(head));
        // FTP greets with the same number.
        found
            .map(|(_, protocol)| *protocol)
            .filter(|found| *found != Self::Smtp || !words.to_ascii_uppercase().contains("FTP"))
    }

    fn error(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::Imap => return None,
            Self::Smtp => (
                "imap/is-smtp",
                "what answers there takes mail for sending (SMTP), it is no IMAP server",
            ),
            Self::Pop3 => (
                "imap/is-pop3",
                "what answers there is a POP3 server, no IMAP server",
            ),
            Self::Http => (
                "imap/is-http",
                "what answers there is a web server, no IMAP server",
            ),
            Self::Ssh => (
                "imap/is-ssh",
                "what answers there is an SSH server, no IMAP server",
            ),
        })
    }
}

/// An error of connecting with what it means here, and an address to try instead.
pub(super) async fn explain(error: Error, access: &Access) -> Error {
    let (host, port) = (bracketed(access.config.host()), access.config.port());
    let usual = format!("imaps://{host} (port 993), or imap://{host} for STARTTLS (port 143)");
    match error.code() {
        "imap/not-imap" => {
            let words = first_line(&error).unwrap_or_default();
            match Protocol::of(&words).and_then(Protocol::error) {
                Some((code, message)) => other(code, message, &usual).with_context("says", words),
                None => error.with_remedy(format!("Check host and port. Try {usual}.")),
            }
        }
        "tls/not-tls" => {
            let found = behind(access).await;
            if let Some((code, message)) = found.and_then(Protocol::error) {
                return other(code, message, &usual).with_source(error);
            }
            error.with_remedy(format!(
                "Use imap://{host}:{port} for STARTTLS on this port, or imaps://{host} (port 993)."
            ))
        }
        "imap/expects-tls" => error.with_remedy(format!(
            "Use imaps://{host}:{port}, or imap://{host} for STARTTLS (port 143)."
        )),
        "imap/no-starttls" => error.with_remedy(format!(
            "Use imaps://{host} (port 993). Only if the way to the server is safe: \
             imap://{host}:{port}?tls=off."
        )),
        "tls/timeout" | "imap/no-greeting" => {
            let hint = match access.config.security() {
                Security::Tls => "",
                _ => " A port that wants TLS from the start needs imaps://.",
            };
            error.with_remedy(format!("Check host and port. Try {usual}.{hint}"))
        }
        _ => error,
    }
}

fn other(code: &'static str, message: &'static str, usual: &str) -> Error {
    Error::new(ErrorKind::Protocol, message)
        .with_code(code)
        .with_retry(Retry::Never)
        .with_remedy(format!("Use {usual}."))
}

/// The server's first line, kept in the cause.
fn first_line(error: &Error) -> Option<String> {
    let cause = std::error::Error::source(error)?;
    match cause.downcast_ref::<crate::wire::WireError>()? {
        crate::wire::WireError::NotImap { excerpt } => Some(excerpt.as_str().to_owned()),
        _ => None,
    }
}

/// Looks without TLS at a port that does not speak it.
async fn behind(access: &Access) -> Option<Protocol> {
    let config = &access.config;
    let connect = edge::connect(&access.edges, config.host(), config.port(), LOOK);
    let mut tcp = connect.await.ok()?;
    let words = match first_words(&mut tcp).await {
        Some(words) => words,
        None => {
            tcp.write_all(NUDGE).await.ok()?;
            first_words(&mut tcp).await?
        }
    };
    Protocol::of(&words)
}

async fn first_words(tcp: &mut TcpStream) -> Option<String> {
    let mut buffer = [0; 128];
    let read = tokio::time::timeout(LOOK, tcp.read(&mut buffer)).await;
    let words = buffer.get(..read.ok()?.ok()?)?;
    Some(String::from_utf8_lossy(words).into_owned())
}

/// The server closed the connection before it said who it is.
pub(super) fn hung_up(cause: Error) -> Error {
    Error::new(
        ErrorKind::Interrupted,
        "the server closed the connection before its greeting",
    )
    .with_code("imap/hung-up")
    .with_remedy(
        "Most servers that do so have too many connections of this user or address: close other \
         mail programs, or use fewer connections. If it goes on, check host and port.",
    )
    .with_source(cause)
}

/// Something listens, but waits for TLS.
pub(super) fn expects_tls() -> Error {
    Error::new(
        ErrorKind::Connect,
        "the server expects TLS from the start on this port",
    )
    .with_code("imap/expects-tls")
    .with_retry(Retry::Never)
}

/// An IPv6 address as URLs have it.
fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_known_by_their_first_words() {
        for (words, found) in [
            ("* OK [CAPABILITY IMAP4rev1] hi", Some(Protocol::Imap)),
            ("220 mail.example.com ESMTP", Some(Protocol::Smtp)),
            ("220-mail.example.com ESMTP", Some(Protocol::Smtp)),
            ("220 ProFTPD Server ready", None),
            ("+OK Dovecot ready.", Some(Protocol::Pop3)),
            ("HTTP/1.1 400 Bad Request", Some(Protocol::Http)),
            ("SSH-2.0-OpenSSH_9", Some(Protocol::Ssh)),
            ("\"IMPLEMENTATION\" \"Pigeonhole\"", None),
            ("", None),
        ] {
            assert_eq!(Protocol::of(words), found, "{words}");
        }
        assert_eq!(bracketed("::1"), "[::1]");
    }
}
