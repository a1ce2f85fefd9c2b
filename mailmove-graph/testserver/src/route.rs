//! Which operation a path means.

use crate::odata::decode;
use crate::reply::Failure;

/// Whose mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whose {
    /// That of who logged in.
    Me,
    /// That of this user.
    User(String),
    /// That of this exchange mailbox id.
    Mailbox(String),
    /// None in particular.
    Nobody,
}

/// An operation with what its path names.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) operation: &'static str,
    pub(crate) whose: Whose,
    /// The path with placeholders, as the contract has it.
    pub(crate) template: String,
    pub(crate) folder: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) attachment: Option<String>,
}

/// The operation of a path after `/v1.0`.
pub(crate) fn route(method: &str, path: &str) -> Result<Route, Failure> {
    let segments: Vec<String> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        // A bare plus sign in a path means a blank to some proxies on the way, so that ids break.
        .map(|segment| decode(segment, true))
        .collect();
    let lower: Vec<String> = segments.iter().map(|s| s.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let (whose, skip, base) = match lower.as_slice() {
        ["me", ..] => (Whose::Me, 1, "/users/{id}"),
        ["users", _, ..] => (
            Whose::User(segments.get(1).cloned().unwrap_or_default()),
            2,
            "/users/{id}",
        ),
        ["admin", "exchange", "mailboxes", _, ..] => (
            Whose::Mailbox(segments.get(3).cloned().unwrap_or_default()),
            4,
            "/admin/exchange/mailboxes/{id}",
        ),
        _ => {
            return Err(Failure::segment(
                segments.first().map_or("", String::as_str),
            ));
        }
    };
    let tail = lower.get(skip..).unwrap_or_default();
    let own = segments.get(skip..).unwrap_or_default();
    let found = match whose {
        Whose::Mailbox(_) => exchange(method, tail),
        _ => mail(method, tail),
    }?;
    let take = |at: Option<usize>| at.and_then(|at| own.get(at).cloned());
    Ok(Route {
        operation: found.operation,
        whose,
        template: template(base, own, &found),
        folder: take(found.folder),
        message: take(found.message),
        attachment: take(found.attachment),
    })
}

fn template(base: &str, own: &[String], found: &Found) -> String {
    let mut out = base.to_owned();
    let places = [found.folder, found.message, found.attachment];
    for (at, segment) in own.iter().enumerate() {
        out.push('/');
        match places.contains(&Some(at)) {
            true => out += "{id}",
            false => out += segment.trim_end_matches("()"),
        }
    }
    out
}

/// Where in the path the ids are.
#[derive(Debug, Default)]
struct Found {
    operation: &'static str,
    folder: Option<usize>,
    message: Option<usize>,
    attachment: Option<usize>,
}

fn found(operation: &'static str) -> Found {
    Found {
        operation,
        ..Found::default()
    }
}

fn wrong_method(method: &str) -> Failure {
    Failure::new(
        405,
        "ErrorMethodNotAllowed",
        format!("The method {method} is not allowed here."),
    )
}

fn mail(method: &str, tail: &[&str]) -> Result<Found, Failure> {
    match tail {
        ["mailfolders", ..] => folders(method, tail.get(1..).unwrap_or_default()),
        ["messages", rest @ ..] => messages(method, rest, 1),
        _ => Ok(found(match (method, tail) {
            ("GET", []) => "GetUser",
            ("POST", ["translateexchangeids"]) => "TranslateIds",
            ("GET", ["settings", "exchange"]) => "ExchangeSettings",
            (_, [name, ..]) => return Err(Failure::segment(name)),
            _ => return Err(wrong_method(method)),
        })),
    }
}

fn folders(method: &str, rest: &[&str]) -> Result<Found, Failure> {
    let mut route = match (method, rest) {
        ("GET", []) => found("ListFolders"),
        ("POST", []) => found("CreateFolder"),
        ("GET", ["delta" | "delta()"]) => found("FolderDelta"),
        ("GET", [_]) => found("GetFolder"),
        ("PATCH", [_]) => found("UpdateFolder"),
        ("DELETE", [_]) => found("DeleteFolder"),
        ("POST", [_, "permanentdelete"]) => found("PurgeFolder"),
        ("POST", [_, "move"]) => found("MoveFolder"),
        ("GET", [_, "childfolders"]) => found("ListChildFolders"),
        ("POST", [_, "childfolders"]) => found("CreateFolder"),
        ("GET", [_, "messages", "delta" | "delta()"]) => found("MessageDelta"),
        (_, [_, "messages", _, "$value"]) => {
            return Err(Failure::new(
                405,
                "ErrorInvalidRequest",
                "The OData request is not supported.",
            ));
        }
        (_, [_, "messages", more @ ..]) => messages(method, more, 3)?,
        (_, [_, name, ..]) => return Err(Failure::segment(name)),
        _ => return Err(wrong_method(method)),
    };
    route.folder = match rest {
        [] | ["delta" | "delta()"] => None,
        _ => Some(1),
    };
    Ok(route)
}

fn messages(method: &str, rest: &[&str], at: usize) -> Result<Found, Failure> {
    let operation = match (method, rest) {
        ("GET", []) => "ListMessages",
        ("POST", []) => "CreateMessage",
        ("GET", ["delta" | "delta()"]) => {
            return Err(Failure::new(
                400,
                "ErrorInvalidRequest",
                "Change tracking is not supported against 'microsoft.graph.message' without a folder.",
            ));
        }
        ("GET", [_]) => "GetMessage",
        ("PATCH", [_]) => "UpdateMessage",
        ("DELETE", [_]) => "DeleteMessage",
        ("GET", [_, "$value"]) => "GetMime",
        ("POST", [_, "move"]) => "MoveMessage",
        ("POST", [_, "copy"]) => "CopyMessage",
        ("POST", [_, "permanentdelete"]) => "PurgeMessage",
        ("GET", [_, "attachments"]) => "ListAttachments",
        ("POST", [_, "attachments"]) => "AddAttachment",
        ("POST", [_, "attachments", "createuploadsession"]) => "CreateUploadSession",
        ("GET", [_, "attachments", _]) => "GetAttachment",
        ("DELETE", [_, "attachments", _]) => "DeleteAttachment",
        ("GET", [_, "attachments", _, "$value"]) => "GetAttachmentContent",
        (_, [_, name, ..]) if !matches!(*name, "attachments" | "$value") => {
            return Err(Failure::segment(name));
        }
        _ => return Err(wrong_method(method)),
    };
    let mut route = found(operation);
    route.message = (!rest.is_empty()).then_some(at);
    if matches!(
        operation,
        "GetAttachment" | "DeleteAttachment" | "GetAttachmentContent"
    ) {
        route.attachment = Some(at + 2);
    }
    Ok(route)
}

fn exchange(method: &str, tail: &[&str]) -> Result<Found, Failure> {
    let operation = match (method, tail) {
        ("GET", ["folders"]) => "ListMailboxFolders",
        ("POST", ["folders"] | ["folders", _, "childfolders"]) => "CreateMailboxFolder",
        ("GET", ["folders", "delta" | "delta()"]) => "MailboxFolderDelta",
        ("GET", ["folders", _]) => "GetMailboxFolder",
        ("GET", ["folders", _, "childfolders"]) => "ListMailboxChildFolders",
        ("GET", ["folders", _, "items"]) => "ListMailboxItems",
        ("GET", ["folders", _, "items", "delta" | "delta()"]) => "MailboxItemDelta",
        ("GET", ["folders", _, "items", _]) => "GetMailboxItem",
        ("DELETE", ["folders", _, "items", _]) => "DeleteMailboxItem",
        ("POST", ["exportitems"]) => "ExportItems",
        ("POST", ["createimportsession"]) => "CreateImportSession",
        (_, [name, ..]) => return Err(Failure::segment(name)),
        _ => return Err(wrong_method(method)),
    };
    let mut route = found(operation);
    let listed = matches!(tail, ["folders"] | ["folders", "delta" | "delta()"]);
    if tail.first() == Some(&"folders") && !listed {
        route.folder = Some(1);
    }
    if matches!(operation, "GetMailboxItem" | "DeleteMailboxItem") {
        route.message = Some(3);
    }
    Ok(route)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_from_their_places() {
        let found = route(
            "GET",
            "/users/ann%40example.com/mailFolders/inbox/messages/a%2Fb%3D/attachments/c/$value",
        );
        let found = found.unwrap();
        assert_eq!(found.operation, "GetAttachmentContent");
        assert_eq!(found.folder.as_deref(), Some("inbox"));
        assert_eq!(found.message.as_deref(), Some("a/b="));
        assert_eq!(found.attachment.as_deref(), Some("c"));
        assert_eq!(
            found.template,
            "/users/{id}/mailFolders/{id}/messages/{id}/attachments/{id}/$value"
        );
        assert_eq!(found.whose, Whose::User("ann@example.com".to_owned()));
    }

    #[test]
    fn mime_is_not_below_folders() {
        let refused = route("GET", "/me/mailFolders/inbox/messages/x/$value").unwrap_err();
        assert_eq!(refused.status, 405);
        assert_eq!(
            route("GET", "/me/messages/x/$value").unwrap().operation,
            "GetMime"
        );
        assert_eq!(route("GET", "/me/messages/a/b").unwrap_err().status, 400);
        assert_eq!(route("PUT", "/me/messages").unwrap_err().status, 405);
    }
}
