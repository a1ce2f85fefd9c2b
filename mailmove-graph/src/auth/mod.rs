//! Tokens: had from Microsoft's login, kept until shortly before their end, for all mailboxes of a tenant.

mod ask;
mod config;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use mailmove_core::{
    edge::{Credential, CredentialProvider, CredentialRequest, Edges, Secret},
    error::{Error, Result},
};
use tokio::sync::Mutex;

pub use config::LoginConfig;

use crate::http::Client;

/// A token is renewed that long before its end.
const EARLY: Duration = Duration::from_secs(300);
/// A token that was given within that time is what replaces one that was refused, if several connections
/// had the refused one.
const YOUNG: Duration = Duration::from_secs(10);

/// Logs in, and gives tokens: one for all mailboxes that use it, renewed some minutes before its end by
/// whoever needs it first.
#[derive(Clone)]
pub struct Login(Arc<Inner>);

struct Inner {
    config: LoginConfig,
    client: Arc<Client>,
    edges: Edges,
    // Held while a token is asked for: the others wait for that one.
    token: Mutex<Option<Token>>,
}

struct Token {
    secret: Secret,
    /// By the program's clock.
    since: Duration,
    until: Duration,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Login").field(&self.0.config).finish()
    }
}

impl Login {
    /// A login; nothing is sent before a token is needed.
    #[must_use]
    pub fn new(config: LoginConfig, edges: Edges) -> Self {
        let client = Client::new(edges.clone(), config.tls().clone(), config.timeout());
        Self(Arc::new(Inner {
            config,
            client,
            edges,
            token: Mutex::new(None),
        }))
    }

    /// A token.
    async fn token(&self, refused: bool) -> Result<Secret> {
        let inner = &*self.0;
        let mut kept = inner.token.lock().await;
        let now = inner.edges.clock.now();
        if let Some(token) = &*kept {
            let age = now.saturating_sub(token.since);
            let usable = now + EARLY < token.until && token.since <= now;
            if usable && (!refused || age < YOUNG) {
                return Ok(token.secret.clone());
            }
        }
        match ask::token(inner).await {
            Ok(given) => {
                let secret = given.secret.clone();
                *kept = Some(given);
                Ok(secret)
            }
            // The old one serves for the last minutes.
            Err(error) if error.is_transient() && !refused => match &*kept {
                Some(token) if now < token.until && token.since <= now => Ok(token.secret.clone()),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl CredentialProvider for Login {
    async fn credential(&self, request: CredentialRequest) -> Result<Credential> {
        let located = |error: Error| error.with_context("tenant", self.0.config.tenant());
        let token = self.token(request.refused).await.map_err(located)?;
        let user = request.endpoint.user;
        Ok(Credential::BearerToken { user, token })
    }
}
