//! The contract gate: what is said is reduced to shapes, and compared with those that were validated.
//!
//! A shape is a line: an operation as the contract has it, and one thing that was said with it. That is a
//! query option, a name in `$select` or `$expand`, a preference, or a member of the JSON below the member that
//! holds it, with its type. Answers have their status before it; errors, which look alike everywhere, no
//! operation. No values are in it but names of types and members of enumerations.
//!
//! `cargo xtask contracts` sets `MAILMOVE_GRAPH_RECORD` to a directory. Then requests and answers with new
//! shapes are kept there, it has them validated, and writes `shapes.txt` anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use mailmove_testkit_exchange::http::{Request, Response};
use serde_json::{Value, json};

use crate::call::Call;
use crate::odata::Query;
use crate::reply::Answer;
use crate::server::Shared;

/// The shapes that were validated.
static LISTED: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
    include_str!("../shapes.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect()
});

/// What this process recorded so far.
static RECORDED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

static DOCUMENTS: AtomicU64 = AtomicU64::new(0);

/// Members whose values are those of an enumeration, below the member that holds them (any if empty).
const ENUMERATIONS: [(&str, &str); 9] = [
    ("", "importance"),
    ("", "inferenceClassification"),
    ("", "attachmentType"),
    ("", "AttachmentType"),
    ("", "@odata.type"),
    ("flag", "flagStatus"),
    ("body", "contentType"),
    ("@removed", "reason"),
    ("", "Mode"),
];

/// Shapes that a server met and that are not listed.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<BTreeSet<String>>);

impl Gate {
    pub(crate) fn unlisted(&self) -> Vec<String> {
        let unlisted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unlisted.iter().cloned().collect()
    }
}

/// Something that was said.
struct Document {
    shapes: BTreeSet<String>,
    /// With all that a validator has to know.
    whole: Value,
}

/// Looks at a request.
pub(crate) fn request(call: &Call) {
    if call.shared.config.shape_gate {
        let template = &call.route.template;
        pass(
            &call.shared,
            requested(template, &call.request, &call.query),
        );
    }
}

/// Looks at an answer.
pub(crate) fn answer(call: &Call, answer: &Answer) {
    if call.shared.config.shape_gate {
        let (method, template) = (&call.request.method, &call.route.template);
        let response = match answer {
            Ok(response) => response.clone(),
            Err(failure) => failure.response(),
        };
        pass(&call.shared, answered(method, template, &response));
    }
}

/// Looks at a batch and its answer.
pub(crate) fn batch(shared: &Shared, request: &Request, response: Option<&Response>) {
    if shared.config.shape_gate {
        let document = match response {
            Some(response) => answered("POST", "/$batch", response),
            None => requested("/$batch", request, &Query::default()),
        };
        pass(shared, document);
    }
}

