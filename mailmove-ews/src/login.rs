//! Logging in: who says what in front of the first request.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap, Method,
    header::{self, HeaderValue},
};
use mailmove_core::{
    edge::{Credential, Secret},
    error::{Error, ErrorKind, Result},
};
use zeroize::Zeroizing;

use crate::{
    config::Auth,
    error,
    http::{Connection, Outgoing, Received},
    ntlm::{self, Wrap},
    wire::Piece,
};

/// Longest page of an error that is read.
pub(crate) const PAGE_MAX: usize = 4096;

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Basic,
    Ntlm(Wrap),
    Bearer,
}

impl Scheme {
    /// What was asked for, or must be; `None` if the server is to be asked.
    pub(crate) fn set(auth: Auth, credential: &Credential) -> Option<Self> {
        match (credential, auth) {
            (Credential::BearerToken { .. }, _) => Some(Self::Bearer),
            (_, Auth::Basic) => Some(Self::Basic),
            (_, Auth::Ntlm) => Some(Self::Ntlm(Wrap::Bare)),
            (_, Auth::Negotiate) => Some(Self::Ntlm(Wrap::Spnego)),
            (_, Auth::Offered) => None,
        }
    }

    /// The best of what the server offers.
    fn offered(headers: &HeaderMap) -> Option<Self> {
        let offers = |name: &str| challenge(headers, name).is_some();
        if offers("NTLM") {
            Some(Self::Ntlm(Wrap::Bare))
        } else if offers("Negotiate") {
            Some(Self::Ntlm(Wrap::Spnego))
        } else {
            offers("Basic").then_some(Self::Basic)
        }
    }
}

/// What follows a scheme's name in `WWW-Authenticate`.
fn challenge<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let fields = headers.get_all(header::WWW_AUTHENTICATE).iter();
    let mut fields = fields.filter_map(|field| field.to_str().ok());
    fields.find_map(|field| {
        // Some servers and proxies put several into one field.
        field.split(',').find_map(|one| {
            let one = one.trim();
            let (name, rest) = one.split_once(' ').unwrap_or((one, ""));
            name.eq_ignore_ascii_case(scheme).then_some(rest.trim())
        })
    })
}

/// A field that holds a secret.
pub(crate) fn secret_field(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|cause| {
        Error::new(
            ErrorKind::Auth,
            "the token holds characters that cannot be sent",
        )
        .with_code("ews/token")
        .with_source(cause)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

pub(crate) fn basic(user: &str, password: &Secret) -> Result<HeaderValue> {
    let pair = Zeroizing::new(format!("{user}:{}", password.expose()));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    secret_field(&text)
}

/// Sends nothing but fields, and reads the reply.
async fn knock(
    connection: &mut Connection,
    path: &str,
    mut headers: HeaderMap,
    authorization: Option<HeaderValue>,
) -> Result<(Received, String), Error> {
    if let Some(authorization) = authorization {
        headers.insert(header::AUTHORIZATION, authorization);
    }
    // An empty body has its length told as well.
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    let outgoing = Outgoing {
        method: Method::POST,
        path,
        headers,
        pieces: Vec::new(),
    };
    let mut received = connection
        .send(outgoing)
        .await
        .map_err(|failed| failed.error)?;
    let text = connection.text(&mut received, PAGE_MAX).await?;
    Ok((received, text))
}

/// Asks how one may log in.
pub(crate) async fn ask(
    connection: &mut Connection,
    path: &str,
    headers: &HeaderMap,
) -> Result<Scheme> {
    let (received, text) = knock(connection, path, headers.clone(), None).await?;
    if received.status.as_u16() != 401 {
        return Err(error::http_refused(&refusal(&received, text, 0, false)).0);
    }
    Scheme::offered(&received.headers).ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            "the server offers no way to log in with a password",
        )
        .with_code("ews/no-scheme")
        .with_remedy("Ask the administrator to allow Windows or Basic authentication for EWS.")
    })
}

