//! The schema gate: what is said is reduced to shapes, and compared with those that were validated.
//!
//! A shape is a line about an element below its parent: the names of its attributes, or two children of
//! which one may follow the other (`^` is the beginning, `$` the end). No values are in it. What is
//! made of shapes that stood in valid documents has its elements in a valid order, too.
//!
//! `cargo xtask contracts` sets `MAILMOVE_EWS_RECORD` to a directory. Then documents with new shapes
//! are kept there, it has them validated, and writes `shapes.txt` anew.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::server::Shared;
use crate::xml::Element;

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

/// Shapes that a server met and that are not listed.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<BTreeSet<String>>);

impl Gate {
    pub(crate) fn unlisted(&self) -> Vec<String> {
        let unlisted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unlisted.iter().cloned().collect()
    }
}

/// Looks at a request: at what the header holds, and at the operation.
pub(crate) fn request(shared: &Shared, envelope: &Element, operation: &Element) {
    let header = envelope.child("s:Header");
    for entry in header.iter().flat_map(|header| &header.children) {
        pass(shared, entry);
    }
    pass(shared, operation);
}

/// Looks at a reply.
pub(crate) fn reply(shared: &Shared, envelope: &Element) {
    for part in ["s:Header", "s:Body"] {
        for entry in envelope.child(part).iter().flat_map(|part| &part.children) {
            pass(shared, entry);
        }
    }
}

/// Where documents are kept, if they are.
fn directory() -> Option<PathBuf> {
    std::env::var_os("MAILMOVE_EWS_RECORD").map(PathBuf::from)
}

fn pass(shared: &Shared, document: &Element) {
    if !shared.config.shape_gate {
        return;
    }
    let mut shapes = BTreeSet::new();
    collect(document, "", &mut shapes);
    if let Some(directory) = directory() {
        return record(&directory, document, shapes);
    }
    shapes.retain(|shape| !LISTED.contains(shape.as_str()));
    let mut unlisted = shared.gate.0.lock().unwrap_or_else(PoisonError::into_inner);
    unlisted.extend(shapes);
}

fn collect(element: &Element, parent: &str, shapes: &mut BTreeSet<String>) {
    let place = match parent {
        "" => element.name.to_string(),
        parent => format!("{parent}/{}", element.name),
    };
    let mut attributes: Vec<_> = element
        .attributes
        .iter()
        .map(|(name, _)| name.as_ref())
        .filter(|name| !name.starts_with("xmlns"))
        .collect();
    attributes.sort_unstable();
    if !attributes.is_empty() {
        shapes.insert(format!("{place} @{}", attributes.join(",")));
    }
    let mut before = "^";
    for child in &element.children {
        shapes.insert(format!("{place} {before} {}", child.name));
        before = &child.name;
        collect(child, &element.name, shapes);
    }
    shapes.insert(format!("{place} {before} $"));
}

/// Keeps a document that has shapes that none before had.
fn record(directory: &std::path::Path, document: &Element, shapes: BTreeSet<String>) {
    let mut recorded = RECORDED.lock().unwrap_or_else(PoisonError::into_inner);
    if shapes.is_subset(&recorded) {
        return;
    }
    let number = DOCUMENTS.fetch_add(1, Ordering::Relaxed);
    let file = directory.join(format!("{}-{number}.xml", std::process::id()));
    let lines: Vec<_> = shapes.iter().map(String::as_str).collect();
    let written = std::fs::write(&file, document.render())
        .and_then(|()| std::fs::write(file.with_extension("shapes"), lines.join("\n")));
    // What could not be written is missing in the list, which the tests then say.
    if written.is_ok() {
        recorded.extend(shapes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::{el, text};

    #[test]
    fn shapes_hold_names_and_order_but_no_values() {
        let document = el("m:A")
            .attr("Id", "secret")
            .with(text("t:B", "secret"))
            .with(text("t:B", "secret"))
            .with(el("t:C"));
        let mut shapes = BTreeSet::new();
        collect(&document, "", &mut shapes);
        let lines: Vec<_> = shapes.iter().map(String::as_str).collect();
        assert_eq!(
            lines,
            [
                "m:A @Id",
                "m:A ^ t:B",
                "m:A t:B t:B",
                "m:A t:B t:C",
                "m:A t:C $",
                "m:A/t:B ^ $",
                "m:A/t:C ^ $"
            ]
        );
    }
}
