//! Microsoft's schema of EWS.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{documents, head, record, write};
use crate::{Result, process, servers};

/// The files of the schema whose digests stand in the list; the first one imports the other.
pub(crate) const SCHEMA: [&str; 2] = ["messages.xsd", "types.xsd"];

/// Tests whose documents count.
const PACKAGES: [&str; 2] = ["mailmove-ews-testserver", "mailmove-ews"];

/// Documents that xmllint gets at once.
const AT_ONCE: usize = 50;

/// Holds what the tests say against the schema.
pub(crate) fn run(dir: &Path) -> Result<()> {
    let head = head(dir, &SCHEMA)?;
    let xmllint = match process::find("xmllint") {
        Some(found) => found,
        None => servers::program("xmllint", "libxml2-utils")?,
    };
    let said = record("MAILMOVE_EWS_RECORD", &PACKAGES, "exchange")?;
    let (valid, errors) = validate(&xmllint, &dir.join(SCHEMA[0]), &said)?;
    let (shapes, before) = write("mailmove-ews/testserver/shapes.txt", &head, &valid)?;
    let requests = valid.iter().filter(|file| is_request(file)).count();
    println!(
        "contracts: {requests} requests and {} replies of EWS are valid; {shapes} shapes, {before} before",
        valid.len() - requests
    );
    match errors.is_empty() {
        true => Ok(()),
        false => Err(format!("these are not valid:\n{}", errors.join("\n")).into()),
    }
}

/// Which documents are valid, and what is wrong with the others.
fn validate(xmllint: &Path, schema: &Path, said: &Path) -> Result<(Vec<PathBuf>, Vec<String>)> {
    let files = documents(said, "xml")?;
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
