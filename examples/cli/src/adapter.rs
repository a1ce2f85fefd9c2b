//! The only file that knows the adapters: from options to their two halves.

use std::{fs, path::Path, sync::Arc};

use mailmove_core::{
    Destination, Edges, Error, ErrorKind, Result, Source,
    edge::{
        Credential, CredentialProvider, Secret, StaticCredential,
        tls::{Fingerprint, TlsSettings},
    },
    model::Endpoint,
};
use mailmove_ews::{Auth, EwsConfig, EwsDestination, EwsSource};
use mailmove_imap::{ActAs, ImapConfig, ImapDestination, ImapSource, Security};

use crate::{
    oauth::TokenCommand,
    secrets::Side,
    url::{Ews, EwsLogin, MailboxUrl, Protection, Style},
};

/// What a mailbox is opened with.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    Password(Secret),
    Token(Arc<TokenCommand>),
}

/// A mailbox, and all that is needed to log in.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    pub(crate) url: MailboxUrl,
    config: Config,
}

#[derive(Clone, Debug)]
enum Config {
    Imap(Box<ImapConfig>),
    Ews(Box<EwsConfig>),
}

impl Mailbox {
    pub(crate) fn new(url: MailboxUrl, tls: TlsSettings, connections: Option<u8>) -> Result<Self> {
        let config = match &url.ews {
            None => Config::Imap(Box::new(imap(&url, tls, connections))),
            Some(of) => Config::Ews(Box::new(ews(&url, of, tls, connections)?)),
        };
        Ok(Self { url, config })
    }

    /// Compresses its connections where the server offers it.
    pub(crate) fn compressed(mut self, compress: bool) -> Self {
        if let Config::Imap(config) = self.config {
            self.config = Config::Imap(Box::new(config.with_compression(compress)));
        }
        self
    }

    /// What it is called in ledgers and reports.
    pub(crate) fn endpoint(&self) -> Endpoint {
        match &self.config {
            Config::Imap(config) => config.endpoint(),
            Config::Ews(config) => config.endpoint(),
        }
    }

    /// Whose mailbox it is.
    pub(crate) fn user(&self) -> &str {
        self.url.authorize_as.as_ref().unwrap_or(&self.url.user)
    }

    pub(crate) fn source(&self, key: Key, edges: &Edges) -> Arc<dyn Source> {
        let (credentials, edges) = (self.credentials(key), edges.clone());
        match &self.config {
            Config::Imap(config) => {
                Arc::new(ImapSource::new((**config).clone(), credentials, edges))
            }
            Config::Ews(config) => Arc::new(EwsSource::new((**config).clone(), credentials, edges)),
        }
    }

    pub(crate) fn destination(&self, key: Key, edges: &Edges) -> Arc<dyn Destination> {
        let (credentials, edges) = (self.credentials(key), edges.clone());
        match &self.config {
            Config::Imap(config) => {
                Arc::new(ImapDestination::new((**config).clone(), credentials, edges))
            }
            Config::Ews(config) => {
                Arc::new(EwsDestination::new((**config).clone(), credentials, edges))
            }
        }
    }

    fn credentials(&self, key: Key) -> Arc<dyn CredentialProvider> {
        match key {
            Key::Password(password) => Arc::new(StaticCredential::new(Credential::Password {
                user: self.url.user.clone(),
                password,
                authorize_as: self.url.authorize_as.clone(),
            })),
            Key::Token(command) => command,
        }
    }
}

fn imap(url: &MailboxUrl, tls: TlsSettings, connections: Option<u8>) -> ImapConfig {
    let security = match url.protection {
        Protection::Tls => Security::Tls,
        Protection::StartTls => Security::StartTls,
        Protection::Off => Security::Plain,
    };
    let config = ImapConfig::new(url.host.clone())
        .with_user(url.authorize_as.as_ref().unwrap_or(&url.user).clone())
        .with_port(url.port)
        .with_security(security)
        .with_tls(tls)
        .with_act_as(match url.style {
            Style::Master(sign) => ActAs::Master(sign),
            Style::Exchange => ActAs::Exchange,
            Style::ProxyAuth => ActAs::ProxyAuth,
            Style::Authzid => ActAs::Authzid,
        });
    match connections {
        Some(connections) => config.with_connections(connections.into()),
        None => config,
    }
}

fn ews(url: &MailboxUrl, of: &Ews, tls: TlsSettings, connections: Option<u8>) -> Result<EwsConfig> {
    let scheme = match url.protection {
        Protection::Off => "http",
        Protection::Tls | Protection::StartTls => "https",
    };
    let host = match url.host.contains(':') {
        true => format!("[{}]", url.host),
        false => url.host.clone(),
    };
    let config = EwsConfig::at(&format!("{scheme}://{host}:{}/{}", url.port, of.path))?
        .with_user(url.authorize_as.as_ref().unwrap_or(&url.user).clone())
        .with_tls(tls)
        .with_archive(of.archive)
        .with_auth(match of.login {
            EwsLogin::Offered => Auth::Offered,
            EwsLogin::Basic => Auth::Basic,
            EwsLogin::Ntlm => Auth::Ntlm,
            EwsLogin::Negotiate => Auth::Negotiate,
        });
    let config = match &of.name {
        Some(name) => config.with_tls_name(name.clone()),
        None => config,
    };
    Ok(match connections {
        Some(connections) => config.with_connections(connections.into()),
        None => config,
    })
}

/// How the certificate of one side is judged.
pub(crate) fn tls_settings(
    side: Side,
    url: &MailboxUrl,
    ca_file: Option<&Path>,
    pin: Option<&str>,
    own_pin: Option<&str>,
) -> Result<TlsSettings> {
    let mut settings = TlsSettings::new();
    if own_pin.is_some() && url.protection == Protection::Off {
        // Whoever pins expects protection; going on without it would be a lie.
        return Err(
            Error::new(ErrorKind::Config, "a pinned certificate needs TLS")
                .with_code("config/pin")
                .with_context("side", side.name())
                .with_remedy("Take ?tls=off out of the URL, or leave the pin out."),
        );
    }
    if let Some(path) = ca_file {
        let pem = fs::read(path).map_err(|error| {
            Error::new(ErrorKind::Config, "cannot read the CA file")
                .with_code("tls/ca-file")
                .with_context("file", path.display().to_string())
                .with_remedy("Give a readable file with one or more BEGIN CERTIFICATE blocks.")
                .with_source(error)
        })?;
        settings = settings.with_extra_ca_pem(pem);
    }
    if let Some(pin) = own_pin.or(pin) {
        settings = settings.with_pin(Fingerprint::parse(pin)?);
    }
    Ok(settings)
}
