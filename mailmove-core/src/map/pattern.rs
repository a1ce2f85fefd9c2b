//! How users name folders.

use regex::{Regex, RegexBuilder};

use crate::{
    error::{Error, ErrorKind, Result},
    model::FolderPath,
};

/// Matches folder paths, written with `/` between names (a `/` or `\` within a name is escaped by
/// `\`, see [`FolderPath::escaped`]). Without regard to case.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As the user wrote it.
    pub text: String,
    regex: Regex,
}

/// One character of an escaped path that does not end a name.
const CHARACTER: &str = r"(?:[^/\\]|\\.)";

impl Pattern {
    /// Reads a pattern:
    ///
    /// - a path, e.g. `Archive/2019`: that folder and everything below it;
    /// - a path with wildcards: `*` stands for any characters within a name, `?` for one, `**` for
    ///   anything, over levels (`**/x`: x at any level, `x/**`: all below x, but not x). It matches
    ///   whole paths;
    /// - `re:REGEX`: a regular expression that is found somewhere in the escaped path.
    ///
    /// `\` takes the meaning from the character after it.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) if it is empty, or no regular expression.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let (regex, own) = match text.strip_prefix("re:") {
            Some(regex) => (regex.to_owned(), true),
            None => (regex_of(&text), false),
        };
        if text.is_empty() || regex.is_empty() {
            return Err(bad("the folder pattern is empty", &text).with_remedy(
                "Write a folder's path such as Archive/2019, wildcards as in Archive/*, or \
                 re:REGEX.",
            ));
        }
        let built = RegexBuilder::new(&regex)
            .case_insensitive(true)
            .dot_matches_new_line(true)
            .build();
        match built {
            Ok(regex) => Ok(Self { text, regex }),
            Err(error) => {
                let remedy = if own {
                    "Look-around and back-references are not supported; for a plain path leave \
                     out re:."
                } else {
                    "Write a shorter pattern."
                };
                let error = bad("the folder pattern cannot be used", &text).with_source(error);
                Err(error.with_remedy(remedy))
            }
        }
    }

    /// True if it says in letters where its folders begin, so that whoever wrote it meant these.
    pub(super) fn names_the_first(&self) -> bool {
        let text = self.text.trim_start_matches('/');
        let first = text.split('/').next().unwrap_or_default();
        !text.starts_with("re:") && !first.is_empty() && !first.contains(['*', '?'])
    }

    /// True if it matches that folder.
    #[must_use]
    pub fn matches(&self, path: &FolderPath) -> bool {
        self.regex.is_match(&path.escaped())
    }
}

fn bad(message: &'static str, text: &str) -> Error {
    Error::new(ErrorKind::Config, message)
        .with_code("config/folder-pattern")
        .with_context("pattern", text)
}

/// The regular expression of a path, with or without wildcards; empty if it names nothing.
fn regex_of(text: &str) -> String {
    let mut out = String::from("^");
    let mut wild = false;
    let trimmed = text.trim_start_matches('/');
    let mut chars = trimmed.chars().peekable();
    // Slashes are written when the next name begins, so that those at the end are left out.
    let mut slash = false;
    let mut named = false;
    while let Some(c) = chars.next() {
        if c == '/' {
            slash = named;
            continue;
        }
        if std::mem::take(&mut slash) {
            out.push('/');
        }
        named = true;
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                wild = true;
                if chars.next_if_eq(&'/').is_some() {
                    out.push_str(&format!("(?:{CHARACTER}*/)*"));
                } else {
                    out.push_str(&format!("(?:/|{CHARACTER})*"));
                }
            }
            '*' => {
                wild = true;
                out.push_str(CHARACTER);
                out.push('*');
            }
            '?' => {
                wild = true;
                out.push_str(CHARACTER);
            }
            '\\' => literal(chars.next().unwrap_or('\\'), &mut out),
            c => literal(c, &mut out),
        }
    }
    if !named {
        return String::new();
    }
    out.push_str(if wild { "$" } else { "(?:/|$)" });
    out
}

/// A character of a name, as escaped paths write it.
fn literal(c: char, out: &mut String) {
    let mut text = String::new();
    if matches!(c, '/' | '\\') {
        text.push('\\');
    }
    text.push(c);
    out.push_str(&regex::escape(&text));
}

/// An explicit place for a folder and all that is below it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The source folder. Compared with regard to case, but for the inbox.
    pub from: FolderPath,
    /// The destination folder.
    pub to: FolderPath,
}

impl Place {
    /// What is at `from` and below it goes to `to` and below it.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) if one of them names no folder.
    pub fn new(from: FolderPath, to: FolderPath) -> Result<Self> {
        if from.names().is_empty() || to.names().is_empty() {
            return Err(unplaced("one side of the folder rule names no folder"));
        }
        Ok(Self { from, to })
    }

