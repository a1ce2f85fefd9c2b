//! Where things are.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, process};

/// The directory of the workspace's Cargo.toml.
pub(crate) fn root() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .ok_or_else(|| "xtask has no parent directory".into())
}

/// Cargo's target directory.
pub(crate) fn target() -> Result<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => Ok(std::path::absolute(dir)?),
        None => Ok(root()?.join("target")),
    }
}

/// Copies all files but those that git ignores.
pub(crate) fn copy(to: &Path) -> Result<()> {
    let root = root()?;
    let mut list = Command::new("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let files = process::capture(list.current_dir(&root))?;
    for file in files.lines() {
        copy_file(&root.join(file), &to.join(file))?;
    }
    let known = files.lines().map(|file| to.join(file));
    forget_others(to, &known.collect())
}

/// Removes what an earlier copy had and the workspace has no more: two files for one module do not build.
fn forget_others(dir: &Path, known: &HashSet<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            forget_others(&path, known)?;
        } else if !known.contains(&path) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Copies what differs, so that cargo builds no more than it must.
fn copy_file(from: &Path, to: &Path) -> Result<()> {
    // What was deleted and not yet committed is listed too.
    let Ok(new) = std::fs::read(from) else {
        let _ = std::fs::remove_file(to);
        return Ok(());
    };
    if std::fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    Ok(std::fs::write(to, new)?)
}
