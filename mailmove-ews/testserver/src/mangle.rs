//! Replies that break rules, and the transcript.

use std::io::Write as _;

use crate::faults::Mangle;
use crate::http::Response;
use crate::server::Shared;
use crate::soap::xml_response;
use crate::xml::Element;

/// The reply, spoilt.
pub(crate) fn spoil(shared: &Shared, mut envelope: Element, how: Mangle) -> Response {
    if how == Mangle::MissingMessage
        && let Some(messages) = envelope
            .children
            .iter_mut()
            .find(|child| child.name == "s:Body")
            .and_then(|body| body.children.first_mut())
            .and_then(|reply| reply.children.first_mut())
    {
        messages.children.pop();
    }
    let mut response = xml_response(shared, 200, &envelope);
    let text = String::from_utf8_lossy(&response.body).into_owned();
    response.body = match how {
        Mangle::IllegalReference => in_names(&text, "&#x1A;").into_bytes(),
        Mangle::IllegalCharacter => in_names(&text, "\u{1}").into_bytes(),
        Mangle::OddBase64 => in_mime(&text, |base64| {
            let base64 = base64.trim_end_matches('=');
            let at = base64.len() / 2;
            let (left, right) = base64.split_at(at);
            format!("{left}\r\n {right}\n")
        })
        .into_bytes(),
        Mangle::BrokenBase64 => in_mime(&text, |base64| {
            format!("*{}", base64.get(1..).unwrap_or_default())
        })
        .into_bytes(),
        Mangle::Doctype => text
            .replacen("?>", "?><!DOCTYPE a [<!ENTITY x \"y\">]>", 1)
            .into_bytes(),
        Mangle::Truncated => {
            let mut bytes = text.into_bytes();
            bytes.truncate(bytes.len() * 2 / 3);
            bytes
        }
        Mangle::NoXml => b"<html><body>Runtime Error</body><br></html>".to_vec(),
        Mangle::MissingMessage => text.into_bytes(),
    };
    response
}

/// Puts something in front of each subject and display name.
fn in_names(text: &str, what: &str) -> String {
    ["<t:Subject>", "<t:DisplayName>"]
        .iter()
        .fold(text.to_owned(), |text, tag| {
            text.replace(tag, &format!("{tag}{what}"))
        })
}

/// Changes each MIME content.
fn in_mime(text: &str, change: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("<t:MimeContent") {
        let (before, tag) = rest.split_at(at);
        let (Some(open), Some(end)) = (tag.find('>'), tag.find("</t:MimeContent>")) else {
            break;
        };
        out.push_str(before);
        out.push_str(tag.get(..=open).unwrap_or_default());
        out.push_str(&change(tag.get(open + 1..end).unwrap_or_default()));
        rest = tag.get(end..).unwrap_or_default();
    }
    out + rest
}

/// Writes down what was said, for debugging.
pub(crate) fn transcript(shared: &Shared, what: &str, body: &[u8]) {
    let Some(path) = &shared.config.transcript else {
        return;
    };
    let file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(path);
    if let Ok(mut file) = file {
        // A transcript that cannot be written is missed by who wanted to read it.
        let _ = writeln!(file, "--- {what}\n{}", String::from_utf8_lossy(body));
    }
}
