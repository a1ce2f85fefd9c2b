//! Who may do what: tokens, and the endpoint that gives them.

mod assertion;
mod device;
mod endpoint;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mailmove_testkit_exchange::http::Request;

pub(crate) use assertion::der;
pub(crate) use device::Said;
pub(crate) use endpoint::{description, endpoint};

use crate::config::Config;
use crate::items;
use crate::reply::Failure;
use crate::server::Shared;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// An app, which reaches all mailboxes.
    App,
    /// A user, who reaches the own one.
    User(String),
}

/// A token that was given out.
#[derive(Debug, Clone)]
struct Grant {
    caller: Caller,
    until: Duration,
}

#[derive(Debug, Default)]
struct Given {
    access: BTreeMap<String, Grant>,
    count: u64,
    logins: device::Logins,
}

/// The tokens that were given out.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<Given>);

impl Tokens {
    fn lock(&self) -> MutexGuard<'_, Given> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn revoke(&self) {
        self.lock().access.clear();
    }

    fn give(&self, caller: Caller, until: Duration) -> String {
        let mut given = self.lock();
        given.count += 1;
        let digest = blake3::hash(format!("token {}", given.count).as_bytes());
        let token = format!("eyJ0eXAi.{}", URL_SAFE_NO_PAD.encode(digest.as_bytes()));
        given.access.insert(token.clone(), Grant { caller, until });
        token
    }
}

fn refused(error: &str, why: &'static str) -> Failure {
    let challenge = format!(
        "Bearer realm=\"\", authorization_uri=\"https://login.invalid/common/oauth2/authorize\", \
         error=\"{error}\""
    );
    Failure::new(401, "InvalidAuthenticationToken", why).header("WWW-Authenticate", challenge)
}

/// A challenge for a token with these claims.
pub(crate) fn claims(claims: &str) -> Failure {
    let encoded = base64::engine::general_purpose::STANDARD.encode(claims);
    let challenge = format!(
        "Bearer realm=\"\", authorization_uri=\"https://login.invalid/common/oauth2/authorize\", \
         error=\"insufficient_claims\", claims=\"{encoded}\""
    );
    Failure::new(
        401,
        "InvalidAuthenticationToken",
        "Continuous access evaluation resulted in challenge with result: InteractionRequired",
    )
    .header("WWW-Authenticate", challenge)
}

/// Who sent a request.
pub(crate) fn check(shared: &Shared, request: &Request) -> Result<Caller, Failure> {
    let header = request.header("authorization").unwrap_or_default();
    let token = match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => {
            return Err(refused("invalid_request", "Access token is empty."));
        }
    };
    if let Some(user) = shared.config.tokens.get(token) {
        return Ok(Caller::User(user.clone()));
    }
    if shared.config.app_tokens.contains(token) {
        return Ok(Caller::App);
    }
    let given = shared.tokens.lock();
    match given.access.get(token) {
        Some(grant) if shared.config.clock.now() < grant.until => Ok(grant.caller.clone()),
        Some(_) => Err(refused(
            "invalid_token",
            "Lifetime validation failed, the token is expired.",
        )),
        None => Err(refused("invalid_token", "Invalid authentication token.")),
    }
}

/// The account of a user by its name, address or id, in any case.
pub(crate) fn find<'a>(config: &'a Config, name: &str) -> Option<&'a str> {
    let mut all = config.users.iter();
    all.find(|(user, address)| {
        user.eq_ignore_ascii_case(name)
            || address.eq_ignore_ascii_case(name)
            || items::user_id(user).eq_ignore_ascii_case(name)
    })
    .map(|(user, _)| user.as_str())
}
