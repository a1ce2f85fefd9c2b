//! The endpoint that gives tokens.

use mailmove_testkit_exchange::http::{Request, Response};
use serde_json::{Value, json};

use super::Caller;
use crate::odata::Query;
use crate::server::Shared;

/// Why no token is given.
#[derive(Debug)]
struct Refusal {
    status: u16,
    error: &'static str,
    number: u32,
    why: String,
}

fn refuse(status: u16, error: &'static str, number: u32, why: impl Into<String>) -> Refusal {
    Refusal {
        status,
        error,
        number,
        why: why.into(),
    }
}

type Given = Result<Value, Refusal>;

/// Answers what comes to `/{tenant}/oauth2/v2.0/…`.
pub(crate) fn endpoint(shared: &Shared, tenant: &str, what: &str, request: &Request) -> Response {
    let form = Query::parse(&String::from_utf8_lossy(&request.body));
    let known = tenant.eq_ignore_ascii_case(&shared.config.tenant)
        || matches!(tenant, "common" | "organizations");
    let given = match (request.method.as_str(), what) {
        _ if !known => Err(refuse(
            400,
            "invalid_request",
            90002,
            format!("Tenant '{tenant}' not found."),
        )),
        ("POST", "token") => token(shared, &form),
        _ => Err(refuse(404, "invalid_request", 0, "There is nothing here.")),
    };
    let (status, body) = match given {
        Ok(body) => (200, body),
        Err(refusal) => (refusal.status, refusal.json()),
    };
    Response::new(status, body.to_string())
        .header("Content-Type", "application/json; charset=utf-8")
        .header("Cache-Control", "no-store, no-cache")
}

impl Refusal {
    fn json(&self) -> Value {
        json!({
            "error": self.error,
            "error_description": format!("AADSTS{}: {}", self.number, self.why),
            "error_codes": [self.number],
            "timestamp": "2026-01-01 00:00:00Z",
            "trace_id": "00000000-0000-0000-0000-000000000000",
            "correlation_id": "00000000-0000-0000-0000-000000000000",
        })
    }
}

fn token(shared: &Shared, form: &Query) -> Given {
    let field = |name: &str| form.get(name).unwrap_or_default();
    let app = shared.config.apps.get(field("client_id"));
    let app = app.ok_or_else(|| {
        refuse(
            400,
            "unauthorized_client",
            700_016,
            "Application was not found in the directory.",
        )
    })?;
    match field("grant_type") {
        "client_credentials" => {
            if !field("scope").ends_with("/.default") {
                return Err(refuse(
                    400,
                    "invalid_scope",
                    1_002_012,
                    "Client credential flows must have a scope that ends in /.default.",
                ));
            }
            let wrong = || {
                refuse(
                    401,
                    "invalid_client",
                    7_000_215,
                    "Invalid client secret provided.",
                )
            };
            match form.get("client_secret") {
                Some(secret) if app.secret.as_deref() == Some(secret) => {
                    Ok(grant(shared, Caller::App))
                }
                _ => Err(wrong()),
            }
        }
        other => Err(refuse(
            400,
            "unsupported_grant_type",
            70003,
            format!("The app requested an unsupported grant type '{other}'."),
        )),
    }
}

fn grant(shared: &Shared, caller: Caller) -> Value {
    let lifetime = shared.config.token_lifetime;
    let until = shared.config.clock.now() + lifetime;
    shared.counting.lock().tokens += 1;
    let token = shared.tokens.give(caller, until);
    json!({
        "token_type": "Bearer",
        "expires_in": lifetime.as_secs(),
        "ext_expires_in": lifetime.as_secs(),
        "access_token": token,
    })
}
