//! One question of Autodiscover.

use std::sync::Arc;

use hyper::{
    HeaderMap, Method,
    header::{self, HeaderValue},
};
use mailmove_core::{
    edge::{Credential, CredentialRequest},
    error::{Error, ErrorKind, Result},
    model::Endpoint,
};
use rustls::ClientConfig;

use super::Discovery;
use crate::{
    error,
    http::{Connection, Dial, Outgoing, Received, Target},
    login::{self, Scheme},
    wire::{self, Element, Piece},
};

pub(super) const POX_PATH: &str = "/autodiscover/autodiscover.xml";

/// Longest answer that is read.
const ANSWER_MAX: usize = 256 << 10;

const REQUEST: &str =
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006";
const RESPONSE: &str =
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

/// What was answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// EWS is there.
    Url(String),
    /// Ask there.
    Redirect(Target),
    /// Ask for that address.
    Address(String),
    /// Nobody knows.
    Nothing,
}

pub(super) struct Asker<'a> {
    options: &'a Discovery,
    tls: Arc<ClientConfig>,
}

impl<'a> Asker<'a> {
    pub(super) fn new(options: &'a Discovery) -> Result<Self> {
        let tls = options.tls.client_config()?;
        Ok(Self { options, tls })
    }

    async fn open(&self, target: &Target) -> Result<Connection> {
        let edges = &self.options.edges;
        let permit = edges.connections.acquire(&target.host).await;
        let dial = Dial {
            edges,
            target,
            name: None,
            tls: &self.tls,
            patience: self.options.timeout,
        };
        Connection::open(dial, permit).await
    }

    /// Asks without saying who asks.
    pub(super) async fn get(&self, target: &Target) -> Result<Answer> {
        let mut connection = self.open(target).await?;
        let outgoing = Outgoing {
            method: Method::GET,
            path: &target.path,
            headers: headers(),
            pieces: Vec::new(),
        };
        let mut received = connection
            .send(outgoing)
            .await
            .map_err(|failed| failed.error)?;
        let text = connection.text(&mut received, ANSWER_MAX).await?;
        if let Some(redirect) = redirect(target, &received) {
            return redirect;
        }
        let json: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        let url = json
            .as_ref()
            .and_then(|json| json.get("Url"))
            .and_then(|url| url.as_str());
        Ok(match (received.status.as_u16(), url) {
            (200, Some(url)) => Answer::Url(url.to_owned()),
            _ => Answer::Nothing,
        })
    }

    /// Asks with the user's login.
    pub(super) async fn post(&self, target: &Target, address: &str) -> Result<Answer> {
        let endpoint = Endpoint::new("ews", &target.host, None, address);
        let request = CredentialRequest::new(endpoint);
        let credential = self.options.credentials.credential(request).await?;
        let mut connection = self.open(target).await?;
        let mut headers = headers();
        let field = self
            .authorization(&mut connection, target, &headers, credential)
            .await?;
        headers.insert(header::AUTHORIZATION, field);
        let kind = HeaderValue::from_static("text/xml; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, kind);
        let mut body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Autodiscover xmlns=\"{REQUEST}\"><Request><EMailAddress>"
        );
        for c in address.chars() {
            match c {
                '<' => body.push_str("&lt;"),
                '&' => body.push_str("&amp;"),
                c => body.push(c),
            }
        }
        body.push_str("</EMailAddress><AcceptableResponseSchema>");
        body.push_str(RESPONSE);
        body.push_str("</AcceptableResponseSchema></Request></Autodiscover>");
        let outgoing = Outgoing {
            method: Method::POST,
            path: &target.path,
            headers,
            pieces: vec![Piece::Text(body)],
        };
        let mut received = connection
            .send(outgoing)
            .await
            .map_err(|failed| failed.error)?;
        let text = connection.text(&mut received, ANSWER_MAX).await?;
        if let Some(redirect) = redirect(target, &received) {
            return redirect;
        }
        match received.status.as_u16() {
            401 => Err(error::http_refused(&login::refusal(&received, text, 0, false)).0),
            200 => Ok(pox(target, &text)),
            _ => Ok(Answer::Nothing),
        }
    }

