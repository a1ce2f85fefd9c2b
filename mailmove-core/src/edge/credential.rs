use std::fmt;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::{
    error::{Error, ErrorKind, Result},
    model::Endpoint,
};

/// A password or token. Wiped from memory when dropped; never shown.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the secret over.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The secret itself. Keep it out of logs, errors and the store.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What proves who we are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credential {
    /// A name and a password.
    Password {
        /// The name that logs in.
        user: String,
        /// Its password.
        password: Secret,
        /// Whose mailbox to open, if another's (SASL authorization identity).
        authorize_as: Option<String>,
    },
    /// An OAuth 2 access token.
    BearerToken {
        /// Whose mailbox to open.
        user: String,
        /// The token.
        token: Secret,
    },
}

impl Credential {
    /// A name and a password.
    #[must_use]
    pub fn password(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Password {
            user: user.into(),
            password: Secret::new(password),
            authorize_as: None,
        }
    }
}

/// What a credential is wanted for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CredentialRequest {
    /// Which mailbox.
    pub endpoint: Endpoint,
    /// True if the server refused the last answer: a cached token is to be renewed.
    pub refused: bool,
}

impl CredentialRequest {
    /// A first request for that mailbox.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            refused: false,
        }
    }

    /// Says that the last answer was refused.
    #[must_use]
    pub fn after_refusal(mut self) -> Self {
        self.refused = true;
        self
    }
}

/// Gives adapters their passwords and tokens, at each login anew.
#[async_trait]
pub trait CredentialProvider: fmt::Debug + Send + Sync + 'static {
    /// The credential to log in with.
    ///
    /// # Errors
    /// [`ErrorKind::WaitingForUser`] if the user has to act first; the migration then pauses with
    /// a resumable state. [`ErrorKind::Auth`] if there will be none.
    async fn credential(&self, request: CredentialRequest) -> Result<Credential>;
}

/// Always the same credential.
#[derive(Clone, Debug)]
pub struct StaticCredential(Credential);

impl StaticCredential {
    /// Always `credential`.
    #[must_use]
    pub fn new(credential: Credential) -> Self {
        Self(credential)
    }
}

#[async_trait]
impl CredentialProvider for StaticCredential {
    async fn credential(&self, request: CredentialRequest) -> Result<Credential> {
        if request.refused {
            return Err(
                Error::new(ErrorKind::Auth, "the server refused the credentials")
                    .with_context("user", request.endpoint.user)
                    .with_context("host", request.endpoint.host)
                    .with_remedy("Check the user name and the password by logging in to webmail."),
            );
        }
        Ok(self.0.clone())
    }
}
