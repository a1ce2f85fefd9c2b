//! Autodiscover: POX and version 2.

use crate::auth;
use crate::http::{Request, Response};
use crate::server::{Session, Shared};
use crate::xml;

const REQUEST: &str =
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006";
const OUTER: &str = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006";
const INNER: &str =
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

fn url(shared: &Shared, session: &Session, request: &Request) -> String {
    let address = if session.secure {
        shared.secure
    } else {
        shared.plain
    };
    let scheme = if session.secure { "https" } else { "http" };
    // The name by which the client came.
    let host = request.header("host").unwrap_or_default();
    let host = match host.contains(':') {
        true => host.to_owned(),
        false => address.to_string(),
    };
    format!("{scheme}://{host}/EWS/Exchange.asmx")
}

/// Answers `autodiscover.xml`.
pub(crate) fn pox(shared: &Shared, session: &Session, request: &Request) -> Response {
    let answer = |body: String| {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Autodiscover xmlns=\"{OUTER}\">{body}</Autodiscover>"
        );
        Response::new(200, text).header("Content-Type", "text/xml; charset=utf-8")
    };
    let error = |code: u32, text: &str| {
        answer(format!(
            "<Response><Error Time=\"00:00:00.0000000\" Id=\"1\"><ErrorCode>{code}</ErrorCode>\
             <Message>{text}</Message><DebugData/></Error></Response>"
        ))
    };
    let Ok(document) = xml::parse(&request.body) else {
        return error(600, "Invalid Request");
    };
    let right = String::from_utf8_lossy(&request.body).contains(REQUEST);
    let asked = document.children.first();
    let asked = asked.and_then(|r| r.children.iter().find(|c| c.local() == "EMailAddress"));
    let Some(address) = asked.filter(|_| right).map(|e| e.text.as_str()) else {
        return error(601, "Provider is not available");
    };
    if let Some(to) = shared.config.autodiscover.get(address) {
        let (action, tag) = match to.starts_with("https://") {
            true => ("redirectUrl", "RedirectUrl"),
            false => ("redirectAddr", "RedirectAddr"),
        };
        return answer(format!(
            "<Response xmlns=\"{INNER}\"><Account><Action>{action}</Action><{tag}>{to}</{tag}></Account></Response>"
        ));
    }
    if auth::find(&shared.config, address).is_none() {
        return error(500, "The e-mail address cannot be found.");
    }
    let url = url(shared, session, request);
    answer(format!(
        "<Response xmlns=\"{INNER}\"><User><DisplayName>user</DisplayName>\
         <AutoDiscoverSMTPAddress>{address}</AutoDiscoverSMTPAddress></User><Account><AccountType>email</AccountType>\
         <Action>settings</Action><Protocol><Type>EXCH</Type><ASUrl>{url}</ASUrl><EwsUrl>{url}</EwsUrl></Protocol>\
         <Protocol><Type>EXPR</Type><EwsUrl>{url}</EwsUrl></Protocol></Account></Response>"
    ))
}

/// Answers `autodiscover.json`, which asks for no login.
pub(crate) fn json(shared: &Shared, session: &Session, request: &Request) -> Response {
    let answer = |status: u16, body: String| {
        Response::new(status, body).header("Content-Type", "application/json; charset=utf-8")
    };
    let address = request.query("email").or_else(|| {
        let path = request.target.split('?').next().unwrap_or_default();
        let last = path.rsplit('/').next().unwrap_or_default();
        last.contains('@').then(|| last.to_owned())
    });
    let protocol = request.query("protocol").unwrap_or_default();
    if !protocol.eq_ignore_ascii_case("ews") {
        let body = "{\"ErrorCode\":\"InvalidProtocol\",\"ErrorMessage\":\"The given protocol value is invalid.\"}";
        return answer(400, body.to_owned());
    }
    let address = address.unwrap_or_default();
    match shared.config.autodiscover.get(&address) {
        Some(to) if to.starts_with("https://") => {
            Response::new(302, "").header("Location", to.clone())
        }
        _ => answer(
            200,
            format!(
                "{{\"Protocol\":\"Ews\",\"Url\":\"{}\"}}",
                url(shared, session, request)
            ),
        ),
    }
}
