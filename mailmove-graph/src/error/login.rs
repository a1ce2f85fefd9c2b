//! Refusals of the place that gives tokens.

use std::time::Duration;

use mailmove_core::error::{Error, ErrorKind, Retry};
use serde::Deserialize;

use super::printable;

/// A refusal as it came.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct LoginSaid {
    #[serde(skip)]
    pub(crate) status: u16,
    #[serde(skip)]
    pub(crate) retry_after: Option<Duration>,
    #[serde(default)]
    pub(crate) error: String,
    #[serde(default)]
    pub(crate) error_description: String,
    /// Microsoft's numbers, known as AADSTS….
    #[serde(default)]
    pub(crate) error_codes: Vec<u64>,
    #[serde(default)]
    pub(crate) claims: Option<String>,
}

impl LoginSaid {
    /// Reads a refusal from a body that may be anything.
    pub(crate) fn new(status: u16, body: &[u8]) -> Self {
        let read: Self = serde_json::from_slice(body).unwrap_or_default();
        Self { status, ..read }
    }

    fn is(&self, number: u64) -> bool {
        self.error_codes.contains(&number)
            || self
                .error_description
                .starts_with(&format!("AADSTS{number}:"))
    }
}

/// The meaning of a refusal.
pub(crate) fn refused(said: &LoginSaid) -> Error {
    let error = meaning(said).with_context("status", said.status.to_string());
    let error = match printable(&said.error) {
        code if code.is_empty() => error,
        code => error.with_context("code", code),
    };
    match printable(said.error_description.lines().next().unwrap_or_default()) {
        text if text.is_empty() => error,
        text => error.with_context("answer", text),
    }
}

fn meaning(said: &LoginSaid) -> Error {
    let auth = |code: &'static str, message: &'static str, remedy: &'static str| {
        Error::new(ErrorKind::Auth, message)
            .with_code(code)
            .with_remedy(remedy)
    };
    let any = |numbers: &[u64]| numbers.iter().any(|number| said.is(*number));
    if said.status == 429 || said.status >= 500 {
        return Error::new(ErrorKind::Unavailable, "no token can be had at the moment")
            .with_code("login/unavailable")
            .with_retry(said.retry_after.map_or(Retry::Backoff, Retry::After));
    }
    if any(&[7_000_222]) {
        return auth(
            "login/secret-expired",
            "the program's secret has expired",
            "Make a new secret in the program's registration, and give that.",
        );
    }
    if any(&[90_002, 900_023]) {
        return auth(
            "login/no-tenant",
            "there is no such tenant",
            "Check the tenant's name or number, and its cloud.",
        );
    }
    if any(&[700_016]) || said.error == "unauthorized_client" {
        return auth(
            "login/no-program",
            "the tenant does not know this program",
            "Check the program's number, and that an administrator of this tenant consented to it.",
        );
    }
    if any(&[65_001]) || said.error == "consent_required" {
        return auth(
            "login/no-consent",
            "nobody consented to this program's permissions",
            "An administrator has to consent to them in the tenant.",
        );
    }
    if said.error == "interaction_required" || said.claims.is_some() {
        return auth(
            "login/interaction",
            "the user has to log in anew",
            "A policy asks for more than the last login gave: log in again.",
        );
    }
    if any(&[700_027, 700_021, 700_023]) {
        return auth(
            "login/certificate",
            "the program's certificate was refused",
            "Check that this certificate is in the program's registration and has not expired, and this \
             machine's clock.",
        );
    }
    if said.error == "invalid_client" {
        return auth(
            "login/secret",
            "the program's secret was refused",
            "Give the secret's value, not its number; make a new one if it is lost.",
        );
    }
    match said.error.as_str() {
        "invalid_grant" | "expired_token" | "bad_verification_code" => auth(
            "login/expired",
            "the login has expired or was revoked",
            "Log in again.",
        ),
        "authorization_declined" | "access_denied" => auth(
            "login/declined",
            "the user declined",
            "Log in again, and accept.",
        ),
        "" => Error::new(ErrorKind::Protocol, "what answers there gives no tokens")
            .with_code("login/not-oauth")
            .with_remedy("Check the address, and that no proxy or firewall answers in its place."),
        _ => auth(
            "login/refused",
            "no token was given",
            "Check tenant, program and secret.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_what_is_wrong() {
        for (status, body, code) in [
            (
                401,
                r#"{"error":"invalid_client","error_codes":[7000215]}"#,
                "login/secret",
            ),
            (
                401,
                r#"{"error":"invalid_client","error_description":"AADSTS7000222: The provided client secret keys are expired."}"#,
                "login/secret-expired",
            ),
            (
                400,
                r#"{"error":"unauthorized_client","error_codes":[700016]}"#,
                "login/no-program",
            ),
            (
                400,
                r#"{"error":"invalid_request","error_codes":[90002]}"#,
                "login/no-tenant",
            ),
            (
                400,
                r#"{"error":"invalid_grant","error_codes":[65001]}"#,
                "login/no-consent",
            ),
            (400, r#"{"error":"invalid_grant"}"#, "login/expired"),
            (
                400,
                r#"{"error":"interaction_required","claims":"{}"}"#,
                "login/interaction",
            ),
            (
                401,
                r#"{"error":"invalid_client","error_codes":[700027]}"#,
                "login/certificate",
            ),
            (503, "", "login/unavailable"),
            (404, "<html>", "login/not-oauth"),
        ] {
            let error = refused(&LoginSaid::new(status, body.as_bytes()));
            assert_eq!(error.code(), code, "{body}");
        }
    }
}
