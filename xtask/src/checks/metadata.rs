//! What cargo knows about the packages of the lock file.

use std::process::Command;

use serde_json::Value;

use crate::{Result, process};

/// A package of the workspace or one that it depends on.
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) rust_version: Option<String>,
    pub(super) licence: Option<String>,
    /// Absent for members of the workspace.
    pub(super) source: Option<String>,
}

/// All packages that this machine's kind of target needs.
pub(super) fn packages() -> Result<Vec<Package>> {
    let mut command = process::cargo();
    command.args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
    ]);
    let said = process::capture(command.arg(host()?))?;
    let metadata: Value = serde_json::from_str(&said)?;
    let packages = metadata["packages"]
        .as_array()
        .ok_or("cargo metadata without packages")?;
    packages.iter().map(package).collect()
}

fn package(value: &Value) -> Result<Package> {
    let text = |field: &str| value[field].as_str().map(str::to_owned);
    Ok(Package {
        name: text("name").ok_or("a package without a name")?,
        version: text("version").ok_or("a package without a version")?,
        rust_version: text("rust_version"),
        licence: text("license"),
        source: text("source"),
    })
}

fn host() -> Result<String> {
    rustc("host: ")
}

/// A line of `rustc -vV`, without its label.
pub(super) fn rustc(label: &str) -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = process::capture(Command::new(rustc).arg("-vV"))?;
    said.lines()
        .find_map(|line| line.strip_prefix(label))
        .map(str::to_owned)
        .ok_or_else(|| format!("`rustc -vV` has no `{label}`").into())
}
