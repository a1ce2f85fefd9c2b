//! What an embedder of one library must not have to compile.

use std::collections::BTreeSet;

use crate::test::{Context, Outcome};
use crate::{Result, process};

struct Rule {
    /// How cargo is asked for the library's own tree.
    asked: &'static [&'static str],
    /// What must be there, so that an empty answer does not pass.
    has: &'static [&'static str],
    has_not: &'static [&'static str],
}

const RULES: [Rule; 6] = [
    Rule {
        asked: &["-p", "mailmove-imap"],
        has: &["mailmove-core", "tokio", "imap-proto"],
        has_not: &[
            "mailmove-ews",
            "mailmove-graph",
            "reqwest",
            "hyper",
            "quick-xml",
            "rusqlite",
            "libsqlite3-sys",
            "sqlx",
        ],
    },
    Rule {
        asked: &["-p", "mailmove-ews"],
        has: &[
            "mailmove-core",
            "mailmove-exchange",
            "tokio",
            "hyper",
            "quick-xml",
        ],
        has_not: &[
            "mailmove-imap",
            "mailmove-graph",
            "imap-proto",
            "reqwest",
            "rusqlite",
            "libsqlite3-sys",
            "sqlx",
        ],
    },
    Rule {
        asked: &["-p", "mailmove-graph"],
        has: &["mailmove-core", "mailmove-exchange", "tokio", "reqwest"],
        has_not: &[
            "mailmove-imap",
            "mailmove-ews",
            "imap-proto",
            "quick-xml",
            "rusqlite",
            "libsqlite3-sys",
            "sqlx",
            "openssl",
            "native-tls",
            "aws-lc-rs",
        ],
    },
    // What Exchange's adapters share: what is true by whatever protocol, and so none.
    Rule {
        asked: &["-p", "mailmove-exchange"],
        has: &["mailmove-core", "serde_json"],
        has_not: &[
            "mailmove-imap",
            "mailmove-ews",
            "mailmove-graph",
            "imap-proto",
            "quick-xml",
            "reqwest",
            "hyper",
            "rustls",
            "rusqlite",
            "libsqlite3-sys",
            "sqlx",
        ],
    },
    Rule {
        asked: &["-p", "mailmove-core", "--no-default-features"],
        has: &["mail-parser", "tokio"],
        has_not: &[
            "rusqlite",
            "libsqlite3-sys",
            "rustls",
            "imap-proto",
            "mailmove-imap",
            "mailmove-ews",
            "mailmove-graph",
            "reqwest",
            "hyper",
        ],
    },
    Rule {
        asked: &["-p", "mailmove-core"],
        has: &["rusqlite"],
        has_not: &[
            "rustls",
            "imap-proto",
            "mailmove-imap",
            "mailmove-ews",
            "mailmove-graph",
            "reqwest",
            "hyper",
        ],
    },
];

/// Looks at each library's normal dependencies, with the features an embedder gets.
pub(crate) fn check(_: &mut Context) -> Result<Outcome> {
    let mut wrong = Vec::new();
    for rule in &RULES {
        let asked = rule.asked.join(" ");
        let tree = tree(rule.asked)?;
        for name in rule.has_not.iter().filter(|name| tree.contains(**name)) {
            wrong.push(format!("`cargo tree -e normal {asked}` has {name}"));
        }
        for name in rule.has.iter().filter(|name| !tree.contains(**name)) {
            wrong.push(format!("`cargo tree -e normal {asked}` has no {name}"));
        }
    }
    if wrong.is_empty() {
        return Ok(Outcome::Passed(format!("{} trees", RULES.len())));
    }
    Err(wrong.join("\n").into())
}

fn tree(asked: &[&str]) -> Result<BTreeSet<String>> {
    let mut command = process::cargo();
    command
        .args(["tree", "--locked", "-e", "normal", "--prefix", "none"])
        .args(asked);
    let said = process::capture(&mut command)?;
    Ok(said
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect())
}
