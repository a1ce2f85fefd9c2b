//! Microsoft's schema of EWS: what our requests and the test server's replies are held against.
//!
//! The schema is not part of the repository. What was validated is, as shapes without values, so that
//! tests notice what was not without needing the schema.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Result, process, servers, workspace};

/// The files of the schema whose digests stand in the list; the first one imports the other.
const SCHEMA: [&str; 2] = ["messages.xsd", "types.xsd"];

/// Tests whose documents count.
const PACKAGES: [&str; 2] = ["mailmove-ews-testserver", "mailmove-ews"];

/// Documents that xmllint gets at once.
const AT_ONCE: usize = 50;

/// Runs `cargo xtask contracts DIR`.
pub(crate) fn command(args: &[&str]) -> Result<()> {
    let [dir] = args else {
        return Err("name the directory of messages.xsd and types.xsd".into());
    };
    let dir = std::path::absolute(dir)?;
    let mut head = String::from(
        "# Shapes of requests and replies that were valid, made by `cargo xtask contracts`.\n",
    );
    for file in SCHEMA {
        let schema = std::fs::read(dir.join(file)).map_err(|error| format!("{file}: {error}"))?;
        head += &format!("# sha256 {} {file}\n", sha256(&schema));
    }
    let xmllint = match process::find("xmllint") {
        Some(found) => found,
        None => servers::program("xmllint", "libxml2-utils")?,
    };
    let documents = workspace::target()?.join("contracts");
    let _ = std::fs::remove_dir_all(&documents);
    std::fs::create_dir_all(&documents)?;
    record(&documents)?;
    let (valid, errors) = validate(&xmllint, &dir.join(SCHEMA[0]), &documents)?;
    let mut shapes = BTreeSet::new();
    for file in &valid {
        let lines = std::fs::read_to_string(file.with_extension("shapes"))?;
        shapes.extend(lines.lines().map(str::to_owned));
    }
    let list = workspace::root()?.join("mailmove-ews/testserver/shapes.txt");
    let old = std::fs::read_to_string(&list).unwrap_or_default();
    let lines: Vec<_> = shapes.iter().map(String::as_str).collect();
    let new = format!("{head}{}\n", lines.join("\n"));
    std::fs::write(&list, &new)?;
    let requests = valid.iter().filter(|file| is_request(file)).count();
    println!(
        "contracts: {requests} requests and {} replies are valid; {} shapes, {} before",
        valid.len() - requests,
        shapes.len(),
        old.lines().filter(|line| !line.starts_with('#')).count()
    );
    match errors.is_empty() {
        true => Ok(()),
        false => Err(format!("these are not valid:\n{}", errors.join("\n")).into()),
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// Has the tests keep what is said.
fn record(documents: &Path) -> Result<()> {
    let mut command = process::cargo();
    command.args(["test", "--locked", "--no-fail-fast", "--tests"]);
    for package in PACKAGES {
        let short = package.trim_start_matches("mailmove-").replace('-', "/");
        let manifest = workspace::root()?
            .join(format!("mailmove-{short}"))
            .join("Cargo.toml");
        if manifest.exists() {
            command.args(["-p", package]);
        }
    }
    let mut program = process::cargo();
    program.args(["test", "--locked", "--no-fail-fast", "-p", "mailmove-cli"]);
    program.args(["--test", "cli", "exchange"]);
    for mut command in [command, program] {
        command.env("MAILMOVE_EWS_RECORD", documents);
        if !command.status()?.success() {
            return Err("the tests fail; what they say is not to be trusted".into());
        }
    }
    Ok(())
}

/// Which documents are valid, and what is wrong with the others.
fn validate(
    xmllint: &Path,
    schema: &Path,
    documents: &Path,
) -> Result<(Vec<PathBuf>, Vec<String>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(documents)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "xml") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err("the tests said nothing".into());
    }
    let (mut valid, mut errors) = (Vec::new(), Vec::new());
    for some in files.chunks(AT_ONCE) {
        let mut command = Command::new(xmllint);
        command.args(["--noout", "--nonet", "--huge", "--schema"]);
        let output = command
            .arg(schema)
            .args(some)
            .stdin(Stdio::null())
            .output()?;
        // It says so of each file, at the end of what it says of it.
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        for file in some {
            let name = file.display().to_string();
            match said.contains(&format!("{name} validates")) {
                true => valid.push(file.clone()),
                false => errors.extend(
                    said.lines()
                        .filter(|line| line.starts_with(&name))
                        .map(str::to_owned),
                ),
            }
        }
        if valid.is_empty() && errors.is_empty() {
            return Err(format!("xmllint says: {said}").into());
        }
    }
    Ok((valid, errors))
}

/// Whether a document is no reply: those are called so.
fn is_request(file: &Path) -> bool {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let root = text.split('<').nth(2).unwrap_or_default();
    let name = root.split([' ', '>', '/']).next().unwrap_or_default();
    !name.ends_with("Response") && name != "t:ServerVersionInfo"
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
