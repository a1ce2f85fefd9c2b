//! Where things are.

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
