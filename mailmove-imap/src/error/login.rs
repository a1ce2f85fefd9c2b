//! What a refused login means.

use mailmove_core::error::{Error, ErrorKind};

use super::{TOO_MANY, hosted, printable, said, throttled, too_many};
use crate::wire::{Code, Status};

pub(crate) fn login_failed() -> Error {
    Error::new(
        ErrorKind::Auth,
        "the server refused the user name or password",
    )
    .with_code("imap/login")
    .with_remedy(
        "Check both by logging in to webmail. Some providers want an application password here.",
    )
}

pub(crate) fn login_disabled() -> Error {
    Error::new(
        ErrorKind::Auth,
        "the server takes no password on this connection",
    )
    .with_code("imap/login-disabled")
    .with_remedy("Use TLS: port 993, or STARTTLS.")
}

/// The code of a refused token: it may just have expired.
pub(crate) const TOKEN_REFUSED: &str = "imap/token";

/// An answer to a login that was NO or BAD; the secrets are cut out of what the server repeats.
pub(crate) fn login_refused(status: &Status, user: &str, secrets: &[&str]) -> Error {
    let error = meaning(status, "passwords").unwrap_or_else(|| match &status.code {
        Some(Code::Expired) => login_failed().with_remedy("The password expired: change it first."),
        Some(Code::AuthorizationFailed) => login_failed()
            .with_remedy("The password is right, but this user may not open that mailbox."),
        _ => login_failed(),
    });
    told(error, status, user, secrets)
}

/// The same of a login with an OAuth token. `challenge` is what the server said of it before.
pub(crate) fn token_refused(
    status: &Status,
    user: &str,
    challenge: Option<&str>,
    secrets: &[&str],
) -> Error {
    let error = meaning(status, "tokens").unwrap_or_else(|| {
        let refused = Error::new(ErrorKind::Auth, "the server refused the OAuth token")
            .with_code(TOKEN_REFUSED);
        if challenge.is_some_and(|text| text.contains("insufficient_scope")) {
            return refused.with_remedy(
                "The token is valid, but not for IMAP. Ask for it with the scope \
                 https://mail.google.com/ (Google) or \
                 https://outlook.office.com/IMAP.AccessAsUser.All (Microsoft).",
            );
        }
        refused.with_remedy(
            "It may have expired, be another user's, or lack the scope for IMAP (Google: \
             https://mail.google.com/, Microsoft: \
             https://outlook.office.com/IMAP.AccessAsUser.All). IMAP must be switched on for that \
             mailbox.",
        )
    });
    let error = match challenge.map(|text| printable(&without(text, secrets))) {
        Some(text) if !text.is_empty() => error.with_context("reason", text),
        _ => error,
    };
    told(error, status, user, secrets)
}

/// Refusals that are not about the password or token.
fn meaning(status: &Status, what: &'static str) -> Option<Error> {
    let lower = status.text.to_ascii_lowercase();
    if TOO_MANY.iter().any(|words| lower.contains(words)) {
        return Some(too_many());
    }
    if let Some(error) = throttled(status, &lower).or_else(|| hosted::login(&lower)) {
        return Some(error);
    }
    Some(match &status.code {
        Some(Code::Unavailable | Code::ServerBug | Code::InUse | Code::Limit) => Error::new(
            ErrorKind::Unavailable,
            format!("the server cannot check {what} just now"),
        )
        .with_code("imap/unavailable"),
        Some(Code::PrivacyRequired) => login_disabled(),
        Some(Code::ContactAdmin) => {
            login_failed().with_remedy("The server says that only its administrator can help.")
        }
        _ => return None,
    })
}

/// Adds who it was about and what the server said.
fn told(error: Error, status: &Status, user: &str, secrets: &[&str]) -> Error {
    let mut status = status.clone();
    status.text = without(&status.text, secrets);
    let error = error.with_context("user", user);
    match said(&status) {
        text if text.is_empty() => error,
        text => error.with_context("answer", text),
    }
}

/// How much of a long secret is enough to give it away.
const TELLING: usize = 16;

/// A server's words without the secrets that it repeats, also where it repeats only their beginning.
pub(crate) fn without(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "…");
        let Some(head) = secret.get(..TELLING) else {
            continue;
        };
        while let Some(at) = text.find(head) {
            let rest = text.get(at..).unwrap_or_default();
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            text.replace_range(at..at + end, "…");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::StatusKind;

    fn no(text: &str) -> Status {
        Status {
            kind: StatusKind::No,
            code: None,
            text: text.to_owned(),
        }
    }

    #[test]
    fn no_secret_is_repeated_not_even_its_beginning() {
        let token = format!("ya29.{}", "a1B2".repeat(200));
        let half = format!("bad token {} for you", &token[..300]);
        for said in [half, format!("{token} is bad"), format!("x{token}x")] {
            let error = token_refused(&no(&said), "ann", Some(&said), &[&token]);
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("ya29"), "{shown}");
        }
        assert_eq!(without("a s3cret b s3cret", &["s3cret", ""]), "a … b …");
    }

    #[test]
    fn a_token_without_the_right_scope_is_told_from_a_bad_one() {
        let remedy = |challenge| {
            let error = token_refused(&no("no"), "ann", challenge, &[]);
            assert_eq!(
                (error.kind(), error.code()),
                (ErrorKind::Auth, TOKEN_REFUSED)
            );
            error.remedy().unwrap_or_default().to_owned()
        };
        assert!(remedy(Some(r#"{"status":"insufficient_scope"}"#)).contains("not for IMAP"));
        assert!(remedy(Some(r#"{"status":"401"}"#)).contains("expired"));
        assert!(remedy(None).contains("expired"));
    }

    #[test]
    fn what_providers_want_instead_of_a_password_is_said() {
        for (said, code, remedy) in [
            (
                "Application-specific password required: https://support.google.com/x (Failure)",
                "imap/app-password",
                "application password",
            ),
            (
                "Please log in via your web browser: https://support.google.com/mail (Failure)",
                "imap/web-login",
                "browser",
            ),
            ("Web login required.", "imap/web-login", "browser"),
            (
                "Your account is not enabled for IMAP use. Please visit your Gmail settings page",
                "imap/not-enabled",
                "settings",
            ),
            (
                "User is authenticated but not connected.",
                "imap/not-connected",
                "may open",
            ),
        ] {
            let error = login_refused(&no(said), "ann", &[]);
            assert_eq!(
                (error.kind(), error.code()),
                (ErrorKind::Auth, code),
                "{said}"
            );
            assert!(
                error.remedy().unwrap_or_default().contains(remedy),
                "{error:?}"
            );
        }
    }
}
