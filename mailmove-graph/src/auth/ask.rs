//! Asking for tokens.

use std::time::Duration;

use bytes::Bytes;
use mailmove_core::{edge::Secret, error::Result};
use reqwest::{
    Method,
    header::{self, HeaderMap, HeaderValue},
};
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Given, Inner, State, Token, config::Proof, device};
use crate::{
    error::{self, LoginSaid},
    http::{self, Piece, Sending},
};

/// Longest answer. Tokens have a few thousand characters at most.
const ANSWER_MAX: usize = 256 << 10;
/// How long a token holds whose end is not told.
const USUAL: u64 = 3600;

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    expires_in: Option<Value>,
    #[serde(default)]
    refresh_token: Option<String>,
}

/// Asks for a token.
pub(super) async fn token(inner: &Inner, state: &mut State) -> Result<Given> {
    let config = &inner.config;
    let program = ("grant_type", "client_credentials".to_owned());
    let given = match &config.proof {
        Proof::Secret(secret) => {
            let secret = ("client_secret", secret.expose().to_owned());
            grant(inner, vec![program, secret]).await?
        }
        Proof::Certificate(certificate) => {
            let now = inner.edges.clock.now();
            let address = config.address("token");
            let assertion = certificate.assertion(config.client(), &address, now)?;
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            let form = vec![
                program,
                ("client_assertion_type", kind.to_owned()),
                ("client_assertion", assertion.as_str().to_owned()),
            ];
            grant(inner, form).await?
        }
        Proof::User(prompt) => device::token(inner, state, prompt.as_deref()).await?,
    };
    Ok(given)
}

/// All that is asked for.
pub(super) fn scope(inner: &Inner) -> String {
    match &inner.config.proof {
        // So that the user need not log in each hour.
        Proof::User(_) => format!("{} offline_access", inner.config.scope()),
        _ => inner.config.scope().to_owned(),
    }
}

/// Asks for a token by that form.
pub(super) async fn grant(inner: &Inner, form: Vec<(&'static str, String)>) -> Result<Given> {
    let mut form = form;
    form.push(("scope", scope(inner)));
    let since = inner.edges.clock.now();
    let body = post(inner, "token", form).await?;
    let answer: Answer = serde_json::from_slice(&body).map_err(error::unreadable)?;
    let lasts = answer.expires_in.as_ref().and_then(seconds);
    Ok(Given {
        token: Token {
            secret: Secret::new(answer.access_token),
            since,
            until: since.saturating_add(Duration::from_secs(lasts.unwrap_or(USUAL))),
        },
        refresh: answer.refresh_token.map(Secret::new),
    })
}

/// Some write it as text.
fn seconds(value: &Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_str()?.trim().parse().ok())
}

/// Sends a form, and gives what answered it if that is no refusal.
pub(super) async fn post(
    inner: &Inner,
    name: &str,
    form: Vec<(&'static str, String)>,
) -> Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(format!("client_id={}", http::form(inner.config.client())));
    for (name, value) in form {
        let value = Zeroizing::new(value);
        text.push('&');
        text.push_str(name);
        text.push('=');
        text.push_str(&http::form(&value));
    }
    let mut headers = HeaderMap::new();
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let sending = Sending {
        method: Method::POST,
        url: http::parse(&inner.config.address(name))?,
        headers,
        pieces: vec![Piece::Bytes(Bytes::copy_from_slice(text.as_bytes()))],
    };
    let answer = inner.client.send(sending, || Ok(())).await;
    let mut received = answer.map_err(|failed| failed.error)?;
    let body = Zeroizing::new(received.bytes(ANSWER_MAX).await?);
    if received.status.is_success() {
        return Ok(body);
    }
    let mut said = LoginSaid::new(received.status.as_u16(), &body);
    said.retry_after = http::retry_after(received.field("retry-after"));
    Err(error::login_refused(&said))
}
