//! The same upload by exchangelib.

use std::path::{Path, PathBuf};
use std::process::Command;

use mailmove_benches::measure::Result;

const SCRIPT: &str = include_str!("exchangelib_upload.py");

/// The messages in files, for a program that others wrote.
pub(crate) struct Other {
    python: PathBuf,
    directory: tempfile::TempDir,
}

impl Other {
    /// `python` has exchangelib.
    pub(crate) fn new(python: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        std::fs::write(directory.path().join("upload.py"), SCRIPT)?;
        Ok(Self {
            python: Path::new(python).to_owned(),
            directory,
        })
    }

    /// A message of the folder with this name.
    pub(crate) fn add(&self, folder: &str, number: usize, mail: &[u8]) -> Result<()> {
        let directory = self.directory.path().join("mail").join(folder);
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join(format!("{number:06}.eml")), mail)?;
        Ok(())
    }

    /// Uploads all of them; its own seconds, without the start of Python.
    pub(crate) fn run(&self, url: &str, user: &str, password: &str) -> Result<f64> {
        let output = Command::new(&self.python)
            .arg(self.directory.path().join("upload.py"))
            .args([url, user, password])
            .arg(self.directory.path().join("mail"))
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let seconds = said.split_whitespace().nth(1);
        match seconds.and_then(|seconds| seconds.parse().ok()) {
            Some(seconds) if output.status.success() => Ok(seconds),
            _ => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
        }
    }
}
