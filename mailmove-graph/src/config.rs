//! How to reach a mailbox of Microsoft 365.

use std::{sync::Arc, time::Duration};

use mailmove_core::{
    edge::{CredentialProvider, Edges, tls::TlsSettings},
    error::Result,
    model::Endpoint,
};

use crate::http::{self, segment};

/// Which of Microsoft's clouds a tenant lives in. Tokens of one are of no use in another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cloud {
    /// The one of most tenants, GCC among them.
    #[default]
    Global,
    /// GCC High, of authorities of the United States.
    GccHigh,
    /// Of the United States' Department of Defense.
    Dod,
    /// China's, run by 21Vianet.
    China,
}

impl Cloud {
    /// Where Graph is.
    #[must_use]
    pub const fn graph(self) -> &'static str {
        match self {
            Self::Global => "https://graph.microsoft.com/v1.0",
            Self::GccHigh => "https://graph.microsoft.us/v1.0",
            Self::Dod => "https://dod-graph.microsoft.us/v1.0",
            Self::China => "https://microsoftgraph.chinacloudapi.cn/v1.0",
        }
    }

    /// Where tokens are given.
    #[must_use]
    pub const fn login(self) -> &'static str {
        match self {
            Self::Global => "https://login.microsoftonline.com",
            Self::GccHigh | Self::Dod => "https://login.microsoftonline.us",
            Self::China => "https://login.chinacloudapi.cn",
        }
    }
}

/// How to reach a mailbox by Graph. Start from [`GraphConfig::new`]: the global cloud, as a program that an
/// administrator consented to, within the limits that Microsoft publishes.
///
/// ```
/// use mailmove_graph::GraphConfig;
///
/// let config = GraphConfig::new("example.com", "ann@example.com");
/// assert_eq!(config.endpoint().to_string(), "graph://ann@example.com@example.com");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GraphConfig {
    tenant: String,
    user: String,
    base: String,
    delegated: bool,
    tls: TlsSettings,
    concurrency: usize,
    timeout: Duration,
    requests: (u32, Duration),
    upload: (u64, Duration),
    hosts: Vec<String>,
    renames: bool,
    exports: bool,
}

impl GraphConfig {
    /// The mailbox of `user` (an address or an object's number) in `tenant` (a domain or a number).
    #[must_use]
    pub fn new(tenant: impl Into<String>, user: impl Into<String>) -> Self {
        Self {
            tenant: tenant.into(),
            user: user.into(),
            base: Cloud::Global.graph().to_owned(),
            delegated: false,
            tls: TlsSettings::new(),
            concurrency: 16,
            timeout: Duration::from_secs(110),
            requests: (10_000, Duration::from_secs(600)),
            upload: (150_000_000, Duration::from_secs(300)),
            hosts: Vec::new(),
            renames: true,
            exports: true,
        }
    }

    /// Sets the cloud.
    #[must_use]
    pub fn with_cloud(mut self, cloud: Cloud) -> Self {
        cloud.graph().clone_into(&mut self.base);
        self
    }

    /// Sets the address of Graph, with its version.
    ///
    /// # Errors
    /// [`Config`](mailmove_core::ErrorKind::Config) if it is no `https:` or `http:` address.
    pub fn with_base(mut self, url: &str) -> Result<Self> {
        let url = http::parse(url)?;
        url.as_str()
            .trim_end_matches('/')
            .clone_into(&mut self.base);
        Ok(self)
    }

    /// Sets whether the token is the user's own, so that the mailbox is `/me`, and not a program's.
    #[must_use]
    pub fn with_delegated(mut self, delegated: bool) -> Self {
        self.delegated = delegated;
        self
    }

    /// Sets how the server's certificate is judged.
    #[must_use]
    pub fn with_tls(mut self, tls: TlsSettings) -> Self {
        self.tls = tls;
        self
    }

    /// Sets how many requests may be under way at once at most, at least 1. It begins with 3 and finds out
    /// how many the server allows; Microsoft says 4.
    #[must_use]
    pub fn with_concurrency(mut self, most: usize) -> Self {
        self.concurrency = most.max(1);
        self
    }

    /// Sets how long the server may be silent while it owes an answer.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how many requests the server allows within which time.
    #[must_use]
    pub fn with_request_limit(mut self, requests: u32, within: Duration) -> Self {
        self.requests = (requests.max(1), within);
        self
    }

