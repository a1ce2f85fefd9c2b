//! The endpoint that gives tokens.

use mailmove_testkit_exchange::http::{Request, Response};
use serde_json::{Value, json};

use super::device::{self, Polled};
use super::{Caller, assertion};
use crate::config::App;
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
        ("POST", "token") => token(shared, tenant, &form, request),
        ("POST", "devicecode") => device_code(shared, &form),
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

/// Where the endpoints of a tenant are (OpenID Connect Discovery).
pub(crate) fn description(origin: &str, tenant: &str) -> Response {
    let oauth = format!("{origin}/{tenant}/oauth2/v2.0");
    let body = json!({
        "issuer": format!("{origin}/{tenant}/v2.0"),
        "authorization_endpoint": format!("{oauth}/authorize"),
        "token_endpoint": format!("{oauth}/token"),
        "device_authorization_endpoint": format!("{oauth}/devicecode"),
        "jwks_uri": format!("{origin}/{tenant}/discovery/v2.0/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "response_types_supported": ["code"],
        "subject_types_supported": ["pairwise"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
    });
    Response::new(200, body.to_string()).header("Content-Type", "application/json; charset=utf-8")
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

fn device_code(shared: &Shared, form: &Query) -> Given {
    let (client, scope) = (form.get("client_id"), form.get("scope"));
    let client = client.filter(|id| shared.config.apps.contains_key(*id));
    let client = client.ok_or_else(unknown_client)?;
    let now = shared.config.clock.now();
    let scope = scope.unwrap_or_default();
    let (device_code, user_code) = shared.tokens.begin(client, scope, now);
    Ok(json!({
        "device_code": device_code,
        "user_code": user_code,
        "verification_uri": "https://login.example/device",
        "expires_in": device::LIFETIME.as_secs(),
        "interval": device::INTERVAL.as_secs(),
        "message": format!(
            "To sign in, use a web browser to open the page https://login.example/device and enter the \
             code {user_code} to authenticate."
        ),
    }))
}

fn unknown_client() -> Refusal {
    refuse(
        400,
        "unauthorized_client",
        700_016,
        "Application was not found in the directory.",
    )
}

fn token(shared: &Shared, tenant: &str, form: &Query, request: &Request) -> Given {
    let field = |name: &str| form.get(name).unwrap_or_default();
    let client = field("client_id");
    let app = shared.config.apps.get(client);
    let app = app.ok_or_else(unknown_client)?;
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
            credentials(shared, app, tenant, form, request)?;
            Ok(grant(shared, Caller::App))
        }
        "urn:ietf:params:oauth:grant-type:device_code" => {
            let now = shared.config.clock.now();
            match shared.tokens.poll(client, field("device_code"), now) {
                Polled::Not(error, number) => Err(refuse(400, error, number, "Not so.")),
                Polled::Done(user, renews) => Ok(of_user(shared, client, &user, renews)),
            }
        }
        "refresh_token" => match shared.tokens.renewed(client, field("refresh_token")) {
            Some(user) => Ok(of_user(shared, client, &user, true)),
            None => Err(refuse(
                400,
                "invalid_grant",
                50_173,
                "The provided grant has expired due to it being revoked.",
            )),
        },
        other => Err(refuse(
            400,
            "unsupported_grant_type",
            70_003,
            format!("The app requested an unsupported grant type '{other}'."),
        )),
    }
}

/// What an app proves itself by.
fn credentials(
    shared: &Shared,
    app: &App,
    tenant: &str,
    form: &Query,
    request: &Request,
) -> Result<(), Refusal> {
    if let Some(secret) = form.get("client_secret") {
        return match app.secret.as_deref() == Some(secret) {
            true => Ok(()),
            false => Err(refuse(
                401,
                "invalid_client",
                7_000_215,
                "Invalid client secret provided.",
            )),
        };
    }
    let (kind, assertion) = (
        form.get("client_assertion_type"),
        form.get("client_assertion"),
    );
    let jwt = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let (Some(true), Some(assertion)) = (kind.map(|kind| kind == jwt), assertion) else {
        return Err(refuse(
            401,
            "invalid_client",
            7_000_218,
            "The request body must contain 'client_assertion' or 'client_secret'.",
        ));
    };
    let host = request.header("host").unwrap_or_default();
    let audience = ["http", "https"].map(|s| format!("{s}://{host}/{tenant}/oauth2/v2.0/token"));
    let client = form.get("client_id").unwrap_or_default();
    let now = shared.config.clock.now().as_secs();
    assertion::check(assertion, app, client, &audience, now).map_err(|why| {
        let why = format!("Client assertion failed signature validation: {why}.");
        refuse(401, "invalid_client", 700_027, why)
    })
}

fn of_user(shared: &Shared, client: &str, user: &str, renews: bool) -> Value {
    let mut given = grant(shared, Caller::User(user.to_owned()));
    if let (true, Some(object)) = (renews, given.as_object_mut()) {
        let token = shared.tokens.renewal(client, user);
        object.insert("refresh_token".to_owned(), token.into());
    }
    given
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
