//! How to log in.

use std::time::Duration;

use mailmove_core::{
    edge::{Secret, tls::TlsSettings},
    error::Result,
};

use crate::{config::Cloud, http};

/// What proves that it is the program.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// A secret that was given to it.
    Secret(Secret),
}

/// How to log in to a tenant as a program that is registered there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoginConfig {
    tenant: String,
    client: String,
    pub(super) proof: Proof,
    authority: String,
    scope: String,
    tls: TlsSettings,
    timeout: Duration,
}

impl LoginConfig {
    fn new(tenant: String, client: String, proof: Proof) -> Self {
        Self {
            tenant,
            client,
            proof,
            authority: Cloud::Global.login().to_owned(),
            scope: scope(Cloud::Global.graph()),
            tls: TlsSettings::new(),
            timeout: Duration::from_secs(60),
        }
    }

    /// As a program with a secret. `client` is the program's number.
    #[must_use]
    pub fn with_secret(
        tenant: impl Into<String>,
        client: impl Into<String>,
        secret: Secret,
    ) -> Self {
        Self::new(tenant.into(), client.into(), Proof::Secret(secret))
    }

    /// Sets the cloud.
    #[must_use]
    pub fn with_cloud(mut self, cloud: Cloud) -> Self {
        cloud.login().clone_into(&mut self.authority);
        self.scope = scope(cloud.graph());
        self
    }

    /// Sets the address where tokens are given, without the tenant.
    ///
    /// # Errors
    /// [`Config`](mailmove_core::ErrorKind::Config) if it is no `https:` or `http:` address.
    pub fn with_authority(mut self, url: &str) -> Result<Self> {
        let url = http::parse(url)?;
        url.as_str()
            .trim_end_matches('/')
            .clone_into(&mut self.authority);
        Ok(self)
    }

    /// Sets how the server's certificate is judged.
    #[must_use]
    pub fn with_tls(mut self, tls: TlsSettings) -> Self {
        self.tls = tls;
        self
    }

    /// Sets how long the server may be silent while it owes an answer.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The program's number.
    #[must_use]
    pub fn client(&self) -> &str {
        &self.client
    }

    pub(super) fn scope(&self) -> &str {
        &self.scope
    }

    pub(super) fn tls(&self) -> &TlsSettings {
        &self.tls
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// An address of the tenant's.
    pub(super) fn address(&self, name: &str) -> String {
        let tenant = http::segment(&self.tenant);
        format!("{}/{tenant}/oauth2/v2.0/{name}", self.authority)
    }
}

/// All that the program was allowed.
fn scope(graph: &str) -> String {
    let host = graph.strip_suffix("/v1.0").unwrap_or(graph);
    format!("{host}/.default")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown_and_clouds_have_their_own_scope() {
        let config = LoginConfig::with_secret("example.com", "1", Secret::new("hush"));
        assert!(!format!("{config:?}").contains("hush"));
        assert_eq!(
            config.address("token"),
            "https://login.microsoftonline.com/example.com/oauth2/v2.0/token"
        );
        let china = config.with_cloud(Cloud::China);
        assert_eq!(
            china.scope(),
            "https://microsoftgraph.chinacloudapi.cn/.default"
        );
        assert!(
            china
                .address("token")
                .starts_with("https://login.chinacloudapi.cn/")
        );
    }
}