    async fn authorization(
        &self,
        connection: &mut Connection,
        target: &Target,
        headers: &HeaderMap,
        credential: Credential,
    ) -> Result<HeaderValue> {
        let scheme = match Scheme::set(self.options.auth, &credential) {
            Some(scheme) => scheme,
            None => login::ask(connection, &target.path, headers).await?,
        };
        if connection.dead {
            *connection = self.open(target).await?;
        }
        match (credential, scheme) {
            (Credential::BearerToken { token, .. }, _) => {
                let text = zeroize::Zeroizing::new(format!("Bearer {}", token.expose()));
                login::secret_field(&text)
            }
            (Credential::Password { user, password, .. }, Scheme::Ntlm(wrap)) => {
                let who = (user.as_str(), &password, target.host.as_str());
                login::ntlm(connection, &target.path, headers, wrap, who).await
            }
            (Credential::Password { user, password, .. }, _) => login::basic(&user, &password),
            _ => {
                let error = Error::new(ErrorKind::Config, "EWS takes passwords and tokens only");
                Err(error.with_code("ews/credential"))
            }
        }
    }
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    let agent = concat!("mailmove/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    headers
}

/// Where an HTTP redirect leads.
fn redirect(from: &Target, received: &Received) -> Option<Result<Answer>> {
    let location = received
        .field("location")
        .filter(|_| received.status.is_redirection())?;
    Some(from.join(location).map(Answer::Redirect))
}

/// Reads an answer of version 1.
fn pox(from: &Target, text: &str) -> Answer {
    let parsed = wire::parse(text.as_bytes()).ok();
    let account = parsed.as_ref().and_then(|root| root.find("Account"));
    let Some(account) = account else {
        return Answer::Nothing;
    };
    if let Some(address) = account.text_of("RedirectAddr") {
        return Answer::Address(address.to_owned());
    }
    if let Some(url) = account.text_of("RedirectUrl") {
        return from.join(url).map_or(Answer::Nothing, Answer::Redirect);
    }
    // From outside first: EXPR and WEB are for those, EXCH for the inner network.
    let of = |kind: &str| {
        let is = |protocol: &&Element| protocol.text_of("Type") == Some(kind);
        let found = account.all("Protocol").find(is)?;
        found.text_of("EwsUrl").or_else(|| found.text_of("ASUrl"))
    };
    match of("EXPR").or_else(|| of("EXHTTP")).or_else(|| of("EXCH")) {
        Some(url) => Answer::Url(url.to_owned()),
        None => Answer::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_version_1_are_read() {
        let from = Target::parse("https://example.com/").unwrap();
        let of = |inner: &str| {
            let xml = format!(
                "<Autodiscover><Response><Account>{inner}</Account></Response></Autodiscover>"
            );
            format!("{:?}", pox(&from, &xml))
        };
        let url = |kind: &str, url: &str| {
            format!("<Protocol><Type>{kind}</Type><EwsUrl>{url}</EwsUrl></Protocol>")
        };
        let both = url("EXCH", "https://in/e") + &url("EXPR", "https://out/e");
        assert_eq!(of(&both), "Url(\"https://out/e\")");
        assert_eq!(of(&url("EXCH", "https://in/e")), "Url(\"https://in/e\")");
        assert_eq!(of("<RedirectAddr>a@b</RedirectAddr>"), "Address(\"a@b\")");
        assert!(of("<RedirectUrl>https://x/y</RedirectUrl>").starts_with("Redirect"));
        assert_eq!(of("<RedirectUrl>javascript:x</RedirectUrl>"), "Nothing");
        for bad in ["", "<!DOCTYPE a><a/>", "<html/>"] {
            assert!(matches!(pox(&from, bad), Answer::Nothing));
        }
    }
}
