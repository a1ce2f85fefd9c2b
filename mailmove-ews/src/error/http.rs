//! What HTTP says in place of a SOAP reply.

use std::time::Duration;

use hyper::StatusCode;
use mailmove_core::error::{Error, ErrorKind, Retry};

use super::{
    not_ews, printable,
    soap::{Doing, by_code},
};
use crate::wire::SoapError;

/// A reply without SOAP in it.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// It came by TLS.
    pub(crate) secure: bool,
    /// Where a redirect leads.
    pub(crate) location: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    /// The beginning of the body.
    pub(crate) text: String,
    /// Bytes of the request.
    pub(crate) sent: u64,
    /// This account was let in before.
    pub(crate) known: bool,
}

/// A request that long may be longer than the server takes.
const LARGE: u64 = 1 << 20;

/// The meaning of a refusal, and whether it leaves open that the request was carried out.
pub(crate) fn refused(refusal: &Refusal) -> (Error, bool) {
    let (error, executed) = by_status(refusal);
    let error = error.with_context("status", refusal.status.as_u16().to_string());
    (error, executed)
}

fn by_status(refusal: &Refusal) -> (Error, bool) {
    let unavailable = |code: &'static str| {
        Error::new(ErrorKind::Unavailable, "the server has a problem")
            .with_code(code)
            .with_retry(refusal.retry_after.map_or(Retry::Backoff, Retry::After))
    };
    let location = refusal
        .location
        .as_deref()
        .unwrap_or_default()
        .to_ascii_lowercase();
    match refusal.status.as_u16() {
        // Known to come under load, and when a server is taken out of a farm.
        401 if refusal.known => (unavailable("http/unauthorized-now"), false),
        401 => (login_refused(), false),
        403 => (forbidden(refusal), false),
        413 => (too_large(), false),
        400 | 404 if refusal.sent > LARGE => (too_large(), false),
        // Some servers stumble over the request after a large one, and say so on closing.
        400 => (unavailable("http/bad-request"), false),
        404 | 405 | 410 => (not_ews(), false),
        301 | 302 | 303 | 307 | 308 if location.contains("genericerrorpage") => {
            (unavailable("http/error-page"), true)
        }
        301 | 302 | 303 | 307 | 308
            if location.contains("/owa/auth") || location.contains("logon") =>
        {
            (forms_login(), false)
        }
        301 | 302 | 303 | 307 | 308 => (redirected(refusal), false),
        408 | 429 => (unavailable("http/busy"), false),
        440 => (unavailable("http/session-ended"), false),
        500 | 502..=504 => (unavailable("http/unavailable"), true),
        200..=299 => (not_ews(), true),
        _ => {
            let text = printable(&refusal.text);
            (
                unavailable("http/status").with_context("answer", text),
                true,
            )
        }
    }
}

pub(crate) fn login_refused() -> Error {
    Error::new(ErrorKind::Auth, "the server refused the credentials")
        .with_code("ews/login")
        .with_remedy(
            "Check user name and password by logging in to Outlook on the web; try DOMAIN\\user or \
             user@domain. Behind a device that opens TLS, channel binding fails: connect without it.",
        )
}

/// Who forbids it: Exchange, IIS in front of it, or something else on the way. IIS tells the reason by
/// a second number, in its page for people.
fn forbidden(refusal: &Refusal) -> Error {
    let text = refusal.text.to_ascii_lowercase();
    let says = |any: &[&str]| any.iter().any(|one| text.contains(one));
    let error = match named(&refusal.text) {
        Some(error) => error,
        None if says(&["403.4", "403.5", "secure sockets layer", "ssl is required"]) => {
            https_required()
        }
        None if says(&["403.7", "403.13", "403.16", "403.17", "client certificate"]) => {
            certificate_required()
        }
        None if says(&["403.6", "403.8", "ip address"]) => address_refused(),
        None if !refusal.secure => https_required(),
        None if says(&["/owa/auth", "logon.aspx", "logon.asp", "type=\"password\""]) => {
            forms_login()
        }
        // Exchange's own has no page, or IIS puts its usual one there.
        None if text.trim().is_empty() || says(&["ews", "403 - forbidden", "error 403.0"]) => {
            return disabled();
        }
        None => in_front(),
    };
    match printable(title(&refusal.text)) {
        title if title.is_empty() => error,
        title => error.with_context("answer", title),
    }
}

/// A code of EWS in the body of a refusal.
fn named(text: &str) -> Option<Error> {
    let word = |at: usize| {
        let rest = text.get(at..)?;
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
        rest.get(..end.unwrap_or(rest.len()))
    };
    let said = |code: &str| SoapError {
        code: code.to_owned(),
        ..SoapError::default()
    };
    let all = text.match_indices("Error").filter_map(|(at, _)| word(at));
    let mut known = all.filter_map(|code| by_code(Doing::account("EWS"), &said(code)));
    known.next()
}

/// What a page calls itself, or how it begins.
fn title(page: &str) -> &str {
    let lower = page.to_ascii_lowercase();
    let title = lower.find("<title>").map(|at| at + "<title>".len());
    let title = title.and_then(|at| {
        let end = lower.get(at..)?.find('<')?;
        page.get(at..at + end)
    });
    title.unwrap_or(page).trim()
}

