//! What Microsoft publishes of its protocols: what our requests and the test servers' answers are held
//! against.
//!
//! The contracts are not part of the repository. What was validated is, as shapes without values, so that
//! tests notice what was not without needing the contracts.

mod ews;
mod graph;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::{Result, process, workspace};

/// Runs `cargo xtask contracts DIR`.
pub(crate) fn command(args: &[&str]) -> Result<()> {
    let [dir] = args else {
        return Err("name the directory of the contracts".into());
    };
    let dir = std::path::absolute(dir)?;
    let (of_ews, of_graph) = (dir.join("ews"), dir.join("graph"));
    let mut found = false;
    for dir in [dir.as_path(), &of_ews, &of_graph] {
        if dir.join(ews::SCHEMA[0]).exists() {
            found = true;
            ews::run(dir)?;
        }
        if dir.join(graph::CONTRACT).exists() {
            found = true;
            graph::run(dir)?;
        }
    }
    match found {
        true => Ok(()),
        false => Err(format!(
            "there is neither {} nor {} in {}",
            ews::SCHEMA[0],
            graph::CONTRACT,
            dir.display()
        )
        .into()),
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// The beginning of a list: which files it was made with.
fn head(dir: &Path, files: &[&str]) -> Result<String> {
    let mut head = String::from(
        "# Shapes of requests and answers that were valid, made by `cargo xtask contracts`.\n",
    );
    for file in files {
        let bytes = std::fs::read(dir.join(file)).map_err(|error| format!("{file}: {error}"))?;
        head += &format!("# sha256 {} {file}\n", sha256(&bytes));
    }
    Ok(head)
}

/// Has tests keep what is said, in a directory that this variable names.
fn record(variable: &str, packages: &[&str], of_program: &str) -> Result<PathBuf> {
    let documents = workspace::target()?.join("contracts").join(of_program);
    let _ = std::fs::remove_dir_all(&documents);
    std::fs::create_dir_all(&documents)?;
    let mut command = process::cargo();
    command.args(["test", "--locked", "--no-fail-fast", "--tests"]);
    for package in packages {
        let short = package.trim_start_matches("mailmove-").replace('-', "/");
        let manifest = workspace::root()?
            .join(format!("mailmove-{short}"))
            .join("Cargo.toml");
        if manifest.exists() {
            command.args(["-p", package]);
        }
    }
    let mut commands = vec![command];
    // Where there is an adapter, the program speaks by it.
    let adapter = packages
        .last()
        .unwrap_or(&"")
        .trim_start_matches("mailmove-");
    let adapter = workspace::root()?.join(format!("mailmove-{adapter}/Cargo.toml"));
    if adapter.exists() {
        let mut program = process::cargo();
        program.args(["test", "--locked", "--no-fail-fast", "-p", "mailmove-cli"]);
        program.args(["--test", "cli", of_program]);
        commands.push(program);
    }
    for mut command in commands {
        command.env(variable, &documents);
        if !command.status()?.success() {
            return Err("the tests fail; what they say is not to be trusted".into());
        }
    }
    Ok(documents)
}

/// The documents of a directory that end so.
fn documents(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|have| have == extension) {
            files.push(path);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err("the tests said nothing".into()),
        false => Ok(files),
    }
}

/// Writes the list of what these documents showed; how many shapes there are, and were before.
fn write(list: &str, head: &str, valid: &[PathBuf]) -> Result<(usize, usize)> {
    let mut shapes = BTreeSet::new();
    for file in valid {
        let lines = std::fs::read_to_string(file.with_extension("shapes"))?;
        shapes.extend(lines.lines().map(str::to_owned));
    }
    let list = workspace::root()?.join(list);
    let old = std::fs::read_to_string(&list).unwrap_or_default();
    let lines: Vec<_> = shapes.iter().map(String::as_str).collect();
    std::fs::write(&list, format!("{head}{}\n", lines.join("\n")))?;
    let before = old.lines().filter(|line| !line.starts_with('#')).count();
    Ok((shapes.len(), before))
}

#[cfg(test)]
mod tests {
    use super::sha256;

    #[test]
    fn the_digest_is_sha256() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), abc);
    }
}
