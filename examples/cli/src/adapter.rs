//! The only place that knows the adapters: from options to their two halves.

mod graph;

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
use mailmove_graph::{GraphConfig, GraphDestination, GraphSource};
use mailmove_imap::{ActAs, ImapConfig, ImapDestination, ImapSource, Security};

use crate::{
    oauth::TokenCommand,
    secrets::Side,
    url::{Ews, EwsLogin, GraphLogin, GraphRoute, MailboxUrl, Protection, Style, System},
};

/// What a mailbox is opened with.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    /// A password; for an application in Microsoft 365 its secret, or its certificate and key.
    Password(Secret),
    Token(Arc<TokenCommand>),
    /// A user will be asked.
    User,
    /// Nobody will log in.
    Nobody,
}

/// A mailbox, and all that is needed to log in.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    pub(crate) url: MailboxUrl,
    tls: TlsSettings,
    config: Config,
}

#[derive(Clone, Debug)]
enum Config {
    Imap(Box<ImapConfig>),
    Ews(Box<EwsConfig>),
    Graph(Box<GraphConfig>),
}

impl Mailbox {
    pub(crate) fn new(
        url: MailboxUrl,
        settings: TlsSettings,
        connections: Option<u8>,
    ) -> Result<Self> {
        let tls = settings.clone();
        let config = match &url.system {
            System::Imap(style) => Config::Imap(Box::new(imap(&url, *style, tls, connections))),
            System::Ews(of) => Config::Ews(Box::new(ews(&url, of, tls, connections)?)),
            System::Graph(of) => match of.route {
                GraphRoute::Imap => Config::Imap(Box::new(graph::imap(&url, tls, connections))),
                _ => Config::Graph(Box::new(graph::config(&url, of, tls, connections)?)),
            },
        };
        Ok(Self {
            url,
            tls: settings,
            config,
        })
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
            Config::Graph(config) => config.endpoint(),
        }
    }

    /// Whose mailbox it is.
    pub(crate) fn user(&self) -> &str {
        self.url.authorize_as.as_ref().unwrap_or(&self.url.user)
    }

    pub(crate) fn source(&self, key: Key, edges: &Edges) -> Result<Arc<dyn Source>> {
        let (credentials, edges) = (self.credentials(key, edges)?, edges.clone());
        Ok(match &self.config {
            Config::Imap(config) => {
                Arc::new(ImapSource::new((**config).clone(), credentials, edges))
            }
            Config::Ews(config) => Arc::new(EwsSource::new((**config).clone(), credentials, edges)),
            Config::Graph(config) => {
                Arc::new(GraphSource::new((**config).clone(), credentials, edges))
            }
        })
    }

    pub(crate) fn destination(&self, key: Key, edges: &Edges) -> Result<Arc<dyn Destination>> {
        let (credentials, edges) = (self.credentials(key, edges)?, edges.clone());
        Ok(match &self.config {
            Config::Imap(config) => {
                Arc::new(ImapDestination::new((**config).clone(), credentials, edges))
            }
            Config::Ews(config) => {
                Arc::new(EwsDestination::new((**config).clone(), credentials, edges))
            }
            Config::Graph(config) => {
                let writing = graph::writing(&self.url);
                Arc::new(GraphDestination::with(
                    (**config).clone(),
                    writing,
                    credentials,
                    edges,
                ))
            }
        })
    }

    fn credentials(&self, key: Key, edges: &Edges) -> Result<Arc<dyn CredentialProvider>> {
        let password = |password| {
            StaticCredential::new(Credential::Password {
                user: self.url.user.clone(),
                password,
                authorize_as: self.url.authorize_as.clone(),
            })
        };
        Ok(match (key, &self.url.system) {
            (Key::Token(command), _) => command,
            (Key::Nobody, _) => Arc::new(password(Secret::new(String::new()))),
            (Key::Password(secret), System::Graph(of)) => {
                graph::login(of, Some(secret), &self.tls, edges)?
            }
            (Key::User, System::Graph(of)) => graph::login(of, None, &self.tls, edges)?,
            (Key::Password(secret), _) => Arc::new(password(secret)),
            (Key::User, _) => {
                return Err(
                    Error::new(ErrorKind::Config, "this mailbox needs a password")
                        .with_code("config/password"),
                );
            }
        })
    }

    /// What has to be known to log in.
    pub(crate) fn needs(&self) -> Needs {
        match &self.url.system {
            System::Graph(of) => match of.login {
                GraphLogin::Secret => Needs::Line,
                GraphLogin::Certificate => Needs::Text,
                GraphLogin::Device => Needs::Nothing,
            },
            System::Imap(_) | System::Ews(_) => Needs::Line,
        }
    }
}

/// What has to be known to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// A password.
    Line,
    /// Several lines.
    Text,
    /// The user will say.
    Nothing,
}

fn imap(url: &MailboxUrl, style: Style, tls: TlsSettings, connections: Option<u8>) -> ImapConfig {
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
        .with_act_as(match style {
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