fn https_required() -> Error {
    Error::new(ErrorKind::Config, "the server wants HTTPS")
        .with_code("ews/https-required")
        .with_remedy("Give the address with https://.")
}

fn certificate_required() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "the server wants a certificate of the user's",
    )
    .with_code("ews/client-certificate")
    .with_remedy("Ask the administrator for an address of EWS that takes a password.")
}

fn address_refused() -> Error {
    Error::new(
        ErrorKind::Denied,
        "the server takes no requests from this network address",
    )
    .with_code("ews/address-refused")
    .with_remedy(
        "Ask the administrator to allow this machine's address, or run where it is allowed.",
    )
}

fn in_front() -> Error {
    Error::new(ErrorKind::Denied, "the request is forbidden on its way to EWS")
        .with_code("ews/forbidden")
        .with_remedy(
            "A gateway or firewall in front of Exchange seems to refuse it: ask the administrator to let \
             /EWS/Exchange.asmx through for this program.",
        )
}

/// Exchange says so in different words, or in none.
fn disabled() -> Error {
    Error::new(
        ErrorKind::Denied,
        "EWS is switched off for this mailbox or organization, or not allowed from here",
    )
    .with_code("ews/disabled")
    .with_remedy(
        "Microsoft 365 has EWS switched off since October 2026: use Graph. Elsewhere ask the \
         administrator to allow EWS for the mailbox, for this program, and from this address.",
    )
}

fn too_large() -> Error {
    Error::new(
        ErrorKind::TooLarge,
        "the request is larger than the server takes",
    )
    .with_code("ews/request-too-large")
    .with_remedy("Ask the administrator to raise maxAllowedContentLength of the EWS directory.")
}

fn forms_login() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "the server wants a login by a web page",
    )
    .with_code("ews/forms-login")
    .with_remedy(
        "A gateway in front of Exchange asks for its own login: ask the administrator for an \
             address of EWS without it.",
    )
}

fn redirected(refusal: &Refusal) -> Error {
    let location = refusal.location.as_deref().unwrap_or_default();
    Error::new(ErrorKind::Config, "EWS is at another address")
        .with_code("ews/redirected")
        .with_context("location", printable(location))
        .with_remedy("Check whether that address is yours, then give it instead.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16) -> Refusal {
        Refusal {
            status: StatusCode::from_u16(status).unwrap(),
            secure: true,
            location: None,
            retry_after: None,
            text: String::new(),
            sent: 100,
            known: true,
        }
    }

    #[test]
    fn statuses_mean_what_they_mean_on_exchange() {
        for (status, sent, code, executed) in [
            (401, 100, "http/unauthorized-now", false),
            (503, 100, "http/unavailable", true),
            (404, 100, "ews/not-ews", false),
            (404, 50 << 20, "ews/request-too-large", false),
            (413, 50 << 20, "ews/request-too-large", false),
            (413, 600_000, "ews/request-too-large", false),
            (403, 100, "ews/disabled", false),
            (200, 100, "ews/not-ews", true),
        ] {
            let mut refusal = refusal(status);
            refusal.sent = sent;
            let (error, ran) = refused(&refusal);
            assert_eq!((error.code(), ran), (code, executed), "{status}");
        }
        let mut first = refusal(401);
        first.known = false;
        assert_eq!(refused(&first).0.kind(), ErrorKind::Auth);
        let mut page = refusal(302);
        page.location = Some("https://x/genericerrorpage.htm".to_owned());
        assert_eq!(refused(&page).0.retry(), Retry::Backoff);
        page.location = Some("https://x/owa/auth/logon.aspx".to_owned());
        assert_eq!(refused(&page).0.code(), "ews/forms-login");
    }

    #[test]
    fn who_forbids_it_is_read_from_the_page() {
        let mut page = refusal(403);
        for (text, secure, code) in [
            ("", true, "ews/disabled"),
            (
                "<h2>403 - Forbidden: Access is denied.</h2>",
                true,
                "ews/disabled",
            ),
            (
                "<h2>403 - Forbidden: Access is denied.</h2>",
                false,
                "ews/https-required",
            ),
            (
                "<h2>HTTP Error 403.4 - Forbidden</h2>",
                false,
                "ews/https-required",
            ),
            (
                "<title>403.7 - Client Certificate required</title>",
                true,
                "ews/client-certificate",
            ),
            (
                "HTTP Error 403.6 - Forbidden: IP address rejected",
                true,
                "ews/address-refused",
            ),
            (
                "<e:ResponseCode>ErrorAccessDenied</e:ResponseCode>",
                true,
                "ews/denied",
            ),
            ("ErrorImpersonateUserDenied", true, "ews/impersonation"),
            ("<form action=\"/owa/auth.owa\"", true, "ews/forms-login"),
            (
                "<title>Access denied | shield</title>",
                true,
                "ews/forbidden",
            ),
        ] {
            (page.text, page.secure) = (text.to_owned(), secure);
            assert_eq!(refused(&page).0.code(), code, "{text}");
        }
        let error = refused(&page).0;
        let told = error
            .context()
            .any(|(_, value)| value == "Access denied | shield");
        assert!(told, "{error}");
    }
}
