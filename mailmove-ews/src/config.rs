//! How to reach an Exchange server.

use std::{sync::Arc, time::Duration};

use mailmove_core::{
    edge::{CredentialProvider, Edges, tls::TlsSettings},
    error::Result,
    model::Endpoint,
};

use crate::http::Target;

/// Where EWS is on every Exchange server.
pub(crate) const EWS_PATH: &str = "/EWS/Exchange.asmx";

/// How to log in with a name and a password. Tokens go as such, whatever is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Auth {
    /// NTLM where the server offers it, by itself or within Negotiate; Basic only where it offers
    /// neither. A login that is refused is never tried again in another way.
    #[default]
    Offered,
    /// Basic: the server sees the password.
    Basic,
    /// NTLMv2.
    Ntlm,
    /// NTLMv2 within Negotiate (SPNEGO).
    Negotiate,
}

/// How to reach a mailbox by EWS. Start from [`EwsConfig::new`]: HTTPS, verified by the platform's
/// trust, four connections, 110 seconds of patience.
///
/// ```
/// use mailmove_ews::EwsConfig;
///
/// let config = EwsConfig::new("mail.example.com").with_user("ann@example.com");
/// assert_eq!(config.url(), "https://mail.example.com/EWS/Exchange.asmx");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EwsConfig {
    target: Target,
    user: String,
    auth: Auth,
    tls: TlsSettings,
    tls_name: Option<String>,
    connections: usize,
    renames: bool,
    timeout: Duration,
    archive: bool,
    max_request: u64,
}

impl EwsConfig {
    /// The server of that name or IP address, where EWS usually is.
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self::of(Target::new(true, host, None, EWS_PATH))
    }

    /// EWS at that address. The path of Outlook on the web (`/owa`), or none, stands for the usual one.
    ///
    /// # Errors
    /// [`Config`](mailmove_core::ErrorKind::Config) if it is no `https:` or `http:` address.
    pub fn at(url: &str) -> Result<Self> {
        let target = Target::parse(url)?;
        let lower = target.path.to_ascii_lowercase();
        let is_other = ["/owa", "/ecp", "/exchange", "/mapi", "/autodiscover"]
            .iter()
            .any(|known| lower == *known || lower.starts_with(&format!("{known}/")));
        let usual = lower == "/" || is_other || lower == "/ews" || lower == "/ews/";
        Ok(Self::of(match usual {
            true => target.with_path(EWS_PATH),
            false => target,
        }))
    }

    fn of(target: Target) -> Self {
        Self {
            target,
            user: String::new(),
            auth: Auth::Offered,
            tls: TlsSettings::new(),
            tls_name: None,
            connections: 4,
            timeout: Duration::from_secs(110),
            archive: false,
            max_request: 64 << 20,
            renames: true,
        }
    }

    /// Says whose mailbox it is: its primary e-mail address, where it is known. It is part of the
    /// job's identity, and tells the server's front end where to look. Who logs in comes from the
    /// credential provider.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// Sets how to log in.
    #[must_use]
    pub fn with_auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Sets how the server's certificate is judged.
    #[must_use]
    pub fn with_tls(mut self, tls: TlsSettings) -> Self {
        self.tls = tls;
        self
    }

    /// Sets the name that the certificate must have, where the host is an IP address.
    #[must_use]
    pub fn with_tls_name(mut self, name: impl Into<String>) -> Self {
        self.tls_name = Some(name.into());
        self
    }

    /// Sets how many connections may be open at once, at least 1. Exchange allows 27, and advises 10.
    #[must_use]
    pub fn with_connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// Sets whether the boundaries of messages that are read are renamed after their place, which is the
    /// default. Exchange makes MIME anew at each read, with boundaries of the moment: without new names, a
    /// message that is read twice has two digests, and a run whose state was lost does not know its own
    /// copies. Switch it off for a server that keeps MIME as it came.
    #[must_use]
    pub fn with_renamed_boundaries(mut self, renames: bool) -> Self {
        self.renames = renames;
        self
    }

    /// Whether boundaries are renamed.
    pub(crate) fn renames(&self) -> bool {
        self.renames
    }

    /// Sets how long the server may be silent while it owes an answer.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets whether the user's archive mailbox is meant.
    #[must_use]
    pub fn with_archive(mut self, archive: bool) -> Self {
        self.archive = archive;
        self
    }

    /// Sets the longest request that the server takes, in bytes. Exchange is installed with 64 MiB, of
    /// which a message has three quarters.
    #[must_use]
    pub fn with_max_request(mut self, bytes: u64) -> Self {
        self.max_request = bytes;
        self
    }

    /// The address of EWS.
    #[must_use]
    pub fn url(&self) -> String {
        self.target.to_string()
    }

    /// Whose mailbox it is.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// How to log in.
    #[must_use]
    pub fn auth(&self) -> Auth {
        self.auth
    }

    /// How the server's certificate is judged.
    #[must_use]
    pub fn tls(&self) -> &TlsSettings {
        &self.tls
    }

    /// The name that the certificate must have, if it is not the host's.
    #[must_use]
    pub fn tls_name(&self) -> Option<&str> {
        self.tls_name.as_deref()
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

    /// Whether the user's archive mailbox is meant.
    #[must_use]
    pub fn archive(&self) -> bool {
        self.archive
    }

    /// The longest request that the server takes.
    #[must_use]
    pub fn max_request(&self) -> u64 {
        self.max_request
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The role of the folder that all others are in.
    pub(crate) fn root(&self) -> &'static str {
        match self.archive {
            true => "archivemsgfolderroot",
            false => "msgfolderroot",
        }
    }

    /// The largest message that fits into a request.
    pub(crate) fn max_message(&self) -> u64 {
        // The envelope and the properties of one message have some kilobytes.
        self.max_request.saturating_sub(16 << 10) / 4 * 3
    }

    /// Which mailbox this is. The port is part of it only where it is not the usual one.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        let port = Some(self.target.port).filter(|port| !matches!(port, 443 | 80));
        let user = match self.archive {
            true => format!("{}#archive", self.user),
            false => self.user.clone(),
        };
        Endpoint::new("ews", &self.target.host, port, user)
    }
}

/// What every connection of one side needs.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) config: Arc<EwsConfig>,
    pub(crate) credentials: Arc<dyn CredentialProvider>,
    pub(crate) edges: Edges,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_outlook_on_the_web_leads_to_ews() {
        for (given, url) in [
            (
                "https://mail.example.com/owa",
                "https://mail.example.com/EWS/Exchange.asmx",
            ),
            (
                "https://mail.example.com/owa/#path=/mail",
                "https://mail.example.com/EWS/Exchange.asmx",
            ),
            (
                "https://mail.example.com",
                "https://mail.example.com/EWS/Exchange.asmx",
            ),
            (
                "http://127.0.0.1:81/EWS/Exchange.asmx",
                "http://127.0.0.1:81/EWS/Exchange.asmx",
            ),
            ("https://h/proxy/ews.asmx", "https://h/proxy/ews.asmx"),
        ] {
            assert_eq!(EwsConfig::at(given).unwrap().url(), url);
        }
        let config = EwsConfig::new("Mail.Example.com").with_user("ann@example.com");
        assert_eq!(
            config.endpoint().to_string(),
            "ews://ann@example.com@mail.example.com"
        );
        assert_ne!(
            config.clone().with_archive(true).endpoint(),
            config.endpoint()
        );
    }
}
