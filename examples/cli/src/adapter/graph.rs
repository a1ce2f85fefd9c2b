//! Mailboxes in Microsoft 365.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use mailmove_core::{
    Edges, Error, ErrorKind, Result,
    edge::{Credential, CredentialProvider, CredentialRequest, Secret, tls::TlsSettings},
};
use mailmove_graph::{
    Cloud, DevicePrompt, Drafts, GraphConfig, Login, LoginConfig, Prompt, Protected, Writing,
};
use mailmove_imap::{ImapConfig, Security};

use crate::{
    output,
    url::{Graph, GraphCloud, GraphLogin, GraphRoute, MailboxUrl, System},
};

fn cloud(of: GraphCloud) -> Cloud {
    match of {
        GraphCloud::Global => Cloud::Global,
        GraphCloud::UsGovernment => Cloud::GccHigh,
        GraphCloud::UsDefense => Cloud::Dod,
        GraphCloud::China => Cloud::China,
    }
}

/// Another server than the cloud's.
fn own(of: &Graph) -> Option<String> {
    let (host, port) = of.at.as_ref()?;
    Some(match host.contains(':') {
        true => format!("https://[{host}]:{port}"),
        false => format!("https://{host}:{port}"),
    })
}

pub(super) fn config(
    url: &MailboxUrl,
    of: &Graph,
    tls: TlsSettings,
    connections: Option<u8>,
) -> Result<GraphConfig> {
    let mut config = GraphConfig::new(of.tenant.clone(), url.user.clone())
        .with_cloud(cloud(of.cloud))
        .with_delegated(of.login == GraphLogin::Device)
        .with_tls(tls);
    if let Some(own) = own(of) {
        config = config
            .with_base(&format!("{own}/v1.0"))?
            .with_upload_host(url.host.clone());
    }
    if let Some(requests) = of.requests {
        config = config.with_request_limit(requests, Duration::from_secs(600));
    }
    if let Some(megabytes) = of.upload {
        let bytes = u64::from(megabytes) * 1_000_000;
        config = config.with_upload_limit(bytes, Duration::from_secs(300));
    }
    Ok(match connections {
        Some(connections) => config.with_concurrency(connections.into()),
        None => config,
    })
}

/// The same mailbox by IMAP.
pub(super) fn imap(url: &MailboxUrl, tls: TlsSettings, connections: Option<u8>) -> ImapConfig {
    let config = ImapConfig::new(url.host.clone())
        .with_user(url.user.clone())
        .with_port(url.port)
        .with_security(Security::Tls)
        .with_tls(tls);
    match connections {
        Some(connections) => config.with_connections(connections.into()),
        None => config,
    }
}

/// How messages are written.
pub(super) fn writing(url: &MailboxUrl) -> Writing {
    let System::Graph(of) = &url.system else {
        return Writing::new();
    };
    let protected = match of.unsigned {
        true => Protected::Store,
        false => Protected::Refuse,
    };
    let drafts = match of.mime_drafts {
        true => Drafts::AsMime,
        false => Drafts::AsFields,
    };
    Writing::new().with_protected(protected).with_drafts(drafts)
}

/// `secret` is the application's secret, or certificate and key; without one the user is asked.
pub(super) fn login(
    of: &Graph,
    secret: Option<Secret>,
    tls: &TlsSettings,
    edges: &Edges,
) -> Result<Arc<dyn CredentialProvider>> {
    let client = of.client.clone().ok_or_else(|| {
        Error::new(
            ErrorKind::Config,
            "the URL names no application to log in as",
        )
        .with_code("config/client")
        .with_remedy(
            "Register an application in the tenant (docs/microsoft-365.md says how), and add \
                 ?client= with its id to the URL; or give a command for tokens.",
        )
    })?;
    let config = match (of.login, secret) {
        (GraphLogin::Certificate, Some(pem)) => {
            LoginConfig::with_certificate(of.tenant.clone(), client, pem)?
        }
        (_, Some(secret)) => LoginConfig::with_secret(of.tenant.clone(), client, secret),
        (_, None) => {
            let prompt = Arc::new(Screen);
            LoginConfig::with_device_code(of.tenant.clone(), client, Some(prompt))
        }
    };
    let mut config = config.with_cloud(cloud(of.cloud)).with_tls(tls.clone());
    if of.route == GraphRoute::Imap {
        config = config.with_imap();
    }
    if let Some(own) = own(of) {
        config = config.with_authority(&own)?;
    }
    Ok(Arc::new(Patient(Login::new(config, edges.clone()))))
}

/// Waits for the user, where one has to log in.
#[derive(Debug)]
struct Patient(Login);

#[async_trait]
impl CredentialProvider for Patient {
    async fn credential(&self, request: CredentialRequest) -> Result<Credential> {
        if !request.refused {
            self.0.log_in().await?;
        }
        self.0.credential(request).await
    }
}

/// Tells the user what to do.
#[derive(Debug)]
struct Screen;

impl Prompt for Screen {
    fn show(&self, prompt: &DevicePrompt) {
        output::notice(&output::clean(&format!(
            "To log in, open {} in a browser and enter the code {}",
            prompt.address, prompt.code
        )));
    }
}