    /// Sets how many bytes may be sent within which time.
    #[must_use]
    pub fn with_upload_limit(mut self, bytes: u64, within: Duration) -> Self {
        self.upload = (bytes.max(1), within);
        self
    }

    /// Also allows this host (name or IP address) for uploads and imports, beside Microsoft's own.
    #[must_use]
    pub fn with_upload_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into().to_ascii_lowercase());
        self
    }

    /// Sets whether the boundaries of messages that are read are renamed after their place, which is the
    /// default: Exchange makes MIME anew at each read, with boundaries of the moment.
    #[must_use]
    pub fn with_renamed_boundaries(mut self, renames: bool) -> Self {
        self.renames = renames;
        self
    }

    /// Sets whether items may travel as Exchange's own exports, which is the default; it takes the permissions
    /// `MailboxItem.*` and `MailboxFolder.*`, and only the global cloud has them.
    #[must_use]
    pub fn with_exports(mut self, exports: bool) -> Self {
        self.exports = exports;
        self
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Whose mailbox it is.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The address of Graph, with its version.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Whether the token is the user's own.
    #[must_use]
    pub fn delegated(&self) -> bool {
        self.delegated
    }

    /// How the server's certificate is judged.
    #[must_use]
    pub fn tls(&self) -> &TlsSettings {
        &self.tls
    }

    /// How many requests may be under way at once at most.
    #[must_use]
    pub fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// How long the server may be silent while it owes an answer.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How many requests the server allows within which time.
    #[must_use]
    pub fn request_limit(&self) -> (u32, Duration) {
        self.requests
    }

    /// How many bytes may be sent within which time.
    #[must_use]
    pub fn upload_limit(&self) -> (u64, Duration) {
        self.upload
    }

    /// Whether boundaries are renamed.
    pub(crate) fn renames(&self) -> bool {
        self.renames
    }

    /// Whether items may travel as exports.
    pub(crate) fn exports(&self) -> bool {
        self.exports
    }

    /// Whether an upload or import may go to that host.
    pub(crate) fn may_upload_to(&self, host: &str, secure: bool) -> bool {
        const MICROSOFT: [&str; 5] = [
            "outlook.office.com",
            "outlook.office365.com",
            "outlook.office365.us",
            "outlook-dod.office365.us",
            "partner.outlook.cn",
        ];
        let host = host.to_ascii_lowercase();
        // Without TLS only where all goes without it, as with a server for tests.
        let plain = self.base.starts_with("http:");
        (secure && MICROSOFT.contains(&host.as_str()))
            || (secure || plain) && self.hosts.contains(&host)
    }

    /// The mailbox's path below the address of Graph, without a slash at its end.
    pub(crate) fn mailbox(&self) -> String {
        match self.delegated {
            true => "/me".to_owned(),
            false => format!("/users/{}", segment(&self.user)),
        }
    }

    /// Which mailbox this is.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new("graph", &self.tenant, None, &self.user)
    }
}

/// What every connection of one side needs.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) config: Arc<GraphConfig>,
    pub(crate) credentials: Arc<dyn CredentialProvider>,
    pub(crate) edges: Edges,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_named_by_one_segment() {
        let config = GraphConfig::new("t", "a/b@example.com");
        assert_eq!(config.mailbox(), "/users/a%2Fb%40example.com");
        assert_eq!(config.with_delegated(true).mailbox(), "/me");
        assert!(GraphConfig::new("t", "u").with_base("ftp://x").is_err());
        let config = GraphConfig::new("t", "u").with_base("http://127.0.0.1:1/v1.0/");
        assert_eq!(config.unwrap().base(), "http://127.0.0.1:1/v1.0");
    }

    #[test]
    fn uploads_go_to_microsoft_alone() {
        let config = GraphConfig::new("t", "u");
        assert!(config.may_upload_to("Outlook.Office.com", true));
        for (host, secure) in [
            ("outlook.office.com", false),
            ("outlook.office.com.evil.example", true),
            ("evil.example", true),
        ] {
            assert!(!config.may_upload_to(host, secure), "{host}");
        }
        let config = config.with_upload_host("127.0.0.1");
        assert!(config.may_upload_to("127.0.0.1", true));
        assert!(!config.may_upload_to("127.0.0.1", false));
        let config = config.with_base("http://127.0.0.1/v1.0").unwrap();
        assert!(config.may_upload_to("127.0.0.1", false));
    }
}
