//! The oldest compiler: one number, and nothing that asks for more.

use super::metadata;
use crate::test::{Context, Outcome};
use crate::{Result, workspace};

/// Every member states the workspace's number, the compiler in use is not older, and no
/// dependency asks for a newer one.
pub(crate) fn check(_: &mut Context) -> Result<Outcome> {
    let manifest = std::fs::read_to_string(workspace::root()?.join("Cargo.toml"))?;
    let stated = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \""))
        .and_then(|rest| rest.strip_suffix('"'))
        .ok_or("the workspace states no rust-version")?;
    let mut wrong = Vec::new();
    let compiler = metadata::rustc("release: ")?;
    if number(&compiler) < number(stated) {
        wrong.push(format!(
            "the compiler in use is {compiler}, older than {stated}"
        ));
    }
    for package in metadata::packages()? {
        let asks = package.rust_version.as_deref();
        let of = format!("{} {}", package.name, package.version);
        if package.source.is_none() && asks != Some(stated) {
            wrong.push(format!("{of} states {asks:?} instead of {stated}"));
        }
        if let Some(asks) = asks
            && number(asks) > number(stated)
        {
            wrong.push(format!("{of} needs {asks}, newer than {stated}"));
        }
    }
    if wrong.is_empty() {
        return Ok(Outcome::Passed(format!(
            "rust-version {stated}, here {compiler}"
        )));
    }
    Err(wrong.join("\n").into())
}

/// A version as numbers; what follows `-` (nightly, beta) does not count.
fn number(version: &str) -> Vec<u64> {
    let release = version.split('-').next().unwrap_or_default();
    let mut parts: Vec<u64> = release
        .split('.')
        .map(|part| part.parse().unwrap_or(0))
        .collect();
    parts.resize(3, 0);
    parts
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(number("1.100") > number("1.95.2"));
        assert_eq!(number("1.95"), number("1.95.0-nightly"));
    }
}
