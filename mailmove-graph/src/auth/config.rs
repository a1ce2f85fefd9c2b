//! How to log in.

use std::{sync::Arc, time::Duration};

use mailmove_core::{
    edge::{Secret, tls::TlsSettings},
    error::Result,
};

use super::{assertion::Certificate, device::Prompt};
use crate::{config::Cloud, http};

/// What proves that it is the program.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// A secret that was given to it.
    Secret(Secret),
    /// A certificate.
    Certificate(Box<Certificate>),
    /// A user, who logs in by a code.
    User(Option<Arc<dyn Prompt>>),
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
    /// Of Exchange itself, for IMAP.
    imap: String,
    pub(super) refresh: Option<Secret>,
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
            imap: imap(Cloud::Global).to_owned(),
            refresh: None,
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

    /// As a program with a certificate. `pem` holds certificate and private key (RSA), one after the other.
    ///
    /// # Errors
    /// [`Config`](mailmove_core::ErrorKind::Config) if one of them is missing, or can't be used.
    pub fn with_certificate(
        tenant: impl Into<String>,
        client: impl Into<String>,
        pem: Secret,
    ) -> Result<Self> {
        let proof = Proof::Certificate(Box::new(Certificate::read(pem)?));
        Ok(Self::new(tenant.into(), client.into(), proof))
    }

    /// As a user, who is shown a code and enters it in a browser: the mailbox is the user's own
    /// ([`GraphConfig::with_delegated`](crate::GraphConfig::with_delegated)). Until that is done, logging in
    /// answers [`WaitingForUser`](mailmove_core::ErrorKind::WaitingForUser), whose remedy says the same as
    /// `prompt` is shown; [`Login::log_in`](crate::Login::log_in) waits.
    #[must_use]
    pub fn with_device_code(
        tenant: impl Into<String>,
        client: impl Into<String>,
        prompt: Option<Arc<dyn Prompt>>,
    ) -> Self {
        Self::new(tenant.into(), client.into(), Proof::User(prompt))
    }

    /// Sets what an earlier login of the user's left ([`Login::refresh_token`](crate::Login::refresh_token)).
    #[must_use]
    pub fn with_refresh_token(mut self, token: Secret) -> Self {
        self.refresh = Some(token);
        self
    }

    /// Sets the cloud.
    #[must_use]
    pub fn with_cloud(mut self, cloud: Cloud) -> Self {
        cloud.login().clone_into(&mut self.authority);
        self.scope = scope(cloud.graph());
        imap(cloud).clone_into(&mut self.imap);
        self
    }

    /// Asks for tokens that are good for IMAP of the same cloud, instead of Graph.
    #[must_use]
    pub fn with_imap(mut self) -> Self {
        self.scope.clone_from(&self.imap);
        self
    }

    /// Sets what tokens are asked for.
    #[must_use]
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = scope.into();
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

/// The same of Exchange.
fn imap(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Global => "https://outlook.office365.com/.default",
        Cloud::GccHigh => "https://outlook.office365.us/.default",
        Cloud::Dod => "https://outlook-dod.office365.us/.default",
        Cloud::China => "https://partner.outlook.cn/.default",
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
