//! The rules of `deny.toml` that need no advisory database, held without cargo-deny.

use super::{metadata, spdx};
use crate::test::{Context, Outcome};
use crate::{Result, workspace};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Every package's licence is allowed, no banned package is there, and all come from crates.io.
pub(crate) fn check(_: &mut Context) -> Result<Outcome> {
    let rules = std::fs::read_to_string(workspace::root()?.join("deny.toml"))?;
    let allowed = list(&rules, "allow = [")?;
    let banned = list(&rules, "deny = [")?;
    let packages = metadata::packages()?;
    let mut wrong = Vec::new();
    for package in &packages {
        let of = format!("{} {}", package.name, package.version);
        match &package.licence {
            None => wrong.push(format!("{of} states no licence")),
            Some(licence) => match spdx::satisfied(licence, &allowed) {
                Ok(true) => {}
                Ok(false) => wrong.push(format!("{of} has the licence {licence}")),
                Err(error) => wrong.push(format!("{of}: {error}")),
            },
        }
        if banned.contains(&package.name.as_str()) {
            wrong.push(format!("{of} is banned"));
        }
        if let Some(source) = package
            .source
            .as_deref()
            .filter(|source| *source != CRATES_IO)
        {
            wrong.push(format!("{of} comes from {source}"));
        }
    }
    if wrong.is_empty() {
        return Ok(Outcome::Passed(format!("{} packages", packages.len())));
    }
    Err(format!("against deny.toml:\n{}", wrong.join("\n")).into())
}

/// The quoted words of a list in deny.toml; cargo-deny reads the file as a whole, this check only
/// the two lists it shares with it.
fn list<'a>(rules: &'a str, start: &str) -> Result<Vec<&'a str>> {
    let words: Vec<&str> = rules
        .split_once(&format!("\n{start}"))
        .and_then(|(_, rest)| rest.split_once("\n]"))
        .map(|(inside, _)| inside)
        .unwrap_or_default()
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split('"').nth(1))
        .collect();
    if words.is_empty() {
        return Err(format!("deny.toml has no list `{start}`").into());
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::list;

    #[test]
    fn a_list_is_read_without_its_comments() {
        let rules = "[licenses]\nallow = [\n    # \"GPL-3.0\"\n    \"MIT\",\n    \"ISC\",\n]\n";
        assert_eq!(list(rules, "allow = [").unwrap(), ["MIT", "ISC"]);
        assert!(list(rules, "deny = [").is_err());
    }
}
