//! The demo's servers.

use std::{fmt::Display, path::Path, path::PathBuf};

use mailmove_core::{Error, ErrorKind, edge::tls::TlsSettings};
use mailmove_ews_testserver as ews;
use mailmove_graph_testserver as graph;
use mailmove_imap_testserver as imap;
use mailmove_testkit::mailbox::{Account, Store};

use super::{PASSWORD, USER};
use crate::{
    adapter::Mailbox,
    args::Protocol,
    url::{Ews, EwsLogin, Graph, MailboxUrl, Protection, Style, System},
};

/// The application that Microsoft 365 knows.
const APPLICATION: &str = "0000-demo";

/// One of the two servers.
pub(super) struct Host {
    name: &'static str,
    server: Server,
    pub(super) account: Account,
    pub(super) mailbox: Mailbox,
    ca_file: PathBuf,
}

enum Server {
    Imap(imap::Server),
    Ews(ews::Server),
    Graph(graph::Server),
}

fn not_started(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Io, "cannot start a server on this machine").with_source(error)
}

impl Server {
    async fn start(protocol: Protocol, is_source: bool, store: Store) -> Result<Self, Error> {
        match protocol {
            Protocol::Imap => {
                let builder = imap::Server::builder(store).user(USER, PASSWORD);
                builder.start().await.map(Self::Imap).map_err(not_started)
            }
            Protocol::Ews => {
                // As Exchange is found on premises: NTLM alone, and each message made anew whenever it is read.
                let builder = ews::Server::builder(store)
                    .user(USER, PASSWORD)
                    .schemes(&[ews::Scheme::Ntlm])
                    .rebuilds_mime()
                    .without_shape_gate();
                // The generated mailbox brings its folders along.
                let builder = match is_source {
                    true => builder.without_default_folders(),
                    false => builder,
                };
                builder.start().await.map(Self::Ews).map_err(not_started)
            }
            Protocol::Graph => {
                let builder = graph::Server::builder(store)
                    .user(USER)
                    .client(APPLICATION, PASSWORD)
                    .tenant(if is_source {
                        "old.example"
                    } else {
                        "new.example"
                    })
                    .rebuilds_mime()
                    .without_shape_gate();
                let builder = match is_source {
                    true => builder.without_default_folders(),
                    false => builder,
                };
                builder.start().await.map(Self::Graph).map_err(not_started)
            }
        }
    }

    fn ca_pem(&self) -> &str {
        match self {
            Self::Imap(server) => server.ca_pem(),
            Self::Ews(server) => server.ca_pem(),
            Self::Graph(server) => server.ca_pem(),
        }
    }

    fn url(&self) -> MailboxUrl {
        let (port, system) = match self {
            Self::Imap(server) => (server.tls_address().port(), System::Imap(Style::default())),
            Self::Ews(server) => {
                let ews = Ews {
                    path: "owa".to_owned(),
                    name: None,
                    login: EwsLogin::Offered,
                    archive: false,
                };
                (server.tls_address().port(), System::Ews(ews))
            }
            Self::Graph(server) => {
                let port = server.tls_address().port();
                let graph = Graph {
                    tenant: server.tenant().to_owned(),
                    client: Some(APPLICATION.to_owned()),
                    at: Some(("127.0.0.1".to_owned(), port)),
                    unsigned: true,
                    ..Graph::default()
                };
                (port, System::Graph(graph))
            }
        };
        MailboxUrl {
            protection: Protection::Tls,
            user: USER.to_owned(),
            host: "127.0.0.1".to_owned(),
            port,
            authorize_as: None,
            system,
        }
    }

    /// What else there is to know to reach it.
    fn also(&self) -> String {
        match self {
            Self::Imap(server) => {
                format!("STARTTLS on port {}", server.plain_address().port())
            }
            Self::Ews(server) => server.tls_url(),
            Self::Graph(server) => format!(
                "with ?at=127.0.0.1:{}&client={APPLICATION}&signed=as-plain",
                server.tls_address().port()
            ),
        }
    }
}

impl Host {
    pub(super) async fn start(
        name: &'static str,
        protocol: Protocol,
        directory: &Path,
    ) -> Result<Self, Error> {
        let store = Store::new();
        let account = store.add_account(USER);
        let server = Server::start(protocol, name == "source", store).await?;
        let ca_file = directory.join(format!("{name}.pem"));
        std::fs::write(&ca_file, server.ca_pem()).map_err(|error| {
            Error::new(ErrorKind::Io, "cannot write a certificate").with_source(error)
        })?;
        let tls = TlsSettings::new().with_extra_ca_pem(server.ca_pem());
        let mailbox = Mailbox::new(server.url(), tls, None)?;
        Ok(Self {
            name,
            server,
            account,
            mailbox,
            ca_file,
        })
    }

    pub(super) fn access(&self) -> String {
        let url: &dyn Display = &self.mailbox.url;
        format!(
            "  {:11} {url} ({}), password {PASSWORD}, CA {}\n",
            self.name,
            self.server.also(),
            self.ca_file.display()
        )
    }
}
