//! Replies that break rules.

use mailmove_testkit_exchange::http::Response;
use serde_json::Value;

use crate::faults::Mangle;

/// Spoils a reply.
pub(crate) fn spoil(how: Mangle, mut response: Response) -> Response {
    match how {
        Mangle::Html => {
            response.body = b"<html><body>Service unavailable</body></html>".to_vec();
            for (name, value) in &mut response.headers {
                if name == "Content-Type" {
                    "text/html".clone_into(value);
                }
            }
        }
        Mangle::Truncated => response.body.truncate(response.body.len() / 2),
        _ => {
            if let Ok(mut body) = serde_json::from_slice(&response.body) {
                change(how, &mut body);
                response.body = body.to_string().into_bytes();
            }
        }
    }
    response
}

fn change(how: Mangle, body: &mut Value) {
    match how {
        Mangle::NoId => {
            let first = match body.get_mut("value") {
                Some(list) => list.get_mut(0),
                None => Some(body),
            };
            if let Some(object) = first.and_then(Value::as_object_mut) {
                object.remove("id");
            }
        }
        Mangle::ForeignLink => {
            for name in ["@odata.nextLink", "@odata.deltaLink"] {
                if let Some(Value::String(link)) = body.get_mut(name)
                    && let Some((_, rest)) = link.split_once("/v1.0")
                {
                    *link = format!("https://graph.evil.example/v1.0{rest}");
                }
            }
        }
        Mangle::Bare => {
            let first = body.get_mut("value").and_then(|list| list.get_mut(0));
            if let Some(object) = first.and_then(Value::as_object_mut) {
                object.retain(|name, _| name == "id");
            }
        }
        Mangle::NoEnd => {
            if let Some(object) = body.as_object_mut()
                && let Some(link) = object.remove("@odata.deltaLink")
            {
                object.insert("@odata.nextLink".to_owned(), link);
            }
        }
        Mangle::ParentByName => {
            if let Some(parent) = body.get_mut("parentFolderId") {
                *parent = "inbox".into();
            }
        }
        Mangle::Twice => {
            let name = if body.get("value").is_some() {
                "value"
            } else {
                "responses"
            };
            if let Some(Value::Array(list)) = body.get_mut(name)
                && let Some(first) = list.first().cloned()
            {
                list.insert(0, first);
            }
        }
        _ => {}
    }
}