/// What is known of a reply without SOAP.
pub(crate) fn refusal(received: &Received, text: String, sent: u64, known: bool) -> error::Refusal {
    let wait = received
        .field("retry-after")
        .and_then(|text| text.parse().ok());
    error::Refusal {
        status: received.status,
        secure: received.secure,
        location: received.field("location").map(str::to_owned),
        retry_after: wait.map(|seconds: u64| std::time::Duration::from_secs(seconds.min(86_400))),
        text,
        sent,
        known,
    }
}

/// The first two messages of NTLM; gives the field with the third.
pub(crate) async fn ntlm(
    connection: &mut Connection,
    path: &str,
    headers: &HeaderMap,
    wrap: Wrap,
    who: (&str, &Secret, &str),
) -> Result<HeaderValue> {
    let field =
        |message: &[u8]| secret_field(&format!("{} {}", wrap.scheme(), STANDARD.encode(message)));
    let first = field(&wrap.first())?;
    let (received, text) = knock(connection, path, headers.clone(), Some(first)).await?;
    if received.status.as_u16() != 401 {
        return Err(error::http_refused(&refusal(&received, text, 0, false)).0);
    }
    let token = challenge(&received.headers, wrap.scheme()).unwrap_or_default();
    let token = STANDARD.decode(token).unwrap_or_default();
    if token.is_empty() || connection.dead {
        return Err(no_challenge());
    }
    let binding = connection
        .certificate
        .as_deref()
        .and_then(ntlm::channel_binding);
    let (user, password, host) = who;
    let identity = ntlm::identity(user, password, host);
    let answer = wrap.answer(&token, &identity, binding).map_err(|cause| {
        Error::new(ErrorKind::Auth, "the server's NTLM cannot be answered")
            .with_code("ews/ntlm-challenge")
            .with_source(cause)
    })?;
    field(&answer)
}

/// The connection must stay for the three messages.
fn no_challenge() -> Error {
    Error::new(ErrorKind::Auth, "the server did not go on with NTLM")
        .with_code("ews/ntlm-no-challenge")
        .with_remedy(
            "A proxy in between may break NTLM, which logs in a connection: connect without it.",
        )
}

/// The third message was refused.
pub(crate) fn ntlm_refused(secure: bool) -> Error {
    let error = Error::new(ErrorKind::Auth, "the server refused the login by NTLM")
        .with_code("ews/ntlm-refused");
    match secure {
        true => error.with_remedy(
            "Check user name and password by logging in to Outlook on the web; try DOMAIN\\user. If they \
             are right, something between here and Exchange shows a certificate of its own (a load \
             balancer, an inspecting proxy): with Extended Protection the certificates must be the same.",
        ),
        false => error.with_remedy(
            "Check user name and password. With Extended Protection the server wants HTTPS.",
        ),
    }
}

/// Bytes on the wire.
pub(crate) fn len(pieces: &[Piece]) -> u64 {
    pieces.iter().map(Piece::size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_offer_is_taken_and_basic_only_where_there_is_no_other() {
        for (fields, expected) in [
            (
                &["Basic realm=\"x\"", "NTLM"][..],
                Some(Scheme::Ntlm(Wrap::Bare)),
            ),
            (
                &["Negotiate", "Basic realm=x"],
                Some(Scheme::Ntlm(Wrap::Spnego)),
            ),
            (&["Negotiate, ntlm"], Some(Scheme::Ntlm(Wrap::Bare))),
            (&["basic realm=\"x\""], Some(Scheme::Basic)),
            (&["Bearer"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(header::WWW_AUTHENTICATE, field.parse().unwrap());
            }
            assert_eq!(Scheme::offered(&headers), expected, "{fields:?}");
        }
    }

    #[test]
    fn fields_with_secrets_are_not_shown() {
        let field = basic("ann", &Secret::new("pw")).unwrap();
        assert_eq!(field.to_str().unwrap(), "Basic YW5uOnB3");
        assert_eq!(format!("{field:?}"), "Sensitive");
    }
}
