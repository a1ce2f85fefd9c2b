//! The token of one side: asked of the program, kept for a while, renewed when it is refused.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mailmove_core::{
    edge::{Credential, CredentialRequest},
    error::{Error, ErrorKind, Result},
};
use reqwest::header::HeaderValue;

use crate::config::Access;

/// A token is asked for again after that time: who gives them knows when they end, and keeps them.
const KEPT: Duration = Duration::from_secs(60);

/// A token, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// Marked as not to be shown.
    pub(super) field: HeaderValue,
    /// Which one it is.
    pub(super) number: u64,
}

#[derive(Debug, Default)]
pub(super) struct Tokens {
    kept: Mutex<Kept>,
    /// Held while one is asked for: the others wait for that one.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Kept {
    token: Option<(Duration, Token)>,
    count: u64,
    refused: bool,
}

impl Tokens {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self, now: Duration) -> Option<Token> {
        let kept = self.kept();
        let (at, token) = kept.token.as_ref()?;
        (*at <= now && now - *at < KEPT).then(|| token.clone())
    }

    /// A token.
    ///
    /// # Errors
    /// If there is none.
    pub(super) async fn get(&self, access: &Access) -> Result<Token> {
        let clock = &access.edges.clock;
        if let Some(token) = self.fresh(clock.now()) {
            return Ok(token);
        }
        let _asking = self.asking.lock().await;
        if let Some(token) = self.fresh(clock.now()) {
            return Ok(token);
        }
        let request = CredentialRequest::new(access.config.endpoint());
        let request = match self.kept().refused {
            true => request.after_refusal(),
            false => request,
        };
        let credential = access.credentials.credential(request).await?;
        let Credential::BearerToken { token, .. } = credential else {
            let error = Error::new(ErrorKind::Config, "Graph takes tokens only");
            return Err(error
                .with_code("graph/credential")
                .with_remedy("Register a program with Microsoft, and log in as it."));
        };
        let text = zeroize::Zeroizing::new(format!("Bearer {}", token.expose()));
        let mut field = HeaderValue::from_str(&text).map_err(|cause| {
            Error::new(
                ErrorKind::Auth,
                "the token holds characters that cannot be sent",
            )
            .with_code("graph/token")
            .with_source(cause)
        })?;
        field.set_sensitive(true);
        let mut kept = self.kept();
        kept.refused = false;
        kept.count += 1;
        let number = kept.count;
        let token = Token { field, number };
        kept.token = Some((clock.now(), token.clone()));
        Ok(token)
    }

    /// The server refused that one.
    pub(super) fn refused(&self, number: u64) {
        let mut kept = self.kept();
        if kept
            .token
            .as_ref()
            .is_some_and(|(_, token)| token.number == number)
        {
            kept.token = None;
            kept.refused = true;
        }
    }
}