    /// Reads `FROM=TO`, two paths as [`FolderPath::parse`] reads them; `\=` stands for an equals
    /// sign in a name.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) if there is not exactly one equals sign, or nothing beside it.
    pub fn parse(text: &str) -> Result<Self> {
        let mut signs = Vec::new();
        let mut escaped = false;
        for (at, c) in text.char_indices() {
            if c == '=' && !escaped {
                signs.push(at);
            }
            escaped = c == '\\' && !escaped;
        }
        let place = match signs.as_slice() {
            [at] => {
                let (from, to) = text.split_at(*at);
                let to = to.strip_prefix('=').unwrap_or(to);
                Self::new(FolderPath::parse(from), FolderPath::parse(to))
            }
            [] => Err(unplaced("the folder rule has no equals sign")),
            _ => Err(unplaced("the folder rule has more than one equals sign")),
        };
        place.map_err(|error| error.with_context("rule", text))
    }
}

fn unplaced(message: &'static str) -> Error {
    Error::new(ErrorKind::Config, message)
        .with_code("config/folder-place")
        .with_remedy(
            "Write FROM=TO, for example Old/Projects=Archive/Projects; for an equals sign within \
             a name write \\=.",
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &[&str]) -> bool {
        let path = FolderPath::new(path.iter().copied());
        Pattern::new(pattern).unwrap().matches(&path)
    }

    #[test]
    fn a_path_matches_itself_and_what_is_below_in_any_case() {
        for pattern in ["Archive/2019", "archive/2019/", "/ARCHIVE//2019"] {
            assert!(matches(pattern, &["Archive", "2019"]), "{pattern}");
            assert!(matches(pattern, &["Archive", "2019", "x", "y"]));
            assert!(!matches(pattern, &["Archive"]));
            assert!(!matches(pattern, &["Archive", "2019b"]));
            assert!(!matches(pattern, &["x", "Archive", "2019"]));
        }
        assert!(matches("\u{dc}ber", &["\u{fc}BER"]));
        assert!(matches("a.b+c", &["a.b+c"]) && !matches("a.b", &["axb"]));
    }

    #[test]
    fn wildcards_stay_within_a_level_or_go_over_levels() {
        assert!(matches("Archive/*", &["Archive", "2019"]));
        assert!(!matches("Archive/*", &["Archive", "2019", "x"]));
        assert!(!matches("Archive/*", &["Archive"]));
        assert!(matches("Archive/20?9", &["Archive", "2019"]));
        assert!(!matches("?", &["a", "b"]) && matches("?", &["/"]) && matches("?", &["\\"]));
        assert!(matches("Archive/**", &["Archive", "2019", "x"]));
        assert!(!matches("Archive/**", &["Archive"]));
        assert!(matches("**/x", &["x"]) && matches("**/x", &["a", "b", "x"]));
        assert!(!matches("**/x", &["a", "bx"]));
        assert!(matches("**", &["a", "b"]) && matches("a**z", &["a", "b", "z"]));
        assert!(matches("*", &["a\nb"]));
    }

    #[test]
    fn slashes_and_stars_within_names_are_escaped() {
        assert!(matches(r"a\/b", &["a/b"]) && !matches(r"a\/b", &["a", "b"]));
        assert!(!matches("a/b", &["a/b"]));
        assert!(matches("*", &["a/b"]) && !matches("**/b", &["a/b"]));
        assert!(matches(r"a\*", &["a*"]) && !matches(r"a\*", &["ab"]));
        assert!(matches(r"a\\b", &["a\\b"]) && matches("a\\", &["a\\"]));
    }

    #[test]
    fn regexes_are_found_anywhere() {
        assert!(matches("re:20[0-9]{2}$", &["Archive", "2019"]));
        assert!(!matches("re:^2019", &["Archive", "2019"]));
        assert!(matches("re:^archive", &["Archive"]));
    }

    #[test]
    fn bad_patterns_and_places_say_what_to_do() {
        for bad in ["", "/", "re:", "re:(", "re:(?=x)"] {
            let error = Pattern::new(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{bad}");
            assert!(error.remedy().is_some());
        }
        for bad in ["", "a", "=", "a=", "=b", "a=b=c", "a\\=b", "/=/"] {
            let error = Place::parse(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{bad}");
            assert!(error.remedy().is_some() && error.to_string().contains("rule"));
        }
        let place = Place::parse(r"a\=b/c=d\\=e").unwrap_err();
        assert!(place.message().contains("more than one"));
        let place = Place::parse(r"a\=b/c=d\\\=e").unwrap();
        assert_eq!(place.from, FolderPath::new(["a=b", "c"]));
        assert_eq!(place.to, FolderPath::new(["d\\=e"]));
    }

    proptest::proptest! {
        #[test]
        fn an_escaped_path_matches_its_folder(names: Vec<String>) {
            let path = FolderPath::new(names.into_iter().filter(|name| !name.is_empty()));
            let text: String = path
                .escaped()
                .chars()
                .flat_map(|c| matches!(c, '*' | '?').then_some('\\').into_iter().chain([c]))
                .collect();
            if !text.is_empty() && !text.starts_with("re:") {
                proptest::prop_assert!(Pattern::new(text).unwrap().matches(&path));
            }
        }
    }
}
