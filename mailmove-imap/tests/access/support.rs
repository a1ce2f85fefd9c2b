//! A server, and mailboxes on it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mailmove_core::{
    Destination as _, Edges, Error, ErrorKind,
    edge::{Credential, CredentialProvider, CredentialRequest, Secret, tls::TlsSettings},
};
use mailmove_imap::{ImapConfig, ImapDestination, ImapSource, Security};
use mailmove_imap_testserver::{Builder, Server, Tokens};
use mailmove_testkit::mailbox::Store;

pub(crate) const USER: &str = "ann";
pub(crate) const PASSWORD: &str = "s3cret";

pub(crate) async fn server(setup: impl FnOnce(Builder) -> Builder) -> Server {
    setup(Server::builder(Store::new()).user(USER, PASSWORD))
        .start()
        .await
        .unwrap()
}

pub(crate) fn config(server: &Server, security: Security) -> ImapConfig {
    let address = match security {
        Security::Tls => server.tls_address(),
        _ => server.plain_address(),
    };
    ImapConfig::new("127.0.0.1")
        .with_port(address.port())
        .with_user(USER)
        .with_security(security)
        .with_tls(TlsSettings::new().with_extra_ca_pem(server.ca_pem().as_bytes().to_vec()))
}

pub(crate) fn destination(
    config: ImapConfig,
    credentials: &Arc<impl CredentialProvider>,
) -> ImapDestination {
    let credentials = Arc::clone(credentials) as Arc<dyn CredentialProvider>;
    ImapDestination::new(config, credentials, Edges::new())
}

pub(crate) fn source(config: ImapConfig, credentials: &Arc<impl CredentialProvider>) -> ImapSource {
    let credentials = Arc::clone(credentials) as Arc<dyn CredentialProvider>;
    ImapSource::new(config, credentials, Edges::new())
}

pub(crate) async fn failure(destination: &ImapDestination) -> Error {
    let error = destination.folders().await.unwrap_err();
    let shown = format!("{error} {error:?} {}", error.chain());
    assert!(
        !shown.contains("s3cret") && !shown.contains("ya29"),
        "{shown}"
    );
    error
}

/// What a [`Renewing`] provider does when its token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Gets a new one.
    Renews,
    /// Has none.
    Gives,
    /// Waits for the user to consent anew.
    Waits,
}

/// Keeps a token until it hears that it was refused, as programs do.
#[derive(Debug)]
pub(crate) struct Renewing {
    tokens: Tokens,
    /// Logins for which each token is good.
    logins: u64,
    state: Mutex<(String, Then)>,
    asked: Mutex<Vec<bool>>,
}

impl Renewing {
    /// Begins with this token.
    pub(crate) fn new(tokens: &Tokens, first: String, logins: u64, then: Then) -> Arc<Self> {
        Arc::new(Self {
            tokens: tokens.clone(),
            logins,
            state: Mutex::new((first, then)),
            asked: Mutex::default(),
        })
    }

    pub(crate) fn then(&self, then: Then) {
        self.state.lock().unwrap().1 = then;
    }

    /// How often it was asked, and how often of that after a refusal.
    pub(crate) fn asked(&self) -> (usize, usize) {
        let asked = self.asked.lock().unwrap();
        (
            asked.len(),
            asked.iter().filter(|refused| **refused).count(),
        )
    }
}

#[async_trait]
impl CredentialProvider for Renewing {
    async fn credential(&self, request: CredentialRequest) -> Result<Credential, Error> {
        assert_eq!(request.endpoint.user, USER);
        self.asked.lock().unwrap().push(request.refused);
        let mut state = self.state.lock().unwrap();
        if request.refused {
            match state.1 {
                Then::Renews => state.0 = self.tokens.issue_for_logins(USER, self.logins),
                Then::Gives => return Err(Error::new(ErrorKind::Auth, "the grant was withdrawn")),
                Then::Waits => {
                    let error = Error::new(ErrorKind::WaitingForUser, "consent is needed");
                    return Err(error.with_code("test/consent"));
                }
            }
        }
        Ok(Credential::BearerToken {
            user: USER.to_owned(),
            token: Secret::new(state.0.clone()),
        })
    }
}
