//! How to reach an IMAP server.

use std::{sync::Arc, time::Duration};

use mailmove_core::{
    edge::{CredentialProvider, Edges, tls::TlsSettings},
    model::Endpoint,
};

use crate::quirks::Quirks;

/// How a connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Security {
    /// TLS from the first byte (RFC 8314), usually port 993.
    #[default]
    Tls,
    /// Plain at first, then STARTTLS (RFC 3501 §6.2.1), usually port 143. A server that does not
    /// offer it is refused; nothing secret is sent before.
    StartTls,
    /// No protection at all, usually port 143. Passwords and mail can be read on the way.
    Plain,
}

impl Security {
    /// The port that servers use for it.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Tls => 993,
            Self::StartTls | Self::Plain => 143,
        }
    }
}

/// How a login says that one user (an administrator, a colleague) opens another's mailbox. Used
/// where [`Credential::Password`](mailmove_core::edge::Credential::Password) has `authorize_as`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ActAs {
    /// By the authorization identity of AUTHENTICATE PLAIN (RFC 4616): Dovecot, Cyrus, and whoever
    /// keeps to the standard.
    #[default]
    Authzid,
    /// By the login name `mailbox*admin`, with the separator that the server is set to (Dovecot's
    /// master users: `*`).
    Master(char),
    /// By the login name `admin\mailbox`, the mailbox by its alias (Exchange). The administrator's
    /// name may itself be `DOMAIN\admin`.
    Exchange,
    /// By PROXYAUTH after the administrator's own login (Netscape, iPlanet, Sun, Oracle).
    ProxyAuth,
}

impl ActAs {
    /// Whether a mailbox of that name cannot be told from an administrator and another mailbox: who may
    /// choose it could open one that is not theirs.
    pub(crate) fn is_ambiguous(self, mailbox: &str) -> bool {
        match self {
            Self::Master(separator) => mailbox.contains(separator),
            Self::Exchange => mailbox.contains('\\'),
            Self::Authzid | Self::ProxyAuth => false,
        }
    }

    /// The login name that says both; none where it is said in another way.
    pub(crate) fn login_name(self, admin: &str, mailbox: &str) -> Option<String> {
        match self {
            Self::Master(separator) => Some(format!("{mailbox}{separator}{admin}")),
            Self::Exchange => Some(format!("{admin}\\{mailbox}")),
            Self::Authzid | Self::ProxyAuth => None,
        }
    }
}

/// How to reach an IMAP mailbox. Start from [`ImapConfig::new`]: TLS on port 993, verified by the
/// platform's trust, four connections, 60 seconds of patience.
///
/// ```
/// use mailmove_imap::{ImapConfig, Security};
///
/// let config = ImapConfig::new("imap.example.com")
///     .with_user("ann@example.com")
///     .with_security(Security::StartTls)
///     .with_connections(2);
/// assert_eq!(config.port(), 143);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ImapConfig {
    host: String,
    port: Option<u16>,
    user: String,
    security: Security,
    tls: TlsSettings,
    connections: usize,
    timeout: Duration,
    act_as: ActAs,
    quirks: Option<Quirks>,
    compression: bool,
}

impl ImapConfig {
    /// A server by name or IP address (IPv6 with or without brackets).
    #[must_use]
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: None,
            user: String::new(),
            security: Security::Tls,
            tls: TlsSettings::new(),
            connections: 4,
            timeout: Duration::from_secs(60),
            act_as: ActAs::default(),
            quirks: None,
            compression: false,
        }
    }

    /// Says whose mailbox it is: the login name, or the authorization identity where one user opens
    /// another's mailbox. It is part of the job's identity; what is sent to the server comes from
    /// the credential provider.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// Sets the port; without it [`Security::default_port`] is used.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Sets how connections are protected.
    #[must_use]
    pub fn with_security(mut self, security: Security) -> Self {
        self.security = security;
        self
    }

    /// Sets how the server's certificate is judged.
    #[must_use]
    pub fn with_tls(mut self, tls: TlsSettings) -> Self {
        self.tls = tls;
        self
    }

    /// Sets how many connections may be open at once, at least 1. Servers limit them, e.g. Dovecot
    /// to 10 and Gmail to 15 per user, all clients together.
    #[must_use]
    pub fn with_connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// Sets how long the server may be silent while it owes an answer. A body that keeps coming,
    /// however slowly, is no silence.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how a login says that one user opens another's mailbox.
    #[must_use]
    pub fn with_act_as(mut self, style: ActAs) -> Self {
        self.act_as = style;
        self
    }

    /// Sets what the server does otherwise than expected, instead of finding out by what it says of
    /// itself. [`Quirks::none`] switches all tables off.
    #[must_use]
    pub fn with_quirks(mut self, quirks: Quirks) -> Self {
        self.quirks = Some(quirks);
        self
    }

    /// Sets whether connections are compressed where the server offers it (COMPRESS=DEFLATE,
    /// RFC 4978); off at first. It helps on slow lines and costs time on fast ones. It begins after
    /// the login, so that no password is compressed.
    #[must_use]
    pub fn with_compression(mut self, compression: bool) -> Self {
        self.compression = compression;
        self
    }

    /// The host, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(self.security.default_port())
    }

    /// How connections are protected.
    #[must_use]
    pub fn security(&self) -> Security {
        self.security
    }

    /// How the server's certificate is judged.
    #[must_use]
    pub fn tls(&self) -> &TlsSettings {
        &self.tls
    }

    /// How many connections may be open at once.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// How long the server may be silent while it owes an answer.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How a login says that one user opens another's mailbox.
    #[must_use]
    pub fn act_as(&self) -> ActAs {
        self.act_as
    }

    /// What the server does otherwise than expected, if that was set.
    #[must_use]
    pub fn quirks(&self) -> Option<&Quirks> {
        self.quirks.as_ref()
    }

    /// Whether connections are compressed where the server offers it.
    #[must_use]
    pub fn compression(&self) -> bool {
        self.compression
    }

    /// Which mailbox this is. The port is part of it only where it is not the usual one.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        let port = self.port.filter(|port| !matches!(port, 993 | 143));
        Endpoint::new("imap", self.host(), port, self.user.clone())
    }
}

/// What every connection of one side needs.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) config: Arc<ImapConfig>,
    pub(crate) credentials: Arc<dyn CredentialProvider>,
    pub(crate) edges: Edges,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_port_follows_the_security() {
        let config = ImapConfig::new("Imap.Example.COM").with_user("ann");
        assert_eq!(config.port(), 993);
        let plain = config.clone().with_security(Security::Plain);
        assert_eq!(plain.port(), 143);
        assert_eq!(plain.endpoint(), config.endpoint());
        assert_eq!(config.endpoint().to_string(), "imap://ann@imap.example.com");
        let odd = config.with_port(1993);
        assert_eq!(
            odd.endpoint().to_string(),
            "imap://ann@imap.example.com:1993"
        );
        assert_eq!(ImapConfig::new("[::1]").host(), "::1");
    }
}
