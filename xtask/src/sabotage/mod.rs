//! `cargo xtask sabotage`: are the tests able to fail where it matters?
//!
//! Each planted fault breaks one promise in a copy of the workspace. A test, named beforehand, must
//! be green without it and red with it.

mod faults;

use std::path::PathBuf;
use std::process::Stdio;

use faults::{ALL, Fault};

use crate::{Result, process, workspace};

/// Plants each fault whose name contains one of `wanted`, or all of them.
pub(crate) fn command(wanted: &[&str]) -> Result<()> {
    let is_wanted =
        |fault: &&Fault| wanted.is_empty() || wanted.iter().any(|part| fault.name.contains(part));
    let faults: Vec<&Fault> = ALL.iter().filter(is_wanted).collect();
    if faults.is_empty() {
        let names: Vec<&str> = ALL.iter().map(|fault| fault.name).collect();
        return Err(format!("no such fault; there are:\n  {}", names.join("\n  ")).into());
    }
    let ground = Ground::new()?;
    for fault in &faults {
        let outcome = ground.run(fault)?;
        if outcome != Outcome::Green {
            let (name, program) = (fault.test.name, fault.test.program.join(" "));
            return Err(format!("without any fault, {name} ({program}) is {outcome:?}").into());
        }
    }
    println!("{} tests are green without a fault", faults.len());
    let mut missed = 0;
    for fault in &faults {
        let text = ground.plant(fault)?;
        let outcome = ground.run(fault);
        std::fs::write(ground.tree.join(fault.file), text)?;
        let verdict = match outcome? {
            Outcome::Red => "caught",
            Outcome::Green => "MISSED",
            Outcome::NotBuilt => "DOES NOT COMPILE",
            Outcome::NotRun => "TEST NOT FOUND",
        };
        missed += usize::from(verdict != "caught");
        println!("{verdict:8} {:50} {}", fault.name, fault.test.name);
    }
    match missed {
        0 => {
            println!("{0} of {0} caught", faults.len());
            Ok(())
        }
        _ => Err(format!("{missed} of {} were not caught", faults.len()).into()),
    }
}

/// What a test said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Green,
    Red,
    NotBuilt,
    NotRun,
}

/// A copy of the workspace with a target directory of its own.
struct Ground {
    tree: PathBuf,
    target: PathBuf,
}

impl Ground {
    fn new() -> Result<Self> {
        let dir = workspace::target()?.join("sabotage");
        let ground = Self {
            tree: dir.join("tree"),
            target: dir.join("target"),
        };
        workspace::copy(&ground.tree)?;
        Ok(ground)
    }

    /// Plants a fault and returns the file's text as it was.
    fn plant(&self, fault: &Fault) -> Result<String> {
        let file = self.tree.join(fault.file);
        let text = std::fs::read_to_string(&file)?;
        std::fs::write(&file, planted(fault, &text)?)?;
        Ok(text)
    }

    fn run(&self, fault: &Fault) -> Result<Outcome> {
        let test = |more: &[&str]| {
            let mut command = process::cargo();
            command.current_dir(&self.tree);
            command.env("CARGO_TARGET_DIR", &self.target);
            command.arg("test").arg("--quiet");
            command.args(fault.test.program).args(more);
            command.stdin(Stdio::null());
            command
        };
        let built = test(&["--no-run"]).output()?;
        if !built.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&built.stderr));
            return Ok(Outcome::NotBuilt);
        }
        let ran = test(&["--", "--exact", fault.test.name]).output()?;
        let said = String::from_utf8_lossy(&ran.stdout);
        Ok(
            match (ran.status.success(), said.contains("running 1 test")) {
                (_, false) => Outcome::NotRun,
                (true, true) => Outcome::Green,
                (false, true) => Outcome::Red,
            },
        )
    }
}

/// The file's text with the fault in it.
fn planted(fault: &Fault, text: &str) -> Result<String> {
    match text.matches(fault.from).count() {
        1 => Ok(text.replacen(fault.from, fault.to, 1)),
        count => Err(format!(
            "the fault `{}` no longer fits {}: its text is there {count} times",
            fault.name, fault.file
        )
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Faults are texts: when the code moves on, they must follow.
    #[test]
    fn every_fault_still_fits_the_code() {
        let root = workspace::root().unwrap();
        for fault in ALL {
            let text = std::fs::read_to_string(root.join(fault.file)).unwrap();
            planted(fault, &text).unwrap();
        }
    }
}
