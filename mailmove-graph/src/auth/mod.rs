//! Tokens: had from Microsoft's login, kept until shortly before their end, for all mailboxes of a tenant.

mod ask;
mod assertion;
mod config;
mod device;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use mailmove_core::{
    edge::{Credential, CredentialProvider, CredentialRequest, Edges, Secret},
    error::{Error, ErrorKind, Result},
};
use tokio::sync::Mutex;

pub use config::LoginConfig;
pub use device::{DevicePrompt, Prompt};

use crate::http::Client;

/// A token is renewed that long before its end.
const EARLY: Duration = Duration::from_secs(300);
/// A token that was given within that time is what replaces one that was refused, if several connections
/// had the refused one.
const YOUNG: Duration = Duration::from_secs(10);
/// Shortest time between two questions whether the user is done.
const SHORTEST: Duration = Duration::from_secs(1);

/// Logs in, and gives tokens: one for all mailboxes that use it, renewed some minutes before its end by
/// whoever needs it first.
#[derive(Clone)]
pub struct Login(Arc<Inner>);

struct Inner {
    config: LoginConfig,
    client: Arc<Client>,
    edges: Edges,
    // Held while a token is asked for: the others wait for that one.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// What an earlier login of a user's left.
    refresh: Option<Secret>,
    /// A user who was asked.
    pending: Option<device::Pending>,
}

/// What was given for a login.
struct Given {
    token: Token,
    refresh: Option<Secret>,
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
        let state = State {
            refresh: config.refresh.clone(),
            ..State::default()
        };
        Self(Arc::new(Inner {
            config,
            client,
            edges,
            state: Mutex::new(state),
        }))
    }

    /// Logs in now, and waits for the user if need be.
    ///
    /// # Errors
    /// If there will be no token.
    pub async fn log_in(&self) -> Result<()> {
        loop {
            match self.token(false).await {
                Err(error) if error.kind() == ErrorKind::WaitingForUser => {
                    let clock = &self.0.edges.clock;
                    let state = self.0.state.lock().await;
                    let next = state.pending.as_ref().map(|pending| pending.next);
                    drop(state);
                    let wait = next.unwrap_or_default().saturating_sub(clock.now());
                    clock.sleep(wait.max(SHORTEST)).await;
                }
                answer => return answer.map(|_| ()),
            }
        }
    }

    /// What the user's login left, for later ones without the user: a secret as good as a password, to be
    /// kept as one. `None` for programs, and before the user logged in.
    pub async fn refresh_token(&self) -> Option<Secret> {
        self.0.state.lock().await.refresh.clone()
    }

    /// A token.
    async fn token(&self, refused: bool) -> Result<Secret> {
        let inner = &*self.0;
        let mut state = inner.state.lock().await;
        let now = inner.edges.clock.now();
        if let Some(token) = &state.token {
            let age = now.saturating_sub(token.since);
            let usable = now + EARLY < token.until && token.since <= now;
            if usable && (!refused || age < YOUNG) {
                return Ok(token.secret.clone());
            }
        }
        match ask::token(inner, &mut state).await {
            Ok(given) => {
                let secret = given.token.secret.clone();
                state.token = Some(given.token);
                state.refresh = given.refresh.or(state.refresh.take());
                Ok(secret)
            }
            // The old one serves for the last minutes.
            Err(error) if error.is_transient() && !refused => match &state.token {
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
