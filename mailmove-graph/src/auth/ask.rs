//! Asking for tokens.

use std::time::Duration;

use bytes::Bytes;
use mailmove_core::{edge::Secret, error::Result};
use reqwest::{
    Method,
    header::{self, HeaderMap, HeaderValue},
};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Inner, Token, config::Proof};
use crate::{
    error::{self, LoginSaid},
    http::{self, Piece, Sending},
};

/// Longest answer. Tokens have a few thousand characters at most.
const ANSWER_MAX: usize = 256 << 10;
/// How long a token holds whose end is not told.
const USUAL: u64 = 3600;

#[derive(Deserialize)]
struct Given {
    access_token: String,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
}

/// Asks for a token.
pub(super) async fn token(inner: &Inner) -> Result<Token> {
    let config = &inner.config;
    let mut form = vec![
        ("client_id", config.client().to_owned()),
        ("scope", config.scope().to_owned()),
        ("grant_type", "client_credentials".to_owned()),
    ];
    match &config.proof {
        Proof::Secret(secret) => form.push(("client_secret", secret.expose().to_owned())),
    }
    let since = inner.edges.clock.now();
    let body = post(inner, "token", form).await?;
    let given: Given = serde_json::from_slice(&body).map_err(error::malformed)?;
    let lasts = given.expires_in.as_ref().and_then(seconds).unwrap_or(USUAL);
    Ok(Token {
        secret: Secret::new(given.access_token),
        since,
        until: since.saturating_add(Duration::from_secs(lasts)),
    })
}

/// Some write it as text.
fn seconds(value: &serde_json::Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_str()?.trim().parse().ok())
}

/// Sends a form, and gives what answered it if that is no refusal.
async fn post(
    inner: &Inner,
    name: &str,
    form: Vec<(&'static str, String)>,
) -> Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(String::new());
    for (name, value) in form {
        let value = Zeroizing::new(value);
        if !text.is_empty() {
            text.push('&');
        }
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
    said.retry_after = received
        .field("retry-after")
        .and_then(|text| text.trim().parse().ok())
        .map(|seconds: u64| Duration::from_secs(seconds.min(86_400)));
    Err(error::login_refused(&said))
}
