//! The two streams of the program: results on standard output, all else on standard error.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Write as _},
};

use serde::Serialize;

/// Writes text to standard output. An output that nobody reads any more (`| head`) is no failure
/// of the migration.
pub(crate) fn result(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes a line to standard error.
pub(crate) fn notice(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes one JSON object as one line to standard output.
pub(crate) fn json(value: &impl Serialize) {
    // Built whole, then written at once: lines of several tasks must not mix.
    if let Ok(mut line) = serde_json::to_string(value).map(|json| escaped(&json)) {
        line.push('\n');
        result(&line);
    }
}

/// JSON may end up on a terminal, too. What is harmful there stands in strings alone, where an escape
/// means the same.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_harmful(c) {
            // All of them are in the basic plane.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Text from servers, made harmless for terminals: control characters and those that change the
/// direction of writing could hide or forge what is shown.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains(is_harmful) {
        let mark = |c| if is_harmful(c) { '\u{fffd}' } else { c };
        Cow::Owned(text.chars().map(mark).collect())
    } else {
        Cow::Borrowed(text)
    }
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A number with thousands separated: `12,345`.
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 message`, `2 messages`.
pub(crate) fn count(n: u64, one: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {one}{s}", number(n))
}

/// Bytes for people, in decimal units: `999 B`, `1.2 MB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1_000_000_000_000, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1000, "kB"),
    ];
    for (unit, name) in UNITS {
        if n >= unit {
            return format!("{}.{} {name}", n / unit, n % unit * 10 / unit);
        }
    }
    format!("{n} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1000), "1,000");
        assert_eq!(number(12_345_678), "12,345,678");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_250_000), "1.2 MB");
        assert_eq!(bytes(u64::MAX), "18446744.0 TB");
        assert_eq!(count(1, "message"), "1 message");
        assert_eq!(count(2, "message"), "2 messages");
    }

    #[test]
    fn terminals_are_safe_from_folder_names() {
        assert_eq!(clean("Grüße/日本"), "Grüße/日本");
        assert_eq!(
            clean("a\u{1b}[2Jb\r\n\u{202e}c"),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}c"
        );
    }

    #[test]
    fn json_is_safe_for_terminals_and_means_the_same() {
        let names = ["a\u{1b}[2J\u{9b}2J\u{7f}\u{202e}c\\", "Grüße \u{1f600}\"\n"];
        let json = escaped(&serde_json::to_string(&names).unwrap());
        assert!(!json.contains(is_harmful), "{json:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), names);
    }
}
