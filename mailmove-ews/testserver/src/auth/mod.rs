//! Who is asking.

mod ntlm;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::{Config, Scheme};
use crate::http::{Request, Response};
use crate::server::{Session, Shared};

use ntlm::Expected;
pub(crate) use ntlm::Login;

/// The user's name of this login: the name itself, `DOMAIN\name`, or the address.
pub(crate) fn find<'a>(config: &'a Config, login: &str) -> Option<&'a str> {
    let bare = login.rsplit('\\').next().unwrap_or(login);
    let by = |wanted: &str| {
        config.users.iter().find_map(|(name, user)| {
            let hit =
                name.eq_ignore_ascii_case(wanted) || user.address.eq_ignore_ascii_case(wanted);
            hit.then_some(name.as_str())
        })
    };
    by(login).or_else(|| by(bare))
}

/// The user, or the answer that asks for a login.
pub(crate) fn check(
    shared: &Shared,
    session: &mut Session,
    request: &Request,
) -> Result<String, Response> {
    let Some(header) = request.header("authorization") else {
        // NTLM logs in the connection.
        return match session.login.user() {
            Some(user) => Ok(user.to_owned()),
            None => Err(challenge(shared)),
        };
    };
    let (scheme, value) = header.split_once(' ').unwrap_or((header, ""));
    let value = value.trim();
    let offered = |scheme| shared.config.schemes.contains(&scheme);
    match scheme.to_ascii_lowercase().as_str() {
        "basic" if offered(Scheme::Basic) => {
            let user = basic(&shared.config, value).ok_or_else(|| challenge(shared))?;
            welcome(shared, "Basic");
            Ok(user)
        }
        "bearer" if offered(Scheme::Bearer) => {
            let user = shared.config.tokens.get(value);
            let user = user.ok_or_else(|| challenge(shared))?;
            welcome(shared, "Bearer");
            Ok(user.clone())
        }
        "ntlm" if offered(Scheme::Ntlm) => login(shared, session, "NTLM", value),
        "negotiate" if offered(Scheme::Negotiate) => login(shared, session, "Negotiate", value),
        _ => Err(challenge(shared)),
    }
}

fn login(
    shared: &Shared,
    session: &mut Session,
    scheme: &'static str,
    value: &str,
) -> Result<String, Response> {
    let token = STANDARD.decode(value).map_err(|_| challenge(shared))?;
    let expected = Expected {
        config: &shared.config,
        secure: session.secure,
        end_point: shared.tls.binding.as_deref(),
    };
    let negotiate = scheme == "Negotiate";
    match session.login.step(&expected, &token, negotiate) {
        ntlm::Step::Challenge(token) => Err(Response::new(401, "").header(
            "WWW-Authenticate",
            format!("{scheme} {}", STANDARD.encode(token)),
        )),
        ntlm::Step::Accepted(user, last) => {
            welcome(shared, scheme);
            session.farewell = last.map(|token| format!("{scheme} {}", STANDARD.encode(token)));
            Ok(user)
        }
        ntlm::Step::Refused => Err(challenge(shared)),
    }
}

fn welcome(shared: &Shared, scheme: &str) {
    let logins: &mut BTreeMap<String, u64> = &mut shared.counting.lock().logins;
    *logins.entry(scheme.to_owned()).or_default() += 1;
}

fn basic(config: &Config, value: &str) -> Option<String> {
    let text = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (login, password) = text.split_once(':')?;
    let name = find(config, login)?;
    let user = config.users.get(name)?;
    (user.password == password).then(|| name.to_owned())
}

/// 401 with all schemes that are offered.
pub(crate) fn challenge(shared: &Shared) -> Response {
    let mut response = Response::new(401, "");
    for scheme in &shared.config.schemes {
        let text = match scheme {
            Scheme::Basic => "Basic realm=\"mailmove test server\"",
            Scheme::Ntlm => "NTLM",
            Scheme::Negotiate => "Negotiate",
            Scheme::Bearer => "Bearer client_id=\"00000002-0000-0ff1-ce00-000000000000\"",
        };
        response = response.header("WWW-Authenticate", text);
    }
    response
}
