//! Names that every server takes, so that nobody has to be asked whether it does.

use std::collections::HashMap;

use crate::model::FolderPath;

/// Longest path of which that is sure, in bytes, and most levels.
const LONGEST: usize = 100;
const DEEPEST: usize = 6;

/// Letters and digits of ASCII, hyphens, underlines and single spaces within: no server that is known
/// has other rules for these.
pub(crate) fn is_plain(path: &FolderPath) -> bool {
    let names = path.names();
    let length: usize = names.iter().map(|name| name.len() + 1).sum();
    length <= LONGEST && names.len() <= DEEPEST && names.iter().all(|name| is_plain_name(name))
}

fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_ ".contains(&byte);
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    name.bytes().all(plain)
        && edge(name.bytes().next())
        && edge(name.bytes().next_back())
        && !name.contains("  ")
}

/// No two of these are one where names are compared without case.
pub(crate) fn differ_by_more_than_case<'a>(paths: impl Iterator<Item = &'a FolderPath>) -> bool {
    let mut seen: HashMap<String, &FolderPath> = HashMap::new();
    // A parent that is made beside them counts like them, and is a part of a path that is there.
    for path in paths {
        let mut folded = String::new();
        for (depth, name) in path.names().iter().enumerate() {
            folded.push('\0');
            folded.push_str(&name.to_lowercase());
            let same =
                |other: &FolderPath| other.names().get(..=depth) == path.names().get(..=depth);
            let other = *seen.entry(folded.clone()).or_insert(path);
            // The inbox is one folder in any case, and has its own rules.
            let is_inbox = depth == 0 && name.eq_ignore_ascii_case("INBOX");
            if !is_inbox && !same(other) {
                return false;
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> FolderPath {
        FolderPath::new(text.split('/'))
    }

    #[test]
    fn odd_names_are_not_plain() {
        for name in ["INBOX", "Sent Items", "2014/Q1_a-b"] {
            assert!(is_plain(&path(name)), "{name}");
        }
        let long = "x".repeat(LONGEST);
        for name in [
            "a.b",
            "~a",
            "a%",
            "B\u{fc}ro",
            " a",
            "a ",
            "a  b",
            "-a",
            "",
            "a&b",
            &long,
            "a/b/c/d/e/f/g",
        ] {
            assert!(!is_plain(&path(name)), "{name}");
        }
    }

    #[test]
    fn names_that_are_one_without_case() {
        let differ = |paths: &[&str]| {
            let paths: Vec<_> = paths.iter().map(|text| path(text)).collect();
            differ_by_more_than_case(paths.iter())
        };
        assert!(differ(&["a", "b", "a/b", "a", "INBOX", "Inbox"]));
        assert!(!differ(&["a", "A"]));
        assert!(!differ(&["a/x", "A/y"]));
        assert!(!differ(&["a/x", "a/X"]));
    }
}
