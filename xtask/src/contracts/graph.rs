//! The schema of Graph's mail, as OpenAPI.

use std::path::Path;
use std::process::Command;

use super::{documents, head, record, write};
use crate::{Result, oracles, process, workspace};

/// Made from Microsoft's published metadata.
pub(crate) const CONTRACT: &str = "graph-mail.openapi.json";

/// What holds documents against schemas of OpenAPI 3.0.
const VALIDATOR: [&str; 1] = ["openapi-schema-validator==0.6.3"];

/// Tests whose documents count.
const PACKAGES: [&str; 2] = ["mailmove-graph-testserver", "mailmove-graph"];

/// Holds what the tests say against the contract.
pub(crate) fn run(dir: &Path) -> Result<()> {
    let head = head(dir, &[CONTRACT])?;
    let place = workspace::target()?.join("oracles");
    std::fs::create_dir_all(&place)?;
    let python = oracles::python(&place, "openapi", &VALIDATOR, false)?;
    let said = record("MAILMOVE_GRAPH_RECORD", &PACKAGES, "graph")?;
    let files = documents(&said, "json")?;
    let script = workspace::root()?.join("xtask/src/contracts/graph.py");
    let mut command = Command::new(python);
    let output = command.arg(script).arg(dir.join(CONTRACT)).arg(&said);
    let output = process::capture(output)?;
    let errors: Vec<_> = output.lines().filter(|l| l.starts_with("error ")).collect();
    let valid: Vec<_> = files
        .into_iter()
        .filter(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            output.lines().any(|line| line == format!("valid {name}"))
        })
        .collect();
    let (shapes, before) = write("mailmove-graph/testserver/shapes.txt", &head, &valid)?;
    println!(
        "contracts: {} requests and answers of Graph are valid; {shapes} shapes, {before} before",
        valid.len()
    );
    match errors.is_empty() {
        true => Ok(()),
        false => Err(format!("these are not valid:\n{}", errors.join("\n")).into()),
    }
}