fn requested(template: &str, request: &Request, query: &Query) -> Document {
    let operation = format!("{} {template}", request.method);
    let mut shapes = BTreeSet::from([operation.clone()]);
    let mut options = Vec::new();
    for name in query.names() {
        let value = query.get(name).unwrap_or_default();
        options.push(json!([name, value]));
        shapes.insert(format!("{operation} ?{name}"));
        for part in parts(name, value) {
            shapes.insert(format!("{operation} ?{name}={part}"));
        }
    }
    let preferences = request.headers.iter().filter(|(name, _)| name == "prefer");
    for part in preferences.flat_map(|(_, value)| value.split(',')) {
        let name = part.split('=').next().unwrap_or_default().trim();
        shapes.insert(format!("{operation} Prefer {name}"));
    }
    let kind = request.header("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default();
    let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    if !request.body.is_empty() {
        shapes.insert(format!("{operation} {kind}"));
    }
    collect(&operation, "", &body, &mut shapes);
    let whole = json!({
        "method": request.method,
        "template": template,
        "query": options,
        "kind": if request.body.is_empty() { "" } else { kind },
        "body": body,
    });
    Document { shapes, whole }
}

/// Names within an option that are the contract's.
fn parts(name: &str, value: &str) -> Vec<String> {
    let names = match name {
        "$select" => value.split(',').collect::<Vec<_>>(),
        "$expand" => value
            .split('(')
            .next()
            .unwrap_or_default()
            .split(',')
            .collect(),
        _ => Vec::new(),
    };
    names.iter().map(|name| name.trim().to_owned()).collect()
}

fn answered(method: &str, template: &str, response: &Response) -> Document {
    let failed = response.status >= 400;
    let operation = match failed {
        true => "error".to_owned(),
        false => format!("{method} {template} {}", response.status),
    };
    let mut kind = response.headers.iter();
    let kind = kind.find(|(name, _)| name == "Content-Type");
    let kind = kind.map_or("", |(_, value)| value.split(';').next().unwrap_or_default());
    let is_json = kind == "application/json";
    let body: Value = match is_json {
        true => serde_json::from_slice(&response.body).unwrap_or(Value::Null),
        false => Value::Null,
    };
    let mut shapes = BTreeSet::from([operation.clone()]);
    if !response.body.is_empty() {
        // What an attachment holds has a type of its own.
        let kind = if is_json { kind } else { "content" };
        shapes.insert(format!("{operation} {kind}"));
    }
    collect(&operation, "", &body, &mut shapes);
    let whole = json!({
        "method": method,
        "template": template,
        "status": response.status,
        "kind": if response.body.is_empty() { "" } else { kind },
        "body": body,
    });
    Document { shapes, whole }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn collect(operation: &str, parent: &str, value: &Value, shapes: &mut BTreeSet<String>) {
    match value {
        Value::Array(list) => {
            for entry in list {
                if !matches!(entry, Value::Object(_)) {
                    shapes.insert(format!("{operation} {parent}[] {}", type_of(entry)));
                }
                collect(operation, parent, entry, shapes);
            }
        }
        // A batch's entries were looked at by themselves.
        Value::Object(_) if parent == "body" && operation.contains("/$batch") => {}
        Value::Object(members) => {
            for (name, member) in members {
                let mut line = format!("{operation} {parent}/{name} {}", type_of(member));
                let counts = |(below, what): &(&str, &str)| {
                    what == name && (below.is_empty() || *below == parent)
                };
                if let Value::String(text) = member
                    && ENUMERATIONS.iter().any(counts)
                {
                    line = format!("{operation} {parent}/{name}={text}");
                }
                // Headers have whatever names.
                if parent != "headers" {
                    shapes.insert(line);
                }
                collect(operation, name, member, shapes);
            }
        }
        _ => {}
    }
}

/// Where documents are kept, if they are.
fn directory() -> Option<PathBuf> {
    std::env::var_os("MAILMOVE_GRAPH_RECORD").map(PathBuf::from)
}

fn pass(shared: &Shared, mut document: Document) {
    if let Some(directory) = directory() {
        return record(&directory, document);
    }
    document
        .shapes
        .retain(|shape| !LISTED.contains(shape.as_str()));
    let mut unlisted = shared.gate.0.lock().unwrap_or_else(PoisonError::into_inner);
    unlisted.extend(document.shapes);
}

/// Keeps a document that has shapes that none before had.
fn record(directory: &Path, document: Document) {
    let mut recorded = RECORDED.lock().unwrap_or_else(PoisonError::into_inner);
    if document.shapes.is_subset(&recorded) {
        return;
    }
    let number = DOCUMENTS.fetch_add(1, Ordering::Relaxed);
    let file = directory.join(format!("{}-{number}.json", std::process::id()));
    let lines: Vec<_> = document.shapes.iter().map(String::as_str).collect();
    let written = std::fs::write(&file, document.whole.to_string())
        .and_then(|()| std::fs::write(file.with_extension("shapes"), lines.join("\n")));
    // What could not be written is missing in the list, which the tests then say.
    if written.is_ok() {
        recorded.extend(document.shapes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_hold_names_and_types_but_no_values() {
        let body = json!({
            "subject": "secret",
            "categories": ["secret"],
            "flag": {"flagStatus": "flagged"},
            "toRecipients": [{"emailAddress": {"address": "secret"}}],
        });
        let mut shapes = BTreeSet::new();
        collect("op", "", &body, &mut shapes);
        let lines: Vec<_> = shapes.iter().map(String::as_str).collect();
        assert_eq!(
            lines,
            [
                "op /categories array",
                "op /flag object",
                "op /subject string",
                "op /toRecipients array",
                "op categories[] string",
                "op emailAddress/address string",
                "op flag/flagStatus=flagged",
                "op toRecipients/emailAddress object",
            ]
        );
    }
}
